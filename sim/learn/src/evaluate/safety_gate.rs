//! A sequential test of harm: whether a candidate harms residents in more towns than the release does.
//!
//! Residents of a town starve together, so a pair of towns (one seed under both policies) counts once, against the policy with
//! more events. A bet against "worse by the margin" loses on average while that is true, and its wealth then grows to `1 /
//! alpha` with probability `alpha` at most, over all pairs together and however rare the events are (Ville 1939; Waudby-Smith
//! and Ramdas 2024). Rule: "Safety gate".

use serde::{Deserialize, Serialize};
use townlet_town::state::Counters;

use super::Record;
use super::stats::Rate;

/// A kind of event that a candidate must not cause in more towns than the release.
pub struct Harm {
    /// Name in JSON: `starvation_events`.
    pub name: &'static str,
    /// Name on screen: `starvation events`.
    pub title: &'static str,
    /// Its count on a day.
    pub count: fn(&Counters) -> u32,
}

/// All kinds.
pub static HARMS: [Harm; 2] = [
    Harm { name: "starvation_events", title: "starvation events", count: |day| day.starvation_events },
    Harm { name: "involuntary_exits", title: "involuntary exits", count: |day| day.involuntary_exits },
];

/// Margin and error rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SafetyPlan {
    /// Share of pairs by which a candidate counts as too harmful; from 0.002 to 0.5.
    pub margin: f64,
    /// Greatest probability of passing a candidate that is worse in `margin` more of the pairs than it is better; also of
    /// failing one that is no worse. In (0, 0.5).
    pub alpha: f64,
}

impl Default for SafetyPlan {
    fn default() -> Self {
        Self { margin: 0.01, alpha: 0.05 }
    }
}

impl SafetyPlan {
    /// Pairs after which the gate gives up: at the default error rate seven times as many as it needs without an event.
    pub fn max_pairs(&self) -> u64 {
        (25.0 / self.margin).ceil() as u64
    }

    fn check(&self) -> Result<(), String> {
        let valid = (0.002..=0.5).contains(&self.margin) && self.alpha > 0.0 && self.alpha < 0.5;
        if valid { Ok(()) } else { Err(format!("{self:?} is not a valid plan")) }
    }
}

/// The result so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SafetyVerdict {
    /// More pairs are needed.
    Running,
    /// The candidate is not worse by the margin.
    Passed,
    /// The candidate is worse than the release.
    Failed,
    /// Neither can be shown with the pairs that are left.
    Undecided,
}

/// What happened under one policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Events.
    pub events: u64,
    /// Towns with at least one.
    pub towns: u64,
    /// Ticks summed over residents.
    pub resident_ticks: u64,
}

impl Tally {
    /// The tally of one town.
    pub fn of(record: &Record, harm: &Harm) -> Self {
        let events = record.total(harm.count);
        let resident_ticks = record.days.iter().map(|day| day.resident_ticks).sum();
        Self { events, towns: u64::from(events > 0), resident_ticks }
    }

    /// Events per 1,000 resident-days; `None` without residents.
    pub fn rate(&self, ticks_per_day: u64) -> Option<Rate> {
        Rate::of(self.events, self.resident_ticks as f64 / ticks_per_day as f64)
    }

    fn add(&mut self, other: Self) {
        self.events += other.events;
        self.towns += other.towns;
        self.resident_ticks += other.resident_ticks;
    }
}

/// A running test. Its counts are its whole state.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SafetyGate {
    plan: SafetyPlan,
    pairs: u64,
    /// Pairs with more events under the candidate.
    worse: u64,
    /// Pairs with fewer events under the candidate.
    better: u64,
    candidate: Tally,
    release: Tally,
}

/// Stakes of the bets as shares of the largest that one event cannot lose, with the share of the wealth put on each. The high
/// one passes a candidate without events soon, the low one is ahead when both policies have some.
const STAKES: [(f64, f64); 2] = [(0.9, 0.6), (0.6, 0.4)];

impl SafetyGate {
    /// A test without pairs.
    ///
    /// # Panics
    /// When margin or error rate are out of range.
    pub fn new(plan: SafetyPlan) -> Self {
        plan.check().expect("a valid plan");
        Self { plan, pairs: 0, worse: 0, better: 0, candidate: Tally::default(), release: Tally::default() }
    }

    /// Adds a pair of towns. Ignored once there is a verdict.
    pub fn add(&mut self, candidate: Tally, release: Tally) {
        if self.verdict() != SafetyVerdict::Running {
            return;
        }
        self.pairs += 1;
        self.worse += u64::from(candidate.events > release.events);
        self.better += u64::from(candidate.events < release.events);
        self.candidate.add(candidate);
        self.release.add(release);
    }

    /// The result so far; final once it is not [`SafetyVerdict::Running`].
    pub fn verdict(&self) -> SafetyVerdict {
        let enough = -self.plan.alpha.ln();
        if self.log_wealth(0.0, -1.0, 0) >= enough {
            SafetyVerdict::Failed
        } else if self.log_wealth(self.plan.margin, 1.0, 0) >= enough {
            SafetyVerdict::Passed
        } else if self.log_wealth(self.plan.margin, 1.0, self.pairs_left()) < enough || self.pairs_left() == 0 {
            SafetyVerdict::Undecided
        } else {
            SafetyVerdict::Running
        }
    }

    /// Further pairs after which the candidate passes if none of them differs; 0 once there is a verdict.
    pub fn pairs_needed(&self) -> u64 {
        if self.verdict() != SafetyVerdict::Running {
            return 0;
        }
        let (mut few, mut enough) = (0, self.pairs_left());
        while few + 1 < enough {
            let middle = u64::midpoint(few, enough);
            let passes = self.log_wealth(self.plan.margin, 1.0, middle) >= -self.plan.alpha.ln();
            if passes { enough = middle } else { few = middle }
        }
        enough
    }

    /// Logarithm of the wealth, from 1, of the bet that the mean of a pair (1 worse, -1 better, 0 neither) lies below
    /// `bound`, or above it with `side` -1, after so many further pairs that differ in nothing.
    fn log_wealth(&self, bound: f64, side: f64, further: u64) -> f64 {
        let equal = (self.pairs.saturating_sub(self.worse + self.better) + further) as f64;
        let (worse, better) = (self.worse as f64, self.better as f64);
        // The largest stake is the one that loses all in the worst pair.
        let largest = 1.0 / (1.0 - side * bound);
        let logs = STAKES.map(|(share, weight)| {
            let growth = |outcome: f64| (share * largest * side * (bound - outcome)).ln_1p();
            weight.ln() + equal * growth(0.0) + worse * growth(1.0) + better * growth(-1.0)
        });
        let most = logs.into_iter().fold(f64::NEG_INFINITY, f64::max);
        most + logs.into_iter().map(|log| (log - most).exp()).sum::<f64>().ln()
    }

    fn pairs_left(&self) -> u64 {
        self.plan.max_pairs().saturating_sub(self.pairs)
    }

    /// Pairs added.
    pub fn pairs(&self) -> u64 {
        self.pairs
    }

    /// The plan.
    pub fn plan(&self) -> &SafetyPlan {
        &self.plan
    }

    /// Pairs with more events under the candidate, and with fewer.
    pub fn worse_and_better(&self) -> (u64, u64) {
        (self.worse, self.better)
    }

    /// What happened under the candidate.
    pub fn candidate(&self) -> Tally {
        self.candidate
    }

    /// What happened under the release.
    pub fn release(&self) -> Tally {
        self.release
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exact probabilities of the verdicts, and the mean number of pairs.
    #[derive(Debug, Default)]
    struct Outcomes {
        passed: f64,
        failed: f64,
        undecided: f64,
        pairs: f64,
    }

    /// What becomes of a candidate that is worse and better in these shares of the pairs: the distribution of the counts is
    /// followed pair by pair.
    fn outcomes(plan: SafetyPlan, worse: f64, better: f64) -> Outcomes {
        let mut outcomes = Outcomes::default();
        let mut open = vec![(SafetyGate::new(plan), 1.0)];
        while !open.is_empty() {
            let mut next: std::collections::BTreeMap<(u64, u64), f64> = std::collections::BTreeMap::new();
            let pairs = open[0].0.pairs + 1;
            assert!(pairs <= plan.max_pairs(), "the gate does not give up");
            for (gate, probability) in open {
                for (more, fewer, share) in [(0, 0, 1.0 - worse - better), (1, 0, worse), (0, 1, better)] {
                    *next.entry((gate.worse + more, gate.better + fewer)).or_default() += probability * share;
                }
            }
            open = Vec::new();
            for ((worse, better), probability) in next {
                let gate = SafetyGate { pairs, worse, better, ..SafetyGate::new(plan) };
                match gate.verdict() {
                    // What is left out in the end is less than a ten-millionth.
                    SafetyVerdict::Running if probability > 1e-13 => open.push((gate, probability)),
                    SafetyVerdict::Running => {}
                    SafetyVerdict::Passed => outcomes.passed += probability,
                    SafetyVerdict::Failed => outcomes.failed += probability,
                    SafetyVerdict::Undecided => outcomes.undecided += probability,
                }
                if gate.verdict() != SafetyVerdict::Running {
                    outcomes.pairs += probability * pairs as f64;
                }
            }
        }
        let sum = outcomes.passed + outcomes.failed + outcomes.undecided;
        assert!((sum - 1.0).abs() < 1e-6, "{outcomes:?}");
        println!("{worse} {better}: {outcomes:?}");
        outcomes
    }

    fn town(events: u64) -> Tally {
        Tally { events, towns: u64::from(events > 0), resident_ticks: 80_000 }
    }

    #[test]
    fn a_candidate_that_is_worse_by_the_margin_rarely_passes() {
        let plan = SafetyPlan::default();
        for base in [0.0, 0.002, 0.005] {
            let it = outcomes(plan, base + plan.margin, base);
            assert!(it.passed <= plan.alpha, "{base}: {it:?}");
            let far = outcomes(plan, base + 3.0 * plan.margin, base);
            assert!(far.passed <= 0.01 && far.failed + far.undecided >= 0.99, "{base}: {far:?}");
        }
        // A wide margin in towns where many starve.
        let plan = SafetyPlan { margin: 0.1, ..plan };
        for base in [0.05, 0.2] {
            let it = outcomes(plan, base + plan.margin, base);
            assert!(it.passed <= plan.alpha, "{base}: {it:?}");
        }
    }

    #[test]
    fn a_candidate_that_is_as_safe_passes() {
        let plan = SafetyPlan::default();
        for (base, least) in [(0.0, 1.0 - 1e-9), (0.002, 0.99), (0.005, 0.94)] {
            let it = outcomes(plan, base, base);
            assert!(it.passed >= least, "{base}: {it:?}");
            assert!(it.failed <= plan.alpha, "{base}: {it:?}");
        }
        let safer = outcomes(plan, 0.001, 0.02);
        assert!(safer.passed > 0.999 && safer.pairs < 200.0, "{safer:?}");
    }

    #[test]
    fn without_an_event_the_gate_passes_after_a_stated_number_of_pairs() {
        for (margin, expected) in [(0.01, 366), (0.1, 35), (0.002, 1_835)] {
            let mut gate = SafetyGate::new(SafetyPlan { margin, ..SafetyPlan::default() });
            for pair in 0..expected {
                assert_eq!(
                    (gate.verdict(), gate.pairs_needed()),
                    (SafetyVerdict::Running, expected - pair),
                    "{margin}"
                );
                gate.add(town(0), town(0));
            }
            assert_eq!((gate.verdict(), gate.pairs_needed()), (SafetyVerdict::Passed, 0), "{margin}");
            let passed = gate;
            gate.add(town(9), town(0));
            assert_eq!(gate, passed, "pairs after the verdict are ignored");
        }
    }

    #[test]
    fn residents_of_a_town_who_starve_together_count_once() {
        let (mut one, mut many) = (SafetyGate::new(SafetyPlan::default()), SafetyGate::new(SafetyPlan::default()));
        for pair in 0..100 {
            let starves = u64::from(pair % 20 == 0);
            one.add(town(starves), town(0));
            many.add(town(8 * starves), town(0));
        }
        assert_eq!((one.verdict(), one.worse, one.pairs), (many.verdict(), many.worse, many.pairs));
        assert_eq!((one.candidate().events, many.candidate().events, many.candidate().towns), (5, 40, 5));
        // In towns where both starve residents, the number of events decides.
        let mut gate = SafetyGate::new(SafetyPlan::default());
        while gate.verdict() == SafetyVerdict::Running {
            gate.add(town(8), town(1));
        }
        assert_eq!((gate.verdict(), gate.better), (SafetyVerdict::Failed, 0));
        assert!(gate.pairs < 10, "{gate:?}");
    }

    #[test]
    fn a_gate_that_can_no_longer_pass_gives_up() {
        let mut gate = SafetyGate::new(SafetyPlan::default());
        for pair in 0..gate.plan.max_pairs() {
            if gate.verdict() != SafetyVerdict::Running {
                break;
            }
            // Both policies starve somebody in every tenth town.
            gate.add(town(u64::from(pair % 10 == 0)), town(u64::from(pair % 10 == 5)));
        }
        assert_eq!(gate.verdict(), SafetyVerdict::Undecided);
        assert!(gate.pairs <= gate.plan.max_pairs(), "{gate:?}");
    }

    #[test]
    fn a_saved_gate_continues() {
        let mut gate = SafetyGate::new(SafetyPlan::default());
        let mut saved = gate;
        for pair in 0..400 {
            let (ours, theirs) = (town(u64::from(pair == 30)), town(2 * u64::from(pair == 90)));
            gate.add(ours, theirs);
            saved = serde_json::from_str(&serde_json::to_string(&saved).unwrap()).expect("it was just saved");
            saved.add(ours, theirs);
            assert_eq!(saved, gate);
        }
    }
}
