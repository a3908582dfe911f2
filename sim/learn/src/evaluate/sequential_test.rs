//! A group-sequential paired test: whether a candidate scores higher than the release, evaluated after every pair of towns.
//!
//! A pair is one seed run under both policies; its value is the difference of the town scores. The error is spent evenly
//! over the analyses (Lan and `DeMets` 1983), with the matching repeated confidence interval (Jennison and Turnbull 1989) and
//! Student's t for the unknown deviation. docs/POLICY.md compares stopping rules. Rule: "Stability, promotion, rollback".

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

/// Error rates, effect size and number of pairs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Probability of calling an equal candidate better, over all analyses together; in (0, 0.5).
    pub alpha: f64,
    /// Least probability of calling a candidate better that is better by `effect`; in (0.5, 1). Holds while the deviation of a
    /// pair is at most three times the effect.
    pub power: f64,
    /// Smallest difference of town scores worth detecting; above 0.
    pub effect: f64,
    /// Pairs before the first analysis; at least 8.
    pub min_pairs: usize,
    /// Pairs after which an undecided candidate counts as not better; at most 1,000.
    pub max_pairs: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self { alpha: 0.025, power: 0.95, effect: 0.005, min_pairs: 12, max_pairs: 240 }
    }
}

impl Plan {
    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// The value that is not, as a sentence.
    pub fn check(&self) -> Result<(), String> {
        let Self { alpha, power, effect, min_pairs, max_pairs } = *self;
        if !(alpha > 0.0 && alpha < 0.5) {
            return Err(format!("alpha is {alpha}; it must be between 0 and 0.5"));
        }
        if !(power > 0.5 && power < 1.0) {
            return Err(format!("power is {power}; it must be between 0.5 and 1"));
        }
        if !(effect > 0.0 && effect <= 1.0) {
            return Err(format!("effect is {effect}; it must be above 0 and at most 1"));
        }
        if !(8 <= min_pairs && min_pairs <= max_pairs && max_pairs <= 1_000) {
            return Err(format!(
                "min_pairs is {min_pairs} and max_pairs {max_pairs}; they must be 8 to 1,000, in this order"
            ));
        }
        Ok(())
    }
}

/// The result so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// More pairs are needed.
    Undecided,
    /// The candidate is better: the whole interval is above 0.
    Better,
    /// The candidate is not better: the effect is excluded, or the pairs are used up.
    NotBetter,
}

/// A running test. Serialized as its plan and sums, from which it continues unchanged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "SavedTest", into = "SavedTest")]
pub struct SequentialTest {
    plan: Plan,
    /// By analysis: standard errors above 0 from which a mean counts as better; also the interval's half width.
    better: Vec<f64>,
    /// By analysis: standard errors below the effect from which a mean counts as futile.
    futile: Vec<f64>,
    pairs: usize,
    mean: f64,
    /// Sum of squared deviations from the mean.
    squares: f64,
}

/// The serialized form; the bounds are computed again.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedTest {
    plan: Plan,
    pairs: usize,
    mean: f64,
    squares: f64,
}

impl From<SequentialTest> for SavedTest {
    fn from(test: SequentialTest) -> Self {
        let SequentialTest { plan, pairs, mean, squares, .. } = test;
        Self { plan, pairs, mean, squares }
    }
}

impl TryFrom<SavedTest> for SequentialTest {
    type Error = String;

    fn try_from(saved: SavedTest) -> Result<Self, String> {
        let SavedTest { plan, pairs, mean, squares } = saved;
        plan.check()?;
        if pairs > plan.max_pairs || !(-1.0..=1.0).contains(&mean) || !(squares >= 0.0 && squares.is_finite()) {
            return Err(format!("{pairs} pairs with mean {mean} and squares {squares} are not a valid test"));
        }
        Ok(Self { pairs, mean, squares, ..Self::new(plan) })
    }
}

impl SequentialTest {
    /// A test without pairs. Computing the bounds takes some tens of milliseconds.
    ///
    /// # Panics
    /// When the plan is invalid; see [`Plan::check`].
    pub fn new(plan: Plan) -> Self {
        plan.check().expect("a valid plan");
        Self {
            better: bounds(plan.alpha, plan.min_pairs, plan.max_pairs),
            futile: bounds(1.0 - plan.power, plan.min_pairs, plan.max_pairs),
            plan,
            pairs: 0,
            mean: 0.0,
            squares: 0.0,
        }
    }

    /// Adds a pair: town score under the candidate minus that under the release, in [-1, 1]. NaN counts as -1. Ignored once
    /// there is a verdict.
    pub fn add(&mut self, difference: f64) {
        if self.verdict() != Verdict::Undecided {
            return;
        }
        let difference = if difference.is_nan() { -1.0 } else { difference.clamp(-1.0, 1.0) };
        self.pairs += 1;
        // Welford's update keeps precision when the differences are nearly equal.
        let before = difference - self.mean;
        self.mean += before / self.pairs as f64;
        self.squares += before * (difference - self.mean);
    }

    /// The result so far; final once it is not [`Verdict::Undecided`].
    pub fn verdict(&self) -> Verdict {
        let Some(check) = self.check_index() else { return Verdict::Undecided };
        if self.mean - self.half_width(self.better[check]) > 0.0 {
            Verdict::Better
        } else if self.mean + self.half_width(self.futile[check]) < self.plan.effect
            || self.pairs >= self.plan.max_pairs
        {
            Verdict::NotBetter
        } else {
            Verdict::Undecided
        }
    }

    /// Interval of the true difference, with confidence `1 - 2 alpha` over all analyses; `None` before the first.
    pub fn interval(&self) -> Option<(f64, f64)> {
        let half_width = self.half_width(self.better[self.check_index()?]);
        Some((self.mean - half_width, self.mean + half_width))
    }

    /// Mean difference; `None` without pairs.
    pub fn mean(&self) -> Option<f64> {
        (self.pairs > 0).then_some(self.mean)
    }

    /// Pairs added.
    pub fn pairs(&self) -> usize {
        self.pairs
    }

    /// Pairs after which there is always a verdict.
    pub fn max_pairs(&self) -> usize {
        self.plan.max_pairs
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Index of the current analysis; `None` before the first.
    fn check_index(&self) -> Option<usize> {
        self.pairs.checked_sub(self.plan.min_pairs)
    }

    /// Half the width of an interval, for a number of normal deviations.
    fn half_width(&self, deviations: f64) -> f64 {
        let (pairs, freedom) = (self.pairs as f64, self.pairs as f64 - 1.0);
        student_t_quantile(deviations, freedom) * (self.squares / freedom / pairs).sqrt()
    }
}

/// Width of a grid cell for the distribution of sums, in deviations of one difference.
const CELL_WIDTH: f64 = 0.1;
/// Range of the grid and of one difference, in deviations.
const MAX_DEVIATIONS: f64 = 6.0;

/// Critical values after every pair from `first` to `last`: the standardized mean that normal differences around 0 exceed at
/// this analysis or an earlier one with probability `error * pairs / last`.
///
/// The distribution of the sum is convolved from analysis to analysis, without the part beyond the bounds (Armitage,
/// `McPherson` and Rowe 1969).
fn bounds(error: f64, first: usize, last: usize) -> Vec<f64> {
    let density = |at: f64, variance: f64| (-at * at / (2.0 * variance)).exp() / (TAU * variance).sqrt() * CELL_WIDTH;
    let cells = (MAX_DEVIATIONS * (last as f64).sqrt() / CELL_WIDTH) as isize;
    let moves = (MAX_DEVIATIONS / CELL_WIDTH) as isize;
    let step: Vec<f64> = (-moves..=moves).map(|by| density(by as f64 * CELL_WIDTH, 1.0)).collect();
    let mut sums: Vec<f64> = (-cells..=cells).map(|at| density(at as f64 * CELL_WIDTH, first as f64)).collect();
    let mut spent = 0.0;
    let critical_values = (first..=last).map(|pairs| {
        if pairs > first {
            sums = convolve(&sums, &step);
        }
        let due = error * pairs as f64 / last as f64;
        let at = remove_upper_tail(&mut sums, due - spent);
        spent = due;
        (at - cells as f64) * CELL_WIDTH / (pairs as f64).sqrt()
    });
    critical_values.collect()
}

/// The distribution after one more difference.
fn convolve(sums: &[f64], step: &[f64]) -> Vec<f64> {
    let moves = step.len() / 2;
    let mass = |to: usize| {
        let from = to.saturating_sub(moves)..(to + moves + 1).min(sums.len());
        // `from` starts as far below `to` as the step's first entry is below its middle.
        let steps = &step[from.start + moves - to..];
        sums[from].iter().zip(steps).map(|(mass, step)| mass * step).sum()
    };
    (0..sums.len()).map(mass).collect()
}

/// Removes the upper tail with this probability; the position of the cut, in cells.
fn remove_upper_tail(sums: &mut [f64], mass: f64) -> f64 {
    let mut left = mass;
    for (at, cell) in sums.iter_mut().enumerate().rev() {
        if *cell > left {
            let part = left / *cell;
            *cell -= left;
            return at as f64 + 0.5 - part;
        }
        left -= *cell;
        *cell = 0.0;
    }
    0.0
}

/// The quantile of Student's t for a normal quantile, by the Cornish-Fisher expansion; accurate from 7 degrees of freedom.
fn student_t_quantile(normal: f64, freedom: f64) -> f64 {
    let square = normal * normal;
    let terms = [
        1.0,
        (square + 1.0) / 4.0,
        ((5.0 * square + 16.0) * square + 3.0) / 96.0,
        (((3.0 * square + 19.0) * square + 17.0) * square - 15.0) / 384.0,
        ((((79.0 * square + 776.0) * square + 1_482.0) * square - 1_920.0) * square - 945.0) / 92_160.0,
    ];
    normal * terms.iter().rev().fold(0.0, |sum, term| sum / freedom + term)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_quantiles_match_the_tables() {
        for (normal, freedom, wanted) in [
            (1.959_964, 9.0, 2.262_16),
            (2.575_829, 9.0, 3.249_84),
            (1.959_964, 30.0, 2.042_27),
            (3.090_232, 15.0, 3.732_83),
        ] {
            let found = student_t_quantile(normal, freedom);
            assert!((found - wanted).abs() < 0.004, "{found}, expected {wanted}");
        }
    }

    #[test]
    fn bounds_match_the_tables() {
        // A single analysis is the ordinary test.
        assert!((bounds(0.025, 9, 9)[0] - 1.959_964).abs() < 0.002);
        // Two analyses that spend half each: the first is a plain quantile.
        let two = bounds(0.05, 1, 2);
        assert!((two[0] - 1.959_964).abs() < 0.002, "{two:?}");
        let all = bounds(0.025, 12, 160);
        // The first analysis spends the share of its twelve pairs at once; the next ones have little to spend.
        assert!(all[0] < all[1], "{all:?}");
        assert!(all[5..].windows(2).all(|pair| pair[0] > pair[1]), "bounds must decrease");
        assert!(*all.last().unwrap() > 1.96, "no bound is below that of a single analysis");
    }

    #[test]
    fn an_invalid_plan_is_refused_by_field_name() {
        let plan = Plan::default();
        assert_eq!(plan.check(), Ok(()));
        for (plan, word) in [
            (Plan { alpha: 0.5, ..plan }, "alpha"),
            (Plan { power: f64::NAN, ..plan }, "power"),
            (Plan { effect: 0.0, ..plan }, "effect"),
            (Plan { min_pairs: 7, ..plan }, "min_pairs"),
            (Plan { max_pairs: 11, ..plan }, "max_pairs"),
        ] {
            assert!(plan.check().unwrap_err().contains(word));
        }
    }
}
