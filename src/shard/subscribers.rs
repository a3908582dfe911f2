//! The subscribers of a shard's states: those in this process, and the publisher of streams.
//!
//! The publisher's thread delivers snapshots; while a tick hangs, the watchdog does in its place. Rules: "Telemetry", "Incidents".

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::publish::{Frame, Publisher, Update};
use townlet_wire::Snapshot;

type Subscriber = Box<dyn Fn(Arc<Snapshot>) + Send>;

/// The subscribers in this process.
#[derive(Default)]
pub(super) struct LocalSubscribers {
    list: Mutex<Vec<Subscriber>>,
    /// Whether there are any; read every tick.
    any: AtomicBool,
}

impl LocalSubscribers {
    fn lock(&self) -> MutexGuard<'_, Vec<Subscriber>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, subscriber: Subscriber) {
        self.lock().push(subscriber);
        self.any.store(true, Ordering::Release);
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

    pub(super) fn subscribe(&self, subscriber: Subscriber) {
        self.local.add(subscriber);
    }

    pub(super) fn has_readers(&self) -> bool {
        self.publisher.is_wanted() || self.local.any.load(Ordering::Acquire)
    }

    /// The time between two states that is enough for every subscriber; those in this process say nothing.
    pub(super) fn interval(&self) -> Duration {
        if self.local.any.load(Ordering::Acquire) { Duration::ZERO } else { self.publisher.interval() }
    }

    /// Publishes a state; only if the publisher is free. Never between the check and the delivery of [`Self::publish_hanging`], so that
    /// no older state follows a newer one.
    pub(super) fn publish(&self, update: Update) {
        let _order = self.local.lock();
        self.publisher.publish(update);
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
