//! Learning by proximal policy optimisation: from decisions and rewards to better weights.
//!
//! Owns settings, batches, advantages and the update. Must not know what is being learned: whoever collects decisions
//! brings them as rows. Follows CleanRL's `ppo.py`. Rule: "PPO algorithm".

mod adam;
mod backprop;
mod batch;
mod gae;
mod gemm_baseline;
mod gradient_workers;
mod learner;
mod minibatch;
mod objective;
#[cfg(test)]
mod reference;
mod settings;
mod stats;
#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use gae::gae;
pub use gemm_baseline::GemmBaseline;
pub use learner::{Learner, LearnerState};
pub use settings::Settings;
pub use stats::{Diverged, UpdateStats};
