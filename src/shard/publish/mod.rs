//! The publisher: from the engine's states to the messages of every subscriber, on a thread of its own.
//!
//! The engine hands over a state when the publisher is free and goes on; finding what changed, encoding and archiving are
//! done here. Who gets what is the hub's. Rule: "Telemetry".

pub mod archive;
mod hub;
mod queue;
#[cfg(test)]
mod tests;

pub use queue::{EncodedMessage, Stream, StreamItem};

pub(super) use hub::{Frame, Mode};

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use townlet_town::config::{Backpressure, Telemetry};

use archive::Archive;
use hub::{Hub, Limits};
use queue::Queue;
use townlet_wire::Position;
use townlet_wire::telemetry::Transport;

/// How often it looks at the time when nothing comes.
const BEAT: Duration = Duration::from_millis(100);

enum PublisherMessage {
    Frame(Frame),
    Mode(Mode),
    Limits(Limits, Option<PathBuf>),
    Subscribe(Arc<Queue>, Option<Position>),
}

/// Somebody who asked for a stream.
pub(super) struct SubscribeRequest {
    queue: Arc<Queue>,
    resume: Option<Position>,
}

/// Both ends of a stream that nobody feeds yet.
pub(super) fn stream(
    resume: Option<Position>,
    notify: impl Fn() + Send + Sync + 'static,
) -> (SubscribeRequest, Stream) {
    let (queue, stream) = queue::queue(notify);
    (SubscribeRequest { queue, resume }, stream)
}

/// The engine's end of the publisher's thread.
pub(super) struct Publisher {
    sender: Option<Sender<PublisherMessage>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// A state was handed over and is not published yet.
    busy: AtomicBool,
    /// Somebody wants states.
    wanted: AtomicBool,
}

impl Publisher {
    /// Starts the thread; `report` hears how telemetry fares whenever that is not as it was.
    pub(super) fn start(
        config: &Telemetry,
        folder: PathBuf,
        run_id: &str,
        report: impl Fn(Transport) + Send + 'static,
    ) -> Self {
        let pressure = &config.backpressure;
        let limits = Limits::of(pressure);
        let epoch = jiff::Timestamp::now().as_millisecond().unsigned_abs();
        let hub = Hub::new(epoch, limits, Archive::new(pressure.archive.then_some(folder), run_id));
        let (sender, inbox) = channel();
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let spawned =
            std::thread::Builder::new().name("publisher".into()).spawn(move || run(hub, &inbox, &theirs, &report));
        // Without its thread nobody is served, and the town runs all the same.
        let sender = spawned.is_ok().then_some(sender);
        Self { sender, thread: spawned.ok(), shared }
    }

    /// Whether somebody wants states.
    pub(super) fn is_wanted(&self) -> bool {
        self.shared.wanted.load(Ordering::Acquire)
    }

    /// Whether it can take a state now.
    pub(super) fn is_free(&self) -> bool {
        !self.shared.busy.load(Ordering::Acquire)
    }

    /// Hands over a state; only when it is free.
    pub(super) fn publish(&self, frame: Frame) {
        self.shared.busy.store(true, Ordering::Release);
        self.tell(PublisherMessage::Frame(frame));
    }

    /// Takes somebody in.
    pub(super) fn subscribe(&self, asked: SubscribeRequest) {
        self.shared.wanted.store(true, Ordering::Release);
        self.tell(PublisherMessage::Subscribe(asked.queue, asked.resume));
    }

    /// What an operator wants.
    pub(super) fn set_mode(&self, mode: Mode) {
        self.tell(PublisherMessage::Mode(mode));
    }

    /// Other limits from now on, and whether the raw stream is kept in `folder` while messages are merged.
    pub(super) fn set_limits(&self, pressure: &Backpressure, folder: PathBuf) {
        self.tell(PublisherMessage::Limits(Limits::of(pressure), pressure.archive.then_some(folder)));
    }

    fn tell(&self, told: PublisherMessage) {
        // A publisher that broke off leaves its streams ended; the town goes on without.
        drop(self.sender.as_ref().map(|sender| sender.send(told)));
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.sender = None;
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn run(mut hub: Hub, inbox: &Receiver<PublisherMessage>, shared: &Shared, report: &impl Fn(Transport)) {
    let started = Instant::now();
    let mut reported = Transport { queue_length: 0, ..hub.report() };
    loop {
        let told = inbox.recv_timeout(BEAT);
        let now = started.elapsed();
        let framed = matches!(told, Ok(PublisherMessage::Frame(_)));
        match told {
            Ok(PublisherMessage::Frame(frame)) => hub.frame(now, frame),
            Ok(PublisherMessage::Mode(mode)) => hub.set_mode(now, mode),
            Ok(PublisherMessage::Limits(limits, folder)) => hub.set_limits(limits, folder),
            Ok(PublisherMessage::Subscribe(queue, resume)) => hub.subscribe(now, queue, resume),
            Err(RecvTimeoutError::Timeout) => hub.beat(now),
            Err(RecvTimeoutError::Disconnected) => return hub.end("the shard has stopped"),
        }
        shared.wanted.store(hub.is_wanted(), Ordering::Release);
        if framed {
            shared.busy.store(false, Ordering::Release);
        }
        let found = hub.report();
        // A queue that grows and shrinks is no news: the state that tells of it would make the next message.
        let news = Transport { queue_length: 0, ..found.clone() };
        if news != reported {
            reported = news;
            report(found);
        }
    }
}
