//! Proximal policy optimization, following CleanRL's `ppo.py`: from batches of decisions to better weights.
//! Rule: "PPO algorithm".

mod batch;
mod gae;
mod gradient_workers;
mod learner;
mod minibatch;
mod objective;
mod optimizer;
mod settings;
mod stats;
#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use gae::gae;
pub use learner::{Learner, LearnerState};
pub use settings::Settings;
pub use stats::{Diverged, UpdateStats};
