//! Whoever drives the residents: the scripted baseline, and a recording played back.
//!
//! Uses the town; the town knows nothing of this.

mod recorded;
mod scripted;

pub use recorded::Recorded;
pub use scripted::Scripted;
