//! The Metrics screen: a list of all metrics with unit, target and trend, and a chart of the selected one. Rule: "Screens".

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use ratatui::Frame;
use ratatui::layout::{Constraint, Direction, Layout, Position, Rect};
use ratatui::text::{Line, Span};

use super::filter;
use crate::chart;
use crate::export::{ChartData, Record, record};
use crate::format::{figure, natural_order, range, scale_of, thousands, trend_over};
use crate::keymap::Action;
use crate::layouts::Division;
use crate::list::{ListContent, ListPane, ListView};
use crate::metrics::Metric;
use crate::pane::{Context, KeyHint, Reaction, draw_empty, mark};
use crate::table::{Cell, Column, EXTRA, FittedColumns, REST, Table};
use crate::text_drawing::draw_text;
use townlet_wire::escape;

/// Minimum width to put the chart beside the list, and minimum height to put it below.
const SIDE_BY_SIDE_WIDTH: u16 = 150;
const STACKED_HEIGHT: u16 = 26;
/// Rows for each chart at least where several are drawn.
const CHART_ROWS: u16 = 13;
/// The columns.
static TABLE: Table = Table {
    name: "Metrics",
    columns: &[
        Column::text("group", 10, 11, 3),
        Column::text("metric", 16, 25, 0).of(&["metric", "title"]),
        Column::number("now", 14, 14, 0).of(&["value", "unit"]),
        Column::text("target", 14, 15, 1).of(&["target", "verdict"]),
        Column::text("trend", 8, REST, 2),
        Column::number("min", 13, 13, EXTRA - 1),
        Column::number("max", 13, 13, EXTRA - 1),
        Column::number("mean", 13, 13, EXTRA),
    ],
};

/// Sort orders of the list.
const ORDERS: [&str; 4] = ["group", "name", "value", "verdict"];

fn compare(order: &str, one: &Metric, other: &Metric) -> Ordering {
    let value = |metric: &Metric| metric.value.unwrap_or(f64::NEG_INFINITY);
    let rank = |metric: &Metric| match metric.verdict.as_str() {
        "missed" | "breach" => 0,
        "not_enough_data" => 1,
        "" => 3,
        _ => 2,
    };
    match order {
        "name" => natural_order(&one.title, &other.title),
        "value" => value(other).total_cmp(&value(one)),
        "verdict" => rank(one).cmp(&rank(other)),
        _ => Ordering::Equal,
    }
}

/// The Metrics pane.
pub(crate) type Metrics = ListPane<MetricList>;

/// All metrics, and a chart of the selected one.
#[derive(Debug, Default)]
pub(crate) struct MetricList {
    /// Index in [`ORDERS`].
    order: usize,
    reversed: bool,
    /// Whether the chart fills the pane.
    expanded: bool,
    /// Whether counters are drawn as totals instead of rates.
    total: bool,
    /// Where the column heads were drawn.
    head: Rect,
    columns: FittedColumns,
    /// List and chart.
    division: Option<Division>,
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

/// A row. The group is shown where it differs from that of the row above, `before`.
fn row(
    (metric, before): (&Metric, Option<&'static str>),
    selected: bool,
    columns: &FittedColumns,
    cx: &Context<'_>,
) -> Line<'static> {
    let theme = cx.theme;
    let (style, sign) = if metric.verdict.is_empty() { (theme.text, " ") } else { theme.verdict(&metric.verdict) };
    let unit = drawn_unit(metric, false);
    let points = series(metric, false, cx);
    let values = || points.iter().map(|point| point.1);
    let range = range(values());
    let finite = || values().filter(|value| value.is_finite());
    let mean = range.map(|_| finite().sum::<f64>() / finite().count() as f64);
    let end =
        |value: Option<f64>| Cell::Text(value.map_or_else(|| "–".to_owned(), |value| figure(value, unit)), theme.dim);
    let cell = |head: &str, width: usize| match head {
        "group" => Cell::Text(if before == Some(metric.group) { "" } else { metric.group }.to_owned(), theme.dim),
        "metric" => Cell::Text(metric.title.clone(), theme.text),
        "now" => Cell::Text(value(metric), theme.strong),
        "target" => {
            let target = metric.target.as_ref().map_or("", |target| target.1.as_str());
            Cell::Pieces(vec![(format!("{sign} "), style), (target.to_owned(), theme.dim)])
        }
        "min" => end(range.map(|range| range.0)),
        "max" => end(range.map(|range| range.1)),
        "mean" => end(mean),
        _ => Cell::Text(trend_over(&points, width, scale_of(unit)), theme.chart),
    };
    columns.row(vec![(mark(selected), theme.accent)], selected.then(|| cx.row(true)), cell)
}

/// Draws the chart of a metric with title, current value and target.
fn draw_chart(frame: &mut Frame<'_>, area: Rect, metric: &Metric, total: bool, cx: &Context<'_>) {
    let theme = cx.theme;
    let [title, below] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    let points = series(metric, total, cx);
    let unit = drawn_unit(metric, total);
    let mut spans = vec![
        Span::styled(format!(" {}", escape(&metric.title)), theme.strong),
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
    draw_text(frame, title, Line::from(spans));
    if points.len() < 2 {
        let advice = "The chart is recorded while the town runs. Press p to resume a paused town.";
        let missing = if metric.value.is_none() { "Not enough data for this metric yet." } else { "No history yet." };
        return draw_empty(frame, below, missing, advice, theme);
    }
    let format_x = chart::tick_label(cx.view.clock.ticks_per_day);
    let words = |value: f64| figure(value, if unit == "ratio" { "ratio" } else { "" });
    let target = metric.target.as_ref().map(|target| target.0).filter(|_| !metric.counts);
    chart::draw_on(frame, below, (&points, target, scale_of(unit)), (&format_x, &words), theme);
}

/// Draws the chart of the selected metric, and below it those of the next rows, as many as fit.
fn draw_charts(frame: &mut Frame<'_>, area: Rect, (items, at): (&[&Metric], usize), total: bool, cx: &Context<'_>) {
    let drawn: Vec<&&Metric> = items.iter().skip(at).take(usize::from(area.height / CHART_ROWS).max(1)).collect();
    if area.height <= chart::MIN_ROWS {
        return;
    }
    // The selected one is twice as high.
    let rows = (0..drawn.len()).map(|index| Constraint::Fill(if index == 0 { 2 } else { 1 }));
    let rows = Layout::vertical(rows).spacing(1).split(area);
    for (metric, row) in drawn.into_iter().zip(rows.iter()) {
        draw_chart(frame, *row, metric, total, cx);
    }
}

impl MetricList {
    fn draw_list(&mut self, frame: &mut Frame<'_>, area: Rect, view: &mut ListView<'_, &Metric>, cx: &Context<'_>) {
        let [head, rows] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
        let columns = TABLE.fit(cx.layouts, usize::from(area.width).saturating_sub(2), &[]);
        draw_text(frame, head, columns.heads(2, None, cx.theme));
        self.head = head;
        let items = view.items;
        view.draw_indexed(frame, rows, cx, |index, metric, first, selected| {
            // The first row on screen always says its group.
            let before = index.checked_sub(1).filter(|_| index > first).map(|before| items[before].group);
            row((metric, before), selected, &columns, cx)
        });
        self.columns = columns;
    }

    /// Sorts by a column; once more reverses the order.
    fn sort(&mut self, order: &str) -> Reaction {
        let wanted = ORDERS.iter().position(|name| *name == order).unwrap_or(0);
        self.reversed = wanted == self.order && !self.reversed;
        self.order = wanted;
        Reaction::Redraw
    }
}

/// The fields of the filter.
const FIELDS: [&str; 4] = ["group", "name", "unit", "verdict"];

impl ListContent for MetricList {
    type Item<'a> = &'a Metric;
    const TITLE: &'static str = "Metrics";

    fn title(&self, view: &ListView<'_, &Metric>, _cx: &Context<'_>) -> String {
        let arrow = if self.reversed { "▴" } else { "▾" };
        format!("Metrics · {} · by {} {arrow}", thousands(view.items.len() as u64), ORDERS[self.order])
    }

    fn items<'a>(&self, cx: &Context<'a>) -> Vec<&'a Metric> {
        let fits = |metric: &&Metric| {
            let Metric { name, title, unit, verdict, .. } = *metric;
            let [group, name_field, unit_field, verdict_field] = FIELDS;
            let fields = [
                (group, metric.group),
                (name_field, name),
                (name_field, title),
                (unit_field, unit),
                (verdict_field, verdict),
            ];
            filter::passes(cx.filter, &fields)
        };
        let mut metrics: Vec<&Metric> = cx.view.metrics().iter().filter(fits).collect();
        metrics.sort_by(|one, other| compare(ORDERS[self.order], one, other));
        if self.reversed {
            metrics.reverse();
        }
        metrics
    }

    fn id(metric: &&Metric) -> String {
        metric.name.clone()
    }

    fn is(metric: &&Metric, id: &str) -> bool {
        metric.name == id
    }

    fn chart_data(&self, metric: &&Metric, cx: &Context<'_>) -> Option<ChartData> {
        let unit = drawn_unit(metric, self.total);
        // A rate is another series than the counter of that name.
        let rate = if metric.counts && !self.total { "_per_day" } else { "" };
        Some(ChartData {
            name: format!("{}{rate}", metric.name),
            title: metric.title.clone(),
            unit: unit.replace('_', " "),
            points: series(metric, self.total, cx),
            target: metric.target.clone().filter(|_| !metric.counts),
            scale: scale_of(unit),
            axis: "tick",
        })
    }

    fn record(metric: &&Metric, _cx: &Context<'_>) -> Record {
        record([
            ("group", metric.group.to_owned()),
            ("metric", metric.name.clone()),
            ("title", metric.title.clone()),
            ("value", metric.value.map_or_else(String::new, |value| value.to_string())),
            ("unit", metric.unit.clone()),
            ("target", metric.target.as_ref().map_or_else(String::new, |target| target.0.to_string())),
            ("verdict", metric.verdict.clone()),
        ])
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, mut view: ListView<'_, &Metric>, cx: &Context<'_>) {
        (self.head, self.division) = (Rect::ZERO, None);
        let Some(selected) = view.selected() else {
            let advice = "Press esc to clear it. Examples: group:kpi, verdict:missed, a word of a title.";
            let advice = filter::advice(cx.filter, &FIELDS, advice);
            return draw_empty(frame, area, "No metrics match the filter.", &advice, cx.theme);
        };
        if self.expanded {
            return draw_chart(frame, area, selected, self.total, cx);
        }
        let division = if area.width >= SIDE_BY_SIDE_WIDTH {
            let halves = [Constraint::Ratio(1, 2); 2];
            Some(cx.layouts.divide("metrics columns", Direction::Horizontal, area, &halves))
        } else if area.height >= STACKED_HEIGHT {
            let rows = [Constraint::Fill(1), Constraint::Length(area.height * 2 / 5)];
            Some(cx.layouts.divide("metrics rows", Direction::Vertical, area, &rows))
        } else {
            None
        };
        let (list, charts) = division.as_ref().map_or((area, Rect::ZERO), |it| (it.parts[0], it.parts[1]));
        self.division = division;
        self.draw_list(frame, list, &mut view, cx);
        let charts =
            if charts.x > list.x { Rect { x: charts.x + 1, width: charts.width - 1, ..charts } } else { charts };
        draw_charts(frame, charts, (view.items, view.at()), self.total, cx);
    }

    fn act(&mut self, action: Action, view: &mut ListView<'_, &Metric>, cx: &Context<'_>) -> Option<Reaction> {
        match action {
            Action::Sort => self.order = (self.order + 1) % ORDERS.len(),
            Action::Reverse => self.reversed = !self.reversed,
            Action::Open | Action::Back => self.expanded = action == Action::Open && !self.expanded,
            Action::Left | Action::Right => self.total = action == Action::Right,
            Action::Copy => {
                let metric = view.selected()?;
                let target = metric.target.as_ref().map_or_else(String::new, |target| format!(" ({})", target.1));
                let text = format!("{} {}{target} at tick {}", metric.name, value(metric), cx.view.tick);
                return Some(Reaction::Copy(text));
            }
            _ => return None,
        }
        Some(Reaction::Redraw)
    }

    fn click(&mut self, at: Position, _view: &mut ListView<'_, &Metric>) -> Option<Reaction> {
        let offset = usize::from(at.x.checked_sub(self.head.x + 2).filter(|_| self.head.contains(at))?);
        let order = match self.columns.at(offset)? {
            "metric" => "name",
            "now" => "value",
            "target" => "verdict",
            "group" => "group",
            _ => return None,
        };
        Some(self.sort(order))
    }

    fn division(&self) -> Option<&Division> {
        self.division.as_ref()
    }

    fn table(&self) -> Option<&'static Table> {
        Some(&TABLE)
    }

    fn bindings(&self, selected: Option<&&Metric>, cx: &Context<'_>) -> Vec<KeyHint> {
        let some = cx.require_row(selected.is_some(), "no metrics yet");
        let mut hints = vec![
            KeyHint::when(Action::Open, if self.expanded { "list" } else { "chart" }, some.clone()),
            KeyHint::when(Action::Left, "rate, total", some.clone()),
            KeyHint::when(Action::Right, "rate, total", some.clone()),
            KeyHint::new(Action::Sort, "sort"),
            KeyHint::new(Action::Reverse, "reverse"),
            KeyHint::when(Action::Copy, "copy", some),
        ];
        if self.expanded {
            hints.push(KeyHint::new(Action::Back, "list"));
        }
        hints
    }
}
