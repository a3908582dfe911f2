//! The message queue of one subscriber, between the publisher and the reader. Neither waits for the other; the hub limits the
//! length.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use townlet_wire::{Position, sse};

/// A message, encoded once for all subscribers.
#[derive(Debug, PartialEq, Eq)]
pub struct EncodedMessage {
    /// Position of the reader after this message.
    pub position: Position,
    /// `snapshot`, `diff`, `aggregate`, `heartbeat`, `resync`.
    pub kind: &'static str,
    /// The envelope as one line of JSON, without newline.
    pub text: Arc<str>,
    /// The event in compressed form, once somebody has asked for it.
    compressed: OnceLock<Arc<[u8]>>,
}

impl EncodedMessage {
    pub(super) fn new(position: Position, kind: &'static str, text: Arc<str>) -> Self {
        Self { position, kind, text, compressed: OnceLock::new() }
    }

    /// The server-sent event of the message as a Zstandard frame; compressed once for all subscribers. Takes milliseconds for large
    /// messages.
    ///
    /// # Errors
    /// The compressor has no memory.
    pub fn compressed(&self) -> std::io::Result<Arc<[u8]>> {
        if let Some(compressed) = self.compressed.get() {
            return Ok(Arc::clone(compressed));
        }
        let [head, tail] = sse::event_frame(&self.position.to_string(), self.kind);
        let event = [head.as_str(), &self.text, &tail].concat();
        let compressed = zstd::bulk::compress(event.as_bytes(), COMPRESSION_LEVEL)?;
        Ok(Arc::clone(self.compressed.get_or_init(|| compressed.into())))
    }
}

/// The fastest level: messages are sent as soon as they are made.
const COMPRESSION_LEVEL: i32 = 1;

/// The result of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamItem {
    /// A message.
    Message(Arc<EncodedMessage>),
    /// No message is waiting.
    Nothing,
    /// The stream has ended, and why.
    Ended(String),
}

/// The reader's end of a queue. Dropping it ends the subscription.
pub struct Stream(Arc<Queue>);

pub(super) struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
    notify: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct QueueState {
    messages: VecDeque<Arc<EncodedMessage>>,
    taken: u64,
    ended: Option<String>,
    left: bool,
}

impl Stream {
    /// The next message, without waiting.
    pub fn try_next(&self) -> StreamItem {
        take(&mut self.0.lock())
    }

    /// The next message; waits at most `timeout`.
    pub fn next(&self, timeout: Duration) -> StreamItem {
        let nothing = |state: &mut QueueState| state.messages.is_empty() && state.ended.is_none();
        let waited = self.0.changed.wait_timeout_while(self.0.lock(), timeout, nothing);
        take(&mut waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.left = true;
        state.messages.clear();
    }
}

fn take(state: &mut QueueState) -> StreamItem {
    match (state.messages.pop_front(), &state.ended) {
        (Some(message), _) => {
            state.taken += 1;
            StreamItem::Message(message)
        }
        (None, Some(why)) => StreamItem::Ended(why.clone()),
        (None, None) => StreamItem::Nothing,
    }
}

/// Creates a queue; `notify` is called on the publisher's thread whenever there is something to read.
pub(super) fn queue(notify: impl Fn() + Send + Sync + 'static) -> (Arc<Queue>, Stream) {
    let queue = Queue { state: Mutex::default(), changed: Condvar::new(), notify: Box::new(notify) };
    let queue = Arc::new(queue);
    (Arc::clone(&queue), Stream(queue))
}

impl Queue {
    /// A panic of the other side leaves complete messages behind.
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().messages.len()
    }

    /// Whether fewer than `messages` messages and fewer than `bytes` bytes are waiting; one message may always wait.
    pub(super) fn has_room(&self, messages: usize, bytes: usize) -> bool {
        let waiting = &self.lock().messages;
        waiting.is_empty()
            || waiting.len() < messages && waiting.iter().map(|message| message.text.len()).sum::<usize>() < bytes
    }

    pub(super) fn taken(&self) -> u64 {
        self.lock().taken
    }

    /// Whether the reader has dropped its end.
    pub(super) fn has_left(&self) -> bool {
        self.lock().left
    }

    pub(super) fn push(&self, message: Arc<EncodedMessage>) {
        self.lock().messages.push_back(message);
        self.wake();
    }

    /// Drops all waiting messages and returns their number.
    pub(super) fn clear(&self) -> usize {
        std::mem::take(&mut self.lock().messages).len()
    }

    /// Ends the stream after the waiting messages.
    pub(super) fn end(&self, why: &str) {
        self.lock().ended.get_or_insert_with(|| why.to_owned());
        self.wake();
    }

    fn wake(&self) {
        self.changed.notify_all();
        (self.notify)();
    }
}
