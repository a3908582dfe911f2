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

    /// The ends of the interval; `None` for one value, which says nothing about the spread.
    pub fn interval(&self) -> Option<(f64, f64)> {
        (self.count > 1).then_some((self.low, self.high))
    }
}

/// Events per 1,000 resident-days, with the exact interval for a count of rare events (Garwood).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Events.
    pub events: u64,
    /// Resident-days.
    pub days: f64,
    /// Events per 1,000 resident-days.
    pub rate: f64,
    /// Lower end of the interval of [`CONFIDENCE`].
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Rate {
    /// The rate of `events` in `days` resident-days; `None` without any.
    pub fn of(events: u64, days: f64) -> Option<Self> {
        if days <= 0.0 {
            return None;
        }
        let each = 1_000.0 / days;
        let outside = (1.0 - CONFIDENCE) / 2.0;
        let count = events as f64;
        // The expected counts at which as many events, or as few, are still seen with this probability.
        let low = if events == 0 { 0.0 } else { expected_count(events - 1, 1.0 - outside) };
        let high = expected_count(events, outside);
        Some(Self { events, days, rate: count * each, low: low * each, high: high * each })
    }
}

/// The expected count of a Poisson distribution that gives at most `events` with `probability`.
fn expected_count(events: u64, probability: f64) -> f64 {
    let count = events as f64;
    let (mut low, mut high) = (0.0, count + 10.0 * (count + 1.0).sqrt() + 10.0);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if at_most(events, middle) > probability { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// The probability of at most `events` events when `expected` are expected.
fn at_most(events: u64, expected: f64) -> f64 {
    // In logarithms, so that a large expectation does not underflow.
    let mut log_term = -expected;
    let mut sum = log_term.exp();
    for event in 1..=events {
        log_term += (expected / event as f64).ln();
        sum += log_term.exp();
    }
    sum.min(1.0)
}

/// The mean; 0 for an empty sample.
pub fn mean(sample: &[f64]) -> f64 {
    sample.iter().sum::<f64>() / sample.len().max(1) as f64
}

/// The interval of [`CONFIDENCE`] of the mean by Student's t; `None` for fewer than two values. Equal values have no width.
pub fn mean_interval(sample: &[f64]) -> Option<(f64, f64)> {
    let freedom = sample.len().checked_sub(1).filter(|freedom| *freedom > 0)?;
    let middle = mean(sample);
    let variance = sample.iter().map(|value| (value - middle).powi(2)).sum::<f64>() / freedom as f64;
    let half = student_quantile(freedom) * (variance / sample.len() as f64).sqrt();
    Some((middle - half, middle + half))
}

/// The 97.5 % quantile of Student's t distribution: a table for few degrees of freedom, then the expansion by Cornish and Fisher,
/// which is exact to four digits there.
fn student_quantile(freedom: usize) -> f64 {
    const FEW: [f64; 9] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];
    if let Some(quantile) = FEW.get(freedom - 1) {
        return *quantile;
    }
    let (z, n) = (1.959_964_f64, freedom as f64);
    let (z3, z5, z7) = (z.powi(3), z.powi(5), z.powi(7));
    z + (z3 + z) / (4.0 * n)
        + (5.0 * z5 + 16.0 * z3 + 3.0 * z) / (96.0 * n * n)
        + (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * z) / (384.0 * n.powi(3))
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
    fn rates_of_rare_events_by_table() {
        // Garwood's limits for counts of 0, 1, 3 and 100, as in every table of Poisson intervals.
        for (events, low, high) in [(0, 0.0, 3.689), (1, 0.0253, 5.572), (3, 0.6187, 8.767), (100, 81.36, 121.63)] {
            let rate = Rate::of(events, 1_000.0).expect("there are days");
            assert!((rate.low - low).abs() < 0.005 && (rate.high - high).abs() < 0.005, "{rate:?}");
            assert!(same(rate.rate, events as f64));
        }
        let rate = Rate::of(2, 4_000.0).expect("there are days");
        assert!(same(rate.rate, 0.5), "two in four thousand: {rate:?}");
        assert_eq!(Rate::of(0, 0.0), None);
    }

    #[test]
    fn an_estimate_of_equal_values_has_no_width() {
        let sample = [0.5; 20];
        let estimate = Estimate::of(&sample).unwrap();
        assert!([estimate.mean, estimate.iqm, estimate.low, estimate.high].iter().all(|value| same(*value, 0.5)));
        assert_eq!(Estimate::of(&[]), None);
    }

    #[test]
    fn intervals_of_a_mean_by_table() {
        for (freedom, quantile) in [(1, 12.706), (9, 2.262), (10, 2.228), (30, 2.042), (63, 1.998), (1_000, 1.962)] {
            assert!((student_quantile(freedom) - quantile).abs() < 6e-4, "{freedom}");
        }
        let (low, high) = mean_interval(&[1.0, 2.0, 3.0, 4.0]).expect("four values");
        // The standard error is √(5/3 ÷ 4).
        assert!((low - 0.446).abs() < 1e-3 && (high - 4.554).abs() < 1e-3, "{low} {high}");
        assert_eq!(mean_interval(&[0.5; 8]), Some((0.5, 0.5)));
        assert_eq!(mean_interval(&[0.5]), None);
    }

    #[test]
    fn one_value_has_no_interval() {
        assert_eq!(Estimate::of(&[0.5]).unwrap().interval(), None);
        assert!(Estimate::of(&[0.5, 0.6]).unwrap().interval().is_some());
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
