//! Objects of the plan: users, queues, cooldowns and stock.

use serde::{Deserialize, Serialize};

use crate::ids::{AffordanceId, AgentId};

/// An entry of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiter {
    /// The resident.
    pub agent: AgentId,
    /// The intended use.
    pub affordance: AffordanceId,
    /// Tick at which the wait began. A lapsed reservation keeps it.
    pub since: u64,
}

/// A resident who may not be served yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cooldown {
    /// The resident.
    pub agent: AgentId,
    /// First tick at which it may be served again.
    pub until: u64,
}

/// State of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectState {
    /// Residents who hold a reservation or use the object; at most its capacity.
    pub uses: Vec<AgentId>,
    /// Queue in order of joining.
    pub queue: Vec<Waiter>,
    /// Active cooldowns.
    pub cooldowns: Vec<Cooldown>,
    /// Meals or groceries in stock.
    pub stock: u32,
    /// Ghost steps towards the object since the town began.
    pub ghost_steps: u32,
}

impl ObjectState {
    /// Whether queue and cooldowns are empty.
    pub(crate) fn is_quiet(&self) -> bool {
        self.queue.is_empty() && self.cooldowns.is_empty()
    }

    /// First tick at which the resident may be served here; 0 when it may now.
    pub fn cooldown_of(&self, agent: AgentId) -> u64 {
        self.cooldowns.iter().find(|cooldown| cooldown.agent == agent).map_or(0, |cooldown| cooldown.until)
    }
}
