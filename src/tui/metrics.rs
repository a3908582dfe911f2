//! The metrics of a snapshot: what the Metrics screen lists and the history records. Rule: "Screens".

use std::collections::BTreeMap;

use super::format::{natural_order, thousands};
use super::screens::learning::training_metrics::{TRAINING_METRICS, TrainingMetric};
use townlet_wire::Snapshot;

/// Objects that have a metric each. Those of a larger town have one for each kind.
pub(crate) const MANY_OBJECTS: usize = 256;

/// One metric with its current value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Metric {
    /// Unique name: `kpi.tenure`.
    pub(crate) name: String,
    /// Group, the first part of the name.
    pub(crate) group: &'static str,
    pub(crate) title: String,
    /// Unit as [`super::format::figure`] expects it.
    pub(crate) unit: String,
    /// Whether it is a counter, which is shown as a rate.
    pub(crate) counts: bool,
    /// Current value, if known.
    pub(crate) value: Option<f64>,
    /// Target as a number and as text.
    pub(crate) target: Option<(f64, String)>,
    /// Verdict as [`super::theme::Theme::verdict`] expects it; empty without a target.
    pub(crate) verdict: String,
}

impl Metric {
    fn new(group: &'static str, name: &str, title: &str, unit: &str, value: Option<f64>) -> Self {
        Self {
            name: format!("{group}.{name}"),
            group,
            title: title.replace('_', " "),
            unit: unit.to_owned(),
            counts: false,
            value: value.filter(|value| value.is_finite()),
            target: None,
            verdict: String::new(),
        }
    }

    fn count(group: &'static str, name: &str, title: &str, total: u64) -> Self {
        Self { counts: true, ..Self::new(group, name, title, "count", Some(total as f64)) }
    }

    fn level(group: &'static str, name: &str, title: &str, unit: &str, value: u64) -> Self {
        Self::new(group, name, title, unit, Some(value as f64))
    }

    fn bound(self, bound: Option<f64>, text: &str, verdict: &str) -> Self {
        Self { target: bound.map(|bound| (bound, text.to_owned())), verdict: verdict.to_owned(), ..self }
    }

    /// Sets a maximum as the target.
    fn at_most(self, limit: u64) -> Self {
        let verdict = if self.value.is_some_and(|value| value > limit as f64) { "missed" } else { "met" };
        self.bound(Some(limit as f64), &format!("≤ {}", thousands(limit)), verdict)
    }
}

pub(crate) fn all(view: &Snapshot) -> Vec<Metric> {
    let mut metrics = Vec::new();
    town(view, &mut metrics);
    economy(view, &mut metrics);
    shard(view, &mut metrics);
    if !view.learning.history.is_empty() {
        let value = |metric: &TrainingMetric| metric.newest(&view.learning);
        metrics.extend(
            TRAINING_METRICS
                .iter()
                .map(|metric| Metric::new("training", metric.name, metric.title, metric.unit, value(metric))),
        );
    }
    metrics
}

/// KPIs, stability, employment and queues.
fn town(view: &Snapshot, into: &mut Vec<Metric>) {
    into.extend(view.kpis.iter().map(|kpi| {
        let metric = Metric::new("kpi", &kpi.name, &kpi.title, &kpi.unit, kpi.value);
        metric.bound(kpi.threshold, &kpi.target, &kpi.verdict)
    }));
    into.extend(view.stability.checks.iter().map(|check| {
        let unit = if check.unit == "variance" { "" } else { &check.unit };
        let metric = Metric::new("stability", &check.name, &check.name, unit, check.value);
        metric.bound(Some(check.threshold), &check.limit, &check.verdict)
    }));
    let streak = Metric::new("stability", "streak", "green streak", "count", Some(view.stability.streak as f64));
    into.push(streak);
    let employment = &view.employment;
    let level = |name: &str, title: &str, value: u64| Metric::level("employment", name, title, "count", value);
    into.extend([
        level("pending", "exit queue", employment.pending_count).at_most(employment.queue_limit),
        level("exits_today", "exits today", employment.exits_today).at_most(employment.daily_exit_cap),
        Metric::new("employment", "attendance", "attendance now", "ratio", employment.attendance),
        level("late_today", "late today", employment.late_today),
        level("absent_7d", "absent in 7 days", employment.absent_7d),
        level("residents", "residents", view.agents.len() as u64),
    ]);
    let queues = &view.conflict.queues;
    let waiting = queues.iter().map(|queue| queue.waiting.len() as u64).sum();
    let longest = queues.iter().map(|queue| queue.longest_wait).max().unwrap_or(0);
    into.extend([
        Metric::level("queues", "waiting", "waiting, all", "count", waiting),
        Metric::level("queues", "longest", "longest wait", "ticks", longest),
        Metric::count("queues", "ghost_steps", "ghost steps", view.conflict.ghost_steps),
        Metric::count("queues", "blocked_steps", "blocked steps", view.conflict.blocked_steps),
    ]);
    let each = queues.iter().map(|queue| (queue.object.as_str(), queue.kind.as_str(), queue.waiting.len() as u64));
    into.extend(objects(queues.len(), each).into_iter().map(|(object, waiting)| {
        Metric::level("queues", &format!("waiting.{object}"), &format!("waiting, {object}"), "count", waiting)
    }));
}

/// A number for each object; in a large town their sums by kind, as (object or kind, number).
fn objects<'a>(count: usize, each: impl Iterator<Item = (&'a str, &'a str, u64)>) -> Vec<(&'a str, u64)> {
    if count <= MANY_OBJECTS {
        return each.map(|(object, _, number)| (object, number)).collect();
    }
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, kind, number) in each {
        *kinds.entry(kind).or_default() += number;
    }
    kinds.into_iter().collect()
}

/// Rewards, prices and stock.
fn economy(view: &Snapshot, into: &mut Vec<Metric>) {
    let rewards = &view.rewards;
    into.push(Metric::new("rewards", "total", "reward, all items", "", Some(rewards.total)));
    let items = rewards.breakdown.iter();
    into.extend(items.map(|(item, sum)| Metric::new("rewards", item, item, "", Some(*sum))));
    into.push(Metric::count("rewards", "reward_clip_events", "reward_clip_events", rewards.reward_clip_events));
    into.extend(view.prices.iter().map(|(item, price)| {
        let metric = Metric::new("economy", &format!("price.{item}"), &format!("price, {item}"), "meals", Some(*price));
        let list = view.list_prices.get(item).copied();
        metric.bound(list, &list.map_or_else(String::new, |list| format!("list {list:.2}")), "")
    }));
    let each =
        view.economy.iter().map(|(object, store)| (object.as_str(), store.kind.as_str(), store.stock.values().sum()));
    let mut stores = objects(view.economy.len(), each);
    stores.sort_by(|one, other| natural_order(one.0, other.0));
    into.extend(stores.into_iter().map(|(object, stock)| {
        Metric::level("economy", &format!("stock.{object}"), &format!("stock, {object}"), "count", stock)
    }));
}

/// Counters, alerts, transport and health.
fn shard(view: &Snapshot, into: &mut Vec<Metric>) {
    into.extend(view.counters.iter().map(|(event, times)| {
        let metric = Metric::count("counters", event, event, *times);
        // The only gauge among the counters.
        Metric { counts: event != "exit_queue_peak", ..metric }
    }));
    let standing = view.alerts.len() as f64;
    into.push(Metric::new("alerts", "standing", "active alerts", "count", Some(standing)));
    let raised = view.alerts_raised.iter();
    into.extend(raised.map(|(alert, times)| Metric::count("alerts", alert, alert, *times)));
    let transport = &view.transport;
    into.extend([
        Metric::level("transport", "queue_length", "messages queued", "count", transport.queue_length),
        Metric::count("transport", "dropped", "messages dropped", transport.dropped),
        Metric::level("transport", "subscribers", "subscribers", "count", transport.subscribers),
        Metric::level("transport", "behind", "subscribers behind", "count", transport.behind),
        Metric::count("transport", "resynced", "subscribers resynced", transport.resynced),
        Metric::count("transport", "disconnected", "subscribers disconnected", transport.disconnected),
        Metric::new("health", "ticks_per_second", "speed", "ticks/s", Some(view.clock.ticks_per_second)),
        Metric::level("health", "uptime", "uptime", "s", view.health.uptime_seconds),
        Metric::level(
            "health",
            "journal_lag",
            "journal lag",
            "ticks",
            view.tick.saturating_sub(view.health.journal_tick),
        ),
        Metric::level("health", "problems", "problems", "count", view.health.problems.len() as u64),
        Metric::level("health", "audit_seq", "audit log lines", "count", view.audit.seq),
    ]);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::fixtures;
    use townlet_wire::telemetry::{Queue, QueueWaiter, Store};

    #[test]
    fn every_block_of_a_snapshot_has_uniquely_named_metrics() {
        let metrics = all(&fixtures::snapshot());
        let names: BTreeSet<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
        assert_eq!(names.len(), metrics.len());
        let titles: BTreeSet<(&str, &str)> =
            metrics.iter().map(|metric| (metric.group, metric.title.as_str())).collect();
        assert_eq!(titles.len(), metrics.len(), "two metrics of a group have one title");
        let mut groups: Vec<&str> = metrics.iter().map(|metric| metric.group).collect();
        groups.dedup();
        let order = "kpi stability employment queues rewards economy counters alerts transport health training";
        assert_eq!(groups.join(" "), order);
        for name in [
            "kpi.tenure",
            "stability.lateness",
            "employment.pending",
            "queues.waiting.shower_1",
            "rewards.wages",
            "rewards.reward_clip_events",
            "economy.price.meal",
            "economy.stock.till_1",
            "counters.employment_exit_pending",
            "alerts.exit_queue_overflow",
            "transport.dropped",
            "health.ticks_per_second",
            "training.town_score",
        ] {
            assert!(names.contains(name), "{name}");
        }
        let of = |name: &str| metrics.iter().find(|metric| metric.name == name).unwrap();
        assert_eq!(of("kpi.tenure").target, Some((3.0, "≥ 3 days".into())));
        assert_eq!((of("employment.pending").verdict.as_str(), of("queues.ghost_steps").counts), ("met", true));
        assert_eq!(of("kpi.relationship_coverage").value, None);
    }

    #[test]
    fn a_large_town_has_a_metric_for_each_kind_of_object() {
        let mut view = fixtures::snapshot();
        let queue = |number: usize| Queue {
            object: format!("bed_{number}"),
            kind: if number.is_multiple_of(2) { "bed" } else { "desk" }.into(),
            waiting: vec![QueueWaiter::default(); number % 3],
            ..Queue::default()
        };
        view.conflict.queues = (0..MANY_OBJECTS).map(queue).collect();
        view.economy = view.conflict.queues.iter().map(|queue| (queue.object.clone(), Store::default())).collect();
        let of = |view: &Snapshot, group: &str| {
            let metrics = all(view).into_iter().filter(|metric| metric.name.starts_with(group));
            metrics.map(|metric| (metric.name, metric.value)).collect::<Vec<_>>()
        };
        assert_eq!(of(&view, "queues.waiting.").len(), MANY_OBJECTS);
        assert_eq!(of(&view, "economy.stock.").len(), MANY_OBJECTS);
        view.conflict.queues.push(queue(MANY_OBJECTS));
        let store = |kind: &str, meals| Store {
            kind: kind.into(),
            stock: [("meals".to_owned(), meals)].into(),
            ..Store::default()
        };
        view.economy.values_mut().for_each(|empty| *empty = store("fridge", 2));
        view.economy.insert("till_1".into(), store("till", 5));
        let sums = |kind: &str| {
            view.conflict.queues.iter().filter(|it| it.kind == kind).map(|it| it.waiting.len()).sum::<usize>() as f64
        };
        let expected = ["bed", "desk"].map(|kind| (format!("queues.waiting.{kind}"), Some(sums(kind))));
        assert_eq!(of(&view, "queues.waiting."), expected);
        let stock = [("fridge", 2.0 * MANY_OBJECTS as f64), ("till", 5.0)];
        assert_eq!(of(&view, "economy.stock."), stock.map(|(kind, sum)| (format!("economy.stock.{kind}"), Some(sum))));
    }
}
