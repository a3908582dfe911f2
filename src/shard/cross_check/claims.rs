//! What the audit log of a run claims: the outcomes of commands that may have changed something, by tick, a window at a time.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;

use serde_json::Value;
use townlet_audit::{Record, Stage, run_records};
use townlet_wire::{Effect, Status, sha256};

use super::CrossCheck;
use crate::command_table::TABLE;
use crate::promotion::TOWN;

/// Most bytes of lines whose records are in memory, unless a single tick has more.
pub(super) const WINDOW_BYTES: usize = 32 * 1024 * 1024;
/// Most intents without an outcome that are remembered. A shard has far fewer in progress.
const MAX_OPEN: usize = 20_000;

/// Issuer and `cmd_id`.
pub(super) type Key = (String, String);

pub(super) fn key(record: &Record) -> Key {
    (record.issuer.clone(), record.cmd_id.clone())
}

/// `setmoney` (id) of issuer.
pub(super) fn label(record: &Record) -> String {
    format!("`{}` ({}) of {}", record.command, record.cmd_id, record.issuer)
}

/// What an outcome claims about the town.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claimed {
    /// It was changed.
    Applied,
    /// It was not changed.
    Unchanged,
    /// A log could not be written, so nobody knows.
    Uncertain,
}

pub(super) struct Claim {
    pub(super) file: String,
    pub(super) line: u64,
    pub(super) record: Record,
    pub(super) claimed: Claimed,
    /// The journal holds it.
    pub(super) matched: bool,
    bytes: usize,
}

/// Claims of ticks from `from` on, before `horizon`.
pub(super) struct Window {
    pub(super) claims: BTreeMap<(u64, u64), Claim>,
    /// By command. A second outcome of one command takes the place of the first, which then has no command of the journal.
    pub(super) keys: HashMap<Key, (u64, u64)>,
    from: u64,
    /// The first tick that it does not hold; the largest number if it holds all.
    pub(super) horizon: u64,
    limit: usize,
    bytes: usize,
}

impl Window {
    fn new(from: u64, limit: usize) -> Self {
        Self { claims: BTreeMap::new(), keys: HashMap::new(), from, horizon: u64::MAX, limit, bytes: 0 }
    }

    fn offer(&mut self, claim: Claim) {
        let tick = claim.record.tick;
        if tick < self.from || tick >= self.horizon {
            return;
        }
        self.bytes += claim.bytes;
        self.claims.insert((tick, claim.record.seq), claim);
        while self.bytes > self.limit {
            let ends = self.claims.first_key_value().zip(self.claims.last_key_value());
            let Some(last) = ends.and_then(|((first, _), (last, _))| (first.0 < last.0).then_some(last.0)) else {
                break;
            };
            let removed = self.claims.split_off(&(last, 0));
            self.bytes -= removed.values().map(|claim| claim.bytes).sum::<usize>();
            self.horizon = last;
        }
    }

    /// Whether a claim at this tick needs the town's digest.
    pub(super) fn asks(&self, tick: u64) -> bool {
        self.claims.range((tick, 0)..=(tick, u64::MAX)).any(|(_, claim)| claim.claimed == Claimed::Unchanged)
    }
}

/// An intent without an end.
pub(super) struct OpenIntent {
    pub(super) file: String,
    pub(super) line: u64,
    pub(super) record: Record,
    /// What its end must repeat.
    said: String,
}

/// Facts of the whole log, from its first reading.
#[derive(Default)]
pub(super) struct LogFacts {
    /// Intents without an end.
    pub(super) open: HashMap<Key, OpenIntent>,
    /// Number of the last record.
    pub(super) last_seq: u64,
    pub(super) last_tick: u64,
    /// Highest number of an intent whose command has changed the town.
    settled: u64,
}

/// Reads the log: facts and what is not covered, and the first window.
pub(super) fn read_log(
    folder: &Path,
    run_id: &str,
    limit: usize,
    found: &mut CrossCheck,
) -> io::Result<(LogFacts, Window)> {
    let (mut facts, mut window) = (LogFacts::default(), Window::new(0, limit));
    run_records(folder, run_id, |file, line, bytes, record| {
        // `verify` itself reports damaged lines.
        let Ok(record) = record else { return Ok(()) };
        facts.last_seq = facts.last_seq.max(record.seq);
        facts.last_tick = facts.last_tick.max(record.tick);
        facts.pair(file, line, &record, found);
        let claimed = claimed(&record);
        match record.stage {
            Stage::Rejected => found.not_covered("refused commands and repeated requests"),
            Stage::Outcome if claimed.is_some() => {}
            Stage::Outcome if record.issuer == TOWN => found.not_covered("alerts that ended"),
            Stage::Outcome if effect(&record).is_none() => {
                found.disagree(file, line, format!("{}: there is no such command.", label(&record)));
            }
            Stage::Outcome => found.not_covered("reads and changes of the pace"),
            _ => {}
        }
        if let Some(claimed) = claimed {
            window.offer(Claim { file: file.to_owned(), line, record, claimed, matched: false, bytes });
        }
        Ok(())
    })?;
    facts.report_missing_ends(found);
    index(&mut window);
    Ok((facts, window))
}

/// Reads the next window.
pub(super) fn read_window(folder: &Path, run_id: &str, limit: usize, from: u64) -> io::Result<Window> {
    let mut window = Window::new(from, limit);
    run_records(folder, run_id, |file, line, bytes, record| {
        if let Ok(record) = record
            && let Some(claimed) = claimed(&record)
        {
            window.offer(Claim { file: file.to_owned(), line, record, claimed, matched: false, bytes });
        }
        Ok(())
    })?;
    index(&mut window);
    Ok(window)
}

fn index(window: &mut Window) {
    window.keys = window.claims.iter().map(|(at, claim)| (key(&claim.record), *at)).collect();
}

fn effect(record: &Record) -> Option<Effect> {
    TABLE.iter().find(|row| row.name == record.command).map(|row| row.effect)
}

/// Whether a command has an intent.
fn has_intent(record: &Record) -> bool {
    matches!(effect(record), Some(Effect::Town | Effect::Shard))
}

/// What a record claims about the town; nothing if it is no end of a command with an intent.
fn claimed(record: &Record) -> Option<Claimed> {
    let ends = matches!(record.stage, Stage::Outcome | Stage::Recovered) && !record.cmd_id.is_empty();
    if !ends || !has_intent(record) {
        return None;
    }
    let uncertain = record.error.as_ref().is_some_and(|error| error.code == "E_AUDIT_UNAVAILABLE");
    // A reload of files that said what ran already changed nothing.
    let unchanged = record.digest_before.is_some() && record.digest_before == record.digest_after;
    Some(match (record.status, effect(record)) {
        _ if uncertain => Claimed::Uncertain,
        (Some(Status::Ok), Some(Effect::Town)) if !unchanged => Claimed::Applied,
        _ => Claimed::Unchanged,
    })
}

impl LogFacts {
    /// Holds the end of a command to its intent.
    fn pair(&mut self, file: &str, line: u64, record: &Record, found: &mut CrossCheck) {
        if !has_intent(record) || record.issuer == TOWN {
            return;
        }
        match record.stage {
            Stage::Intent => {
                if self.open.len() == MAX_OPEN {
                    return found.disagree(
                        file,
                        line,
                        format!("{MAX_OPEN} intents have no outcome; this is one more."),
                    );
                }
                let intent = OpenIntent { file: file.to_owned(), line, record: record.clone(), said: said(record) };
                self.open.insert(key(record), intent);
            }
            Stage::Outcome | Stage::Abort | Stage::Recovered if !record.cmd_id.is_empty() => {
                let Some(intent) = self.open.remove(&key(record)) else {
                    // What the log missed while it could not be written may be completed twice.
                    if record.stage == Stage::Outcome {
                        found.disagree(file, line, format!("{}: an outcome without an intent.", label(record)));
                    }
                    return;
                };
                let place = format!("its intent ({}:{})", intent.file, intent.line);
                if intent.said != said(record) {
                    let message =
                        format!("{}: arguments, reason, role or transport are not those of {place}.", label(record));
                    found.disagree(file, line, message);
                }
                if record.tick < intent.record.tick {
                    let (tick, before) = (record.tick, intent.record.tick);
                    let message = format!("{}: its tick {tick} is before the tick {before} of {place}.", label(record));
                    found.disagree(file, line, message);
                }
                if claimed(record) == Some(Claimed::Applied) && record.stage == Stage::Outcome {
                    self.settled = self.settled.max(intent.record.seq);
                }
            }
            _ => {}
        }
    }

    /// Commands are applied in the order of their intents, so one without an end is not followed by one with an end.
    fn report_missing_ends(&self, found: &mut CrossCheck) {
        let town = |intent: &&OpenIntent| effect(&intent.record) == Some(Effect::Town);
        let mut missing: Vec<&OpenIntent> =
            self.open.values().filter(town).filter(|intent| intent.record.seq < self.settled).collect();
        missing.sort_by_key(|intent| intent.record.seq);
        for intent in missing {
            let message = format!(
                "{}: its outcome is missing, and a command that was sent after it has one.",
                label(&intent.record)
            );
            found.disagree(intent.file.clone(), intent.line, message);
        }
    }
}

/// What an intent and its end say alike.
fn said(record: &Record) -> String {
    let all = serde_json::json!([record.command, record.args, record.reason, record.role, record.transport]);
    sha256(Value::to_string(&all).as_bytes())
}
