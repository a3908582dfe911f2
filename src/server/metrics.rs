//! Prometheus metrics of the service and of the town, in the text format 0.0.4 or as `OpenMetrics`.
//!
//! KPIs, alerts and counters are named rows of the snapshot, so a new one appears here without a change.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use townlet_shard::Level;
use townlet_wire::Snapshot;

/// Media types of the two formats, the default first.
pub(super) const MEDIA_TYPES: [&str; 2] = ["text/plain", OPEN_METRICS];
const OPEN_METRICS: &str = "application/openmetrics-text";

/// The only counter of the snapshot that is a maximum.
const PEAK: &str = "exit_queue_peak";

type Label = [(&'static str, String); 1];
type Real = Gauge<f64, AtomicU64>;

/// Counts of requests and subscribers since the service started.
#[derive(Debug, Default)]
pub(super) struct RequestCounts {
    answered: Family<[(&'static str, String); 2], Counter>,
    refused: Family<[(&'static str, &'static str); 2], Counter>,
    /// Current subscribers of the stream.
    pub(super) subscribers: Gauge,
}

impl RequestCounts {
    pub(super) fn answered(&self, path: &'static str, status: u16) {
        self.answered.get_or_create(&[("path", path.to_owned()), ("status", status.to_string())]).inc();
    }

    /// Counts a refusal of a level: `address`, `connections`, `disk`, `evicted`, `handshake`, `queue`, `rate`, `stalled`,
    /// `subscribers` or `token`.
    pub(super) fn refused(&self, why: &'static str, level: Level) {
        self.refused.get_or_create(&[("why", why), ("level", level.word())]).inc();
    }
}

/// All metrics with their content type: in `OpenMetrics` 1.0 when that is the media type, and otherwise in the Prometheus text
/// format 0.0.4.
pub(super) fn encoded(media_type: &str, counts: &RequestCounts, view: &Snapshot) -> (&'static str, String) {
    let registry = registry(counts, view);
    let mut text = String::new();
    // Writing to a string cannot fail.
    if media_type == OPEN_METRICS {
        let _ = text::encode(&mut text, &registry);
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", text)
    } else {
        let _ = prometheus_text::encode(&mut text, &registry);
        (prometheus_text::CONTENT_TYPE, text)
    }
}

fn registry(counts: &RequestCounts, view: &Snapshot) -> Registry {
    let labels = [("shard", &view.shard), ("config_id", &view.config_id)];
    let labels = labels.map(|(name, value)| (name.into(), value.clone().into()));
    let mut registry = Registry::with_prefix_and_labels("townlet", labels.into_iter());
    registry.register("http_requests", "Requests answered", counts.answered.clone());
    registry.register("http_refused", "Requests and connections refused before a handler ran", counts.refused.clone());
    registry.register("stream_subscribers", "Current subscribers of the telemetry stream", counts.subscribers.clone());
    let peak = view.counters.get(PEAK).copied().unwrap_or_default();
    let mut gauge = |name: &str, help: &str, value: u64| {
        let metric = <Gauge>::default();
        metric.set(value as i64);
        registry.register(name, help, metric);
    };
    gauge("tick", "Tick of the town", view.tick);
    gauge("residents", "Residents", view.agents.len() as u64);
    gauge("uptime_seconds", "Seconds since this process loaded the town", view.health.uptime_seconds);
    gauge("audit_writable", "1 if the audit log is writable", u64::from(view.health.audit_ok));
    gauge("employment_pending", "Residents in the exit queue", view.employment.pending_count);
    gauge("employment_exits_today", "Employment exits today", view.employment.exits_today);
    gauge("employment_queue_limit", "Maximum length of the exit queue", view.employment.queue_limit);
    gauge("telemetry_queue_length", "Telemetry messages waiting to be sent", view.transport.queue_length);
    gauge("stability_streak", "Consecutive green stability windows", view.stability.streak);
    gauge("exit_queue_peak", "Longest exit queue since this process loaded the town", peak);
    let mut counter = |name: &str, help: &str, value: u64| {
        let metric = Counter::<u64>::default();
        metric.inc_by(value);
        registry.register(name, help, metric);
    };
    counter("telemetry_dropped", "Telemetry messages dropped", view.transport.dropped);
    counter("reward_clip_events", "Clipped rewards since the town started", view.rewards.reward_clip_events);
    counter("ghost_steps", "Ghost steps since the town started", view.conflict.ghost_steps);
    let rate = Real::default();
    rate.set(view.clock.ticks_per_second);
    registry.register("ticks_per_second", "Ticks per second, measured over the last second", rate);
    gauge_family(&mut registry, "kpi", "name", "Value of a KPI; absent without enough data", {
        view.kpis.iter().filter_map(|kpi| Some((kpi.name.clone(), kpi.value?)))
    });
    counter_family(&mut registry, "events", "event", "Events since this process loaded the town", {
        view.counters.iter().filter(|(name, _)| *name != PEAK)
    });
    gauge_family(&mut registry, "alert", "name", "1 while the alert is raised", {
        view.alerts.iter().map(|alert| (alert.name.clone(), 1.0))
    });
    counter_family(
        &mut registry,
        "alerts_raised",
        "name",
        "Alerts raised since this process loaded the town",
        view.alerts_raised.iter(),
    );
    gauge_family(&mut registry, "price_meals", "item", "Price of an item, in meals", {
        view.prices.iter().map(|(item, price)| (item.clone(), *price))
    });
    registry
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
