//! The release candidate: path of the promotion, evidence, blockers and history. Rule: "Stability, promotion, rollback".

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::format::{clip, pad, thousands, time_of, wrap};
use crate::keymap::Action;
use crate::list::List;
use crate::pane::{Context, DetailCard, KeyHint, Pane, Reaction, draw_empty, pane_block};
use crate::screens::promotion;
use townlet_wire::telemetry::PromotionStep;

/// Minimum width to put the history beside the evidence.
const SIDE_BY_SIDE_WIDTH: u16 = 100;
/// Minimum height to stack everything.
const STACKED_HEIGHT: u16 = 24;
/// Width of a label.
const LABEL: usize = 12;

/// The Candidate pane.
#[derive(Default)]
pub struct Candidate {
    list: List,
}

fn label(text: &str, cx: &Context<'_>) -> Span<'static> {
    Span::styled(format!(" {}", pad(text, LABEL)), cx.theme.dim)
}

/// Path, release, candidate, windows and evidence.
fn evidence(cx: &Context<'_>, columns: usize) -> Vec<Line<'static>> {
    let (promotion, theme) = (&cx.view.promotion, cx.theme);
    let mut lines = vec![promotion::path(cx, columns)];
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
    lines.push(Line::from(vec![label("candidate", cx), promotion.candidate.as_deref().map_or_else(none, name)]));
    let enough = promotion.green >= promotion.required;
    let green = format!("{} of {} windows", promotion.green, promotion.required);
    let style = if enough && promotion.required > 0 { theme.good } else { theme.text };
    let stability = &cx.view.stability;
    let open = format!(
        "  window {} closes after {} of {} ticks",
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
    } else {
        lines.push(Line::from(vec![label("town score", cx), Span::styled("not evaluated yet", theme.dim)]));
    }
    let watch = wrap(&promotion::canary_rule(promotion), columns.saturating_sub(LABEL + 2));
    for (row, text) in watch.into_iter().enumerate() {
        lines.push(Line::from(vec![label(if row == 0 { "canary" } else { "" }, cx), Span::styled(text, theme.dim)]));
    }
    lines
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
    let when = format!("{} · tick {} · {}", time_of(step.tick, cx.view), thousands(step.tick), step.ts);
    let id = if step.cmd_id.is_empty() { "–" } else { &step.cmd_id };
    let lines = vec![
        fact("change", &change(step)),
        fact("when", &when),
        fact("issuer", &step.issuer),
        fact("cmd_id", id),
        fact("reason", &step.why),
    ];
    DetailCard { title: format!("Promotion: change {}", thousands(step.number)), lines }
}

impl Candidate {
    /// Newest first.
    fn shown<'a>(cx: &Context<'a>) -> Vec<&'a PromotionStep> {
        let fits = |step: &&PromotionStep| cx.matches(&[&step.from, &step.to, &step.issuer, &step.why]);
        cx.view.promotion.history.iter().rev().filter(fits).collect()
    }

    fn ids(cx: &Context<'_>) -> Vec<String> {
        Self::shown(cx).into_iter().map(|step| step.number.to_string()).collect()
    }

    fn row(step: &PromotionStep, selected: bool, columns: usize, cx: &Context<'_>) -> Line<'static> {
        let base = cx.row(selected);
        let over = |style| if selected { base } else { style };
        let text = format!("{}  {}", pad(&change(step), 24), pad(&step.issuer, 14));
        let rest = columns.saturating_sub(2 + 16 + 40 + 2);
        Line::from(vec![
            Span::styled(if selected { "▸ " } else { "  " }, over(cx.theme.accent)),
            Span::styled(pad(&time_of(step.tick, cx.view), 16), over(cx.theme.dim)),
            Span::styled(text, base),
            Span::styled(format!("  {}", pad(&step.why, rest)), over(cx.theme.dim)),
        ])
    }

    fn draw_history(&mut self, frame: &mut Frame<'_>, (pane, area): (Rect, Rect), cx: &Context<'_>) {
        let [head, rows] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
        frame.render_widget(Line::styled(" History, newest first", cx.theme.strong), head);
        let steps = Self::shown(cx);
        if steps.is_empty() {
            let words = if cx.filter.is_empty() {
                "  none yet"
            } else {
                "  no changes match the filter; press esc to clear it"
            };
            return frame.render_widget(Line::styled(words, cx.theme.dim), rows);
        }
        let (at, seen) = self.list.layout(frame, (pane, rows), &Self::ids(cx), cx.theme);
        let row = |index: usize| Self::row(steps[index], index == at && cx.focused, rows.width.into(), cx);
        frame.render_widget(Paragraph::new(seen.map(row).collect::<Vec<_>>()), rows);
    }
}

impl Pane for Candidate {
    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, cx: &Context<'_>) {
        let block = pane_block("Candidate", cx.focused, cx.theme);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        self.list.hide();
        if cx.view.promotion.state.is_empty() {
            let advice = "Upgrade the shard to use promotion.";
            return draw_empty(frame, inner, "This shard does not support promotion.", advice, cx.theme);
        }
        let [left, right] = if inner.height < STACKED_HEIGHT && inner.width >= SIDE_BY_SIDE_WIDTH {
            Layout::horizontal([Constraint::Ratio(1, 2); 2]).spacing(1).areas(inner)
        } else {
            let rows = evidence(cx, inner.width.into()).len() as u16 + u16::from(inner.height >= STACKED_HEIGHT);
            Layout::vertical([Constraint::Length(rows), Constraint::Fill(1)]).areas(inner)
        };
        frame.render_widget(Paragraph::new(evidence(cx, left.width.into())), left);
        let blockers = blockers(cx, right.width.into());
        let rows = blockers.len() as u16 + u16::from(right.height >= STACKED_HEIGHT / 2);
        let [upper, lower] = Layout::vertical([Constraint::Length(rows), Constraint::Fill(1)]).areas(right);
        frame.render_widget(Paragraph::new(blockers), upper);
        if lower.height > 1 {
            self.draw_history(frame, (area, lower), cx);
        }
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Reaction {
        if let Some(asked) = promotion::act(action, cx) {
            return asked;
        }
        let ids = Self::ids(cx);
        match (action, Self::shown(cx).get(self.list.selected_index(&ids))) {
            (Action::Open, Some(step)) => Reaction::ShowDetail(card(step, cx)),
            (Action::Copy, _) => match &cx.view.promotion.candidate {
                Some(candidate) => Reaction::Copy(candidate.clone()),
                None => Reaction::Copy(cx.view.promotion.release.clone()),
            },
            _ => self.list.act(action, &ids),
        }
    }

    fn click(&mut self, column: u16, row: u16, cx: &Context<'_>) -> Reaction {
        self.list.click(column, row, &Self::ids(cx))
    }

    fn bindings(&self, cx: &Context<'_>) -> Vec<KeyHint> {
        let none = cx.view.promotion.history.is_empty();
        let some = if none { Err("no changes yet".to_owned()) } else { Ok(()) };
        let [promote, rollback] = promotion::hints(cx);
        vec![
            KeyHint::when(Action::Up, "select", some.clone()),
            KeyHint::when(Action::Down, "select", some.clone()),
            promote,
            rollback,
            KeyHint::when(Action::Open, "details", some),
            KeyHint::new(Action::Copy, "copy id"),
        ]
    }
}
