//! What an update tells about itself, and how a training that explodes ends.

use super::objective::LossTerms;

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

    /// Mean over the pass that is running.
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
