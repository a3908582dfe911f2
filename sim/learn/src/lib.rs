//! Policies for the residents of a town: the scripted baseline, the replay of a recording, and a network trained with PPO.
//! Also their rollouts, evaluation and checkpoints.

pub mod checkpoint;
pub mod drawn_towns;
pub mod evaluate;
pub mod network;
mod network_policy;
mod parallel;
pub mod ppo;
pub mod prng;
mod replay_policy;
mod replicas;
pub mod rollout;
mod scripted;
pub mod seeds;
pub mod train;
pub mod tune;
pub mod whatif;

pub use network_policy::{Choice, LastDecision, LatestDecisions, NetworkPolicy};
pub use parallel::{ShouldContinue, update_observations};
pub use replay_policy::ReplayPolicy;
pub use replicas::{Replica, Replicas};
pub use scripted::{Scripted, ScriptedWith, Thresholds};
