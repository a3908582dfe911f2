//! Views on their way from the thread of a source to the main loop and back: they are indexed on the way and dropped by the source,
//! because both take long in a large town.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::indexed_snapshot::IndexedSnapshot;
use townlet_source::{Source, SourceEvent};
use townlet_wire::Snapshot;

/// The newest view of a source that the main loop has not taken yet, and views that it no longer needs.
#[derive(Debug, Default)]
pub struct ViewExchange {
    newest: Mutex<Option<Arc<IndexedSnapshot>>>,
    used: Mutex<Vec<Arc<IndexedSnapshot>>>,
    /// The one delivered last, whose indexes help to build the next ones.
    last: Mutex<Option<Arc<IndexedSnapshot>>>,
}

impl ViewExchange {
    /// Starts a source whose views wait in an exchange, which indexes and drops them on the source's thread. `deliver` gets the other
    /// events, and `None` when a view waits.
    pub fn start(source: &mut dyn Source, deliver: impl Fn(Option<SourceEvent>) + Send + Sync + 'static) -> Arc<Self> {
        let views = Arc::<Self>::default();
        let exchange = Arc::clone(&views);
        source.start(Box::new(move |event| match event {
            SourceEvent::View(view) => {
                if exchange.deliver(view) {
                    deliver(None);
                }
            }
            other => deliver(Some(other)),
        }));
        views
    }

    /// Indexes a view for the main loop, which gets it in place of one that it has not taken. Returns whether there was none.
    pub fn deliver(&self, snapshot: Arc<Snapshot>) -> bool {
        let used = std::mem::take(&mut *lock(&self.used));
        drop(used);
        let view = Arc::new(IndexedSnapshot::new(snapshot));
        let before = lock(&self.last).take();
        view.prepare(before.as_deref());
        drop(before);
        *lock(&self.last) = Some(Arc::clone(&view));
        let unread = lock(&self.newest).replace(view);
        unread.is_none()
    }

    /// The newest view, once.
    pub fn take(&self) -> Option<Arc<IndexedSnapshot>> {
        lock(&self.newest).take()
    }

    /// Returns views that are no longer needed. They are dropped with the next delivery.
    pub fn give_back(&self, used: Option<Arc<IndexedSnapshot>>) {
        lock(&self.used).extend(used);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(tick: u64) -> Arc<Snapshot> {
        Arc::new(Snapshot { tick, ..Snapshot::default() })
    }

    #[test]
    fn only_the_newest_view_waits() {
        let exchange = ViewExchange::default();
        assert!(exchange.deliver(view(1)) && !exchange.deliver(view(2)));
        assert_eq!(exchange.take().map(|view| view.tick), Some(2));
        assert!(exchange.take().is_none() && exchange.deliver(view(3)));
    }

    #[test]
    fn a_used_view_is_dropped_with_the_next_delivery() {
        let exchange = ViewExchange::default();
        let first = view(1);
        exchange.deliver(Arc::clone(&first));
        let used = exchange.take();
        exchange.deliver(view(2));
        exchange.give_back(used);
        assert_eq!(Arc::strong_count(&first), 2, "the main loop drops nothing");
        exchange.deliver(view(3));
        assert_eq!(Arc::strong_count(&first), 1);
    }
}
