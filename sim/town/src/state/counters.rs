//! Counters of a day and of a stability window. The KPIs are computed from them.

use serde::{Deserialize, Serialize};

/// Event counts of one period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Shifts that began with the resident present, or were missed.
    pub shifts: u32,
    /// Shifts begun late.
    pub late_shifts: u32,
    /// Shifts missed or left.
    pub absences: u32,
    /// Starvation events.
    pub starvation_events: u32,
    /// Decisions at which the previous option was still possible.
    pub decisions: u32,
    /// Those decisions that changed the option.
    pub switches: u32,
    /// Queues given up and reservations lapsed.
    pub queue_conflicts: u32,
    /// Residents who had to wait for an object.
    pub waits: u32,
    /// Residents served from a queue.
    pub served: u32,
    /// Ticks the served residents had waited.
    pub wait_ticks: u32,
    /// Ghost steps.
    pub ghost_steps: u32,
    /// Failed uses of objects.
    pub affordance_failures: u32,
    /// Rewards clipped by the limit of a tick.
    pub reward_clips: u32,
    /// Exits of all causes.
    pub exits: u32,
    /// Exits that no operator ordered.
    pub involuntary_exits: u32,
    /// Residents who sat down at an occupied table.
    pub meetings: u32,
    /// Chats.
    pub chats: u32,
    /// Chats that went well.
    pub chats_done: u32,
    /// Meals eaten.
    pub meals: u32,
    /// Times somebody cooked.
    pub cookings: u32,
    /// Purchases of groceries.
    pub shopping_trips: u32,
    /// Meals that hungry residents ate together, counted by pairs.
    pub shared_meals: u32,
    /// Arguments.
    pub quarrels: u32,
    /// Rivals avoided.
    pub avoided: u32,
    /// Late arrivals covered up by a friend.
    pub helped_late: u32,
    /// Shifts worked for an absent resident.
    pub takeovers: u32,
}

/// Days kept for the KPIs, today included.
pub const DAYS: usize = 7;

/// Counters by day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DailyCounters {
    /// Today first.
    pub days: [Counters; DAYS],
    /// Days begun, at most [`DAYS`].
    pub begun: u32,
}

impl DailyCounters {
    pub(crate) fn today(&mut self) -> &mut Counters {
        &mut self.days[0]
    }

    /// Starts a new day.
    pub(crate) fn start_day(&mut self) {
        self.days.rotate_right(1);
        self.days[0] = Counters::default();
        self.begun = (self.begun + 1).min(DAYS as u32);
    }

    /// A counter summed over the days kept.
    pub(crate) fn sum(&self, counter: fn(&Counters) -> u32) -> i64 {
        self.days.iter().map(|day| i64::from(counter(day))).sum()
    }
}
