//! What the figures of many towns come to: mean, interquartile mean, and a bootstrap interval around it.
//!
//! Floats are fine here: nothing goes back into a town. The bootstrap draws from a counted sequence, so that the same figures
//! always have the same interval. Rule: "Policy evaluation".

use crate::prng::Prng;

/// Resamples behind an interval.
pub const RESAMPLES: usize = 2_000;
/// Part of the resamples that an interval holds.
pub const CONFIDENCE: f64 = 0.95;

/// What a sample says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Figures in the sample.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Mean of the middle half.
    pub iqm: f64,
    /// Lower end of the interval of the interquartile mean.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Estimate {
    /// Of a sample; `None` of an empty one.
    pub fn of(sample: &[f64]) -> Option<Self> {
        if sample.is_empty() {
            return None;
        }
        let mut sorted = sample.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = interval(&sorted, RESAMPLES, CONFIDENCE);
        let (min, max) = (sorted[0], sorted[sorted.len() - 1]);
        Some(Self { count: sample.len(), mean: mean(sample), min, max, iqm: iqm_of_sorted(&sorted), low, high })
    }
}

/// The mean; 0 of nothing.
pub fn mean(sample: &[f64]) -> f64 {
    sample.iter().sum::<f64>() / sample.len().max(1) as f64
}

/// The interquartile mean: the lowest and the highest quarter are dropped, each rounded down to whole values.
fn iqm_of_sorted(sorted: &[f64]) -> f64 {
    let quarter = sorted.len() / 4;
    mean(&sorted[quarter..sorted.len() - quarter])
}

/// The percentile bootstrap: as many figures are drawn from the sample, with repetition, again and again; the interval is where the
/// middle part of their interquartile means lies.
pub fn interval(sample: &[f64], resamples: usize, confidence: f64) -> (f64, f64) {
    let mut prng = Prng::from_state(0);
    let mut drawn = vec![0.0; sample.len()];
    let mut means: Vec<f64> = (0..resamples)
        .map(|_| {
            for place in &mut drawn {
                *place = sample[prng.below(sample.len())];
            }
            drawn.sort_by(f64::total_cmp);
            iqm_of_sorted(&drawn)
        })
        .collect();
    means.sort_by(f64::total_cmp);
    // As many resamples lie outside on either side.
    let outside = (resamples as f64 * (1.0 - confidence) / 2.0).round() as usize;
    (means[outside], means[resamples - 1 - outside])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Equal up to the rounding of floats.
    fn same(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn the_middle_half_by_hand() {
        let iqm = |sample: &[f64]| Estimate::of(sample).expect("some values").iqm;
        assert!(same(iqm(&[100.0, 1.0, 2.0, -50.0]), 1.5), "one goes on either side");
        assert!(same(iqm(&[9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), 4.0), "seven: one goes on either side");
        assert!(same(iqm(&[9.0, 1.0, 2.0]), 4.0), "three: none goes");
        assert!(same(iqm(&[7.0]), 7.0));
    }

    #[test]
    fn an_estimate_of_figures_that_agree_has_no_width() {
        let sample = [0.5; 20];
        let estimate = Estimate::of(&sample).unwrap();
        assert!([estimate.mean, estimate.iqm, estimate.low, estimate.high].iter().all(|value| same(*value, 0.5)));
        assert_eq!(Estimate::of(&[]), None);
    }

    #[test]
    fn a_bootstrap_by_hand() {
        // Of three figures nothing is trimmed, so a resample's mean is a third of how often the one was drawn: Bin(3, 1/3).
        // 0 in 8 of 27 cases, 1/3 in 12, 2/3 in 6, 1 in 1.
        let sample = [0.0, 0.0, 1.0];
        let (low, high) = interval(&sample, RESAMPLES, 0.95);
        assert!(same(low, 0.0) && same(high, 1.0), "{low} {high}: the last 3.7 % reach beyond 97.5 %");
        let (low, high) = interval(&sample, RESAMPLES, 0.9);
        assert!(same(low, 0.0) && same(high, 2.0 / 3.0), "{low} {high}: the last 3.7 % lie outside 95 %");
        let (low, high) = interval(&sample, RESAMPLES, 0.3);
        assert!(same(low, 1.0 / 3.0) && same(high, 1.0 / 3.0), "{low} {high}: from 35 to 65 of a hundred");
    }

    #[test]
    fn an_interval_is_the_same_every_time_and_holds_the_estimate() {
        let sample: Vec<f64> = (0..20).map(|value| f64::from(value * value % 17)).collect();
        let mut turned = sample.clone();
        turned.rotate_left(7);
        let estimate = Estimate::of(&sample).unwrap();
        assert_eq!(Estimate::of(&turned), Some(estimate), "the order of the seeds does not matter");
        assert!(estimate.low < estimate.iqm && estimate.iqm < estimate.high, "{estimate:?}");
        assert!(estimate.min <= estimate.low && estimate.high <= estimate.max, "{estimate:?}");
    }
}
