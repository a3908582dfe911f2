//! Evaluations on held-out towns during a training, and the best checkpoint that they choose.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use townlet_learn::checkpoint::Registry;
use townlet_learn::evaluate::{Record, Span, evaluate, rate, stats};
use townlet_learn::seeds::SELECTION;
use townlet_learn::train::{Evaluation, Row, Trainer};
use townlet_learn::{Choice, NetworkPolicy};
use townlet_town::Rules;

use super::continuation::{advance, bits, continue_for, timeless};
use super::{rules, trainer};
use crate::threads;

/// An evaluation after every other update.
const EVALUATED: &[(&str, &str)] = &[
    ("training.evaluation.every_steps", "16000"),
    ("training.evaluation.towns", "3"),
    ("training.evaluation.days", "1"),
];

fn evaluated(flags: &[(&str, &str)]) -> Arc<Rules> {
    rules(&[EVALUATED, flags].concat())
}

#[test]
fn evaluations_change_no_bit_of_a_training() {
    let off = rules(&[("training.evaluation.every_steps", "0")]);
    let (mut with, mut without) = (trainer(&evaluated(&[]), 2), trainer(&off, 2));
    let (rows, plain) = (advance(&mut with, 6), advance(&mut without, 6));
    assert_eq!(bits(&with), bits(&without));
    let count = rows.iter().filter(|row| row.evaluation.is_some()).count();
    assert!((2..=3).contains(&count), "{count} evaluations in 6 updates of 8,000 steps");
    let rows: Vec<Row> = rows.into_iter().map(|row| Row { evaluation: None, ..row }).collect();
    assert_eq!(rows, plain);
}

#[test]
fn an_evaluation_says_of_a_checkpoint_what_its_file_shows_on_selection_seeds() {
    let rules = evaluated(&[("training.evaluation.days", "2")]);
    let folder = tempfile::tempdir().expect("a folder");
    let registry = Registry::new(folder.path());
    let mut trainer = trainer(&rules, 2);
    let evaluation = loop {
        if let Some(evaluation) = advance(&mut trainer, 1).remove(0).evaluation {
            break evaluation;
        }
    };
    let id = trainer.save(&registry, "run").expect("it is written");
    let checkpoint = registry.load(&id).expect("it is whole");
    assert_eq!(checkpoint.meta.evaluation.as_ref(), Some(&evaluation));
    let span = Span { seed: SELECTION.start, seeds: 3, days: 2 };
    let policy = |_| NetworkPolicy::new(&checkpoint, &rules, Choice::Sampled).expect("it fits");
    let records = evaluate(&rules, span, threads(1), policy, || ());
    let scores: Vec<f64> = records.iter().filter_map(Record::score).collect();
    assert_eq!((evaluation.seed, evaluation.towns, evaluation.days), (SELECTION.start, 3, 2));
    assert!((evaluation.score.expect("a score") - stats::mean(&scores)).abs() < 1e-12);
    let starvation = rate(&records, rules.day_length(), |day| day.starvation_events).expect("residents");
    assert_eq!((evaluation.starvation_events, evaluation.starvation_rate), (starvation.events, starvation.rate));
    let exits = rate(&records, rules.day_length(), |day| day.involuntary_exits).expect("residents");
    assert_eq!((evaluation.involuntary_exits, evaluation.involuntary_exit_rate), (exits.events, exits.rate));
    assert!(evaluation.best && !evaluation.kpis.is_empty());
}

#[test]
fn an_update_that_is_interrupted_in_its_evaluation_leaves_no_trace() {
    let rules = evaluated(&[]);
    let (mut whole, mut cut) = (trainer(&rules, 2), trainer(&rules, 2));
    advance(&mut whole, 1);
    advance(&mut cut, 1);
    let asked = AtomicU64::new(0);
    let row = whole.advance_while(&|| {
        asked.fetch_add(1, Ordering::Relaxed);
        true
    });
    let row = timeless(row.expect("it does not diverge").expect("nothing interrupts it"));
    assert!(row.evaluation.is_some(), "{} steps", row.steps);
    let times = asked.load(Ordering::Relaxed);
    let before = bits(&cut);
    // Three towns of 1,000 ticks end the update.
    for left in [times - 1, times - 1_500, times - 2_999] {
        assert_eq!(cut.advance_while(&continue_for(left)), Ok(None), "{left} of {times}");
        assert_eq!((bits(&cut), cut.updates(), cut.best().is_some()), (before.clone(), 1, false), "{left} of {times}");
    }
    assert_eq!(advance(&mut cut, 1), [row]);
    assert_eq!(bits(&cut), bits(&whole));
}

#[test]
fn the_best_checkpoint_stays_and_a_resumed_training_finds_the_same() {
    let rules = evaluated(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let registry = Registry::new(folder.path());
    let mut whole = trainer(&rules, 2);
    let begun = advance(&mut whole, 5);
    let id = whole.save(&registry, "run").expect("it is written");
    assert!(!whole.has_unsaved_best());
    let rows = advance(&mut whole, 7);
    let latest = whole.save(&registry, "run").expect("it is written");
    let mut resumed = Trainer::resume(&rules, &registry.training(&id).expect("it is there"), threads(1)).expect("fits");
    assert_eq!(advance(&mut resumed, 7), rows, "evaluations included");
    assert_eq!((resumed.best(), bits(&resumed)), (whole.best(), bits(&whole)));

    let best = whole.best().expect("an evaluation").clone();
    let kept = registry.load(&best.id).expect("it stays in the registry");
    assert_eq!((kept.meta.steps, kept.meta.evaluation.as_ref()), (best.steps, Some(&best.evaluation)));
    let evaluations: Vec<_> = rows.iter().filter_map(|row| row.evaluation.as_ref()).collect();
    assert!(evaluations.len() >= 3);
    // Fewer starvation events, then the charter, then the score.
    let rank = |it: &Evaluation| (-(it.starvation_events as i64), it.charter_met, it.score.expect("a score"));
    let mut best_rank = None;
    for evaluation in begun.iter().chain(&rows).filter_map(|row| row.evaluation.as_ref()) {
        let is_better = best_rank.is_none_or(|best_rank| rank(evaluation) > best_rank);
        assert_eq!(evaluation.best, is_better, "{evaluation:?} after {best_rank:?}");
        best_rank = if is_better { Some(rank(evaluation)) } else { best_rank };
    }
    assert_eq!(best_rank, Some(rank(&best.evaluation)));
    assert!(evaluations.iter().any(|it| !it.best), "some evaluation is worse than one before it");
    let newest = registry.load(&latest).expect("it is whole").meta;
    if latest != best.id {
        assert_eq!(newest.best_before, Some(best.id), "the latest names the best");
    }
}

#[test]
fn a_training_shorter_than_the_interval_is_not_evaluated_and_a_longer_one_is_at_its_end() {
    let ends = |every: &str| {
        let mut trainer = trainer(&evaluated(&[("training.evaluation.every_steps", every)]), 2);
        let mut rows = Vec::new();
        while !trainer.finished() {
            rows.extend(advance(&mut trainer, 1));
        }
        let places: Vec<bool> = rows.iter().map(|row| row.evaluation.is_some()).collect();
        (places.iter().filter(|it| **it).count(), *places.last().expect("a row"))
    };
    // The schedule has 100,000 steps.
    assert_eq!(ends("120000"), (0, false));
    assert_eq!(ends("70000"), (2, true));
}
