//! Paired evaluation of a candidate: runs towns with the candidate and with the release on the same seeds, on a thread of its
//! own, until the tests of score and safety decide. Rule: "Stability, promotion, rollback".

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use townlet_learn::evaluate::promotion_test::{Decision, PromotionTest};
use townlet_learn::evaluate::safety_gate::{HARMS, SafetyPlan};
use townlet_learn::evaluate::sequential_test::{Plan, Verdict};
use townlet_learn::evaluate::{Record, Span, evaluate};
use townlet_town::Rules;

use super::safety_report::safety_check;
use super::state_machine::{BETTER, EvaluationKey, NOT_BETTER, RUNNING};
use crate::Driver;
use townlet_wire::learning::Evidence;

/// Length of each run in days; as in `townlet eval`, so that results are comparable.
const DAYS: usize = 10;
/// The first seed of the first evaluation; apart from the seeds of operators and of trainings.
const FIRST_SEED: u64 = 1 << 40;
/// Seeds of an evaluation; more than the pairs that any margin allows.
const SEEDS: u64 = 1 << 14;

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
    /// The test of an evaluation to continue.
    pub test: Option<PromotionTest>,
}

impl PairedEvaluation {
    /// Starts the thread, which calls `tell` after each pair, with the test as long as it is undecided.
    pub(super) fn start(
        rules: Arc<Rules>,
        case: EvaluationJob,
        tell: impl Fn(Evidence, Option<PromotionTest>) + Send + 'static,
    ) -> Self {
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

/// Runs pairs until the test decides. Pair `i` has the seed `first_seed + i`, so a continued evaluation ends like one that was
/// never interrupted.
fn evaluate_pairs(
    rules: &Arc<Rules>,
    case: &EvaluationJob,
    stop: &AtomicBool,
    tell: &impl Fn(Evidence, Option<PromotionTest>),
) {
    let first_seed = FIRST_SEED + case.number * SEEDS;
    let mut test = case.test.clone().unwrap_or_else(|| {
        let margin = rules.config.stability.promotion.safety_margin.to_f64();
        PromotionTest::new(Plan::default(), SafetyPlan { margin, ..SafetyPlan::default() })
    });
    let report = |test: &PromotionTest| {
        let evidence = evidence(case, first_seed, test, rules.day_length());
        tell(evidence, (test.decision() == Decision::Running).then(|| test.clone()));
    };
    report(&test);
    let live = |driver: &Driver, seed: u64| -> Option<Record> {
        let span = Span { seed, seeds: 1, days: DAYS };
        // The live town has priority.
        std::thread::yield_now();
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        evaluate(rules, span, NonZero::<usize>::MIN, |_| driver.clone(), || {}).pop()
    };
    while test.decision() == Decision::Running && test.pairs() < SEEDS {
        let seed = first_seed + test.pairs();
        let pair = live(&case.candidate, seed).and_then(|ours| Some((ours, live(&case.release, seed)?)));
        let Some((ours, theirs)) = pair else { return };
        test.add(&ours, &theirs);
        report(&test);
    }
    if test.decision() == Decision::Running {
        // All seeds are used up without showing that the candidate is better.
        let evidence = evidence(case, first_seed, &test, rules.day_length());
        tell(Evidence { verdict: NOT_BETTER.into(), ..evidence }, None);
    }
}

fn evidence(case: &EvaluationJob, first_seed: u64, test: &PromotionTest, ticks_per_day: u64) -> Evidence {
    let score = test.score();
    let bounds = score.interval();
    let verdict = match score.verdict() {
        Verdict::Undecided => RUNNING,
        Verdict::Better => BETTER,
        Verdict::NotBetter => NOT_BETTER,
    };
    Evidence {
        candidate: case.key.candidate.clone(),
        release: case.key.release.clone(),
        verdict: verdict.into(),
        pairs: score.pairs() as u64,
        max_pairs: score.max_pairs() as u64,
        difference: score.mean(),
        low: bounds.map(|bounds| bounds.0),
        high: bounds.map(|bounds| bounds.1),
        first_seed,
        safety: HARMS.iter().zip(test.safety()).map(|(harm, gate)| safety_check(harm, gate, ticks_per_day)).collect(),
    }
}
