//! The messages of a stream: one envelope around a snapshot or its changes, and the state that a reader builds from them.
//!
//! Owns the order of messages, the detection of missing ones, and the digest of a state. Independent of the transport. Rule:
//! "Telemetry".

use std::sync::Arc;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use townlet_bounded::{BoundedError, measure};
use townlet_text::hex;

use super::field_change::{Change as _, Mismatch};
use super::json_length;
use super::sorted_json;
use super::sse::MAX_EVENT;
use super::{Diff, SCHEMA_VERSION, Snapshot};

/// Most bytes of memory of a state that a reader keeps, together with the message that it applies, for a whole state in a message of
/// this length. A state of many residents takes about three times its text.
pub const fn max_memory(length: usize) -> usize {
    32 * 1024 * 1024 + 3 * length
}

/// Most residents that a town has at a time: the largest `embedding_allocator.max_slots`.
pub const MAX_RESIDENTS: usize = 32_000;
/// Longest text of a state, in bytes: each resident with its job, its ties and its share of the map, objects and queues.
pub const MAX_STATE: usize = MAX_RESIDENTS * 4_096;

/// Why a message cannot be parsed.
pub type MessageError = BoundedError<serde_json::Error>;
/// Every tenth message of an epoch contains the digest of its state.
pub const DIGEST_EVERY: u64 = 10;

/// One message of a stream. [`Envelope::from_json`] reads it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Envelope {
    /// Version of the contract.
    pub schema_version: String,
    /// The town's configuration.
    pub config_id: String,
    /// The shard's name.
    pub shard: String,
    /// Start of the process that numbers the messages, in milliseconds since 1970.
    pub epoch: u64,
    /// Number of the state after the message, from 1 in each epoch.
    pub seq: u64,
    /// Number of the state before the message; 0 if it needs none.
    pub prev_seq: u64,
    /// Tick of the town in the state after the message.
    pub tick: u64,
    /// When the message was made, in milliseconds since the process began to number messages; a reader finds by it how far it is
    /// behind.
    #[serde(default)]
    pub sent_ms: u64,
    /// The content.
    #[serde(flatten)]
    pub body: Body,
    /// Digest of the state after the message; see [`digest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Reason for a `resync`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The content of a message: `kind` and `payload`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", content = "payload", rename_all = "snake_case")]
pub enum Body {
    /// The whole state: the first message of a stream.
    Snapshot(#[serde(serialize_with = "shared")] Arc<Snapshot>),
    /// The changes since the previous message.
    Diff(Box<Diff>),
    /// The changes of several messages in one, while the publisher or this subscriber is behind.
    Aggregate(Box<Diff>),
    /// No change for a while; `seq` is that of the previous message.
    Heartbeat,
    /// The whole state again, because messages were lost or names have changed.
    Resync(#[serde(serialize_with = "shared")] Arc<Snapshot>),
}

fn shared<S: Serializer>(state: &Arc<Snapshot>, serializer: S) -> Result<S::Ok, S::Error> {
    Snapshot::serialize(state, serializer)
}

/// An envelope whose payload is not parsed yet: its type depends on `kind`, which may follow it.
#[derive(Deserialize)]
struct RawEnvelope<'a> {
    schema_version: String,
    config_id: String,
    shard: String,
    epoch: u64,
    seq: u64,
    prev_seq: u64,
    tick: u64,
    #[serde(default)]
    sent_ms: u64,
    kind: String,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    digest: Option<String>,
    reason: Option<String>,
}

impl Body {
    /// The word in `kind`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Snapshot(_) => "snapshot",
            Self::Diff(_) => "diff",
            Self::Aggregate(_) => "aggregate",
            Self::Heartbeat => "heartbeat",
            Self::Resync(_) => "resync",
        }
    }
}

impl Envelope {
    /// Parses a message whose state or changes take at most [`max_memory`] bytes.
    ///
    /// # Errors
    /// Invalid JSON, a missing field, an unknown `kind`, or larger content.
    pub fn from_json(text: &str) -> Result<Self, MessageError> {
        Self::measured(text).map(|(message, _)| message)
    }

    /// As [`Self::from_json`], with the bytes of memory that the content takes.
    ///
    /// # Errors
    /// As [`Self::from_json`].
    pub fn measured(text: &str) -> Result<(Self, usize), MessageError> {
        let raw: RawEnvelope<'_> = serde_json::from_str(text).map_err(BoundedError::Invalid)?;
        let (payload, most) = (raw.payload.map_or("null", RawValue::get), max_memory(text.len()));
        let (body, memory) = match raw.kind.as_str() {
            "snapshot" => content(payload, most, |state| Body::Snapshot(Arc::new(state)))?,
            "diff" => content(payload, most, |diff| Body::Diff(Box::new(diff)))?,
            "aggregate" => content(payload, most, |diff| Body::Aggregate(Box::new(diff)))?,
            "heartbeat" => (Body::Heartbeat, 0),
            "resync" => content(payload, most, |state| Body::Resync(Arc::new(state)))?,
            kind => {
                let why = format!("there is no message kind `{kind}`");
                return Err(BoundedError::Invalid(serde_json::Error::custom(why)));
            }
        };
        let RawEnvelope {
            schema_version, config_id, shard, epoch, seq, prev_seq, tick, sent_ms, digest, reason, ..
        } = raw;
        let message =
            Self { schema_version, config_id, shard, epoch, seq, prev_seq, tick, sent_ms, body, digest, reason };
        Ok((message, memory))
    }

    /// The message as JSON in one line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a message is plain data")
    }

    /// The envelope of a message that leads from the state `prev_seq` to `state` with the number `seq`; without a digest, made at
    /// the beginning of the epoch.
    pub fn leading_to(state: &Snapshot, epoch: u64, seq: u64, prev_seq: u64, body: Body) -> Self {
        Self {
            sent_ms: 0,
            schema_version: state.schema_version.clone(),
            config_id: state.config_id.clone(),
            shard: state.shard.clone(),
            epoch,
            seq,
            prev_seq,
            tick: state.tick,
            body,
            digest: None,
            reason: None,
        }
    }

    /// The position of a reader after this message, for `Last-Event-ID`.
    pub const fn position(&self) -> Position {
        Position { epoch: self.epoch, seq: self.seq }
    }
}

fn content<T: DeserializeOwned>(
    payload: &str,
    most: usize,
    body: fn(T) -> Body,
) -> Result<(Body, usize), MessageError> {
    let (content, memory) = measure(&mut serde_json::Deserializer::from_str(payload), most)?;
    Ok((body(content), memory))
}

// The conversion is a function here and not generic code of the callers, so that it is compiled once.
impl Snapshot {
    /// The state as JSON in one line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a snapshot is plain data")
    }
}

/// A position in a stream: `<epoch>:<seq>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Of the messages read.
    pub epoch: u64,
    /// Of the last one.
    pub seq: u64,
}

impl std::fmt::Display for Position {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}:{}", self.epoch, self.seq)
    }
}

impl std::str::FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let parts = text.split_once(':').and_then(|(epoch, seq)| Some((number(epoch)?, number(seq)?)));
        let (epoch, seq) = parts.ok_or_else(|| "a position in a stream is `<epoch>:<seq>`".to_owned())?;
        Ok(Self { epoch, seq })
    }
}

/// Why a reader needs a new snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Lost {
    /// No snapshot came yet.
    #[error("a {0} came before any snapshot")]
    Unstarted(&'static str),
    /// Messages are missing.
    #[error("messages are missing: the one that came follows {follows}, the last one read was {read}")]
    Gap {
        /// `prev_seq` of the message.
        follows: u64,
        /// `seq` of the state.
        read: u64,
    },
    /// The shard restarted.
    #[error("the shard restarted: new messages are from epoch {came}, earlier ones from epoch {read}")]
    Epoch {
        /// Of the message.
        came: u64,
        /// Of the state.
        read: u64,
    },
    /// The diff was made for another state.
    #[error("the message does not fit the state: {0}")]
    Mismatch(#[from] Mismatch),
    /// The message cannot be parsed.
    #[error("cannot parse a message from the shard: {0}")]
    Unreadable(String),
    /// The state grows beyond what a reader keeps.
    #[error("the state takes more than {most} bytes of memory")]
    TooLarge {
        /// The limit.
        most: usize,
    },
    /// The state is not the shard's.
    #[error("the state at message {seq} is {found}, the shard's was {expected}")]
    Digest {
        /// Of the message.
        seq: u64,
        /// What the message says.
        expected: String,
        /// What came of applying it.
        found: String,
    },
}

/// A shard's state as a reader keeps it from a stream.
#[derive(Clone, Debug, Default)]
pub struct Mirror {
    state: Option<Snapshot>,
    position: Option<Position>,
    /// `sent_ms` of the last message, heartbeats included.
    sent_ms: u64,
    /// Upper bound of the memory of the state in bytes: its own when it was last measured, and that of the messages since.
    memory: usize,
    /// Length of the last whole state as it was read. The state and the message that is applied may take as much memory as
    /// [`max_memory`] says for both texts: a message may have a new row for every resident.
    length: usize,
}

impl Mirror {
    /// The state, once a snapshot has come.
    pub const fn state(&self) -> Option<&Snapshot> {
        self.state.as_ref()
    }

    /// The position from which to resume after a lost connection.
    pub const fn position(&self) -> Option<Position> {
        self.position
    }

    /// When the last message was made, in milliseconds of its epoch; 0 for shards that do not say so.
    pub const fn sent_ms(&self) -> u64 {
        self.sent_ms
    }

    /// Parses and applies a message; keeps the memory of the state within a bound. True when the state has changed.
    /// Fails if a snapshot is needed; the mirror is then empty.
    pub fn read(&mut self, text: &str) -> Result<bool, Lost> {
        let message = Envelope::measured(text).map_err(|why| {
            *self = Self::default();
            Lost::Unreadable(why.to_string())
        });
        message.and_then(|message| self.take_measured(message, text.len()))
    }

    /// Applies a message of [`Envelope::measured`] that was read from a text of so many bytes as [`Self::read`] does.
    pub fn take_measured(&mut self, (message, memory): (Envelope, usize), length: usize) -> Result<bool, Lost> {
        if let Err(why) = self.make_room(&message.body, memory, length) {
            *self = Self::default();
            return Err(why);
        }
        self.take(message)
    }

    /// Measures the state if it may be too large to apply a message that takes so many bytes.
    fn make_room(&mut self, body: &Body, memory: usize, length: usize) -> Result<(), Lost> {
        if matches!(body, Body::Snapshot(_) | Body::Resync(_)) {
            *self = Self { memory, length, ..Self::default() };
            return Ok(());
        }
        let most = max_memory(self.length + length);
        self.memory = self.memory.saturating_add(memory);
        let Some(state) = self.state.take_if(|_| self.memory > most) else { return Ok(()) };
        let text = bounded_json(&state).ok();
        // Measured by reading it again, which also gives back the unused capacity of its lists.
        drop(state);
        let left = most.saturating_sub(memory);
        let measured = text.and_then(|text| measure(&mut serde_json::Deserializer::from_slice(&text), left).ok());
        let (state, own) = measured.ok_or(Lost::TooLarge { most })?;
        (self.state, self.memory) = (Some(state), own + memory);
        Ok(())
    }

    /// Applies a message. True when the state has changed.
    /// Fails if a snapshot is needed; the mirror is then empty.
    pub fn take(&mut self, message: Envelope) -> Result<bool, Lost> {
        let taken = self.try_take(message);
        if taken.is_err() {
            *self = Self::default();
        }
        taken
    }

    fn try_take(&mut self, message: Envelope) -> Result<bool, Lost> {
        let position = message.position();
        let kind = message.body.kind();
        self.sent_ms = message.sent_ms;
        match message.body {
            Body::Snapshot(state) | Body::Resync(state) => self.state = Some(Arc::unwrap_or_clone(state)),
            Body::Heartbeat => {
                self.follows(position, message.seq, "heartbeat")?;
                return Ok(false);
            }
            Body::Diff(diff) | Body::Aggregate(diff) => {
                diff.apply(self.follows(position, message.prev_seq, kind)?)?;
            }
        }
        self.position = Some(position);
        // A newer version may have blocks that this one does not know; its digest is of all of them.
        if let (Some(expected), Some(state)) = (message.digest, &self.state)
            && message.schema_version == SCHEMA_VERSION
        {
            let found = digest(state);
            if found != expected {
                return Err(Lost::Digest { seq: position.seq, expected, found });
            }
        }
        Ok(true)
    }

    fn follows(&mut self, came: Position, follows: u64, kind: &'static str) -> Result<&mut Snapshot, Lost> {
        let (Some(state), Some(read)) = (&mut self.state, self.position) else { return Err(Lost::Unstarted(kind)) };
        if came.epoch != read.epoch {
            return Err(Lost::Epoch { came: came.epoch, read: read.epoch });
        }
        if follows != read.seq {
            return Err(Lost::Gap { follows, read: read.seq });
        }
        Ok(state)
    }
}

/// The JSON of a state, if it fits into an event. It is written twice, so that it takes no more memory than its length.
fn bounded_json(state: &Snapshot) -> serde_json::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(json_length(state, MAX_EVENT)?);
    serde_json::to_writer(&mut text, state)?;
    Ok(text)
}

/// The digest of a state: the first 128 bits of SHA-256 over its JSON without blanks, the keys of every object in the
/// order of their bytes, as 32 hex digits.
pub fn digest(state: &Snapshot) -> String {
    let mut digest = sha256(&sorted_json::to_vec(state).expect("a snapshot is plain data"));
    digest.truncate(32);
    digest
}

/// SHA-256 in lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
