//! Figures over the whole time they were watched, in bounded room: when it is full, every second point goes and points
//! are taken half as often from then on. The newest is always there.
//!
//! Knows names and numbers, not what they mean.

use std::collections::BTreeMap;

/// Points keep at most; half of that at least, once there were as many.
const MAX_POINTS: usize = 512;
/// Names keep at most: a shard that makes up names must not fill the memory of whoever watches it.
const MAX_NAMES: usize = 1_024;

/// Points of all figures, taken at the same ticks.
#[derive(Clone, Debug, Default)]
pub struct TimeSeries {
    /// Slots from one point to the next; 0 before the first.
    stride: u64,
    /// The slot of the newest point, counted in strides.
    at: u64,
    ticks: Vec<u64>,
    /// A value a tick; not a number where it was not known.
    values: BTreeMap<String, Vec<f64>>,
}

impl TimeSeries {
    /// Takes the figures of a tick, in place of the newest point when that is of the same stretch of slots.
    pub fn record<'a>(&mut self, tick: u64, slot: u64, figures: impl Iterator<Item = (&'a str, Option<f64>)>) {
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

    /// (tick, value), oldest first, where the value was known.
    pub fn points(&self, name: &str) -> Vec<(f64, f64)> {
        let Some(values) = self.values.get(name) else { return Vec::new() };
        let known = self.ticks.iter().zip(values).filter(|(_, value)| value.is_finite());
        known.map(|(tick, value)| (*tick as f64, *value)).collect()
    }

    /// How much a figure that only grows grew, a stretch of `per` ticks, from point to point. What fell began anew.
    pub fn rate(&self, name: &str, per: u64) -> Vec<(f64, f64)> {
        let points = self.points(name);
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
    fn room_is_bounded_the_whole_time_is_kept_and_the_newest_is_there() {
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
    fn one_stretch_leaves_one_point_and_what_came_later_has_no_past() {
        let mut timeline = recorded(7);
        timeline.record(69, 6, [("a", Some(9.0))].into_iter());
        assert_eq!(timeline.points("a").last(), Some(&(69.0, 9.0)));
        assert_eq!(timeline.points("a").len(), 7);
        assert_eq!(timeline.points("b").len(), 1);
        assert!(timeline.points("c").is_empty());
    }

    #[test]
    fn rates_are_a_day_and_a_new_beginning_is_no_fall() {
        let mut timeline = TimeSeries::default();
        for (slot, total) in [(0, 0.0), (1, 5.0), (2, 2.0)] {
            timeline.record(slot * 100, slot, [("n", Some(total))].into_iter());
        }
        assert_eq!(timeline.rate("n", 1_000), [(100.0, 50.0), (200.0, 0.0)]);
    }

    #[test]
    fn names_without_end_do_not_fill_the_memory() {
        let mut timeline = TimeSeries::default();
        for number in 0..3_000_u64 {
            let name = format!("n{number}");
            timeline.record(number, number, [(name.as_str(), Some(1.0))].into_iter());
        }
        assert!(timeline.values.len() <= MAX_NAMES);
    }
}
