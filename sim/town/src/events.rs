//! Events reported by the rules, for logs, narration and alerts. They are output, not state. They name residents by identity,
//! so they stay valid when a slot is reused.

use crate::ids::{AffordanceId, JobId, ObjectId, PlaceId, ResidentId};
use crate::state::ExitCause;

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Tick.
    pub tick: u64,
    /// Kind.
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

/// Kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A resident arrived.
    ResidentArrived {
        /// The resident.
        who: ResidentId,
    },
    /// A resident left the town.
    ResidentLeft {
        /// The resident.
        who: ResidentId,
        /// The cause.
        cause: ExitCause,
    },
    /// A shift began with the resident present.
    ShiftOnTime {
        /// The resident.
        who: ResidentId,
        /// The job.
        job: JobId,
    },
    /// A resident arrived late.
    ShiftLate {
        /// The resident.
        who: ResidentId,
        /// The job.
        job: JobId,
        /// Ticks after the start of the shift.
        ticks: u32,
    },
    /// A resident missed a shift or left it.
    ShiftAbsent {
        /// The resident.
        who: ResidentId,
        /// The job.
        job: JobId,
        /// Absent shifts in seven days, this one included.
        absent_7d: u32,
    },
    /// A resident joined the exit queue.
    EmploymentExitPending {
        /// The resident.
        who: ResidentId,
        /// Whether an operator asked for it.
        requested: bool,
    },
    /// An operator approved an exit.
    EmploymentExitManualRequest {
        /// The resident.
        who: ResidentId,
    },
    /// An operator deferred an exit.
    EmploymentExitDeferred {
        /// The resident.
        who: ResidentId,
    },
    /// A resident left through the exit queue.
    EmploymentExitProcessed {
        /// The resident.
        who: ResidentId,
        /// Whether an operator asked for it.
        requested: bool,
        /// Whether an operator approved it.
        manual: bool,
    },
    /// Hunger was below the starvation threshold for the configured time.
    Starving {
        /// The resident.
        who: ResidentId,
    },
    /// A use was completed.
    AffordanceDone {
        /// The resident.
        who: ResidentId,
        /// The use.
        affordance: AffordanceId,
        /// The object.
        object: ObjectId,
    },
    /// A use failed at its end.
    AffordanceFailed {
        /// The resident.
        who: ResidentId,
        /// The use.
        affordance: AffordanceId,
        /// The object.
        object: ObjectId,
        /// The reason as text.
        why: &'static str,
    },
    /// A resident gave up a queue, or its reservation lapsed.
    QueueConflict {
        /// The resident.
        who: ResidentId,
        /// The object.
        object: ObjectId,
        /// Ticks waited.
        waited: u32,
    },
    /// A blocked resident passed through another.
    GhostStep {
        /// The resident.
        who: ResidentId,
    },
    /// Rent could not be paid.
    RentMissed {
        /// The resident.
        who: ResidentId,
        /// Days of rent owed.
        days: u32,
    },
    /// Power or water went off.
    UtilityOff {
        /// The utility.
        utility: Utility,
    },
    /// Power or water came back.
    UtilityOn {
        /// The utility.
        utility: Utility,
        /// Ticks without it.
        after: u64,
    },
    /// The stores were restocked.
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
        /// Its event of the perturbation file; `None` when begun directly.
        event: Option<u16>,
    },
    /// A shock is over.
    PerturbationEnded {
        /// Row of the perturbations table.
        kind: u8,
        /// Its event of the perturbation file; `None` when begun directly.
        event: Option<u16>,
        /// Ticks it lasted.
        after: u64,
    },
    /// Two residents were invited to meet.
    MeetingArranged {
        /// The first resident.
        who: ResidentId,
        /// The second resident.
        other: ResidentId,
        /// The place.
        place: PlaceId,
    },
    /// The invited residents sat down together.
    Met {
        /// The first resident.
        who: ResidentId,
        /// The second resident.
        other: ResidentId,
        /// The place.
        place: PlaceId,
    },
    /// A chat went well.
    ChatDone {
        /// The resident.
        who: ResidentId,
        /// The other resident.
        other: ResidentId,
    },
    /// A chat went wrong.
    ChatFailed {
        /// The resident.
        who: ResidentId,
        /// The other resident.
        other: ResidentId,
    },
    /// A resident ate together with another.
    SharedMeal {
        /// The resident.
        who: ResidentId,
        /// The other resident.
        other: ResidentId,
    },
    /// Two residents quarrelled.
    Argument {
        /// The resident.
        who: ResidentId,
        /// The other resident.
        other: ResidentId,
        /// The object.
        object: ObjectId,
    },
    /// A resident on cooldown let the other past.
    PoliteQueue {
        /// The resident.
        who: ResidentId,
        /// The other resident.
        other: ResidentId,
        /// The object.
        object: ObjectId,
    },
    /// A resident was served before the other, who had waited longer.
    JumpedQueue {
        /// The resident.
        who: ResidentId,
        /// The other resident.
        other: ResidentId,
        /// The object.
        object: ObjectId,
    },
    /// A resident chose another object because of a rival.
    ConflictAvoided {
        /// The resident.
        who: ResidentId,
        /// The other resident.
        other: ResidentId,
        /// The object.
        object: ObjectId,
    },
    /// A friend covered up for a late arrival.
    HelpedLate {
        /// The resident.
        who: ResidentId,
        /// The other resident.
        other: ResidentId,
        /// The job.
        job: JobId,
    },
    /// A friend took over the shift of an absent resident.
    ShiftTaken {
        /// The resident.
        who: ResidentId,
        /// The other resident.
        other: ResidentId,
        /// The job.
        job: JobId,
    },
}

impl EventKind {
    /// The resident whose story it belongs to; `None` when it concerns the town.
    pub const fn who(self) -> Option<ResidentId> {
        match self {
            Self::ResidentArrived { who, .. }
            | Self::ResidentLeft { who, .. }
            | Self::ShiftOnTime { who, .. }
            | Self::ShiftLate { who, .. }
            | Self::ShiftAbsent { who, .. }
            | Self::EmploymentExitPending { who, .. }
            | Self::EmploymentExitManualRequest { who, .. }
            | Self::EmploymentExitDeferred { who, .. }
            | Self::EmploymentExitProcessed { who, .. }
            | Self::Starving { who, .. }
            | Self::AffordanceDone { who, .. }
            | Self::AffordanceFailed { who, .. }
            | Self::QueueConflict { who, .. }
            | Self::GhostStep { who, .. }
            | Self::RentMissed { who, .. }
            | Self::MeetingArranged { who, .. }
            | Self::Met { who, .. }
            | Self::ChatDone { who, .. }
            | Self::ChatFailed { who, .. }
            | Self::SharedMeal { who, .. }
            | Self::Argument { who, .. }
            | Self::PoliteQueue { who, .. }
            | Self::JumpedQueue { who, .. }
            | Self::ConflictAvoided { who, .. }
            | Self::HelpedLate { who, .. }
            | Self::ShiftTaken { who, .. } => Some(who),
            Self::UtilityOff { .. }
            | Self::UtilityOn { .. }
            | Self::Restocked
            | Self::WindowClosed { .. }
            | Self::PerturbationBegan { .. }
            | Self::PerturbationEnded { .. } => None,
        }
    }

    /// The name in telemetry.
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
