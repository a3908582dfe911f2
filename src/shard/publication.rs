//! When states are published: whether there is a new one, how often one may go out, and who wants it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use townlet_town::config::Telemetry;

use super::publish::Deferred;
use super::subscribers::Subscribers;

/// How soon a state is offered again to a publisher that was at work.
const BUSY_RETRY: Duration = Duration::from_millis(5);

pub(super) struct Publication {
    pub subscribers: Arc<Subscribers>,
    /// There is a state that was not published yet.
    pub dirty: bool,
    interval: Duration,
    /// Start of the interval after which the next state is due.
    last: Instant,
    /// Names have changed since then.
    pub renamed: bool,
    /// Whether the next state is the first with other names or narration.
    visibility_changed: bool,
    /// What waits until the next state is out.
    awaiting: Vec<Deferred>,
}

impl Publication {
    pub(super) fn new(subscribers: Arc<Subscribers>, telemetry: &Telemetry) -> Self {
        let (interval, now) = (interval(telemetry), Instant::now());
        let last = now.checked_sub(interval).unwrap_or(now);
        Self {
            subscribers,
            dirty: true,
            interval,
            last,
            renamed: false,
            visibility_changed: false,
            awaiting: Vec::new(),
        }
    }

    pub(super) fn set_rate(&mut self, telemetry: &Telemetry) {
        self.interval = interval(telemetry);
    }

    /// A state goes out now. Returns what waits for it.
    pub(super) fn published(&mut self, now: Instant) -> Vec<Deferred> {
        (self.last, self.dirty, self.visibility_changed) = (now, false, false);
        std::mem::take(&mut self.awaiting)
    }

    /// The publisher is busy. Offers the state again after [`BUSY_RETRY`].
    pub(super) fn put_off(&mut self, now: Instant) {
        self.last = (now + BUSY_RETRY).checked_sub(self.wanted_interval()).unwrap_or(now);
    }

    /// When the next state is to go out; `None` when nobody wants one or there is none.
    pub(super) fn due(&self) -> Option<Instant> {
        let wanted = self.subscribers.has_readers() || !self.awaiting.is_empty();
        (self.dirty && wanted).then(|| self.last + self.wanted_interval())
    }

    /// The next state goes out at once, with every name: residents are called otherwise now.
    pub(super) fn names_changed(&mut self) {
        self.renamed = true;
        self.visibility_changed();
    }

    /// The next state goes out at once: readers are shown more or less than before.
    pub(super) fn visibility_changed(&mut self) {
        (self.dirty, self.visibility_changed) = (true, true);
        self.last = self.last.checked_sub(self.wanted_interval()).unwrap_or(self.last);
    }

    /// The configured time between two states, or more when no subscriber wants so many.
    fn wanted_interval(&self) -> Duration {
        self.interval.max(self.subscribers.interval())
    }

    /// Whether readers may still get a state from before a change of names or narration.
    pub(super) fn has_visibility_changed(&self) -> bool {
        self.visibility_changed
    }

    /// Does the work when the next state is out.
    pub(super) fn after_next(&mut self, work: Deferred) {
        self.awaiting.push(work);
    }
}

fn interval(telemetry: &Telemetry) -> Duration {
    Duration::from_secs(1) / telemetry.backpressure.max_messages_per_second.max(1)
}
