//! Detects a diverged training: values that are not finite, or far outside the range of any training.
//!
//! Adam bounds each step by the learning rate, so a bad update rarely produces infinities; the policy jumps far away and stops
//! learning. Rule: "Diverging runs".

use crate::ppo::{Diverged, UpdateStats};

/// Why a training stopped. The weights are those from before the update.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Divergence {
    /// A value is not finite.
    #[error(transparent)]
    Diverged(#[from] Diverged),
    /// A statistic is out of range.
    #[error("{what} became {value:.3e} in update {update}; at most {limit:.0e} is plausible")]
    OutOfRange {
        /// Such as `approx_kl`.
        what: &'static str,
        /// Its value.
        value: f32,
        /// The limit: several hundred times the values of a training that learns.
        limit: f32,
        /// Updates before this one.
        update: u64,
    },
}

/// Checks an update's statistics against their limits.
pub(super) fn check(stats: &UpdateStats, update: u64) -> Result<(), Divergence> {
    let figures = [
        ("approx_kl", stats.approx_kl, 10.0),
        ("value_loss", stats.value_loss, 1e5),
        ("grad_norm", stats.grad_norm, 1e5),
    ];
    let broken = figures.into_iter().find(|(_, value, limit)| !value.is_finite() || value.abs() > *limit);
    broken.map_or(Ok(()), |(what, value, limit)| Err(Divergence::OutOfRange { what, value, limit, update }))
}
