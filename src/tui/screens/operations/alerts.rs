//! Active alerts, then narrated events, newest first.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use crate::export::{Export, Record, record};
use crate::format::{clock, other_day, pad, thousands, wrap_within};
use crate::keymap::Action;
use crate::list::List;
use crate::pane::{Context, DetailCard, KeyHint, Pane, Reaction, pane_block};
use crate::text_drawing::draw_text;
use crate::theme::Theme;
use townlet_wire::telemetry::{Alert, Narration};
use townlet_wire::{Request, command_line, escape};

/// The Alerts and events pane. Until the operator moves the selection, the newest entry is selected.
#[derive(Default)]
pub(crate) struct Alerts {
    list: List,
    /// Whether the operator moved the selection.
    pinned: bool,
    rows: Rect,
    /// The entry of every drawn row.
    owners: Vec<usize>,
}

/// Rows of an entry at most; its card has the whole text.
const MAX_ROWS: usize = 3;

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
            Self::Alert(alert) => {
                let seen = alert.acknowledged_by.as_ref().map_or_else(String::new, |who| format!(" ✓ seen by {who}"));
                format!("{}. {}{seen}", alert.message.trim_end_matches('.'), alert.hint)
            }
            Self::Narration(story) => story.text.clone(),
        }
    }

    fn rows(self, columns: usize) -> Vec<String> {
        wrap_within(&self.text(), columns, MAX_ROWS)
    }

    fn style(self, theme: &Theme) -> (ratatui::style::Style, &'static str) {
        match self {
            Self::Alert(alert) if alert.acknowledged_by.is_some() => (theme.dim, theme.severity(&alert.severity).1),
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

    /// Whether the selected alert can be acknowledged, or why not.
    fn acknowledgeable(&self, cx: &Context<'_>) -> Result<(), String> {
        let ids = Self::ids(cx);
        let row = if self.pinned { self.list.selected(&ids) } else { 0 };
        match Self::shown(cx).get(row) {
            Some(Item::Alert(alert)) if alert.acknowledged_by.is_some() => {
                Err("it is marked as seen already".to_owned())
            }
            Some(Item::Alert(_)) => cx.check_allowed(ACKNOWLEDGE),
            _ => Err("no alert is selected".to_owned()),
        }
    }

    /// The selected and the first visible row. A selected entry that is gone releases the selection.
    fn update_selection(&mut self, ids: &[String]) -> (usize, usize) {
        self.pinned &= self.list.id().is_some_and(|id| ids.iter().any(|other| other == id));
        if !self.pinned {
            self.list.select(ids, 0);
        }
        self.list.update(ids, self.rows)
    }
}

/// Command that acknowledges an alert.
const ACKNOWLEDGE: &str = "alert_ack";
/// Its argument for what the alert said.
const SEEN: &str = "seen";
/// Alerts that name or count residents.
const ABOUT_RESIDENTS: [&str; 3] = ["exit_queue_overflow", "exit_cap_reached", "starvation"];

/// The line that acknowledges an alert. An alert about residents is acknowledged for those whom the screen names or counts: the shard
/// refuses it when there are others by now.
fn acknowledgement(alert: &Alert, cx: &Context<'_>) -> String {
    let line = format!("{ACKNOWLEDGE} {}", alert.name);
    let spec = cx.commands.iter().find(|spec| spec.name == ACKNOWLEDGE);
    let is_known = spec.is_some_and(|spec| spec.args.iter().any(|arg| arg.name == SEEN));
    let fits = alert.message.chars().count() <= command_line::MAX_TEXT;
    if is_known && fits && ABOUT_RESIDENTS.contains(&alert.name.as_str()) {
        let message = alert.message.replace('\\', "\\\\").replace('"', "\\\"");
        return format!("{line} --{SEEN} \"{message}\"");
    }
    line
}

/// Time of day, or the day if it is not today.
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
    let fact = |label: &str, value: &str| DetailCard::fact(label, value, 10, theme);
    let day = item.tick() / per_day.max(1) + 1;
    let when = format!("day {day} · {} · tick {}", clock(item.tick(), per_day), thousands(item.tick()));
    let seen = |alert: &Alert| match (&alert.acknowledged_by, alert.acknowledged_tick) {
        (Some(who), Some(tick)) => format!("by {who} at tick {}", thousands(tick)),
        _ => "by nobody".to_owned(),
    };
    let (title, lines) = match item {
        Item::Alert(alert) => (
            "Alert",
            vec![
                fact("alert", &alert.name.replace('_', " ")),
                fact("severity", &alert.severity),
                fact("since", &when),
                fact("message", &alert.message),
                fact("action", &alert.hint),
                fact("seen", &seen(alert)),
            ],
        ),
        Item::Narration(story) => (
            "Event",
            vec![fact("when", &when), fact("category", &story.category.replace('_', " ")), fact("text", &story.text)],
        ),
    };
    DetailCard { title: title.into(), lines, live: false }
}

impl Pane for Alerts {
    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, cx: &Context<'_>) {
        let off = cx.view.transport.narration_off;
        let title = if off { "Alerts and events · narration off" } else { "Alerts and events" };
        let block = pane_block(title, area.width, cx.focused, cx.theme);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let items = Self::shown(cx);
        if items.is_empty() {
            self.rows = Rect::ZERO;
            let none = if off {
                ("No alerts.", "Narration is off: no sentences about events. `narration on` switches it on.")
            } else {
                ("No alerts and no events.", "Events appear while the town runs.")
            };
            return cx.draw_no_items(frame, inner, "alerts or events", none);
        }
        self.rows = inner;
        let (at, mut first) = self.update_selection(&Self::ids(cx));
        // The widest time aligns all texts.
        let times: Vec<String> = items.iter().map(|item| time(item.tick(), cx)).collect();
        let wide = times.iter().map(String::len).max().unwrap_or(0);
        let columns = usize::from(inner.width).saturating_sub(wide + 5);
        let rows = |item: &Item<'_>| item.rows(columns).len();
        // Entries may take several rows; the selected one must be visible.
        while first < at && items[first..=at].iter().map(rows).sum::<usize>() > usize::from(inner.height) {
            first += 1;
        }
        self.owners.clear();
        let mut lines: Vec<Line<'static>> = Vec::new();
        for (index, item) in items.iter().enumerate().skip(first) {
            let (style, sign) = item.style(cx.theme);
            let selected = index == at && cx.focused;
            let (dim, style) = if selected { (cx.theme.selected, cx.theme.selected) } else { (cx.theme.dim, style) };
            for (row, text) in item.rows(columns).into_iter().enumerate() {
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
        draw_text(frame, inner, lines);
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Reaction {
        let ids = Self::ids(cx);
        let (row, _) = self.update_selection(&ids);
        match (action, Self::shown(cx).get(row)) {
            (Action::Open, Some(item)) => Reaction::ShowDetail(card(*item, cx)),
            (Action::Copy, Some(item)) => Reaction::Copy(escape(&item.text())),
            (Action::Acknowledge, Some(Item::Alert(alert))) => {
                Reaction::Send(vec![Request::line(acknowledgement(alert, cx))])
            }
            _ => {
                let moved = self.list.act(action, &ids);
                // Selecting the first line follows the newest entry again.
                self.pinned = self.list.id() != ids.first().map(String::as_str);
                moved
            }
        }
    }

    fn click(&mut self, column: u16, row: u16, cx: &Context<'_>) -> Reaction {
        let inside = self.rows.contains(Position::new(column, row));
        let owner = self.owners.get(usize::from(row.saturating_sub(self.rows.y))).filter(|_| inside);
        let Some(owner) = owner else { return Reaction::None };
        self.pinned = *owner > 0;
        self.list.select(&Self::ids(cx), *owner)
    }

    fn select(&mut self, id: &str, cx: &Context<'_>) {
        let ids = Self::ids(cx);
        if let Some(row) = ids.iter().position(|other| other == id) {
            self.pinned = row > 0;
            self.list.select(&ids, row);
        }
    }

    fn export(&self, cx: &Context<'_>) -> Export {
        let row = |item: Item<'_>| -> Record {
            let (kind, level, text) = match item {
                Item::Alert(alert) => (alert.name.clone(), alert.severity.clone(), alert.message.clone()),
                Item::Narration(story) => (story.category.clone(), story.priority.clone(), story.text.clone()),
            };
            let what = if matches!(item, Item::Alert(_)) { "alert" } else { "event" };
            let tick = item.tick().to_string();
            let seen = match item {
                Item::Alert(alert) => alert.acknowledged_by.clone().unwrap_or_default(),
                Item::Narration(_) => String::new(),
            };
            let what = what.to_owned();
            record([
                ("what", what),
                ("tick", tick),
                ("kind", kind),
                ("level", level),
                ("text", text),
                ("seen by", seen),
            ])
        };
        Export { rows: Self::shown(cx).into_iter().map(row).collect(), chart: None }
    }

    fn bindings(&self, cx: &Context<'_>) -> Vec<KeyHint> {
        let some = cx.require_row(!Self::shown(cx).is_empty(), "no alerts and no events");
        vec![
            KeyHint::new(Action::Up, "select"),
            KeyHint::new(Action::Down, "select"),
            KeyHint::when(Action::Acknowledge, "mark as seen", self.acknowledgeable(cx)),
            KeyHint::when(Action::Open, "read", some.clone()),
            KeyHint::when(Action::Copy, "copy", some),
        ]
    }
}
