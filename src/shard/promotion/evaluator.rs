//! Paired evaluation of a candidate: runs towns with the candidate and with the release on the same seeds, on a thread of its
//! own, until the sequential test decides. Rule: "Stability, promotion, rollback".

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use townlet_learn::evaluate::sequential_test::{Plan, SequentialTest, Verdict};
use townlet_learn::evaluate::{Record, Span, differences, evaluate};
use townlet_town::Rules;

use super::state_machine::{BETTER, EvaluationKey, NOT_BETTER, RUNNING};
use crate::Driver;
use townlet_wire::learning::Evidence;

/// Length of each run in days; as in `townlet eval`, so that results are comparable.
const DAYS: usize = 10;
/// The first seed of the first evaluation; apart from the seeds of operators and of trainings.
const FIRST_SEED: u64 = 1 << 40;
const SEEDS: u64 = 1 << 12;

/// A running evaluation. Dropping it stops it after the current town.
#[derive(Debug)]
pub(super) struct PairedEvaluation {
    /// What is evaluated, and the number of the evaluation.
    pub about: (EvaluationKey, u64),
    stop: Arc<AtomicBool>,
}

pub(super) struct EvaluationJob {
    pub key: EvaluationKey,
    pub number: u64,
    pub candidate: Driver,
    pub release: Driver,
}

impl PairedEvaluation {
    /// Starts the thread, which calls `tell` with the evidence after each pair.
    pub(super) fn start(rules: Arc<Rules>, case: EvaluationJob, tell: impl Fn(Evidence) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (about, stopped) = ((case.key.clone(), case.number), Arc::clone(&stop));
        let work = move || evaluate_pairs(&rules, &case, &stopped, &tell);
        // The thread is detached: it ends with its current town.
        drop(std::thread::Builder::new().name("evaluation".into()).spawn(work).expect("a thread can be started"));
        Self { about, stop }
    }
}

impl Drop for PairedEvaluation {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn evaluate_pairs(rules: &Arc<Rules>, case: &EvaluationJob, stop: &AtomicBool, tell: &impl Fn(Evidence)) {
    let first_seed = FIRST_SEED + case.number * SEEDS;
    let mut test = SequentialTest::new(Plan::default());
    tell(evidence(case, first_seed, &test, RUNNING));
    let live = |driver: &Driver, seed: u64| -> Option<Vec<Record>> {
        let span = Span { seed, seeds: 1, days: DAYS };
        let record = || evaluate(rules, span, NonZero::<usize>::MIN, |_| driver.clone(), || {});
        // The live town has priority.
        std::thread::yield_now();
        (!stop.load(Ordering::Relaxed)).then(record)
    };
    for seed in first_seed..first_seed + SEEDS {
        let pair = live(&case.candidate, seed).and_then(|ours| Some((ours, live(&case.release, seed)?)));
        let Some((ours, theirs)) = pair else { return };
        // A town with a day without score is skipped.
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
    // All seeds are used up without showing that the candidate is better.
    tell(evidence(case, first_seed, &test, NOT_BETTER));
}

fn evidence(case: &EvaluationJob, first_seed: u64, test: &SequentialTest, verdict: &str) -> Evidence {
    let bounds = test.interval();
    Evidence {
        candidate: case.key.candidate.clone(),
        release: case.key.release.clone(),
        verdict: verdict.into(),
        pairs: test.pairs() as u64,
        max_pairs: test.max_pairs() as u64,
        difference: test.mean(),
        low: bounds.map(|bounds| bounds.0),
        high: bounds.map(|bounds| bounds.1),
        first_seed,
    }
}
