//! What a command line becomes: one typed value that is previewed, audited, applied and replayed.

use std::path::Path;

use townlet_town::{AgentId, Command, ResidentId, Town, names};
use townlet_wire::{ErrorBody, Role};

use super::command_table::{Reply, error};
use super::driver::Driver;
use super::engine::Speed;
use super::promotion::{Event, Releases};
use super::publish::Mode;
use super::reload::ReloadedFiles;
use super::telemetry::ShardStatus;
use super::whatif::line::WhatIfLine;
use super::whatif::operations::WhatIfOperation;

/// What a command does, and to what.
pub(super) enum Operation {
    /// Changes the town; journalled and replayed.
    Town(Command),
    /// Applies the shard's files; `None` until they are read.
    Reload(Option<Result<ReloadedFiles, ErrorBody>>),
    /// Changes the release.
    Release(Event),
    /// Changes something else about the shard.
    Shard(ShardAction),
    /// Asks what would come of something, or cancels that.
    WhatIf(WhatIfOperation),
    /// Changes the session's role.
    Session(Role),
    /// Changes the pace, which the owner of a local town may do in every role.
    Pace(PaceChange),
    /// Answers from the current state.
    Read(Query),
    /// Answers from the files of the snapshot folder, away from the town's thread.
    Files(FileQuery),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PaceChange {
    /// Tick at this speed; ends a pause.
    Speed(Speed),
    Pause,
    Resume,
    /// Tick so many times, then pause.
    Step(u64),
}

/// A change of the shard around the town.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ShardAction {
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
    /// Whether resumes the shadow training.
    Train(bool),
    /// Mark the active alerts of this name as seen; with a message, only if one of them still has it.
    Acknowledge(String, Option<String>),
}

/// Answers from the state.
pub(super) type Query = Box<dyn Fn(&ShardView<'_>) -> Reply + Send>;

/// Answers from the snapshot folder.
pub(super) type FileQuery = Box<dyn Fn(&Path) -> Reply + Send>;

/// The state that queries are answered from.
pub(super) struct ShardView<'a> {
    pub town: &'a Town,
    pub driver: &'a Driver,
    pub status: &'a ShardStatus,
    pub log: &'a townlet_audit::Log,
    pub releases: &'a Releases,
    pub questions: &'a WhatIfLine,
}

impl ShardView<'_> {
    /// The slot of a resident; `E_NOT_FOUND` when they do not live in the town.
    pub(super) fn agent(&self, resident: ResidentId) -> Result<AgentId, ErrorBody> {
        let agents = &self.town.state().agents;
        agents.present.iter().copied().find(|agent| agents.resident[*agent] == resident).ok_or_else(|| {
            let message = format!("{} does not live here.", names::name(resident));
            error("E_NOT_FOUND", message, "`relationship_summary` and the Agents screen list the residents.")
        })
    }
}
