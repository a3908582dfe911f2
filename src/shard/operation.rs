//! What a command line becomes: one typed value that is previewed, audited, applied and replayed.

use std::path::Path;

use townlet_town::{AgentId, Command, ResidentId, Town, names};
use townlet_wire::{ErrorBody, Role};

use super::command_table::{Reply, error};
use super::engine::Speed;
use super::promotion::{ReleaseRequest, Releases};
use super::publish::Mode;
use super::telemetry::ShardStatus;

/// What a command does, and to what.
pub(super) enum Operation {
    /// Changes the town; journalled and replayed.
    Town(Command),
    /// Takes what the shard's files say now.
    Reload,
    /// Changes the release.
    Release(ReleaseRequest),
    /// Changes something else about the shard.
    Shard(ShardAction),
    /// Changes the session's role.
    Session(Role),
    /// Changes the pace, which the owner of a local town may do in every role.
    Pace(PaceChange),
    /// Answers from the current state.
    Read(Query),
    /// Answers from the files of the snapshot folder, away from the town's thread.
    Files(FileQuery),
}

/// A change of the pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PaceChange {
    /// Tick at this speed; ends a pause.
    Speed(Speed),
    /// Stop ticking.
    Pause,
    /// Tick again.
    Resume,
    /// Tick so many times, then pause.
    Step(u64),
}

/// A change of the shard around the town.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ShardAction {
    /// Write a snapshot.
    SaveSnapshot,
    /// Write an incident bundle; the reason may be empty.
    Incident(String),
    /// Switch narration on or off.
    Narration(bool),
    /// Most sentences a window.
    NarrationLimit(u32),
    /// Whether telemetry is merged.
    TelemetryMode(Mode),
    /// Whether names and ids of residents leave as keyed hashes.
    Privacy(bool),
    /// Whether the training beside the town goes on.
    Train(bool),
}

/// The typed question of a row that reads.
pub(super) struct Query(Box<dyn Fn(&ShardView<'_>) -> Reply + Send>);

impl Query {
    /// A question that `answer` answers.
    pub(super) fn new(answer: impl Fn(&ShardView<'_>) -> Reply + Send + 'static) -> Self {
        Self(Box::new(answer))
    }

    /// Answers from this state.
    pub(super) fn answer(&self, view: &ShardView<'_>) -> Reply {
        (self.0)(view)
    }
}

/// The typed question of a row that reads the snapshot folder.
pub(super) struct FileQuery(Box<dyn Fn(&Path) -> Reply + Send>);

impl FileQuery {
    /// A question that `answer` answers from the folder.
    pub(super) fn new(answer: impl Fn(&Path) -> Reply + Send + 'static) -> Self {
        Self(Box::new(answer))
    }

    /// Answers from this folder.
    pub(super) fn answer(&self, folder: &Path) -> Reply {
        (self.0)(folder)
    }
}

/// The state that queries are answered from.
pub(super) struct ShardView<'a> {
    /// The town.
    pub town: &'a Town,
    /// The shard around it.
    pub status: &'a ShardStatus,
    /// The audit log.
    pub log: &'a townlet_audit::Log,
    /// The shard's releases.
    pub releases: &'a Releases,
}

impl ShardView<'_> {
    /// The slot of a resident who lives in the town.
    ///
    /// # Errors
    /// `E_NOT_FOUND` when they do not.
    pub(super) fn agent(&self, resident: ResidentId) -> Result<AgentId, ErrorBody> {
        let agents = &self.town.state().agents;
        agents.present.iter().copied().find(|agent| agents.resident[*agent] == resident).ok_or_else(|| {
            let message = format!("{} does not live here.", names::name(resident));
            error("E_NOT_FOUND", message, "`employment_status` and the Agents screen list who does.")
        })
    }
}
