//! Time series of bounded size. When it is full, every second point is dropped and the sampling interval doubles. The
//! newest point is always kept.

use std::collections::BTreeMap;

/// Maximum number of points. Once reached, at least half of them remain.
const MAX_POINTS: usize = 512;
/// Maximum number of names: a shard that invents names must not fill the memory of its observers.
const MAX_NAMES: usize = 1_024;

/// Values of all metrics, sampled at the same ticks.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimeSeries {
    /// Slots between two points; 0 before the first point.
    stride: u64,
    /// Slot of the newest point, in strides.
    at: u64,
    ticks: Vec<u64>,
    /// One value per tick; NaN where it was unknown.
    values: BTreeMap<String, Vec<f64>>,
}

/// The time of a series: its oldest and newest tick, and the usual step between two of its points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TimeSpan {
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// More than 0.
    pub(crate) step: f64,
}

impl TimeSeries {
    /// The time of all series together; `None` before the first point.
    pub(crate) fn span(&self) -> Option<TimeSpan> {
        let (from, to) = (*self.ticks.first()? as f64, *self.ticks.last()? as f64);
        let mut steps: Vec<u64> = self.ticks.windows(2).map(|pair| pair[1] - pair[0]).collect();
        steps.sort_unstable();
        let step = steps.get(steps.len() / 2).map_or(1.0, |step| (*step).max(1) as f64);
        Some(TimeSpan { from, to, step })
    }

    /// Records the values of a tick. Replaces the newest point if that lies in the same stride.
    pub(crate) fn record<'a>(&mut self, tick: u64, slot: u64, figures: impl Iterator<Item = (&'a str, Option<f64>)>) {
        self.stride = self.stride.max(1);
        let at = slot / self.stride;
        if self.ticks.is_empty() || at != self.at {
            self.ticks.push(tick);
            for values in self.values.values_mut() {
                values.push(f64::NAN);
            }
        }
        self.at = at;
        let (last, room) = (self.ticks.len() - 1, MAX_NAMES);
        self.ticks[last] = tick;
        for (name, value) in figures {
            if let Some(values) = self.values.get_mut(name) {
                values[last] = value.unwrap_or(f64::NAN);
            } else if self.values.len() < room {
                let mut values = vec![f64::NAN; last + 1];
                values[last] = value.unwrap_or(f64::NAN);
                self.values.insert(name.to_owned(), values);
            }
        }
        if self.ticks.len() > MAX_POINTS {
            self.downsample();
        }
    }

    /// Removes the points from a tick on.
    pub(crate) fn truncate(&mut self, tick: u64) {
        let kept = self.ticks.partition_point(|known| *known < tick);
        self.ticks.truncate(kept);
        self.values.retain(|_, values| {
            values.truncate(kept);
            values.iter().any(|value| value.is_finite())
        });
        // The next point begins a stride.
        self.at = u64::MAX;
    }

    fn downsample(&mut self) {
        let last = self.ticks.len() - 1;
        let keep = |index: usize| (last - index).is_multiple_of(2);
        let mut index = 0..;
        self.ticks.retain(|_| index.next().is_some_and(keep));
        self.values.retain(|_, values| {
            let mut index = 0..;
            values.retain(|_| index.next().is_some_and(keep));
            values.iter().any(|value| value.is_finite())
        });
        self.at /= 2;
        self.stride *= 2;
    }

    /// The known values as (tick, value), oldest first.
    pub(crate) fn points(&self, name: &str) -> Vec<(f64, f64)> {
        let Some(values) = self.values.get(name) else { return Vec::new() };
        let known = self.ticks.iter().zip(values).filter(|(_, value)| value.is_finite());
        known.map(|(tick, value)| (*tick as f64, *value)).collect()
    }

    /// Increase of a counter between consecutive points, per `per` ticks. A decrease counts as a reset. A counter begins at 0 before
    /// the first point at which it is known, because shards do not send counters of 0.
    pub(crate) fn rate(&self, name: &str, per: u64) -> Vec<(f64, f64)> {
        let mut points = self.points(name);
        let before = points.first().map_or(0, |first| self.ticks.partition_point(|tick| (*tick as f64) < first.0));
        if let Some(tick) = self.ticks.get(before.wrapping_sub(1)) {
            points.insert(0, (*tick as f64, 0.0));
        }
        let growth = |pair: &[(f64, f64)]| {
            let (ticks, more) = (pair[1].0 - pair[0].0, pair[1].1 - pair[0].1);
            (pair[1].0, more.max(0.0) * per as f64 / ticks.max(1.0))
        };
        points.windows(2).map(growth).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(slots: u64) -> TimeSeries {
        let mut timeline = TimeSeries::default();
        for slot in 0..slots {
            timeline.record(slot * 10, slot, [("a", Some(slot as f64)), ("b", (slot > 5).then_some(1.0))].into_iter());
        }
        timeline
    }

    #[test]
    fn size_is_bounded_and_the_oldest_and_newest_points_are_kept() {
        for slots in [1, 2, 511, 512, 513, 514, 1_000, 5_000, 20_001] {
            let timeline = recorded(slots);
            let points = timeline.points("a");
            assert!(
                points.len() <= MAX_POINTS && points.len() as u64 >= slots.min(MAX_POINTS as u64 / 2),
                "{slots}: {}",
                points.len()
            );
            assert!(points.is_sorted_by(|one, other| one.0 < other.0));
            assert_eq!(points.last().copied(), Some(((slots - 1) as f64 * 10.0, (slots - 1) as f64)));
            assert!(points[0].0 <= timeline.stride as f64 * 10.0, "{slots}: it begins at {}", points[0].0);
        }
    }

    #[test]
    fn one_stride_has_one_point_and_new_names_start_late() {
        let mut timeline = recorded(7);
        timeline.record(69, 6, [("a", Some(9.0))].into_iter());
        assert_eq!(timeline.points("a").last(), Some(&(69.0, 9.0)));
        assert_eq!(timeline.points("a").len(), 7);
        assert_eq!(timeline.points("b").len(), 1);
        assert!(timeline.points("c").is_empty());
    }

    #[test]
    fn what_comes_after_a_tick_is_removed_and_the_series_goes_on() {
        let mut timeline = recorded(600);
        timeline.truncate(40);
        assert!(timeline.points("a").iter().all(|point| point.0 < 40.0) && !timeline.points("a").is_empty());
        assert!(timeline.points("b").is_empty() && !timeline.values.contains_key("b"));
        timeline.record(45, 4, [("a", Some(7.0)), ("b", Some(1.0))].into_iter());
        assert_eq!(timeline.points("a").last(), Some(&(45.0, 7.0)));
        assert_eq!(timeline.points("b"), [(45.0, 1.0)]);
    }

    #[test]
    fn rates_ignore_counter_resets() {
        let mut timeline = TimeSeries::default();
        for (slot, total) in [(0, 0.0), (1, 5.0), (2, 2.0)] {
            timeline.record(slot * 100, slot, [("n", Some(total))].into_iter());
        }
        assert_eq!(timeline.rate("n", 1_000), [(100.0, 50.0), (200.0, 0.0)]);
        timeline.record(300, 3, [("n", Some(2.0)), ("late", Some(4.0))].into_iter());
        assert_eq!(timeline.rate("late", 1_000), [(300.0, 40.0)], "a counter that appears was 0 before");
    }

    #[test]
    fn the_number_of_names_is_bounded() {
        let mut timeline = TimeSeries::default();
        for number in 0..3_000_u64 {
            let name = format!("n{number}");
            timeline.record(number, number, [(name.as_str(), Some(1.0))].into_iter());
        }
        assert!(timeline.values.len() <= MAX_NAMES);
    }
}
