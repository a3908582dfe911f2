//! The state of a town at a tick, as columns of exact numbers. All of it is saved and digested; derived data is kept
//! elsewhere (`tick_context`).

mod agents;
mod counters;
mod economy;
mod employment;
mod lifecycle;
mod objects;
mod perturbations;
mod rewards;
mod score;
mod stability;
mod ties;

pub use agents::{Activity, Agents, PAST_SHIFTS, PastShift, Shift, ShiftState};
pub use counters::{Counters, DAYS, DailyCounters};
pub use economy::{ACCOUNTS, Account, Economy};
pub use employment::{Employment, ExitEntry, ExitReason};
pub use lifecycle::{ExitCause, Lifecycle};
pub use objects::{Cooldown, ObjectState, Waiter};
pub use perturbations::{ActivePerturbation, Meeting, PendingPerturbation, Perturbations};
pub use rewards::{ITEM_COUNT, ITEM_NAMES, Item, Rewards};
pub use score::{DayTotals, ResidentDay, Score};
pub use stability::{CHECK_COUNT, CheckReading, Stability, Window};
pub use ties::{ASPECTS, CAPACITY, Tie, Ties};

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::hash;
use crate::ids::{Column, ObjectId};
use crate::memory::{HeapBytes as _, Table, nested};

/// The whole state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Key of every random draw.
    pub seed: u64,
    /// Ticks since the town began.
    pub tick: u64,
    /// Commands applied since the town began.
    pub commands: u64,
    /// Settings an operator may change while the town runs.
    pub live_settings: LiveSettings,
    /// Residents by slot.
    pub agents: Agents,
    /// Objects of the plan.
    pub objects: Column<ObjectId, ObjectState>,
    /// Prices, utilities and the outside balance.
    pub economy: Economy,
    /// The exit queue.
    pub employment: Employment,
    /// Exits and arrivals.
    pub lifecycle: Lifecycle,
    /// Active and pending perturbations.
    pub perturbations: Perturbations,
    /// Counters by day, for the KPIs.
    pub days: DailyCounters,
    /// Totals behind the town score.
    pub score: Score,
    /// Stability windows.
    pub stability: Stability,
    /// Rewards of the last tick.
    pub rewards: Rewards,
    /// Ghost steps since the town began.
    pub ghost_steps: u64,
    /// Blocked steps since the town began.
    pub blocked_steps: u64,
}

impl State {
    /// The memory of the state.
    pub(crate) fn tables(&self) -> [Table; 4] {
        let (ties, object) = (self.agents.ties.heap_bytes(), |it: &ObjectState| {
            it.uses.heap_bytes() + it.queue.heap_bytes() + it.cooldowns.heap_bytes()
        });
        let coming_and_going = [
            self.lifecycle.arrivals.heap_bytes() + self.lifecycle.freed.heap_bytes(),
            self.employment.queue.heap_bytes() + self.employment.due.heap_bytes(),
            self.stability.returns.heap_bytes() + self.stability.closed.heap_bytes(),
        ];
        [
            Table::new("residents", self.agents.heap_bytes() - ties),
            Table::new("ties", ties),
            Table::new("queues at objects", nested(&self.objects, object)),
            Table::new("arrivals, exits and windows", coming_and_going.iter().sum()),
        ]
    }

    /// 128 bits of SHA-256 over the canonical bytes of the state, in hex.
    pub fn digest(&self) -> String {
        hash::short_digest([postcard::to_stdvec(self).expect("the state is plain data")])
    }
}

/// Settings an operator may change while the town runs. The configuration gives their values at the start and keeps those
/// private, so that a running town reads them here only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveSettings {
    /// Whether queues use cooldowns and age priority.
    pub queue_fairness: bool,
    /// Whether residents collapse from hunger.
    pub mortality: bool,
    /// Employment exits per day.
    pub daily_exit_cap: u32,
    /// Shortest and longest delay until a newcomer arrives, in ticks.
    pub spawn_delay: (u32, u32),
    /// Whether perturbations start by themselves.
    pub perturbations: bool,
}

impl LiveSettings {
    /// The values at the start of a town.
    pub fn at_start(config: &Config) -> Self {
        let [least, most] = config.lifecycle.spawn_delay_ticks.at_start();
        Self {
            queue_fairness: config.features.systems.queue_fairness.at_start(),
            mortality: config.lifecycle.mortality.at_start(),
            daily_exit_cap: config.employment.daily_exit_cap.at_start(),
            spawn_delay: (least, most),
            perturbations: config.features.systems.perturbations.at_start(),
        }
    }
}
