//! A training is the same whatever the number of threads, and whether or not it was stopped on the way.

use std::num::NonZero;

use townlet_learn::checkpoint::Registry;
use townlet_learn::train::{Row, Trainer};

use crate::{rules, threads, trainer};

/// Everything that is learned, bit by bit.
fn bits(trainer: &Trainer) -> Vec<u32> {
    let state = trainer.learner().state();
    let all = [&state.weights, &state.first_moments, &state.second_moments];
    let columns = all.into_iter().flat_map(|weights| &weights.columns);
    let scale = trainer.normalizer().columns();
    columns.chain(&scale).flat_map(|column| column.values.iter().map(|value| value.to_bits())).collect()
}

/// A row without what the clock says.
fn timeless(row: Row) -> Row {
    Row { seconds: 0.0, steps_per_second: 0.0, rollout_share: 0.0, samples_per_second: 0.0, ..row }
}

fn advance(trainer: &mut Trainer, updates: usize) -> Vec<Row> {
    (0..updates).map(|_| timeless(trainer.advance().expect("nothing explodes"))).collect()
}

#[test]
fn threads_make_no_difference() {
    let rules = rules(&[("training.replicas", "40")]);
    let mut one = trainer(&rules, 1);
    let before = bits(&one);
    let rows = advance(&mut one, 3);
    assert_ne!(bits(&one), before, "something was learned");
    for workers in [2, 3] {
        let mut other = trainer(&rules, workers);
        assert_eq!(advance(&mut other, 3), rows, "{workers} threads");
        assert_eq!(bits(&other), bits(&one), "{workers} threads");
    }
}

#[test]
fn a_resumed_training_is_as_if_it_had_never_stopped() {
    let rules = rules(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let registry = Registry::new(folder.path());
    let mut whole = trainer(&rules, 2);
    advance(&mut whole, 4);
    let id = whole.save(&registry, "run-1").expect("it is written");
    // Past a horizon and into a newcomer's life.
    let rows = advance(&mut whole, 7);
    let saved = registry.training(&id).expect("it is there");
    assert_eq!((saved.run.as_str(), saved.progress.updates), ("run-1", 4));
    let mut resumed = Trainer::resume(&rules, &saved, threads(1)).expect("it fits");
    assert_eq!(advance(&mut resumed, 7), rows);
    assert_eq!(bits(&resumed), bits(&whole));
    let again = [whole.save(&registry, "run-1"), resumed.save(&registry, "run-1")].map(|id| id.expect("it is written"));
    assert_eq!(again[0], again[1], "even their names are the same");
    assert_eq!(registry.load(&again[0]).expect("it is whole").meta.parent, Some(id));
}

#[test]
fn a_warm_start_imitates_and_counts_as_no_step() {
    let rules = rules(&[("training.warm_start_rollouts", "3")]);
    let mut trainer = trainer(&rules, 2);
    let before = bits(&trainer);
    let mut entropies = Vec::new();
    trainer.warm_start(|_, stats| entropies.push(stats.entropy)).expect("nothing explodes");
    assert_eq!((entropies.len(), trainer.steps()), (3, 0));
    assert_ne!(bits(&trainer), before);
    assert!(entropies[2] < entropies[0], "{entropies:?}");
}

#[test]
fn an_absurd_step_size_is_told_by_what_exploded_and_leaves_the_weights() {
    let rules = rules(&[("ppo.learning_rate", "1"), ("ppo.max_grad_norm", "0"), ("ppo.num_epochs", "50")]);
    let mut trainer = trainer(&rules, NonZero::<usize>::MIN.get());
    for _ in 0..200 {
        let before = bits(&trainer);
        if let Err(why) = trainer.advance() {
            assert!(["loss", "gradient", "weight"].iter().any(|what| why.to_string().contains(what)), "{why}");
            let after = bits(&trainer);
            let learned = trainer.learner().shape();
            let count: usize = townlet_learn::network::Weights::names(learned)
                .iter()
                .map(|(_, shape)| shape.iter().product::<usize>())
                .sum();
            assert_eq!(after[..3 * count], before[..3 * count], "weights and moments are those before");
            return;
        }
    }
    panic!("it did not diverge");
}
