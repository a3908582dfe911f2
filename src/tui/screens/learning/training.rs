//! Shadow training: state, progress and charts of the training metrics. Rule: "Training log", "Shadow training".

use std::fmt::Write as _;

use ratatui::Frame;
use ratatui::layout::{Constraint, Direction, Layout, Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::training_metrics::{HELD_OUT_SCORE, RETURN, TRAINING_METRICS, TrainingMetric};
use crate::chart;
use crate::export::{ChartData, Record, record};
use crate::format::{bar, clip, count, fact, figure, percent, range, seconds, short, thousands, trend, width, wrap};
use crate::keymap::Action;
use crate::layouts::Division;
use crate::list::{ListContent, ListPane, ListView};
use crate::pane::{Context, KeyHint, Reaction, draw_empty, mark, require};
use crate::table::{Column, FittedColumns, REST, Table};
use crate::text_drawing::draw_text;
use townlet_source::RECORDING;
use townlet_wire::telemetry::{HeldOutEvaluation, Learning, LearningRow, SafetyRate};
use townlet_wire::{Request, Session};

/// Minimum size of a chart in the grid.
const MIN_CHART_SIZE: (u16, u16) = (38, 8);
/// Minimum width to put the selected chart beside the list.
const SIDE_BY_SIDE_WIDTH: u16 = 96;
/// The columns of the list.
static TABLE: Table = Table {
    name: "Training",
    columns: &[
        Column::text("metric", 14, 20, 0).of(&["metric", "title"]),
        Column::number("now", 12, 12, 0).of(&["now", "unit"]),
        Column::text("trend", 8, REST, 1),
        Column::number("min", 10, 10, 2),
        Column::number("max", 10, 10, 2),
    ],
};

pub(crate) type Training = ListPane<TrainingCharts>;

/// The state of the training, and its metrics as a grid of charts or a list.
#[derive(Default)]
pub(crate) struct TrainingCharts {
    /// Whether the selected chart fills the pane.
    expanded: bool,
    /// Where the charts of the grid were drawn; empty without a grid.
    grid: Vec<Rect>,
    grid_columns: usize,
    /// List and chart.
    division: Option<Division>,
}

/// Sign, style and text of the state.
fn state<'a>(cx: &Context<'a>) -> (&'static str, Style, &'a str) {
    let theme = cx.theme;
    match cx.view.learning.state.as_str() {
        "training" => ("▶", theme.good, "training"),
        "paused" => ("‖", theme.warn, "paused"),
        "finished" => ("✓", theme.good, "finished"),
        word @ ("diverged" | "failed") => ("✗", theme.bad, word),
        "off" | "" if cx.session.transport == RECORDING => ("–", theme.dim, "not recorded"),
        "off" | "" => ("○", theme.dim, "off"),
        other => ("·", theme.accent, other),
    }
}

/// Seconds until the schedule is finished, at the speed of the newest update.
fn left(learning: &Learning, newest: &LearningRow) -> Option<f64> {
    let rest = learning.total_steps.checked_sub(newest.steps).filter(|rest| *rest > 0)?;
    (newest.steps_per_second > 0.0).then(|| rest as f64 / newest.steps_per_second)
}

fn progress(cx: &Context<'_>, columns: usize) -> Line<'static> {
    let (learning, theme) = (&cx.view.learning, cx.theme);
    let Some(newest) = learning.history.last() else {
        return Line::styled(" no update yet: the first follows the first full rollout", theme.dim);
    };
    let total = learning.total_steps;
    let done = newest.steps as f64 / total.max(1) as f64;
    let rest = match left(learning, newest) {
        Some(rest) if learning.state == "training" => format!("{} left", seconds(rest)),
        Some(rest) => format!("{} left when resumed", seconds(rest)),
        None => "schedule finished".to_owned(),
    };
    let mut text = format!("  {} of {} resident-ticks · {rest}", short(newest.steps as f64), short(total as f64));
    let update = format!(" · update {}", thousands(newest.update));
    let wide = columns.saturating_sub(8 + width(&text) + width(&update)).clamp(6, 30);
    if columns >= 8 + wide + width(&text) + width(&update) {
        text.push_str(&update);
    }
    Line::from(vec![
        Span::raw(" "),
        Span::styled(bar(newest.steps as f64, total as f64, wide), theme.chart),
        Span::styled(format!(" {:>4}", percent(done)), theme.strong),
        Span::styled(text, theme.dim),
    ])
}

/// State, error details, progress and newest checkpoint.
fn head(cx: &Context<'_>, columns: usize) -> Vec<Line<'static>> {
    let (learning, theme) = (&cx.view.learning, cx.theme);
    let (sign, style, word) = state(cx);
    let mut first = vec![Span::styled(format!(" {sign} {}", clip(word, 20)), style)];
    if !learning.run.is_empty() {
        first.push(Span::styled(format!("  {}", clip(&learning.run, 40)), theme.text));
    }
    let mut lines = vec![Line::from(first)];
    let said = wrap(&learning.detail, columns.saturating_sub(4)).into_iter().filter(|line| !line.is_empty());
    let tone = if matches!(word, "diverged" | "failed") { theme.bad } else { theme.text };
    lines.extend(said.map(|line| Line::styled(format!("   {line}"), tone)));
    if learning.run.is_empty() && learning.history.is_empty() {
        return lines;
    }
    lines.push(progress(cx, columns));
    let checkpoint = learning.checkpoint.as_ref().map_or_else(|| "none yet".to_owned(), |name| clip(name, 40));
    let mut last = vec![Span::styled(" checkpoint ", theme.dim), Span::styled(checkpoint, theme.strong)];
    if let Some(newest) = learning.history.last() {
        let (style, sign) = theme.verdict(if newest.charter_met { "met" } else { "missed" });
        last.extend([Span::styled("   charter ", theme.dim), Span::styled(sign, style)]);
        if newest.invalid_rate > 0.0 {
            let text = format!("   ! invalid choices {}", figure(newest.invalid_rate, "ratio"));
            last.push(Span::styled(text, theme.bad));
        }
    }
    lines.push(Line::from(last));
    lines.extend(held_out(cx, columns));
    lines
}

/// The newest evaluation on held-out towns, its safety figures and the range of the training.
fn held_out(cx: &Context<'_>, columns: usize) -> Vec<Line<'static>> {
    let (learning, theme) = (&cx.view.learning, cx.theme);
    let line = |name: &str, text: &str| fact((name, theme.dim), (text, theme.text), 10, columns.saturating_sub(1));
    let steps = |count: u64| short(count as f64);
    let mut lines = match (learning.evaluations.last(), learning.next_evaluation_steps) {
        (None, None) => Vec::new(),
        (None, Some(next)) => line(" held-out", &format!("no evaluation yet, next at {} steps", steps(next))),
        (Some(newest), next) => {
            let score = |it: &HeldOutEvaluation| it.score.map_or_else(|| "–".to_owned(), |score| format!("{score:.3}"));
            let best = learning.evaluations.iter().rev().find(|it| it.best);
            let mut text = format!("score {} at {} steps", score(newest), steps(newest.steps));
            if let Some(best) = best {
                let _ = write!(text, " · best {} at {}", score(best), steps(best.steps));
            }
            let _ = write!(text, " · {} of {}", count(newest.towns, "town"), count(newest.days, "day"));
            if let Some(next) = next {
                let _ = write!(text, " · next at {}", steps(next));
            }
            let mut lines = line(" held-out", &text);
            let rate = |rate: &SafetyRate| format!("{:.2} [{:.2}, {:.2}]", rate.rate, rate.low, rate.high);
            let safety = format!(
                "starved {} · exits {} per 1,000 resident-days",
                rate(&newest.starvation),
                rate(&newest.involuntary_exits)
            );
            lines.extend(line(" safety", &safety));
            lines
        }
    };
    if let Some(range) = &learning.trained_range {
        lines.extend(line(" trains on", range));
    }
    lines
}

/// Empty state.
fn nothing(learning: &Learning, session: &Session) -> (&'static str, &'static str) {
    match learning.state.as_str() {
        "" | "off" if session.transport == RECORDING => {
            ("No training.", "A recording holds the town without its training.")
        }
        "" => ("This shard does not support training.", "Upgrade the shard, or use `townlet train`."),
        "off" => ("Training is off.", "Start the shard with `townlet run --train` or `townlet serve --train`."),
        "paused" => ("Paused before the first update.", "Press t to resume."),
        "training" => ("Waiting for the first update.", "It follows the first full rollout."),
        _ => ("Training ended before the first update.", "See the reason above. Restart the shard with `--train`."),
    }
}

impl TrainingCharts {
    /// Draws a chart with title, current value and range.
    fn chart(frame: &mut Frame<'_>, area: Rect, metric: &TrainingMetric, selected: bool, cx: &Context<'_>) {
        let theme = cx.theme;
        let points = metric.points(&cx.view.learning);
        let [title, below] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
        let now = points.last().map_or_else(|| "–".to_owned(), |point| figure(point.1, metric.unit));
        let ends = range(points.iter().map(|point| point.1)).map_or_else(String::new, |(low, high)| {
            format!("{} … {}", figure(low, metric.unit), figure(high, metric.unit))
        });
        let mark = if selected { "▸ " } else { "  " };
        let name = cx.row(selected && cx.focused).patch(theme.strong);
        let left = Line::from(vec![
            Span::styled(mark, theme.accent),
            Span::styled(metric.title, name),
            Span::styled(format!("  {now}"), theme.accent),
        ]);
        let room = usize::from(title.width).saturating_sub(left.width() + 2);
        if width(&ends) <= room {
            draw_text(frame, title, Line::styled(format!("{ends} "), theme.dim).right_aligned());
        }
        draw_text(frame, title, left);
        if points.is_empty() {
            let text = format!("    {}", metric.missing(&cx.view.learning));
            return draw_text(frame, below, Line::styled(clip(&text, below.width.into()), theme.dim));
        }
        let format_x = |steps: f64| if steps == 0.0 { "0".to_owned() } else { short(steps) };
        let value = |value: f64| figure(value, if metric.unit == "ratio" { "ratio" } else { "" });
        chart::draw(frame, below, (&points, None), (&format_x, &value), theme);
    }

    /// Draws all charts in a grid, if each gets the minimum size.
    fn draw_grid(
        &mut self,
        frame: &mut Frame<'_>,
        area: Rect,
        view: &ListView<'_, &TrainingMetric>,
        cx: &Context<'_>,
    ) -> bool {
        let shown = view.items;
        let across = usize::from(area.width / MIN_CHART_SIZE.0).min(4).min(shown.len());
        let Some(down) = (across >= 2).then(|| shown.len().div_ceil(across)) else { return false };
        if area.height < MIN_CHART_SIZE.1 * down as u16 {
            return false;
        }
        let rows = Layout::vertical(vec![Constraint::Fill(1); down]).split(area);
        let tiles = rows
            .iter()
            .flat_map(|row| Layout::horizontal(vec![Constraint::Fill(1); across]).spacing(2).split(*row).to_vec());
        self.grid_columns = across;
        self.grid = tiles.take(shown.len()).collect();
        for (index, (tile, metric)) in self.grid.iter().zip(shown).enumerate() {
            Self::chart(frame, *tile, metric, index == view.at(), cx);
        }
        true
    }

    fn row(metric: &TrainingMetric, selected: bool, columns: &FittedColumns, cx: &Context<'_>) -> Line<'static> {
        let theme = cx.theme;
        let values: Vec<f64> = metric.points(&cx.view.learning).into_iter().map(|point| point.1).collect();
        let text = |value: Option<f64>, unit| value.map_or_else(|| "–".to_owned(), |value| figure(value, unit));
        // Minimum and maximum have no space for the unit.
        let plain = if metric.unit == "ratio" { "ratio" } else { "" };
        let ends = range(values.iter().copied());
        let cell = |head: &str, width: usize| match head {
            "metric" => (metric.title.to_owned(), theme.text),
            "now" => (text(values.last().copied(), metric.unit), theme.strong),
            "min" => (text(ends.map(|ends| ends.0), plain), theme.dim),
            "max" => (text(ends.map(|ends| ends.1), plain), theme.dim),
            _ => (trend(&values, width), theme.chart),
        };
        let style = selected.then(|| cx.row(true));
        columns.row(vec![(mark(selected), theme.accent)], style, |head, width| cell(head, width).into())
    }

    /// Draws the metrics as a list, and a chart of the selected one if there is space.
    fn draw_list(
        &mut self,
        frame: &mut Frame<'_>,
        area: Rect,
        mut view: ListView<'_, &TrainingMetric>,
        cx: &Context<'_>,
    ) {
        let rows = view.items.len() as u16 + 2;
        self.division = if area.width >= SIDE_BY_SIDE_WIDTH {
            let parts = [Constraint::Length(area.width / 2 + 6), Constraint::Fill(1)];
            Some(cx.layouts.divide("training columns", Direction::Horizontal, area, &parts))
        } else if area.height >= rows + chart::MIN_ROWS {
            let parts = [Constraint::Length(rows), Constraint::Fill(1)];
            Some(cx.layouts.divide("training rows", Direction::Vertical, area, &parts))
        } else {
            None
        };
        let (list, mut beside) = self.division.as_ref().map_or((area, Rect::ZERO), |it| (it.parts[0], it.parts[1]));
        if beside.x > list.x {
            beside = Rect { x: beside.x + 1, width: beside.width - 1, ..beside };
        }
        let [head, rows] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(list);
        let columns = TABLE.fit(cx.layouts, usize::from(list.width).saturating_sub(2), &[]);
        draw_text(frame, head, columns.heads(2, None, cx.theme));
        view.draw(frame, rows, cx, |metric, selected| Self::row(metric, selected, &columns, cx));
        if beside.height > chart::MIN_ROWS {
            let selected = view.items[view.at()];
            // The return alone says little, so the score on held-out towns is below it.
            let other = if selected.name == HELD_OUT_SCORE { RETURN } else { HELD_OUT_SCORE };
            let other = TRAINING_METRICS.iter().find(|metric| metric.name == other);
            let both = other.filter(|_| beside.height > 2 * MIN_CHART_SIZE.1);
            if let Some(other) = both {
                let [upper, lower] = Layout::vertical([Constraint::Fill(1); 2]).spacing(1).areas(beside);
                Self::chart(frame, lower, other, false, cx);
                beside = upper;
            }
            Self::chart(frame, beside, selected, false, cx);
        }
    }
}

impl ListContent for TrainingCharts {
    type Item<'a> = &'static TrainingMetric;
    const TITLE: &'static str = "Training";

    fn items(&self, cx: &Context<'_>) -> Vec<&'static TrainingMetric> {
        TRAINING_METRICS.iter().filter(|metric| cx.matches(&[metric.name, metric.title])).collect()
    }

    fn id(metric: &&'static TrainingMetric) -> String {
        metric.name.to_owned()
    }

    fn chart_data(&self, metric: &&'static TrainingMetric, cx: &Context<'_>) -> Option<ChartData> {
        Some(ChartData {
            name: metric.name.to_owned(),
            title: metric.title.to_owned(),
            unit: metric.unit.to_owned(),
            points: metric.points(&cx.view.learning),
            target: None,
            scale: None,
            axis: "steps",
        })
    }

    fn record(metric: &&'static TrainingMetric, cx: &Context<'_>) -> Record {
        record([
            ("metric", metric.name.to_owned()),
            ("title", metric.title.to_owned()),
            ("unit", metric.unit.to_owned()),
            ("now", metric.points(&cx.view.learning).last().map_or_else(String::new, |point| point.1.to_string())),
        ])
    }

    fn is_about_item(action: Action) -> bool {
        action != Action::Train
    }

    fn draw(
        &mut self,
        frame: &mut Frame<'_>,
        area: Rect,
        view: ListView<'_, &'static TrainingMetric>,
        cx: &Context<'_>,
    ) {
        self.grid.clear();
        self.division = None;
        let head = head(cx, area.width.into());
        let used = head.len() as u16;
        draw_text(frame, area, head);
        let body = Rect { y: area.y + used, height: area.height.saturating_sub(used), ..area };
        if cx.view.learning.history.is_empty() {
            let (missing, advice) = nothing(&cx.view.learning, cx.session);
            return draw_empty(frame, body, missing, advice, cx.theme);
        }
        let Some(selected) = view.selected() else {
            return cx.draw_no_items(frame, body, "metrics", ("", ""));
        };
        let spaced = u16::from(body.height > 12);
        let body = Rect { y: body.y + spaced, height: body.height.saturating_sub(spaced), ..body };
        if self.expanded {
            Self::chart(frame, body, selected, false, cx);
        } else if !self.draw_grid(frame, body, &view, cx) {
            self.draw_list(frame, body, view, cx);
        }
    }

    fn division(&self) -> Option<&Division> {
        self.division.as_ref()
    }

    fn table(&self) -> Option<&'static Table> {
        Some(&TABLE)
    }

    fn act(
        &mut self,
        action: Action,
        view: &mut ListView<'_, &'static TrainingMetric>,
        cx: &Context<'_>,
    ) -> Option<Reaction> {
        let learning = &cx.view.learning;
        // In the grid, up and down move by a row of charts. Otherwise every step selects the next chart.
        let row = if self.grid.is_empty() { 1 } else { self.grid_columns.max(1) as isize };
        let step = match action {
            Action::Left => -1,
            Action::Right => 1,
            Action::Up => -row,
            Action::Down => row,
            Action::Train => {
                let verb = if learning.state == "paused" { "resume" } else { "pause" };
                return Some(Reaction::Send(vec![Request::line(format!("training {verb}"))]));
            }
            Action::Open | Action::Back => {
                self.expanded = action == Action::Open && !self.expanded;
                return Some(Reaction::Redraw);
            }
            Action::Copy => {
                let (metric, row) = (view.selected()?, learning.history.last()?);
                let value = metric.newest(learning).map_or_else(|| "–".to_owned(), |value| value.to_string());
                let text = format!("{} {value} at {} steps, update {}", metric.name, row.steps, row.update);
                return Some(Reaction::Copy(text));
            }
            _ => return None,
        };
        let to = view.at().checked_add_signed(step).filter(|to| *to < view.items.len());
        Some(to.map_or(Reaction::None, |to| view.select(to)))
    }

    fn click(&mut self, at: Position, view: &mut ListView<'_, &'static TrainingMetric>) -> Option<Reaction> {
        self.grid.iter().position(|tile| tile.contains(at)).map(|index| view.select(index))
    }

    fn bindings(&self, selected: Option<&&'static TrainingMetric>, cx: &Context<'_>) -> Vec<KeyHint> {
        let learning = &cx.view.learning;
        let some = require(!learning.history.is_empty(), "no update yet")
            .and_then(|()| cx.require_row(selected.is_some(), "no update yet"));
        let (verb, may) = match learning.state.as_str() {
            "paused" => ("resume training", cx.check_allowed("training resume")),
            "training" => ("pause training", cx.check_allowed("training pause")),
            "off" | "" if cx.session.transport == RECORDING => ("pause training", cx.check_allowed("training pause")),
            "off" | "" => ("pause training", Err("training is off; start the shard with `--train`".to_owned())),
            other => ("pause training", Err(format!("training has {}", other.replace('_', " ")))),
        };
        let mut hints = vec![
            KeyHint::when(Action::Open, if self.expanded { "all charts" } else { "one chart" }, some.clone()),
            KeyHint::when(Action::Train, verb, may),
            KeyHint::when(Action::Copy, "copy", some),
        ];
        if self.expanded {
            hints.push(KeyHint::new(Action::Back, "all charts"));
        }
        hints
    }
}
