//! Perturbations: active, pending, in cooldown and possible ones, with keys to start and end them. Rule: "Perturbations", "Operator actions".

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::export::Record;
use crate::format::{clip, duration, moment, pad, percent, thousands, time_of};
use crate::keymap::Action;
use crate::list::{ListContent, ListPane, ListView};
use crate::pane::{Confirmation, Context, DetailCard, KeyHint, Reaction};
use townlet_wire::Request;
use townlet_wire::escape;
use townlet_wire::telemetry::{Perturbation, PerturbationEvent};

/// Column widths. The kind is dropped on narrow screens.
const NAME: usize = 18;
const KIND: usize = 15;
const STATE: usize = 10;
const WHEN: usize = 34;
const ROOM_FOR_KIND: usize = 96;

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

/// `43 m to 1 h 26 m`. A meeting has the time to walk there in addition, which depends on who is invited.
fn lasts(event: &PerturbationEvent, per_day: u64) -> String {
    let walk = if event.kind == "arranged_meet" { ", and the time that both need to walk there" } else { "" };
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
    DetailCard { title: format!("Perturbation: {}", escape(item.name)), lines }
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

fn row(item: Item<'_>, selected: bool, columns: usize, cx: &Context<'_>) -> Line<'static> {
    let theme = cx.theme;
    let (sign, style) = item.style(cx);
    let kind = if columns >= ROOM_FOR_KIND { KIND } else { 0 };
    let rest = columns.saturating_sub(4 + NAME + kind + STATE + WHEN);
    let cells = [
        (if selected { "▸" } else { " " }.to_owned(), theme.accent),
        (format!("{sign} "), style),
        (pad(&clip(item.name, NAME - 1), NAME), theme.text),
        (pad(&item.kind.replace('_', " "), kind), theme.dim),
        (pad(item.state, STATE), style),
        (pad(&item.when(cx), WHEN), theme.text),
        (format!(" {}", pad(item.detail, rest)), theme.dim),
    ];
    cx.cells(selected, cells)
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
        vec![
            ("name", item.name.to_owned()),
            ("kind", item.kind.to_owned()),
            ("state", item.state.to_owned()),
            ("started_tick", item.occurring.map_or_else(String::new, |it| it.started_tick.to_string())),
            ("ends_tick", item.occurring.and_then(|it| it.ends_tick).map_or_else(String::new, |tick| tick.to_string())),
            ("chance_per_day", item.event.map_or_else(String::new, |event| event.chance.to_string())),
            ("detail", item.detail.to_owned()),
        ]
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, mut view: ListView<'_, Item<'_>>, cx: &Context<'_>) {
        let rows = [Constraint::Length(1), Constraint::Length(1), Constraint::Length(1), Constraint::Fill(1)];
        let [upper, _, titles, table] = Layout::vertical(rows).areas(area);
        frame.render_widget(head(cx), upper);
        if view.items.is_empty() {
            let none = ("No perturbations.", "The perturbation file has no events. Use :blackout on or :outage on.");
            return cx.draw_no_items(frame, table, "perturbations", none);
        }
        let kind = if usize::from(area.width) >= ROOM_FOR_KIND { KIND } else { 0 };
        let text = format!(
            "   {}{}{}{} what",
            pad("perturbation", NAME),
            pad("kind", kind),
            pad("state", STATE),
            pad("when", WHEN)
        );
        frame.render_widget(Line::styled(clip(&text, area.width.into()), cx.theme.dim), titles);
        view.draw(frame, table, cx, |item, selected| row(*item, selected, area.width.into(), cx));
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
