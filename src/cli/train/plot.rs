//! Learning curves as text for a terminal and as SVG.

use std::fmt::Write as _;

use townlet_learn::train::Row;

/// A curve's title, and its value in a row.
pub(super) type Curve = (&'static str, fn(&Row) -> Option<f64>);

pub(super) const HELD_OUT_SCORE: Curve = ("held-out score", |row| row.evaluation.as_ref()?.score);
pub(super) const STARVED: Curve = ("starved, held out", |row| Some(row.evaluation.as_ref()?.starvation_rate));
pub(super) const LATEST_SCORE: Curve = ("score, latest days", |row| row.town_score);
pub(super) const RETURN_PER_DAY: Curve = ("return per day", |row| row.return_per_day);

const CURVES: [Curve; 11] = [
    HELD_OUT_SCORE,
    STARVED,
    ("exits, held out", |row| Some(row.evaluation.as_ref()?.involuntary_exit_rate)),
    LATEST_SCORE,
    RETURN_PER_DAY,
    ("self-sufficiency", |row| kpi(row, "self_sufficiency")),
    ("tenure, days", |row| kpi(row, "tenure")),
    ("relationship coverage", |row| kpi(row, "relationship_coverage")),
    ("attendance", |row| kpi(row, "attendance")),
    ("entropy", |row| Some(row.entropy)),
    ("explained variance", |row| row.explained_variance),
];

/// Columns of a curve in a terminal.
const COLUMNS: usize = 60;
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

fn kpi(row: &Row, name: &str) -> Option<f64> {
    row.kpis.iter().find(|kpi| kpi.name == name).and_then(|kpi| kpi.value)
}

/// A curve's points as (steps, value).
fn points(rows: &[Row], value: fn(&Row) -> Option<f64>) -> Vec<(f64, f64)> {
    rows.iter().filter_map(|row| Some((row.steps as f64, value(row)?))).filter(|point| point.1.is_finite()).collect()
}

fn range(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    townlet_tui::format::range(points.iter().map(|point| point.1))
}

/// One line per curve: title, minimum, curve, maximum, last value.
pub(super) fn terminal(rows: &[Row]) -> String {
    let last_step = rows.last().map_or(1.0, |row| row.steps as f64).max(1.0);
    let mut text = String::new();
    for (title, value) in CURVES {
        let points = points(rows, value);
        let Some((low, high)) = range(&points) else { continue };
        let mut cells = [None::<(f64, u32)>; COLUMNS];
        for (step, value) in &points {
            let cell = ((step / last_step * COLUMNS as f64) as usize).min(COLUMNS - 1);
            let (sum, count) = cells[cell].unwrap_or_default();
            cells[cell] = Some((sum + value, count + 1));
        }
        let block = |cell: &Option<(f64, u32)>| {
            cell.map_or(' ', |(sum, count)| {
                let share = (sum / f64::from(count) - low) / (high - low).max(1e-12);
                BLOCKS[((share * 8.0) as usize).min(7)]
            })
        };
        let curve: String = cells.iter().map(block).collect();
        let last = points.last().map_or(0.0, |point| point.1);
        let _ = writeln!(text, "{title:<22} {low:>8.3} {curve} {high:>8.3}  last {last:.3}");
    }
    text
}

/// Width and height of one curve, and the space around it.
const FIELD: (f64, f64) = (360.0, 120.0);
const MARGIN: f64 = 40.0;

/// A line of a panel.
#[derive(Default)]
pub(super) struct Series {
    /// (steps, value), in the order of the steps.
    pub(super) points: Vec<(f64, f64)>,
    /// An area around the line: (steps, lowest, highest).
    pub(super) band: Vec<(f64, f64, f64)>,
    /// Whether it stays in the background.
    pub(super) faint: bool,
}

/// One field of a plot. The last series is drawn above the others.
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) series: Vec<Series>,
}

/// All curves in two columns.
pub(super) fn svg(run: &str, rows: &[Row]) -> String {
    let heading = format!(
        "{run}: {:.1} million resident-ticks in {:.1} minutes",
        rows.last().map_or(0.0, |row| row.steps as f64 / 1e6),
        rows.last().map_or(0.0, |row| row.seconds / 60.0),
    );
    let panel = |(title, value): &Curve| Panel {
        title: (*title).to_owned(),
        series: vec![Series { points: points(rows, *value), ..Series::default() }],
    };
    svg_panels(&heading, &CURVES.iter().map(panel).collect::<Vec<_>>())
}

/// Panels in two columns over the same steps, each with the range of its values.
pub(super) fn svg_panels(heading: &str, panels: &[Panel]) -> String {
    // A single panel takes both columns.
    let field = if panels.len() == 1 { (2.0 * FIELD.0 + MARGIN, 2.0 * FIELD.1) } else { FIELD };
    let lines = panels.len().div_ceil(2) as f64;
    let (width, height) = (2.0 * (FIELD.0 + MARGIN) + MARGIN, lines * (field.1 + MARGIN) + MARGIN * 1.5);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"{MARGIN}\" y=\"24\" font-size=\"15\">{heading}</text>\n",
    );
    let steps = panels.iter().flat_map(|panel| &panel.series).flat_map(|series| &series.points);
    let last_step = steps.map(|point| point.0).fold(1.0, f64::max);
    for (place, panel) in panels.iter().enumerate() {
        let left = MARGIN + (place % 2) as f64 * (field.0 + MARGIN);
        let top = MARGIN * 1.5 + (place / 2) as f64 * (field.1 + MARGIN);
        let points = panel.series.iter().flat_map(|series| series.points.iter().map(|point| point.1));
        let bands = panel.series.iter().flat_map(|series| series.band.iter().flat_map(|(_, low, high)| [*low, *high]));
        let range = townlet_tui::format::range(points.chain(bands));
        let (low, high) = range.unwrap_or((0.0, 1.0));
        let at = |step: f64, value: f64| {
            let share = (value - low) / (high - low).max(1e-12);
            format!("{:.1},{:.1}", left + step / last_step * field.0, top + field.1 * (1.0 - share))
        };
        let last = panel.series.last().and_then(|series| series.points.last()).map_or(0.0, |point| point.1);
        let values = range.map_or("no values".to_owned(), |_| format!("{low:.3} to {high:.3}, last {last:.3}"));
        let _ = writeln!(
            svg,
            "<rect x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#cccccc\"/>\n\
             <text x=\"{left}\" y=\"{}\">{}: {values}</text>",
            field.0,
            field.1,
            top - 6.0,
            panel.title,
        );
        for series in &panel.series {
            let (colour, width) = if series.faint { ("#b9c4ce", 0.8) } else { ("#1f6fb2", 1.2) };
            if !series.band.is_empty() {
                let upper = series.band.iter().map(|(step, _, high)| at(*step, *high));
                let lower = series.band.iter().rev().map(|(step, low, _)| at(*step, *low));
                let corners: Vec<String> = upper.chain(lower).collect();
                let _ =
                    writeln!(svg, "<polygon points=\"{}\" fill=\"#1f6fb2\" fill-opacity=\"0.2\"/>", corners.join(" "));
            }
            let line: Vec<String> = series.points.iter().map(|(step, value)| at(*step, *value)).collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>",
                line.join(" ")
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = |step: u32| Row {
            steps: u64::from(step) * 100,
            return_per_day: Some(f64::from(step)),
            entropy: 1.0,
            ..Row::default()
        };
        (1..=10).map(row).collect()
    }

    #[test]
    fn a_rising_curve_rises() {
        let text = terminal(&rows());
        let first = text.lines().next().expect("a curve");
        let drawn: Vec<char> = first.chars().filter(|character| BLOCKS.contains(character)).collect();
        assert!(drawn.windows(2).all(|pair| pair[0] <= pair[1]) && drawn[0] == '▁' && drawn[9] == '█', "{first}");
        assert!(first.ends_with("last 10.000"), "{first}");
        assert_eq!(terminal(&[]), "");
    }

    #[test]
    fn the_svg_contains_every_curve() {
        let svg = svg("run", &rows());
        for (title, _) in CURVES {
            assert!(svg.contains(title), "{title}");
        }
        assert!(svg.contains("return per day: 1.000 to 10.000, last 10.000</text>"), "{svg}");
        assert!(svg.contains("400.0,380.0\""), "the last point is at the top right of the third row: {svg}");
        assert!(svg.contains("held-out score: no values</text>"), "{svg}");
    }

    #[test]
    fn a_band_surrounds_its_line_and_the_range_includes_it() {
        let series = Series {
            points: vec![(0.0, 1.0), (10.0, 2.0)],
            band: vec![(0.0, 0.0, 1.5), (10.0, 1.0, 4.0)],
            faint: false,
        };
        let svg = svg_panels("seeds", &[Panel { title: "score".into(), series: vec![series] }]);
        assert!(svg.contains("score: 0.000 to 4.000, last 2.000"), "{svg}");
        // The upper edge from left to right, then the lower edge back.
        assert!(svg.contains("points=\"40.0,210.0 800.0,60.0 800.0,240.0 40.0,300.0\""), "{svg}");
        assert!(svg.contains("points=\"40.0,240.0 800.0,180.0\""), "{svg}");
    }
}
