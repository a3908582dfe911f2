//! The messages of a stream: one envelope around a snapshot or what changed, and the state a reader keeps from them.
//!
//! Owns the order of messages, how a reader notices that one is missing, and the digest that proves its state. Must not
//! know how messages travel. Rule: "Telemetry".

use std::io::Write;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::diff::{Diff, apply};
use super::field_change::Mismatch;
use super::{SCHEMA_VERSION, Snapshot};

/// Every so many messages of an epoch one carries the digest of the state it leads to.
pub const DIGEST_EVERY: u64 = 10;

/// One message of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Envelope {
    /// Version of the contract the message is written in.
    pub schema_version: String,
    /// The town's configuration.
    pub config_id: String,
    /// The shard's name.
    pub shard: String,
    /// The start of the shard's process that numbers the messages: milliseconds since 1970. Later starts have higher ones.
    pub epoch: u64,
    /// The state that the message leads to; counted from 1 in each epoch.
    pub seq: u64,
    /// The state it starts from: that of the message before, 0 when it needs none.
    pub prev_seq: u64,
    /// The town's tick in that state.
    pub tick: u64,
    /// What it says.
    #[serde(flatten)]
    pub body: Body,
    /// Of the state it leads to; see [`digest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Why a `resync` came, for a reader of logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a message says: `kind` and `payload`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", content = "payload", rename_all = "snake_case")]
pub enum Body {
    /// The whole state: the first message of a stream.
    Snapshot(Box<Snapshot>),
    /// What changed since the message before.
    Diff(Box<Diff>),
    /// The same over several messages, one a second, while the publisher or this subscriber is behind.
    Aggregate(Box<Diff>),
    /// Nothing has changed for a while; `seq` is that of the message before.
    Heartbeat,
    /// The whole state once more: what was between is lost, or names have changed.
    Resync(Box<Snapshot>),
}

impl Body {
    /// As `kind` says it.
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
    /// Around what leads from the state `prev_seq` to `state`, the one of this number; without a digest.
    pub fn leading_to(state: &Snapshot, epoch: u64, seq: u64, prev_seq: u64, body: Body) -> Self {
        Self {
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

    /// Where a reader stands after this message, for `Last-Event-ID`.
    pub const fn position(&self) -> Position {
        Position { epoch: self.epoch, seq: self.seq }
    }
}

/// Where a reader stands in a stream: `<epoch>:<seq>`.
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

/// Why a reader's state is of no use any more and a snapshot is needed.
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
    /// The shard was started anew.
    #[error("the shard was started anew: its messages are of {came}, those read of {read}")]
    Epoch {
        /// Of the message.
        came: u64,
        /// Of the state.
        read: u64,
    },
    /// The diff was made for another state.
    #[error("the message does not fit the state: {0}")]
    Mismatch(#[from] Mismatch),
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
}

impl Mirror {
    /// The state, once a snapshot has come.
    pub const fn state(&self) -> Option<&Snapshot> {
        self.state.as_ref()
    }

    /// Where the reader stands, to go on from after a lost connection.
    pub const fn position(&self) -> Option<Position> {
        self.position
    }

    /// Takes in a message. True when the state has changed.
    ///
    /// # Errors
    /// Why a snapshot is needed; the mirror is empty then and waits for one.
    pub fn take(&mut self, message: Envelope) -> Result<bool, Lost> {
        let taken = self.try_take(message);
        if taken.is_err() {
            *self = Self::default();
        }
        taken
    }

    fn try_take(&mut self, message: Envelope) -> Result<bool, Lost> {
        let position = message.position();
        match message.body {
            Body::Snapshot(state) | Body::Resync(state) => self.state = Some(*state),
            Body::Heartbeat => {
                self.follows(position, message.seq, "heartbeat")?;
                return Ok(false);
            }
            Body::Diff(ref diff) | Body::Aggregate(ref diff) => {
                let state = self.follows(position, message.prev_seq, message.body.kind())?;
                apply(state, (**diff).clone())?;
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

/// The digest of a state: the first 128 bits of SHA-256 over its JSON without blanks, the keys of every object in the
/// order of their bytes, as 32 hex digits.
pub fn digest(state: &Snapshot) -> String {
    let value = serde_json::to_value(state).expect("a snapshot is plain data");
    let mut hash = Sha256::new();
    canonical(&value, &mut Hashing(&mut hash)).expect("a hash takes everything");
    hash.finalize()[..16].iter().fold(String::with_capacity(32), |mut hex, byte| {
        hex.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0')));
        hex
    })
}

/// Its own type, because a hash takes bytes without ever failing and knows no `Write` without a feature.
struct Hashing<'a>(&'a mut Sha256);

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn canonical(value: &Value, out: &mut impl Write) -> std::io::Result<()> {
    match value {
        Value::Array(items) => {
            out.write_all(b"[")?;
            for (at, item) in items.iter().enumerate() {
                out.write_all(if at == 0 { b"" } else { b"," })?;
                canonical(item, out)?;
            }
            out.write_all(b"]")
        }
        Value::Object(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            out.write_all(b"{")?;
            for (at, (name, item)) in sorted.into_iter().enumerate() {
                out.write_all(if at == 0 { b"" } else { b"," })?;
                serde_json::to_writer(&mut *out, name)?;
                out.write_all(b":")?;
                canonical(item, out)?;
            }
            out.write_all(b"}")
        }
        plain => Ok(serde_json::to_writer(out, plain)?),
    }
}
