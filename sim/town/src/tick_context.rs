//! What every room of the tick is handed: the rules, the state, and what is kept beside it.
//!
//! Knows nobody's room. What is kept beside the state follows from it and is never in it.

use crate::events::{Event, EventKind};
use crate::ids::{AgentId, ResidentId};
use crate::kpi::Counters;
use crate::occupancy::Occupancy;
use crate::queues::QueueIndex;
use crate::rewards::TickRewards;
use crate::rules::Rules;
use crate::state::State;

/// What every room of the tick works on.
pub(crate) struct TickContext<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) state: &'a mut State,
    /// How many residents stand on a tile; follows from `agents.tile`.
    pub(crate) occupancy: &'a mut Occupancy,
    /// Where somebody waits, and how many use what; follows from `objects`.
    pub(crate) queue_index: &'a mut QueueIndex,
    /// What the tick is worth to each.
    pub(crate) rewarded: &'a mut TickRewards,
    pub(crate) events: &'a mut Vec<Event>,
}

impl TickContext<'_> {
    pub(crate) fn emit(&mut self, kind: EventKind) {
        self.events.push(Event { tick: self.state.tick, kind });
    }

    pub(crate) fn emit_for(&mut self, agent: AgentId, kind: impl FnOnce(ResidentId) -> EventKind) {
        let who = self.state.agents.resident[agent];
        self.emit(kind(who));
    }

    /// Counts in the day's and in the window's counters.
    pub(crate) fn count(&mut self, note: impl Fn(&mut Counters)) {
        note(self.state.days.today());
        note(&mut self.state.stability.counters);
    }

    /// Residents by position in the list of those present; safe while nobody comes or goes.
    pub(crate) fn each(&mut self, mut visit: impl FnMut(&mut Self, AgentId)) {
        for index in 0..self.state.agents.present.len() {
            let agent = self.state.agents.present[index];
            visit(self, agent);
        }
    }
}
