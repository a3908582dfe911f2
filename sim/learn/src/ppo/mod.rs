//! Proximal policy optimization, following CleanRL's `ppo.py`: from batches of decisions to better weights.
//! Rule: "PPO algorithm".

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
