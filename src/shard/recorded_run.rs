//! A past run as an observer would have seen it at any tick.
//!
//! No policy runs, because the journal holds the chosen options. Training, promotion and health of the shard are not in the
//! journal and are not shown. Rule: "Journal".

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::history::{self, History, MarkSelection, MarkStore, SeekError};
use super::home::Home;
use super::journal::Segments;
use super::privacy::PrivacyFilter;
use super::recorded_audit::RecordedAudit;
use super::telemetry::{self, ShardStatus};
use townlet_wire::Snapshot;
use townlet_wire::history::{HistoryPage, Mark};
use townlet_wire::telemetry::{Health, Policy, Transport};

/// A run replayed from its journal.
pub struct RecordedRun {
    history: History,
    shard: String,
    audit: RecordedAudit,
    marks: Arc<MarkStore>,
    names: PrivacyFilter,
    /// Folder of the audit log.
    audit_folder: PathBuf,
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
        let marks = Arc::new(MarkStore::new(&home.keyframes(history.run_id()), u64::MAX));
        Ok(Self { history, shard, audit, marks, names, audit_folder: home.console() })
    }

    /// The run of a shard that is running, whose filter hides names as it is switched now.
    pub(crate) fn of_running(
        home: &Home,
        segments: Segments,
        names: PrivacyFilter,
        marks: Arc<MarkStore>,
    ) -> Result<Self, String> {
        let mut audit = RecordedAudit::default();
        audit.follow(&home.console(), segments.run_id());
        let history = History::open(home, segments)?;
        let shard = history.current().town().rules().config.shard.clone();
        Ok(Self { history, shard, audit, marks, names, audit_folder: home.console() })
    }

    /// As [`History::refresh`], and takes up what the audit log holds by now.
    pub(crate) fn refresh(&mut self, home: &Home) -> Result<bool, String> {
        self.audit.follow(&home.console(), self.history.run_id());
        self.history.refresh(home)
    }

    /// The run id.
    pub fn run_id(&self) -> &str {
        self.history.run_id()
    }

    /// Folder of its audit log. It need not exist.
    pub fn audit_folder(&self) -> &Path {
        &self.audit_folder
    }

    /// What residents are called outside.
    pub fn names(&self) -> PrivacyFilter {
        self.names.clone()
    }

    /// The first, current and last tick.
    pub fn ticks(&self) -> (u64, u64, u64) {
        let (first, last) = self.history.ticks();
        (first, self.history.current().tick(), last)
    }

    /// The range of the run, and the marks that are selected.
    pub fn page(&self, selection: &MarkSelection) -> HistoryPage {
        let (first_tick, last_tick) = self.history.ticks();
        let within = MarkSelection {
            from: selection.from.max(first_tick),
            to: selection.to.min(last_tick),
            ..selection.clone()
        };
        let commands: Vec<Mark> = self.audit.marks().collect();
        let (marks, before, marks_from) = self.marks.with(|from, marks| {
            let (marks, before) = history::select(marks.iter().chain(&commands), &within);
            (marks, before, from.max(self.audit.begins()).max(first_tick))
        });
        self.names.apply(HistoryPage {
            run_id: self.run_id().to_owned(),
            first_tick,
            last_tick,
            marks_from,
            marks,
            before: before.map(|before| before.to_string()),
        })
    }

    /// Milliseconds a tick took at 1×.
    pub fn tick_ms(&self) -> u64 {
        self.history.current().town().rules().config.time.tick_ms.into()
    }

    /// Moves to a tick, as [`History::seek`] does.
    pub fn seek(&mut self, tick: u64) -> Result<(), String> {
        self.history.seek(tick).map(drop)
    }

    /// As [`History::seek_until`].
    pub(crate) fn seek_until(&mut self, tick: u64, deadline: Instant) -> Result<(), SeekError> {
        self.history.seek_until(tick, Some(deadline)).map(drop)
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
