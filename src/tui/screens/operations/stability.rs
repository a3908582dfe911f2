//! Stability windows, the checks of the open window, and the state of the promotion. Rule: "Stability, promotion, rollback".

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use crate::chart;
use crate::export::{Record, record};
use crate::format::{bar, clip, count, pad, percent, samples, scale_of, spark_on, thousands, width};
use crate::keymap::Action;
use crate::list::{ListContent, ListPane, ListView};
use crate::pane::{Context, DetailCard, KeyHint, Reaction};
use crate::screens::promotion;
use crate::table::{Column, EXTRA, FittedColumns, REST, Table};
use crate::text_drawing::draw_text;
use townlet_wire::escape;
use townlet_wire::telemetry::{Check, Window};

pub(crate) type Stability = ListPane<CheckList>;

/// The checks of the open window.
#[derive(Default)]
pub(crate) struct CheckList;

/// Value of a check with its unit, or a dash.
fn value(check: &Check) -> String {
    match (check.value, check.unit.as_str()) {
        (None, _) => "–".to_owned(),
        (Some(value), "ratio") => percent(value),
        (Some(value), "count") => format!("{value:.0}"),
        (Some(value), _) => format!("{value:.2}"),
    }
}

fn letter(verdict: &str) -> &'static str {
    match verdict {
        "green" => "G",
        "red" => "R",
        _ => "?",
    }
}

/// Closed windows as letters, and the streak. The oldest letters are dropped if there is no space.
fn windows(cx: &Context<'_>, columns: u16) -> Line<'static> {
    let stability = &cx.view.stability;
    let streak = format!("  streak {} green · {} required", stability.streak, stability.required_passes);
    let letters = (usize::from(columns).saturating_sub(8 + width(&streak)) / 4).min(12);
    let mut spans = vec![Span::styled(" past   ", cx.theme.dim)];
    if stability.windows.is_empty() {
        spans.push(Span::styled("none yet", cx.theme.dim));
    }
    for window in stability.windows.iter().rev().take(letters).rev() {
        let (style, _) = cx.theme.verdict(&window.verdict);
        spans.push(Span::styled(
            format!(" {} ", letter(&window.verdict)),
            style.add_modifier(Modifier::REVERSED | Modifier::BOLD),
        ));
        spans.push(Span::raw(" "));
    }
    let style = if stability.streak >= stability.required_passes { cx.theme.good } else { cx.theme.text };
    spans.push(Span::styled(streak, style));
    Line::from(spans)
}

fn progress(cx: &Context<'_>, columns: u16) -> Line<'static> {
    let stability = &cx.view.stability;
    let wide = if columns > 76 { 24 } else { 10 };
    Line::from(vec![
        Span::styled(" window ", cx.theme.dim),
        Span::styled(thousands(stability.window), cx.theme.strong),
        Span::raw("  "),
        Span::styled(bar(stability.window_progress as f64, stability.window_ticks as f64, wide), cx.theme.chart),
        Span::styled(
            format!("  {} of {} ticks", thousands(stability.window_progress), thousands(stability.window_ticks)),
            cx.theme.dim,
        ),
    ])
}

/// Promotion: path, release and candidate, evidence.
fn promotion(cx: &Context<'_>, columns: u16) -> Vec<Line<'static>> {
    let (promotion, theme) = (&cx.view.promotion, cx.theme);
    let release = if promotion.release.is_empty() { &cx.view.policy.id } else { &promotion.release };
    let mut names = vec![Span::styled(" release ", theme.dim), Span::styled(clip(release, 18), theme.strong)];
    if let Some(candidate) = &promotion.candidate {
        names.push(Span::styled("   candidate ", theme.dim));
        names.push(Span::styled(clip(candidate, 18), theme.strong));
    }
    let mut lines = vec![promotion::path(cx, columns.into()), Line::from(names)];
    if let Some(evidence) = &promotion.evidence {
        let mut spans = vec![Span::raw(" ")];
        spans.extend(promotion::verdict(evidence, theme));
        spans.push(Span::styled(format!("  {}", count(evidence.pairs, "pair")), theme.dim));
        lines.push(Line::from(spans));
        if !evidence.safety.is_empty() {
            let signs = promotion::safety_signs(evidence, theme);
            lines.push(Line::from(std::iter::once(Span::raw(" ")).chain(signs).collect::<Vec<_>>()));
        }
    }
    lines
}

/// Values of a check in the closed windows and the open one.
fn trend(check: &Check, cx: &Context<'_>) -> Vec<f64> {
    let value = |check: &Check| check.value.unwrap_or(f64::NAN);
    let of = |window: &Window| window.checks.iter().find(|other| other.name == check.name).map_or(f64::NAN, value);
    // Windows without enough data keep their place.
    let trend = cx.view.stability.windows.iter().map(of).chain([value(check)]);
    trend.skip_while(|value| value.is_nan()).collect()
}

/// The columns of the checks.
static TABLE: Table = Table {
    name: "Stability",
    columns: &[
        Column::text("check", 8, 20, 0),
        Column::number("now", 7, 9, 0).of(&["value", "unit"]),
        Column::text("limit", 6, 18, 1).of(&["threshold", "limit"]),
        Column::text("trend or samples", 6, REST, 2),
        Column::number("samples", 12, 14, EXTRA).of(&["samples", "samples_required"]),
    ],
};

fn row(check: &Check, selected: bool, cx: &Context<'_>, columns: &FittedColumns) -> Line<'static> {
    let theme = cx.theme;
    let (style, sign) = theme.verdict(&check.verdict);
    let cell = |head: &str, width: usize| match head {
        "check" => (check.name.replace('_', " "), theme.text),
        "now" => (value(check), style),
        "limit" => (check.limit.clone(), theme.dim),
        // Said in place of the trend.
        "samples" if check.value.is_none() && columns.width("trend or samples") > 0 => (String::new(), theme.dim),
        "samples" => (format!("{}/{}", thousands(check.samples), thousands(check.samples_required)), theme.dim),
        _ if check.value.is_none() => (samples(check.samples, check.samples_required, width), theme.dim),
        _ => (spark_on(&trend(check, cx), width, scale_of(&check.unit)), theme.chart),
    };
    columns
        .row(vec![(format!(" {sign} "), style)], selected.then(|| cx.row(true)), |head, width| cell(head, width).into())
}

/// Closed windows, newest first, with their failed checks.
fn closed(cx: &Context<'_>) -> Vec<Line<'static>> {
    let theme = cx.theme;
    let line = |window: &Window| {
        let (style, _) = theme.verdict(&window.verdict);
        let broken: Vec<String> = window
            .checks
            .iter()
            .filter(|check| check.verdict == "breach")
            .map(|check| format!("{} {}", check.name.replace('_', " "), value(check)))
            .collect();
        let why = match (broken.is_empty(), window.verdict.as_str()) {
            (false, _) => broken.join(", "),
            (true, "green") => "all checks passed".to_owned(),
            (true, _) => "not enough data, or a gap".to_owned(),
        };
        Line::from(vec![
            Span::styled(format!(" {} ", letter(&window.verdict)), style),
            Span::styled(pad(&format!("window {}", thousands(window.number)), 14), theme.text),
            Span::styled(pad(&format!("tick {}", thousands(window.end_tick)), 16), theme.dim),
            Span::styled(escape(&why), theme.dim),
        ])
    };
    cx.view.stability.windows.iter().rev().map(line).collect()
}

fn card(check: &Check, windows: &[Window], cx: &Context<'_>) -> DetailCard {
    let theme = cx.theme;
    let fact = |label: &str, value: String| DetailCard::fact(label, &value, 10, theme);
    let mut lines = vec![
        fact("now", format!("{}   limit {}", value(check), check.limit)),
        fact("verdict", check.verdict.replace('_', " ")),
        fact("samples", format!("{} of {} required", thousands(check.samples), thousands(check.samples_required))),
        Line::default(),
        Line::styled("Closed windows", theme.head),
    ];
    if windows.is_empty() {
        lines.push(Line::styled("None yet.", theme.dim));
    }
    for window in windows.iter().rev() {
        let Some(then) = window.checks.iter().find(|other| other.name == check.name) else { continue };
        let (style, sign) = theme.verdict(&then.verdict);
        lines.push(Line::from(vec![
            Span::styled(
                format!("window {:<5} tick {:<8}", thousands(window.number), thousands(window.end_tick)),
                theme.dim,
            ),
            Span::styled(format!("{sign} {:>8}", value(then)), style),
            Span::styled(format!("   window {}", escape(&window.verdict)), theme.dim),
        ]));
    }
    DetailCard { title: format!("Check: {}", escape(&check.name).replace('_', " ")), lines, live: true }
}

impl ListContent for CheckList {
    type Item<'a> = &'a Check;
    const TITLE: &'static str = "Stability";

    fn items<'a>(&self, cx: &Context<'a>) -> Vec<&'a Check> {
        cx.view.stability.checks.iter().filter(|check| cx.matches(&[&check.name, &check.verdict])).collect()
    }

    fn id(check: &&Check) -> String {
        check.name.clone()
    }

    fn record(check: &&Check, _cx: &Context<'_>) -> Record {
        record([
            ("check", check.name.clone()),
            ("value", check.value.map_or_else(String::new, |value| value.to_string())),
            ("unit", check.unit.clone()),
            ("limit", check.limit.clone()),
            ("threshold", check.threshold.to_string()),
            ("verdict", check.verdict.clone()),
            ("samples", check.samples.to_string()),
            ("samples_required", check.samples_required.to_string()),
        ])
    }

    fn is_about_item(action: Action) -> bool {
        !matches!(action, Action::Promote | Action::Rollback)
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, mut view: ListView<'_, &Check>, cx: &Context<'_>) {
        let checks = view.items.len() as u16;
        let spaced = u16::from(area.height > checks + 4);
        let line = |y: u16, height: u16| Rect { y: area.y + y, height, ..area }.intersection(area);
        draw_text(frame, line(0, 2), vec![progress(cx, area.width), windows(cx, area.width)]);
        let mut foot = promotion(cx, area.width);
        let rows = area.height.saturating_sub(2 + 2 * spaced + checks).clamp(1, foot.len() as u16);
        foot.truncate(rows.into());
        let table = line(2 + spaced, area.height.saturating_sub(2 + rows + 2 * spaced));
        draw_text(frame, line(area.height.saturating_sub(rows), rows), foot);
        if checks == 0 {
            let none = ("No checks yet.", "They start with the first window.");
            return cx.draw_no_items(frame, table, "checks", none);
        }
        let widest = |text: fn(&Check) -> &str| view.items.iter().map(|check| width(text(check))).max().unwrap_or(0);
        let contents = [("check", widest(|check| &check.name)), ("limit", widest(|check| &check.limit))];
        let columns = TABLE.fit(cx.layouts, usize::from(area.width).saturating_sub(4), &contents);
        view.draw(frame, table, cx, |check, selected| row(check, selected && cx.focused, cx, &columns));
        let used = checks + 1;
        if table.height > used + 1 {
            let rest = Rect { y: table.y + used, height: table.height - used, ..table };
            let closed = closed(cx);
            let free = rest.height.saturating_sub(closed.len() as u16 + 1);
            let chart = Rect { y: rest.bottom() - free, height: free, ..rest };
            draw_text(frame, rest, closed);
            if let Some(check) = view.selected().filter(|_| free >= chart::WORTHWHILE.0) {
                chart::draw_metric(frame, chart, &format!("stability.{}", check.name), cx);
            }
        }
    }

    fn table(&self) -> Option<&'static Table> {
        Some(&TABLE)
    }

    fn act(&mut self, action: Action, view: &mut ListView<'_, &Check>, cx: &Context<'_>) -> Option<Reaction> {
        match action {
            Action::Open => {
                view.selected().map(|check| Reaction::ShowDetail(card(check, &cx.view.stability.windows, cx)))
            }
            Action::Copy => view
                .selected()
                .map(|check| Reaction::Copy(format!("{} {} (limit {})", check.name, value(check), check.limit))),
            _ => promotion::act(action, cx),
        }
    }

    fn bindings(&self, selected: Option<&&Check>, cx: &Context<'_>) -> Vec<KeyHint> {
        let [promote, rollback] = promotion::hints(cx);
        let some = cx.require_row(selected.is_some(), "no checks");
        vec![
            KeyHint::when(Action::Open, "past windows", some.clone()),
            promote,
            rollback,
            KeyHint::when(Action::Copy, "copy", some),
        ]
    }
}
