//! The subscribers of a shard's states: those in this process, and the publisher of streams.
//!
//! The publisher's thread delivers snapshots; while a tick hangs, the watchdog does in its place. Rules: "Telemetry", "Incidents".

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::publish::{Deferred, Frame, Publisher, Update};
use townlet_wire::Snapshot;

type Subscriber = Box<dyn Fn(Arc<Snapshot>) + Send>;

/// The subscribers in this process.
#[derive(Default)]
pub(super) struct LocalSubscribers {
    list: Mutex<Vec<Subscriber>>,
    /// Whether there are any, or one that is about to be added; read every tick.
    any: AtomicBool,
}

impl LocalSubscribers {
    fn lock(&self) -> MutexGuard<'_, Vec<Subscriber>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes a snapshot to all of them.
    pub(super) fn show(&self, view: &Arc<Snapshot>) {
        self.lock().iter().for_each(|subscriber| subscriber(Arc::clone(view)));
    }
}

pub(super) struct Subscribers {
    local: Arc<LocalSubscribers>,
    pub(super) publisher: Publisher,
}

impl Subscribers {
    pub(super) fn new(local: Arc<LocalSubscribers>, publisher: Publisher) -> Self {
        Self { local, publisher }
    }

    /// Adds a subscriber in this process. It gets no state that was passed before.
    pub(super) fn subscribe(&self, subscriber: Subscriber) {
        let local = Arc::clone(&self.local);
        local.any.store(true, Ordering::Release);
        self.publisher.defer(Deferred::new(move || local.lock().push(subscriber)));
    }

    pub(super) fn has_readers(&self) -> bool {
        self.publisher.is_wanted() || self.local.any.load(Ordering::Acquire)
    }

    /// The time between two states that is enough for every subscriber; those in this process say nothing.
    pub(super) fn interval(&self) -> Duration {
        if self.local.any.load(Ordering::Acquire) { Duration::ZERO } else { self.publisher.interval() }
    }

    /// Passes a state to the publisher, which must be free. The lock keeps it from passing one while [`Self::publish_hanging`] checks
    /// and delivers.
    pub(super) fn publish(&self, update: Update) {
        let order = self.local.lock();
        let returned = self.publisher.publish(update);
        // Showing takes the lock itself.
        drop(order);
        if let Some(update) = returned {
            self.publisher.show(&update);
        }
    }

    /// Publishes a snapshot in place of the town's thread, as long as that is `still` silent. A busy publisher gets none.
    pub(super) fn publish_hanging(&self, view: Snapshot, still: impl Fn() -> bool) {
        let view = Arc::new(view);
        let subscribers = self.local.lock();
        if !still() {
            return;
        }
        subscribers.iter().for_each(|subscriber| subscriber(Arc::clone(&view)));
        if self.publisher.is_wanted() && self.publisher.is_free() {
            let (events, narrations) = (Vec::new(), Vec::new());
            self.publisher.stream(Frame { view, events, narrations, renamed: false, lost: 0 });
        }
    }
}
