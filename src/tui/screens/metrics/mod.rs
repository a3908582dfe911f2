//! The Metrics screen: a list of all metrics with unit, target and trend, and a chart of the selected one. Rule: "Screens".

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::filter::Filter;
use crate::chart;
use crate::format::{clock, downsampled, figure, pad, pad_left, spark, width};
use crate::keymap::Action;
use crate::list::List;
use crate::metrics::{Metric, all};
use crate::pane::{Context, KeyHint, Pane, Reaction, draw_empty, pane_block};

/// Fields of the filter.
const FIELDS: [&str; 4] = ["group", "name", "unit", "verdict"];
/// Minimum width to put the chart beside the list, and minimum height to put it below.
const SIDE_BY_SIDE_WIDTH: u16 = 150;
const STACKED_HEIGHT: u16 = 26;
/// Column widths. Minimum and maximum are dropped on narrow screens.
const TITLE: usize = 25;
const FIGURE: usize = 14;
const TARGET: usize = 13;
const EXTREMES: usize = 13;

/// A single pane.
pub fn layout(area: Rect) -> Vec<Rect> {
    vec![area]
}

/// Sort order of the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Group,
    Name,
    Value,
    Verdict,
}

impl Order {
    const fn next(self) -> Self {
        match self {
            Self::Group => Self::Name,
            Self::Name => Self::Value,
            Self::Value => Self::Verdict,
            Self::Verdict => Self::Group,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Name => "name",
            Self::Value => "value",
            Self::Verdict => "verdict",
        }
    }

    fn compare(self, one: &Metric, other: &Metric) -> Ordering {
        let value = |metric: &Metric| metric.value.unwrap_or(f64::NEG_INFINITY);
        let rank = |metric: &Metric| match metric.verdict.as_str() {
            "missed" | "breach" => 0,
            "not_enough_data" => 1,
            "" => 3,
            _ => 2,
        };
        match self {
            Self::Group => Ordering::Equal,
            Self::Name => one.title.cmp(&other.title),
            Self::Value => value(other).total_cmp(&value(one)),
            Self::Verdict => rank(one).cmp(&rank(other)),
        }
    }
}

/// The Metrics pane.
#[derive(Debug, Default)]
pub struct Metrics {
    list: List,
    order: Order,
    reversed: bool,
    /// Whether the chart fills the pane.
    expanded: bool,
    /// Whether counters are drawn as totals instead of rates.
    total: bool,
}

/// The series to draw: counters as rates per day unless `total`.
fn series(metric: &Metric, total: bool, cx: &Context<'_>) -> Vec<(f64, f64)> {
    if metric.counts && !total {
        cx.history.full().rate(&metric.name, cx.view.clock.ticks_per_day)
    } else {
        cx.history.full().points(&metric.name)
    }
}

fn value(metric: &Metric) -> String {
    metric.value.map_or_else(|| "–".to_owned(), |value| figure(value, &metric.unit))
}

/// Unit of the drawn series.
fn drawn_unit(metric: &Metric, total: bool) -> &str {
    if metric.counts && !total { "per_day" } else { &metric.unit }
}

fn row(metric: &Metric, selected: bool, columns: usize, cx: &Context<'_>) -> Line<'static> {
    let (theme, base) = (cx.theme, cx.row(selected));
    let over = |style: Style| if selected { base } else { style };
    let (style, sign) = if metric.verdict.is_empty() { (theme.text, " ") } else { theme.verdict(&metric.verdict) };
    let target = metric.target.as_ref().map_or("", |target| target.1.as_str());
    let rest = columns.saturating_sub(2 + TITLE + FIGURE + 3 + TARGET);
    let ends = if rest >= 2 * EXTREMES + 14 { EXTREMES } else { 0 };
    let trend = rest.saturating_sub(2 * ends + 1);
    let values: Vec<f64> = series(metric, false, cx).into_iter().map(|point| point.1).collect();
    let mut spans = vec![
        Span::styled(if selected { "▸ " } else { "  " }, over(theme.accent)),
        Span::styled(pad(&metric.title, TITLE), base),
        Span::styled(pad_left(&value(metric), FIGURE), over(theme.strong)),
        Span::styled(format!(" {sign} "), over(style)),
        Span::styled(pad(target, TARGET), over(theme.dim)),
        Span::styled(pad(&spark(&downsampled(&values, trend), trend), trend + 1), over(theme.chart)),
    ];
    if ends > 0 {
        let range = chart::range(values.iter().copied());
        let text = |value: Option<f64>| {
            let text = value.map_or_else(|| "–".to_owned(), |value| figure(value, drawn_unit(metric, false)));
            Span::styled(pad_left(&text, ends), over(theme.dim))
        };
        spans.extend([text(range.map(|range| range.0)), text(range.map(|range| range.1))]);
    }
    Line::from(spans)
}

/// Draws the chart of a metric with title, current value and target.
fn draw_chart(frame: &mut Frame<'_>, area: Rect, metric: &Metric, total: bool, cx: &Context<'_>) {
    let theme = cx.theme;
    let [title, below] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    let points = series(metric, total, cx);
    let unit = drawn_unit(metric, total);
    let mut spans = vec![
        Span::styled(format!(" {}", pad(&metric.title, width(&metric.title))), theme.strong),
        Span::styled(format!("  {}", value(metric)), theme.accent),
    ];
    if metric.counts {
        let rate = points.last().filter(|_| !total).map(|point| format!("  now {}", figure(point.1, unit)));
        spans.push(Span::styled(rate.unwrap_or_default(), theme.text));
        spans.push(Span::styled(if total { "  drawn: total" } else { "  drawn: rate" }, theme.dim));
    }
    if let Some((_, target)) = &metric.target {
        let (style, sign) = if metric.verdict.is_empty() { (theme.dim, "•") } else { theme.verdict(&metric.verdict) };
        spans.push(Span::styled(format!("  {sign} {target}"), style));
    }
    frame.render_widget(Line::from(spans), title);
    if points.len() < 2 {
        let advice = "The chart is recorded while the town runs. Press p to resume a paused town.";
        let missing = if metric.value.is_none() { "Not enough data for this metric yet." } else { "No history yet." };
        return draw_empty(frame, below, missing, advice, theme);
    }
    let per_day = cx.view.clock.ticks_per_day.max(1);
    let format_x = |tick: f64| format!("day {} {}", tick as u64 / per_day + 1, clock(tick as u64, per_day));
    let words = |value: f64| figure(value, if unit == "ratio" { "ratio" } else { "" });
    let target = metric.target.as_ref().map(|target| target.0).filter(|_| !metric.counts);
    chart::draw(
        frame,
        below,
        &chart::LineChart { points: &points, target, format_x: &format_x, format_y: &words },
        theme,
    );
}

impl Metrics {
    fn shown(&self, cx: &Context<'_>) -> Vec<Metric> {
        let filter = Filter::new(cx.filter, &FIELDS);
        let fits = |metric: &Metric| {
            let fields = [("group", metric.group.word()), ("name", &metric.name), ("unit", &metric.unit)];
            cx.filter.is_empty()
                || filter.passes(&[&fields[..], &[("verdict", &metric.verdict), ("name", &metric.title)]].concat())
        };
        let mut metrics: Vec<Metric> = all(cx.view).into_iter().filter(fits).collect();
        metrics.sort_by(|one, other| self.order.compare(one, other));
        if self.reversed {
            metrics.reverse();
        }
        metrics
    }

    fn ids(metrics: &[Metric]) -> Vec<String> {
        metrics.iter().map(|metric| metric.name.clone()).collect()
    }

    fn draw_list(&mut self, frame: &mut Frame<'_>, (pane, area): (Rect, Rect), metrics: &[Metric], cx: &Context<'_>) {
        let [head, rows] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
        let columns = usize::from(area.width);
        let rest = columns.saturating_sub(2 + TITLE + FIGURE + 3 + TARGET);
        let ends = if rest >= 2 * EXTREMES + 14 { EXTREMES } else { 0 };
        let text = format!(
            "  {}{}   {}{}{}{}",
            pad("metric", TITLE),
            pad_left("now", FIGURE),
            pad("target", TARGET),
            pad("trend", rest.saturating_sub(2 * ends)),
            pad_left("min", ends),
            pad_left("max", ends)
        );
        frame.render_widget(Line::styled(text, cx.theme.dim), head);
        let (at, seen) = self.list.layout(frame, (pane, rows), &Self::ids(metrics), cx.theme);
        let lines: Vec<Line<'_>> = seen.map(|index| row(&metrics[index], index == at, columns, cx)).collect();
        frame.render_widget(Paragraph::new(lines), rows);
    }
}

impl Pane for Metrics {
    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, cx: &Context<'_>) {
        let metrics = self.shown(cx);
        let arrow = if self.reversed { "▴" } else { "▾" };
        let title = format!("Metrics · {} · by {} {arrow}", metrics.len(), self.order.word());
        let block = pane_block(title, cx.focused, cx.theme);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        self.list.hide();
        if metrics.is_empty() {
            let advice = "Press esc to clear it. Examples: group:kpi, verdict:missed, a word of a title.";
            return draw_empty(frame, inner, "No metrics match the filter.", advice, cx.theme);
        }
        let at = self.list.selected_index(&Self::ids(&metrics));
        if self.expanded {
            return draw_chart(frame, inner, &metrics[at], self.total, cx);
        }
        let [list, chart] = if inner.width >= SIDE_BY_SIDE_WIDTH {
            Layout::horizontal([Constraint::Ratio(1, 2); 2]).spacing(1).areas(inner)
        } else if inner.height >= STACKED_HEIGHT {
            Layout::vertical([Constraint::Fill(1), Constraint::Length(inner.height * 2 / 5)]).areas(inner)
        } else {
            [inner, Rect::ZERO]
        };
        self.draw_list(frame, (area, list), &metrics, cx);
        if chart.height > chart::MIN_ROWS {
            draw_chart(frame, chart, &metrics[at], self.total, cx);
        }
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Reaction {
        let metrics = self.shown(cx);
        let ids = Self::ids(&metrics);
        match (action, metrics.get(self.list.selected_index(&ids))) {
            (Action::Sort, _) => self.order = self.order.next(),
            (Action::Reverse, _) => self.reversed = !self.reversed,
            (Action::Open | Action::Back, _) => self.expanded = action == Action::Open && !self.expanded,
            (Action::Left | Action::Right, _) => self.total = action == Action::Right,
            (Action::Copy, Some(metric)) => {
                let target = metric.target.as_ref().map_or_else(String::new, |target| format!(" ({})", target.1));
                return Reaction::Copy(format!("{} {}{target} at tick {}", metric.name, value(metric), cx.view.tick));
            }
            _ => return self.list.act(action, &ids),
        }
        Reaction::Redraw
    }

    fn click(&mut self, column: u16, row: u16, cx: &Context<'_>) -> Reaction {
        let ids = Self::ids(&self.shown(cx));
        self.list.click(column, row, &ids)
    }

    fn bindings(&self, _cx: &Context<'_>) -> Vec<KeyHint> {
        let mut hints = vec![
            KeyHint::new(Action::Up, "select"),
            KeyHint::new(Action::Down, "select"),
            KeyHint::new(Action::Open, if self.expanded { "list" } else { "chart" }),
            KeyHint::new(Action::Left, "rate, total"),
            KeyHint::new(Action::Right, "rate, total"),
            KeyHint::new(Action::Sort, "sort"),
            KeyHint::new(Action::Reverse, "reverse"),
            KeyHint::new(Action::Copy, "copy"),
        ];
        if self.expanded {
            hints.push(KeyHint::new(Action::Back, "list"));
        }
        hints
    }
}
