//! Drawing of the whole screen: header, banners, tabs, panes, console line, footer and overlay.

use fail::fail_point;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span, Text};

use super::{App, ClickTarget, PaneState};
use crate::connection;
use crate::console::KnownShard;
use crate::format::{capital, clip, clip_middle, clock, thousands, width, wrap};
use crate::keymap::Action;
use crate::overlay::draw_hint;
use crate::pane::{FILTER_SHOWN, PANES, Screen, draw_empty, draw_on_border, has_newer_schema};
use crate::text_drawing::draw_text;
use crate::theme::Theme;
use townlet_source::Link;
use townlet_wire::escape;
use townlet_wire::service::Focus;
use townlet_wire::telemetry::{Alert, Stepping};
use townlet_wire::{Role, SCHEMA_VERSION, Snapshot};

/// Minimum terminal size.
const MIN_SIZE: (u16, u16) = (60, 18);
/// The issuer of what the town does by itself.
const TOWN: &str = "town";
/// Columns of the operator's name of a shard, where no more are free.
const NAME: usize = 20;
/// Rows of a banner at most.
const MAX_BANNER_ROWS: usize = 5;
/// Minimum size to show all panes of a screen at once.
const MULTI_PANE_SIZE: (u16, u16) = (100, 30);

/// Whether a terminal has no space for the interface.
pub(crate) const fn is_too_small(area: Rect) -> bool {
    area.width < MIN_SIZE.0 || area.height < MIN_SIZE.1
}

/// Draws what a terminal that is too small shows: its size, the size it needs, the key to quit, and a question before that.
pub(crate) fn draw_too_small(
    frame: &mut Frame<'_>,
    area: Rect,
    (quit, question): (&str, Option<String>),
    theme: &Theme,
) {
    let mut lines = vec![
        Line::styled(format!("{} × {} is too small", area.width, area.height), theme.strong),
        Line::styled(format!("townlet needs {} × {}", MIN_SIZE.0, MIN_SIZE.1), theme.text),
        Line::styled(format!("enlarge it, or press {quit} to quit"), theme.dim),
    ];
    lines.extend(question.map(|question| Line::styled(question, theme.warn)));
    let middle = area.centered(Constraint::Fill(1), Constraint::Length(lines.len() as u16));
    draw_text(frame, middle, Text::from(lines).centered());
}

impl App {
    /// Draws everything.
    pub fn draw(&mut self, frame: &mut Frame<'_>) {
        fail_point!("screen_draw");
        let area = frame.area();
        self.click_targets.clear();
        for pane_state in &mut self.panes {
            pane_state.area = Rect::ZERO;
        }
        self.too_small = is_too_small(area);
        if self.too_small {
            let question = self.quit_question();
            return draw_too_small(frame, area, (&self.keymap.label(Action::Quit), question), &self.theme);
        }
        let here = self.visible_panes();
        let multi_pane = area.width >= MULTI_PANE_SIZE.0 && area.height >= MULTI_PANE_SIZE.1;
        let single_pane = here.len() > 1 && (self.zoomed || !multi_pane);
        let banners = self.banner_rows(area.width.into());
        let rows = [
            Constraint::Length(1),
            Constraint::Length(banners.len() as u16),
            Constraint::Length(1),
            Constraint::Length(u16::from(single_pane)),
            Constraint::Fill(1),
            Constraint::Length(u16::from(self.shows_timeline(area.height))),
            Constraint::Length(2),
        ];
        let [header, banner, tabs, panes, body, timeline, footer] = Layout::vertical(rows).areas(area);
        self.draw_header(frame, header);
        let banners: Vec<Line<'_>> = banners.into_iter().map(|row| Line::styled(row, self.theme.bad)).collect();
        draw_text(frame, banner, banners);
        self.draw_tabs(frame, tabs);
        if single_pane {
            self.draw_pane_tabs(frame, panes, &here);
        }
        let line = self.draw_body(frame, body, &here, single_pane || self.zoomed);
        self.draw_timeline(frame, timeline);
        self.draw_footer(frame, footer);
        if let Some(line) = line.filter(|_| self.line_open) {
            let view = self.past.newest_view(self.view.as_ref()).map(|view| &***view);
            let known = (self.hello.commands.as_slice(), &self.session, view);
            self.line.draw(frame, line, area, known, &self.theme);
        }
        if let Some(overlay) = &mut self.overlay {
            overlay.draw(frame, body, &self.theme);
        } else if self.hint {
            draw_hint(frame, body, &self.keymap, &self.theme);
        }
    }

    /// What the last frame showed of residents and the map.
    pub fn focus(&self) -> Focus {
        let mut focus = Focus::default();
        for drawn in self.panes.iter().filter(|pane_state| !pane_state.area.is_empty()) {
            drawn.pane.add_to_focus(&mut focus);
        }
        focus
    }

    /// Draws the panes. Returns the area of the console line: in a pane that reserves one, else below the panes.
    fn draw_body(&mut self, frame: &mut Frame<'_>, body: Rect, here: &[usize], single_pane: bool) -> Option<Rect> {
        let Some(view) = self.view.clone() else {
            let [waiting, line] = below_the_panes(body, self.line_rows(body));
            self.draw_waiting(frame, waiting);
            return Some(line);
        };
        let focused = self.focused_pane();
        let place = |body| {
            if single_pane {
                return (vec![(focused, body)], Vec::new());
            }
            let tiling = self.screen.layout(body, &self.layouts);
            (here.iter().copied().zip(tiling.areas).collect(), tiling.divisions)
        };
        let (mut places, mut divisions): (Vec<(usize, Rect)>, _) = place(body);
        let offered =
            places.iter().find_map(|(index, area)| Some((self.panes[*index].pane.line_area(*area)?, area.y + 1)));
        // It covers the rows above it when its help is long.
        let mut line = offered.map(|(line, top)| {
            let height = self.line.rows(line.width, self.known()).min(line.bottom().saturating_sub(top));
            Rect { y: line.bottom() - height, height, ..line }
        });
        if self.line_open && offered.is_none() {
            let [upper, lower] = below_the_panes(body, self.line_rows(body));
            (places, divisions) = place(upper);
            line = Some(lower);
        }
        self.divisions = divisions;
        let mut panes = std::mem::take(&mut self.panes);
        for (index, place) in places {
            let PaneState { pane, filter, area } = &mut panes[index];
            *area = place;
            pane.draw(frame, place, &self.context(&view, filter, index == focused));
            if !filter.is_empty() && place.height > 1 {
                let tag = Line::styled(format!(" / {} ", clip(filter, FILTER_SHOWN)), self.theme.accent);
                let inside = Rect { x: place.x + 1, width: place.width.saturating_sub(2), ..place };
                draw_on_border(frame, inside, tag);
            }
        }
        self.panes = panes;
        line
    }

    /// What the console line knows of the shard.
    fn known(&self) -> KnownShard<'_> {
        (self.hello.commands.as_slice(), &self.session, self.live_view().map(|view| &***view))
    }

    /// Rows of the console line below the panes; 0 unless it is open.
    fn line_rows(&self, body: Rect) -> u16 {
        if self.line_open { self.line.rows(body.width.saturating_sub(2), self.known()) } else { 0 }
    }

    fn draw_waiting(&self, frame: &mut Frame<'_>, area: Rect) {
        let (what, advice) = match &self.ended {
            Some(why) => (format!("The connection has ended: {}", escape(why)), "Press q to quit."),
            None => match &self.link {
                Link::Reconnecting { url, denied: true, why, .. } => {
                    let what = format!("{} refuses access: {}", escape(url), escape(why));
                    (what, "It is not tried again. `:escalate` gives another token. Press q to quit.")
                }
                Link::Reconnecting { url, in_seconds, why, .. } => {
                    let advice = if *in_seconds > 1 {
                        "Retrying automatically. Press q to quit."
                    } else {
                        "Retrying now. Press q to quit."
                    };
                    let what =
                        if why.contains(url.as_str()) { capital(why) } else { format!("Cannot reach {url}: {why}") };
                    (escape(&what), advice)
                }
                _ => ("Waiting for the first data from the shard.".to_owned(), "Press q to quit."),
            },
        };
        draw_empty(frame, area, &what, advice, &self.theme);
    }

    fn draw_header(&self, frame: &mut Frame<'_>, area: Rect) {
        frame.buffer_mut().set_style(area, self.theme.bar);
        // The role is the shard's to say. When it is not heard, its last word is dimmed and has a question mark.
        let role = match self.session.role {
            _ if self.view.is_none() => Span::styled(" – ", self.theme.dim),
            role if !self.is_heard() => Span::styled(format!(" {} ? ", role_word(role)), self.theme.dim),
            role @ Role::Viewer => Span::styled(format!(" {} ", role_word(role)), self.theme.key),
            role @ Role::Admin => Span::styled(format!(" {} ", role_word(role)), self.theme.admin),
        };
        let mut right = vec![(0, vec![role])];
        right.push((8, vec![Span::styled(format!("schema {SCHEMA_VERSION} "), self.theme.dim)]));
        let mut left = self.header_parts(area.width, NAME, false);
        // Drops the least important parts until the rest fits.
        let mut limit = 9;
        let total = |parts: &[(u8, Vec<Span<'_>>)], limit: u8| -> usize {
            parts
                .iter()
                .filter(|(rank, _)| *rank <= limit)
                .map(|(_, spans)| spans.iter().map(Span::width).sum::<usize>() + 3)
                .sum()
        };
        while limit > 0 && total(&left, limit) + total(&right, limit) > usize::from(area.width) {
            limit -= 1;
        }
        match usize::from(area.width).checked_sub(total(&left, limit) + total(&right, limit)) {
            Some(free) => left = self.header_parts(area.width, NAME + free, false),
            None => left = self.header_parts(area.width, NAME, true),
        }
        let join = |parts: Vec<(u8, Vec<Span<'static>>)>| {
            let mut spans: Vec<Span<'static>> = vec![Span::raw(" ")];
            for (index, (_, part)) in parts.into_iter().filter(|(rank, _)| *rank <= limit).enumerate() {
                if index > 0 {
                    spans.push(Span::raw("   "));
                }
                spans.extend(part);
            }
            Line::from(spans)
        };
        let right = join(right);
        let edge = right.width().min(usize::from(area.width)) as u16;
        let [start, end] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(edge)]).areas(area);
        draw_text(frame, start, join(left));
        draw_text(frame, end, right);
    }

    /// Parts of the header with their rank: 0 is always shown, 9 is dropped first. Where even those of rank 0 do not fit, the clock is
    /// `cramped`: without the day. The operator's name has `name` columns.
    fn header_parts(&self, columns: u16, name: usize, cramped: bool) -> Vec<(u8, Vec<Span<'static>>)> {
        let theme = &self.theme;
        let short = columns < MULTI_PANE_SIZE.0 || !self.unconfirmed().is_empty();
        let words = if short { connection::short_words } else { connection::words };
        let (link, style) = words(&self.link, self.ended.is_some(), theme);
        // `live` beside a moment of the past would say something else.
        let link = if self.is_past() && matches!(self.link, Link::Live { .. }) && self.ended.is_none() {
            String::new()
        } else {
            format!(" · {link}")
        };
        let link = Span::styled(link, style);
        let mut parts = match &self.label {
            Some(label) => vec![(0, vec![Span::styled(format!(" {} ", clip_middle(&label.name, name)), label.style)])],
            None => vec![(7, vec![Span::styled("townlet", theme.dim)])],
        };
        let Some(view) = &self.view else {
            parts.push((0, vec![Span::styled("–", theme.strong), link]));
            return parts;
        };
        parts.push((0, vec![Span::styled(clip(&capital(&view.shard), 24), theme.strong), link]));
        if let Some(count) = self.unconfirmed_count(columns < MULTI_PANE_SIZE.0) {
            parts.push((0, vec![Span::styled(format!("… {count}"), theme.warn)]));
        }
        if let Some(url) = self.url() {
            parts.push((4, vec![Span::styled(clip(url, 40), theme.dim)]));
        }
        let is_heard = self.is_heard();
        if self.is_past() {
            parts.extend(self.past_parts(view, cramped));
            parts.push((6, policy_part(view, theme)));
            return parts;
        }
        parts.push((0, vec![if is_heard { speed(view, theme) } else { last_speed(view, theme) }]));
        if is_heard && view.clock.speed != "paused" && view.clock.ticks_per_second > 0.0 {
            let rate = format!("{} ticks/s", thousands(view.clock.ticks_per_second.round() as u64));
            parts.push((5, vec![Span::styled(rate, theme.dim)]));
        }
        let time = clock(view.clock.tick_of_day, view.clock.ticks_per_day);
        let style = if is_heard { theme.text } else { theme.dim };
        let time = if cramped { time } else { format!("day {} · {time}", view.day) };
        parts.push((0, vec![Span::styled(time, style)]));
        parts.push((3, vec![Span::styled(format!("tick {}", thousands(view.tick)), theme.dim)]));
        parts.extend(self.seeking_part());
        parts.push((6, policy_part(view, theme)));
        parts
    }

    /// Whether the shard is heard now, so that what is on screen is true.
    pub(crate) fn is_heard(&self) -> bool {
        self.ended.is_none() && self.link.is_heard()
    }

    /// Whether the shard can be asked, even if what is on screen is old.
    pub(super) fn is_connected(&self) -> bool {
        self.ended.is_none() && self.link.is_connected()
    }

    pub(crate) fn url(&self) -> Option<&str> {
        match &self.link {
            Link::Local | Link::Recorded => None,
            Link::Connecting { url }
            | Link::Live { url }
            | Link::Behind { url, .. }
            | Link::Stale { url, .. }
            | Link::Reconnecting { url, .. } => Some(url),
        }
    }

    /// What a screen shows that hears nothing.
    const fn what_is_shown(&self) -> &'static str {
        if self.view.is_some() { "the screen is out of date" } else { "no state was received yet" }
    }

    /// What is to be said of the present. While the past is on screen, each says that it is.
    fn banners(&self) -> Vec<String> {
        let banners = self.banners_of_now();
        if !self.is_past() {
            return banners;
        }
        let alarms = self.history_alarms.len();
        let now = |(at, banner): (usize, String)| if at < alarms { banner } else { format!("now: {banner}") };
        banners.into_iter().enumerate().map(now).collect()
    }

    fn banners_of_now(&self) -> Vec<String> {
        // A rewritten history comes first: it puts everything else in doubt.
        let mut banners = self.history_alarms.clone();
        match &self.link {
            Link::Stale { .. } => {
                banners.push(format!("{}; {}", connection::silence(&self.link), self.what_is_shown()));
            }
            Link::Reconnecting { stopped: true, denied: false, .. } => {
                banners.push(format!("the shard has stopped; {}", connection::next_attempt(&self.link)));
            }
            // The cause comes last, because it may be long and is cut first.
            Link::Reconnecting { denied, why, .. } => {
                let advice = if *denied { ": `:escalate` gives another token" } else { "" };
                banners.push(format!(
                    "{}; {}; {}{advice} ({why})",
                    connection::silence(&self.link),
                    self.what_is_shown(),
                    connection::next_attempt(&self.link)
                ));
            }
            _ => {}
        }
        let Some(view) = self.live_view() else { return banners };
        if let Some(why) = &self.ended {
            banners.push(format!("the connection has ended: {why}"));
        }
        if has_newer_schema(view) {
            let newer = &view.schema_version;
            banners.push(format!(
                "the shard uses schema {newer}, newer than {SCHEMA_VERSION}: read-only; upgrade to send commands"
            ));
        }
        if !view.health.audit_ok {
            banners.push("the audit log is not writable; commands are refused".into());
        }
        // A problem that is an alert too is quiet once that is acknowledged, and is said once.
        let alert_of = |problem: &String| view.alerts.iter().find(|alert| alert.message == *problem);
        let is_seen = |alert: &Alert| alert.acknowledged_by.is_some();
        let seen = |name: &str| view.alerts.iter().any(|alert| alert.name == name && is_seen(alert));
        let problems = &view.health.problems;
        let unseen = problems.iter().filter(|problem| !alert_of(problem).is_some_and(is_seen)).cloned();
        // What is a warning stands behind everything critical.
        let is_warning = |problem: &String| alert_of(problem).is_some_and(|alert| alert.severity == "warning");
        let (warnings, urgent): (Vec<String>, Vec<String>) = unseen.partition(is_warning);
        banners.extend(urgent);
        if matches!(self.link, Link::Behind { .. }) {
            let age = connection::data_age(&self.link).unwrap_or_default();
            banners.push(format!("the screen is {age} behind the shard: the connection or a machine is slow"));
        }
        if view.transport.mode == "aggregate" && !seen("telemetry_aggregating") {
            banners.push("telemetry is aggregated to one message per second".into());
        }
        let canary_is_red = view.promotion.state == "canary"
            && view.stability.windows.last().is_some_and(|window| window.verdict == "red");
        match view.promotion.state.as_str() {
            "eligible" if !seen("candidate_ready") => banners
                .push(format!("candidate {} is ready to promote", view.promotion.candidate.as_deref().unwrap_or("?"))),
            "rolled_back" => {
                let step = view.promotion.history.iter().rev().find(|step| step.to == "rolled_back");
                let by_hand = step.filter(|step| step.issuer != TOWN);
                banners.push(by_hand.map_or_else(
                    || "the canary failed and was rolled back".to_owned(),
                    |step| format!("the release was rolled back by {}", step.issuer),
                ));
            }
            "canary" if canary_is_red && !seen("canary_red") => {
                let key = self.keymap.label(Action::Rollback);
                banners.push(format!("the canary is failing; {key} in Stability or Candidate rolls back"));
            }
            "held" => banners.push(format!("promotion is on hold: {}", view.promotion.detail)),
            _ => {}
        }
        let said = |alert: &Alert| problems.contains(&alert.message) || (alert.name == "canary_red" && canary_is_red);
        let standing = |alert: &&Alert| alert.severity == "critical" && !is_seen(alert) && !said(alert);
        let worst = view.alerts.iter().filter(standing);
        banners.extend(worst.map(|alert| format!("{} {}", alert.message, alert.hint)));
        banners.extend(warnings);
        banners.extend(self.webhook_trouble.clone());
        banners
    }

    /// The first banner, in one row; with what contradicts the audit log, in as many as its advice needs.
    fn banner_rows(&self, columns: usize) -> Vec<String> {
        let banners = self.banners();
        let Some(first) = banners.first() else { return Vec::new() };
        let more = if banners.len() > 1 { format!("  (+{} more)", banners.len() - 1) } else { String::new() };
        if self.history_alarms.is_empty() {
            return vec![format!(" ‼ {}{more}", clip(first, columns.saturating_sub(width(&more) + 4)))];
        }
        let columns = columns.saturating_sub(4).max(1);
        let mut rows = wrap(&format!("{first}{more}"), columns);
        if rows.len() > MAX_BANNER_ROWS {
            rows = wrap(first, columns);
            let rest = rows.split_off(MAX_BANNER_ROWS - 1).join(" ");
            rows.push(clip(&rest, columns.saturating_sub(width(&more))) + &more);
        }
        let row = |(index, text): (usize, String)| format!(" {} {text}", if index == 0 { "‼" } else { " " });
        rows.into_iter().enumerate().map(row).collect()
    }

    fn draw_tabs(&mut self, frame: &mut Frame<'_>, area: Rect) {
        let mut x = area.x + 1;
        let labels = |letters: usize| {
            let label = |screen: Screen| {
                let letters = if screen == self.screen { usize::MAX } else { letters };
                let title: String = screen.title().chars().take(letters).collect();
                format!(" {} {title} ", self.keymap.label(screen.action()))
            };
            Screen::all().map(label).collect::<Vec<_>>()
        };
        let fits = |labels: &[String], gap: usize| {
            labels.iter().map(|label| width(label) + gap).sum::<usize>() < usize::from(area.width)
        };
        // Titles that do not fit are moved closer, then abbreviated.
        let (mut all, mut gap) = (labels(usize::MAX), 1);
        if !fits(&all, gap) {
            gap = 0;
        }
        if !fits(&all, gap) {
            all = labels(3);
        }
        for (screen, label) in Screen::all().zip(all) {
            let active = screen == self.screen;
            let spot = Rect { x, width: width(&label) as u16, ..area };
            let style = if active { self.theme.selected } else { self.theme.dim };
            draw_text(frame, spot, Span::styled(label, style));
            self.click_targets.push((spot, ClickTarget::Screen(screen)));
            x += spot.width + gap as u16;
        }
        if let Some(view) = &self.view {
            let digest: String = view.texts_digest.chars().filter(char::is_ascii_hexdigit).take(6).collect();
            let (id, variant) = (escape(&view.config_id), escape(&view.observation_variant));
            let whole = (!digest.is_empty()).then(|| format!("config {id} {digest} · {variant} "));
            let room = Rect { x, width: area.right().saturating_sub(x), ..area };
            let fits = |text: &String| width(text) <= usize::from(room.width);
            if let Some(text) = whole.into_iter().chain([format!("config {id} · {variant} ")]).find(fits) {
                draw_text(frame, room, Line::styled(text, self.theme.dim).right_aligned());
            }
        }
    }

    fn draw_pane_tabs(&mut self, frame: &mut Frame<'_>, area: Rect, here: &[usize]) {
        let mut x = area.x + 1;
        let whole: usize = here.iter().map(|index| width(PANES[*index].title) + 4).sum();
        for index in here {
            let row = &PANES[*index];
            let active = *index == self.focused_pane();
            // Titles that do not fit are cut to their first word.
            let first = row.title.split(' ').next().unwrap_or_default();
            let title = if whole < usize::from(area.width) { row.title } else { first };
            let name = if active { format!(" {title} ") } else { format!(" {} {title} ", row.key) };
            let spot = Rect { x, width: (width(&name) as u16).min(area.right().saturating_sub(x)), ..area };
            let style = if active { self.theme.title_focused } else { self.theme.dim };
            let name = if active { format!("▸{}", &name[1..]) } else { name };
            draw_text(frame, spot, Span::styled(name, style));
            self.click_targets.push((spot, ClickTarget::Pane(*index)));
            x += spot.width;
        }
    }
}

/// The areas of the panes and of the console line below them.
fn below_the_panes(body: Rect, rows: u16) -> [Rect; 2] {
    let [upper, lower] = Layout::vertical([Constraint::Fill(1), Constraint::Length(rows)]).areas(body);
    [upper, Rect { x: lower.x + 1, width: lower.width.saturating_sub(2), ..lower }]
}

/// The policy, and whether it was learned.
fn policy_part(view: &Snapshot, theme: &Theme) -> Vec<Span<'static>> {
    let kind = match (view.policy.kind.as_str(), &view.policy.outside_range) {
        ("network", None) => " (learned)",
        ("network", Some(_)) => " (learned, outside its range)",
        _ => "",
    };
    let id = Span::styled(format!("{}{kind}", clip(&view.policy.id, 24)), theme.text);
    vec![Span::styled("policy ", theme.dim), id]
}

/// The last known speed of a shard that is not heard.
fn last_speed(view: &Snapshot, theme: &Theme) -> Span<'static> {
    let last = speed(view, theme);
    Span::styled(format!("? was {}", last.content.trim_start_matches(['‖', '▶', ' '])), theme.dim)
}

pub(crate) const fn role_word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "VIEWER",
        Role::Admin => "ADMIN",
    }
}

fn speed(view: &Snapshot, theme: &Theme) -> Span<'static> {
    if let Some(Stepping { done, total }) = &view.clock.stepping {
        let text = format!("‖ STEPPING {} of {}", thousands(*done), thousands(*total));
        return Span::styled(text, theme.warn);
    }
    match view.clock.speed.as_str() {
        "paused" => Span::styled("‖ PAUSED", theme.warn),
        other => Span::styled(format!("▶ {}", escape(&other.replace('x', "×").replace("ma×", "max"))), theme.good),
    }
}
