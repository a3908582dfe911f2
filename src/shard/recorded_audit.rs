//! The audit log of a run that is looked at, by tick: what an observer would have seen of it at any moment.
//!
//! The newest records are in memory. Rule: "Audit log".

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::Arc;

use townlet_audit::{Place, Record};
use townlet_wire::history::{Mark, MarkKind};
use townlet_wire::telemetry::{AuditRow, AuditTail};
use townlet_wire::{Effect, Status, count, thousands};

use crate::commands::world::RELOAD_CONFIG;
use crate::{incident, specs};

/// Records in an [`AuditTail`].
const TAIL: usize = 200;
/// Records in memory.
const MAX_ROWS: usize = 20_000;

/// The newest records of one run, and the state of its log.
#[derive(Default)]
pub(crate) struct RecordedAudit {
    /// With the names of their files, in the order of their ticks.
    rows: VecDeque<(Arc<str>, AuditRow)>,
    /// Lines that are no records.
    damaged: u64,
    /// Older records are not in memory.
    shortened: bool,
    /// Why it was not read to its end.
    failure: Option<String>,
    place: Place,
}

impl RecordedAudit {
    /// The log of a finished run in a folder.
    pub(crate) fn of_run(folder: &Path, run_id: &str) -> Self {
        let mut log = Self::default();
        let read = townlet_audit::run_records(folder, run_id, |file, _, _, record| {
            log.take(file, record);
            Ok(())
        });
        log.read(read)
    }

    /// The log of the run in an incident bundle.
    pub(crate) fn of_bundle(bundle: &Path, run_id: &str) -> Self {
        let mut log = Self::default();
        let read = incident::audit_segments(bundle, run_id, |file, content| {
            townlet_audit::file_records(content, |record| log.take(file, record))
        });
        log.read(read)
    }

    /// Takes up what the log of a running shard holds by now.
    pub(crate) fn follow(&mut self, folder: &Path, run_id: &str) {
        let mut place = std::mem::take(&mut self.place);
        let read = townlet_audit::run_records_from(folder, run_id, &mut place, |file, record| self.take(file, record));
        self.place = place;
        self.failure = read.err().map(|why| why.to_string());
        self.keep_newest();
    }

    fn read(mut self, read: io::Result<()>) -> Self {
        self.failure = read.err().map(|why| why.to_string());
        self.keep_newest();
        self
    }

    fn take(&mut self, file: &str, record: Result<Record, String>) {
        let Ok(record) = record else {
            self.damaged += 1;
            return;
        };
        let row = record.row();
        let file = match self.rows.back() {
            Some((known, _)) if **known == *file => Arc::clone(known),
            _ => Arc::from(file),
        };
        self.rows.push_back((file, row));
        if self.rows.len() > 2 * MAX_ROWS {
            self.keep_newest();
        }
    }

    /// Sorts the records and drops the oldest. A refusal may follow a record of a slightly later tick, and a bundle has the newest
    /// file first.
    fn keep_newest(&mut self) {
        self.rows.make_contiguous().sort_by_key(|(_, row)| (row.tick, row.seq));
        let excess = self.rows.len().saturating_sub(MAX_ROWS);
        self.rows.drain(..excess);
        self.shortened |= excess > 0;
    }

    /// The log as it was when the town was at a tick.
    pub(crate) fn at(&self, tick: u64) -> AuditTail {
        let known = self.rows.partition_point(|(_, row)| row.tick <= tick);
        let (file, last) = known.checked_sub(1).map(|last| self.rows[last].clone()).unwrap_or_default();
        let records = self.rows.range(known.saturating_sub(TAIL)..known).map(|(_, row)| row.clone()).collect();
        let state = self.state(known);
        AuditTail { records, state, file: file.to_string(), seq: last.seq, head: last.hash }
    }

    /// The tick from which all records are in memory.
    pub(crate) fn begins(&self) -> u64 {
        self.rows.front().filter(|_| self.shortened).map_or(0, |(_, row)| row.tick + 1)
    }

    /// Marks of the commands that were done and changed something.
    pub(crate) fn marks(&self) -> impl Iterator<Item = Mark> {
        let changing: BTreeSet<String> = specs()
            .into_iter()
            .filter(|spec| spec.mutating && spec.effect != Effect::Pace)
            .map(|spec| spec.name)
            .collect();
        self.rows.iter().filter_map(move |(_, row)| {
            let is_done = matches!(row.stage.as_str(), "outcome" | "recovered") && row.status == Status::Ok.word();
            (is_done && changing.contains(&row.command)).then(|| {
                let kind = if row.command == RELOAD_CONFIG.name { MarkKind::Reload } else { MarkKind::Command };
                let words = row.args.as_object().into_iter().flatten().filter(|(name, _)| *name != "reason");
                let words = words.map(|(_, value)| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
                let line: Vec<String> = std::iter::once(row.command.clone()).chain(words).collect();
                Mark { tick: row.tick, kind, text: format!("{}: {}", row.issuer, line.join(" ")) }
            })
        })
    }

    /// What is wrong with the log, where so many records are known; else `ok`.
    fn state(&self, known: usize) -> String {
        match (&self.failure, self.damaged) {
            (Some(why), _) => format!("the audit log cannot be read to its end: {why}"),
            (None, 1) => "1 line of the audit log is damaged and left out".into(),
            (None, 2..) => format!("{} of the audit log are damaged and left out", count(self.damaged, "line")),
            (None, 0) if self.rows.is_empty() => "the run has no audit log here".into(),
            (None, 0) if self.shortened && known < TAIL => {
                format!("only the newest {} records of the audit log are shown", thousands(MAX_ROWS as u64))
            }
            (None, 0) => "ok".into(),
        }
    }
}
