//! Learning on the town: what is collected, what is kept, and that it goes on as if nothing had happened.
//!
//! Every test trains a small network on a few towns; how well it learns is not asked here.

mod checkpoints;
mod continuation;
mod rollouts;

use std::num::NonZero;
use std::sync::Arc;

use townlet_learn::train::{Plan, Trainer};
use townlet_town::config::{Layers, load};
use townlet_town::{Rules, Sources};

/// A small training: five towns, a few seconds.
pub(crate) const SMALL: &[(&str, &str)] = &[
    ("features.systems.observations", "compact"),
    ("training.replicas", "5"),
    ("training.rollout_ticks", "200"),
    ("training.horizon_days", "1"),
    ("training.hidden_units", "16"),
    ("ppo.mini_batch_size", "64"),
    ("ppo.num_epochs", "2"),
];

/// The default town's rules with some settings changed.
pub(crate) fn rules(flags: &[(&str, &str)]) -> Arc<Rules> {
    let flags = SMALL.iter().chain(flags).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let loaded = load(&Layers { flags, ..Layers::default() }).expect("the settings hold");
    let sources = Sources {
        config: loaded.config,
        plan: ("default.txt".into(), include_str!("../../../../configs/towns/default.txt").into()),
        affordances: ("affordances.yaml".into(), include_str!("../../../../configs/affordances.yaml").into()),
        perturbations: ("default.yaml".into(), include_str!("../../../../configs/perturbations/default.yaml").into()),
    };
    Arc::new(Rules::new(sources).expect("the town can be made"))
}

pub(crate) fn threads(count: usize) -> NonZero<usize> {
    NonZero::new(count).expect("at least one")
}

/// A training of so many steps at its beginning.
pub(crate) fn trainer(rules: &Arc<Rules>, workers: usize) -> Trainer {
    Trainer::new(rules, Plan { seed: 11, total_steps: 100_000, threads: threads(workers) })
}
