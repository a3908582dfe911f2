//! A sequential paired test: is a candidate better than the release, looked at after every pair of towns.
//!
//! A pair is one seed lived through under both; what is taken is the difference of the town scores. Owns the stopping rule, its
//! bounds and the interval; knows no town and no policy. Group-sequential bounds with the error spent evenly over the looks
//! (Lan and `DeMets` 1983), the interval that belongs to them (Jennison and Turnbull 1989), and Student's t for an unknown
//! deviation. Which rule needs the fewest pairs was tried out: docs/POLICY.md. Rule: "Stability, promotion, rollback".

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

/// What the test promises, and what it may cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// How often a candidate that is no better is called better, over all looks together; in (0, 0.5).
    pub alpha: f64,
    /// How often a candidate that is better by `effect` is called better, at least; in (0.5, 1). As long as a pair's
    /// deviation is at most three times the effect.
    pub power: f64,
    /// The difference of town scores that is worth finding; above 0.
    pub effect: f64,
    /// Pairs before the first look; 8 or more.
    pub min_pairs: usize,
    /// Pairs after which an undecided candidate counts as not better; at most 1,000.
    pub max_pairs: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self { alpha: 0.025, power: 0.9, effect: 0.005, min_pairs: 12, max_pairs: 160 }
    }
}

impl Plan {
    /// That every figure is in its range.
    ///
    /// # Errors
    /// The figure that is not, in a sentence.
    pub fn check(&self) -> Result<(), String> {
        let Self { alpha, power, effect, min_pairs, max_pairs } = *self;
        if !(alpha > 0.0 && alpha < 0.5) {
            return Err(format!("alpha is {alpha}; it lies between 0 and 0.5"));
        }
        if !(power > 0.5 && power < 1.0) {
            return Err(format!("power is {power}; it lies between 0.5 and 1"));
        }
        if !(effect > 0.0 && effect <= 1.0) {
            return Err(format!("effect is {effect}; it is above 0 and at most 1"));
        }
        if !(8 <= min_pairs && min_pairs <= max_pairs && max_pairs <= 1_000) {
            return Err(format!("min_pairs is {min_pairs} and max_pairs {max_pairs}; 8 to 1,000 in this order"));
        }
        Ok(())
    }
}

/// What the pairs so far say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// More pairs are needed.
    Undecided,
    /// The candidate is better: the whole interval is above 0.
    Better,
    /// It is not: the effect is out of reach, or the pairs are used up.
    NotBetter,
}

/// The test as far as it is. SavedTest with its plan and its sums; it goes on as if it had never stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "SavedTest", into = "SavedTest")]
pub struct SequentialTest {
    plan: Plan,
    /// By look: how many standard errors away from 0 a mean is called better; with it, the interval.
    better: Vec<f64>,
    /// By look: how many standard errors below the effect a mean is called futile.
    futile: Vec<f64>,
    pairs: usize,
    mean: f64,
    /// Sum of the squared distances from the mean.
    squares: f64,
}

/// What is saved of a test; its bounds are made anew.
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
            return Err(format!("{pairs} pairs with mean {mean} and squares {squares} cannot be"));
        }
        Ok(Self { pairs, mean, squares, ..Self::new(plan) })
    }
}

impl SequentialTest {
    /// A test that has seen nothing yet. Some tens of milliseconds: the bounds are computed.
    ///
    /// # Panics
    /// When the plan does not hold; see [`Plan::check`].
    pub fn new(plan: Plan) -> Self {
        plan.check().expect("the plan holds");
        Self {
            better: bounds(plan.alpha, plan.min_pairs, plan.max_pairs),
            futile: bounds(1.0 - plan.power, plan.min_pairs, plan.max_pairs),
            plan,
            pairs: 0,
            mean: 0.0,
            squares: 0.0,
        }
    }

    /// Takes the next pair: town score under the candidate less that under the release, in [-1, 1]. Something that is no number
    /// counts as a town that is lost. Once there is a verdict nothing is taken any more.
    pub fn add(&mut self, difference: f64) {
        if self.verdict() != Verdict::Undecided {
            return;
        }
        let difference = if difference.is_nan() { -1.0 } else { difference.clamp(-1.0, 1.0) };
        self.pairs += 1;
        // As Welford sums up: nothing is lost when the differences are all but equal.
        let before = difference - self.mean;
        self.mean += before / self.pairs as f64;
        self.squares += before * (difference - self.mean);
    }

    /// What the pairs so far say; final as soon as it is no longer [`Verdict::Undecided`].
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

    /// Where the true difference lies, with probability `1 - 2 alpha` at all looks together; `None` before the first look.
    pub fn interval(&self) -> Option<(f64, f64)> {
        let half_width = self.half_width(self.better[self.check_index()?]);
        Some((self.mean - half_width, self.mean + half_width))
    }

    /// Mean difference; `None` of no pairs.
    pub fn mean(&self) -> Option<f64> {
        (self.pairs > 0).then_some(self.mean)
    }

    /// Pairs taken.
    pub fn pairs(&self) -> usize {
        self.pairs
    }

    /// Pairs after which there is a verdict whatever they say.
    pub fn max_pairs(&self) -> usize {
        self.plan.max_pairs
    }

    /// What was promised.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Which of the looks this is.
    fn check_index(&self) -> Option<usize> {
        self.pairs.checked_sub(self.plan.min_pairs)
    }

    /// Half an interval's width, for so many deviations of a normal mean.
    fn half_width(&self, deviations: f64) -> f64 {
        let (pairs, freedom) = (self.pairs as f64, self.pairs as f64 - 1.0);
        student_t_quantile(deviations, freedom) * (self.squares / freedom / pairs).sqrt()
    }
}

/// Width of a cell in which sums are counted, in deviations of one difference.
const CELL_WIDTH: f64 = 0.1;
/// How far one more difference may move a sum, and a sum stray from 0, in deviations.
const MAX_DEVIATIONS: f64 = 6.0;

/// By look, after every pair from `first` to `last`: the standardised mean of normal differences around 0 that is exceeded at
/// this look or an earlier one with probability `error * pairs / last`.
///
/// The distribution of the sum is carried from look to look, without what went beyond (Armitage, `McPherson` and Rowe 1969).
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

/// The distribution one difference later.
fn convolve(sums: &[f64], step: &[f64]) -> Vec<f64> {
    let moves = step.len() / 2;
    let mass = |to: usize| {
        let from = to.saturating_sub(moves)..(to + moves + 1).min(sums.len());
        // The first of `from` is as far below `to` as the step's middle is above the step's first.
        let steps = &step[from.start + moves - to..];
        sums[from].iter().zip(steps).map(|(mass, step)| mass * step).sum()
    };
    (0..sums.len()).map(mass).collect()
}

/// Takes the uppermost `mass` away; where the cut goes, in cells.
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

/// The quantile of Student's t that belongs to a normal quantile (the expansion of Fisher and Cornish); good from 7 degrees of
/// freedom on.
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
    fn quantiles_of_t_as_in_the_tables() {
        for (normal, freedom, wanted) in [
            (1.959_964, 9.0, 2.262_16),
            (2.575_829, 9.0, 3.249_84),
            (1.959_964, 30.0, 2.042_27),
            (3.090_232, 15.0, 3.732_83),
        ] {
            let found = student_t_quantile(normal, freedom);
            assert!((found - wanted).abs() < 0.004, "{found} is not {wanted}");
        }
    }

    #[test]
    fn bounds_as_in_the_tables() {
        // One look is the test that everybody knows.
        assert!((bounds(0.025, 9, 9)[0] - 1.959_964).abs() < 0.002);
        // Two looks that spend half each: the first is a quantile, and what both exceed together is the error.
        let two = bounds(0.05, 1, 2);
        assert!((two[0] - 1.959_964).abs() < 0.002, "{two:?}");
        let all = bounds(0.025, 12, 160);
        // The first look spends what its twelve pairs are worth at once; those after it have little to spend at first.
        assert!(all[0] < all[1], "{all:?}");
        assert!(all[5..].windows(2).all(|pair| pair[0] > pair[1]), "later looks ask for less");
        assert!(*all.last().unwrap() > 1.96, "and none for less than one look alone");
    }

    #[test]
    fn a_plan_out_of_range_is_said_by_name() {
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
