//! One line of the audit log and its canonical byte form.
//!
//! A line is compact JSON with every key present and in fixed order. A line with the same meaning but other bytes is refused, so
//! that no byte of the log can be changed unnoticed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use townlet_wire::telemetry::AuditRow;
use townlet_wire::{Answer, ErrorBody, Role, Session, Status, escape, redact_tokens, sha256};

/// Version of the record's keys.
pub const VERSION: u32 = 1;
/// The `prev` hash of a run's first line.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Largest result kept, in bytes of JSON. A larger one keeps its smallest members, with `"truncated": true` and `"bytes": N`.
pub const MAX_RESULT: usize = 4_096;
/// Largest arguments kept, in bytes of JSON; larger than any console line.
const MAX_ARGS: usize = 8_192;
/// Longest free text kept, in characters.
const MAX_TEXT: usize = 1_024;
/// Separates the hashed bytes of a line from its hash.
const HASH_KEY: &str = ",\"hash\":\"";
/// Bytes of `,"hash":"<64 hex>"}`.
const HASH_TAIL: usize = HASH_KEY.len() + 64 + 2;

townlet_wire::word_enum! {
    /// The stage of a command at which a record was written.
    pub enum Stage {
        /// A mutating command is about to be applied.
        Intent = "intent",
        /// The command was applied, or the read was answered; holds the answer.
        Outcome = "outcome",
        /// Refused by role or validation. Nothing was applied, and no intent ends.
        Rejected = "rejected",
        /// The intent was never applied; its id may be used again.
        Abort = "abort",
        /// After a crash: the journal holds the command, so it was applied; or a torn line was set aside.
        Recovered = "recovered",
        /// First line of every segment but the first.
        Rotate = "rotate",
        /// First line of a run: names the run before it. Logs of earlier versions have none.
        Begin = "begin",
        /// A seal over the lines before it.
        Seal = "seal",
    }
}

/// A line of the log. Callers make one with [`Record::of`]; the log sets version, sequence number, time, shard, run and hashes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Version of the record's keys.
    pub v: u32,
    /// Sequence number within the run, from 1, without gaps.
    pub seq: u64,
    /// RFC 3339, UTC, milliseconds.
    pub ts: String,
    /// The shard's name.
    pub shard: String,
    /// The `config_id` in force.
    pub config_id: String,
    /// The command's id; empty for records the log writes itself.
    pub cmd_id: String,
    /// The issuer, such as `tui:ada`.
    pub issuer: String,
    /// The issuer's role.
    pub role: Role,
    /// How the command arrived: `local`, `script`, `http`.
    pub transport: String,
    /// The command's name, such as `employment_exit approve`.
    pub command: String,
    /// Its normalised arguments by name.
    pub args: Value,
    /// The reason the issuer gave.
    pub reason: Option<String>,
    /// The stage of the command.
    pub stage: Stage,
    /// The status of the answer; `None` for an intent.
    pub status: Option<Status>,
    /// The error of the answer.
    pub error: Option<ErrorBody>,
    /// The result of the answer, at most [`MAX_RESULT`] bytes.
    pub result: Option<Value>,
    /// The run.
    pub run_id: String,
    /// The tick it was applied at, or the current one.
    pub tick: u64,
    /// The town's digest before it was applied.
    pub digest_before: Option<String>,
    /// The town's digest after it was applied.
    pub digest_after: Option<String>,
    /// `hash` of the line before; [`GENESIS`] for the first.
    pub prev: String,
    /// SHA-256 in hex over this line's bytes up to `,"hash":"`.
    pub hash: String,
}

impl Record {
    /// An intent of `session`. For another stage, set the remaining fields.
    pub fn of(session: &Session, cmd_id: impl Into<String>, command: impl Into<String>, args: Value) -> Self {
        Self {
            v: VERSION,
            seq: 0,
            ts: String::new(),
            shard: String::new(),
            config_id: String::new(),
            cmd_id: cmd_id.into(),
            issuer: session.issuer.clone(),
            role: session.role,
            transport: session.transport.clone(),
            command: command.into(),
            args,
            reason: None,
            stage: Stage::Intent,
            status: None,
            error: None,
            result: None,
            run_id: String::new(),
            tick: 0,
            digest_before: None,
            digest_after: None,
            prev: GENESIS.to_owned(),
            hash: GENESIS.to_owned(),
        }
    }

    pub(crate) fn own(stage: Stage, config_id: &str, tick: u64, args: Value) -> Self {
        let session = Session {
            issuer: String::from("townlet"),
            role: Role::Admin,
            transport: String::from("local"),
            owner: true,
        };
        let config_id = config_id.to_owned();
        Self { config_id, stage, status: Some(Status::Ok), tick, ..Self::of(&session, "", "audit", args) }
    }

    /// The record as the log keeps it at its position of the chain: texts escaped and shortened, and with its hash.
    pub(crate) fn sealed(mut self) -> Self {
        for field in [
            &mut self.shard,
            &mut self.config_id,
            &mut self.cmd_id,
            &mut self.issuer,
            &mut self.transport,
            &mut self.command,
            &mut self.run_id,
        ] {
            *field = text(field);
        }
        for field in [&mut self.reason, &mut self.digest_before, &mut self.digest_after].into_iter().flatten() {
            *field = text(field);
        }
        self.args = arguments(self.args);
        self.error = self.error.as_ref().map(safe_error);
        // A result of `null` counts as no result.
        self.result = self.result.filter(|result| !result.is_null()).map(bounded);
        GENESIS.clone_into(&mut self.hash);
        let line = self.line();
        self.hash = sha256(&line.as_bytes()[..line.len() - 1 - HASH_TAIL]);
        self
    }

    /// The line, including its newline.
    pub fn line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("a record holds only strings, numbers and JSON values");
        line.push('\n');
        line
    }

    /// Parses one line, including its newline; the error is a sentence about the bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let Some(body) = bytes.strip_suffix(b"\n") else {
            return Err("the line ends without a newline.".into());
        };
        let record: Self =
            serde_json::from_slice(body).map_err(|why| format!("the line is not an audit record: {why}."))?;
        let hashed = body.len().checked_sub(HASH_TAIL).map(|end| sha256(&body[..end]));
        if hashed.as_deref() != Some(record.hash.as_str()) {
            return Err("the line was changed: its hash does not fit its bytes.".into());
        }
        if record.v != VERSION {
            return Err(format!("the line has version {}; this program reads version {VERSION}.", record.v));
        }
        let line = record.line();
        if line.as_bytes() != bytes || !is_safe(line.trim_end_matches('\n')) {
            return Err("the line is not in the canonical form of the log.".into());
        }
        Ok(record)
    }

    /// The answer that the record holds.
    pub fn answer(&self) -> Answer {
        Answer {
            cmd_id: self.cmd_id.clone(),
            command: self.command.clone(),
            status: self.status.unwrap_or(Status::Ok),
            tick: self.tick,
            result: self.result.clone(),
            error: self.error.clone(),
            replayed: false,
            audit: String::new(),
        }
    }

    /// Whether a retry was answered with the answer of the first request. The log has no stage of its own for it.
    fn is_replay(&self) -> bool {
        self.stage == Stage::Rejected && self.result.as_ref().is_some_and(|result| result["replayed"] == true)
    }

    /// The row that screens show.
    pub fn row(&self) -> AuditRow {
        AuditRow {
            seq: self.seq,
            ts: self.ts.clone(),
            cmd_id: self.cmd_id.clone(),
            issuer: self.issuer.clone(),
            role: self.role.word().to_owned(),
            transport: self.transport.clone(),
            command: self.command.clone(),
            args: self.args.clone(),
            reason: self.reason.clone(),
            stage: if self.is_replay() { "replayed" } else { self.stage.word() }.to_owned(),
            status: self.status.map(Status::word).unwrap_or_default().to_owned(),
            error: self.error.as_ref().map(|error| format!("{} {}", error.code, error.message)).unwrap_or_default(),
            tick: self.tick,
            digest_before: self.digest_before.clone().unwrap_or_default(),
            digest_after: self.digest_after.clone().unwrap_or_default(),
            hash: self.hash.clone(),
        }
    }
}

/// Whether the line contains no control sequence: no raw control character, and no JSON escapes but those of quotes and
/// backslashes.
fn is_safe(line: &str) -> bool {
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\\' && !matches!(characters.next(), Some('"' | '\\')) {
            return false;
        }
    }
    escape(line) == line
}

/// A result as the log keeps it, control characters escaped. A result that is too large keeps a marker, its size, its `summary`
/// (shortened, so that a replayed answer still says what happened) and then its members from the smallest on.
pub fn bounded(result: Value) -> Value {
    let result = safe(result);
    let bytes = size(&result);
    if bytes <= MAX_RESULT {
        return result;
    }
    let mut kept = json!({ "truncated": true, "bytes": bytes });
    let Value::Object(mut members) = result else { return kept };
    if let Some(Value::String(summary)) = members.get_mut("summary") {
        kept["summary"] = Value::String(clip(summary));
        members.remove("summary");
    }
    let mut members: Vec<(String, Value)> = members.into_iter().collect();
    members.sort_by_key(|(_, value)| size(value));
    for (name, value) in members {
        let before = size(&kept);
        // Quotes, colon and comma.
        if before + name.len() + size(&value) + 4 <= MAX_RESULT && kept.get(&name).is_none() {
            kept[name] = value;
        }
    }
    kept
}

fn size(value: &Value) -> usize {
    value.to_string().len()
}

/// An error as the log keeps it.
pub(crate) fn safe_error(error: &ErrorBody) -> ErrorBody {
    ErrorBody { code: text(&error.code), message: text(&error.message), hint: text(&error.hint) }
}

/// Free text as the log keeps it: without tokens, escaped and shortened.
pub(crate) fn text(text: &str) -> String {
    clip(&escape(&redact_tokens(text)))
}

pub(crate) fn arguments(args: Value) -> Value {
    let args = safe(args);
    let bytes = size(&args);
    if bytes <= MAX_ARGS { args } else { json!({ "truncated": true, "bytes": bytes }) }
}

/// Removes tokens from every text of a value and escapes it, including keys.
pub(crate) fn safe(value: Value) -> Value {
    let safe_text = |text: &str| escape(&redact_tokens(text));
    match value {
        Value::String(text) => Value::String(safe_text(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(safe).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(key, value)| (safe_text(&key), safe(value))).collect::<Map<_, _>>())
        }
        plain => plain,
    }
}

/// Shortens a text to [`MAX_TEXT`] characters and marks the cut.
fn clip(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
