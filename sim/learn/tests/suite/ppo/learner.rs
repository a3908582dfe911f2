//! Properties of the learner: first-minibatch identities, determinism, resuming, and errors.

use std::num::NonZero;

use townlet_learn::network::{Shape, Weights, WeightsError};
use townlet_learn::ppo::{Batch, Diverged, Learner, Settings, gae};

use super::cartpole::CartPole;
use super::probe_envs::Masked;
use super::trainer::{Plan, Prng, Trainer};

fn settings() -> Settings {
    Settings { minibatch_size: 64, learning_rate: 1e-3, ..Settings::default() }
}

fn plan() -> Plan {
    Plan { slots: 8, horizon: 50, updates: 6, hidden: [32, 32], settings: settings() }
}

fn bits(weights: &Weights) -> Vec<u32> {
    weights.tensors.iter().flat_map(|column| column.values.iter().map(|value| value.to_bits())).collect()
}

#[test]
fn advantages_match_the_double_sum() {
    let mut prng = Prng::new(3, 0);
    for count in [0, 1, 2, 7, 40] {
        let mut column =
            |least: f32, most: f32| -> Vec<f32> { (0..count).map(|_| least + (most - least) * prng.unit()).collect() };
        let (rewards, values, mut discounts) = (column(-1.0, 1.0), column(-2.0, 2.0), column(0.5, 1.0));
        // An episode that ends inside the rollout.
        if count > 4 {
            discounts[count / 2] = 0.0;
        }
        let (bootstrap, lambda) = (1.7, 0.9);
        let mut found = vec![0.0; count];
        gae(&rewards, &values, &discounts, bootstrap, lambda, &mut found);
        for (t, found) in found.iter().enumerate() {
            let (mut wanted, mut factor) = (0.0, 1.0);
            for later in t..count {
                let next = if later + 1 < count { values[later + 1] } else { bootstrap };
                wanted += factor * (rewards[later] + discounts[later] * next - values[later]);
                factor *= discounts[later] * lambda;
            }
            assert!((found - wanted).abs() < 1e-4, "{t} of {count}: {found}, expected {wanted}");
        }
    }
}

#[test]
fn the_first_minibatch_sees_the_policy_that_collected() {
    let mut trainer = Trainer::new(&Masked(0), Plan { settings: settings(), ..plan() }, 5);
    trainer.train();
    for stats in &trainer.stats {
        assert!(stats.first_ratio_error < 1e-4, "{stats:?}");
        assert!(stats.first_kl.abs() < 1e-6, "{stats:?}");
        assert!(stats.approx_kl > stats.first_kl, "later minibatches see a changed policy: {stats:?}");
        assert!(stats.epochs == 4 && stats.samples == 1_600 && stats.entropy > 0.0 && stats.grad_norm > 0.0);
    }
    assert!((trainer.stats[0].learning_rate - 1e-3).abs() < 1e-9);
    assert!((trainer.stats[3].learning_rate - 0.5e-3).abs() < 1e-9, "annealed to half");
}

#[test]
fn the_seed_determines_the_bits_on_any_number_of_threads() {
    let weights = |seed, threads| {
        let mut trainer = Trainer::new(&CartPole::default(), plan(), seed);
        trainer.learner.set_threads(NonZero::new(threads).expect("not zero"));
        bits(trainer.train().learner.weights())
    };
    let one = weights(9, 1);
    assert_eq!(one, weights(9, 1));
    assert_eq!(one, weights(9, 2));
    assert_eq!(one, weights(9, 8));
    assert_ne!(one, weights(10, 1));
}

#[test]
fn a_restored_learner_continues_with_the_same_bits() {
    let mut collector = Trainer::new(&CartPole::default(), plan(), 4);
    let batches: Vec<Batch> = (0..6).map(|_| collector.collect()).collect();
    let learn = |learner: &mut Learner, range: std::ops::Range<usize>| {
        for update in range {
            learner.update(&batches[update], update as f64 / 6.0).expect("it does not diverge");
        }
    };
    let shape = *collector.learner.shape();
    let mut whole = Learner::new(shape, settings(), 4);
    learn(&mut whole, 0..6);
    let mut first = Learner::new(shape, settings(), 4);
    learn(&mut first, 0..3);
    let mut second = Learner::new(shape, settings(), 4);
    second.restore(first.state().clone()).expect("a learner's own state");
    learn(&mut second, 3..6);
    assert_eq!(bits(second.weights()), bits(whole.weights()));
    assert_eq!(second.state(), whole.state());
}

#[test]
fn target_kl_ends_the_update_after_an_epoch() {
    let stats = |target_kl| {
        let settings = Settings { target_kl, learning_rate: 0.05, update_epochs: 10, ..settings() };
        let mut trainer = Trainer::new(&Masked(0), Plan { settings, ..plan() }, 5);
        trainer.round(0.0);
        trainer.stats[0].epochs
    };
    assert_eq!(stats(None), 10);
    assert_eq!(stats(Some(1e-9)), 1);
}

#[test]
fn a_diverged_update_is_named_and_keeps_the_weights() {
    let settings = Settings { learning_rate: 1e30, anneal_lr: false, ..settings() };
    let mut trainer = Trainer::new(&CartPole::default(), Plan { settings, ..plan() }, 2);
    let batch = trainer.collect();
    let before = trainer.learner.state().clone();
    let error = trainer.learner.update(&batch, 0.0).expect_err("it explodes");
    assert!(matches!(error, Diverged::Loss { .. } | Diverged::Gradient { .. } | Diverged::Weight { .. }), "{error}");
    assert!(error.to_string().contains("in update 0"), "{error}");
    assert_eq!(trainer.learner.state(), &before);
    // The learner still learns from there.
    let mut calm = Learner::new(*trainer.learner.shape(), self::settings(), 2);
    calm.restore(before).expect("a learner's own state");
    calm.update(&batch, 0.0).expect("it does not diverge");
}

#[test]
fn a_batch_that_is_not_finite_is_refused_by_column_and_row() {
    let mut trainer = Trainer::new(&CartPole::default(), plan(), 2);
    let mut batch = trainer.collect();
    batch.returns[17] = f32::NAN;
    let error = trainer.learner.update(&batch, 0.0).expect_err("NaN is refused").to_string();
    assert_eq!(error, "`returns` of the batch holds NaN at decision 17 in update 0");
    let before = trainer.learner.state().clone();
    let stats = trainer.learner.update(&Batch::default(), 0.0).expect("an empty batch is allowed");
    assert_eq!((stats.samples, stats.epochs), (0, 0));
    assert_eq!(trainer.learner.weights(), &before.weights);
}

#[test]
fn invalid_weights_are_refused_by_name() {
    let shape = Shape::standard(7, 3);
    let good = Learner::new(shape, settings(), 1).weights().clone();
    let read = |change: &dyn Fn(&mut Weights)| {
        let mut weights = good.clone();
        change(&mut weights);
        Weights::read(&shape, weights.tensors).expect_err("changed weights are refused").to_string()
    };
    assert_eq!(Weights::read(&shape, good.clone().tensors.into_iter().rev().collect()), Ok(good.clone()));
    assert_eq!(good.tensor("fc1.weight").map(|tensor| tensor.shape.clone()), Some(vec![128, 7]));
    let nan = |weights: &mut Weights| weights.tensors[2].values[5] = f32::NAN;
    assert_eq!(read(&nan), "`fc2.weight` holds NaN at place 5; every weight must be finite");
    let infinite = |weights: &mut Weights| weights.tensors[7].values[0] = f32::NEG_INFINITY;
    assert_eq!(read(&infinite), "`value.bias` holds -inf at place 0; every weight must be finite");
    let missing = |weights: &mut Weights| drop(weights.tensors.remove(4));
    assert_eq!(read(&missing), "`policy.weight` is missing");
    let unknown = |weights: &mut Weights| {
        let mut column = weights.tensors[0].clone();
        column.name = "fc9.weight".into();
        weights.tensors.push(column);
    };
    assert_eq!(read(&unknown), "`fc9.weight` is not a weight of this network");
    let short = |weights: &mut Weights| weights.tensors[1].values.truncate(127);
    assert_eq!(read(&short), "`fc1.bias` has 127 values; its shape needs 128");
    let other = Weights::read(&Shape::standard(8, 3), good.tensors.clone());
    assert!(matches!(other, Err(WeightsError::Shape { name, .. }) if name == "fc1.weight"));
}

/// Minibatches large enough for a second thread, unlike those of CartPole.
#[test]
fn large_minibatches_give_the_same_bits_on_any_number_of_threads() {
    let shape = Shape::standard(70, 9);
    let numbers = |count: usize, step: f32| (0..count).map(move |place| (place as f32 * step).sin());
    let count = 1_100;
    let batch = Batch {
        observations: numbers(count * shape.observation, 0.37).collect(),
        actions: (0..count).map(|place| (place * 7 % 9) as u8).collect(),
        action_masks: vec![0x1ff; count],
        log_probs: numbers(count, 0.11).map(|value| value * 0.1 - 2.2).collect(),
        values: numbers(count, 0.23).collect(),
        advantages: numbers(count, 0.53).collect(),
        returns: numbers(count, 0.71).collect(),
    };
    let weights = |threads| {
        let settings = Settings { minibatch_size: 500, ..Settings::default() };
        let mut learner = Learner::new(shape, settings, 3);
        learner.set_threads(NonZero::new(threads).expect("not zero"));
        learner.update(&batch, 0.0).expect("it does not diverge");
        bits(learner.weights())
    };
    let one = weights(1);
    assert_eq!(one, weights(2));
    assert_eq!(one, weights(8));
}
