//! Pending log writes of a command: its intent, and its outcome with its journal entry.
//!
//! Every write is reported, also when its writer dies: the report is then made on drop. Rule: "Audit log".

use std::sync::mpsc::Sender;

use fail::fail_point;
use townlet_files::Placement;

use super::engine::Message;

const WRITER_STOPPED: &str = "its writer has stopped";
const DISTURBED: &str = "another program changed a log before the command was acknowledged";

/// Reports how the write of an intent ended.
pub(super) struct PendingIntent(Option<(Sender<Message>, u64)>);

impl PendingIntent {
    pub(super) fn new(sender: Sender<Message>, number: u64) -> Self {
        Self(Some((sender, number)))
    }

    pub(super) fn report(&mut self, written: Result<townlet_audit::Written, townlet_audit::AuditError>) {
        if let Some((sender, number)) = self.0.take() {
            // The loop may have ended; then nobody waits for it.
            drop(sender.send(Message::Intent(number, written)));
        }
    }
}

impl Drop for PendingIntent {
    fn drop(&mut self) {
        self.report(Err(townlet_audit::AuditError::Unavailable(WRITER_STOPPED.into())));
    }
}

/// Why a command that was applied is not safe on disk.
pub(super) struct NotDurable {
    pub(super) why: String,
    pub(super) logged: bool,
}

/// Collects the writes of an outcome, and the publication that its answer may wait for, and reports once all have ended. The log
/// that was written first may have been removed while the other was written, so the files of both are looked at last.
pub(super) struct PendingOutcome {
    left: usize,
    trouble: Option<String>,
    placements: Vec<Placement>,
    written: Option<townlet_audit::Written>,
    sender: Sender<Message>,
    number: u64,
}

impl PendingOutcome {
    pub(super) fn new(parts: usize, sender: Sender<Message>, number: u64) -> Self {
        Self { left: parts, trouble: None, placements: Vec::new(), written: None, sender, number }
    }

    /// Takes in one write; that of the audit log has its place there.
    pub(super) fn take(&mut self, write: Result<(Placement, Option<townlet_audit::Written>), String>) {
        match write {
            Ok((placement, written)) => {
                self.placements.push(placement);
                self.written = self.written.take().or(written);
            }
            Err(why) => self.trouble = Some(why),
        }
        self.end_one();
        if self.left > 0 {
            fail_point!("one_log_written");
        }
    }

    /// The state with the effect of the command is out.
    pub(super) fn published(&mut self) {
        self.end_one();
    }

    fn end_one(&mut self) {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.report();
        }
    }

    fn report(&mut self) {
        let changed = || (!self.placements.iter().all(Placement::stands)).then(|| DISTURBED.to_owned());
        let trouble = self.trouble.take().or_else(changed);
        let result = match (trouble, self.written.take()) {
            (None, Some(written)) => Ok(written),
            (trouble, written) => {
                Err(NotDurable { why: trouble.unwrap_or_else(|| WRITER_STOPPED.into()), logged: written.is_some() })
            }
        };
        // The loop may have ended; then nobody waits for it.
        drop(self.sender.send(Message::Settled(self.number, result)));
    }
}

impl Drop for PendingOutcome {
    fn drop(&mut self) {
        if self.left > 0 {
            self.trouble.get_or_insert_with(|| WRITER_STOPPED.into());
            self.report();
        }
    }
}
