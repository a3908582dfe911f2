//! Learning by proximal policy optimisation: from decisions and rewards to better weights.
//!
//! Owns settings, batches, advantages and the update. Must not know what is being learned: whoever collects decisions
//! brings them as rows. Follows CleanRL's `ppo.py`. Rule: "PPO as the field does it".

mod adam;
mod batch;
mod desk;
mod gae;
mod learner;
mod minibatch;
mod objective;
mod pass;
#[cfg(test)]
mod plain;
mod settings;
mod stats;
#[cfg(test)]
mod tests;
mod trajectory;
mod yardstick;

pub use batch::Batch;
pub use gae::gae;
pub use learner::{Learner, LearnerState};
pub use settings::Settings;
pub use stats::{Diverged, UpdateStats};
pub use trajectory::{Decision, Trajectory};
pub use yardstick::Yardstick;
