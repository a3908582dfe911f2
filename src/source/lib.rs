//! Where a screen gets its town from: one trait, and behind it a shard in this process, a remote one, or a recording.
//!
//! Knows the wire. What a source delivers is complete: a screen needs nothing else to draw.

mod local;
mod recorded;
pub mod remote;

pub use local::Local;
pub use recorded::Recorded;
pub use remote::Remote;

use std::sync::Arc;

use townlet_wire::{Answer, CommandSpec, Request, Session, Snapshot};

/// Something a source has to say.
#[derive(Clone, Debug)]
pub enum SourceEvent {
    /// The newest state. Older ones not yet drawn may be thrown away.
    View(Arc<Snapshot>),
    /// The answer to a request, in the order they were decided.
    Answer(Answer),
    /// The source knows more about itself than at first: its command table, who one is there.
    SourceInfo(Box<SourceInfo>),
    /// The session's role changed.
    Session(Session),
    /// The connection changed.
    Link(Link),
    /// The source has ended and says why; nothing more comes.
    Ended(String),
}

/// The connection, in words an operator reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// A shard in this process.
    Local,
    /// A past run.
    Recorded,
    /// Nothing has arrived yet.
    Connecting {
        /// Where.
        url: String,
    },
    /// Messages arrive.
    Live {
        /// Where.
        url: String,
    },
    /// Nothing has arrived for this long.
    Stale {
        /// Where.
        url: String,
        /// How long.
        seconds: u64,
    },
    /// Lost; the next attempt is this far away.
    Reconnecting {
        /// Where.
        url: String,
        /// How far.
        in_seconds: u64,
        /// Why it was lost.
        why: String,
    },
}

/// What a source says about itself once.
#[derive(Clone, Debug)]
pub struct SourceInfo {
    /// The command table.
    pub commands: Vec<CommandSpec>,
    /// Who this session is.
    pub session: Session,
    /// How it is connected.
    pub link: Link,
    /// Whether `escalate` asks for a token (true) or for a reason.
    pub requires_token: bool,
    /// Label → path or version, for the help screen: `audit`, `snapshots`, `config`, `townlet`.
    pub facts: Vec<(String, String)>,
}

/// A place a screen can watch and command. Never blocks.
pub trait Source {
    /// Facts info before the first view.
    fn hello(&self) -> SourceInfo;
    /// Starts delivery; `deliver` is called from another thread.
    fn start(&mut self, deliver: Box<dyn Fn(SourceEvent) + Send + Sync>);
    /// Sends a request. Its [`Answer`] comes back through `deliver`; a request without a `cmd_id` that needs one is
    /// given one. Returns the `cmd_id` under which the answer will come.
    fn send(&mut self, request: Request) -> String;
    /// Local: takes a final snapshot and stops the shard. Remote: detaches. Recorded: changes nothing. Returns a line for the terminal.
    fn close(&mut self) -> String;
}
