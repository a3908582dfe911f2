//! A past run as an observer would have seen it at any tick.
//!
//! No policy runs, because the journal holds the chosen options. Training, promotion and health of the shard are not in the
//! journal and are not shown. Rule: "Journal".

use std::path::Path;

use super::history::History;
use super::home::Home;
use super::journal::Segments;
use super::privacy::PrivacyFilter;
use super::recorded_audit::RecordedAudit;
use super::telemetry::{self, ShardStatus};
use townlet_wire::Snapshot;
use townlet_wire::telemetry::{Health, Policy, Transport};

/// A run replayed from its journal.
pub struct RecordedRun {
    history: History,
    shard: String,
    audit: RecordedAudit,
    names: PrivacyFilter,
}

impl RecordedRun {
    /// Opens the journal of one run, and its keyframes and audit log in `home`. The error names the missing or damaged file.
    pub fn open(home: &Home, segments: Segments) -> Result<Self, String> {
        let audit = RecordedAudit::of_run(&home.console(), segments.run_id());
        Self::with_audit(home, segments, audit)
    }

    /// As [`Self::open`], with the audit log in an incident bundle, whose journal these segments are.
    pub fn open_bundle(home: &Home, segments: Segments, bundle: &Path) -> Result<Self, String> {
        let audit = RecordedAudit::of_bundle(bundle, segments.run_id());
        Self::with_audit(home, segments, audit)
    }

    fn with_audit(home: &Home, segments: Segments, audit: RecordedAudit) -> Result<Self, String> {
        let history = History::open(home, segments)?;
        let config = &history.current().town().rules().config;
        let shard = config.shard.clone();
        // Opening creates a missing key, so it is only done if names were hidden.
        let hidden = config.telemetry.privacy.enabled;
        let names = if hidden { PrivacyFilter::open(home, &shard, true)? } else { PrivacyFilter::default() };
        Ok(Self { history, shard, audit, names })
    }

    /// The run id.
    pub fn run_id(&self) -> &str {
        self.history.run_id()
    }

    /// The first, current and last tick.
    pub fn ticks(&self) -> (u64, u64, u64) {
        let (first, last) = self.history.ticks();
        (first, self.history.current().tick(), last)
    }

    /// Milliseconds a tick took at 1×.
    pub fn tick_ms(&self) -> u64 {
        self.history.current().town().rules().config.time.tick_ms.into()
    }

    /// Moves to a tick, as [`History::seek`] does.
    pub fn seek(&mut self, tick: u64) -> Result<(), String> {
        self.history.seek(tick).map(drop)
    }

    /// As [`History::take_notes`].
    pub fn take_notes(&mut self) -> Vec<String> {
        self.history.take_notes()
    }

    /// What an observer would have seen; `speed` is the playback speed.
    pub fn view(&self, speed: &str) -> Snapshot {
        let moment = self.history.current();
        let town = moment.town();
        let kind = if moment.policy() == super::policies::SCRIPTED { "scripted" } else { "network" };
        let status = ShardStatus {
            shard: self.shard.clone(),
            run_id: self.run_id().to_owned(),
            policy: Policy { id: moment.policy().to_owned(), kind: kind.into(), ..Policy::default() },
            speed: speed.into(),
            feed: moment.feed().clone(),
            health: Health { status: "ok".into(), audit_ok: true, journal_tick: self.ticks().2, ..Health::default() },
            transport: Transport { mode: "full".into(), ..Transport::default() },
            names: self.names.clone(),
            ..ShardStatus::default()
        };
        telemetry::snapshot(town.rules(), town.state(), None, &status, self.audit.at(town.tick()))
    }

    /// The digest of the current town.
    pub fn digest(&self) -> String {
        self.history.current().town().digest()
    }
}
