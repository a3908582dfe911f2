//! What stands and needs somebody, then what the town tells about itself, newest first.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::format::{clock, other_day, pad, thousands, wrap};
use crate::keymap::Action;
use crate::list::Selection;
use crate::pane::{Context, DetailCard, KeyHint, Pane, Reaction, draw_empty, pane_block};
use crate::theme::Theme;
use townlet_wire::telemetry::{Alert, Narration};
use townlet_wire::text::escape;

/// The pane of alerts and narration. Until the operator selects something below it, the first line is selected, and so
/// the newest alert when one is raised.
#[derive(Default)]
pub struct Alerts {
    selection: Selection,
    /// Whether the operator has selected what is selected.
    pinned: bool,
    rows: Rect,
    first: usize,
    /// The entry every drawn row belongs to.
    owners: Vec<usize>,
}

/// One thing to read.
#[derive(Clone, Copy)]
enum Item<'a> {
    Alert(&'a Alert),
    Narration(&'a Narration),
}

impl Item<'_> {
    fn id(self) -> String {
        match self {
            Self::Alert(alert) => format!("alert {}", alert.name),
            Self::Narration(story) => format!("{} {}", story.tick, story.text),
        }
    }

    const fn tick(self) -> u64 {
        match self {
            Self::Alert(alert) => alert.since_tick,
            Self::Narration(story) => story.tick,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Alert(alert) => format!("{}. {}", alert.message.trim_end_matches('.'), alert.hint),
            Self::Narration(story) => story.text.clone(),
        }
    }

    fn style(self, theme: &Theme) -> (ratatui::style::Style, &'static str) {
        match self {
            Self::Alert(alert) => theme.severity(&alert.severity),
            Self::Narration(story) if story.priority == "high" => (theme.strong, "•"),
            Self::Narration(story) if story.priority == "low" => (theme.dim, " "),
            Self::Narration(_) => (theme.text, " "),
        }
    }
}

impl Alerts {
    fn shown<'a>(cx: &Context<'a>) -> Vec<Item<'a>> {
        let mut alerts: Vec<&Alert> = cx.view.alerts.iter().collect();
        alerts.sort_by_key(|alert| std::cmp::Reverse(alert.since_tick));
        let alerts = alerts.into_iter().map(Item::Alert);
        let stories = cx.view.narrations.iter().rev().map(Item::Narration);
        let kind = |item: &Item<'_>| match item {
            Item::Alert(alert) => alert.severity.clone(),
            Item::Narration(story) => story.category.clone(),
        };
        alerts.chain(stories).filter(|item| cx.matches(&[&item.text(), &kind(item)])).collect()
    }

    fn ids(cx: &Context<'_>) -> Vec<String> {
        Self::shown(cx).into_iter().map(Item::id).collect()
    }

    /// The selected row and the first in sight. What is gone is pinned no longer.
    fn update_selection(&mut self, ids: &[String]) -> (usize, usize) {
        self.pinned &= self.selection.id().is_some_and(|id| ids.iter().any(|other| other == id));
        if !self.pinned {
            self.selection.select(ids, 0);
        }
        self.selection.update(ids, self.rows.height.into())
    }
}

/// The time of today, or the day when it was another.
fn time(tick: u64, cx: &Context<'_>) -> String {
    let per_day = cx.view.clock.ticks_per_day;
    match other_day(tick, cx.view) {
        Some(day) => format!("day {day}"),
        None => clock(tick, per_day),
    }
}

fn card(item: Item<'_>, cx: &Context<'_>) -> DetailCard {
    let theme = cx.theme;
    let per_day = cx.view.clock.ticks_per_day;
    let fact = |label: &str, value: &str| {
        Line::from(vec![Span::styled(pad(label, 10), theme.dim), Span::styled(escape(value), theme.text)])
    };
    let day = item.tick() / per_day.max(1) + 1;
    let when = format!("day {day} · {} · tick {}", clock(item.tick(), per_day), thousands(item.tick()));
    let (title, lines) = match item {
        Item::Alert(alert) => (
            "Alert",
            vec![
                fact("alert", &alert.name.replace('_', " ")),
                fact("severity", &alert.severity),
                fact("since", &when),
                fact("what", &alert.message),
                fact("do", &alert.hint),
            ],
        ),
        Item::Narration(story) => (
            "Story",
            vec![fact("when", &when), fact("about", &story.category.replace('_', " ")), fact("what", &story.text)],
        ),
    };
    DetailCard { title: title.into(), lines }
}

impl Pane for Alerts {
    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, cx: &Context<'_>) {
        let block = pane_block("Alerts and story", cx.focused, cx.theme);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let items = Self::shown(cx);
        if items.is_empty() {
            self.rows = Rect::ZERO;
            let (missing, advice) = if cx.filter.is_empty() {
                ("All quiet: no alert stands, nothing to tell yet.", "Step or resume the town and stories come.")
            } else {
                ("Nothing told here fits the filter.", "esc clears it.")
            };
            return draw_empty(frame, inner, missing, advice, cx.theme);
        }
        self.rows = inner;
        let (at, mut first) = self.update_selection(&Self::ids(cx));
        // Days have more digits the older a town is; the texts begin in one column all the same.
        let times: Vec<String> = items.iter().map(|item| time(item.tick(), cx)).collect();
        let wide = times.iter().map(String::len).max().unwrap_or(0);
        let columns = usize::from(inner.width).saturating_sub(wide + 5);
        let rows = |item: &Item<'_>| wrap(&item.text(), columns).len();
        // Entries take more rows than one: what is selected must be in sight all the same.
        while first < at && items[first..=at].iter().map(rows).sum::<usize>() > usize::from(inner.height) {
            first += 1;
        }
        self.first = first;
        self.owners.clear();
        let mut lines: Vec<Line<'static>> = Vec::new();
        for (index, item) in items.iter().enumerate().skip(first) {
            let (style, sign) = item.style(cx.theme);
            let selected = index == at && cx.focused;
            let (dim, style) = if selected { (cx.theme.selected, cx.theme.selected) } else { (cx.theme.dim, style) };
            for (row, text) in wrap(&item.text(), columns).into_iter().enumerate() {
                let time = pad(if row == 0 { &times[index] } else { "" }, wide);
                let sign = if row == 0 { sign } else { " " };
                lines.push(Line::from(vec![
                    Span::styled(format!(" {time} "), dim),
                    Span::styled(format!("{} ", pad(sign, 1)), style),
                    Span::styled(if selected { pad(&text, columns + 1) } else { text }, style),
                ]));
                self.owners.push(index);
            }
            if lines.len() >= usize::from(inner.height) {
                break;
            }
        }
        frame.render_widget(Paragraph::new(lines), inner);
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Reaction {
        let ids = Self::ids(cx);
        let (row, _) = self.update_selection(&ids);
        match (action, Self::shown(cx).get(row)) {
            (Action::Open, Some(item)) => Reaction::ShowDetail(card(*item, cx)),
            (Action::Copy, Some(item)) => Reaction::Copy(escape(&item.text())),
            _ if self.selection.act(action, &ids, self.rows.height.into()) => {
                // Back on the first line, what is newest is wanted again.
                self.pinned = self.selection.id() != ids.first().map(String::as_str);
                Reaction::Redraw
            }
            _ => Reaction::None,
        }
    }

    fn click(&mut self, column: u16, row: u16, cx: &Context<'_>) -> Reaction {
        if !self.rows.contains((column, row).into()) {
            return Reaction::None;
        }
        let Some(owner) = self.owners.get(usize::from(row - self.rows.y)) else { return Reaction::None };
        self.selection.select(&Self::ids(cx), *owner);
        self.pinned = *owner > 0;
        Reaction::Redraw
    }

    fn bindings(&self, cx: &Context<'_>) -> Vec<KeyHint> {
        let none = cx.view.alerts.is_empty() && cx.view.narrations.is_empty();
        let some = if none { Err("nothing has been told yet".to_owned()) } else { Ok(()) };
        vec![
            KeyHint::new(Action::Up, "select"),
            KeyHint::new(Action::Down, "select"),
            KeyHint::when(Action::Open, "read", some.clone()),
            KeyHint::when(Action::Copy, "copy", some),
        ]
    }
}
