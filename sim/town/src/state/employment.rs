//! The exit queue.

use serde::{Deserialize, Serialize};

use crate::ids::AgentId;

/// Why a resident is in the exit queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitReason {
    /// Too many absent shifts in seven days.
    Absences,
    /// Requested by an operator.
    Requested,
}

impl ExitReason {
    /// The name in telemetry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Absences => "absent_shifts",
            Self::Requested => "operator_request",
        }
    }
}

/// An entry of the exit queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitEntry {
    /// The resident.
    pub agent: AgentId,
    /// Why the resident is due to leave.
    pub reason: ExitReason,
    /// Tick of joining.
    pub enqueued: u64,
    /// Whether an operator approved the exit; then it happens on the next tick.
    pub approved: bool,
}

/// The exit queue and today's count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Employment {
    /// Entries, head first.
    pub queue: Vec<ExitEntry>,
    /// Residents who became due in this tick; the lifecycle phase of the tick releases or queues them.
    pub due: Vec<AgentId>,
    /// Employment exits today, approved ones included.
    pub exits_today: u32,
}

impl Employment {
    /// The entry of a resident.
    pub fn entry(&self, agent: AgentId) -> Option<&ExitEntry> {
        self.queue.iter().find(|entry| entry.agent == agent)
    }
}
