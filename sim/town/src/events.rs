//! What happened: facts the rules report, for the log, the story and the alerts.
//!
//! Events are output, not state: dropping them changes nothing in the town. They name residents, not slots, so that they
//! stay true when a slot has a new tenant.

use crate::ids::{AffordanceId, JobId, ObjectId, PlaceId, ResidentId};
use crate::lifecycle::ExitCause;

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
    ResidentArrived {
        /// Who.
        who: ResidentId,
    },
    /// Somebody left the town.
    ResidentLeft {
        /// Who.
        who: ResidentId,
        /// Why.
        cause: ExitCause,
    },
    /// A shift began with them there.
    ShiftOnTime {
        /// Who.
        who: ResidentId,
        /// Their job.
        job: JobId,
    },
    /// They came late by so many ticks.
    ShiftLate {
        /// Who.
        who: ResidentId,
        /// Their job.
        job: JobId,
        /// Ticks after the start of the shift.
        ticks: u32,
    },
    /// They did not come, or left.
    ShiftAbsent {
        /// Who.
        who: ResidentId,
        /// Their job.
        job: JobId,
        /// Absent shifts in seven days, this one included.
        absent_7d: u32,
    },
    /// Joined the exit queue.
    EmploymentExitPending {
        /// Who.
        who: ResidentId,
        /// Whether an operator asked for it.
        requested: bool,
    },
    /// An operator approved.
    EmploymentExitManualRequest {
        /// Who.
        who: ResidentId,
    },
    /// An operator deferred.
    EmploymentExitDeferred {
        /// Who.
        who: ResidentId,
    },
    /// Left over the job.
    EmploymentExitProcessed {
        /// Who.
        who: ResidentId,
        /// Whether an operator asked for it.
        requested: bool,
        /// Whether an operator approved it.
        manual: bool,
    },
    /// Hunger under the threshold for as long as the definition says.
    Starving {
        /// Who.
        who: ResidentId,
    },
    /// A use that ended as it should.
    AffordanceDone {
        /// Who.
        who: ResidentId,
        /// Which use.
        affordance: AffordanceId,
        /// Of what.
        object: ObjectId,
    },
    /// A use that did not.
    AffordanceFailed {
        /// Who.
        who: ResidentId,
        /// Which use.
        affordance: AffordanceId,
        /// Of what.
        object: ObjectId,
        /// As an operator reads it.
        why: &'static str,
    },
    /// Gave up a queue, or let a reservation lapse.
    QueueConflict {
        /// Who.
        who: ResidentId,
        /// Of what.
        object: ObjectId,
        /// Ticks.
        waited: u32,
    },
    /// Stepped through somebody after being blocked.
    GhostStep {
        /// Who.
        who: ResidentId,
    },
    /// Rent could not be paid.
    RentMissed {
        /// Who.
        who: ResidentId,
        /// Days of rent owed.
        days: u32,
    },
    /// Power or water went off.
    UtilityOff {
        /// Which.
        utility: Utility,
    },
    /// Power or water came back.
    UtilityOn {
        /// Which.
        utility: Utility,
        /// Ticks it was off.
        after: u64,
    },
    /// Shelves and tills were filled.
    Restocked,
    /// A stability window closed.
    WindowClosed {
        /// From 1.
        number: u64,
        /// Green or red; `None` is inconclusive.
        green: Option<bool>,
    },
    /// A shock began.
    PerturbationBegan {
        /// Row of the perturbations table.
        kind: u8,
        /// Its event of the perturbation file; `None` by hand.
        event: Option<u16>,
    },
    /// A shock is over.
    PerturbationEnded {
        /// Row of the perturbations table.
        kind: u8,
        /// Its event of the perturbation file; `None` by hand.
        event: Option<u16>,
        /// Ticks it lasted.
        after: u64,
    },
    /// Two were asked to meet.
    MeetingArranged {
        /// One.
        who: ResidentId,
        /// And the other.
        other: ResidentId,
        /// Where.
        place: PlaceId,
    },
    /// They sat down together.
    Met {
        /// One.
        who: ResidentId,
        /// And the other.
        other: ResidentId,
        /// Where.
        place: PlaceId,
    },
    /// A talk that went well.
    ChatDone {
        /// Who.
        who: ResidentId,
        /// With whom.
        other: ResidentId,
    },
    /// A talk that did not.
    ChatFailed {
        /// Who.
        who: ResidentId,
        /// With whom.
        other: ResidentId,
    },
    /// Ate in company.
    SharedMeal {
        /// Who.
        who: ResidentId,
        /// With whom.
        other: ResidentId,
    },
    /// Quarrelled in or after a queue.
    Argument {
        /// Who.
        who: ResidentId,
        /// With whom.
        other: ResidentId,
        /// Of what.
        object: ObjectId,
    },
    /// Sat out and let the other past.
    PoliteQueue {
        /// Who.
        who: ResidentId,
        /// With whom.
        other: ResidentId,
        /// Of what.
        object: ObjectId,
    },
    /// Was served before the other, who had waited longer.
    JumpedQueue {
        /// Who.
        who: ResidentId,
        /// With whom.
        other: ResidentId,
        /// Of what.
        object: ObjectId,
    },
    /// Went elsewhere because of the other.
    ConflictAvoided {
        /// Who.
        who: ResidentId,
        /// With whom.
        other: ResidentId,
        /// Of what.
        object: ObjectId,
    },
    /// Came late, and the other covered up for it.
    HelpedLate {
        /// Who.
        who: ResidentId,
        /// With whom.
        other: ResidentId,
        /// Whose job.
        job: JobId,
    },
    /// Works the shift of the other, who did not come.
    ShiftTaken {
        /// Who.
        who: ResidentId,
        /// With whom.
        other: ResidentId,
        /// Whose job.
        job: JobId,
    },
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
            Self::PerturbationBegan { .. } => "perturbation_began",
            Self::PerturbationEnded { .. } => "perturbation_ended",
            Self::MeetingArranged { .. } => "meeting_arranged",
            Self::Met { .. } => "met",
            Self::ChatDone { .. } => "chat_done",
            Self::ChatFailed { .. } => "chat_failed",
            Self::SharedMeal { .. } => "shared_meal",
            Self::Argument { .. } => "argument",
            Self::PoliteQueue { .. } => "polite_queue",
            Self::JumpedQueue { .. } => "jumped_queue",
            Self::ConflictAvoided { .. } => "conflict_avoided",
            Self::HelpedLate { .. } => "helped_late",
            Self::ShiftTaken { .. } => "shift_taken",
        }
    }
}
