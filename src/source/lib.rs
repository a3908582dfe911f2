//! Sources of what the screens show: a trait, implemented by a local shard, a remote shard and a recorded run.

mod audit_pages;
mod local;
mod local_past;
mod recorded;
pub mod remote;

pub use local::Local;
pub use recorded::{RECORDING, Recorded};
pub use remote::Remote;

use std::sync::Arc;

use townlet_wire::history::HistoryPage;
use townlet_wire::service::Focus;
use townlet_wire::telemetry::AuditRow;
use townlet_wire::{Answer, CommandSpec, ErrorBody, Request, Session, Snapshot};

type Deliver = Arc<dyn Fn(SourceEvent) + Send + Sync>;

/// Most marks that a source delivers; the newest are taken.
pub const MAX_MARKS: usize = 5_000;

/// An event of a source.
#[derive(Clone, Debug)]
pub enum SourceEvent {
    /// The newest snapshot. Older ones that are not drawn yet may be dropped.
    View(Arc<Snapshot>),
    /// What came of [`Source::seek`] or [`Source::live`].
    Moved(Moved),
    /// What came of [`Source::marks`]: the range of the run and its newest marks, or why they cannot be read.
    Marks(Result<Arc<HistoryPage>, ErrorBody>),
    /// The answer to a request, in the order of execution.
    Answer(Answer),
    /// The page of the audit log that was asked for.
    AuditPage {
        /// Id of the request.
        id: u64,
        /// Its records, oldest first, or why there are none.
        records: Result<Vec<AuditRow>, String>,
    },
    /// Updated information about the source, such as its command table.
    SourceInfo(Box<SourceInfo>),
    /// The session's role changed.
    Session(Session),
    /// The connection changed.
    Link(Link),
    /// The commands that have no answer yet, oldest first: all of them, each time one is late and when none is left.
    Unconfirmed(Vec<UnconfirmedCommand>),
    /// Something that the operator should read once.
    Notice(String),
    /// How the audit log contradicts what this user has seen of it earlier, a sentence each; empty when it does not.
    History(Vec<String>),
    /// The source has ended, with the reason. It is the last event.
    Ended(String),
}

/// A moment that is shown in place of the newest one, or why it is not.
#[derive(Clone, Debug)]
pub enum Moved {
    /// The state at a past tick. What the source delivers as [`SourceEvent::View`] meanwhile is the present.
    Past(Arc<Snapshot>),
    /// The present, or the end of a recording.
    Live,
    /// The tick cannot be shown. What is shown stays.
    Refused {
        /// The tick that was asked for.
        tick: u64,
        /// Why.
        error: ErrorBody,
    },
}

/// State of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// A shard in this process.
    Local,
    /// A recorded run.
    Recorded,
    /// No data yet.
    Connecting {
        /// Address.
        url: String,
    },
    /// Connected.
    Live {
        /// Address.
        url: String,
    },
    /// Connected, but what comes is old: the connection is slower than what the shard sends.
    Behind {
        /// Address.
        url: String,
        /// Age of what came last, in seconds.
        seconds: u64,
    },
    /// Connected, but no data for a while.
    Stale {
        /// Address.
        url: String,
        /// Seconds without data.
        seconds: u64,
    },
    /// Lost; the next attempt follows.
    Reconnecting {
        /// Address.
        url: String,
        /// Seconds until the next attempt; 0 while it is under way.
        in_seconds: u64,
        /// Seconds since the last data; `None` when there was none.
        silent_seconds: Option<u64>,
        /// Whether the shard refused the token, or requires one. Then there is no further attempt before there is another token.
        denied: bool,
        /// Whether the shard has said that it stops, and has not answered since.
        stopped: bool,
        /// Why the connection was lost.
        why: String,
    },
}

impl Link {
    /// Whether the shard is heard now, so that what is shown of it is true.
    pub const fn is_heard(&self) -> bool {
        matches!(self, Self::Local | Self::Recorded | Self::Live { .. })
    }

    /// Whether the shard can be asked, even if what is shown of it is old.
    pub const fn is_connected(&self) -> bool {
        self.is_heard() || matches!(self, Self::Behind { .. })
    }
}

/// A command that was asked for and has no answer yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnconfirmedCommand {
    /// Its id.
    pub cmd_id: String,
    /// Its line.
    pub command: String,
    /// Seconds since it was asked for.
    pub seconds: u64,
    /// Whether it is sent again by itself.
    pub retrying: bool,
    /// Whether the shard may have received it.
    pub maybe_received: bool,
    /// Seconds in which the shard may still execute it; 0 when it no longer does, `None` when it may do so at any time.
    pub expires_in: Option<u64>,
    /// Why the last attempt had no answer; empty before it ends.
    pub why: String,
}

impl UnconfirmedCommand {
    /// What giving it up means, in words.
    pub fn fate(&self) -> String {
        match self.expires_in {
            _ if !self.maybe_received => "given up; it never reached the shard.".into(),
            Some(0) => "given up; it may have been executed; it will not be any more.".into(),
            Some(seconds) => format!("given up; it may have been executed, or may be within {seconds} s."),
            None => "given up; it may have been executed, or may still be.".into(),
        }
    }

    /// What to do after giving it up.
    pub const fn advice(&self) -> &'static str {
        match self.expires_in {
            _ if !self.maybe_received => "Nothing was changed.",
            Some(_) => "Look for its cmd_id in the audit log before you send it again.",
            None => {
                "Look for its cmd_id in the audit log before you send it again: a shard that was frozen finds it late."
            }
        }
    }
}

/// Information about a source.
#[derive(Clone, Debug)]
pub struct SourceInfo {
    /// The command table.
    pub commands: Vec<CommandSpec>,
    /// The operator's session.
    pub session: Session,
    /// State of the connection.
    pub link: Link,
    /// Whether `escalate` needs a token; otherwise it needs a reason.
    pub requires_token: bool,
    /// Labels with a path or version, for the help screen: `audit`, `snapshots`, `config`, `townlet`.
    pub facts: Vec<(String, String)>,
}

/// Asks for the records of the audit log before one that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPageRequest {
    /// Chosen by the sender; the page has it too.
    pub id: u64,
    /// The run.
    pub run_id: String,
    /// Sequence number of the known record.
    pub seq: u64,
    /// Its time, as in the log.
    pub ts: String,
}

/// A town that screens can watch and command. No method blocks, except `close`.
pub trait Source {
    /// Information available before the first snapshot.
    fn hello(&self) -> SourceInfo;
    /// Starts delivery. `deliver` is called from another thread.
    fn start(&mut self, deliver: Box<dyn Fn(SourceEvent) + Send + Sync>);
    /// Sends a request, with a new `cmd_id` if it has none. Returns the `cmd_id`. The [`Answer`] is delivered as an event.
    fn send(&mut self, request: Request) -> String;
    /// Sends an unconfirmed command again now.
    fn resend(&mut self, _cmd_id: &str) {}
    /// Stops sending an unconfirmed command. Its answer, with the code `E_GIVEN_UP`, is delivered as an event.
    fn give_up(&mut self, _cmd_id: &str) {}
    /// Asks for a page of the audit log. It is delivered as an event, also when there is none.
    fn load_audit_page(&mut self, request: AuditPageRequest);
    /// Says what is on screen. A remote shard sends more often what is; rows that it sends later stay as they are known.
    fn look_at(&mut self, _focus: &Focus) {}

    /// Shows a tick of the past. What came of it is delivered as [`SourceEvent::Moved`]; a newer request takes the place of one that
    /// is not answered. Nothing of the town changes.
    fn seek(&mut self, _tick: u64) {}
    /// Shows the present again.
    fn live(&mut self) {}

    /// Asks for the range of the run and its newest marks. The answer, [`SourceEvent::Marks`], comes at most every ten seconds.
    fn marks(&mut self) {}

    /// Ends the source: stops a local shard after a final snapshot, disconnects from a remote one. Returns a line for the terminal.
    fn close(&mut self) -> String;
}
