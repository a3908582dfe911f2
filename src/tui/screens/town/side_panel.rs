//! Content of the side panel: the tile under the cursor, queues, residents and the legend.

use ratatui::text::{Line, Span};

use super::map_canvas::{PLACE_TEXTURES, ground, object_sign, place_at, resident_style, tie_sign};
use super::resident_letters::{NO_LETTER, ResidentLetters};
use crate::format::{bar, clip, count, duration, pad, resident, thousands};
use crate::indexed_snapshot::IndexedSnapshot;
use crate::theme::Theme;
use townlet_wire::escape;
use townlet_wire::telemetry::{Agent, MapObject, Queue};

/// Residents that the list shows at least before the legend is cut.
const MIN_RESIDENTS: usize = 8;

/// Width from which the list says what residents are doing.
const WIDE: usize = 56;

#[derive(Clone, Copy)]
pub(super) struct SidePanel<'a> {
    pub(super) view: &'a IndexedSnapshot,
    pub(super) letters: &'a ResidentLetters,
    pub(super) theme: &'a Theme,
    pub(super) cursor: (u64, u64),
    /// The followed resident, or the one under the cursor.
    pub(super) focus: Option<&'a Agent>,
    /// Filter of the resident list.
    pub(super) filter: &'a str,
    pub(super) width: usize,
    pub(super) height: usize,
}

/// Lines, and the line numbers of residents for mouse clicks.
#[derive(Default)]
pub(super) struct PanelLines<'a> {
    pub(super) lines: Vec<Line<'a>>,
    pub(super) residents: Vec<(usize, String)>,
}

/// `power ✓  water ✗ OFF`.
pub(super) fn utilities<'a>(view: &IndexedSnapshot, theme: &Theme) -> Vec<Span<'a>> {
    let mut spans = Vec::new();
    for (name, on) in &view.utilities {
        let (word, style) = if *on { ("✓", theme.good) } else { ("✗ OFF", theme.bad) };
        spans.push(Span::styled(format!(" {} ", clip(name, 12)), theme.dim));
        spans.push(Span::styled(format!("{word} "), style));
    }
    spans
}

impl<'a> SidePanel<'a> {
    /// The content that fits, most important first. The list of residents leaves the legend its space; where there is too
    /// little for both, the legend is cut and says so.
    pub(super) fn lines(&self) -> PanelLines<'a> {
        let mut drawn = PanelLines::default();
        drawn.lines.extend(self.under_cursor());
        let queues = self.view.queues_with_waiters();
        if queues.len() > 0 {
            drawn.lines.push(self.heading("waiting for"));
            let room = (self.height / 4).max(2);
            let hidden = queues.len().saturating_sub(room);
            drawn.lines.extend(queues.take(room).map(|queue| self.queue(queue)));
            if hidden > 0 {
                drawn.lines.push(self.dim(&format!("{hidden} more on Operations")));
            }
        }
        let mut legend = self.legend();
        // The heading and some residents, or all of them.
        let least = drawn.lines.len() + 1 + self.view.agents.len().min(MIN_RESIDENTS);
        let room = self.height.saturating_sub(least);
        if room < legend.len() {
            let hidden = legend.len() - room.max(1) + 1;
            legend.truncate(room.saturating_sub(1));
            if legend.len() > 1 {
                legend.push(self.dim(&format!("{} in ?", count(hidden as u64, "more row"))));
            } else {
                legend.clear();
            }
        }
        self.residents(&mut drawn, self.height - legend.len());
        drawn.lines.extend(legend);
        drawn.lines.truncate(self.height);
        drawn
    }

    fn heading(&self, text: &'static str) -> Line<'a> {
        Line::styled(pad(text, self.width), self.theme.head)
    }

    fn dim(&self, text: &str) -> Line<'a> {
        Line::styled(clip(text, self.width), self.theme.dim)
    }

    fn plain(&self, text: &str) -> Line<'a> {
        Line::styled(clip(text, self.width), self.theme.text)
    }

    fn under_cursor(&self) -> Vec<Line<'a>> {
        let (x, y) = self.cursor;
        let mut lines = Vec::new();
        if let Some(agent) = self.focus {
            lines.extend(self.about(agent));
        }
        let also: Vec<String> = self
            .view
            .residents_at((x, y))
            .filter(|agent| self.focus.is_none_or(|focus| focus.id != agent.id))
            .map(|agent| agent.name.clone())
            .collect();
        if !also.is_empty() {
            lines.push(self.dim(&format!("also here: {}", also.join(", "))));
        }
        if let Some(object) = self.view.object_at(x, y) {
            lines.extend(self.object(object));
        } else if self.focus.is_none() {
            let place = place_at(&self.view.map, x, y);
            lines.push(self.plain(place.map_or("open ground", |place| &place.name)));
            lines.push(self.dim("empty"));
        }
        lines
    }

    fn about(&self, agent: &'a Agent) -> Vec<Line<'a>> {
        let letter = Span::styled(self.letters.of(agent).to_string(), resident_style(&agent.id, self.theme));
        let place = if agent.place.is_empty() { "outdoors" } else { &agent.place };
        let name = format!(" {}", clip(&agent.name, self.width.saturating_sub(4)));
        let mut head = vec![letter, Span::styled(name.clone(), self.theme.strong)];
        let room = self.width.saturating_sub(name.chars().count() + 4);
        head.push(Span::styled(format!(" · {}", clip(place, room)), self.theme.dim));
        let since = duration(self.view.tick.saturating_sub(agent.option_since), self.view.clock.ticks_per_day);
        let mut lines = vec![Line::from(head), self.plain(&format!("{} for {since}", agent.option))];
        lines.push(self.plain(&agent.activity));
        let room = self.width.saturating_sub(14).clamp(4, 12);
        for need in &agent.needs {
            let critical = need.value < need.critical;
            let style = if critical { self.theme.bad } else { self.theme.chart };
            lines.push(Line::from(vec![
                Span::styled(format!("{} ", pad(&need.name, 8)), self.theme.dim),
                Span::styled(bar(need.value, 1.0, room), style),
                Span::styled(format!(" {:>3.0}{}", need.value * 100.0, if critical { "!" } else { " " }), style),
            ]));
        }
        lines
    }

    fn object(&self, object: &'a MapObject) -> Vec<Line<'a>> {
        let head = format!("{} {} · {}", object_sign(&object.kind), object.id, object.place);
        let mut lines = vec![Line::styled(clip(&head, self.width), self.theme.strong)];
        let Some(queue) = self.view.queue(&object.id) else {
            lines.push(self.dim(&format!("a {}, free to use", object.kind)));
            return lines;
        };
        if queue.closed {
            lines.push(self.dim("closed at this hour"));
        } else if !queue.working {
            let off = self.view.utilities.iter().filter(|(_, on)| !**on).map(|(name, _)| name.as_str());
            let off = off.collect::<Vec<_>>().join(" and ");
            let why = if off.is_empty() { "closed".to_owned() } else { format!("{off} off, or closed") };
            lines.push(Line::styled(clip(&format!("✗ unavailable: {why}"), self.width), self.theme.bad));
        }
        for user in &queue.users {
            let left = user.remaining.map_or_else(|| "reserved".into(), |left| format!("{} left", count(left, "tick")));
            let name = resident(self.view, &user.agent);
            lines.push(self.plain(&format!("{name} {} · {left}", user.affordance.replace('_', " "))));
        }
        if queue.users.is_empty() {
            lines.push(self.dim("not in use"));
        }
        for (place, waiter) in queue.waiting.iter().enumerate() {
            let name = resident(self.view, &waiter.agent);
            lines.push(self.plain(&format!("{}. {name} waits {}", place + 1, count(waiter.waited, "tick"))));
        }
        if !queue.cooldowns.is_empty() {
            let names: Vec<String> =
                queue.cooldowns.iter().map(|cooldown| resident(self.view, &cooldown.agent)).collect();
            lines.push(self.dim(&format!("in cooldown: {}", names.join(", "))));
        }
        lines
    }

    /// The line of an object with waiting residents.
    fn queue(&self, queue: &Queue) -> Line<'a> {
        let letter = |id: &str| self.view.resident(id).map_or(NO_LETTER, |agent| self.letters.of(agent));
        let waiting: String = queue.waiting.iter().map(|waiter| letter(&waiter.agent)).collect();
        let head = format!("{} {} ", object_sign(&queue.kind), clip(&queue.object, 12));
        let rest = self.width.saturating_sub(head.chars().count());
        let tail = clip(&format!("{waiting} {} t", thousands(queue.longest_wait)), rest);
        Line::from(vec![Span::styled(head, self.theme.text), Span::styled(tail, self.theme.warn)])
    }

    fn residents(&self, drawn: &mut PanelLines<'a>, height: usize) {
        let asked = |agent: &&Agent| {
            self.filter.is_empty()
                || [&agent.name, &agent.option, &agent.place]
                    .iter()
                    .any(|text| text.to_lowercase().contains(self.filter))
        };
        let shown: Vec<&'a Agent> = self.view.agents.iter().filter(asked).collect();
        drawn.lines.push(Line::styled(pad(&count(shown.len() as u64, "resident"), self.width), self.theme.head));
        if self.view.agents.is_empty() {
            drawn.lines.push(self.plain("No residents."));
            drawn.lines.push(self.dim("New residents arrive while"));
            drawn.lines.push(self.dim("the town runs. Add one"));
            drawn.lines.push(self.dim("with :spawn."));
            return;
        }
        if shown.is_empty() {
            drawn.lines.push(self.dim("No match; esc clears."));
            return;
        }
        let free = height.saturating_sub(drawn.lines.len());
        let room = if shown.len() > free { free.saturating_sub(1) } else { free };
        if room == 0 {
            return;
        }
        let at = self.focus.and_then(|focus| match self.filter {
            "" => self.view.resident_position(&focus.id),
            _ => shown.iter().position(|agent| agent.id == focus.id),
        });
        let first = at.unwrap_or(0).saturating_sub(room / 2).min(shown.len().saturating_sub(room));
        for agent in shown.iter().skip(first).take(room) {
            drawn.residents.push((drawn.lines.len(), agent.id.clone()));
            drawn.lines.push(self.entry(agent));
        }
        if shown.len() > room {
            let [from, to, all] = [first + 1, first + room, shown.len()].map(|number| thousands(number as u64));
            drawn.lines.push(self.dim(&format!("{from}–{to} of {all}")));
        }
    }

    fn entry(&self, agent: &'a Agent) -> Line<'a> {
        let focused = self.focus.is_some_and(|focus| focus.id == agent.id);
        let critical = agent.needs.iter().any(|need| need.value < need.critical);
        let tie = self.focus.and_then(|focus| tie_sign(self.view, focus, agent, self.theme));
        let is_wide = self.width >= WIDE;
        let names = if is_wide { 14 } else { 9 };
        let name = pad(&agent.name, names);
        let option =
            if is_wide { format!("{} · {}", pad(&agent.option, 9), agent.activity) } else { agent.option.clone() };
        let option = pad(&option, self.width.saturating_sub(names + 7));
        let line = Line::from(vec![
            Span::raw(if focused { "▸" } else { " " }),
            Span::styled(self.letters.of(agent).to_string(), resident_style(&agent.id, self.theme)),
            Span::styled(format!(" {name} "), if focused { self.theme.strong } else { self.theme.text }),
            Span::styled(option, self.theme.dim),
            Span::styled(if critical { " !" } else { "  " }, self.theme.bad),
            tie.map_or_else(|| Span::raw(" "), |(sign, style)| Span::styled(sign.to_string(), style)),
        ]);
        if focused { line.patch_style(self.theme.selected_idle) } else { line }
    }

    /// Signs and words in as many columns as fit.
    fn legend(&self) -> Vec<Line<'a>> {
        let entries = legend(self.view, self.theme);
        let wide = entries.iter().map(|(_, word)| word.chars().count()).max().unwrap_or(0) + 3;
        let across = (self.width / wide).max(1);
        let mut lines = vec![self.heading("legend")];
        lines.extend(entries.chunks(across).map(|row| {
            let entry = |(sign, word): &(Span<'static>, String)| {
                [sign.clone(), Span::raw(" "), Span::styled(pad(word, wide - 2), self.theme.dim)]
            };
            row.iter().flat_map(entry).collect::<Line<'static>>()
        }));
        lines
    }
}

/// The signs of the map with their words: grounds and objects that the map has, then those of every map.
pub(crate) fn legend(view: &IndexedSnapshot, theme: &Theme) -> Vec<(Span<'static>, String)> {
    let here = |kind: &&(&str, char)| view.map.places.iter().any(|place| place.kind == kind.0);
    let mut legend: Vec<(Span<'static>, String)> = Vec::new();
    for (kind, _) in PLACE_TEXTURES.iter().filter(here) {
        let (texture, style) = ground(kind, theme);
        legend.push((Span::styled(texture.to_string(), style), (*kind).to_owned()));
    }
    let objects = view.object_kinds().iter().map(|kind| (object_sign(kind), kind.clone()));
    let fixed =
        [('▒', "wall"), ('+', "door"), ('✗', "off"), ('2', "count"), ('♥', "trust"), ('!', "rival"), ('&', "tie")];
    let signs = objects.chain(fixed.map(|(sign, word)| (sign, word.to_owned())));
    legend.extend(signs.map(|(sign, word)| (Span::styled(sign.to_string(), theme.text), escape(&word))));
    legend
}
