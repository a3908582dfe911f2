//! Error rates of the sequential test of scores, on random differences. `promotion_test` has those on towns.

use std::num::NonZero;
use std::sync::Arc;

use townlet_learn::checkpoint::Checkpoint;
use townlet_learn::evaluate::sequential_test::{Plan, SequentialTest, Verdict};
use townlet_learn::evaluate::{Span, differences, evaluate};
use townlet_learn::prng::Prng;
use townlet_learn::{Choice, NetworkPolicy, Scripted};
use townlet_town::{Policy, Rules};

/// A number in [0, 1).
pub(super) fn unit(prng: &mut Prng) -> f64 {
    (prng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// A draw from the normal distribution with mean 0 and deviation 1.
fn normal(prng: &mut Prng) -> f64 {
    let (radius, angle) = (1.0 - unit(prng), unit(prng));
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// Results of many decisions.
#[derive(Debug, Default)]
struct Outcomes {
    decisions: u32,
    better: u32,
    pairs: usize,
    /// Decisions whose interval missed the truth at any analysis.
    missed: u32,
}

impl Outcomes {
    /// Adds one decision on differences around `truth`.
    fn decide(&mut self, mut test: SequentialTest, truth: f64, mut next: impl FnMut() -> f64) {
        let mut missed = false;
        while test.verdict() == Verdict::Undecided {
            test.add(next());
            missed |= test.interval().is_some_and(|(low, high)| truth < low || high < truth);
        }
        self.decisions += 1;
        self.better += u32::from(test.verdict() == Verdict::Better);
        self.pairs += test.pairs();
        self.missed += u32::from(missed);
    }

    fn better(&self) -> f64 {
        f64::from(self.better) / f64::from(self.decisions)
    }

    fn pairs(&self) -> f64 {
        self.pairs as f64 / f64::from(self.decisions)
    }
}

/// 4,000 decisions on random differences.
fn tried(truth: f64, noise: impl Fn(&mut Prng) -> f64) -> Outcomes {
    let (test, mut prng, mut outcomes) =
        (SequentialTest::new(Plan::default()), Prng::from_state(20_001), Outcomes::default());
    for _ in 0..4_000 {
        outcomes.decide(test.clone(), truth, || truth + noise(&mut prng));
    }
    outcomes
}

#[test]
fn equal_candidates_are_rarely_called_better() {
    for deviation in [0.003, 0.012, 0.05] {
        let outcomes = tried(0.0, |prng| deviation * normal(prng));
        assert!(outcomes.better() <= 0.03, "{deviation}: {outcomes:?}");
    }
    // Towns that occasionally collapse under either policy.
    let outcomes = tried(0.0, |prng| match unit(prng) {
        low if low < 0.01 => -0.1,
        high if high > 0.99 => 0.1,
        _ => 0.012 * normal(prng),
    });
    assert!(outcomes.better() <= 0.03, "{outcomes:?}");
    let outcomes = tried(-0.002, |prng| 0.012 * normal(prng));
    assert!(outcomes.better() <= 0.01, "slightly worse: {outcomes:?}");
}

#[test]
fn the_effect_is_detected() {
    let Plan { effect, power, max_pairs, .. } = Plan::default();
    for deviation in [0.005, 0.012, 0.015] {
        let outcomes = tried(effect, |prng| deviation * normal(prng));
        assert!(outcomes.better() >= power, "{deviation}: {outcomes:?}");
        assert!(outcomes.pairs() < 0.5 * max_pairs as f64, "{deviation}: {outcomes:?}");
    }
}

#[test]
fn the_interval_contains_the_truth_at_every_analysis() {
    for truth in [-0.01, 0.0, 0.005, 0.05] {
        let outcomes = tried(truth, |prng| 0.012 * normal(prng));
        // Early stopping leaves fewer analyses than the 5 % allow for.
        assert!(f64::from(outcomes.missed) <= 0.03 * f64::from(outcomes.decisions), "{truth}: {outcomes:?}");
    }
}

#[test]
fn a_verdict_is_final_and_a_saved_test_continues() {
    let (mut test, mut prng) = (SequentialTest::new(Plan::default()), Prng::from_state(7));
    assert_eq!((test.mean(), test.interval(), test.verdict()), (None, None, Verdict::Undecided));
    let mut saved = test.clone();
    while test.verdict() == Verdict::Undecided {
        let difference = 0.005 + 0.015 * normal(&mut prng);
        test.add(difference);
        saved = serde_json::from_str(&serde_json::to_string(&saved).unwrap()).expect("it was just saved");
        saved.add(difference);
        assert_eq!(saved, test);
    }
    assert_eq!(test.verdict(), Verdict::Better);
    assert!(test.interval().is_some_and(|(low, _)| low > 0.0), "{:?}", test.interval());
    saved.add(-1.0);
    assert_eq!(saved, test, "pairs after the verdict are ignored");
    let text = serde_json::to_string(&test).unwrap();
    let broken = text.replace("\"pairs\":", "\"pairs\":9");
    assert!(serde_json::from_str::<SequentialTest>(&broken).is_err(), "{broken}");
}

#[test]
fn no_difference_is_no_improvement() {
    let plan = Plan::default();
    let decided = |difference: f64| {
        let mut test = SequentialTest::new(plan);
        (0..plan.max_pairs).for_each(|_| test.add(difference));
        (test.verdict(), test.pairs())
    };
    assert_eq!(decided(0.0), (Verdict::NotBetter, plan.min_pairs));
    assert_eq!(decided(f64::NAN), (Verdict::NotBetter, plan.min_pairs));
    assert_eq!(decided(0.001), (Verdict::Better, plan.min_pairs), "a constant difference, however small");
    let mut test = SequentialTest::new(plan);
    for pair in 0..plan.max_pairs {
        test.add(if pair % 2 == 0 { 0.1 } else { -0.1 });
    }
    assert_eq!((test.verdict(), test.pairs()), (Verdict::NotBetter, plan.max_pairs), "undecided until the end");
}

pub(super) static SHIPPED: &[u8] = include_bytes!("../../../../../configs/policies/shipped.safetensors");
const DAYS: usize = 10;

/// Score differences seed by seed: `ours` minus `theirs`.
fn paired<A: Policy, B: Policy>(
    rules: &Arc<Rules>,
    mut seed: u64,
    ours: impl Fn() -> A + Sync,
    theirs: impl Fn() -> B + Sync,
) -> impl FnMut() -> f64 {
    move || {
        let span = Span { seed, seeds: 1, days: DAYS };
        seed += 1;
        let one = NonZero::<usize>::MIN;
        let ours = evaluate(rules, span, one, |_| ours(), || ());
        let theirs = evaluate(rules, span, one, |_| theirs(), || ());
        differences(&ours, &theirs).first().copied().unwrap_or(f64::NAN)
    }
}

#[test]
fn the_shipped_policy_beats_the_scripted_one_and_not_vice_versa() {
    let rules = crate::default_rules(&[]);
    let shipped = Checkpoint::embedded(SHIPPED).unwrap();
    let network = || NetworkPolicy::new(&shipped, &rules, Choice::Sampled).unwrap();
    let decide = |next: &mut dyn FnMut() -> f64| {
        let mut test = SequentialTest::new(Plan::default());
        while test.verdict() == Verdict::Undecided {
            test.add(next());
        }
        (test.verdict(), test.pairs())
    };
    let least = Plan::default().min_pairs;
    assert_eq!(decide(&mut paired(&rules, 30_001, network, || Scripted)), (Verdict::Better, least));
    assert_eq!(decide(&mut paired(&rules, 30_001, || Scripted, network)), (Verdict::NotBetter, least));
}
