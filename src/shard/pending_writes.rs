//! What a command's two logs still owe it: the fate of its intent, and of its outcome and journal entry.
//!
//! Owns that nobody waits for ever: a writer that dies with an entry in its hands tells that much. Must not know commands.
//! Rule: "Audit log".

use std::sync::mpsc::Sender;

use super::engine::Message;

const WRITER_STOPPED: &str = "its writer has stopped";

/// Owes the desk the fate of an intent. A writer that dies with it in its hands tells that much.
pub(super) struct PendingIntent(Option<(Sender<Message>, u64)>);

impl PendingIntent {
    /// For a ticket.
    pub(super) fn new(sender: Sender<Message>, ticket: u64) -> Self {
        Self(Some((sender, ticket)))
    }

    /// How it went.
    pub(super) fn tell(&mut self, written: Result<townlet_audit::Written, townlet_audit::AuditError>) {
        if let Some((sender, ticket)) = self.0.take() {
            // The loop may have ended; then nobody waits for it.
            drop(sender.send(Message::Intent(ticket, written)));
        }
    }
}

impl Drop for PendingIntent {
    fn drop(&mut self) {
        self.tell(Err(townlet_audit::AuditError::Unavailable(WRITER_STOPPED.into())));
    }
}

/// Why a command that was applied is not safe on disk.
pub(super) struct NotDurable {
    /// As the system says it.
    pub(super) why: String,
    /// Whether its outcome stands in the audit log all the same.
    pub(super) logged: bool,
}

/// Waits for two disks; for one whose writer dies, not at all.
pub(super) struct PendingOutcome {
    left: usize,
    trouble: Option<String>,
    written: Option<townlet_audit::Written>,
    sender: Sender<Message>,
    ticket: u64,
}

impl PendingOutcome {
    /// For a ticket; `parts` are waited for.
    pub(super) fn new(parts: usize, sender: Sender<Message>, ticket: u64) -> Self {
        Self { left: parts, trouble: None, written: None, sender, ticket }
    }

    /// One part; the audit log's says where.
    pub(super) fn take(&mut self, part: Result<Option<townlet_audit::Written>, String>) {
        match part {
            Ok(Some(written)) => self.written = Some(written),
            Ok(None) => {}
            Err(why) => self.trouble = Some(why),
        }
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.settle();
        }
    }

    fn settle(&mut self) {
        let result = match (self.trouble.take(), self.written.take()) {
            (None, Some(written)) => Ok(written),
            (trouble, written) => {
                Err(NotDurable { why: trouble.unwrap_or_else(|| WRITER_STOPPED.into()), logged: written.is_some() })
            }
        };
        // The loop may have ended; then nobody waits for it.
        drop(self.sender.send(Message::Settled(self.ticket, result)));
    }
}

impl Drop for PendingOutcome {
    fn drop(&mut self) {
        if self.left > 0 {
            self.trouble.get_or_insert_with(|| WRITER_STOPPED.into());
            self.settle();
        }
    }
}
