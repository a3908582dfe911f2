//! Training on the town: rollouts, checkpoints and continuation, with a small network on a few towns.

mod checkpoints;
mod continuation;
mod evaluations;
mod rollouts;

use std::sync::Arc;

use townlet_learn::train::{Plan, Trainer};
use townlet_town::Rules;

/// Settings of a training that takes a few seconds.
pub(crate) const SMALL: &[(&str, &str)] = &[
    ("features.systems.observations", "compact"),
    ("training.replicas", "5"),
    ("training.rollout_ticks", "200"),
    ("training.horizon_days", "1"),
    ("training.hidden_units", "16"),
    ("ppo.mini_batch_size", "64"),
    ("ppo.num_epochs", "2"),
];

/// Rules of the default town with [`SMALL`] and further settings.
pub(crate) fn rules(flags: &[(&str, &str)]) -> Arc<Rules> {
    crate::default_rules(&[SMALL, flags].concat())
}

/// A training at its beginning.
pub(crate) fn trainer(rules: &Arc<Rules>, workers: usize) -> Trainer {
    Trainer::new(rules, Plan { seed: 11, total_steps: 100_000, threads: crate::threads(workers) })
}
