//! The timeline of an incident, merged from the audit log, events, the program's log, journals and snapshots.
//!
//! An entry with a tick but no time takes the time of the nearest earlier entry with both, marked with `~`. Rule:
//! "Incidents".

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use crate::home::Home;
use crate::markdown;
use crate::snapshots;
use townlet_audit::{Record, Stage};
use townlet_wire::{Snapshot, Status};

/// Maximum rows per source; the newest are kept.
const MAX_ROWS: usize = 400;
const MAX_TEXT: usize = 240;

#[derive(Clone, Debug)]
pub(super) struct TimelineEntry {
    pub(super) at: Option<Timestamp>,
    pub(super) tick: Option<u64>,
    pub(super) from: &'static str,
    pub(super) text: String,
    /// Whether the time is that of a neighbour.
    approximate: bool,
}

impl TimelineEntry {
    pub(super) fn new(at: Option<Timestamp>, tick: Option<u64>, from: &'static str, text: impl Into<String>) -> Self {
        Self { at, tick, from, text: text.into(), approximate: false }
    }
}

pub(super) fn merged(
    home: &Home,
    root: &str,
    run_id: &str,
    view: Option<&Snapshot>,
    own: Vec<TimelineEntry>,
) -> Vec<TimelineEntry> {
    let mut entries = own;
    entries.extend(of_audit(&home.console(), run_id));
    entries.extend(of_log(&home.log()));
    let segments = home.journal_files(run_id);
    entries.extend(segments.iter().rev().take(MAX_ROWS).filter_map(|file| of_file("journal", "started", file)));
    let snapshots = snapshots::list(&home.snapshots(root, run_id));
    entries.extend(snapshots.iter().filter_map(|file| of_file("snapshot", "written", file)));
    if let Some(view) = view {
        let events = view.events.iter().map(|event| {
            let fields = pairs(&event.fields);
            TimelineEntry::new(None, Some(event.tick), "event", format!("{}{fields}", event.event))
        });
        entries.extend(events);
        let narration =
            |it: &townlet_wire::telemetry::Narration| TimelineEntry::new(None, Some(it.tick), "story", it.text.clone());
        entries.extend(view.narrations.iter().map(narration));
        entries.extend(view.alerts.iter().map(|alert| {
            TimelineEntry::new(
                None,
                Some(alert.since_tick),
                "alert",
                format!("{} active from here: {}", alert.name, alert.message),
            )
        }));
    }
    ordered(entries)
}

/// Sorts by time, after estimating missing times.
fn ordered(mut entries: Vec<TimelineEntry>) -> Vec<TimelineEntry> {
    let mut known: Vec<(u64, Timestamp)> = entries.iter().filter_map(|it| Some((it.tick?, it.at?))).collect();
    known.sort();
    for entry in entries.iter_mut().filter(|entry| entry.at.is_none()) {
        let tick = entry.tick.unwrap_or_default();
        let behind = known.partition_point(|(at, _)| *at <= tick);
        entry.at = known.get(behind.saturating_sub(1)).map(|(_, at)| *at);
        entry.approximate = true;
    }
    entries.sort_by_key(|entry| (entry.at, entry.tick));
    entries
}

fn of_audit(folder: &Path, run_id: &str) -> Vec<TimelineEntry> {
    let mut kept: VecDeque<TimelineEntry> = VecDeque::new();
    // The verification of the audit log reports unreadable files.
    drop(townlet_audit::records(folder, |_, _, record| {
        if let Ok(record) = record
            && record.run_id == run_id
        {
            if kept.len() == MAX_ROWS {
                kept.pop_front();
            }
            kept.push_back(of_record(&record));
        }
        Ok(())
    }));
    kept.into()
}

fn of_record(record: &Record) -> TimelineEntry {
    let ended = match (record.stage, record.status) {
        (Stage::Outcome, Some(Status::Ok)) => "done",
        (Stage::Outcome, _) => "failed",
        (stage, _) => stage.word(),
    };
    let args = pairs(record.args.as_object().into_iter().flatten());
    let error = record.error.as_ref().map_or_else(String::new, |error| format!(": {}", error.message));
    let text = format!("{}: {}{args} {ended}{error}", record.issuer, record.command);
    TimelineEntry::new(record.ts.parse().ok(), Some(record.tick), "command", text)
}

fn of_log(path: &Path) -> Vec<TimelineEntry> {
    let Ok(text) = std::fs::read(path) else { return Vec::new() };
    let text = String::from_utf8_lossy(&text).into_owned();
    let rows = text.lines().rev().take(MAX_ROWS).filter_map(|line| {
        let (at, text) = line.split_once("  ")?;
        Some(TimelineEntry::new(Some(at.parse().ok()?), None, "log", text))
    });
    rows.collect()
}

/// Joins pairs as ` name=value`.
fn pairs<'a>(fields: impl IntoIterator<Item = (&'a String, &'a Value)>) -> String {
    fields.into_iter().fold(String::new(), |mut text, (name, value)| {
        let _ = write!(text, " {name}={value}");
        text
    })
}

/// The entry of a file whose name ends with its tick.
fn of_file(what: &'static str, done: &str, path: &Path) -> Option<TimelineEntry> {
    let stem = path.file_stem()?.to_str()?;
    let tick = stem.rsplit('-').next()?.parse().ok()?;
    let at = Timestamp::try_from(std::fs::metadata(path).ok()?.modified().ok()?).ok()?;
    // A journal is written over time; only its start tick is known.
    let at = (what == "snapshot").then_some(at);
    let name = path.file_name()?.to_string_lossy();
    Some(TimelineEntry::new(at, Some(tick), what, format!("{name} {done}")))
}

/// A Markdown table of the newest `most` rows.
pub(super) fn table(entries: &[TimelineEntry], most: usize) -> String {
    let mut text = String::from("| when (UTC) | tick | from | what |\n|---|---|---|---|\n");
    let left_out = entries.len().saturating_sub(most);
    if left_out > 0 {
        let _ = writeln!(text, "| … | | | earlier rows are in the bundle's `timeline.md`: {left_out} |");
    }
    for entry in &entries[left_out..] {
        let mark = if entry.approximate { "~ " } else { "" };
        let at = entry.at.map_or_else(|| "?".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string());
        let tick = entry.tick.map_or_else(String::new, |tick| tick.to_string());
        let what: String = entry.text.chars().take(MAX_TEXT).collect();
        let what = markdown::text(&what);
        let _ = writeln!(text, "| {mark}{at} | {tick} | {} | {what} |", entry.from);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_without_a_time_follows_its_neighbour() {
        let at = |second: i64| Timestamp::from_second(second).ok();
        let entries = vec![
            TimelineEntry::new(at(30), Some(300), "command", "third"),
            TimelineEntry::new(None, Some(250), "event", "second"),
            TimelineEntry::new(at(20), Some(200), "command", "first"),
            TimelineEntry::new(None, Some(50), "event", "before all, as far as anybody knows"),
            TimelineEntry::new(at(40), None, "log", "last | with a bar\u{1b}"),
        ];
        let ordered = ordered(entries);
        let words: Vec<&str> = ordered.iter().map(|entry| entry.text.split_whitespace().next().unwrap()).collect();
        assert_eq!(words, ["before", "first", "second", "third", "last"]);
        let table = table(&ordered, 4);
        assert!(table.contains("`timeline.md`: 1 |") && table.contains("| ~ 1970-01-01 00:00:20.000 | 250 | event |"));
        assert!(
            table.contains("last \\| with a bar\\u{1b}") || table.contains("last \\| with a bar\\\\u{1b}"),
            "{table}"
        );
    }
}
