//! The index of command ids of one run, which makes retries idempotent: a repeated command is answered, not run again.
//!
//! It is rebuilt from the run's records when the log is opened. An id enters with its intent and leaves with an abort; a
//! refused command has no intent and is not kept. Rule: "Idempotent retries".

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::record::{Record, Stage, arguments, bounded, safe_error, text};
use townlet_wire::{Answer, Status, sha256};

/// How long an id is remembered, measured by the times inside the ids of one issuer.
pub const WINDOW: Duration = Duration::from_hours(7 * 24);

/// What to do with a command that carries this id.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    /// Not seen before: run it.
    New,
    /// Finished: return this answer, marked `replayed`. Its `command` holds the command's name only; the caller puts the
    /// request's line in its place.
    Replay(Box<Answer>),
    /// The id was used for another command: `E_CMD_ID_REUSED`.
    Reused,
    /// Still running: wait, then `E_CONFLICT`.
    InFlight,
    /// Ids of this time were forgotten: `E_CMD_ID_EXPIRED`; never run.
    Expired,
}

/// Identifies a command: SHA-256 in hex of its name and normalised arguments. The order of the arguments does not matter.
pub fn fingerprint(command: &str, args: &Value) -> String {
    let mut args = arguments(args.clone());
    args.sort_all_objects();
    sha256(json!([text(command), args]).to_string().as_bytes())
}

struct Slot {
    fingerprint: String,
    /// As [`time_of`].
    made: Option<u64>,
    /// `None` while the command is running.
    answer: Option<Box<Answer>>,
}

/// Times inside the ids of one issuer, in milliseconds.
#[derive(Default)]
struct IssuerTimes {
    /// Of the id that it used last.
    latest: u64,
    /// The youngest of those that were forgotten.
    forgotten: Option<u64>,
}

/// The command ids of one run.
///
/// No clock is read, because a wrong one would refuse everybody's commands. An id is forgotten when its issuer has used one that
/// is [`WINDOW`] younger, and an unknown id is refused when ids of its time were forgotten, because it may be a retry of one.
#[derive(Default)]
pub struct IdempotencyIndex {
    slots: HashMap<(String, String), Slot>,
    issuers: HashMap<String, IssuerTimes>,
}

impl IdempotencyIndex {
    /// What to do with `cmd_id` of `issuer`.
    pub fn look_up(&self, issuer: &str, cmd_id: &str, fingerprint: &str) -> Lookup {
        match self.slots.get(&key(issuer, cmd_id)) {
            None if self.is_expired(issuer, cmd_id) => Lookup::Expired,
            None => Lookup::New,
            Some(slot) if slot.fingerprint != fingerprint => Lookup::Reused,
            Some(Slot { answer: None, .. }) => Lookup::InFlight,
            Some(Slot { answer: Some(answer), .. }) => Lookup::Replay(answer.clone()),
        }
    }

    fn is_expired(&self, issuer: &str, cmd_id: &str) -> bool {
        let forgotten = self.issuers.get(&text(issuer)).and_then(|times| times.forgotten);
        forgotten.is_some_and(|forgotten| time_of(issuer, cmd_id).is_some_and(|made| made <= forgotten))
    }

    /// Records that the command's intent was queued.
    pub fn begin(&mut self, issuer: &str, cmd_id: &str, fingerprint: impl Into<String>) {
        let made = time_of(issuer, cmd_id);
        if let Some(made) = made {
            self.issuers.entry(text(issuer)).or_default().latest = made;
        }
        self.slots.insert(key(issuer, cmd_id), Slot { fingerprint: fingerprint.into(), made, answer: None });
    }

    /// Stores the answer of a finished command, in the form in which the log keeps it, so that a retry gets the same answer
    /// before and after a restart. An id that did not begin is not stored.
    pub fn done(&mut self, issuer: &str, answer: &Answer) {
        if let Some(slot) = self.slots.get_mut(&key(issuer, &answer.cmd_id)) {
            let mut kept = Box::new(answer.clone());
            kept.result = kept.result.filter(|result| !result.is_null()).map(bounded);
            kept.error = kept.error.as_ref().map(safe_error);
            kept.replayed = true;
            slot.answer = Some(kept);
        }
    }

    /// Removes a command that was not applied; its id may be used again.
    pub fn abort(&mut self, issuer: &str, cmd_id: &str) {
        self.slots.remove(&key(issuer, cmd_id));
    }

    /// Forgets answered ids that are [`WINDOW`] older than the one their issuer used last.
    pub fn prune(&mut self) {
        let issuers = &mut self.issuers;
        self.slots.retain(|(issuer, _), slot| {
            let (Some(made), Some(times)) = (slot.made, issuers.get_mut(issuer)) else { return true };
            let keep = slot.answer.is_none() || made + WINDOW.as_millis() as u64 >= times.latest;
            if !keep {
                times.forgotten = times.forgotten.max(Some(made));
            }
            keep
        });
    }

    /// Whether the id has begun and was not aborted.
    pub fn contains(&self, issuer: &str, cmd_id: &str) -> bool {
        self.slots.contains_key(&key(issuer, cmd_id))
    }

    /// Applies a record of the run; records must come in log order.
    pub(crate) fn apply(&mut self, file: &str, record: &Record) {
        match record.stage {
            Stage::Intent => self.begin(&record.issuer, &record.cmd_id, fingerprint(&record.command, &record.args)),
            // The town refused the command after its intent, so nothing was applied.
            Stage::Outcome if refused(record) => self.abort(&record.issuer, &record.cmd_id),
            Stage::Outcome | Stage::Recovered => {
                let audit = format!("{file}:{}", record.seq);
                self.done(&record.issuer, &Answer { audit, ..record.answer() });
            }
            Stage::Abort => self.abort(&record.issuer, &record.cmd_id),
            Stage::Rejected | Stage::Rotate | Stage::Begin | Stage::Seal => {}
        }
    }
}

/// Keys in the form in which the log writes them.
fn key(issuer: &str, cmd_id: &str) -> (String, String) {
    (text(issuer), text(cmd_id))
}

/// The time inside a version 7 UUID in milliseconds; `None` for other ids and those of scripts, which are never forgotten.
fn time_of(issuer: &str, cmd_id: &str) -> Option<u64> {
    let uuid = uuid::Uuid::try_parse(cmd_id).ok().filter(|uuid| uuid.get_version_num() == 7)?;
    let (seconds, nanoseconds) = uuid.get_timestamp()?.to_unix();
    (!issuer.starts_with("script:")).then_some(seconds * 1_000 + u64::from(nanoseconds) / 1_000_000)
}

/// Whether an outcome says that nothing was applied. A command that was applied but is not durable must not run again.
fn refused(record: &Record) -> bool {
    let not_durable = record.error.as_ref().is_some_and(|error| error.code == "E_AUDIT_UNAVAILABLE");
    record.status == Some(Status::Error) && !not_durable
}

#[cfg(test)]
mod tests {
    use super::super::record::safe;
    use super::*;

    const NOW: u64 = 1_800_000_000;
    const WEEK: u64 = WINDOW.as_secs();

    fn v7(seconds: u64) -> String {
        uuid::Builder::from_unix_timestamp_millis(seconds * 1_000, &[7; 10]).into_uuid().to_string()
    }

    fn answer(cmd_id: &str) -> Answer {
        Answer {
            cmd_id: cmd_id.to_owned(),
            command: String::from("spawn"),
            status: Status::Ok,
            tick: 7,
            result: Some(json!({ "summary": "Ada moved in." })),
            error: None,
            replayed: false,
            audit: String::from("r-0001.jsonl:2"),
            by_client: false,
        }
    }

    #[test]
    fn every_case_of_the_table() {
        let (id, print) = (v7(NOW - 60), fingerprint("spawn", &json!({ "name": "ada" })));
        let mut index = IdempotencyIndex::default();
        assert_eq!(index.look_up("tui:a", &id, &print), Lookup::New);
        index.begin("tui:a", &id, &print);
        assert_eq!(index.look_up("tui:a", &id, &print), Lookup::InFlight);
        assert_eq!(index.look_up("tui:a", &id, &fingerprint("kill", &json!({}))), Lookup::Reused);
        assert_eq!(index.look_up("tui:b", &id, &print), Lookup::New, "another issuer's id is another id");
        index.done("tui:a", &answer(&id));
        let Lookup::Replay(replay) = index.look_up("tui:a", &id, &print) else { panic!("not replayed") };
        assert_eq!(*replay, Answer { replayed: true, ..answer(&id) });
        assert_eq!(index.look_up("tui:a", &id, &fingerprint("spawn", &json!({}))), Lookup::Reused);
        index.abort("tui:a", &id);
        assert_eq!(index.look_up("tui:a", &id, &print), Lookup::New);
    }

    /// An id of an issuer that was begun and answered. A retry would be answered, too.
    fn used(index: &mut IdempotencyIndex, issuer: &str, id: &str) {
        assert_eq!(index.look_up(issuer, id, "f"), Lookup::New, "{issuer} {id}");
        index.begin(issuer, id, "f");
        index.done(issuer, &answer(id));
        index.prune();
        assert!(matches!(index.look_up(issuer, id, "f"), Lookup::Replay(_)), "{issuer} {id} is sent again");
    }

    #[test]
    fn an_id_expires_when_its_issuer_has_used_one_that_is_a_week_younger() {
        let mut index = IdempotencyIndex::default();
        let (old, young) = (v7(NOW - WEEK - 1), v7(NOW - WEEK));
        for issuer in ["tui:a", "tui:b", "script:night"] {
            for id in [old.as_str(), &young, "run-1"] {
                used(&mut index, issuer, id);
            }
        }
        for issuer in ["tui:a", "script:night"] {
            used(&mut index, issuer, &v7(NOW));
        }
        assert_eq!(index.look_up("tui:a", &old, "f"), Lookup::Expired, "forgotten, and never run again");
        assert_eq!(index.look_up("tui:a", &v7(NOW - WEEK - 2), "f"), Lookup::Expired, "perhaps forgotten");
        for (issuer, id) in [("tui:a", young.as_str()), ("tui:a", "run-1"), ("tui:b", &old), ("script:night", &old)] {
            assert!(matches!(index.look_up(issuer, id, "f"), Lookup::Replay(_)), "{issuer} {id}");
        }
        index.begin("tui:b", &v7(NOW - WEEK), "f");
        index.prune();
        assert!(index.contains("tui:b", &v7(NOW - WEEK)), "it is in flight");
    }

    /// The clock of this machine makes the ids of `tui:a`, a right one those of `token:x`.
    #[test]
    fn a_wrong_clock_refuses_neither_a_command_nor_its_retry() {
        let mut index = IdempotencyIndex::default();
        let year = 365 * 24 * 3_600;
        for (issuer, made) in [
            ("tui:a", NOW),
            ("token:x", NOW + 1),
            ("tui:a", NOW + year),
            ("token:x", NOW + 2),
            ("tui:a", NOW + 3),
            ("token:x", NOW + 4),
            ("tui:a", NOW + 2 * WEEK),
            ("tui:a", NOW + year + 1),
            ("tui:a", NOW + 2 * WEEK + 1),
        ] {
            used(&mut index, issuer, &v7(made));
        }
    }

    #[test]
    fn what_never_began_is_not_kept() {
        let mut index = IdempotencyIndex::default();
        index.done("tui:a", &answer("read"));
        assert!(index.slots.is_empty());
    }

    #[test]
    fn a_fingerprint_is_of_command_and_arguments_in_any_order() {
        let print = fingerprint("setneed", &json!({ "agent": "ada", "value": "0.5" }));
        assert_eq!(print, fingerprint("setneed", &json!({ "value": "0.5", "agent": "ada" })));
        assert_ne!(print, fingerprint("setneed", &json!({ "value": "0.6", "agent": "ada" })));
        assert_ne!(print, fingerprint("setmoney", &json!({ "value": "0.5", "agent": "ada" })));
        // As typed, and as the log gives it back.
        let typed = json!({ "text": "a\u{1b}b" });
        assert_eq!(fingerprint("x", &typed), fingerprint("x", &safe(typed)));
    }
}
