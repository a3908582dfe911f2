//! A training gives the same results on any number of threads, and when stopped, reloaded or interrupted.

use std::sync::atomic::{AtomicU64, Ordering};

use townlet_learn::checkpoint::{CheckpointError, Registry};
use townlet_learn::network::Forward;
use townlet_learn::rollout::{BehaviorPolicy, Rollout};
use townlet_learn::train::{Row, Trainer};
use townlet_learn::{Choice, NetworkPolicy};
use townlet_town::OptionKind;
use townlet_town::options::OPTIONS;

use super::{rules, trainer};
use crate::threads;

/// Everything that is learned, as bits.
pub(super) fn bits(trainer: &Trainer) -> Vec<u32> {
    let state = trainer.learner().state();
    let all = [&state.weights, &state.first_moments, &state.second_moments];
    let columns = all.into_iter().flat_map(|weights| &weights.tensors);
    let scale = trainer.normalizer().tensors();
    columns.chain(&scale).flat_map(|column| column.values.iter().map(|value| value.to_bits())).collect()
}

/// A row without its timings.
pub(super) fn timeless(row: Row) -> Row {
    let row = Row { seconds: 0.0, steps_per_second: 0.0, rollout_share: 0.0, samples_per_second: 0.0, ..row };
    Row { evaluation_seconds: None, ..row }
}

pub(super) fn advance(trainer: &mut Trainer, updates: usize) -> Vec<Row> {
    (0..updates).map(|_| timeless(trainer.advance().expect("it does not diverge"))).collect()
}

#[test]
fn the_number_of_threads_does_not_matter() {
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
fn a_training_on_drawn_towns_has_towns_of_many_sizes_and_resumes_with_the_same_bits() {
    let rules = rules(&[("training.towns", "drawn"), ("training.horizon_days", "1"), ("training.replicas", "12")]);
    let folder = tempfile::tempdir().expect("a folder");
    let registry = Registry::new(folder.path());
    let mut whole = trainer(&rules, 2);
    let first = advance(&mut whole, 3);
    let id = whole.save(&registry, "run-1").expect("it is written");
    let rows = advance(&mut whole, 5);
    let saved = registry.training(&id).expect("it is there");
    let mut resumed = Trainer::resume(&rules, &saved, threads(1)).expect("it fits");
    assert_eq!(advance(&mut resumed, 5), rows);
    assert_eq!(bits(&resumed), bits(&whole));
    // Twelve towns of the configured size would take 12 x 8 resident-ticks a tick.
    let configured = trainer_rows(&[("training.horizon_days", "1"), ("training.replicas", "12")], 3);
    assert_ne!(first[2].steps, configured[2].steps);
}

#[test]
fn a_refused_reload_changes_no_later_town_either() {
    let settings = [("training.horizon_days", "1"), ("training.replicas", "12")];
    let rules_before = rules(&settings);
    let (mut untouched, mut refused) = (trainer(&rules_before, 1), trainer(&rules_before, 1));
    let larger = rules(&[&settings[..], &[("world.population", "9")]].concat());
    refused.reload(&larger).expect_err("a running town keeps its population");
    assert_eq!(advance(&mut refused, 5), advance(&mut untouched, 5));
}

fn trainer_rows(settings: &[(&str, &str)], updates: usize) -> Vec<Row> {
    advance(&mut trainer(&rules(settings), 1), updates)
}

#[test]
fn a_resumed_training_continues_with_the_same_bits() {
    let rules = rules(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let registry = Registry::new(folder.path());
    let mut whole = trainer(&rules, 2);
    advance(&mut whole, 4);
    let id = whole.save(&registry, "run-1").expect("it is written");
    // Past a horizon and the arrival of a newcomer.
    let rows = advance(&mut whole, 7);
    let saved = registry.training(&id).expect("it is there");
    assert_eq!((saved.run.as_str(), saved.progress.updates), ("run-1", 4));
    let mut resumed = Trainer::resume(&rules, &saved, threads(1)).expect("it fits");
    assert_eq!(advance(&mut resumed, 7), rows);
    assert_eq!(bits(&resumed), bits(&whole));
    let again = [whole.save(&registry, "run-1"), resumed.save(&registry, "run-1")].map(|id| id.expect("it is written"));
    assert_eq!(again[0], again[1], "the checkpoint ids agree");
    assert_eq!(registry.load(&again[0]).expect("it is whole").meta.parent, Some(id));
}

#[test]
fn a_reload_keeps_the_weights_and_changes_every_town() {
    let configured = ("training.objective", "configured");
    let (before, after) = (rules(&[configured]), rules(&[configured, ("rewards.clip.clip_per_tick", "0.05")]));
    let (mut plain, mut taught) = (trainer(&before, 2), trainer(&before, 2));
    assert_eq!(advance(&mut plain, 2), advance(&mut taught, 2));
    let learned = bits(&taught);
    taught.reload(&after).expect("the clip can be changed at run time");
    assert_eq!((bits(&taught), taught.updates()), (learned, 2), "nothing is lost");
    assert_ne!(advance(&mut taught, 3), advance(&mut plain, 3), "rewards differ");
    let folder = tempfile::tempdir().expect("a folder");
    let registry = Registry::new(folder.path());
    let id = taught.save(&registry, "run-1").expect("it is written");
    let saved = registry.training(&id).expect("it is there");
    assert_eq!(saved.sources.config, after.sources.config);
    let mut resumed = Trainer::resume(&after, &saved, threads(1)).expect("it fits");
    assert_eq!(advance(&mut resumed, 3), advance(&mut taught, 3));
    assert!(taught.reload(&rules(&[("ppo.gamma", "0.9")])).is_err(), "not changeable at run time");
}

/// Says yes `times` times.
pub(super) fn continue_for(times: u64) -> impl Fn() -> bool + Sync {
    let left = AtomicU64::new(times);
    move || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

#[test]
fn an_interrupted_update_leaves_no_trace() {
    let rules = rules(&[]);
    let (mut whole, mut cut) = (trainer(&rules, 2), trainer(&rules, 2));
    let asked = AtomicU64::new(0);
    let count = || {
        asked.fetch_add(1, Ordering::Relaxed);
        true
    };
    for update in 0..4 {
        asked.store(0, Ordering::Relaxed);
        let row = whole.advance_while(&count).expect("it does not diverge").expect("nothing interrupts it");
        let times = asked.load(Ordering::Relaxed);
        // In the first tick, during collection, at the first minibatch, at the last one.
        for left in [0, 77, 200, times - 1] {
            let before = (bits(&cut), cut.progress().steps);
            assert_eq!(cut.advance_while(&continue_for(left)), Ok(None), "update {update}, {left} of {times}");
            assert_eq!((bits(&cut), cut.progress().steps), before, "update {update}, {left} of {times}");
        }
        let again =
            cut.advance_while(&continue_for(times)).expect("it does not diverge").expect("nothing interrupts it");
        assert_eq!((timeless(again), bits(&cut)), (timeless(row), bits(&whole)), "update {update}");
    }
}

/// How often a training of these settings asks whether to continue, in one update.
fn questions(flags: &[(&str, &str)]) -> u64 {
    let asked = AtomicU64::new(0);
    let count = || {
        asked.fetch_add(1, Ordering::Relaxed);
        true
    };
    trainer(&rules(flags), 2).advance_while(&count).expect("it does not diverge").expect("nothing interrupts it");
    asked.into_inner()
}

#[test]
fn a_training_asks_at_every_tick_and_every_256_decisions_however_large_the_minibatch() {
    let large: &[(&str, &str)] =
        &[("training.replicas", "20"), ("ppo.mini_batch_size", "1000000"), ("ppo.num_epochs", "9")];
    let decisions = advance(&mut trainer(&rules(large), 2), 1)[0].decisions;
    assert!(decisions > 1_000, "{decisions}");
    // Two groups of towns ask at each of 200 ticks.
    let least = 2 * 200 + 9 * decisions.div_ceil(256);
    assert!(questions(large) >= least, "{} of {least}", questions(large));
}

#[test]
fn after_a_request_to_stop_every_worker_stops_at_its_next_question() {
    let large: &[(&str, &str)] = &[
        ("training.replicas", "40"),
        ("ppo.mini_batch_size", "1000000"),
        ("training.evaluation.every_steps", "1"),
        ("training.evaluation.towns", "12"),
        ("training.evaluation.days", "1"),
    ];
    let rules = rules(large);
    let all = questions(large);
    // From the rollout through gathering and learning to the evaluation, which has 12,000 ticks.
    for stop_at in [0, 100, 599, 605, 610, 620, 640, all - 11_000, all - 10] {
        let asked = AtomicU64::new(0);
        let answer = || asked.fetch_add(1, Ordering::Relaxed) < stop_at;
        assert_eq!(trainer(&rules, 2).advance_while(&answer), Ok(None));
        // Each of three groups of towns, or of twelve towns, asks once more. No worker goes on for a unit of work.
        let after = asked.load(Ordering::Relaxed) - stop_at;
        assert!((1..=12).contains(&after), "asked {after} times after {stop_at} of {all}");
    }
}

#[test]
fn a_training_can_start_from_a_checkpoint_and_names_it_as_parent() {
    let rules = rules(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let registry = Registry::new(folder.path());
    let mut first = trainer(&rules, 1);
    advance(&mut first, 2);
    let id = first.save(&registry, "run-1").expect("it is written");
    let policy = registry.load(&id).expect("it is whole");
    let mut second = trainer(&rules, 1);
    second.start_from(&policy).expect("it fits");
    assert_eq!((second.learner().weights(), second.steps()), (&policy.weights, 0));
    assert_eq!(second.normalizer().tensors(), policy.normalizer.tensors());
    let first = second.save(&registry, "run-2").expect("it is written");
    let written = registry.load(&first).expect("it is whole");
    assert_eq!(
        (&written.weights, &written.meta.parent),
        (&policy.weights, &Some(id.clone())),
        "before the first update"
    );
    advance(&mut second, 1);
    assert_ne!(second.normalizer().tensors(), policy.normalizer.tensors(), "it continues to count");
    let next = second.save(&registry, "run-2").expect("it is written");
    let meta = registry.load(&next).expect("it is whole").meta;
    assert_eq!((meta.parent, meta.started_from), (Some(first), Some(id)));
    assert!(registry.latest_training("run-1").is_some());

    let wider = super::rules(&[("training.hidden_units", "24")]);
    let refused = trainer(&wider, 1).start_from(&policy).expect_err("other hidden layers");
    assert!(matches!(refused, CheckpointError::Mismatch { .. }), "{refused}");
}

/// Mean log-probability of a policy's choices under the network, in other towns.
fn mean_log_prob(trainer: &Trainer, policy: BehaviorPolicy<'_>) -> f64 {
    let forward = Forward::new(*trainer.learner().shape(), trainer.learner().weights());
    let mut rollout = Rollout::new(trainer.rules(), 99, &forward);
    rollout.collect(&forward, trainer.normalizer(), policy, threads(2), &|| true);
    let log_probs = rollout.decisions().flat_map(|decisions| &decisions.log_probs);
    let (sum, count) = log_probs.fold((0.0, 0), |(sum, count), it| (sum + f64::from(*it), count + 1));
    sum / f64::from(count)
}

#[test]
fn a_warm_start_imitates_and_counts_as_no_step() {
    let rules = rules(&[("training.warm_start_rollouts", "30"), ("training.replicas", "20")]);
    let mut trainer = trainer(&rules, 2);
    let before = mean_log_prob(&trainer, BehaviorPolicy::Scripted);
    let mut rollouts = 0;
    trainer.warm_start(None, &|| true, |_, _| rollouts += 1).expect("it does not diverge");
    assert_eq!((rollouts, trainer.steps()), (30, 0));
    let mut cut = super::trainer(&rules, 2);
    assert_eq!(cut.warm_start(None, &continue_for(9), |_, _| unreachable!("it is interrupted")), Ok(false));
    let after = mean_log_prob(&trainer, BehaviorPolicy::Scripted);
    // From 1 in 6 to better than 1 in 3.
    assert!(before < -1.3 && after > -1.1, "{before} {after}");
}

#[test]
fn a_checkpoint_can_be_imitated_by_a_larger_network() {
    let small = rules(&[("training.replicas", "20"), ("training.warm_start_rollouts", "30")]);
    let mut scripted = trainer(&small, 2);
    scripted.warm_start(None, &|| true, |_, _| ()).expect("it does not diverge");
    let folder = tempfile::tempdir().expect("a folder");
    let registry = Registry::new(folder.path());
    let id = scripted.save(&registry, "run-1").expect("it is written");
    let mut checkpoint = registry.load(&id).expect("it is whole");
    // It waits most of the time, unlike the script.
    let wait = OPTIONS.iter().position(|(option, _)| *option == OptionKind::Wait).expect("an option");
    let bias = checkpoint.weights.tensors.iter_mut().find(|tensor| tensor.name == "policy.bias").expect("a tensor");
    bias.values[wait] += 6.0;
    let larger = super::rules(&[
        ("training.replicas", "20"),
        ("training.warm_start_rollouts", "30"),
        ("training.hidden_units", "32"),
    ]);
    let imitated = NetworkPolicy::new(&checkpoint, &larger, Choice::Sampled).expect("it fits");
    let mut student = trainer(&larger, 2);
    let log_probs = |student: &Trainer| {
        [BehaviorPolicy::Trained(&imitated), BehaviorPolicy::Scripted].map(|policy| mean_log_prob(student, policy))
    };
    let before = log_probs(&student);
    student.warm_start(Some(&imitated), &|| true, |_, _| ()).expect("it does not diverge");
    let after = log_probs(&student);
    assert!(after[0] > before[0] + 0.3, "of the choices that the checkpoint makes: {before:?}, then {after:?}");
    assert!(after[1] < before[1], "of the choices that the script makes: {before:?}, then {after:?}");
    let id = student.save(&registry, "run-2").expect("it is written");
    let meta = registry.load(&id).expect("it is whole").meta;
    assert_eq!((meta.imitated, meta.parent), (Some(checkpoint.id), None));
}

#[test]
fn a_diverged_training_is_named_and_keeps_the_weights() {
    let rules = rules(&[("ppo.learning_rate", "1")]);
    let mut trainer = trainer(&rules, 1);
    for _ in 0..20 {
        let before = trainer.learner().state().clone();
        if let Err(why) = trainer.advance() {
            let named = ["loss", "gradient", "weight", "approx_kl", "grad_norm"];
            assert!(named.iter().any(|what| why.to_string().contains(what)), "{why}");
            assert_eq!(*trainer.learner().state(), before, "weights and moments are those from before");
            return;
        }
    }
    panic!("it did not diverge");
}
