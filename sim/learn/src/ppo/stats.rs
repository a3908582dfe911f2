//! What an update tells about itself, and how a training that explodes ends.

/// Figures of one update; means are over its minibatches. Names are CleanRL's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UpdateStats {
    /// Clipped surrogate.
    pub policy_loss: f32,
    /// Before its weight.
    pub value_loss: f32,
    /// In nats, over what was allowed.
    pub entropy: f32,
    /// How far the policy moved from the one that collected, of the last pass.
    pub approx_kl: f32,
    /// Share of decisions whose ratio was outside the clip, in [0, 1].
    pub clip_frac: f32,
    /// How much of the returns' variance the values at the time explained; 1 is all, `NaN` when returns do not vary.
    pub explained_variance: f32,
    /// Length of the gradient before it was cut.
    pub grad_norm: f32,
    /// Step size used.
    pub learning_rate: f32,
    /// Passes over the batch that were begun.
    pub epochs: u32,
    /// Decisions learned from, each as often as it was used.
    pub samples: u64,
    /// How far from 1 the ratio of the first minibatch was at most: 0 up to rounding, or the update is wrong.
    pub first_ratio_error: f32,
    /// `approx_kl` of the first minibatch: 0 up to rounding.
    pub first_kl: f32,
    /// Decisions learned from in a second.
    pub samples_per_second: f64,
}

/// What exploded. The learner still has the weights it had before the update.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Diverged {
    /// The loss is not finite.
    #[error("the loss became {value} in update {update}, epoch {epoch}, minibatch {minibatch}")]
    Loss {
        /// `NaN`, `inf` or `-inf`.
        value: f32,
        /// Updates before this one.
        update: u64,
        /// From 0.
        epoch: u32,
        /// From 0.
        minibatch: usize,
    },
    /// The gradient is not finite.
    #[error("the gradient of `{name}` became {value} in update {update}, epoch {epoch}, minibatch {minibatch}")]
    Gradient {
        /// Such as `fc1.weight`.
        name: String,
        /// `NaN`, `inf` or `-inf`.
        value: f32,
        /// Updates before this one.
        update: u64,
        /// From 0.
        epoch: u32,
        /// From 0.
        minibatch: usize,
    },
    /// A weight is not finite.
    #[error("the weight `{name}` became {value} in update {update}")]
    Weight {
        /// Such as `fc1.weight`.
        name: String,
        /// `NaN`, `inf` or `-inf`.
        value: f32,
        /// Updates before this one.
        update: u64,
    },
    /// What was collected is not finite.
    #[error("`{column}` of the batch holds {value} at decision {place} in update {update}")]
    Batch {
        /// Such as `returns`.
        column: &'static str,
        /// `NaN`, `inf` or `-inf`.
        value: f32,
        /// Which decision.
        place: usize,
        /// Updates before this one.
        update: u64,
    },
}
