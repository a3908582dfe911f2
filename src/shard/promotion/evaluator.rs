//! Judging a candidate: towns lived twice, once with it and once with the release, on the same seeds with the same luck, pair
//! by pair on a thread of its own until the sequential test decides.
//!
//! Owns the thread and the seeds. What a pair says is the evaluation's, what the pairs say together is the test's; what is
//! done about it stands in `machine`. Rule: "Stability, promotion, rollback".

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use townlet_learn::evaluate::sequential_test::{Plan, SequentialTest, Verdict};
use townlet_learn::evaluate::{Record, Span, differences, evaluate};
use townlet_town::Rules;

use super::state_machine::{BETTER, EvaluationKey, NOT_BETTER, RUNNING};
use crate::Driver;
use townlet_wire::learning::Evidence;

/// Days a town of a pair lives: as `townlet eval` has them, so that the figures compare.
const DAYS: usize = 10;
/// The first seed of the first judgement: far from towns that people run, below those of trainings.
const FIRST_SEED: u64 = 1 << 40;
/// Seeds a judgement has to itself.
const SEEDS: u64 = 1 << 12;

/// A judgement under way. Dropping it stops it after the town that is being lived.
#[derive(Debug)]
pub(super) struct Judge {
    /// What it is about, and which one it is.
    pub about: (EvaluationKey, u64),
    stop: Arc<AtomicBool>,
}

/// Two policies and what they are compared for.
pub(super) struct Case {
    /// What the judgement is about.
    pub bond: EvaluationKey,
    /// Which one it is, from 1.
    pub number: u64,
    /// The candidate, ready to drive.
    pub candidate: Driver,
    /// The release, ready to drive.
    pub release: Driver,
}

impl Judge {
    /// Begins. `tell` hears how it stands after each pair, on the judge's thread.
    pub(super) fn start(rules: Arc<Rules>, case: Case, tell: impl Fn(Evidence) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (about, stopped) = ((case.bond.clone(), case.number), Arc::clone(&stop));
        let work = move || judge(&rules, &case, &stopped, &tell);
        // Nobody waits for it: it ends by itself with the town it lives.
        drop(std::thread::Builder::new().name("judge".into()).spawn(work).expect("a thread can be started"));
        Self { about, stop }
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn judge(rules: &Arc<Rules>, case: &Case, stop: &AtomicBool, tell: &impl Fn(Evidence)) {
    let first_seed = FIRST_SEED + case.number * SEEDS;
    let mut test = SequentialTest::new(Plan::default());
    tell(evidence(case, first_seed, &test, RUNNING));
    let live = |driver: &Driver, seed: u64| -> Option<Vec<Record>> {
        let span = Span { seed, seeds: 1, days: DAYS };
        let record = || evaluate(rules, span, NonZero::<usize>::MIN, |_| driver.clone(), || {});
        // The town that people watch comes first.
        std::thread::yield_now();
        (!stop.load(Ordering::Relaxed)).then(record)
    };
    for seed in first_seed..first_seed + SEEDS {
        let pair = live(&case.candidate, seed).and_then(|ours| Some((ours, live(&case.release, seed)?)));
        let Some((ours, theirs)) = pair else { return };
        // A town in which a day had no score says nothing.
        for difference in differences(&ours, &theirs) {
            test.add(difference);
        }
        let verdict = match test.verdict() {
            Verdict::Undecided => RUNNING,
            Verdict::Better => BETTER,
            Verdict::NotBetter => NOT_BETTER,
        };
        tell(evidence(case, first_seed, &test, verdict));
        if verdict != RUNNING {
            return;
        }
    }
    // No seed says anything more: it has not shown that it is better.
    tell(evidence(case, first_seed, &test, NOT_BETTER));
}

fn evidence(case: &Case, first_seed: u64, test: &SequentialTest, verdict: &str) -> Evidence {
    let bounds = test.interval();
    Evidence {
        candidate: case.bond.candidate.clone(),
        release: case.bond.release.clone(),
        verdict: verdict.into(),
        pairs: test.pairs() as u64,
        max_pairs: test.max_pairs() as u64,
        difference: test.mean(),
        low: bounds.map(|bounds| bounds.0),
        high: bounds.map(|bounds| bounds.1),
        first_seed,
    }
}
