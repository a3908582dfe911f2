//! Export of tables and charts: CSV, and SVG for charts. The shell writes the files. Rule: "Screens".

use std::borrow::Cow;
use std::fmt::Write as _;

use super::format::range;

/// Size of a chart in pixels, and the space around its plot: left, top, right, bottom.
const SIZE: (f64, f64) = (720.0, 360.0);
const MARGIN: (f64, f64, f64, f64) = (88.0, 40.0, 24.0, 44.0);

/// A row of a table: names and values of its columns. Values are plain: numbers without units or separators, lists with blanks
/// between their values.
pub type Record = Vec<(Cow<'static, str>, String)>;

/// A row of columns whose names are fixed.
pub(crate) fn record<const N: usize>(fields: [(&'static str, String); N]) -> Record {
    fields.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect()
}

/// One series with its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct ChartData {
    /// For the file, such as `kpi.tenure`.
    pub name: String,
    /// Heading.
    pub title: String,
    /// Unit of the values.
    pub unit: String,
    /// Positions and values.
    pub points: Vec<(f64, f64)>,
    /// Target as a number and as text.
    pub target: Option<(f64, String)>,
    /// The fixed scale of the values, if they have one.
    pub scale: Option<(f64, f64)>,
    /// Name of the horizontal axis: `tick`, `update`.
    pub axis: &'static str,
}

/// What a pane exports: its rows as shown, filtered and sorted, and its chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Export {
    /// Rows.
    pub rows: Vec<Record>,
    /// The selected chart.
    pub chart: Option<ChartData>,
}

impl Export {
    /// Keeps these fields of each row, in this order; `needs` also keeps `needs.hunger`. Where no field is left, all are kept.
    pub(crate) fn keep(&mut self, fields: &[&str]) {
        let fits = |field: &str, name: &str| {
            field.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let kept = |row: &Record| -> Record {
            fields.iter().flat_map(|name| row.iter().filter(|(field, _)| fits(field, name))).cloned().collect()
        };
        let rows: Vec<Record> = self.rows.iter().map(kept).collect();
        if rows.iter().any(|row| !row.is_empty()) {
            self.rows = rows;
        }
    }
}

/// A file to write: name without number and extension, extension, content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportFile {
    /// Such as `townlet-metrics-3402`.
    pub stem: String,
    /// `csv` or `svg`.
    pub extension: &'static str,
    /// Content.
    pub text: String,
}

/// The files of an export; none when there is nothing in it.
pub(crate) fn files(export: &Export, pane: &str, tick: u64) -> Vec<ExportFile> {
    let pane = plain_name(pane);
    let stem = format!("townlet-{pane}-{tick}");
    let mut files = Vec::new();
    if !export.rows.is_empty() {
        files.push(ExportFile { stem, extension: "csv", text: table(&export.rows) });
    }
    if let Some(chart) = export.chart.as_ref().filter(|chart| !chart.points.is_empty()) {
        let stem = format!("townlet-{pane}-{}-{tick}", plain_name(&chart.name));
        files.push(ExportFile { stem: stem.clone(), extension: "csv", text: series(chart) });
        files.push(ExportFile { stem, extension: "svg", text: svg(chart) });
    }
    files
}

/// Letters, digits, dots and dashes, so that no name from outside becomes a path.
fn plain_name(name: &str) -> String {
    let plain = |character: char| if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '-' };
    name.chars().map(plain).take(48).collect()
}

/// A table with a heading: the columns of any row, in the order in which they first occur.
fn table(rows: &[Record]) -> String {
    let mut columns: Vec<&str> = Vec::new();
    for (name, _) in rows.iter().flatten() {
        if !columns.contains(&&**name) {
            columns.push(name);
        }
    }
    let mut text = columns.iter().map(|name| cell(name)).collect::<Vec<_>>().join(",");
    text.push_str("\r\n");
    for row in rows {
        let value = |column: &&str| {
            row.iter().find(|(name, _)| name == column).map_or_else(String::new, |(_, value)| cell(value))
        };
        text.push_str(&columns.iter().map(value).collect::<Vec<_>>().join(","));
        text.push_str("\r\n");
    }
    text
}

fn series(chart: &ChartData) -> String {
    let mut text = format!("{},{}\r\n", chart.axis, cell(&chart.name));
    for (x, y) in &chart.points {
        let _ = write!(text, "{x},{y}\r\n");
    }
    text
}

/// A value of CSV. Text that a spreadsheet would run as a formula gets an apostrophe.
fn cell(value: &str) -> String {
    let formula = value.starts_with(['=', '+', '-', '@', '\t']) && value.parse::<f64>().is_err();
    let safe = if formula { format!("'{value}") } else { value.to_owned() };
    let safe = safe.replace(['\r', '\n'], " ");
    if safe.contains([',', '"', ';']) { format!("\"{}\"", safe.replace('"', "\"\"")) } else { safe }
}

fn svg(chart: &ChartData) -> String {
    let points: Vec<(f64, f64)> =
        chart.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    let ends = chart.scale.into_iter().flat_map(|(low, high)| [low, high]);
    let target = chart.target.as_ref().map(|target| target.0);
    let across = range(points.iter().map(|point| point.0)).unwrap_or_default();
    let up = range(points.iter().map(|point| point.1).chain(target).chain(ends)).unwrap_or_default();
    // A constant is in the middle.
    let up = if up.1 > up.0 { up } else { (up.0 - 1.0, up.1 + 1.0) };
    let (left, top, right, bottom) = MARGIN;
    let (wide, high) = (SIZE.0 - left - right, SIZE.1 - top - bottom);
    let x_of = |x: f64| left + (x - across.0) / (across.1 - across.0).max(1.0) * wide;
    let y_of = |y: f64| top + high - (y - up.0) / (up.1 - up.0) * high;
    let line: Vec<String> = points.iter().map(|(x, y)| format!("{:.1},{:.1}", x_of(*x), y_of(*y))).collect();
    let unit = if chart.unit.is_empty() { String::new() } else { format!(" ({})", chart.unit) };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{:.0}\" height=\"{:.0}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{left:.0}\" y=\"24\" font-size=\"15\">{}</text>\n",
        SIZE.0,
        SIZE.1,
        markup(&format!("{}{unit}", chart.title))
    );
    let label = |x: f64, y: f64, anchor: &str, text: &str| {
        format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#555555\">{}</text>\n", markup(text))
    };
    for y in [up.0, f64::midpoint(up.0, up.1), up.1] {
        let at = y_of(y);
        let _ = writeln!(
            svg,
            "<line x1=\"{left:.0}\" x2=\"{:.0}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>",
            left + wide
        );
        svg.push_str(&label(left - 8.0, at + 4.0, "end", &short(y)));
    }
    for (x, anchor) in [(across.0, "start"), (across.1, "end")] {
        svg.push_str(&label(x_of(x), top + high + 18.0, anchor, &format!("{} {x}", chart.axis)));
    }
    if let Some((target, words)) = &chart.target {
        let at = y_of(*target);
        let _ = writeln!(
            svg,
            "<line x1=\"{left:.0}\" x2=\"{:.0}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#b26a00\" stroke-dasharray=\"4 4\"/>",
            left + wide
        );
        svg.push_str(&label(left + wide, at - 5.0, "end", words));
    }
    let _ = writeln!(
        svg,
        "<polyline fill=\"none\" stroke=\"#0b6e99\" stroke-width=\"1.5\" points=\"{}\"/>\n</svg>",
        line.join(" ")
    );
    svg
}

fn short(value: f64) -> String {
    super::format::decimal(value)
}

fn markup(text: &str) -> String {
    let safe = townlet_wire::escape(text);
    safe.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> ChartData {
        ChartData {
            name: "kpi.../tenure".into(),
            title: "tenure <b>".into(),
            unit: "days".into(),
            points: vec![(0.0, 1.0), (100.0, 2.5), (200.0, f64::NAN)],
            target: Some((3.0, "≥ 3 days".into())),
            scale: None,
            axis: "tick",
        }
    }

    #[test]
    fn tables_are_quoted_and_run_nothing_in_a_spreadsheet() {
        let rows = vec![
            record([("name", "Ada, \"the\" first".to_owned()), ("delta", "-1.5".to_owned())]),
            record([("name", "=HYPERLINK(1)".to_owned()), ("note", "a\nb".to_owned())]),
        ];
        assert_eq!(table(&rows), "name,delta,note\r\n\"Ada, \"\"the\"\" first\",-1.5,\r\n'=HYPERLINK(1),,a b\r\n");
    }

    #[test]
    fn a_chart_is_a_series_and_a_drawing() {
        let export = Export { rows: Vec::new(), chart: Some(chart()) };
        let files = files(&export, "Metrics", 3_402);
        let names: Vec<_> = files.iter().map(|file| (file.stem.as_str(), file.extension)).collect();
        assert_eq!(
            names,
            [("townlet-metrics-kpi----tenure-3402", "csv"), ("townlet-metrics-kpi----tenure-3402", "svg")]
        );
        assert!(files[0].text.starts_with("tick,kpi.../tenure\r\n0,1\r\n100,2.5\r\n"), "{}", files[0].text);
        let svg = &files[1].text;
        assert!(svg.contains("tenure &lt;b&gt; (days)") && svg.contains("≥ 3 days") && !svg.contains("NaN"), "{svg}");
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(super::files(&Export::default(), "Metrics", 1).is_empty());
    }
}
