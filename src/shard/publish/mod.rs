//! The publisher thread: turns the engine's states into snapshots and messages for subscribers.
//!
//! The engine passes a copy of its state when the publisher is free and never waits; snapshots, diffs, encoding and archives are made
//! here. Rule: "Telemetry".

pub mod archive;
mod hub;
mod queue;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod view_tests;
mod viewer;

pub use queue::{EncodedMessage, Stream, StreamItem};
pub use viewer::StreamView;

pub(super) use hub::{Frame, Mode, milliseconds};

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fail::fail_point;
use townlet_town::config::{Backpressure, Telemetry};

use archive::Archive;
use hub::Hub;
use queue::Queue;
use townlet_wire::telemetry::Transport;
use townlet_wire::{Position, Snapshot};

use super::telemetry::{CapturedState, NewItems};

/// Interval of the timer while no message arrives.
const TIMER: Duration = Duration::from_millis(100);

/// A state of the town for all subscribers.
pub(super) struct Update {
    pub state: CapturedState,
    /// Everything since the last update, for streams; `None` when none is open.
    pub news: Option<NewItems>,
    /// Whether residents have other names than before.
    pub renamed: bool,
}

/// Work that is done exactly once: when it is dropped. It is also done if the publisher ends before it.
pub(super) struct Deferred(Option<Box<dyn FnOnce() + Send>>);

impl Deferred {
    pub(super) fn new(work: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(work)))
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        if let Some(work) = self.0.take() {
            work();
        }
    }
}

/// Gets every snapshot that the publisher builds.
pub(super) type ShowFn = Arc<dyn Fn(&Arc<Snapshot>) + Send + Sync>;

enum PublisherMessage {
    Update(Box<Update>),
    /// A snapshot that was built elsewhere, for streams alone.
    Frame(Frame),
    Mode(Mode),
    Limits(Backpressure, Option<PathBuf>),
    Subscribe(SubscribeRequest),
    Deferred(Deferred),
}

pub(super) struct SubscribeRequest {
    queue: Arc<Queue>,
    start: Start,
}

/// Where a stream begins and what it carries.
pub(super) enum Start {
    /// Everything, after the messages that the subscriber has read.
    Everything(Option<Position>),
    /// What the subscriber looks at.
    View(StreamView),
}

/// Creates a stream; [`Publisher::subscribe`] starts it.
pub(super) fn stream(start: Start, notify: impl Fn() + Send + Sync + 'static) -> (SubscribeRequest, Stream) {
    let (queue, stream) = queue::queue(notify);
    (SubscribeRequest { queue, start }, stream)
}

pub(super) struct Publisher {
    sender: Option<Sender<PublisherMessage>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    show: ShowFn,
}

#[derive(Default)]
struct Shared {
    /// A state was passed and is not published yet.
    busy: AtomicBool,
    wanted: AtomicBool,
    /// Milliseconds between two messages that are enough for every stream.
    interval: AtomicU64,
}

impl Publisher {
    /// Starts the thread, whose messages carry the time since `started`. `show` gets every snapshot; `report` receives the state of
    /// telemetry whenever it changes.
    pub(super) fn start(
        started: Instant,
        config: &Telemetry,
        folder: PathBuf,
        run_id: &str,
        show: ShowFn,
        report: impl Fn(Transport) + Send + 'static,
    ) -> Self {
        let pressure = &config.backpressure;
        let epoch = jiff::Timestamp::now().as_millisecond().unsigned_abs();
        let hub = Hub::new(epoch, pressure.clone(), Archive::new(pressure.archive.then_some(folder), run_id));
        let (sender, inbox) = channel();
        let shared = Arc::new(Shared::default());
        let theirs = (Arc::clone(&shared), Arc::clone(&show));
        let run = move || run(hub, started, &inbox, &theirs.0, &theirs.1, &report);
        let spawned = std::thread::Builder::new().name("publisher".into()).spawn(run);
        let sender = spawned.is_ok().then_some(sender);
        Self { sender, thread: spawned.ok(), shared, show }
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.shared.wanted.load(Ordering::Acquire)
    }

    pub(super) fn is_free(&self) -> bool {
        !self.shared.busy.load(Ordering::Acquire) || self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// The time between two messages that is enough for every stream.
    pub(super) fn interval(&self) -> Duration {
        Duration::from_millis(self.shared.interval.load(Ordering::Acquire))
    }

    /// Passes a state; only if [`Self::is_free`]. Gives it back when the thread has ended.
    pub(super) fn publish(&self, update: Update) -> Option<Box<Update>> {
        self.shared.busy.store(true, Ordering::Release);
        let message = PublisherMessage::Update(Box::new(update));
        let refused = match &self.sender {
            Some(sender) => sender.send(message).err().map(|refused| refused.0),
            None => Some(message),
        };
        match refused {
            Some(PublisherMessage::Update(update)) => Some(update),
            _ => None,
        }
    }

    /// Builds and shows the snapshot of a state that [`Self::publish`] gave back. Streams get nothing.
    pub(super) fn show(&self, update: &Update) {
        (self.show)(&Arc::new(update.state.snapshot()));
    }

    /// Streams a snapshot that was built elsewhere; only if [`Self::is_free`].
    pub(super) fn stream(&self, frame: Frame) {
        self.shared.busy.store(true, Ordering::Release);
        self.send(PublisherMessage::Frame(frame));
    }

    pub(super) fn subscribe(&self, request: SubscribeRequest) {
        self.shared.wanted.store(true, Ordering::Release);
        self.send(PublisherMessage::Subscribe(request));
    }

    /// Does the work when every state passed so far has been shown and streamed.
    pub(super) fn defer(&self, work: Deferred) {
        self.send(PublisherMessage::Deferred(work));
    }

    pub(super) fn set_mode(&self, mode: Mode) {
        self.send(PublisherMessage::Mode(mode));
    }

    /// Changes the limits, and the folder of archives.
    pub(super) fn set_limits(&self, pressure: &Backpressure, folder: PathBuf) {
        self.send(PublisherMessage::Limits(pressure.clone(), pressure.archive.then_some(folder)));
    }

    fn send(&self, message: PublisherMessage) {
        // If the publisher has crashed, its streams have ended and the town runs on.
        drop(self.sender.as_ref().map(|sender| sender.send(message)));
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.sender = None;
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Builds the snapshot, shows it, and passes it on to the streams.
fn publish(hub: &mut Hub, now: Duration, update: Update, show: &ShowFn) {
    let Update { state, news, renamed } = update;
    fail_point!("publisher_build");
    let view = Arc::new(state.snapshot());
    show(&view);
    if let Some(NewItems { events, narrations, lost }) = news {
        let names = state.names();
        let events = names.apply(events.into_iter().map(Arc::unwrap_or_clone).collect());
        let narrations = names.apply(narrations.into_iter().map(Arc::unwrap_or_clone).collect());
        hub.frame(now, Frame { view, events, narrations, renamed, lost });
    }
}

/// Frees the publisher also when its thread crashes.
struct Busy<'a>(&'a Shared);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

fn run(
    mut hub: Hub,
    started: Instant,
    inbox: &Receiver<PublisherMessage>,
    shared: &Shared,
    show: &ShowFn,
    report: &impl Fn(Transport),
) {
    let mut reported = Transport { queue_length: 0, ..hub.report() };
    loop {
        let message = inbox.recv_timeout(TIMER);
        let now = started.elapsed();
        let state = matches!(message, Ok(PublisherMessage::Update(_) | PublisherMessage::Frame(_)));
        let busy = state.then(|| Busy(shared));
        match message {
            Ok(PublisherMessage::Update(update)) => publish(&mut hub, now, *update, show),
            Ok(PublisherMessage::Frame(frame)) => hub.frame(now, frame),
            Ok(PublisherMessage::Mode(mode)) => hub.set_mode(now, mode),
            Ok(PublisherMessage::Limits(limits, folder)) => hub.set_limits(limits, folder),
            Ok(PublisherMessage::Deferred(work)) => drop(work),
            Ok(PublisherMessage::Subscribe(SubscribeRequest { queue, start })) => match start {
                Start::Everything(resume) => hub.subscribe(now, queue, resume),
                Start::View(view) => hub.subscribe_view(now, queue, view),
            },
            Err(RecvTimeoutError::Timeout) => hub.on_timer(now),
            Err(RecvTimeoutError::Disconnected) => return hub.end(townlet_wire::sse::STOPPING),
        }
        shared.wanted.store(hub.is_wanted(), Ordering::Release);
        shared.interval.store(hub.interval().as_millis() as u64, Ordering::Release);
        drop(busy);
        let found = hub.report();
        // The queue length alone is not reported, because the report itself causes the next message.
        let news = Transport { queue_length: 0, ..found.clone() };
        if news != reported {
            reported = news;
            report(found);
        }
    }
}
