//! The context of a tick: rules, state and the data derived from the state, passed to every rule module.

use crate::best_ties::BestTies;
use crate::events::{Event, EventKind};
use crate::fixed_point::Micro;
use crate::ids::{AgentId, Column, ResidentId};
use crate::occupancy::Occupancy;
use crate::queue_index::QueueIndex;
use crate::rules::Rules;
use crate::state::{Counters, State};
use crate::vacancies::Vacancies;

/// Everything a rule reads or changes.
pub(crate) struct TickContext<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) state: &'a mut State,
    /// Derived from `agents.tile`.
    pub(crate) occupancy: &'a mut Occupancy,
    /// Derived from `agents.ties`.
    pub(crate) best_ties: &'a mut BestTies,
    /// Derived from `objects`.
    pub(crate) queue_index: &'a mut QueueIndex,
    /// Rewards of this tick by resident.
    pub(crate) rewards: &'a mut TickRewards,
    pub(crate) events: &'a mut Vec<Event>,
    /// Residents by home and job when they were last counted.
    pub(crate) vacancies: &'a mut Vacancies,
    /// Memory for the residents at a place.
    pub(crate) company: &'a mut Vec<AgentId>,
}

impl TickContext<'_> {
    pub(crate) fn emit(&mut self, kind: EventKind) {
        self.events.push(Event { tick: self.state.tick, kind });
    }

    pub(crate) fn emit_for(&mut self, agent: AgentId, kind: impl FnOnce(ResidentId) -> EventKind) {
        let who = self.state.agents.resident[agent];
        self.emit(kind(who));
    }

    /// Updates the counters of the day and of the stability window.
    pub(crate) fn count(&mut self, update: impl Fn(&mut Counters)) {
        update(self.state.days.today());
        update(&mut self.state.stability.counters);
    }

    /// Visits every resident by slot. The visitor must not add or remove residents.
    pub(crate) fn each(&mut self, mut visit: impl FnMut(&mut Self, AgentId)) {
        for index in 0..self.state.agents.present.len() {
            let agent = self.state.agents.present[index];
            visit(self, agent);
        }
    }
}

/// Rewards of the last tick by resident.
#[derive(Clone, Debug)]
pub(crate) struct TickRewards {
    pub(crate) by_agent: Column<AgentId, TickReward>,
    pub(crate) departures: Vec<Departure>,
}

impl TickRewards {
    pub(crate) fn with_slots(slots: usize) -> Self {
        Self { by_agent: Column::filled(slots, TickReward::default()), departures: Vec::with_capacity(slots) }
    }
}

/// What one resident got and did in a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TickReward {
    /// The reward: the sum of the items.
    pub total: Micro,
    /// The reward without the clip of the episode, which depends on the past. Trainings use this one.
    pub before_episode_clip: Micro,
    /// Ticks of a shift worked: 0 or 1, and 2 for a resident who works their own shift and another's at one site.
    pub worked: u32,
    /// Wages paid.
    pub paid: Micro,
    /// Whether a starvation event happened.
    pub starved: bool,
}

/// A resident who left in the last tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Its former slot, which may have a new resident.
    pub agent: AgentId,
    /// Its identity.
    pub who: ResidentId,
    /// Its reward of that tick.
    pub reward: TickReward,
    /// Whether no operator ordered the exit.
    pub involuntary: bool,
}
