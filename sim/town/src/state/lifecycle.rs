//! Exits and arrivals.

use serde::{Deserialize, Serialize};

use crate::ids::{AgentId, Column};
use crate::state::ExitReason;

/// Why a resident left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitCause {
    /// Hunger.
    Collapse,
    /// Rent unpaid for too long.
    Eviction,
    /// An entry of the exit queue.
    Employment {
        /// Why the resident was due.
        reason: ExitReason,
        /// Whether an operator approved the exit.
        manual: bool,
    },
    /// A day without energy or hygiene.
    Neglect,
    /// An operator's command.
    Operator,
}

impl ExitCause {
    /// The name in telemetry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Collapse => "collapse",
            Self::Eviction => "eviction",
            Self::Employment { .. } => "employment",
            Self::Neglect => "neglect",
            Self::Operator => "operator",
        }
    }
}

/// Counters and schedules of exits and arrivals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// Exits of all causes today.
    pub exits_today: u32,
    /// Tick of the last exit.
    pub last_exit: Option<u64>,
    /// No involuntary exit happens before this tick: the end of an outage plus its grace period.
    pub suppressed_until: u64,
    /// Ticks at which newcomers arrive.
    pub arrivals: Vec<u64>,
    /// Number of residents who ever arrived; the identity of the next one.
    pub next_resident: u32,
    /// Tick at which each slot was freed. A slot is reused after a cooldown.
    pub freed: Column<AgentId, Option<u64>>,
    /// Slots reused before their cooldown because no other slot was free.
    pub early_reuses: u32,
}
