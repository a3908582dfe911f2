//! What the loop does by itself between two ticks: it writes the journal, saves and publishes states, and retries failed writes.
//!
//! Nothing here waits for the disk. Rules: "Journal", "Durable state".

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::engine::Engine;
use super::history;
use super::publish::Update;
use super::telemetry::{self, ShardStatus};

/// How often a file that cannot be written is tried again.
pub(super) const RETRY_EVERY: Duration = Duration::from_secs(1);

pub(super) struct SpeedMeter {
    since: Instant,
    tick: u64,
}

impl SpeedMeter {
    pub(super) fn new(tick: u64) -> Self {
        Self { since: Instant::now(), tick }
    }

    /// Ticks a second since the last measurement, once a second.
    fn measure(&mut self, now: Instant, tick: u64) -> Option<f64> {
        let seconds = now.saturating_duration_since(self.since).as_secs_f64();
        (seconds >= 1.0).then(|| {
            let ticks = tick - self.tick;
            *self = Self { since: now, tick };
            ticks as f64 / seconds
        })
    }
}

impl Engine {
    pub(super) fn housekeeping(&mut self, now: Instant) {
        if self.journal.due(self.town.tick()).is_some_and(|due| now >= due) {
            self.write_journal();
        }
        self.notify_overdue(now);
        if now >= self.retried + RETRY_EVERY {
            self.retried = now;
            self.retry();
        }
        if now >= self.files.due() {
            self.check_files();
        }
        self.note_own_alerts();
        self.pending.prune(now);
        if let Some(speed) = self.meter.measure(now, self.town.tick()) {
            self.status.ticks_per_second = speed;
            if speed > 0.0 && !self.publication.subscribers.has_readers() {
                self.show();
            }
        }
        if self.publication.due().is_some_and(|due| now >= due) {
            self.publish(now);
        }
    }

    pub(super) fn write_journal(&mut self) {
        self.journal.write(&self.town);
        self.journal.complete_full_segment(&self.home, &self.town, self.pending.needs_journal_from());
        // Ticks that could not be written are not in the journal.
        if self.journal.trouble().is_none() {
            self.status.health.journal_tick = self.town.tick();
        }
    }

    pub(super) fn retry(&mut self) {
        self.journal.retry(&self.home, &self.town, self.pending.needs_journal_from());
        if self.log.has_failed() {
            let log = Arc::clone(&self.log);
            // Whether it worked shows in its state; it may wait for the disk, so it is not waited for here.
            self.disk.run(move || drop(log.reopen()));
        }
        self.write_late_outcomes();
        if self.log_failure().is_none() {
            self.records.write_kept();
        }
        self.records.write_ended();
        self.retry_release_file();
        if self.snapshots.wants_retry() && self.log_trouble().is_none() {
            self.save_snapshot();
        }
        self.operator_log.retry(&self.disk, &self.sender);
        self.refresh();
    }

    pub(super) fn save_snapshot(&mut self) {
        self.write_journal();
        self.snapshots.save(&self.town, &self.journal, &self.disk, &self.sender);
    }

    /// Has a keyframe written if one is due. The journal must hold the town's digest.
    pub(super) fn write_keyframe(&mut self, now: Instant) {
        let (tick, rules) = (self.town.tick(), self.town.rules());
        if self.keyframes.is_due(tick, &rules.config, now) && self.journal.trouble().is_none() {
            let capture = history::Capture {
                run_id: self.journal.header.run_id.clone(),
                policy: self.driver.id().to_owned(),
                rules: Arc::clone(rules),
                state: self.town.state().clone(),
                feed: self.status.feed.without_new(),
            };
            self.keyframes.write(capture, &self.disk, now);
        }
    }

    /// Publishes the state. A publisher that is still at work gets the next one, and all that happened by then.
    fn publish(&mut self, now: Instant) {
        let subscribers = Arc::clone(&self.publication.subscribers);
        if !subscribers.publisher.is_free() {
            return self.publication.put_off(now);
        }
        let begun = Instant::now();
        let awaiting = self.publication.published(now);
        self.status.health.uptime_seconds = self.started.elapsed().as_secs();
        self.note_alerts();
        let streamed = subscribers.publisher.is_wanted();
        self.status.feed.keep_all(streamed);
        let news = streamed.then(|| self.status.feed.take_new());
        let renamed = streamed && std::mem::take(&mut self.publication.renamed);
        subscribers.publish(Update { state: self.captured().with_names_as_now(), news, renamed });
        for work in awaiting {
            subscribers.publisher.defer(work);
        }
        self.progress.note_published(begun.elapsed());
    }

    /// Dates, counts and reports alerts, the town's and the shard's own. No other place does.
    pub(super) fn note_alerts(&mut self) {
        let mut active = telemetry::active_alerts(self.town.rules(), self.town.state(), &self.status);
        active.extend(self.diagnostics.take_ended_hangs());
        let tick = self.town.tick();
        let mut raised = Vec::new();
        let ShardStatus { alerts_since, alerts_raised, acknowledged, feed, .. } = &mut self.status;
        feed.record_queue_length(self.town.state().employment.queue.len() as u64);
        let keys: BTreeSet<_> = active.iter().map(telemetry::key).collect();
        alerts_since.retain(|key, _| {
            let stands = keys.contains(key);
            if !stands {
                feed.record_alert(tick, &key.0, false);
            }
            stands
        });
        // An alert that is raised again, or about something else or more, has to be acknowledged again.
        let mut cleared = Vec::new();
        acknowledged.retain(|key, seen| {
            let stands =
                active.iter().any(|alert| telemetry::key(alert) == *key && seen.holds(alert, self.town.state()));
            if !stands {
                cleared.push(key.0.clone());
            }
            stands
        });
        for alert in active {
            alerts_since.entry(telemetry::key(&alert)).or_insert_with(|| {
                *alerts_raised.entry(alert.name.clone()).or_default() += 1;
                feed.record_alert(tick, &alert.name, true);
                raised.push((alert.name, alert.severity));
                alert.since_tick
            });
        }
        self.log_cleared_alerts(&cleared);
        self.alarmed(&raised);
    }

    /// Notes the shard's own alerts also when nobody reads and nothing happens in the town. The town's own alerts
    /// have to wait for that, since it is chance when this is called.
    pub(super) fn note_own_alerts(&mut self) {
        if std::mem::take(&mut self.own_alerts_changed) {
            self.note_alerts();
        }
    }
}
