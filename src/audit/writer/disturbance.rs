//! Changes to the files by somebody else: the checks from time to time, and what callers learn of them.
//!
//! Rule: "Files that change under the program".

use std::time::{Duration, Instant};

use super::{Chain, Log, Message, SharedState, Writer, lock};

/// How often the files are checked, whether or not anything is written.
pub(super) const CHECK: Duration = Duration::from_millis(100);
/// How often closed segments are looked for.
const CHECK_CLOSED: Duration = Duration::from_millis(500);

impl Log {
    /// Begins the next segment, unless the open one is empty. Does not wait.
    pub fn begin_segment(&self) {
        // A log that cannot be written begins a segment by itself.
        drop(self.send(Message::Rotate));
    }

    /// Calls `notify`, on the writer's thread, when somebody else has changed the files.
    pub fn on_disturbed(&self, notify: impl Fn() + Send + 'static) {
        lock(&self.shared).on_disturbed = Some(Box::new(notify));
    }

    /// What somebody else did to the files since this was last acknowledged: what happened and what was written again.
    pub fn disturbed(&self) -> Option<String> {
        lock(&self.shared).disturbed.clone()
    }

    /// Ends what [`Log::disturbed`] says.
    pub fn acknowledge_disturbance(&self) {
        lock(&self.shared).disturbed = None;
    }
}

impl SharedState {
    pub(super) fn note_disturbance(&mut self, report: Option<String>) {
        if report.is_some() {
            self.disturbed = report;
            self.on_disturbed.iter().for_each(|notify| notify());
        }
    }
}

impl Writer {
    /// [`Self::check`] while lines are written.
    pub(super) fn check_if_due(&mut self) {
        if self.checked_at.elapsed() >= CHECK {
            self.check();
        }
    }

    /// Looks for what somebody else did to the files.
    pub(super) fn check(&mut self) {
        self.checked_at = Instant::now();
        if self.unavailable_reason().is_some() {
            return;
        }
        let closed = self.closed_checked_at.elapsed() >= CHECK_CLOSED;
        if closed {
            self.closed_checked_at = Instant::now();
        }
        // The failure is in the shared state, where every append sees it.
        let _ = self.at_disk(|chain| chain.check(closed));
        self.publish(&[]);
    }

    /// Begins the segment that says what somebody else did to the files, if anything did. The lines were acknowledged before,
    /// because between the check of their segment and the acknowledgement should be nothing else.
    pub(super) fn begin_disturbed_segment(&mut self) {
        if self.chain.has_disturbance() && self.unavailable_reason().is_none() {
            // The failure is in the shared state, where every append sees it.
            let _ = self.at_disk(Chain::begin_disturbed_segment);
            self.publish(&[]);
        }
    }
}
