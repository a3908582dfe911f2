//! What if: futures share their random draws, change nothing, and do not depend on threads.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use townlet_learn::Scripted;
use townlet_learn::whatif::{Alternative, Answer, FIGURES, Future, Question, Verdict, partings};
use townlet_town::counter_rng::{self, Purpose, Stream};
use townlet_town::{Command, EventKind, ResidentId, Town};

use crate::{golden_digests, is_soak, threads};

const SAMPLES: NonZero<u32> = NonZero::new(12).unwrap();
const DAYS: NonZero<u32> = NonZero::new(2).unwrap();

/// A town in the middle of its third day.
fn town() -> Town {
    let mut town = Town::new(crate::default_rules(&[]), 5);
    while town.tick() < 2_500 {
        town.step(&mut Scripted);
        town.clear_events();
    }
    town
}

/// The second resident leaves.
fn approve() -> Alternative {
    let who = ResidentId(1);
    Alternative { commands: vec![Command::ExitRequest { who }, Command::ExitApprove { who }], rules: None }
}

fn live(question: &Question, with: usize) -> Vec<Vec<Future>> {
    let samples = Mutex::new(vec![Vec::new(); question.samples().get() as usize]);
    question.run(
        threads(with),
        |_| Scripted,
        &|| true,
        |sample, futures| {
            samples.lock().expect("no thread has panicked")[sample as usize] = futures;
        },
    );
    samples.into_inner().expect("no thread has panicked")
}

#[test]
fn nothing_beside_nothing_differs_in_nothing() {
    let town = town();
    let question = Question::new(&town, &[Alternative::default()], SAMPLES, DAYS).expect("nothing is refused");
    let samples = live(&question, 2);
    for futures in &samples {
        assert_eq!(futures[0], futures[1]);
    }
    let digests: std::collections::BTreeSet<&str> = samples.iter().map(|all| all[0].digest.as_str()).collect();
    assert_eq!(digests.len(), samples.len(), "every sample has draws of its own");
    let answer = Answer::of(&samples, 1);
    assert_eq!(answer.rows.len(), FIGURES.len());
    for row in answer.rows {
        let same = (row.difference.to_bits(), row.interval, row.verdict);
        assert_eq!(same, (0, Some((0.0, 0.0)), Verdict::Same), "{}", row.figure.name);
    }
    assert_eq!(partings(&question, 1, |_| Scripted, &|| true), Some(Vec::new()));
}

#[test]
fn an_answer_does_not_depend_on_threads_and_leaves_the_town_alone() {
    let mut town = town();
    let before = town.digest();
    let question =
        Question::new(&town, &[approve(), Alternative::default()], SAMPLES, DAYS).expect("both are possible");
    assert_eq!(question.alternatives(), 2);
    let [one, two] = [1, 2].map(|threads| live(&question, threads));
    assert_eq!(one, two);
    assert_eq!(town.digest(), before);
    for _ in 0..2 * town.rules().day_length() {
        town.step(&mut Scripted);
    }
    assert_eq!(one[0][0].digest, town.digest(), "the first sample has the draws of the town itself");
}

#[test]
fn an_approved_exit_is_counted_and_its_story_parts_at_once() {
    let town = town();
    let question =
        Question::new(&town, &[Alternative::default(), approve()], SAMPLES, DAYS).expect("both are possible");
    let samples = live(&question, 2);
    let answer = Answer::of(&samples, 2);
    let row = |name: &str| answer.rows.iter().find(|row| row.figure.name == name).copied().expect("a row");
    let exits = row("exits");
    assert_eq!((exits.samples, exits.verdict), (12, Verdict::Worse));
    assert!(exits.with > exits.nothing && exits.interval.expect("twelve samples").0 > 0.0);
    let found = partings(&question, 2, |_| Scripted, &|| true).expect("nobody stopped it");
    let first = &found[0];
    assert_eq!((first.tick, first.who), (town.tick(), Some(ResidentId(1))));
    assert!(
        first.with.iter().any(|event| matches!(event, EventKind::ResidentLeft { .. })) && first.nothing != first.with
    );
    assert!(found.is_sorted_by_key(|parting| parting.tick));
    let mut residents: Vec<_> = found.iter().map(|parting| parting.who).collect();
    let all = residents.len();
    residents.sort_unstable();
    residents.dedup();
    assert_eq!(residents.len(), all, "one parting for each resident");
}

#[test]
fn what_is_refused_is_named_and_a_stop_leaves_whole_samples_only() {
    let town = town();
    let nobody = Alternative { commands: vec![Command::Kill { who: ResidentId(999) }], rules: None };
    let (number, refusal) =
        Question::new(&town, &[approve(), nobody], SAMPLES, DAYS).expect_err("nobody has this number");
    assert_eq!(number, 1);
    assert!(!refusal.message.is_empty());
    let question = Question::new(&town, &[approve()], SAMPLES, DAYS).expect("it is possible");
    let (asked, ended) = (AtomicU32::new(0), AtomicU32::new(0));
    // One sample is 4,000 ticks.
    let should_continue = || asked.fetch_add(1, Ordering::Relaxed) < 6_000;
    question.run(
        threads(1),
        |_| Scripted,
        &should_continue,
        |_, futures| {
            assert_eq!(futures.len(), 2);
            ended.fetch_add(1, Ordering::Relaxed);
        },
    );
    assert_eq!(ended.into_inner(), 1);
}

/// The share of 95 % intervals that hold the mean difference over many more samples: questions about approving the head of the exit
/// queue, from random ticks.
#[test]
fn intervals_hold_the_difference_as_often_as_they_say() {
    let (questions, samples, truth, least) = if is_soak() { (200, 64, 4_096, 0.93) } else { (8, 16, 128, 0.85) };
    let backlog = golden_digests::town(golden_digests::TOWNS[1]);
    let mut found: BTreeMap<&str, [u32; 2]> = BTreeMap::new();
    for question in 0..questions {
        let mut town = Town::new(Arc::clone(backlog.rules()), question);
        let [random, ..] = counter_rng::draw(question, Stream::World, 0, 0, Purpose::Replica, 0);
        let from = 2_000 + u64::from(random) % 6_000;
        while town.tick() < from || town.state().employment.queue.is_empty() {
            town.step(&mut Scripted);
            town.clear_events();
        }
        let head = town.state().employment.queue[0].agent;
        let who = town.state().agents.resident[head];
        let approve = Alternative { commands: vec![Command::ExitApprove { who }], rules: None };
        let all = NonZero::new(samples + truth).expect("some");
        let asked = Question::new(&town, &[approve], all, NonZero::<u32>::MIN).expect("the exit is in review");
        let lived = live(&asked, 2);
        let (lived, others) = lived.split_at(samples as usize);
        let truth: BTreeMap<&str, f64> =
            Answer::of(others, 1).rows.iter().map(|row| (row.figure.name, row.difference)).collect();
        for row in Answer::of(lived, 1).rows {
            let Some(((low, high), truth)) = row.interval.zip(truth.get(row.figure.name)) else { continue };
            let [held, of] = found.entry(row.figure.name).or_default();
            *of += 1;
            *held += u32::from((low..=high).contains(truth));
        }
    }
    let [held, of] = found.values().fold([0, 0], |sum, [held, of]| [sum[0] + held, sum[1] + of]);
    let share = f64::from(held) / f64::from(of);
    println!("{held} of {of} intervals hold it: {share:.4}");
    for (figure, [held, of]) in &found {
        println!("{figure}: {held} of {of}");
    }
    assert!((least..=0.999).contains(&share), "{share}");
}
