//! Whoever drives the residents: the scripted baseline, and a recording played back; many towns driven
//! side by side; and how well somebody drives them.
//!
//! Uses the town; the town knows nothing of this.

pub mod evaluate;
mod recorded;
mod replicas;
mod scripted;

pub use recorded::Recorded;
pub use replicas::{Replica, Replicas};
pub use scripted::Scripted;
