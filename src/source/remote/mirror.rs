//! The shard's state here, kept by the events of its stream.
//!
//! Pure: bytes are somebody else's. Says when it has lost the thread and must be told everything anew.

use serde::Deserialize;

use crate::wire::Snapshot;
use crate::wire::sse::Event;

/// What an event came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// The state is another.
    State,
    /// Nothing new, but the line lives.
    Alive,
    /// The shard says that the stream ends, and why.
    Bye(String),
    /// The thread is lost: everything must be told anew.
    Lost(String),
}

/// The state as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Mirror {
    state: Option<Snapshot>,
    last: Option<String>,
}

#[derive(Deserialize)]
struct Envelope {
    schema_version: String,
    kind: String,
    payload: serde_json::Value,
}

#[derive(Deserialize)]
struct Bye {
    reason: String,
}

impl Mirror {
    /// The state, once there is one.
    pub const fn state(&self) -> Option<&Snapshot> {
        self.state.as_ref()
    }

    /// The id of the last event that was taken.
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// Forgets where it was, so that it is told everything anew.
    pub fn forget(&mut self) {
        self.last = None;
    }

    /// Takes an event.
    pub fn take(&mut self, event: &Event) -> Told {
        match event.kind.as_str() {
            "heartbeat" => Told::Alive,
            "bye" => Told::Bye(serde_json::from_str::<Bye>(&event.data).map(|bye| bye.reason).unwrap_or_default()),
            _ => match self.message(&event.data) {
                Ok(told) => {
                    self.last = Some(event.id.clone()).filter(|id| !id.is_empty());
                    told
                }
                Err(why) => {
                    self.forget();
                    Told::Lost(why)
                }
            },
        }
    }

    fn message(&mut self, data: &str) -> Result<Told, String> {
        let envelope: Envelope = serde_json::from_str(data).map_err(|why| format!("a message is not understood: {why}"))?;
        match envelope.kind.as_str() {
            "snapshot" | "resync" => {
                let mut state: Snapshot = serde_json::from_value(envelope.payload)
                    .map_err(|why| format!("the state in schema {} is not understood: {why}", envelope.schema_version))?;
                state.schema_version = envelope.schema_version;
                self.state = Some(state);
                Ok(Told::State)
            }
            // A newer shard may say more than this program knows.
            _ => Ok(Told::Alive),
        }
    }
}
