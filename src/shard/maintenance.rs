//! What the loop does by itself between two ticks: the journal's rhythm, autosaves, what is tried again, and states published.
//!
//! Owns how often each is done. Nothing here waits for the disk. What a state says is `telemetry`'s, whom it reaches
//! `subscribers`'s. Rules: "Journal", "Durable state".

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use townlet_town::snapshot;

use super::engine::{Engine, Message};
use super::journal::{Base, DIGEST_TICKS, Entry, Header};
use super::publish::Frame;
use super::snapshots;
use super::telemetry::{self, ShardStatus};

/// Longest time chosen options stay out of the journal.
pub(super) const JOURNAL_INTERVAL: Duration = Duration::from_millis(100);
/// How often a journal that cannot be written is tried again.
pub(super) const RETRY_EVERY: Duration = Duration::from_secs(1);
/// How often ids past their window are forgotten. They are answered alike before and after, so it is for memory alone.
pub(super) const PRUNE_INTERVAL: Duration = Duration::from_hours(1);

impl Engine {
    pub(super) fn housekeeping(&mut self, now: Instant) {
        if self.unjournalled_from < self.town.tick() && now >= self.journalled + JOURNAL_INTERVAL {
            self.write_journal();
        }
        self.notify_overdue(now);
        if now >= self.retried + RETRY_EVERY {
            self.retried = now;
            self.retry();
        }
        self.note_own_alerts();
        if self.pruned.is_none_or(|pruned| now >= pruned + PRUNE_INTERVAL) {
            self.pruned = Some(now);
            self.desk.index.prune(jiff::Timestamp::now());
        }
        if now >= self.measured.0 + Duration::from_secs(1) {
            let ticks = self.town.tick() - self.measured.1;
            self.status.ticks_per_second = ticks as f64 / (now - self.measured.0).as_secs_f64();
            self.measured = (now, self.town.tick());
            if ticks > 0 && !self.has_readers() {
                self.show();
            }
        }
        if self.dirty && self.has_readers() && now >= self.published + self.publish_interval {
            self.publish(now);
        }
    }

    /// Options chosen since the last time, and the digest where one is due.
    pub(super) fn write_journal(&mut self) {
        let to = self.town.tick();
        self.journalled = Instant::now();
        if to == self.unjournalled_from {
            return;
        }
        let digest = to.is_multiple_of(DIGEST_TICKS).then(|| self.town.digest());
        let options = std::mem::take(&mut self.options);
        self.journal.append(Entry::Ticks { from: self.unjournalled_from, to, options, digest });
        self.unjournalled_from = to;
        self.status.health.journal_tick = to;
    }

    /// What could not be written is tried again. A journal goes on in a new file that starts from the town as it is.
    pub(super) fn retry(&mut self) {
        if self.journal.trouble().is_some() {
            self.write_journal();
            let base = Base::Snapshot(snapshot::save(&self.town));
            let header = Header { base, ..self.header.clone() };
            self.journal.restart(self.home.clone(), self.town.tick(), header);
        }
        if self.log.has_failed() {
            let log = Arc::clone(&self.log);
            // Whether it worked shows in its state; it may wait for the disk, so it is not waited for here.
            self.disk.run(move || drop(log.reopen()));
        }
        self.catch_up();
        self.retry_release_file();
        if self.desk.snapshot_trouble.is_some() && !self.saving && self.log_trouble().is_none() {
            self.save();
        }
        if !self.desk.unnoted.is_empty() {
            let decisions = std::mem::take(&mut self.desk.unnoted);
            self.note(decisions);
        }
        self.refresh();
    }

    pub(super) fn has_readers(&self) -> bool {
        self.subscribers.has_readers()
    }

    /// A state for whoever wants one. A publisher that is still at work gets the next one, and all that happened by then.
    pub(super) fn publish(&mut self, now: Instant) {
        self.published = now;
        let (wanted, free) = (self.subscribers.publisher.is_wanted(), self.subscribers.publisher.is_free());
        if !self.subscribers.has_subscribers() && !free {
            return;
        }
        self.dirty = wanted && !free;
        self.status.health.uptime_seconds = self.started.elapsed().as_secs();
        self.note_alerts();
        let view = Arc::new(telemetry::snapshot(&self.town, &self.status, self.log.tail(200)));
        self.diagnostics.show(Arc::clone(&view));
        self.status.story.keep_all(wanted);
        let frame = (wanted && free).then(|| {
            let ShardStatus { story, names, .. } = &mut self.status;
            let (events, narrations, lost) = story.take_new();
            let (events, narrations) = (names.apply(events), names.apply(narrations));
            let renamed = std::mem::take(&mut self.renamed);
            Frame { view: Arc::clone(&view), events, narrations, renamed, lost }
        });
        self.subscribers.tell(&view, frame);
    }

    /// The next state goes out at once: what residents are called has changed.
    pub(super) fn rename(&mut self) {
        self.renamed = true;
        self.published = self.published.checked_sub(self.publish_interval).unwrap_or(self.published);
    }

    /// The one place where alerts are dated, counted and told, the town's and the shard's own.
    pub(super) fn note_alerts(&mut self) {
        let mut standing = telemetry::active_alerts(self.town.rules(), self.town.state(), &self.status);
        standing.extend(self.diagnostics.take_ended_hangs());
        let tick = self.town.tick();
        let mut raised = Vec::new();
        let ShardStatus { alerts_since, alerts_raised, story, .. } = &mut self.status;
        story.record_queue_length(self.town.state().employment.queue.len() as u64);
        let keys: BTreeSet<_> = standing.iter().map(telemetry::key).collect();
        alerts_since.retain(|key, _| {
            let stands = keys.contains(key);
            if !stands {
                story.record_alert(tick, &key.0, false);
            }
            stands
        });
        for alert in standing {
            alerts_since.entry(telemetry::key(&alert)).or_insert_with(|| {
                *alerts_raised.entry(alert.name.clone()).or_default() += 1;
                story.record_alert(tick, &alert.name, true);
                raised.push((alert.name, alert.severity));
                alert.since_tick
            });
        }
        self.alarmed(&raised);
    }

    /// What the shard itself raised is noted also when nobody looks and nothing happens in the town. The town's own alerts
    /// have to wait for that, since when this is called is chance.
    pub(super) fn note_own_alerts(&mut self) {
        if std::mem::take(&mut self.unnoted) {
            self.note_alerts();
        }
    }

    pub(super) fn autosave(&mut self, now: Instant) {
        let autosave = &self.town.rules().config.snapshot.autosave;
        let due = self.town.tick().is_multiple_of(u64::from(autosave.cadence_ticks))
            && now >= self.saved + Duration::from_secs(u64::from(autosave.min_seconds));
        if due {
            self.saved = now;
            self.save();
        }
    }

    /// Packs the town now and has it written, once the journal up to it is on disk: a snapshot ahead of its journal could
    /// be resumed but not replayed, and would hold commands that were told to be unsafe.
    pub(super) fn save(&mut self) {
        self.write_journal();
        self.saving = true;
        let (folder, tick, bytes, retain) = self.packed();
        let (sender, journal) = (self.sender.clone(), Arc::clone(&self.journal));
        self.disk.run(move || {
            let saved = journal.flush().and_then(|()| snapshots::save(&folder, tick, &bytes, retain)).map(|_| tick);
            // The loop may have ended meanwhile; then nobody needs to know.
            drop(sender.send(Message::Saved(saved)));
        });
    }

    pub(super) fn packed(&self) -> (PathBuf, u64, Vec<u8>, usize) {
        let folder = self.home.snapshots(&self.snapshot_root, &self.status.run_id);
        let retain = self.town.rules().config.snapshot.autosave.retain as usize;
        (folder, self.town.tick(), snapshot::save(&self.town), retain)
    }

    pub(super) fn snapshot_saved(&mut self, saved: Result<u64, String>) {
        self.saving = false;
        match saved {
            Ok(tick) => {
                self.status.health.last_snapshot_tick = Some(tick);
                self.desk.snapshot_trouble = None;
            }
            Err(why) => {
                self.desk.snapshot_trouble = Some(format!("the last snapshot could not be written: {why}"));
            }
        }
        self.refresh();
    }

    pub(super) fn snapshot_folder(&self) -> PathBuf {
        self.home.snapshots(&self.snapshot_root, &self.status.run_id)
    }
}
