//! The test of a candidate against the release: it must score higher, and pass the safety gate of every kind of harm.
//!
//! Both run on the same pairs of towns and stop when each has a verdict. A candidate is promoted by mistake no more often than
//! the stricter of the tests allows. Rule: "Safety gate".

use serde::{Deserialize, Serialize};

use super::Record;
use super::safety_gate::{HARMS, SafetyGate, SafetyPlan, SafetyVerdict, Tally};
use super::sequential_test::{Plan, SequentialTest, Verdict};

/// The result so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// More pairs are needed.
    Running,
    /// The candidate scores higher and is safe.
    Accepted,
    /// The candidate does not score higher, or is not shown to be safe.
    Refused,
}

/// A running test. Serialized, it continues unchanged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromotionTest {
    score: SequentialTest,
    /// In the order of [`HARMS`].
    safety: [SafetyGate; HARMS.len()],
    pairs: u64,
}

impl PromotionTest {
    /// A test without pairs.
    pub fn new(score: Plan, safety: SafetyPlan) -> Self {
        Self { score: SequentialTest::new(score), safety: [SafetyGate::new(safety); HARMS.len()], pairs: 0 }
    }

    /// Adds the towns of one seed. A town without a score counts for safety only.
    pub fn add(&mut self, candidate: &Record, release: &Record) {
        let difference = candidate.score().zip(release.score()).map(|(ours, theirs)| ours - theirs);
        let tallies = HARMS.each_ref().map(|harm| (Tally::of(candidate, harm), Tally::of(release, harm)));
        self.add_pair(difference, tallies);
    }

    /// Adds a pair by the difference of its scores and the events of each kind under candidate and release.
    pub fn add_pair(&mut self, difference: Option<f64>, tallies: [(Tally, Tally); HARMS.len()]) {
        self.pairs += 1;
        if let Some(difference) = difference {
            self.score.add(difference);
        }
        for (gate, (candidate, release)) in self.safety.iter_mut().zip(tallies) {
            gate.add(candidate, release);
        }
    }

    /// The result so far.
    pub fn decision(&self) -> Decision {
        let verdicts = self.safety.map(|gate| gate.verdict());
        let all_passed = verdicts.iter().all(|verdict| *verdict == SafetyVerdict::Passed);
        if self.score.verdict() == Verdict::NotBetter
            || verdicts.iter().any(|verdict| matches!(verdict, SafetyVerdict::Failed | SafetyVerdict::Undecided))
        {
            Decision::Refused
        } else if all_passed && self.score.verdict() == Verdict::Better {
            Decision::Accepted
        } else {
            Decision::Running
        }
    }

    /// The test of the scores.
    pub fn score(&self) -> &SequentialTest {
        &self.score
    }

    /// The gates, in the order of [`HARMS`].
    pub fn safety(&self) -> &[SafetyGate; HARMS.len()] {
        &self.safety
    }

    /// Pairs added.
    pub fn pairs(&self) -> u64 {
        self.pairs
    }
}
