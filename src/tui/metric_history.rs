//! History of the metrics on screen: half-hourly samples of the last days for sparklines, and the full time for charts.
//!
//! Recorded from the snapshots that arrive, so that remote and local screens show the same.

use std::collections::{BTreeMap, VecDeque};

use super::indexed_snapshot::IndexedSnapshot;
use super::level_history::LevelHistory;
use super::time_series::TimeSeries;
use townlet_wire::telemetry::Agent;

/// Samples kept per series: four days.
const MAX_SAMPLES: usize = 192;
/// Samples kept of each queue: half a day, more than its column shows.
const QUEUE_SAMPLES: usize = 24;
/// Samples per town day.
const SAMPLES_PER_DAY: u64 = 48;

/// Named series with one value per half hour of town time in which a view came.
#[derive(Clone, Debug)]
pub struct MetricHistory {
    /// Name → half hours and values, oldest first.
    series: BTreeMap<String, VecDeque<(u64, f64)>>,
    full: TimeSeries,
    needs: LevelHistory,
    queues: LevelHistory,
    run: String,
    slot: u64,
    tick: u64,
}

impl Default for MetricHistory {
    fn default() -> Self {
        Self {
            series: BTreeMap::new(),
            full: TimeSeries::default(),
            needs: LevelHistory::of(MAX_SAMPLES),
            queues: LevelHistory::of(QUEUE_SAMPLES),
            run: String::new(),
            slot: u64::MAX,
            tick: 0,
        }
    }
}

impl MetricHistory {
    /// Records a view. The last view of a half hour wins. Another run starts over. With an earlier tick, what was known from then on is
    /// forgotten.
    pub fn record(&mut self, view: &IndexedSnapshot) {
        if view.run_id != self.run {
            *self = Self { run: view.run_id.clone(), ..Self::default() };
        }
        let slot = view.tick * SAMPLES_PER_DAY / view.clock.ticks_per_day.max(1);
        if view.tick < self.tick {
            self.truncate(view.tick, slot);
        }
        if slot != self.slot {
            let is_new = |newest: &(u64, f64)| slot.saturating_sub(newest.0) <= MAX_SAMPLES as u64;
            self.series.retain(|_, series| series.back().is_some_and(is_new));
        }
        (self.slot, self.tick) = (slot, view.tick);
        let figures = view.metrics().iter().map(|metric| (metric.name.as_str(), metric.value));
        self.full.record(view.tick, slot, figures);
        let employment = &view.employment;
        self.push("attendance", employment.attendance);
        self.push("late_today", Some(employment.late_today as f64));
        for kpi in &view.kpis {
            self.push(&format!("kpi.{}", kpi.name), kpi.value);
        }
        self.needs.record(slot, view.need_levels());
        self.queues.record(slot, view.queue_lengths());
    }

    /// The history as it was at a view of the past.
    pub(crate) fn until(&self, view: &IndexedSnapshot) -> Self {
        let mut past = self.clone();
        past.record(view);
        past
    }

    /// Forgets everything from a tick on, and from its half hour on what has one value for each.
    fn truncate(&mut self, tick: u64, slot: u64) {
        for series in self.series.values_mut() {
            series.retain(|(known, _)| *known < slot);
        }
        self.full.truncate(tick);
        self.needs.truncate(slot);
        self.queues.truncate(slot);
        self.slot = u64::MAX;
    }

    fn push(&mut self, name: &str, value: Option<f64>) {
        let Some(value) = value else { return };
        if !self.series.contains_key(name) {
            self.series.insert(name.to_owned(), VecDeque::new());
        }
        let series = self.series.get_mut(name).expect("inserted above");
        if series.back().is_some_and(|newest| newest.0 == self.slot) {
            series.pop_back();
        }
        series.push_back((self.slot, value));
        if series.len() > MAX_SAMPLES {
            series.pop_front();
        }
    }

    /// All metrics of a snapshot since the screen opened.
    pub(crate) const fn full(&self) -> &TimeSeries {
        &self.full
    }

    /// The values of a series in the newest `most` half hours, oldest first; NaN where none was seen. Names: `attendance`,
    /// `late_today`, `kpi.<name>`.
    pub fn recent(&self, name: &str, most: usize) -> Vec<f64> {
        self.by_half_hour(self.series.get(name).into_iter().flatten().copied(), most)
    }

    /// The levels of a resident's need in the newest `most` half hours, oldest first; NaN where none was seen.
    pub(crate) fn need(&self, agent: &Agent, need: &str, most: usize) -> Vec<f64> {
        self.by_half_hour(self.needs.need(agent, need).into_iter(), most)
    }

    /// The kept levels of a resident's need with their half hours, oldest first.
    pub(crate) fn need_samples(&self, agent: &Agent, need: &str) -> Vec<(f64, f64)> {
        self.needs.need(agent, need).into_iter().map(|(slot, level)| (slot as f64, level)).collect()
    }

    /// The numbers of those who waited at an object in the newest `most` half hours, oldest first; NaN where none was seen.
    pub(crate) fn waiting(&self, object: &str, most: usize) -> Vec<f64> {
        self.by_half_hour(self.queues.waiting(object).into_iter(), most)
    }

    /// The samples of the newest `most` half hours, each in its place.
    fn by_half_hour(&self, samples: impl Iterator<Item = (u64, f64)>, most: usize) -> Vec<f64> {
        let shown: Vec<(u64, f64)> = samples.filter(|(slot, _)| self.slot - slot < most as u64).collect();
        let Some((first, _)) = shown.first() else { return Vec::new() };
        let mut values = vec![f64::NAN; (self.slot - first) as usize + 1];
        for (slot, value) in &shown {
            values[(slot - first) as usize] = *value;
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use townlet_wire::Snapshot;
    use townlet_wire::telemetry::{Kpi, Need, Queue};

    fn view(tick: u64, late: u64) -> IndexedSnapshot {
        let mut view = Snapshot { tick, run_id: "r".into(), ..Snapshot::default() };
        view.clock.ticks_per_day = 480;
        view.employment.late_today = late;
        view.into()
    }

    #[test]
    fn one_value_per_slot_and_an_earlier_tick_forgets_what_came_after() {
        let mut history = MetricHistory::default();
        for (tick, late) in [(0, 1), (3, 2), (10, 3), (20, 4)] {
            history.record(&view(tick, late));
        }
        assert_eq!(history.recent("late_today", 9), [2.0, 3.0, 4.0]);
        assert_eq!(history.recent("late_today", 2), [3.0, 4.0]);
        let past = history.until(&view(15, 7));
        assert_eq!(past.recent("late_today", 9), [2.0, 7.0], "no value of the future");
        assert_eq!(past.full().points("employment.late_today"), [(3.0, 2.0), (10.0, 3.0), (15.0, 7.0)]);
        assert_eq!(history.recent("late_today", 9), [2.0, 3.0, 4.0]);
        history.record(&view(5, 9));
        assert_eq!(history.recent("late_today", 9), [9.0]);
        history.record(&view(12, 1));
        assert_eq!(history.recent("late_today", 9), [9.0, 1.0]);
    }

    #[test]
    fn a_value_that_comes_later_in_a_slot_replaces_none_before() {
        let mut history = MetricHistory::default();
        for (tick, attendance) in [(0, Some(0.5)), (10, None), (13, Some(0.25)), (16, Some(0.75)), (20, None)] {
            let mut view = view(tick, 0);
            view.employment.attendance = attendance;
            history.record(&view);
        }
        history.record(&view(23, 0));
        let spark = |most| crate::format::spark(&history.recent("attendance", most), most);
        assert_eq!([spark(9), spark(2), spark(1)], ["▁█ ", "▄ ", ""], "unknown in the newest half hour");
    }

    #[test]
    fn a_value_stays_in_its_half_hour_when_others_were_not_seen() {
        let mut history = MetricHistory::default();
        let ada = Agent { id: "ada".into(), ..Agent::default() };
        let seen = |tick, late: u64| {
            let mut view = view(tick, late);
            let needs = vec![Need { name: "hunger".into(), value: late as f64, critical: 0.1 }];
            view.agents.push(Agent { needs, ..ada.clone() });
            view
        };
        for (tick, late) in [(0, 1), (10, 2), (45, 3)] {
            history.record(&seen(tick, late));
        }
        let spark = |values: Vec<f64>| crate::format::spark(&values, 9);
        let late = |most| spark(history.recent("late_today", most));
        assert_eq!([late(9), late(4), late(1)], ["▁▅  █", "▁  █", "▄"]);
        assert_eq!(spark(history.need(&ada, "hunger", 9)), "▁▅  █");
        assert_eq!(history.need_samples(&ada, "hunger"), [(0.0, 1.0), (1.0, 2.0), (4.0, 3.0)]);
        // A screen that sees a town run through many days has the newest column and keeps the samples.
        for day in 1..200 {
            history.record(&seen(day * 480, day));
        }
        assert_eq!(history.recent("late_today", 9), [199.0]);
        assert_eq!(history.need_samples(&ada, "hunger").len(), MAX_SAMPLES);
    }

    #[test]
    fn needs_and_queues_have_one_value_per_slot() {
        let mut history = MetricHistory::default();
        let ada = Agent { id: "ada".into(), ..Agent::default() };
        for (tick, level) in [(0, 0.5), (3, 0.25), (10, 0.75)] {
            let mut view = view(tick, 0);
            let needs = vec![Need { name: "hunger".into(), value: level, critical: 0.1 }];
            view.agents.push(Agent { needs, ..ada.clone() });
            view.conflict.queues.push(Queue { object: "till_1".into(), ..Queue::default() });
            history.record(&view);
        }
        assert_eq!(history.need(&ada, "hunger", 9), [0.25, 0.75]);
        assert_eq!(history.waiting("till_1", 9), [0.0, 0.0]);
    }

    #[test]
    fn series_not_written_for_long_are_dropped() {
        let mut history = MetricHistory::default();
        let first = view(0, 1);
        let mut with_kpi = Snapshot::clone(&first);
        with_kpi.kpis.push(Kpi { name: "tenure".into(), value: Some(1.0), ..Kpi::default() });
        history.record(&with_kpi.into());
        history.record(&view(10 * MAX_SAMPLES as u64, 1));
        assert_eq!(history.recent("kpi.tenure", usize::MAX)[0].to_bits(), 1.0_f64.to_bits());
        history.record(&view(10 * (MAX_SAMPLES as u64 + 1), 1));
        assert!(history.recent("kpi.tenure", usize::MAX).is_empty());
    }
}
