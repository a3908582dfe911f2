//! Waiting for a condition with a deadline, and whether tests run at full size.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use townlet_wire::Snapshot;

/// Deadline of every wait. Nothing takes this long; it turns a hang into a failure.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(2);

/// Time between two checks of a condition that only polling can see, such as a file of another process.
const POLL: Duration = Duration::from_millis(5);

/// Whether `TOWNLET_SOAK=1` asks for the full size of long tests.
pub(crate) fn soak() -> bool {
    std::env::var("TOWNLET_SOAK").is_ok_and(|value| value == "1")
}

/// Checks a condition until it holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "timed out: {what}");
        std::thread::sleep(POLL);
    }
}

/// Lets this time pass, for a test about time itself, such as a process that is stopped.
pub(crate) fn stands_still(time: Duration) {
    std::thread::sleep(time);
}

/// The first published state for which the condition holds.
#[track_caller]
pub(crate) fn wait_for(
    views: &Receiver<Arc<Snapshot>>,
    what: &str,
    condition: impl Fn(&Snapshot) -> bool,
) -> Arc<Snapshot> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let view = views.recv_timeout(left).unwrap_or_else(|_| panic!("timed out: {what}"));
        if condition(&view) {
            return view;
        }
    }
}
