//! Statistics over towns: mean, interquartile mean and its bootstrap interval.
//!
//! The bootstrap uses a fixed random sequence, so the same values always give the same interval. Rule: "Policy evaluation".

use crate::prng::Prng;

/// Bootstrap resamples.
pub const RESAMPLES: usize = 2_000;
/// Share of the resamples inside the interval.
pub const CONFIDENCE: f64 = 0.95;

/// Summary of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Number of values.
    pub count: usize,
    /// Mean.
    pub mean: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Interquartile mean.
    pub iqm: f64,
    /// Lower end of the interval of the interquartile mean.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Estimate {
    /// Summarizes a sample; `None` when it is empty.
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

/// The mean; 0 for an empty sample.
pub fn mean(sample: &[f64]) -> f64 {
    sample.iter().sum::<f64>() / sample.len().max(1) as f64
}

/// The interquartile mean: the lowest and highest quarter are dropped, each rounded down to whole values.
fn iqm_of_sorted(sorted: &[f64]) -> f64 {
    let quarter = sorted.len() / 4;
    mean(&sorted[quarter..sorted.len() - quarter])
}

/// The percentile bootstrap: the middle part of the interquartile means of samples drawn with replacement.
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
    // The same number of resamples lies outside on either side.
    let outside = (resamples as f64 * (1.0 - confidence) / 2.0).round() as usize;
    (means[outside], means[resamples - 1 - outside])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Equal up to rounding.
    fn same(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn interquartile_mean_by_hand() {
        let iqm = |sample: &[f64]| Estimate::of(sample).expect("some values").iqm;
        assert!(same(iqm(&[100.0, 1.0, 2.0, -50.0]), 1.5), "one value is dropped on either side");
        assert!(same(iqm(&[9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), 4.0), "of seven, one is dropped on either side");
        assert!(same(iqm(&[9.0, 1.0, 2.0]), 4.0), "of three, none is dropped");
        assert!(same(iqm(&[7.0]), 7.0));
    }

    #[test]
    fn an_estimate_of_equal_values_has_no_width() {
        let sample = [0.5; 20];
        let estimate = Estimate::of(&sample).unwrap();
        assert!([estimate.mean, estimate.iqm, estimate.low, estimate.high].iter().all(|value| same(*value, 0.5)));
        assert_eq!(Estimate::of(&[]), None);
    }

    #[test]
    fn bootstrap_interval_by_hand() {
        // Of three values nothing is dropped, so a resample's mean is Bin(3, 1/3) / 3: 0 in 8 of 27 cases, 1/3 in 12, 2/3 in 6,
        // 1 in 1.
        let sample = [0.0, 0.0, 1.0];
        let (low, high) = interval(&sample, RESAMPLES, 0.95);
        assert!(same(low, 0.0) && same(high, 1.0), "{low} {high}: the upper 3.7 % reach beyond 97.5 %");
        let (low, high) = interval(&sample, RESAMPLES, 0.9);
        assert!(same(low, 0.0) && same(high, 2.0 / 3.0), "{low} {high}: the upper 3.7 % lie outside 95 %");
        let (low, high) = interval(&sample, RESAMPLES, 0.3);
        assert!(same(low, 1.0 / 3.0) && same(high, 1.0 / 3.0), "{low} {high}: the quantiles 0.35 and 0.65");
    }

    #[test]
    fn an_interval_is_deterministic_and_contains_the_estimate() {
        let sample: Vec<f64> = (0..20).map(|value| f64::from(value * value % 17)).collect();
        let mut turned = sample.clone();
        turned.rotate_left(7);
        let estimate = Estimate::of(&sample).unwrap();
        assert_eq!(Estimate::of(&turned), Some(estimate), "the order of the seeds does not matter");
        assert!(estimate.low < estimate.iqm && estimate.iqm < estimate.high, "{estimate:?}");
        assert!(estimate.min <= estimate.low && estimate.high <= estimate.max, "{estimate:?}");
    }
}
