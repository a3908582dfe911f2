//! When states are published: whether there is a new one, how often one may go out, and who wants it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use townlet_town::config::Telemetry;

use super::subscribers::Subscribers;

/// How soon a state is offered again to a publisher that was at work.
const BUSY_RETRY: Duration = Duration::from_millis(5);

pub(super) struct Publication {
    pub subscribers: Arc<Subscribers>,
    /// There is a state that was not published yet.
    pub dirty: bool,
    interval: Duration,
    /// When the last state went out.
    last: Instant,
    /// Names have changed since then.
    pub renamed: bool,
}

impl Publication {
    pub(super) fn new(subscribers: Arc<Subscribers>, telemetry: &Telemetry) -> Self {
        let (interval, now) = (interval(telemetry), Instant::now());
        let last = now.checked_sub(interval).unwrap_or(now);
        Self { subscribers, dirty: true, interval, last, renamed: false }
    }

    pub(super) fn set_rate(&mut self, telemetry: &Telemetry) {
        self.interval = interval(telemetry);
    }

    /// A state goes out now.
    pub(super) fn published(&mut self, now: Instant) {
        (self.last, self.dirty) = (now, false);
    }

    /// The publisher is at work on the last state; the next one waits.
    pub(super) fn put_off(&mut self, now: Instant) {
        self.last = (now + BUSY_RETRY).checked_sub(self.wanted_interval()).unwrap_or(now);
    }

    /// When the next state is to go out; `None` when nobody wants one or there is none.
    pub(super) fn due(&self) -> Option<Instant> {
        (self.dirty && self.subscribers.has_readers()).then(|| self.last + self.wanted_interval())
    }

    /// The next state goes out at once, with every name: residents are called otherwise now.
    pub(super) fn names_changed(&mut self) {
        self.renamed = true;
        self.last = self.last.checked_sub(self.wanted_interval()).unwrap_or(self.last);
    }

    /// The configured time between two states, or more when no subscriber wants so many.
    fn wanted_interval(&self) -> Duration {
        self.interval.max(self.subscribers.interval())
    }
}

fn interval(telemetry: &Telemetry) -> Duration {
    Duration::from_secs(1) / telemetry.backpressure.max_messages_per_second.max(1)
}
