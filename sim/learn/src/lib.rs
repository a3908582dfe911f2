//! Whoever drives the residents: the scripted baseline, and a recording played back; many towns driven side by side; the
//! network that learns to drive them; and how well somebody drives them.
//!
//! Uses the town; the town knows nothing of this.

pub mod checkpoint;
mod driver;
pub mod evaluate;
mod luck;
pub mod network;
pub mod ppo;
mod recorded;
mod replicas;
pub mod rollout;
mod scripted;
pub mod seeds;
mod tiles;
pub mod train;

pub use driver::{Choice, NetworkPolicy, Weighed};
pub use recorded::Recorded;
pub use replicas::{Replica, Replicas};
pub use scripted::Scripted;
pub use tiles::GoOn;
