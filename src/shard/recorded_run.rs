//! A past run as an observer would have seen it at any tick.
//!
//! No policy runs, because the journal holds the chosen options. Training, promotion and health of the shard are not in the
//! journal and are not shown. Rule: "Journal".

use std::path::Path;

use super::history::History;
use super::home::Home;
use super::journal::Segments;
use super::privacy::PrivacyFilter;
use super::telemetry::{self, ShardStatus};
use townlet_wire::telemetry::{AuditRow, AuditTail, Health, Policy, Transport};
use townlet_wire::{Snapshot, count};

const TAIL: usize = 200;

/// A run replayed from its journal.
pub struct RecordedRun {
    history: History,
    shard: String,
    /// Audit records with their file names, by tick.
    rows: Vec<(String, AuditRow)>,
    /// State of the audit log: `ok`, or what is wrong with its files.
    audit_state: String,
    names: PrivacyFilter,
}

impl RecordedRun {
    /// Opens the journal of one run, and its keyframes and audit log in `home`. The error names the missing or damaged file.
    pub fn open(home: &Home, segments: Segments) -> Result<Self, String> {
        let history = History::open(home, segments)?;
        let rules = history.current().town().rules();
        let shard = rules.config.shard.clone();
        // Opening creates a missing key, so it is only done if names were hidden.
        let hidden = rules.config.telemetry.privacy.enabled;
        let names = if hidden { PrivacyFilter::open(home, &shard, true)? } else { PrivacyFilter::default() };
        let (rows, audit_state) = audit_log(&home.console(), history.run_id());
        Ok(Self { history, shard, rows, audit_state, names })
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
        let known = &self.rows[..self.rows.partition_point(|(_, row)| row.tick <= town.tick())];
        let (file, last) = known.last().cloned().unwrap_or_default();
        let records = known[known.len().saturating_sub(TAIL)..].iter().map(|(_, row)| row.clone()).collect();
        telemetry::snapshot(
            town.rules(),
            town.state(),
            None,
            &status,
            AuditTail { records, state: self.audit_state.clone(), file, seq: last.seq, head: last.hash },
        )
    }

    /// The digest of the current town.
    pub fn digest(&self) -> String {
        self.history.current().town().digest()
    }
}

/// The audit records of a run, as far as they can be read, and the state of its log.
fn audit_log(folder: &Path, run_id: &str) -> (Vec<(String, AuditRow)>, String) {
    let (mut rows, mut damaged) = (Vec::new(), 0);
    let read = townlet_audit::run_records(folder, run_id, |file, _, _, record| {
        match record {
            Ok(record) => rows.push((file.to_owned(), record.row())),
            Err(_) => damaged += 1,
        }
        Ok(())
    });
    // A refusal may follow a record of a slightly later tick.
    rows.sort_by_key(|(_, row)| row.tick);
    let state = match (read, damaged) {
        (Err(why), _) => format!("the audit log cannot be read to its end: {why}"),
        (Ok(()), 1) => "1 line of the audit log is damaged and left out".into(),
        (Ok(()), 2..) => format!("{} of the audit log are damaged and left out", count(damaged, "line")),
        (Ok(()), 0) if rows.is_empty() => "the run has no audit log here".into(),
        (Ok(()), 0) => "ok".into(),
    };
    (rows, state)
}
