//! Figures for Prometheus: what the service counted, and the town's own figures as the snapshot has them.
//!
//! KPIs, alerts and counters of the snapshot are rows with a name, so a new one appears here by itself.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use townlet_wire::Snapshot;

/// The type of the text.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The one counter of the snapshot that is a maximum.
const PEAK: &str = "exit_queue_peak";

/// Label and value.
type Label = [(&'static str, String); 1];
/// A whole number that goes up and down.
pub(super) type Level = Gauge;
type Real = Gauge<f64, AtomicU64>;

/// What the service has counted since it began.
#[derive(Debug, Default)]
pub(super) struct RequestCounts {
    answered: Family<[(&'static str, String); 2], Counter>,
    refused: Family<Label, Counter>,
    /// Subscribers now.
    pub(super) subscribers: Level,
}

impl RequestCounts {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A request was answered.
    pub(super) fn answered(&self, path: &'static str, status: u16) {
        self.answered.get_or_create(&[("path", path.to_owned()), ("status", status.to_string())]).inc();
    }

    /// Somebody was turned away at the door: `connections`, `handshake`, `token`.
    pub(super) fn refused(&self, why: &'static str) {
        self.refused.get_or_create(&[("why", why.to_owned())]).inc();
    }
}

/// Everything as text.
pub(super) fn text(counts: &RequestCounts, view: &Snapshot) -> String {
    let labels = [("shard", &view.shard), ("config_id", &view.config_id)];
    let labels = labels.map(|(name, value)| (name.into(), value.clone().into()));
    let mut registry = Registry::with_prefix_and_labels("townlet", labels.into_iter());
    registry.register("http_requests", "Requests answered", counts.answered.clone());
    registry.register("http_refused", "Turned away at the door", counts.refused.clone());
    registry.register("stream_subscribers", "Subscribers of the stream now", counts.subscribers.clone());
    let peak = view.counters.get(PEAK).copied().unwrap_or_default();
    let mut whole = |name: &str, help: &str, value: u64| {
        let gauge = Level::default();
        gauge.set(value as i64);
        registry.register(name, help, gauge);
    };
    whole("tick", "Tick of the town", view.tick);
    whole("residents", "Residents", view.agents.len() as u64);
    whole("uptime_seconds", "Since this process took the town up", view.health.uptime_seconds);
    whole("audit_writable", "1 while the audit log can be written", u64::from(view.health.audit_ok));
    whole("employment_pending", "Residents in the exit queue", view.employment.pending_count);
    whole("employment_exits_today", "Exits today", view.employment.exits_today);
    whole("employment_queue_limit", "Limit of the exit queue", view.employment.queue_limit);
    whole("telemetry_queue_length", "Messages waiting to leave", view.transport.queue_length);
    whole("stability_streak", "Green windows in a row", view.stability.streak);
    whole("exit_queue_peak", "Longest exit queue since this process took the town up", peak);
    let mut grown = |name: &str, help: &str, value: u64| {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        registry.register(name, help, counter);
    };
    grown("telemetry_dropped", "Messages that were never sent", view.transport.dropped);
    grown("reward_clip_events", "Rewards clipped since the town began", view.rewards.reward_clip_events);
    grown("ghost_steps", "Ghost steps since the town began", view.conflict.ghost_steps);
    let rate = Real::default();
    rate.set(view.clock.ticks_per_second);
    registry.register("ticks_per_second", "Measured over the last second", rate);
    gauge_family(&mut registry, "kpi", "name", "A KPI; without enough data it is not there", {
        view.kpis.iter().filter_map(|kpi| Some((kpi.name.clone(), kpi.value?)))
    });
    counter_family(&mut registry, "events", "event", "How often it happened since this process took the town up", {
        view.counters.iter().filter(|(name, _)| *name != PEAK)
    });
    gauge_family(&mut registry, "alert", "name", "1 while the alert stands", {
        view.alerts.iter().map(|alert| (alert.name.clone(), 1.0))
    });
    counter_family(
        &mut registry,
        "alerts_raised",
        "name",
        "How often it was raised since this process took the town up",
        { view.alerts_raised.iter() },
    );
    gauge_family(&mut registry, "price_meals", "item", "Price in meals", {
        view.prices.iter().map(|(item, price)| (item.clone(), *price))
    });
    let mut text = String::new();
    // Writing into a text cannot fail.
    let _ = encode(&mut text, &registry);
    text
}

fn gauge_family(
    registry: &mut Registry,
    name: &str,
    label: &'static str,
    help: &str,
    rows: impl Iterator<Item = (String, f64)>,
) {
    let family = Family::<Label, Real>::default();
    for (row, value) in rows {
        family.get_or_create(&[(label, row)]).set(value);
    }
    registry.register(name, help, family);
}

/// The same of counts that only grow.
fn counter_family<'a>(
    registry: &mut Registry,
    name: &str,
    label: &'static str,
    help: &str,
    rows: impl Iterator<Item = (&'a String, &'a u64)>,
) {
    let family = Family::<Label, Counter>::default();
    for (row, count) in rows {
        family.get_or_create(&[(label, row.clone())]).inc_by(*count);
    }
    registry.register(name, help, family);
}
