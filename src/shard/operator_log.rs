//! The operators' log, `ops/employment.md`: rows that are on their way to it, and those that it still lacks.

use std::path::PathBuf;
use std::sync::mpsc::Sender;

use super::disk_thread::DiskThread;
use super::employment_log::{ExitDecision, append_decisions};
use super::engine::Message;

/// How a write ended; a failed one with its rows.
pub(super) type RowsWritten = Result<(), (String, Vec<ExitDecision>)>;

/// The shard's end of the operators' log.
pub(super) struct OperatorLog {
    path: PathBuf,
    missing: Vec<ExitDecision>,
    /// Why it could not be written.
    pub trouble: Option<String>,
}

impl OperatorLog {
    /// The log at this path.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, missing: Vec::new(), trouble: None }
    }

    /// Appends rows on the thread that writes files.
    pub(super) fn append(&self, rows: Vec<ExitDecision>, disk: &DiskThread, sender: &Sender<Message>) {
        let (path, sender) = (self.path.clone(), sender.clone());
        disk.run(move || {
            let written = append_decisions(&path, &rows).map(drop).map_err(|why| (why, rows));
            // The loop may have ended meanwhile; the next start makes up for what is missing.
            drop(sender.send(Message::OperatorLogWritten(written)));
        });
    }

    /// Tries the missing rows again.
    pub(super) fn retry(&mut self, disk: &DiskThread, sender: &Sender<Message>) {
        if !self.missing.is_empty() {
            let rows = std::mem::take(&mut self.missing);
            self.append(rows, disk, sender);
        }
    }

    /// Takes in how a write ended.
    pub(super) fn written(&mut self, written: RowsWritten) {
        match written {
            Ok(()) if self.missing.is_empty() => self.trouble = None,
            Ok(()) => {}
            Err((why, rows)) => {
                self.failed(&why);
                self.missing.extend(rows);
            }
        }
    }

    /// Notes that a page of the operators could not be written.
    pub(super) fn failed(&mut self, why: &str) {
        self.trouble = Some(format!("the operators' log could not be written: {why}"));
    }
}
