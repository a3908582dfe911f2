//! Successive halving: the rungs of a sweep, and the trials that go on to the next rung (Jamieson and Talwalkar 2016).
//!
//! Names are those of Optuna and Ray Tune. Rule: "Sweep".

/// The schedule of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Halving {
    /// One in this many trials goes on to the next rung.
    pub(super) reduction_factor: u32,
    /// Resident-ticks of the first rung.
    pub(super) min_steps: u64,
    /// Resident-ticks of the last rung, which are the schedule of every training.
    pub(super) max_steps: u64,
}

impl Halving {
    /// The resident-ticks at which the trials of each rung are measured.
    pub(super) fn rungs(&self) -> Vec<u64> {
        let factor = u64::from(self.reduction_factor);
        let below = |steps: &u64| *steps < self.max_steps;
        let rungs = std::iter::successors(Some(self.min_steps), |steps| steps.checked_mul(factor)).take_while(below);
        rungs.chain([self.max_steps]).collect()
    }

    /// Number of trials that go on from a rung with this many.
    pub(super) const fn promoted(&self, trials: usize) -> usize {
        let kept = trials / self.reduction_factor as usize;
        if kept == 0 && trials > 0 { 1 } else { kept }
    }

    /// Resident-ticks of all trials together, when none diverges.
    pub(super) fn total_steps(&self, trials: usize) -> u64 {
        let (mut before, mut trials, mut sum) = (0, trials, 0_u64);
        for steps in self.rungs() {
            sum = sum.saturating_add((steps - before).saturating_mul(trials as u64));
            (before, trials) = (steps, self.promoted(trials));
        }
        sum
    }
}

/// Trials in the order of their scores, best first; of equals, the one with the lower number. Trials without a score come last.
pub(super) fn ranked(mut scores: Vec<(usize, Option<f64>)>) -> Vec<usize> {
    let value = |score: Option<f64>| score.filter(|score| score.is_finite()).unwrap_or(f64::NEG_INFINITY);
    scores.sort_by(|a, b| value(b.1).total_cmp(&value(a.1)).then(a.0.cmp(&b.0)));
    scores.into_iter().map(|(trial, _)| trial).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs_grow_by_the_factor_up_to_the_schedule() {
        let rungs = |factor, min_steps, max_steps| Halving { reduction_factor: factor, min_steps, max_steps }.rungs();
        assert_eq!(rungs(2, 1, 8), [1, 2, 4, 8]);
        assert_eq!(rungs(3, 1_000, 10_000), [1_000, 3_000, 9_000, 10_000]);
        assert_eq!(rungs(4, 500, 500), [500]);
        assert_eq!(rungs(2, 1 << 62, u64::MAX), [1 << 62, 1 << 63, u64::MAX]);
    }

    #[test]
    fn a_rung_passes_its_share_and_at_least_one() {
        let halving = Halving { reduction_factor: 3, min_steps: 1, max_steps: 9 };
        assert_eq!([0, 1, 2, 3, 8, 9].map(|trials| halving.promoted(trials)), [0, 1, 1, 1, 2, 3]);
        // Nine trials of 1 step, three of two more, one of six more.
        assert_eq!(halving.total_steps(9), 9 + 3 * 2 + 6);
    }

    #[test]
    fn trials_are_ranked_by_score_then_number() {
        let scores = vec![(0, Some(0.5)), (1, None), (2, Some(0.9)), (3, Some(0.5)), (4, Some(f64::NAN))];
        assert_eq!(ranked(scores), [2, 0, 3, 1, 4]);
    }
}
