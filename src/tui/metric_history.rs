//! History of the metrics on screen: half-hourly samples of the last days for sparklines, and the full time for charts.
//!
//! Recorded from the snapshots that arrive, so that remote and local screens show the same.

use std::collections::{BTreeMap, VecDeque};

use super::metrics;
use super::time_series::TimeSeries;
use townlet_wire::Snapshot;

/// Samples kept per series: four days.
const MAX_SAMPLES: usize = 192;
/// Samples per town day.
const SAMPLES_PER_DAY: u64 = 48;

/// Named series with one value per half hour of town time.
#[derive(Clone, Debug, Default)]
pub struct MetricHistory {
    /// Name → the half hour last written, and the values.
    series: BTreeMap<String, (u64, VecDeque<f64>)>,
    full: TimeSeries,
    run: String,
    slot: u64,
    tick: u64,
}

impl MetricHistory {
    /// Records a view. The last view of a half hour wins. Another run, or an earlier tick, starts over.
    pub fn record(&mut self, view: &Snapshot) {
        if view.run_id != self.run || view.tick < self.tick {
            *self = Self { run: view.run_id.clone(), slot: u64::MAX, ..Self::default() };
        }
        let slot = view.tick * SAMPLES_PER_DAY / view.clock.ticks_per_day.max(1);
        let new_slot = slot != self.slot;
        (self.slot, self.tick) = (slot, view.tick);
        if new_slot {
            // Drops the series of residents that have left.
            self.series.retain(|_, (written, _)| slot.saturating_sub(*written) <= MAX_SAMPLES as u64);
        }
        let metrics = metrics::all(view);
        let figures = metrics.iter().map(|metric| (metric.name.as_str(), metric.value));
        self.full.record(view.tick, slot, figures);
        let employment = &view.employment;
        self.push("attendance", employment.attendance, new_slot);
        self.push("late_today", Some(employment.late_today as f64), new_slot);
        self.push("absent_7d", Some(employment.absent_7d as f64), new_slot);
        self.push("pending", Some(employment.pending_count as f64), new_slot);
        self.push("reward_total", Some(view.rewards.total), new_slot);
        for kpi in &view.kpis {
            self.push(&format!("kpi.{}", kpi.name), kpi.value, new_slot);
        }
        for check in &view.stability.checks {
            self.push(&format!("check.{}", check.name), check.value, new_slot);
        }
        for queue in &view.conflict.queues {
            self.push(&format!("waiting.{}", queue.object), Some(queue.waiting.len() as f64), new_slot);
        }
        for agent in &view.agents {
            for need in &agent.needs {
                self.push(&format!("need.{}.{}", agent.id, need.name), Some(need.value), new_slot);
            }
        }
    }

    fn push(&mut self, name: &str, value: Option<f64>, new_slot: bool) {
        let Some(value) = value else { return };
        if !self.series.contains_key(name) {
            self.series.insert(name.to_owned(), (self.slot, VecDeque::new()));
        }
        let (written, series) = self.series.get_mut(name).expect("inserted above");
        *written = self.slot;
        if !new_slot {
            series.pop_back();
        }
        series.push_back(value);
        if series.len() > MAX_SAMPLES {
            series.pop_front();
        }
    }

    /// All [`metrics`] since the screen opened.
    pub(crate) const fn full(&self) -> &TimeSeries {
        &self.full
    }

    /// The newest `most` values of a series, oldest first. Names: `attendance`, `late_today`, `absent_7d`, `pending`,
    /// `reward_total`, `kpi.<name>`, `check.<name>`, `waiting.<object>`, `need.<agent>.<need>`.
    pub fn recent(&self, name: &str, most: usize) -> Vec<f64> {
        let Some((_, series)) = self.series.get(name) else { return Vec::new() };
        series.iter().skip(series.len().saturating_sub(most)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(tick: u64, pending: u64) -> Snapshot {
        let mut view = Snapshot { tick, run_id: "r".into(), ..Snapshot::default() };
        view.clock.ticks_per_day = 480;
        view.employment.pending_count = pending;
        view
    }

    #[test]
    fn one_value_per_slot_and_an_earlier_tick_starts_over() {
        let mut history = MetricHistory::default();
        for (tick, pending) in [(0, 1), (3, 2), (10, 3), (20, 4)] {
            history.record(&view(tick, pending));
        }
        assert_eq!(history.recent("pending", 9), [2.0, 3.0, 4.0]);
        assert_eq!(history.recent("pending", 2), [3.0, 4.0]);
        history.record(&view(5, 9));
        assert_eq!(history.recent("pending", 9), [9.0]);
    }

    #[test]
    fn series_not_written_for_long_are_dropped() {
        let mut history = MetricHistory::default();
        let mut first = view(0, 1);
        first.conflict.queues.push(townlet_wire::telemetry::Queue { object: "till_1".into(), ..Default::default() });
        history.record(&first);
        history.record(&view(10 * MAX_SAMPLES as u64, 1));
        assert_eq!(history.recent("waiting.till_1", 9), [0.0]);
        history.record(&view(10 * (MAX_SAMPLES as u64 + 1), 1));
        assert!(history.recent("waiting.till_1", 9).is_empty());
    }
}
