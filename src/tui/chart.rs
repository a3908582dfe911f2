//! Line chart of one metric: axes with units and a dotted line for the target. Rule: "Screens".

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Chart, Dataset, GraphType};

use super::format::{clock, figure, range, scale_of};
use super::pane::Context;
use super::text_drawing::draw_text;
use super::theme::Theme;
use townlet_wire::escape;

/// Height below which a sparkline shows more.
pub(crate) const MIN_ROWS: u16 = 5;
/// Rows and columns that a chart with its title needs to be worth its space.
pub(crate) const WORTHWHILE: (u16, u16) = (9, 40);
/// Columns between two dots of the target line.
const TARGET_DOT_STEP: u16 = 3;

/// Bounds of the y axis: a flat line gets space above and below it.
fn padded((low, high): (f64, f64)) -> [f64; 2] {
    if high > low {
        return [low, high];
    }
    let around = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
    [low - around, high + around]
}

/// Formats ticks on the x axis: `day 4 09:38`.
pub(crate) fn tick_label(ticks_per_day: u64) -> impl Fn(f64) -> String {
    let per_day = ticks_per_day.max(1);
    move |tick| format!("day {} {}", tick as u64 / per_day + 1, clock(tick as u64, per_day))
}

/// Draws a metric of the history over the town's days below its title, with its newest value. Small panes have no charts.
pub(crate) fn draw_metric(frame: &mut Frame<'_>, area: Rect, name: &str, cx: &Context<'_>) {
    let Some(metric) = cx.view.metrics().iter().find(|metric| metric.name == name) else { return };
    let [title, below] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    let (theme, unit) = (cx.theme, metric.unit.as_str());
    let now = metric.value.map_or_else(|| "–".to_owned(), |value| figure(value, unit));
    let target = metric.target.as_ref().map_or_else(String::new, |target| format!("  {}", target.1));
    let line = [
        Span::styled(format!(" {}", escape(&metric.title)), theme.strong),
        Span::styled(format!("  {now}"), theme.accent),
        Span::styled(escape(&target), theme.dim),
    ];
    draw_text(frame, title, Line::from_iter(line));
    let points = cx.history.full().points(name);
    if points.len() < 2 {
        return draw_text(frame, below, Line::styled(" The chart is recorded while the town runs.", theme.dim));
    }
    let words = |value: f64| figure(value, if unit == "ratio" { "ratio" } else { "" });
    let data = (points.as_slice(), metric.target.as_ref().map(|target| target.0), scale_of(unit));
    draw_on(frame, below, data, (&tick_label(cx.view.clock.ticks_per_day), &words), theme);
}

/// Draws points in ascending order of x, those that are not finite left out, and the target. `labels` format the positions on
/// the x axis and the values on the y axis.
pub(crate) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    (points, target): (&[(f64, f64)], Option<f64>),
    labels: (Label<'_>, Label<'_>),
    theme: &Theme,
) {
    draw_on(frame, area, (points, target, None), labels, theme);
}

/// Points, target value, and the fixed scale of the y axis.
type Data<'a> = (&'a [(f64, f64)], Option<f64>, Option<(f64, f64)>);

/// The label of a position on an axis.
type Label<'a> = &'a dyn Fn(f64) -> String;

/// [`draw`] on a fixed scale of the y axis, which grows when a value is outside.
pub(crate) fn draw_on(
    frame: &mut Frame<'_>,
    area: Rect,
    (points, target, scale): Data<'_>,
    labels: (Label<'_>, Label<'_>),
    theme: &Theme,
) {
    let ends = scale.into_iter().flat_map(|(low, high)| [low, high]);
    let points: Vec<(f64, f64)> = points.iter().copied().filter(|point| point.1.is_finite()).collect();
    let (Some(across), Some(up)) = (
        range(points.iter().map(|point| point.0)),
        range(points.iter().map(|point| point.1).chain(target).chain(ends)),
    ) else {
        return;
    };
    let (across, up) = ([across.0, across.1.max(across.0 + 1.0)], padded(up));
    let dots: Vec<(f64, f64)> = target.map_or_else(Vec::new, |target| {
        let count = (area.width / TARGET_DOT_STEP).max(2);
        let step = (across[1] - across[0]) / f64::from(count - 1);
        (0..count).map(|at| (across[0] + step * f64::from(at), target)).collect()
    });
    let line = Dataset::default().marker(Marker::Braille).graph_type(GraphType::Line);
    let dotted = Dataset::default().marker(Marker::Dot).graph_type(GraphType::Scatter).style(theme.warn).data(&dots);
    let label = |text: String| Span::styled(text, theme.dim);
    let mut heights = vec![label(labels.1(up[0]))];
    if area.height >= 9 {
        heights.push(label(labels.1(f64::midpoint(up[0], up[1]))));
    }
    heights.push(label(labels.1(up[1])));
    let mut places = vec![label(labels.0(across[0]))];
    if area.width >= 60 {
        places.push(label(labels.0(f64::midpoint(across[0], across[1]))));
    }
    places.push(label(labels.0(across[1])));
    let chart = Chart::new(vec![dotted, line.style(theme.chart).data(&points)])
        .x_axis(Axis::default().style(theme.border).bounds(across).labels(places))
        .y_axis(Axis::default().style(theme.border).bounds(up).labels(heights));
    frame.render_widget(chart, area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::screenshot;

    fn picture(points: &[(f64, f64)], target: Option<f64>, (width, height): (u16, u16)) -> String {
        let theme = Theme::named("dark", true).unwrap();
        let words = |value: f64| format!("{value:.1}");
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, frame.area(), (points, target), (&words, &words), &theme)).unwrap();
        screenshot::text(terminal.backend().buffer())
    }

    #[test]
    fn axes_name_their_ends_and_the_target_is_inside() {
        let text = picture(&[(0.0, 1.0), (5.0, 3.0), (10.0, 2.0)], Some(4.0), (40, 10));
        for words in ["4.0", "1.0", "2.5", "0.0", "10.0", "•"] {
            assert!(text.contains(words), "{words}\n{text}");
        }
    }

    #[test]
    fn a_ratio_that_is_constant_stays_on_its_scale() {
        let theme = Theme::named("dark", true).unwrap();
        let words = |value: f64| format!("{:.0} %", value * 100.0);
        let mut terminal = Terminal::new(TestBackend::new(40, 10)).unwrap();
        let series = (&[(0.0, 1.0), (5.0, 1.0)][..], None, Some((0.0, 1.0)));
        terminal.draw(|frame| draw_on(frame, frame.area(), series, (&words, &words), &theme)).unwrap();
        let text = screenshot::text(terminal.backend().buffer());
        assert!(text.contains("100 %") && text.contains("0 %") && !text.contains("110 %"), "{text}");
    }

    #[test]
    fn flat_single_and_broken_values_are_drawn_or_left_out() {
        assert!(picture(&[(0.0, 2.0), (1.0, 2.0)], None, (30, 6)).contains("2.2"));
        assert!(picture(&[(3.0, 0.0)], None, (30, 6)).contains("-1.0"));
        assert_eq!(picture(&[(0.0, f64::NAN)], None, (30, 6)).trim(), "");
        for size in [(1, 1), (2, 9), (30, 2)] {
            let _ = picture(&[(0.0, f64::INFINITY), (1.0, 2.0), (2.0, 1.0)], Some(1.5), size);
        }
    }
}
