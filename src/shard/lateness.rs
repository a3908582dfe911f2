//! A histogram of how late ticks begin.
//!
//! The town's thread adds to it, any thread may read it. At full speed no tick has a due time, and none is counted. Rule: "Tick deadlines".

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets until a lateness doubles.
const STEPS: f64 = 8.0;
/// Up to 2²⁴ microseconds, 17 seconds; the last bucket takes everything later.
const COUNTS: usize = 24 * 8 + 1;

/// Ticks by how late they began.
#[derive(Debug)]
pub struct Lateness(Box<[AtomicU64]>);

impl Default for Lateness {
    fn default() -> Self {
        Self((0..COUNTS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Lateness {
    /// Counts a tick.
    pub(super) fn note(&self, late: Duration) {
        let step = ((late.as_secs_f64() * 1e6 + 1.0).log2() * STEPS) as usize;
        self.0[step.min(COUNTS - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// Ticks counted.
    pub fn ticks(&self) -> u64 {
        self.0.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The lateness, in milliseconds, that this share of ticks stays within, at most an eleventh too high; `None` before the
    /// first tick.
    pub fn milliseconds(&self, share: f64) -> Option<f64> {
        let (ticks, mut seen) = (self.ticks(), 0);
        let wanted = (ticks as f64 * share).ceil();
        let step = self.0.iter().position(|count| {
            seen += count.load(Ordering::Relaxed);
            ticks > 0 && seen as f64 >= wanted
        })?;
        Some((((step + 1) as f64 / STEPS).exp2() - 1.0) / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_found_to_an_eleventh() {
        let lateness = Lateness::default();
        assert_eq!((lateness.ticks(), lateness.milliseconds(0.5)), (0, None));
        for microseconds in 1..=1_000 {
            lateness.note(Duration::from_micros(microseconds));
        }
        lateness.note(Duration::from_hours(1));
        assert_eq!(lateness.ticks(), 1_001);
        for (share, exact) in [(0.5, 0.5), (0.99, 0.99)] {
            let found = lateness.milliseconds(share).expect("ticks were counted");
            assert!(found >= exact && found < exact * 1.1, "{share}: {found}");
        }
        assert!(lateness.milliseconds(1.0) > Some(16_000.0), "what is too late is not forgotten");
    }
}
