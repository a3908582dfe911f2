//! The audit log of a run that is looked at, by tick: what an observer would have seen of it at any moment.
//!
//! The newest records are in memory. Rule: "Audit log".

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;

use townlet_audit::Record;
use townlet_wire::telemetry::{AuditRow, AuditTail};
use townlet_wire::{count, thousands};

use crate::incident;

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

    fn read(mut self, read: io::Result<()>) -> Self {
        self.failure = read.err().map(|why| why.to_string());
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
        // A refusal may follow a record of a slightly later tick, and a bundle has the newest file first.
        let key = |row: &AuditRow| (row.tick, row.seq);
        let place = match self.rows.back() {
            Some((_, last)) if key(last) > key(&row) => self.rows.partition_point(|(_, other)| key(other) <= key(&row)),
            _ => self.rows.len(),
        };
        self.rows.insert(place, (file, row));
        if self.rows.len() > MAX_ROWS {
            self.rows.pop_front();
            self.shortened = true;
        }
    }

    /// The log as it was when the town was at a tick.
    pub(crate) fn at(&self, tick: u64) -> AuditTail {
        let known = self.rows.partition_point(|(_, row)| row.tick <= tick);
        let (file, last) = known.checked_sub(1).map(|last| self.rows[last].clone()).unwrap_or_default();
        let records = self.rows.range(known.saturating_sub(TAIL)..known).map(|(_, row)| row.clone()).collect();
        let state = self.state(known);
        AuditTail { records, state, file: file.to_string(), seq: last.seq, head: last.hash }
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
