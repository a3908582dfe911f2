//! Whoever drives the residents: the scripted baseline, and a recording played back; many towns driven side by side; the
//! network that learns to drive them; and how well somebody drives them.
//!
//! Uses the town; the town knows nothing of this.

pub mod checkpoint;
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

pub use network_policy::{Choice, LastDecision, NetworkPolicy};
pub use parallel::ShouldContinue;
pub use replay_policy::ReplayPolicy;
pub use replicas::{Replica, Replicas};
pub use scripted::Scripted;
