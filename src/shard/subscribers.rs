//! The subscribers of a shard's states: those in this process, and the publisher of streams.
//!
//! The town's thread publishes here; while a tick hangs, the watchdog does in its place, and never an older state after a newer one.
//! Rules: "Telemetry", "Incidents".

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::publish::{Frame, Publisher};
use townlet_wire::Snapshot;

type Subscriber = Box<dyn Fn(Arc<Snapshot>) + Send>;

pub(super) struct Subscribers {
    live: Mutex<Vec<Subscriber>>,
    /// Whether there are any; read every tick.
    subscribed: AtomicBool,
    pub(super) publisher: Publisher,
}

impl Subscribers {
    pub(super) fn new(publisher: Publisher) -> Self {
        Self { live: Mutex::default(), subscribed: AtomicBool::new(false), publisher }
    }

    fn subscribers(&self) -> MutexGuard<'_, Vec<Subscriber>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn subscribe(&self, subscriber: Subscriber) {
        self.subscribers().push(subscriber);
        self.subscribed.store(true, Ordering::Release);
    }

    /// Whether this process has a subscriber.
    pub(super) fn has_subscribers(&self) -> bool {
        self.subscribed.load(Ordering::Acquire)
    }

    pub(super) fn has_readers(&self) -> bool {
        self.publisher.is_wanted() || self.has_subscribers()
    }

    /// Sends subscribers the state, and streams the frame when there is one.
    pub(super) fn publish(&self, view: &Arc<Snapshot>, frame: Option<Frame>) {
        let subscribers = self.subscribers();
        subscribers.iter().for_each(|subscriber| subscriber(Arc::clone(view)));
        if let Some(frame) = frame {
            self.publisher.publish(frame);
        }
    }

    /// Publishes a state in place of the town's thread, as long as that is `still` silent. A busy publisher gets none.
    pub(super) fn publish_hanging(&self, view: Snapshot, still: impl Fn() -> bool) {
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
