//! Formatting of numbers, times and names, and text cut to a width.
//!
//! All external text passes [`clip`], [`pad`], [`wrap`] or `resident`, which escape control characters. Rule: "Terminal behaviour".

use std::cmp::Ordering;
use std::collections::BTreeSet;

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::indexed_snapshot::IndexedSnapshot;
use super::time_series::TimeSpan;
use townlet_wire::telemetry::MAX_EVENTS;
use townlet_wire::{Snapshot, escape};
pub use townlet_wire::{count, thousands};

/// Width of `text` in columns.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// `text` escaped and cut to `columns`, with `…` if it was cut.
pub fn clip(text: &str, columns: usize) -> String {
    let safe = escape(text);
    if width(&safe) <= columns {
        return safe;
    }
    let mut cut = String::new();
    let mut used = 1;
    for character in safe.chars() {
        used += character.width().unwrap_or(0);
        if used > columns {
            break;
        }
        cut.push(character);
    }
    if columns > 0 {
        cut.push('…');
    }
    cut
}

/// `text` escaped and cut in the middle to `columns`, with `…` if it was cut.
pub fn clip_middle(text: &str, columns: usize) -> String {
    let safe = escape(text);
    if width(&safe) <= columns || columns < 3 {
        return clip(text, columns);
    }
    let end = clip_start(text, columns / 2);
    format!("{}{}", clip(text, columns - width(&end) + 1).trim_end_matches('…'), end)
}

/// The end of `text`, escaped and cut to `columns`, with `…` before it if it was cut.
pub fn clip_start(text: &str, columns: usize) -> String {
    let safe = escape(text);
    if width(&safe) <= columns {
        return safe;
    }
    let mut used = 1;
    let fits = |character: &char| {
        used += character.width().unwrap_or(0);
        used <= columns
    };
    let end: Vec<char> = safe.chars().rev().take_while(fits).collect();
    let sign = if columns > 0 { "…" } else { "" };
    sign.chars().chain(end.into_iter().rev()).collect()
}

/// Names cut to `columns` at the end, in the middle or at the beginning, so that different ones stay different if that is possible.
pub fn clip_apart(names: &[String], columns: usize) -> Vec<String> {
    let count = |names: &[String]| names.iter().collect::<BTreeSet<_>>().len();
    let ways: [fn(&str, usize) -> String; 3] = [clip, clip_middle, clip_start];
    let cut = ways.map(|way| names.iter().map(|name| way(name, columns)).collect::<Vec<_>>());
    let most = cut.iter().map(|names| count(names)).max();
    cut.into_iter().find(|names| Some(count(names)) == most).unwrap_or_default()
}

/// [`clip`], padded with spaces on the right.
pub fn pad(text: &str, columns: usize) -> String {
    let mut cut = clip(text, columns);
    cut.extend(std::iter::repeat_n(' ', columns.saturating_sub(width(&cut))));
    cut
}

/// [`clip`], padded with spaces on the left.
pub fn pad_left(text: &str, columns: usize) -> String {
    let cut = clip(text, columns);
    let mut padded = " ".repeat(columns.saturating_sub(width(&cut)));
    padded.push_str(&cut);
    padded
}

/// `text` escaped and wrapped at spaces into lines of at most `columns`.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    wrap_with(text, columns, |word| vec![clip(word, columns)])
}

/// [`wrap`], but a word that is wider than a line, such as a path or a hash, goes on in the next ones.
pub fn wrap_in_full(text: &str, columns: usize) -> Vec<String> {
    wrap_with(text, columns, |word| pieces(word, columns))
}

fn wrap_with(text: &str, columns: usize, lines_of: impl Fn(&str) -> Vec<String>) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in escape(text).split_whitespace() {
        let line = lines.last_mut().expect("never empty");
        if !line.is_empty() && width(line) + 1 + width(word) <= columns {
            line.push(' ');
            line.push_str(word);
            continue;
        }
        for piece in lines_of(word) {
            match lines.last_mut() {
                Some(line) if line.is_empty() => *line = piece,
                _ => lines.push(piece),
            }
        }
    }
    lines
}

/// Pieces of a word, each of at most `columns`.
fn pieces(word: &str, columns: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for character in word.chars() {
        let wide = character.width().unwrap_or(0);
        if wide > columns {
            return vec![clip(word, columns)];
        }
        if used + wide > columns {
            pieces.push(String::new());
            used = 0;
        }
        pieces.last_mut().expect("never empty").push(character);
        used += wide;
    }
    pieces
}

/// [`wrap`] as lines in one style.
pub fn styled_lines<'a>(text: &str, columns: usize, style: Style) -> impl Iterator<Item = Line<'a>> + use<'a> {
    wrap(text, columns).into_iter().map(move |line| Line::styled(line, style))
}

/// A value wrapped beside its label, which is padded to `columns` and a space; both with their styles.
pub fn fact(label: (&str, Style), value: (&str, Style), columns: usize, width: usize) -> Vec<Line<'static>> {
    fact_lines(label, wrap(value.0, width.saturating_sub(columns + 1)), value.1, columns)
}

/// [`fact`], of which nothing is cut.
pub fn fact_in_full(label: (&str, Style), value: (&str, Style), columns: usize, width: usize) -> Vec<Line<'static>> {
    fact_lines(label, wrap_in_full(value.0, width.saturating_sub(columns + 1)), value.1, columns)
}

fn fact_lines(label: (&str, Style), parts: Vec<String>, style: Style, columns: usize) -> Vec<Line<'static>> {
    let line = |(index, part): (usize, String)| {
        let label_text = pad(if index == 0 { label.0 } else { "" }, columns);
        Line::from(vec![Span::styled(format!("{label_text} "), label.1), Span::styled(part, style)])
    };
    parts.into_iter().enumerate().map(line).collect()
}

/// The order of names in a list, in which numbers count as numbers: `Abel`, `Abel-2`, `Abel-10`.
pub fn natural_order(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one, other);
    while let (Some(a), Some(b)) = (left.chars().next(), right.chars().next()) {
        let order = if a.is_ascii_digit() && b.is_ascii_digit() {
            let (a, b) = (take_number(&mut left), take_number(&mut right));
            a.len().cmp(&b.len()).then_with(|| a.cmp(b))
        } else {
            (left, right) = (&left[a.len_utf8()..], &right[b.len_utf8()..]);
            a.cmp(&b)
        };
        if order.is_ne() {
            return order;
        }
    }
    left.len().cmp(&right.len()).then_with(|| one.cmp(other))
}

/// Takes the digits at the beginning of `text`. Returns them without leading zeros.
fn take_number<'a>(text: &mut &'a str) -> &'a str {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    *text = rest;
    number.trim_start_matches('0')
}

/// `14/20 samples`, or `14/20` if `columns` is too small.
pub fn samples(have: u64, needed: u64, columns: usize) -> String {
    let figures = format!("{}/{}", thousands(have), thousands(needed));
    let whole = format!("{figures} samples");
    if width(&whole) <= columns { whole } else { figures }
}

/// `91 %`.
pub fn percent(ratio: f64) -> String {
    format!("{:.0} %", ratio * 100.0)
}

/// A number with about three significant digits: `1,204`, `12.4`, `0.031`, `2.5e-4`.
pub fn decimal(value: f64) -> String {
    let size = value.abs();
    let places = match size {
        _ if size >= 999.5 => {
            let sign = if value < 0.0 { "−" } else { "" };
            return format!("{sign}{}", thousands(size.round() as u64));
        }
        _ if size >= 99.95 || size == 0.0 => 0,
        _ if size >= 9.995 => 1,
        _ if size >= 0.9995 => 2,
        _ if size >= 0.001 => 3,
        _ => return format!("{value:.1e}").replace('-', "−").replacen("e−", "e-", 1),
    };
    format!("{value:.places$}").replace('-', "−")
}

/// [`decimal`] with a plus sign for positive values.
pub fn signed(value: f64) -> String {
    if value > 0.0 { format!("+{}", decimal(value)) } else { decimal(value) }
}

/// A value with a unit of the wire: `88.0 %`, `2.4 days`, `5.50 per day`, `31`.
pub fn figure(value: f64, unit: &str) -> String {
    match unit {
        "ratio" => format!("{:.1} %", value * 100.0).replace('-', "−"),
        "days" => days(value),
        "per_day" => format!("{} per day", decimal(value)),
        "count" if value.fract() == 0.0 && value >= 0.0 => thousands(value as u64),
        "count" | "score" | "" => decimal(value),
        other => format!("{} {other}", decimal(value)),
    }
}

/// Abbreviated: `940`, `12.0 k`, `1.29 M`.
pub fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 999.5e6 => format!("{} G", decimal(number / 1e9)),
        size if size >= 999.5e3 => format!("{} M", decimal(number / 1e6)),
        size if size >= 9_999.5 => format!("{} k", decimal(number / 1e3)),
        _ => decimal(number),
    }
}

/// Real time: `40 s`, `12 m`, `2 h 10 m`, `3 d 4 h`.
pub fn seconds(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    if whole < 60 { format!("{whole} s") } else { duration(whole, 86_400) }
}

/// Ticks as town time, with `ticks_per_day` as 24 hours: `48 m`, `2 h 10 m`, `3 d 4 h`.
pub fn duration(ticks: u64, ticks_per_day: u64) -> String {
    let minutes = ticks * 1_440 / ticks_per_day.max(1);
    match (minutes / 1_440, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} m"),
        (0, hours, minutes) => format!("{hours} h {minutes:02} m"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// Time of day of any tick: `09:38`.
pub fn clock(tick: u64, ticks_per_day: u64) -> String {
    let per_day = ticks_per_day.max(1);
    let minutes = tick % per_day * 1_440 / per_day;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// `4 days`, `2.5 days`; `2.97 days` where a decimal less would be a whole number, because a target of 3 is not met then;
/// without a decimal from 100 days.
pub fn days(number: f64) -> String {
    let hundredths = (number * 100.0).round();
    if number < 100.0 && hundredths % 100.0 != 0.0 && (number * 10.0).round() % 10.0 == 0.0 {
        return format!("{:.2} days", hundredths / 100.0);
    }
    let tenths = if number < 100.0 { (number * 10.0).round() } else { number.round() * 10.0 };
    if tenths % 10.0 == 0.0 { count((tenths / 10.0) as u64, "day") } else { format!("{:.1} days", tenths / 10.0) }
}

/// The day of a tick, counted from 1; `None` for today.
pub fn other_day(tick: u64, view: &Snapshot) -> Option<u64> {
    let per_day = view.clock.ticks_per_day.max(1);
    let day = tick / per_day;
    (day != view.tick / per_day).then_some(day + 1)
}

/// `06:14`, or `day 3 06:14` if that is not today.
pub fn time_of(tick: u64, view: &Snapshot) -> String {
    let time = clock(tick, view.clock.ticks_per_day);
    other_day(tick, view).map_or_else(|| time.clone(), |day| format!("day {day} {time}"))
}

/// A field of an event as text.
pub fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.as_u64().map_or_else(|| other.to_string(), thousands),
    }
}

/// Arguments of a command with their names: `agent=ada value=0.5`.
pub fn arguments(args: &serde_json::Value) -> String {
    match args {
        serde_json::Value::Null => String::new(),
        serde_json::Value::Object(fields) => {
            fields.iter().map(|(name, value)| format!("{name}={}", raw(value))).collect::<Vec<_>>().join(" ")
        }
        serde_json::Value::Array(values) => values.iter().map(raw).collect::<Vec<_>>().join(" "),
        other => raw(other),
    }
}

/// A JSON value, a string without its quotes.
pub fn raw(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `in 2 h 10 m · tick 4,310`, or `now · tick 4,310`.
pub fn moment(tick: u64, view: &Snapshot) -> String {
    match tick.checked_sub(view.tick) {
        None | Some(0) => format!("now · tick {}", thousands(tick)),
        Some(left) => format!("in {} · tick {}", duration(left, view.clock.ticks_per_day), thousands(tick)),
    }
}

/// Minimum and maximum of the finite values; `None` if there are none.
pub fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let ends = values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    (ends.0 <= ends.1).then_some(ends)
}

/// The fixed scale of a unit of the wire, if it has one: a ratio is between 0 and 1.
pub fn scale_of(unit: &str) -> Option<(f64, f64)> {
    (unit == "ratio").then_some((0.0, 1.0))
}

/// Sparkline of the last `columns` values, scaled to their range. A constant is a line in the middle.
pub fn spark(values: &[f64], columns: usize) -> String {
    spark_on(values, columns, None)
}

/// [`spark`] on a fixed scale, which grows when a value is outside.
pub fn spark_on(values: &[f64], columns: usize, scale: Option<(f64, f64)>) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown = &values[values.len().saturating_sub(columns)..];
    let ends = scale.into_iter().flat_map(|(low, high)| [low, high]);
    let (low, high) = range(shown.iter().copied().chain(ends)).unwrap_or_default();
    let block = |value: &f64| {
        if !value.is_finite() {
            return ' ';
        }
        let share = if high > low { (value - low) / (high - low) } else { 3.0 / 7.0 };
        BLOCKS[((share * 7.0).round() as usize).min(7)]
    };
    shown.iter().map(block).collect()
}

/// Sparkline of all values, evenly thinned out to `columns` and padded.
pub fn trend(values: &[f64], columns: usize) -> String {
    pad(&spark(&downsampled(values, columns), columns), columns)
}

/// As [`wrap`], in at most `rows` rows; the last one ends with `…` when there is more.
pub(crate) fn wrap_within(text: &str, columns: usize, rows: usize) -> Vec<String> {
    let mut lines = wrap(text, columns);
    if lines.len() > rows {
        let rest = lines.split_off(rows.saturating_sub(1)).join(" ");
        lines.push(clip(&rest, columns));
    }
    lines
}

/// Why a list of the events of somebody is empty: `none`, or since when, as the shard sends only the newest of the town.
pub(crate) fn no_events(view: &Snapshot) -> String {
    match view.events.first().filter(|_| view.events.len() >= MAX_EVENTS) {
        Some(first) => {
            format!("none since {} (newest {} of the town)", time_of(first.tick, view), view.events.len())
        }
        None => "none".to_owned(),
    }
}

/// Sparkline of points in ascending order of x on a fixed scale, with the newest column of `time` at the right. Each point is where
/// it lies in time; blank columns have none.
pub(crate) fn trend_over(
    points: &[(f64, f64)],
    columns: usize,
    scale: Option<(f64, f64)>,
    time: Option<TimeSpan>,
) -> String {
    let values = time.map_or_else(Vec::new, |time| placed(points, columns, time));
    pad_left(&spark_on(&values, columns, scale), columns)
}

/// The values of points in at most `columns` columns of equal time, as many as there are usual steps in the time.
fn placed(points: &[(f64, f64)], columns: usize, time: TimeSpan) -> Vec<f64> {
    /// From how many usual steps on two points have a gap between them.
    const GAP: f64 = 1.75;
    let TimeSpan { from, to, step } = time;
    let count = (((to - from) / step).round() as usize + 1).min(columns.max(1));
    let column = |x: f64| (((x - from) / (to - from).max(step) * (count - 1) as f64).round() as usize).min(count - 1);
    let mut values = vec![f64::NAN; count];
    let mut before: Option<(f64, f64)> = None;
    for point in points {
        if let Some(before) = before.filter(|before| point.0 - before.0 < step * GAP) {
            values[column(before.0)..column(point.0)].fill(before.1);
        }
        values[column(point.0)] = point.1;
        before = Some(*point);
    }
    values
}

/// At most `columns` of the values, evenly spread, including the newest.
fn downsampled(values: &[f64], columns: usize) -> Vec<f64> {
    if values.len() <= columns || columns < 2 {
        return values.to_vec();
    }
    (0..columns).map(|column| values[column * (values.len() - 1) / (columns - 1)]).collect()
}

/// Progress bar: `▓▓▓░░`.
pub fn bar(done: f64, total: f64, columns: usize) -> String {
    let share = if total > 0.0 { (done / total).clamp(0.0, 1.0) } else { 0.0 };
    let full = (share * columns as f64).round() as usize;
    format!("{}{}", "▓".repeat(full), "░".repeat(columns - full))
}

/// The first and last four characters of an id, `0192…7c3d`, or all if it has at most nine.
pub fn abbreviated(id: &str) -> String {
    let letters: Vec<char> = id.chars().collect();
    if letters.len() <= 9 {
        return id.to_owned();
    }
    letters[..4].iter().chain(&['…']).chain(&letters[letters.len() - 4..]).collect()
}

/// Name of the resident with this id, escaped; the id if the snapshot does not contain the resident.
pub(crate) fn resident(view: &IndexedSnapshot, id: &str) -> String {
    let named = view.resident(id).filter(|agent| !agent.name.is_empty());
    escape(named.map_or(id, |agent| &agent.name))
}

/// `text` with its first letter in upper case.
pub fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_by_width_and_escapes() {
        assert_eq!(clip("barista", 4), "bar…");
        assert_eq!(clip("山山山", 4), "山…");
        assert_eq!(clip("\u{1b}[2J", 20), "\\u{1b}[2J");
        assert_eq!(pad("ab", 4), "ab  ");
        assert_eq!(pad_left("12", 4), "  12");
        assert_eq!(clip("ab", 0), "");
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
    }

    #[test]
    fn names_that_differ_stay_different_when_they_are_cut() {
        assert_eq!(clip_middle("production-eu-west-1-harbour", 20), "production…1-harbour");
        assert_eq!([clip_middle("harbour", 7), clip_middle("harbour", 6)], ["harbour", "har…ur"]);
        assert_eq!([clip_start("harbour", 4), clip_start("ab", 0), clip_start("ab", 1)], ["…our", "", "…"]);
        for (columns, expected) in [
            (28, ["production-eu-west-1-harbour", "production-eu-west-2-harbour", "trial"]),
            (20, ["production…1-harbour", "production…2-harbour", "trial"]),
            (14, ["…est-1-harbour", "…est-2-harbour", "trial"]),
        ] {
            let names = ["production-eu-west-1-harbour", "production-eu-west-2-harbour", "trial"].map(str::to_owned);
            assert_eq!(clip_apart(&names, columns), expected);
        }
        assert_eq!(clip_apart(&["harbour-1".to_owned(), "orchard".to_owned()], 5), ["harb…", "orch…"]);
    }

    #[test]
    fn a_word_wider_than_a_line_goes_on_in_the_next() {
        assert_eq!(wrap("in /var/lib/townlet now", 8), ["in", "/var/li…", "now"]);
        assert_eq!(wrap_in_full("in /var/lib/townlet now", 8), ["in", "/var/lib", "/townlet", "now"]);
        assert_eq!(wrap_in_full("a bcdef", 3), ["a", "bcd", "ef"]);
        assert_eq!(wrap_in_full("山山", 3), ["山", "山"]);
        assert_eq!(wrap_in_full("山山 a", 1), ["…", "a"], "a character that is wider than a line");
        assert_eq!(wrap_in_full("ab", 0), [""]);
    }

    #[test]
    fn numbers_in_names_are_ordered_as_numbers() {
        let mut names = ["Abel-10", "fridge_10", "Abel", "fridge_2", "Abel-2", "fridge_02", "Ada", "Éva", "7", "12"];
        names.sort_by(|one, other| natural_order(one, other));
        assert_eq!(names, ["7", "12", "Abel", "Abel-2", "Abel-10", "Ada", "fridge_02", "fridge_2", "fridge_10", "Éva"]);
        assert_eq!(natural_order("a1", "a1"), Ordering::Equal);
        assert_eq!(natural_order("a99999999999999999999999", "a100000000000000000000000"), Ordering::Less);
    }

    #[test]
    fn ticks_are_shown_as_town_time() {
        assert_eq!(duration(90, 1_000), "2 h 09 m");
        assert_eq!(duration(20, 1_000), "28 m");
        assert_eq!(duration(3_200, 1_000), "3 d 4 h");
        assert_eq!(clock(3_402, 1_000), "09:38");
        let view = Snapshot {
            tick: 100,
            clock: townlet_wire::telemetry::Clock { ticks_per_day: 1_000, ..Default::default() },
            ..Default::default()
        };
        assert_eq!(moment(4_310, &view), "in 4 d 5 h · tick 4,310");
        assert_eq!(moment(99, &view), "now · tick 99");
        let view = Snapshot { tick: 3_402, ..view };
        assert_eq!(time_of(3_260, &view), "06:14");
        assert_eq!(time_of(2_260, &view), "day 3 06:14");
    }

    #[test]
    fn numbers_are_formatted() {
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(thousands(999), "999");
        assert_eq!(plain(&serde_json::json!(7_915)), "7,915");
        assert_eq!(plain(&serde_json::json!("ada")), "ada");
        assert_eq!(plain(&serde_json::json!(0.25)), "0.25");
        assert_eq!(count(1, "resident"), "1 resident");
        assert_eq!(samples(14, 2_000, 16), "14/2,000 samples");
        assert_eq!(samples(0, 1, 10), "0/1");
        assert_eq!([days(1.0), days(2.96), days(2.5)], ["1 day", "2.96 days", "2.5 days"]);
        assert_eq!([days(99.96), days(1_006.5)], ["99.96 days", "1,007 days"]);
        let texts = [1_204.4, -1_204.0, 12.44, -0.0312, 0.000_25, 0.0, 1.0, 125.0].map(decimal);
        assert_eq!(texts, ["1,204", "−1,204", "12.4", "−0.031", "2.5e-4", "0", "1.00", "125"]);
        assert_eq!([0.04, -0.04, 0.0].map(signed), ["+0.040", "−0.040", "0"]);
        let units = ["ratio", "days", "per_day", "count", "nats", ""].map(|unit| figure(2.5, unit));
        assert_eq!(units, ["250.0 %", "2.5 days", "2.50 per day", "2.50", "2.50 nats", "2.50"]);
        assert_eq!([940.0, 1_290_240.0, 12_000.0, 3e9].map(short), ["940", "1.29 M", "12.0 k", "3.00 G"]);
        assert_eq!([39.6, 725.0, 7_800.0].map(seconds), ["40 s", "12 m", "2 h 10 m"]);
        assert_eq!(spark(&[0.0, 1.0, 2.0], 2), "▁█");
        assert_eq!(spark(&[3.0, 3.0], 5), "▄▄", "a constant is in the middle");
        assert_eq!(spark_on(&[1.0, 1.0], 5, scale_of("ratio")), "██", "a constant 100 % is full");
        assert_eq!(spark_on(&[0.0, 0.5, 1.0], 5, scale_of("ratio")), "▁▅█");
        assert_eq!(spark_on(&[0.0, 2.0], 5, scale_of("ratio")), "▁█", "the scale grows");
        assert_eq!(spark(&[0.0, f64::NAN, 1.0], 5), "▁ █", "an unknown value is a gap");
        let over = |points: &[(f64, f64)], columns| {
            let ends = points.first().zip(points.last());
            let time = ends.map(|(first, last)| TimeSpan { from: first.0, to: last.0, step: 20.0 });
            trend_over(points, columns, None, time)
        };
        assert_eq!(over(&[(20.0, 0.0), (41.0, 1.0), (62.0, 2.0), (65.0, 3.0)], 6), "   ▁▃█");
        let time = Some(TimeSpan { from: 0.0, to: 100.0, step: 20.0 });
        let known = [(40.0, 1.0), (60.0, 2.0)];
        assert_eq!(trend_over(&known, 6, None, time), "  ▁█  ", "unknown before, and again since");
        assert_eq!(
            over(&[(0.0, 0.0), (20.0, 1.0), (100.0, 3.0), (120.0, 3.0)], 9),
            "  ▁▃   ██",
            "a gap has its length"
        );
        assert_eq!(over(&[(0.0, 0.0), (20.0, 1.0), (100.0, 3.0), (120.0, 3.0)], 4), "▁▃ █", "the newest of a column");
        assert_eq!((over(&[(7.0, 1.0)], 3), over(&[], 2)), ("  ▄".into(), "  ".into()));
        assert_eq!(scale_of("days"), None);
        assert_eq!(bar(402.0, 1_000.0, 10), "▓▓▓▓░░░░░░");
        assert_eq!(bar(1.0, 0.0, 3), "░░░");
    }
}
