//! Whoever drives the residents: the scripted baseline, and a recording played back; and many towns driven side by side.
//!
//! Uses the town; the town knows nothing of this.

mod recorded;
mod replicas;
mod scripted;

pub use recorded::Recorded;
pub use replicas::{Replica, Replicas};
pub use scripted::Scripted;
