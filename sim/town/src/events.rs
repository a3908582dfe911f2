//! What happened: facts the rules report, for the log, the story and the alerts.
//!
//! Events are output, not state: dropping them changes nothing in the town. They name residents, not slots, so that they
//! stay true when a slot has a new tenant.

use crate::ids::{AffordanceId, JobId, ObjectId, Resident};
use crate::lifecycle::Cause;

/// One fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub tick: u64,
    /// What.
    pub kind: EventKind,
}

/// A utility of the town.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Utility {
    /// Stoves.
    Power,
    /// Showers.
    Water,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A newcomer.
    ResidentArrived { who: Resident },
    /// Somebody left the town.
    ResidentLeft { who: Resident, cause: Cause },
    /// A shift began with them there.
    ShiftOnTime { who: Resident, job: JobId },
    /// They came late by so many ticks.
    ShiftLate { who: Resident, job: JobId, ticks: u32 },
    /// They did not come, or left.
    ShiftAbsent { who: Resident, job: JobId, absent_7d: u32 },
    /// Joined the exit queue.
    EmploymentExitPending { who: Resident, requested: bool },
    /// An operator approved.
    EmploymentExitManualRequest { who: Resident },
    /// An operator deferred.
    EmploymentExitDeferred { who: Resident },
    /// Left over the job.
    EmploymentExitProcessed { who: Resident, requested: bool, manual: bool },
    /// Hunger under the threshold for as long as the definition says.
    Starving { who: Resident },
    /// A use that ended as it should.
    AffordanceDone { who: Resident, affordance: AffordanceId, object: ObjectId },
    /// A use that did not.
    AffordanceFailed { who: Resident, affordance: AffordanceId, object: ObjectId, why: &'static str },
    /// Gave up a queue, or let a reservation lapse.
    QueueConflict { who: Resident, object: ObjectId, waited: u32 },
    /// Stepped through somebody after being blocked.
    GhostStep { who: Resident },
    /// Rent could not be paid.
    RentMissed { who: Resident, days: u32 },
    /// Power or water went off.
    UtilityOff { utility: Utility },
    /// Power or water came back.
    UtilityOn { utility: Utility, after: u64 },
    /// Shelves and tills were filled.
    Restocked,
    /// A stability window closed.
    WindowClosed { number: u64, green: Option<bool> },
}

impl EventKind {
    /// As telemetry names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ResidentArrived { .. } => "resident_arrived",
            Self::ResidentLeft { .. } => "resident_left",
            Self::ShiftOnTime { .. } => "shift_on_time",
            Self::ShiftLate { .. } => "shift_late",
            Self::ShiftAbsent { .. } => "shift_absent",
            Self::EmploymentExitPending { .. } => "employment_exit_pending",
            Self::EmploymentExitManualRequest { .. } => "employment_exit_manual_request",
            Self::EmploymentExitDeferred { .. } => "employment_exit_deferred",
            Self::EmploymentExitProcessed { .. } => "employment_exit_processed",
            Self::Starving { .. } => "starvation",
            Self::AffordanceDone { .. } => "affordance_done",
            Self::AffordanceFailed { .. } => "affordance_failed",
            Self::QueueConflict { .. } => "queue_conflict",
            Self::GhostStep { .. } => "ghost_step",
            Self::RentMissed { .. } => "rent_missed",
            Self::UtilityOff { .. } => "utility_off",
            Self::UtilityOn { .. } => "utility_on",
            Self::Restocked => "restocked",
            Self::WindowClosed { .. } => "window_closed",
        }
    }
}
