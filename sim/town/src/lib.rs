//! The town: state, rules, KPIs, digest and snapshot. Pure and deterministic.
//!
//! No I/O, no clock, no threads, no floats before something is handed out; whoever runs a town brings those. Read
//! [`town`] first: a tick is one page, and each of its lines is a room of this crate.

pub mod activity;
pub mod affordances;
pub mod command;
pub mod config;
pub mod counter_rng;
pub mod economy;
pub mod employment;
pub mod events;
pub mod fixed_point;
pub mod ids;
pub mod kpi;
pub mod lifecycle;
pub mod names;
pub mod needs;
pub mod observations;
mod occupancy;
pub mod options;
pub mod pathfinding;
pub mod personality;
pub mod perturbations;
pub mod plan;
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
pub mod town;
pub mod work;

pub use activity::Decider;
pub use command::{Command, Refusal};
pub use events::{Event, EventKind};
pub use fixed_point::Micro;
pub use ids::{AgentId, ResidentId};
pub use options::OptionKind;
pub use rules::{Rules, RulesError, Sources};
pub use state::State;
pub use town::{Policy, Town};
