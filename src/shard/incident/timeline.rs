//! One timeline of an incident, merged from everything that kept time: the audit log, the story, the program's own log,
//! journals and snapshots.
//!
//! Owns the order. What has a tick and no time of its own is placed by the nearest record before it that has both, and
//! marked with `~`. Rule: "Incidents".

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use crate::home::Home;
use crate::snapshots;
use townlet_audit::{Record, Stage};
use townlet_wire::escape;
use townlet_wire::{Snapshot, Status};

/// Most rows of one source, newest kept.
const MOST: usize = 400;
/// Longest text of a row, in characters.
const LONGEST: usize = 240;

/// Something that happened.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    /// When, if anybody knew.
    pub(super) at: Option<Timestamp>,
    /// The town's tick, if anybody knew.
    pub(super) tick: Option<u64>,
    /// Who tells.
    pub(super) from: &'static str,
    /// What.
    pub(super) text: String,
    /// Its time is that of a neighbour.
    about: bool,
}

impl Moment {
    /// One moment.
    pub(super) fn new(at: Option<Timestamp>, tick: Option<u64>, from: &'static str, text: impl Into<String>) -> Self {
        Self { at, tick, from, text: text.into(), about: false }
    }
}

/// Everything that kept time about a run, in order.
pub(super) fn merged(home: &Home, root: &str, run_id: &str, view: Option<&Snapshot>, own: Vec<Moment>) -> Vec<Moment> {
    let mut moments = own;
    moments.extend(of_audit(&home.console(), run_id));
    moments.extend(of_log(&home.log()));
    moments.extend(home.journal_files(run_id).iter().filter_map(|file| of_file("journal", "is first written", file)));
    let snapshots = snapshots::of(&home.snapshots(root, run_id));
    moments.extend(snapshots.iter().filter_map(|file| of_file("snapshot", "is written", file)));
    if let Some(view) = view {
        let events = view.events.iter().map(|event| {
            let fields = pairs(&event.fields);
            Moment::new(None, Some(event.tick), "event", format!("{}{fields}", event.event))
        });
        moments.extend(events);
        let told = |it: &townlet_wire::telemetry::Narration| Moment::new(None, Some(it.tick), "story", it.text.clone());
        moments.extend(view.narrations.iter().map(told));
        moments.extend(view.alerts.iter().map(|alert| {
            Moment::new(None, Some(alert.since_tick), "alert", format!("{} since here: {}", alert.name, alert.message))
        }));
    }
    ordered(moments)
}

/// By time; what has none by its neighbour's.
fn ordered(mut moments: Vec<Moment>) -> Vec<Moment> {
    let mut known: Vec<(u64, Timestamp)> = moments.iter().filter_map(|it| Some((it.tick?, it.at?))).collect();
    known.sort();
    for moment in moments.iter_mut().filter(|moment| moment.at.is_none()) {
        let tick = moment.tick.unwrap_or_default();
        let behind = known.partition_point(|(at, _)| *at <= tick);
        moment.at = known.get(behind.saturating_sub(1)).map(|(_, at)| *at);
        moment.about = true;
    }
    moments.sort_by_key(|moment| (moment.at, moment.tick));
    moments
}

fn of_audit(folder: &Path, run_id: &str) -> Vec<Moment> {
    let mut kept: VecDeque<Moment> = VecDeque::new();
    // What cannot be read is told by the audit log's verdict.
    drop(townlet_audit::records(folder, |_, _, record| {
        if let Ok(record) = record
            && record.run_id == run_id
        {
            if kept.len() == MOST {
                kept.pop_front();
            }
            kept.push_back(of_record(&record));
        }
        Ok(())
    }));
    kept.into()
}

fn of_record(record: &Record) -> Moment {
    let ended = match (record.stage, record.status) {
        (Stage::Outcome, Some(Status::Ok)) => "done",
        (Stage::Outcome, _) => "failed",
        (stage, _) => stage.word(),
    };
    let args = pairs(record.args.as_object().into_iter().flatten());
    let error = record.error.as_ref().map_or_else(String::new, |error| format!(": {}", error.message));
    let text = format!("{}: {}{args} {ended}{error}", record.issuer, record.command);
    Moment::new(record.ts.parse().ok(), Some(record.tick), "command", text)
}

fn of_log(path: &Path) -> Vec<Moment> {
    let Ok(text) = std::fs::read(path) else { return Vec::new() };
    let text = String::from_utf8_lossy(&text).into_owned();
    let rows = text.lines().rev().take(MOST).filter_map(|line| {
        let (at, text) = line.split_once("  ")?;
        Some(Moment::new(Some(at.parse().ok()?), None, "log", text))
    });
    rows.collect()
}

/// ` name=value`, one behind the other.
fn pairs<'a>(fields: impl IntoIterator<Item = (&'a String, &'a Value)>) -> String {
    fields.into_iter().fold(String::new(), |mut text, (name, value)| {
        let _ = write!(text, " {name}={value}");
        text
    })
}

/// A file whose name ends with its tick.
fn of_file(what: &'static str, done: &str, path: &Path) -> Option<Moment> {
    let stem = path.file_stem()?.to_str()?;
    let tick = stem.rsplit('-').next()?.parse().ok()?;
    let at = Timestamp::try_from(std::fs::metadata(path).ok()?.modified().ok()?).ok()?;
    // A journal's file is written to from its tick on; only that it begins there is known.
    let at = (what == "snapshot").then_some(at);
    let name = path.file_name()?.to_string_lossy();
    Some(Moment::new(at, Some(tick), what, format!("{name} {done}")))
}

/// As a table, the newest `most` rows.
pub(super) fn table(moments: &[Moment], most: usize) -> String {
    let mut text = String::from("| when (UTC) | tick | from | what |\n|---|---|---|---|\n");
    let left_out = moments.len().saturating_sub(most);
    if left_out > 0 {
        let _ = writeln!(text, "| … | | | {left_out} earlier rows stand in the bundle's `timeline.md` |");
    }
    for moment in &moments[left_out..] {
        let about = if moment.about { "~ " } else { "" };
        let at = moment.at.map_or_else(|| "?".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string());
        let tick = moment.tick.map_or_else(String::new, |tick| tick.to_string());
        let what: String = escape(&moment.text).replace('|', "\\|").chars().take(LONGEST).collect();
        let _ = writeln!(text, "| {about}{at} | {tick} | {} | {what} |", moment.from);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_only_a_tick_stands_behind_its_neighbour() {
        let at = |second: i64| Timestamp::from_second(second).ok();
        let moments = vec![
            Moment::new(at(30), Some(300), "command", "third"),
            Moment::new(None, Some(250), "event", "second"),
            Moment::new(at(20), Some(200), "command", "first"),
            Moment::new(None, Some(50), "event", "before all, as far as anybody knows"),
            Moment::new(at(40), None, "log", "last | with a bar\u{1b}"),
        ];
        let ordered = ordered(moments);
        let words: Vec<&str> = ordered.iter().map(|moment| moment.text.split_whitespace().next().unwrap()).collect();
        assert_eq!(words, ["before", "first", "second", "third", "last"]);
        let table = table(&ordered, 4);
        assert!(table.contains("1 earlier rows") && table.contains("| ~ 1970-01-01 00:00:20.000 | 250 | event |"));
        assert!(
            table.contains("last \\| with a bar\\u{1b}") || table.contains("last \\| with a bar\\\\u{1b}"),
            "{table}"
        );
    }
}
