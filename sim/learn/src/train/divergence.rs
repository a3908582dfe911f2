//! When a training has exploded: numbers that are none, and numbers that no learning has.
//!
//! Owns the limits. Adam keeps each step within the step size, so an absurd one seldom ends in infinities: it ends in a policy
//! that has jumped out of sight, and goes on without learning anything. Rule: "Diverging runs".

use crate::ppo::{Diverged, UpdateStats};

/// Why a training stopped. Its weights are those before the update.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Divergence {
    /// A number is none.
    #[error(transparent)]
    Diverged(#[from] Diverged),
    /// A figure left everything that learning knows.
    #[error("{what} became {value:.3e} in update {update}, where at most {limit:.0e} is learning")]
    OutOfRange {
        /// Such as `approx_kl`.
        what: &'static str,
        /// What it became.
        value: f32,
        /// The most it may be: several hundred times what a training that learns shows.
        limit: f32,
        /// Updates before this one.
        update: u64,
    },
}

/// That an update's figures are such as a learning has.
pub(super) fn check(stats: &UpdateStats, update: u64) -> Result<(), Divergence> {
    let figures = [
        ("approx_kl", stats.approx_kl, 10.0),
        ("value_loss", stats.value_loss, 1e5),
        ("grad_norm", stats.grad_norm, 1e5),
    ];
    let broken = figures.into_iter().find(|(_, value, limit)| !value.is_finite() || value.abs() > *limit);
    broken.map_or(Ok(()), |(what, value, limit)| Err(Divergence::OutOfRange { what, value, limit, update }))
}
