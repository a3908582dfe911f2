//! What other threads see of a running shard: snapshots as they are published or on request, and streams of messages.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use super::engine::Message;
use super::history::{MarkSelection, PastError};
use super::{CHECK_INTERVAL, Handle, incident, publish};
use townlet_wire::history::HistoryPage;
use townlet_wire::{Position, Snapshot};

impl Handle {
    /// Calls `subscriber` with every published snapshot, at most twenty a second, on the publisher's thread: it must be quick.
    pub fn subscribe(&self, subscriber: impl Fn(Arc<Snapshot>) + Send + 'static) {
        self.send(Message::Subscribe(Box::new(subscriber)));
    }

    /// Every message from the whole state on, or from where a reader left off, in a bounded queue of its own. `notify` is
    /// called on the publisher's thread when there is something to take: be quick.
    pub fn stream(&self, resume: Option<Position>, notify: impl Fn() + Send + Sync + 'static) -> publish::Stream {
        self.open_stream(publish::Start::Everything(resume), notify)
    }

    /// As [`Self::stream`], but from the whole state on with at most one message waiting, and with rows of residents as `view` says.
    pub fn stream_view(&self, view: publish::StreamView, notify: impl Fn() + Send + Sync + 'static) -> publish::Stream {
        self.open_stream(publish::Start::View(view), notify)
    }

    fn open_stream(&self, start: publish::Start, notify: impl Fn() + Send + Sync + 'static) -> publish::Stream {
        let (asked, stream) = publish::stream(start, notify);
        self.send(Message::Stream(asked));
        stream
    }

    /// The state as it is now, and the town's digest; `None` when the shard has ended. While a tick hangs, the last state,
    /// which says so, and no digest. The town's thread only copies its state for it.
    pub fn view(&self) -> Option<(Snapshot, String)> {
        let (sender, view) = channel();
        self.send(Message::View(sender));
        loop {
            match view.recv_timeout(CHECK_INTERVAL) {
                Ok(state) => return Some((state.snapshot(), state.digest())),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.diagnostics.hung().is_some()
                && let Some(view) = self.diagnostics.view()
            {
                return Some((incident::hanging(&view, &self.diagnostics), String::new()));
            }
        }
    }

    /// The town at a past tick, as an observer would have seen it, with names hidden as they are now. A thread of the lowest priority
    /// rebuilds it for half a second at most; the next call goes on from there. A client, by any name, has at most two questions
    /// there at a time. Waits for the answer.
    pub fn past_view(&self, client: &str, tick: u64) -> Result<Snapshot, PastError> {
        self.past.view(client, tick)
    }

    /// The ticks that [`Self::past_view`] can show now, and some of the run's marks. Under the same limits. Waits for the answer.
    pub fn past_marks(&self, client: &str, selection: MarkSelection) -> Result<HistoryPage, PastError> {
        self.past.page(client, selection)
    }

    /// What a message of a stream would carry now as `sent_ms`.
    pub fn stream_ms(&self) -> u64 {
        publish::milliseconds(self.stream_started.elapsed())
    }

    /// The states published so far, and the time that the town's thread has spent on them.
    pub fn publishing(&self) -> (u64, Duration) {
        let [states, nanoseconds] = [0, 1].map(|at| self.progress.published[at].load(Ordering::Relaxed));
        (states, Duration::from_nanos(nanoseconds))
    }
}
