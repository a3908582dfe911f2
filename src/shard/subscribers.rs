//! Where states leave the shard: to whoever subscribed in this process, and to the publisher of streams.
//!
//! The town's thread speaks here; while a tick hangs the watchdog does in its place, and never with an older state after a
//! newer one. Must not know what a state says. Rules: "Telemetry", "Incidents".

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::publish::{Frame, Publisher};
use townlet_wire::Snapshot;

type Subscriber = Box<dyn Fn(Arc<Snapshot>) + Send>;

/// Everybody who is told.
pub(super) struct Subscribers {
    subscribers: Mutex<Vec<Subscriber>>,
    /// Whether there are any: asked every tick.
    subscribed: AtomicBool,
    /// Streams.
    pub(super) publisher: Publisher,
}

impl Subscribers {
    /// Nobody yet.
    pub(super) fn new(publisher: Publisher) -> Self {
        Self { subscribers: Mutex::default(), subscribed: AtomicBool::new(false), publisher }
    }

    fn subscribers(&self) -> MutexGuard<'_, Vec<Subscriber>> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more in this process.
    pub(super) fn subscribe(&self, subscriber: Subscriber) {
        self.subscribers().push(subscriber);
        self.subscribed.store(true, Ordering::Release);
    }

    /// Whether anybody in this process is told.
    pub(super) fn has_subscribers(&self) -> bool {
        self.subscribed.load(Ordering::Acquire)
    }

    /// Whether anybody is told.
    pub(super) fn has_readers(&self) -> bool {
        self.publisher.is_wanted() || self.has_subscribers()
    }

    /// Tells everybody: subscribers the state, streams the frame, when there is one.
    pub(super) fn tell(&self, view: &Arc<Snapshot>, frame: Option<Frame>) {
        let subscribers = self.subscribers();
        subscribers.iter().for_each(|subscriber| subscriber(Arc::clone(view)));
        if let Some(frame) = frame {
            self.publisher.publish(frame);
        }
    }

    /// Tells a state in the place of the town's thread, if that is `still` silent. Streams that are busy get none.
    pub(super) fn speak(&self, view: Snapshot, still: impl Fn() -> bool) {
        let view = Arc::new(view);
        let subscribers = self.subscribers();
        if !still() {
            return;
        }
        subscribers.iter().for_each(|subscriber| subscriber(Arc::clone(&view)));
        if self.publisher.is_wanted() && self.publisher.is_free() {
            let (events, narrations) = (Vec::new(), Vec::new());
            self.publisher.publish(Frame { view, events, narrations, renamed: false, lost: 0 });
        }
    }
}
