//! How late ticks begin: a histogram, and whether it is too late.
//!
//! The town's thread adds to it, any thread may read it. At full speed no tick has a due time, and none is counted. Rule: "Tick deadlines".

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

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

/// How long a late tick is remembered.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Late ticks in that time that raise the alert: a single one may be a machine that was suspended.
const LATE_TICKS: usize = 2;
/// A tick that is less late than this is not late at any speed: operators do not see it, and a scheduler may take as long.
const LEAST: Duration = Duration::from_millis(100);

/// Whether ticks come late, whatever the reason: by more than an interval, more than once in ten seconds.
#[derive(Debug, Default)]
pub(super) struct LateTicks {
    /// When the last late ticks began.
    last: VecDeque<Instant>,
    /// The interval that they missed.
    period: Duration,
}

impl LateTicks {
    /// Notes a tick that began `now`; returns whether it is so late that the health may have changed.
    pub(super) fn note(&mut self, now: Instant, late: Duration, period: Duration) -> bool {
        let is_late = late > period.max(LEAST);
        if is_late {
            self.period = period;
            self.last.push_back(now);
            if self.last.len() > LATE_TICKS {
                self.last.pop_front();
            }
        }
        is_late
    }

    /// What is wrong, as long as it is.
    pub(super) fn problem(&mut self, now: Instant) -> Option<String> {
        while self.last.front().is_some_and(|began| now.saturating_duration_since(*began) >= REMEMBERED) {
            self.last.pop_front();
        }
        (self.last.len() >= LATE_TICKS)
            .then(|| format!("ticks begin late by more than one interval ({} ms).", self.period.as_secs_f64() * 1e3))
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

    #[test]
    fn ticks_are_late_beyond_an_interval_and_more_than_once() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut ticks = LateTicks::default();
        let period = Duration::from_millis(250);
        assert!(!ticks.note(start, period, period), "an interval is no delay yet");
        assert!(
            !ticks.note(start, Duration::from_millis(50), Duration::from_millis(2)),
            "nobody sees fifty milliseconds"
        );
        assert!(ticks.note(start, 2 * period, period) && ticks.problem(start).is_none(), "one may be chance");
        assert!(ticks.note(start + second, 2 * period, period));
        let problem = ticks.problem(start + second).expect("two are none");
        assert!(problem.contains("(250 ms)"), "{problem}");
        assert_eq!(ticks.problem(start + 9 * second), Some(problem), "it says the same as long as it holds");
        assert_eq!(ticks.problem(start + REMEMBERED), None);
    }
}
