//! Perturbations: active, pending, in cooldown and possible ones, with keys to start and end them. Rule: "Perturbations", "Operator actions".

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::export::{Record, record};
use crate::format::{self, clip, duration, moment, pad, percent, thousands, time_of};
use crate::keymap::Action;
use crate::list::{ListContent, ListPane, ListView};
use crate::pane::{Confirmation, Context, DetailCard, KeyHint, Reaction};
use crate::table::{Column, EXTRA, FittedColumns, REST, Table};
use crate::text_drawing::{draw_text, wrapped};
use townlet_wire::Request;
use townlet_wire::escape;
use townlet_wire::telemetry::{Perturbation, PerturbationEvent};

/// The columns.
static TABLE: Table = Table {
    name: "Perturbations",
    columns: &[
        Column::text("perturbation", 12, 24, 0).of(&["name"]),
        Column::text("kind", 13, 15, 3),
        Column::text("state", 8, 9, 1),
        Column::text("when", 20, 34, 0).of(&["started_tick", "ends_tick"]),
        Column::text("what", 12, REST, 2).of(&["detail"]),
        Column::number("chance", 6, 6, EXTRA).of(&["chance_per_day"]),
        Column::text("duration", 32, 32, EXTRA),
    ],
};

/// Rows below the table that are worth the day and the selected event.
const MIN_ROWS_BELOW: u16 = 8;
/// Columns that are worth the line of the day.
const MIN_COLUMNS_TODAY: usize = 48;
/// Width of a name beside it.
const NAME_TODAY: usize = 16;

pub(crate) type PerturbationsPane = ListPane<Perturbations>;

/// Occurring perturbations, then the possible events.
#[derive(Default)]
pub(crate) struct Perturbations;

/// An occurring perturbation, or an event of the perturbation file that may occur.
#[derive(Clone, Copy)]
pub(crate) struct Item<'a> {
    name: &'a str,
    kind: &'a str,
    state: &'a str,
    detail: &'a str,
    occurring: Option<&'a Perturbation>,
    /// Number among the occurrences of this name: one event can be active and in cooldown at the same time.
    nth: usize,
    /// The event of the perturbation file that this is or was.
    event: Option<&'a PerturbationEvent>,
}

impl Item<'_> {
    /// When it ends, starts or may occur again.
    fn when(self, cx: &Context<'_>) -> String {
        let Some(perturbation) = self.occurring else {
            let chance = self.event.filter(|_| cx.view.perturbation_events.by_themselves).map(|event| event.chance);
            return chance
                .map_or_else(|| "by command only".to_owned(), |chance| format!("{} per day", percent(chance)));
        };
        match (perturbation.state.as_str(), perturbation.ends_tick) {
            ("active", None) => "until ended by command".to_owned(),
            ("active", Some(tick)) => format!("ends {}", moment(tick, cx.view)),
            ("pending", _) if perturbation.detail.contains("held: ") => "held".to_owned(),
            ("pending", _) => format!("starts {}", moment(perturbation.started_tick, cx.view)),
            (_, Some(tick)) => format!("again {}", moment(tick, cx.view)),
            (_, None) => "–".to_owned(),
        }
    }

    fn style(self, cx: &Context<'_>) -> (&'static str, Style) {
        match self.state {
            "active" => ("!", cx.theme.warn),
            "pending" => ("…", cx.theme.accent),
            _ => (" ", cx.theme.dim),
        }
    }
}

/// The command that ends it: an event is cancelled, a manual blackout or outage is switched off.
fn end_command(item: Item<'_>, cx: &Context<'_>) -> Result<String, String> {
    if !matches!(item.state, "active" | "pending") {
        return Err(format!("`{}` is neither active nor pending", escape(item.name)));
    }
    if item.event.is_some() {
        cx.check_allowed("perturbation_cancel")?;
        return Ok(format!("perturbation_cancel {}", item.name));
    }
    match item.kind {
        switch @ ("blackout" | "outage") => cx.check_allowed(switch).map(|()| format!("{switch} off")),
        _ => Err(format!("`{}` is not an event of the perturbation file; it ends by itself", escape(item.name))),
    }
}

fn start_confirmation(item: Item<'_>, cx: &Context<'_>) -> Result<Confirmation, String> {
    cx.check_allowed("perturbation_trigger")?;
    let event =
        item.event.ok_or_else(|| format!("`{}` is not an event of the perturbation file", escape(item.name)))?;
    let mut occurring = cx.view.perturbations.iter().filter(|perturbation| perturbation.name == event.name);
    if occurring.any(|perturbation| perturbation.state == "active") {
        return Err(format!("`{}` is already active", escape(&event.name)));
    }
    let per_day = cx.view.clock.ticks_per_day;
    Ok(Confirmation {
        title: "Start perturbation".into(),
        text: vec![
            format!("{} starts on the next tick, regardless of cooldowns: {}.", event.name, event.detail),
            format!("Duration: {}.", lasts(event, per_day)),
        ],
        verb: "start".into(),
        requests: vec![Request::line(format!("perturbation_trigger {}", event.name))],
        ..Confirmation::default()
    })
}

/// `43 m to 1 h 26 m`. How long a meeting lasts depends on who is invited: the time to walk there is part of it.
fn lasts(event: &PerturbationEvent, per_day: u64) -> String {
    let walk = if event.kind == "arranged_meet" { " with the walk" } else { "" };
    format!("{} to {}{walk}", duration(event.least_ticks, per_day), duration(event.most_ticks, per_day))
}

fn card(item: Item<'_>, cx: &Context<'_>) -> DetailCard {
    let fact = |name: &str, value: &str| DetailCard::fact(name, value, 10, cx.theme);
    let mut lines = vec![
        fact("kind", &item.kind.replace('_', " ")),
        fact("state", &format!("{}, {}", item.state, item.when(cx))),
        fact("what", item.detail),
    ];
    if let Some(perturbation) = item.occurring.filter(|perturbation| perturbation.state != "pending") {
        let since =
            format!("{} · tick {}", time_of(perturbation.started_tick, cx.view), thousands(perturbation.started_tick));
        lines.insert(2, fact("since", &since));
    }
    if let Some(event) = item.event {
        let per_day = cx.view.clock.ticks_per_day;
        lines.extend([
            fact("duration", &lasts(event, per_day)),
            fact("chance", &format!("{} per day", percent(event.chance))),
        ]);
    }
    DetailCard { title: format!("Perturbation: {}", escape(item.name)), lines, live: true }
}

fn head(cx: &Context<'_>) -> Line<'static> {
    let (view, theme) = (cx.view, cx.theme);
    let of = |state: &str| view.perturbations.iter().filter(|perturbation| perturbation.state == state).count() as u64;
    let (word, style) = if view.perturbation_events.by_themselves {
        ("on: perturbations occur automatically", theme.text)
    } else {
        ("OFF", theme.warn)
    };
    Line::from(vec![
        Span::styled(format!(" {word}"), style),
        Span::styled(format!("  {} active", of("active")), if of("active") > 0 { theme.warn } else { theme.dim }),
        Span::styled(format!(" · {} pending", of("pending")), theme.dim),
    ])
}

/// What occurs today on a line of the day each: `━` while it is active, `◇` where it is expected, `▼` now.
fn today(cx: &Context<'_>, columns: usize) -> Vec<Line<'static>> {
    let (view, theme) = (cx.view, cx.theme);
    let per_day = view.clock.ticks_per_day.max(1);
    let begin = view.tick - view.tick % per_day;
    let wide = columns.saturating_sub(NAME_TODAY + 2).min(96);
    let place = |tick: u64| (tick.saturating_sub(begin).min(per_day - 1) * wide as u64 / per_day) as usize;
    let hours = format!("{}00:00{}12:00", " ".repeat(NAME_TODAY + 2), " ".repeat((wide / 2).saturating_sub(5)));
    let mut lines = vec![Line::styled(format!("Today {}", &hours[6..]), theme.head)];
    let occurring = view.perturbations.iter().filter(|it| matches!(it.state.as_str(), "active" | "pending"));
    for it in occurring {
        let pending = it.state == "pending";
        let (from, to) = (place(it.started_tick), place(it.ends_tick.unwrap_or(begin + per_day)));
        let sign = |column: usize| match column {
            _ if column == place(view.tick) => ("▼", theme.accent),
            _ if pending && column == from => ("◇", theme.accent),
            _ if !pending && (from..=to).contains(&column) => ("━", theme.warn),
            _ => ("┄", theme.border),
        };
        let name = Span::styled(format!("{}  ", pad(&it.name, NAME_TODAY)), theme.text);
        let signs = (0..wide).map(sign).map(|(sign, style)| Span::styled(sign, style));
        lines.push(std::iter::once(name).chain(signs).collect());
    }
    if lines.len() == 1 {
        lines.push(Line::styled("nothing is active or expected", theme.dim));
    }
    lines
}

fn cell(item: Item<'_>, head: &str, cx: &Context<'_>) -> (String, Style) {
    let theme = cx.theme;
    let per_day = cx.view.clock.ticks_per_day;
    let dash = || "–".to_owned();
    match head {
        "perturbation" => (item.name.to_owned(), theme.text),
        "kind" => (item.kind.replace('_', " "), theme.dim),
        "state" => (item.state.to_owned(), item.style(cx).1),
        "when" => (item.when(cx), theme.text),
        "chance" => (item.event.map_or_else(dash, |event| percent(event.chance)), theme.dim),
        "duration" => (item.event.map_or_else(dash, |event| lasts(event, per_day)), theme.dim),
        _ => (item.detail.to_owned(), theme.dim),
    }
}

fn row(item: Item<'_>, selected: bool, columns: &FittedColumns, cx: &Context<'_>) -> Line<'static> {
    let (sign, style) = item.style(cx);
    let mark = if selected { "▸" } else { " " }.to_owned();
    let prefix = vec![(mark, cx.theme.accent), (format!("{sign} "), style)];
    columns.row(prefix, selected.then(|| cx.row(true)), |head, _| cell(item, head, cx).into())
}

impl ListContent for Perturbations {
    type Item<'a> = Item<'a>;
    const TITLE: &'static str = "Perturbations";

    fn items<'a>(&self, cx: &Context<'a>) -> Vec<Item<'a>> {
        let (perturbations, events) = (&cx.view.perturbations, &cx.view.perturbation_events.events);
        let occurring = perturbations.iter().enumerate().map(|(at, it)| Item {
            name: &it.name,
            kind: &it.kind,
            state: &it.state,
            detail: &it.detail,
            occurring: Some(it),
            nth: perturbations[..at].iter().filter(|earlier| earlier.name == it.name).count(),
            event: events.iter().find(|event| event.name == it.name),
        });
        let possible = events.iter().filter(|event| !perturbations.iter().any(|it| it.name == event.name));
        let possible = possible.map(|event| Item {
            name: &event.name,
            kind: &event.kind,
            state: "possible",
            detail: &event.detail,
            occurring: None,
            nth: 0,
            event: Some(event),
        });
        let fits = |item: &Item<'_>| cx.matches(&[item.name, item.kind, item.state, item.detail]);
        occurring.chain(possible).filter(fits).collect()
    }

    fn id(item: &Item<'_>) -> String {
        // Without the state, so that the selection stays when the event starts or ends.
        format!("{} {}", item.name, item.nth)
    }

    fn record(item: &Item<'_>, _cx: &Context<'_>) -> Record {
        record([
            ("name", item.name.to_owned()),
            ("kind", item.kind.to_owned()),
            ("state", item.state.to_owned()),
            ("started_tick", item.occurring.map_or_else(String::new, |it| it.started_tick.to_string())),
            ("ends_tick", item.occurring.and_then(|it| it.ends_tick).map_or_else(String::new, |tick| tick.to_string())),
            ("chance_per_day", item.event.map_or_else(String::new, |event| event.chance.to_string())),
            ("detail", item.detail.to_owned()),
        ])
    }

    fn is_about_item(action: Action) -> bool {
        action != Action::Switch
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, mut view: ListView<'_, Item<'_>>, cx: &Context<'_>) {
        let wanted = view.items.len().max(4) as u16;
        let rows = [1, 1, 1].map(Constraint::Length);
        let rows = [&rows[..], &[Constraint::Max(wanted), Constraint::Fill(1)]].concat();
        let [upper, _, titles, table, below] = Layout::vertical(rows).areas(area);
        draw_text(frame, upper, head(cx));
        if view.items.is_empty() {
            let none = ("No perturbations.", "The perturbation file has no events. Use :blackout on or :outage on.");
            return cx.draw_no_items(frame, table, "perturbations", none);
        }
        // No column is wider than what it holds, so that the description has the rest.
        let widest = |head| {
            let cells = view.items.iter().map(|item| format::width(&cell(*item, head, cx).0));
            (head, cells.max().unwrap_or(0))
        };
        let contents = ["perturbation", "when", "kind", "what"].map(widest);
        let columns = TABLE.fit(cx.layouts, usize::from(area.width).saturating_sub(3), &contents);
        draw_text(frame, titles, columns.heads(3, None, cx.theme));
        view.draw(frame, table, cx, |item, selected| row(*item, selected, &columns, cx));
        if let Some(item) = view.selected().filter(|_| below.height >= MIN_ROWS_BELOW) {
            let columns = usize::from(below.width).saturating_sub(2);
            let mut lines = Vec::new();
            if columns >= MIN_COLUMNS_TODAY {
                lines.extend(today(cx, columns));
                lines.push(Line::default());
            }
            lines.push(Line::styled(clip(item.name, columns), cx.theme.head));
            lines.extend(card(*item, cx).lines);
            let place = Rect { x: below.x + 1, y: below.y + 1, width: below.width - 2, height: below.height - 1 };
            draw_text(frame, place, wrapped(&lines, columns));
        }
    }

    fn table(&self) -> Option<&'static Table> {
        Some(&TABLE)
    }

    fn act(&mut self, action: Action, view: &mut ListView<'_, Item<'_>>, cx: &Context<'_>) -> Option<Reaction> {
        if action == Action::Switch {
            let word = if cx.view.perturbation_events.by_themselves { "off" } else { "on" };
            return Some(Reaction::Send(vec![Request::line(format!("perturbations {word}"))]));
        }
        let item = *view.selected()?;
        Some(match action {
            Action::Trigger => start_confirmation(item, cx).map_or_else(Reaction::Status, Reaction::Confirm),
            Action::Cancel => {
                end_command(item, cx).map_or_else(Reaction::Status, |line| Reaction::Send(vec![Request::line(line)]))
            }
            Action::Open => Reaction::ShowDetail(card(item, cx)),
            Action::Copy => Reaction::Copy(format!("{} ({}): {}, {}", item.name, item.kind, item.state, item.when(cx))),
            _ => return None,
        })
    }

    fn bindings(&self, selected: Option<&Item<'_>>, cx: &Context<'_>) -> Vec<KeyHint> {
        let selected = selected.copied().ok_or_else(|| "no perturbation is selected".to_owned());
        let some = selected.clone().map(|_| ());
        let begin = selected.clone().and_then(|item| start_confirmation(item, cx).map(|_| ()));
        let end = selected.and_then(|item| end_command(item, cx).map(|_| ()));
        let switch = if cx.view.perturbation_events.by_themselves { "automatic off" } else { "automatic on" };
        vec![
            KeyHint::when(Action::Trigger, "begin", begin),
            KeyHint::when(Action::Cancel, "end", end),
            KeyHint::when(Action::Switch, switch, cx.check_allowed("perturbations")),
            KeyHint::when(Action::Open, "details", some.clone()),
            KeyHint::when(Action::Copy, "copy", some),
        ]
    }
}
