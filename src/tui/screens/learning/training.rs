//! Shadow training: state, progress and charts of the training metrics. Rule: "Training log", "Shadow training".

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::training_metrics::{TRAINING_METRICS, TrainingMetric};
use crate::chart;
use crate::format::{
    bar, clip, downsampled, figure, pad, pad_left, percent, seconds, short, spark, thousands, width, wrap,
};
use crate::keymap::Action;
use crate::list::List;
use crate::pane::{Context, KeyHint, Pane, Reaction, draw_empty, pane_block};
use townlet_wire::Request;
use townlet_wire::telemetry::{Learning, LearningRow};

/// Minimum size of a chart in the grid.
const MIN_CHART_SIZE: (u16, u16) = (38, 8);
/// Minimum width to put the selected chart beside the list.
const SIDE_BY_SIDE_WIDTH: u16 = 96;
/// Width of the list's title, value, minimum and maximum.
const FIGURES: usize = 20 + 12 + 2 * 11;

/// The Training pane.
#[derive(Default)]
pub struct Training {
    list: List,
    /// Whether the selected chart fills the pane.
    expanded: bool,
    /// Where the charts of the grid were drawn; empty without a grid.
    grid: Vec<Rect>,
    grid_columns: usize,
}

/// Sign, style and text of the state.
fn state<'a>(cx: &Context<'a>) -> (&'static str, Style, &'a str) {
    let theme = cx.theme;
    match cx.view.learning.state.as_str() {
        "training" => ("▶", theme.good, "training"),
        "paused" => ("‖", theme.warn, "paused"),
        "finished" => ("✓", theme.good, "finished"),
        word @ ("diverged" | "failed") => ("✗", theme.bad, word),
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
    lines
}

/// Empty state.
fn nothing(learning: &Learning) -> (&'static str, &'static str) {
    match learning.state.as_str() {
        "" => ("This shard does not support training.", "Upgrade the shard, or use `townlet train`."),
        "off" => ("Training is off.", "Start the shard with `townlet run --train` or `townlet serve --train`."),
        "paused" => ("Paused before the first update.", "Press t to resume."),
        "training" => ("Waiting for the first update.", "It follows the first full rollout."),
        _ => ("Training ended before the first update.", "See the reason above. Restart the shard with `--train`."),
    }
}

impl Training {
    fn shown(cx: &Context<'_>) -> Vec<&'static TrainingMetric> {
        TRAINING_METRICS.iter().filter(|metric| cx.matches(&[metric.name, metric.title])).collect()
    }

    fn ids(cx: &Context<'_>) -> Vec<String> {
        Self::shown(cx).into_iter().map(|metric| metric.name.to_owned()).collect()
    }

    /// Draws a chart with title, current value and range.
    fn chart(frame: &mut Frame<'_>, area: Rect, metric: &TrainingMetric, selected: bool, cx: &Context<'_>) {
        let theme = cx.theme;
        let points = metric.points(&cx.view.learning);
        let [title, below] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
        let now = points.last().map_or_else(|| "–".to_owned(), |point| figure(point.1, metric.unit));
        let ends = chart::range(points.iter().map(|point| point.1)).map_or_else(String::new, |(low, high)| {
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
            frame.render_widget(Line::styled(format!("{ends} "), theme.dim).right_aligned(), title);
        }
        frame.render_widget(left, title);
        if points.is_empty() {
            return frame.render_widget(Line::styled("    no value yet", theme.dim), below);
        }
        let format_x = |steps: f64| if steps == 0.0 { "0".to_owned() } else { short(steps) };
        let value = |value: f64| figure(value, if metric.unit == "ratio" { "ratio" } else { "" });
        chart::draw(
            frame,
            below,
            &chart::LineChart { points: &points, target: None, format_x: &format_x, format_y: &value },
            theme,
        );
    }

    /// Draws all charts in a grid, if each gets the minimum size.
    fn draw_grid(
        &mut self,
        frame: &mut Frame<'_>,
        area: Rect,
        shown: &[&TrainingMetric],
        at: usize,
        cx: &Context<'_>,
    ) -> bool {
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
            Self::chart(frame, *tile, metric, index == at, cx);
        }
        true
    }

    fn row(metric: &TrainingMetric, selected: bool, columns: usize, cx: &Context<'_>) -> Line<'static> {
        let (learning, base) = (&cx.view.learning, cx.row(selected));
        let values: Vec<f64> = metric.points(learning).into_iter().map(|point| point.1).collect();
        let text = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| figure(value, metric.unit));
        // Minimum and maximum have no space for the unit.
        let plain = if metric.unit == "ratio" { "ratio" } else { "" };
        let end = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| figure(value, plain));
        let ends = chart::range(values.iter().copied());
        let over = |style: Style| if selected { base } else { style };
        let trend = columns.saturating_sub(2 + FIGURES + 2);
        Line::from(vec![
            Span::styled(if selected { "▸ " } else { "  " }, over(cx.theme.accent)),
            Span::styled(pad(metric.title, 20), base),
            Span::styled(pad_left(&text(values.last().copied()), 12), over(cx.theme.strong)),
            Span::styled("  ", base),
            Span::styled(pad(&spark(&downsampled(&values, trend), trend), trend), over(cx.theme.chart)),
            Span::styled(pad_left(&end(ends.map(|ends| ends.0)), 11), over(cx.theme.dim)),
            Span::styled(pad_left(&end(ends.map(|ends| ends.1)), 11), over(cx.theme.dim)),
        ])
    }

    /// Draws the metrics as a list, and a chart of the selected one if there is space.
    fn draw_list(
        &mut self,
        frame: &mut Frame<'_>,
        (pane, area): (Rect, Rect),
        shown: &[&TrainingMetric],
        cx: &Context<'_>,
    ) {
        let (mut list, mut beside) = (area, Rect::ZERO);
        if area.width >= SIDE_BY_SIDE_WIDTH {
            [list, beside] = Layout::horizontal([Constraint::Length(area.width / 2 + 6), Constraint::Fill(1)])
                .spacing(1)
                .areas(area);
        } else if area.height >= shown.len() as u16 + 2 + chart::MIN_ROWS {
            let rows = [Constraint::Length(shown.len() as u16 + 2), Constraint::Fill(1)];
            [list, beside] = Layout::vertical(rows).areas(area);
        }
        let [head, rows] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(list);
        let columns = usize::from(list.width);
        let trend = columns.saturating_sub(2 + FIGURES);
        let text = format!(
            "  {}{}  {}{}{}",
            pad("metric", 20),
            pad_left("now", 12),
            pad("trend", trend.saturating_sub(2)),
            pad_left("min", 11),
            pad_left("max", 11)
        );
        frame.render_widget(Line::styled(text, cx.theme.dim), head);
        let (at, seen) = self.list.layout(frame, (pane, rows), &Self::ids(cx), cx.theme);
        let lines: Vec<Line<'_>> = seen.map(|index| Self::row(shown[index], index == at, columns, cx)).collect();
        frame.render_widget(Paragraph::new(lines), rows);
        if beside.height > chart::MIN_ROWS {
            Self::chart(frame, beside, shown[at], false, cx);
        }
    }
}

impl Pane for Training {
    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, cx: &Context<'_>) {
        let block = pane_block("Training", cx.focused, cx.theme);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        self.grid.clear();
        self.list.hide();
        let head = head(cx, inner.width.into());
        let used = head.len() as u16;
        frame.render_widget(Paragraph::new(head), inner);
        let body = Rect { y: inner.y + used, height: inner.height.saturating_sub(used), ..inner };
        if cx.view.learning.history.is_empty() {
            let (missing, advice) = nothing(&cx.view.learning);
            return draw_empty(frame, body, missing, advice, cx.theme);
        }
        let shown = Self::shown(cx);
        if shown.is_empty() {
            return draw_empty(frame, body, "No metrics match the filter.", "Press esc to clear it.", cx.theme);
        }
        let at = self.list.selected_index(&Self::ids(cx));
        let spaced = u16::from(body.height > 12);
        let body = Rect { y: body.y + spaced, height: body.height.saturating_sub(spaced), ..body };
        if self.expanded {
            Self::chart(frame, body, shown[at], false, cx);
        } else if !self.draw_grid(frame, body, &shown, at, cx) {
            self.draw_list(frame, (area, body), &shown, cx);
        }
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Reaction {
        let ids = Self::ids(cx);
        let at = self.list.selected_index(&ids);
        let step = match action {
            Action::Left => -1,
            Action::Right => 1,
            Action::Up => -(self.grid_columns.max(1) as isize),
            Action::Down => self.grid_columns.max(1) as isize,
            _ => 0,
        };
        match (action, Self::shown(cx).get(at)) {
            (Action::Train, _) => {
                let verb = if cx.view.learning.state == "paused" { "resume" } else { "pause" };
                Reaction::Send(vec![Request::line(format!("training {verb}"))])
            }
            (Action::Open | Action::Back, _) => {
                self.expanded = action == Action::Open && !self.expanded;
                Reaction::Redraw
            }
            (Action::Copy, Some(metric)) => match cx.view.learning.history.last() {
                Some(row) => Reaction::Copy(format!(
                    "{} {} at {} steps, update {}",
                    metric.name,
                    (metric.value)(row).map_or_else(|| "–".to_owned(), |value| value.to_string()),
                    row.steps,
                    row.update
                )),
                None => Reaction::None,
            },
            // In the grid, down moves by a row of charts. Otherwise every step selects the next chart.
            (Action::Left | Action::Right | Action::Up | Action::Down, Some(_)) => {
                let step = if self.grid.is_empty() { step.signum() } else { step };
                match at.checked_add_signed(step).filter(|to| *to < ids.len()) {
                    Some(to) => self.list.select(&ids, to),
                    None => Reaction::None,
                }
            }
            _ => self.list.act(action, &ids),
        }
    }

    fn click(&mut self, column: u16, row: u16, cx: &Context<'_>) -> Reaction {
        let ids = Self::ids(cx);
        match self.grid.iter().position(|tile| tile.contains((column, row).into())) {
            Some(index) => self.list.select(&ids, index),
            None => self.list.click(column, row, &ids),
        }
    }

    fn bindings(&self, cx: &Context<'_>) -> Vec<KeyHint> {
        let learning = &cx.view.learning;
        let some = if learning.history.is_empty() { Err("no update yet".to_owned()) } else { Ok(()) };
        let (verb, may) = match learning.state.as_str() {
            "paused" => ("resume training", cx.check_allowed("training resume")),
            "training" => ("pause training", cx.check_allowed("training pause")),
            "off" | "" => ("pause training", Err("training is off; start the shard with `--train`".to_owned())),
            other => ("pause training", Err(format!("training has {}", other.replace('_', " ")))),
        };
        let mut hints = vec![
            KeyHint::when(Action::Up, "select", some.clone()),
            KeyHint::when(Action::Down, "select", some.clone()),
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
