//! Statistics of an update, and the ways in which it can diverge.

use super::objective::LossTerms;

/// Statistics of one update, as means over its minibatches. Names follow CleanRL.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UpdateStats {
    /// Clipped surrogate loss.
    pub policy_loss: f32,
    /// Value loss, unweighted.
    pub value_loss: f32,
    /// Entropy over the allowed options, in nats.
    pub entropy: f32,
    /// Approximate KL divergence from the policy that collected, over the last epoch.
    pub approx_kl: f32,
    /// Share of decisions whose ratio was clipped, in [0, 1].
    pub clip_frac: f32,
    /// Explained variance of the returns; `NaN` when they do not vary.
    pub explained_variance: f32,
    /// Norm of the gradient before clipping.
    pub grad_norm: f32,
    /// Learning rate used.
    pub learning_rate: f32,
    /// Epochs begun.
    pub epochs: u32,
    /// Decisions learned from, counted once per epoch.
    pub samples: u64,
    /// Largest |ratio − 1| of the first minibatch: 0 up to rounding in a correct update.
    pub first_ratio_error: f32,
    /// `approx_kl` of the first minibatch: 0 up to rounding in a correct update.
    pub first_kl: f32,
    /// Decisions learned from per second.
    pub samples_per_second: f64,
}

/// What diverged. The learner keeps the weights from before the update.
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
    /// A value of the batch is not finite.
    #[error("`{column}` of the batch holds {value} at decision {place} in update {update}")]
    Batch {
        /// Such as `returns`.
        column: &'static str,
        /// `NaN`, `inf` or `-inf`.
        value: f32,
        /// Index of the decision.
        place: usize,
        /// Updates before this one.
        update: u64,
    },
}

/// Sums over the minibatches of an update.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StatsSum {
    all: LossTerms,
    norm: f32,
    minibatches: u32,
    samples: u64,
    epochs: u32,
    epoch_kl: f32,
    epoch_minibatches: u32,
    first: Option<LossTerms>,
}

impl StatsSum {
    pub(super) fn begin_epoch(&mut self) {
        self.epochs += 1;
        self.epoch_kl = 0.0;
        self.epoch_minibatches = 0;
    }

    pub(super) fn add(&mut self, terms: &LossTerms, norm: f32, samples: usize) {
        self.first.get_or_insert(*terms);
        self.all = self.all.and(*terms);
        self.norm += norm;
        self.minibatches += 1;
        self.samples += samples as u64;
        self.epoch_kl += terms.approx_kl;
        self.epoch_minibatches += 1;
    }

    /// Mean KL divergence of the current epoch.
    pub(super) fn epoch_kl(&self) -> f32 {
        self.epoch_kl / self.epoch_minibatches.max(1) as f32
    }

    pub(super) fn write(&self, stats: &mut UpdateStats) {
        let mean = |sum: f32| sum / self.minibatches.max(1) as f32;
        stats.policy_loss = mean(self.all.policy_loss);
        stats.value_loss = mean(self.all.value_loss);
        stats.entropy = mean(self.all.entropy);
        stats.clip_frac = mean(self.all.clip_frac);
        stats.grad_norm = mean(self.norm);
        stats.approx_kl = self.epoch_kl();
        (stats.epochs, stats.samples) = (self.epochs, self.samples);
        let first = self.first.unwrap_or_default();
        (stats.first_ratio_error, stats.first_kl) = (first.ratio_error, first.approx_kl);
    }
}

/// 1 − var(returns − values) / var(returns).
pub(super) fn explained_variance(values: &[f32], returns: &[f32]) -> f32 {
    let variance = |of: &dyn Fn(usize) -> f64| {
        let count = returns.len().max(1) as f64;
        let mean = (0..returns.len()).map(of).sum::<f64>() / count;
        (0..returns.len()).map(|place| (of(place) - mean).powi(2)).sum::<f64>() / count
    };
    let all = variance(&|place| f64::from(returns[place]));
    let rest = variance(&|place| f64::from(returns[place]) - f64::from(values[place]));
    if all > 0.0 { (1.0 - rest / all) as f32 } else { f32::NAN }
}
