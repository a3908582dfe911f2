//! One line of the audit log and its only byte form.
//!
//! Owns the keys, their order, the hash and what is made safe or cut on the way in. Knows no files.
//! A line is compact JSON with every key present; a line that reads the same but is written otherwise is refused, so that
//! no byte of the log is free to change.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use townlet_wire::escape;
use townlet_wire::telemetry::AuditRow;
use townlet_wire::{ErrorBody, Role, Session, Status};

/// Version of the record's keys.
pub const VERSION: u32 = 1;
/// The `prev` of a run's first line.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Largest result kept, in bytes of JSON; of a larger one the smallest members stay, beside
/// `"truncated": true` and `"bytes": N`.
pub const MAX_RESULT: usize = 4_096;
/// Largest arguments kept, in bytes of JSON; larger than any line the console reads.
const MAX_ARGS: usize = 8_192;
/// Longest free text kept, in characters.
const MAX_TEXT: usize = 1_024;
/// What parts a line's hashed bytes from its hash.
const HASH_KEY: &str = ",\"hash\":\"";
/// Bytes of `,"hash":"<64 hex>"}`.
const HASH_TAIL: usize = HASH_KEY.len() + 64 + 2;

/// Where in a command's life a record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// A mutating command is about to be applied.
    Intent,
    /// It was applied (or a read was answered), and this is the answer.
    Outcome,
    /// Refused by role or validation; nothing was applied and nothing ended.
    Rejected,
    /// The intent was never applied; its id may be used again.
    Abort,
    /// After a crash: the journal holds the intent, so it was applied; or a torn line was set aside.
    Recovered,
    /// First line of a further segment.
    Rotate,
}

impl Stage {
    /// As the log writes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Outcome => "outcome",
            Self::Rejected => "rejected",
            Self::Abort => "abort",
            Self::Recovered => "recovered",
            Self::Rotate => "rotate",
        }
    }
}

/// What a caller has to say; the log adds version, number, time, shard, run and chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The configuration in force.
    pub config_id: String,
    /// The command's id; empty for the log's own records.
    pub cmd_id: String,
    /// Who asked.
    pub issuer: String,
    /// The role they had.
    pub role: Role,
    /// Over what they asked: `local`, `script`, `http`.
    pub transport: String,
    /// The command's name, such as `employment_exit approve`.
    pub command: String,
    /// Its normalised arguments by name.
    pub args: Value,
    /// The reason they typed.
    pub reason: Option<String>,
    /// Where in the command's life this is.
    pub stage: Stage,
    /// How it ended; `None` for an intent.
    pub status: Option<Status>,
    /// Why not.
    pub error: Option<ErrorBody>,
    /// What it answered; what is beyond [`MAX_RESULT`] is left out.
    pub result: Option<Value>,
    /// The tick it was applied at, or the current one.
    pub tick: u64,
    /// The town's digest before it was applied.
    pub digest_before: Option<String>,
    /// The town's digest after it was applied.
    pub digest_after: Option<String>,
}

impl Entry {
    /// An intent of `session`; change its stage and fill in the rest for any other.
    pub fn of(session: &Session, cmd_id: impl Into<String>, command: impl Into<String>, args: Value) -> Self {
        Self {
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
            tick: 0,
            digest_before: None,
            digest_after: None,
        }
    }

    /// A record of the log's own.
    pub(crate) fn own(stage: Stage, config_id: &str, tick: u64, args: Value) -> Self {
        let session = Session {
            issuer: String::from("townlet"),
            role: Role::Admin,
            transport: String::from("local"),
            owner: true,
        };
        Self {
            config_id: config_id.to_owned(),
            stage,
            status: Some(Status::Ok),
            tick,
            ..Self::of(&session, "", "audit", args)
        }
    }
}

/// One line, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Version of the record's keys.
    pub v: u32,
    /// Number within the run, from 1, without gaps.
    pub seq: u64,
    /// RFC 3339, UTC, milliseconds.
    pub ts: String,
    /// The shard's name.
    pub shard: String,
    /// See [`Entry`].
    pub config_id: String,
    /// See [`Entry`].
    pub cmd_id: String,
    /// See [`Entry`].
    pub issuer: String,
    /// See [`Entry`].
    pub role: Role,
    /// See [`Entry`].
    pub transport: String,
    /// See [`Entry`].
    pub command: String,
    /// See [`Entry`].
    pub args: Value,
    /// See [`Entry`].
    pub reason: Option<String>,
    /// See [`Entry`].
    pub stage: Stage,
    /// See [`Entry`].
    pub status: Option<Status>,
    /// See [`Entry`].
    pub error: Option<ErrorBody>,
    /// See [`Entry`].
    pub result: Option<Value>,
    /// The run whose log this is.
    pub run_id: String,
    /// See [`Entry`].
    pub tick: u64,
    /// See [`Entry`].
    pub digest_before: Option<String>,
    /// See [`Entry`].
    pub digest_after: Option<String>,
    /// `hash` of the line before, [`GENESIS`] for the first.
    pub prev: String,
    /// SHA-256 in hex over this line's bytes up to `,"hash":"`.
    pub hash: String,
}

/// What the log adds to an entry.
pub(crate) struct Link<'a> {
    pub(crate) seq: u64,
    pub(crate) ts: String,
    pub(crate) shard: &'a str,
    pub(crate) run_id: &'a str,
    pub(crate) prev: &'a str,
}

impl Record {
    /// The record of `entry` at this place of the chain, its hash made.
    pub(crate) fn new(entry: &Entry, link: Link<'_>) -> Self {
        let mut record = Self {
            v: VERSION,
            seq: link.seq,
            ts: link.ts,
            shard: text(link.shard),
            config_id: text(&entry.config_id),
            cmd_id: text(&entry.cmd_id),
            issuer: text(&entry.issuer),
            role: entry.role,
            transport: text(&entry.transport),
            command: text(&entry.command),
            args: arguments(entry.args.clone()),
            reason: entry.reason.as_deref().map(text),
            stage: entry.stage,
            status: entry.status,
            error: entry.error.as_ref().map(|error| ErrorBody {
                code: text(&error.code),
                message: text(&error.message),
                hint: text(&error.hint),
            }),
            // JSON has one null: a result that is `null` is no result.
            result: entry.result.clone().filter(|result| !result.is_null()).map(bounded),
            run_id: text(link.run_id),
            tick: entry.tick,
            digest_before: entry.digest_before.as_deref().map(text),
            digest_after: entry.digest_after.as_deref().map(text),
            prev: link.prev.to_owned(),
            hash: GENESIS.to_owned(),
        };
        let line = record.line();
        record.hash = sha256(&line.as_bytes()[..line.len() - 1 - HASH_TAIL]);
        record
    }

    /// The line with its newline.
    pub fn line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("a record holds only strings, numbers and JSON values");
        line.push('\n');
        line
    }

    /// Reads one line with its newline.
    ///
    /// # Errors
    /// One sentence saying what is wrong with the bytes.
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
            return Err("the line is not written in the one form of the log.".into());
        }
        Ok(record)
    }

    /// The entry this record was made of.
    pub fn entry(&self) -> Entry {
        Entry {
            config_id: self.config_id.clone(),
            cmd_id: self.cmd_id.clone(),
            issuer: self.issuer.clone(),
            role: self.role,
            transport: self.transport.clone(),
            command: self.command.clone(),
            args: self.args.clone(),
            reason: self.reason.clone(),
            stage: self.stage,
            status: self.status,
            error: self.error.clone(),
            result: self.result.clone(),
            tick: self.tick,
            digest_before: self.digest_before.clone(),
            digest_after: self.digest_after.clone(),
        }
    }

    /// As a screen shows it.
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
            stage: self.stage.word().to_owned(),
            status: self.status.map(status_word).unwrap_or_default().to_owned(),
            error: self.error.as_ref().map(|error| format!("{} {}", error.code, error.message)).unwrap_or_default(),
            tick: self.tick,
            digest_before: self.digest_before.clone().unwrap_or_default(),
            digest_after: self.digest_after.clone().unwrap_or_default(),
            hash: self.hash.clone(),
        }
    }
}

/// Whether no text of a line can reach a terminal as a control sequence: none stands in it as it is, and JSON's own
/// escapes stand for quotes and backslashes only.
fn is_safe(line: &str) -> bool {
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\\' && !matches!(characters.next(), Some('"' | '\\')) {
            return false;
        }
    }
    escape(line) == line
}

/// As the log writes it.
pub(crate) const fn status_word(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Error => "error",
        Status::DryRun => "dry_run",
    }
}

/// SHA-256 in lower-case hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        write!(hex, "{byte:02x}").expect("a string takes every write");
    }
    hex
}

/// A result as the log keeps it: its texts made safe. Of one that is too large only what is short stays, with a marker and its
/// size: the `summary` first, cut, so that a replayed answer still says what happened, then members from the smallest on.
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

/// Free text as the log keeps it.
pub(crate) fn text(text: &str) -> String {
    clip(&escape(text))
}

/// Arguments as the log keeps them.
pub(crate) fn arguments(args: Value) -> Value {
    within(safe(args), MAX_ARGS)
}

fn within(value: Value, limit: usize) -> Value {
    let bytes = size(&value);
    if bytes <= limit { value } else { json!({ "truncated": true, "bytes": bytes }) }
}

/// Every text of a value, keys too, escaped.
pub(crate) fn safe(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(escape(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(safe).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(key, value)| (escape(&key), safe(value))).collect::<Map<_, _>>())
        }
        plain => plain,
    }
}

/// `text` cut to [`MAX_TEXT`] characters, and marked when it was cut.
fn clip(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
