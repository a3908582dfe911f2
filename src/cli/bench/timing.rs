//! Timing helpers: repeated runs, percentiles, and the memory of this process.

use std::time::{Duration, Instant};

/// The value below which a share of the sorted measurements lies; 0 without measurements.
pub(super) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}

/// Sorts the measurements and returns the median.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    percentile(values, 0.5)
}

/// Median duration in milliseconds, of at least three runs within the budget.
pub(super) fn time<T>(budget: Duration, mut body: impl FnMut() -> T) -> f64 {
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.len() < 3 || begun.elapsed() < budget {
        let started = Instant::now();
        std::hint::black_box(body());
        times.push(milliseconds(started.elapsed()));
    }
    median(&mut times)
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Resident memory of this process in KiB, where the system reports it.
pub(super) fn resident_kib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_values() {
        assert!((median(&mut [3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        let values: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!((percentile(&values, 0.99), percentile(&values, 1.0), percentile(&[], 0.5)), (99.0, 100.0, 0.0));
    }
}
