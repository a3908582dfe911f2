//! Changes to the files by somebody else: the checks while nothing is written, and what callers learn of them.
//!
//! Rule: "Files that change under the program".

use std::time::{Duration, Instant};

use super::{Log, Message, SharedState, Writer, lock};

/// How often the files are checked while nothing is written.
pub(super) const CHECK: Duration = Duration::from_millis(250);
/// How often closed segments are looked for.
const CHECK_CLOSED: Duration = Duration::from_secs(10);

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
    /// Looks for what somebody else did to the files.
    pub(super) fn check(&mut self) {
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
}
