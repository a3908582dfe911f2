//! The release candidate: path of the promotion, evidence, blockers and history. Rule: "Stability, promotion, rollback".

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::export::{Record, record};
use crate::format::{clip, count, fact, pad, thousands, time_of, width, wrap};
use crate::keymap::Action;
use crate::list::{ListContent, ListPane, ListView};
use crate::pane::{Context, DetailCard, FILTER_SHOWN, KeyHint, Reaction, draw_empty, draw_on_border, mark};
use crate::screens::promotion;
use crate::table::{Column, EXTRA, FittedColumns, REST, Table};
use crate::text_drawing::draw_text;
use crate::wall_clock::date_time;
use townlet_source::RECORDING;
use townlet_wire::telemetry::{Evidence, PromotionStep};

/// Minimum width to put the history beside the evidence.
const SIDE_BY_SIDE_WIDTH: u16 = 100;
/// Minimum height to stack everything.
const STACKED_HEIGHT: u16 = 24;
const LABEL: usize = 12;
/// The columns of the history.
static TABLE: Table = Table {
    name: "Candidate",
    columns: &[
        Column::text("time", 12, 16, 0).of(&["ts"]),
        Column::text("change", 20, 24, 0).of(&["from", "to"]),
        Column::text("issuer", 10, 16, 2),
        Column::text("reason", 12, REST, 1).of(&["why"]),
        Column::number("tick", 10, 10, EXTRA),
    ],
};

pub(crate) type Candidate = ListPane<PromotionHistory>;

/// The evidence for the candidate, and the changes of the promotion, newest first.
#[derive(Default)]
pub(crate) struct PromotionHistory;

/// The changes that match the filter, newest first.
fn changes<'a>(cx: &Context<'a>) -> Vec<&'a PromotionStep> {
    let fits = |step: &&PromotionStep| cx.matches(&[&step.from, &step.to, &step.issuer, &step.why]);
    cx.view.promotion.history.iter().rev().filter(fits).collect()
}

fn label(text: &str, cx: &Context<'_>) -> Span<'static> {
    Span::styled(format!(" {}", pad(text, LABEL)), cx.theme.dim)
}

/// Path, release, candidate, windows and evidence; the safety gate in one line unless there is room for its rates.
fn evidence(cx: &Context<'_>, columns: usize, has_room: bool) -> Vec<Line<'static>> {
    let (promotion, theme) = (&cx.view.promotion, cx.theme);
    let mut lines = vec![promotion::path(cx, columns)];
    if !cx.filter.is_empty() && changes(cx).is_empty() {
        lines.push(Line::styled(" no changes match the filter; press esc to clear it", theme.dim));
    }
    let said = wrap(&promotion.detail, columns.saturating_sub(2)).into_iter().filter(|line| !line.is_empty());
    lines.extend(said.map(|line| Line::styled(format!(" {line}"), theme.dim)));
    let name = |id: &str| Span::styled(clip(id, 28), theme.strong);
    let none = || Span::styled("none", theme.dim);
    let release = if promotion.release.is_empty() { &cx.view.policy.id } else { &promotion.release };
    let mut released = vec![label("release", cx), name(release)];
    if let Some(previous) = &promotion.previous {
        released.extend([Span::styled("  previous ", theme.dim), Span::styled(clip(previous, 28), theme.text)]);
    }
    lines.push(Line::from(released));
    let policy = &cx.view.policy;
    let (where_, style) = match (&policy.outside_range, &policy.trained_range) {
        (Some(why), _) => (Some(format!("! this town is outside the trained range: {why}")), theme.warn),
        (None, Some(range)) => (Some(format!("✓ this town is inside: {range}")), theme.text),
        (None, None) => (None, theme.text),
    };
    if let Some(text) = where_ {
        let rest = columns.saturating_sub(1);
        lines.extend(fact((" range", theme.dim), (&text, style), LABEL, rest));
    }
    lines.push(Line::from(vec![label("candidate", cx), promotion.candidate.as_deref().map_or_else(none, name)]));
    if let Some(why) = &promotion.outside_range {
        let text = format!("! this town is outside its trained range: {why}");
        lines.extend(fact(("", theme.dim), (&text, theme.warn), LABEL, columns.saturating_sub(1)));
    }
    let enough = promotion.green >= promotion.required;
    let green = format!("{} of {}", promotion.green, count(promotion.required, "window"));
    let style = if enough && promotion.required > 0 { theme.good } else { theme.text };
    let stability = &cx.view.stability;
    let open = format!(
        "  window {} at {} of {} ticks",
        thousands(stability.window),
        thousands(stability.window_progress),
        thousands(stability.window_ticks)
    );
    lines.push(Line::from(vec![label("green", cx), Span::styled(green, style), Span::styled(open, theme.dim)]));
    if let Some(evidence) = &promotion.evidence {
        let mut spans = vec![label("town score", cx)];
        spans.extend(promotion::verdict(evidence, theme));
        lines.push(Line::from(spans));
        let indent = |line: Line<'static>| {
            let spans = std::iter::once(Span::raw(" ".repeat(LABEL + 1))).chain(line.spans);
            Line::from(spans.collect::<Vec<_>>()).style(line.style)
        };
        let drawn = promotion::interval(evidence, columns.saturating_sub(LABEL + 2).min(64), theme);
        lines.extend(drawn.into_iter().map(indent));
        let text = clip(&promotion::pairs(evidence), columns.saturating_sub(LABEL + 1));
        lines.push(Line::from(vec![label("evidence", cx), Span::styled(text, theme.text)]));
        lines.extend(safety(evidence, cx, columns, has_room));
    } else {
        lines.push(Line::from(vec![label("town score", cx), Span::styled("not evaluated yet", theme.dim)]));
    }
    let watch = promotion::canary_rule(promotion);
    lines.extend(fact((" canary", theme.dim), (&watch, theme.dim), LABEL, columns));
    lines
}

/// The safety gate.
fn safety(evidence: &Evidence, cx: &Context<'_>, columns: usize, has_room: bool) -> Vec<Line<'static>> {
    if !has_room && !evidence.safety.is_empty() {
        let signs = promotion::safety_signs(evidence, cx.theme);
        return vec![Line::from(std::iter::once(label("safety", cx)).chain(signs).collect::<Vec<_>>())];
    }
    let row = |(index, row)| {
        let label = if index == 0 { " safety" } else { "" };
        promotion::safety_row(row, label, [LABEL, columns], cx.theme)
    };
    evidence.safety.iter().enumerate().flat_map(row).collect()
}

/// What blocks the promotion.
fn blockers(cx: &Context<'_>, columns: usize) -> Vec<Line<'static>> {
    let (promotion, theme) = (&cx.view.promotion, cx.theme);
    let mut lines = vec![Line::styled(" Blockers", theme.strong)];
    if promotion.blockers.is_empty() {
        let (sign, words, style) = match (promotion.state.as_str(), &promotion.candidate) {
            ("eligible", _) => ("✓", "none: ready to promote", theme.good),
            (_, None) => ("·", "no candidate", theme.dim),
            _ => ("·", "none reported", theme.dim),
        };
        lines.push(Line::styled(format!("  {sign} {words}"), style));
    }
    for blocker in &promotion.blockers {
        for (row, text) in wrap(blocker, columns.saturating_sub(5)).into_iter().enumerate() {
            let sign = if row == 0 { "✗" } else { " " };
            lines
                .push(Line::from(vec![Span::styled(format!("  {sign} "), theme.warn), Span::styled(text, theme.text)]));
        }
    }
    lines
}

fn change(step: &PromotionStep) -> String {
    format!("{} → {}", step.from.replace('_', " "), step.to.replace('_', " "))
}

fn card(step: &PromotionStep, cx: &Context<'_>) -> DetailCard {
    let fact = |name: &str, value: &str| DetailCard::fact(name, value, 9, cx.theme);
    let when =
        format!("{} · tick {} · {}", time_of(step.tick, cx.view), thousands(step.tick), date_time(&step.ts, cx.zone));
    let id = if step.cmd_id.is_empty() { "–" } else { &step.cmd_id };
    let lines = vec![
        fact("change", &change(step)),
        fact("when", &when),
        fact("issuer", &step.issuer),
        fact("cmd_id", id),
        fact("reason", &step.why),
    ];
    DetailCard { title: format!("Promotion: change {}", thousands(step.number)), lines, live: false }
}

fn cell(step: &PromotionStep, head: &str, cx: &Context<'_>) -> (String, Style) {
    let theme = cx.theme;
    match head {
        "time" => (time_of(step.tick, cx.view), theme.dim),
        "change" => (change(step), theme.text),
        "issuer" => (step.issuer.clone(), theme.text),
        "tick" => (thousands(step.tick), theme.dim),
        _ => (step.why.clone(), theme.dim),
    }
}

fn row(step: &PromotionStep, selected: bool, columns: &FittedColumns, cx: &Context<'_>) -> Line<'static> {
    let prefix = vec![(mark(selected), cx.theme.accent)];
    columns.row(prefix, selected.then(|| cx.row(true)), |head, _| cell(step, head, cx).into())
}

/// The selected change on the border of a pane that has no space for the history.
fn draw_selected_change(frame: &mut Frame<'_>, view: &ListView<'_, &PromotionStep>, cx: &Context<'_>) {
    let Some(step) = view.selected() else { return };
    let [at, all] = [view.at() + 1, view.items.len()].map(|number| thousands(number as u64));
    let text = format!(" history {at} of {all}: {} {} ", time_of(step.tick, cx.view), change(step));
    let room = usize::from(view.pane.width.saturating_sub(2)).saturating_sub(filter_width(cx));
    draw_on_border(frame, view.pane, Line::styled(clip(&text, room), cx.theme.accent).right_aligned());
}

/// Columns of the filter at the left of the border.
fn filter_width(cx: &Context<'_>) -> usize {
    if cx.filter.is_empty() { 0 } else { width(cx.filter).min(FILTER_SHOWN) + 5 }
}

fn draw_history(frame: &mut Frame<'_>, area: Rect, mut view: ListView<'_, &PromotionStep>, cx: &Context<'_>) {
    let [head, rows] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    draw_text(frame, head, Line::styled(" History, newest first", cx.theme.strong));
    if view.items.is_empty() {
        let words = if cx.filter.is_empty() { "  none yet" } else { "  none that matches" };
        return draw_text(frame, rows, Line::styled(words, cx.theme.dim));
    }
    let widest = |head| {
        let cells = view.items.iter().map(|step| width(&cell(step, head, cx).0));
        (head, cells.max().unwrap_or(0))
    };
    let contents = ["time", "change", "issuer"].map(widest);
    let columns = TABLE.fit(cx.layouts, usize::from(rows.width).saturating_sub(2), &contents);
    view.draw(frame, rows, cx, |step, selected| row(step, selected && cx.focused, &columns, cx));
}

impl ListContent for PromotionHistory {
    type Item<'a> = &'a PromotionStep;
    const TITLE: &'static str = "Candidate";

    fn items<'a>(&self, cx: &Context<'a>) -> Vec<&'a PromotionStep> {
        changes(cx)
    }

    fn id(step: &&PromotionStep) -> String {
        step.number.to_string()
    }

    fn record(step: &&PromotionStep, _cx: &Context<'_>) -> Record {
        record([
            ("number", step.number.to_string()),
            ("tick", step.tick.to_string()),
            ("ts", step.ts.clone()),
            ("from", step.from.clone()),
            ("to", step.to.clone()),
            ("issuer", step.issuer.clone()),
            ("cmd_id", step.cmd_id.clone()),
            ("why", step.why.clone()),
        ])
    }

    fn is_about_item(action: Action) -> bool {
        !matches!(action, Action::Promote | Action::Rollback)
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, view: ListView<'_, &PromotionStep>, cx: &Context<'_>) {
        if cx.view.promotion.state.is_empty() {
            let (missing, advice) = if cx.session.transport == RECORDING {
                ("No candidate.", "A recording holds the town without its promotion.")
            } else {
                ("This shard does not support promotion.", "Upgrade the shard to use promotion.")
            };
            return draw_empty(frame, area, missing, advice, cx.theme);
        }
        let is_low = area.height < STACKED_HEIGHT;
        let is_split = is_low && area.width >= SIDE_BY_SIDE_WIDTH;
        let has_room = is_split || !is_low;
        let [left, right] = if is_split {
            Layout::horizontal([Constraint::Ratio(1, 2); 2]).spacing(1).areas(area)
        } else {
            let rows = evidence(cx, area.width.into(), has_room).len() as u16 + u16::from(!is_low);
            Layout::vertical([Constraint::Length(rows), Constraint::Fill(1)]).areas(area)
        };
        draw_text(frame, left, evidence(cx, left.width.into(), has_room));
        let blockers = blockers(cx, right.width.into());
        let rows = blockers.len() as u16 + u16::from(right.height >= STACKED_HEIGHT / 2);
        let [upper, lower] = Layout::vertical([Constraint::Length(rows), Constraint::Fill(1)]).areas(right);
        draw_text(frame, upper, blockers);
        if lower.height > 1 {
            draw_history(frame, lower, view, cx);
        } else {
            draw_selected_change(frame, &view, cx);
        }
    }

    fn table(&self) -> Option<&'static Table> {
        Some(&TABLE)
    }

    fn act(&mut self, action: Action, view: &mut ListView<'_, &PromotionStep>, cx: &Context<'_>) -> Option<Reaction> {
        let promotion = &cx.view.promotion;
        match action {
            Action::Open => view.selected().map(|step| Reaction::ShowDetail(card(step, cx))),
            Action::Copy => Some(Reaction::Copy(promotion.candidate.as_ref().unwrap_or(&promotion.release).clone())),
            _ => promotion::act(action, cx),
        }
    }

    fn bindings(&self, selected: Option<&&PromotionStep>, cx: &Context<'_>) -> Vec<KeyHint> {
        let some = cx.require_row(selected.is_some(), "no changes yet");
        let [promote, rollback] = promotion::hints(cx);
        vec![promote, rollback, KeyHint::when(Action::Open, "details", some), KeyHint::new(Action::Copy, "copy id")]
    }
}
