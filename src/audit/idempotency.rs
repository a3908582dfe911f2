//! The index of command ids of one run, which makes retries idempotent: a repeated command is answered, not run again.
//!
//! It is rebuilt from the run's records when the log is opened. An id enters with its intent and leaves with an abort; a
//! refused command has no intent and is not kept. Rule: "Idempotent retries".

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::record::{Record, Stage, arguments, bounded, safe_error, text};
use townlet_wire::{Answer, Status, sha256};

/// How long an id is remembered, counted from the time inside the id.
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
    /// Older than [`WINDOW`]: `E_CMD_ID_EXPIRED`; never run.
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
    /// `None` while the command is running.
    answer: Option<Box<Answer>>,
}

/// The command ids of one run.
#[derive(Default)]
pub struct IdempotencyIndex {
    slots: HashMap<(String, String), Slot>,
}

impl IdempotencyIndex {
    /// What to do with `cmd_id` of `issuer` at time `now`.
    pub fn look_up(&self, issuer: &str, cmd_id: &str, fingerprint: &str, now: Timestamp) -> Lookup {
        if is_expired(issuer, cmd_id, now) {
            return Lookup::Expired;
        }
        match self.slots.get(&key(issuer, cmd_id)) {
            None => Lookup::New,
            Some(slot) if slot.fingerprint != fingerprint => Lookup::Reused,
            Some(Slot { answer: None, .. }) => Lookup::InFlight,
            Some(Slot { answer: Some(answer), .. }) => Lookup::Replay(answer.clone()),
        }
    }

    /// Records that the command's intent was queued.
    pub fn begin(&mut self, issuer: &str, cmd_id: &str, fingerprint: impl Into<String>) {
        self.slots.insert(key(issuer, cmd_id), Slot { fingerprint: fingerprint.into(), answer: None });
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

    /// Removes expired ids.
    pub fn prune(&mut self, now: Timestamp) {
        self.slots.retain(|(issuer, cmd_id), slot| slot.answer.is_none() || !is_expired(issuer, cmd_id, now));
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

/// By the time inside a version 7 UUID. Ids of scripts, and ids without a time, never expire.
fn is_expired(issuer: &str, cmd_id: &str, now: Timestamp) -> bool {
    if issuer.starts_with("script:") {
        return false;
    }
    let Some(uuid) = uuid::Uuid::try_parse(cmd_id).ok().filter(|uuid| uuid.get_version_num() == 7) else {
        return false;
    };
    let made = uuid.get_timestamp().map_or(0, |made| made.to_unix().0);
    let age = now.as_second().saturating_sub(i64::try_from(made).unwrap_or(i64::MAX));
    age > WINDOW.as_secs() as i64
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

    const NOW: i64 = 1_800_000_000;

    fn test_time() -> Timestamp {
        Timestamp::from_second(NOW).expect("a time")
    }

    fn v7(seconds: i64) -> String {
        uuid::Builder::from_unix_timestamp_millis(seconds as u64 * 1000, &[7; 10]).into_uuid().to_string()
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
        }
    }

    #[test]
    fn every_case_of_the_table() {
        let (id, print) = (v7(NOW - 60), fingerprint("spawn", &json!({ "name": "ada" })));
        let mut index = IdempotencyIndex::default();
        assert_eq!(index.look_up("tui:a", &id, &print, test_time()), Lookup::New);
        index.begin("tui:a", &id, &print);
        assert_eq!(index.look_up("tui:a", &id, &print, test_time()), Lookup::InFlight);
        assert_eq!(index.look_up("tui:a", &id, &fingerprint("kill", &json!({})), test_time()), Lookup::Reused);
        assert_eq!(index.look_up("tui:b", &id, &print, test_time()), Lookup::New, "another issuer's id is another id");
        index.done("tui:a", &answer(&id));
        let Lookup::Replay(replay) = index.look_up("tui:a", &id, &print, test_time()) else { panic!("not replayed") };
        assert_eq!(*replay, Answer { replayed: true, ..answer(&id) });
        assert_eq!(index.look_up("tui:a", &id, &fingerprint("spawn", &json!({})), test_time()), Lookup::Reused);
        index.abort("tui:a", &id);
        assert_eq!(index.look_up("tui:a", &id, &print, test_time()), Lookup::New);
    }

    #[test]
    fn only_timed_ids_of_people_expire() {
        let week = WINDOW.as_secs() as i64;
        let (young, old) = (v7(NOW - week), v7(NOW - week - 1));
        let mut index = IdempotencyIndex::default();
        for issuer in ["tui:a", "script:night"] {
            for id in [&young, &old, "run-1"] {
                index.begin(issuer, id, "f");
                index.done(issuer, &answer(id));
            }
        }
        assert_eq!(index.look_up("tui:a", &old, "f", test_time()), Lookup::Expired);
        for (issuer, id) in [("tui:a", young.as_str()), ("tui:a", "run-1"), ("script:night", &old)] {
            assert!(matches!(index.look_up(issuer, id, "f", test_time()), Lookup::Replay(_)), "{issuer} {id}");
        }
        index.prune(test_time());
        assert_eq!(index.slots.len(), 5);
        assert_eq!(
            index.look_up("tui:a", &old, "f", test_time()),
            Lookup::Expired,
            "forgotten, and still never run again"
        );
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
