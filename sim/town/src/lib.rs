//! The simulation of a town: state, rules, observations, rewards, KPIs and snapshots. It is pure and deterministic: no I/O, no
//! clock, no threads, and no floats except in observations and files. Start reading at [`town`].
//!
//! Module order: a module imports only modules before it in this list. `tests/town/module_order.rs` checks it.
//!
//! 1. Basics: `fixed_point`, `hash`, `ids`, `memory`, `counter_rng`, `names`, `options`, `personality`
//! 2. Inputs: `config`, `needs`, `plan`, `distances`, `affordances`, `tile_mask`, `rules`
//! 3. Data: `state`, `events`, `best_ties`, `occupancy`, `queue_index`, `vacancies`, `tick_context`
//! 4. Rules of a tick: `ties`, `masks`, `economy`, `queues`, `activity`, `employment`, `score`, `work`, `rewards`,
//!    `lifecycle`, `perturbations`, `decay`, `stability`, `kpi`
//! 5. The running town: `command`, `town`, `observations`, `reload`, `snapshot`

pub mod activity;
pub mod affordances;
mod best_ties;
pub mod command;
pub mod config;
pub mod counter_rng;
mod decay;
mod distances;
pub mod economy;
pub mod employment;
pub mod events;
pub mod fixed_point;
pub mod hash;
pub mod ids;
pub mod kpi;
pub mod lifecycle;
pub mod masks;
pub mod memory;
pub mod names;
pub mod needs;
pub mod observations;
mod occupancy;
pub mod options;
pub mod personality;
pub mod perturbations;
pub mod plan;
mod queue_index;
pub mod queues;
pub mod reload;
pub mod rewards;
pub mod rules;
pub mod score;
pub mod snapshot;
pub mod stability;
pub mod state;
mod tick_context;
pub mod ties;
mod tile_mask;
pub mod town;
mod vacancies;
pub mod work;

pub use activity::Decider;
pub use command::{Command, Refusal};
pub use distances::Heading;
pub use events::{Event, EventKind};
pub use fixed_point::Micro;
pub use ids::{AgentId, ResidentId};
pub use options::OptionKind;
pub use rules::{Rules, RulesError, Sources};
pub use state::State;
pub use tick_context::{Departure, TickReward};
pub use town::{Policy, Town};
