//! What waits for one subscriber: a bounded queue between the publisher and whoever carries the messages on.
//!
//! Neither side waits for the other's work: the publisher puts and goes, a reader takes what is there. How full a queue may
//! be is the hub's rule.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use townlet_wire::Position;

/// A message, encoded once for everybody who gets it.
#[derive(Debug, PartialEq, Eq)]
pub struct EncodedMessage {
    /// Where its reader stands afterwards.
    pub position: Position,
    /// `snapshot`, `diff`, `aggregate`, `heartbeat`, `resync`.
    pub kind: &'static str,
    /// The envelope as one line of JSON, without its end.
    pub text: Arc<str>,
}

/// What a reader is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamItem {
    /// A message.
    Message(Arc<EncodedMessage>),
    /// There is none now.
    Nothing,
    /// There will be none any more, and why.
    Ended(String),
}

/// A reader's end of its queue. Dropped, it is no subscriber any more.
pub struct Stream(Arc<Queue>);

/// The publisher's end.
pub(super) struct Queue {
    inside: Mutex<Inside>,
    changed: Condvar,
    notify: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Inside {
    messages: VecDeque<Arc<EncodedMessage>>,
    taken: u64,
    ended: Option<String>,
    left: bool,
}

impl Stream {
    /// The next message if there is one; never waits.
    pub fn try_next(&self) -> StreamItem {
        take(&mut self.0.lock())
    }

    /// The next message, for which it waits so long.
    pub fn next(&self, patience: Duration) -> StreamItem {
        let nothing = |inside: &mut Inside| inside.messages.is_empty() && inside.ended.is_none();
        let waited = self.0.changed.wait_timeout_while(self.0.lock(), patience, nothing);
        take(&mut waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut inside = self.0.lock();
        inside.left = true;
        inside.messages.clear();
    }
}

fn take(inside: &mut Inside) -> StreamItem {
    match (inside.messages.pop_front(), &inside.ended) {
        (Some(message), _) => {
            inside.taken += 1;
            StreamItem::Message(message)
        }
        (None, Some(why)) => StreamItem::Ended(why.clone()),
        (None, None) => StreamItem::Nothing,
    }
}

/// Both ends of a new queue; `notify` is called on the publisher's thread whenever there is something to take.
pub(super) fn queue(notify: impl Fn() + Send + Sync + 'static) -> (Arc<Queue>, Stream) {
    let queue = Queue { inside: Mutex::default(), changed: Condvar::new(), notify: Box::new(notify) };
    let queue = Arc::new(queue);
    (Arc::clone(&queue), Stream(queue))
}

impl Queue {
    /// A reader that broke off while it held the lock left whole messages behind.
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Messages not taken yet.
    pub(super) fn len(&self) -> usize {
        self.lock().messages.len()
    }

    /// Whether fewer messages wait than `messages`, and fewer bytes than `bytes`; one message may always wait.
    pub(super) fn has_room(&self, messages: usize, bytes: usize) -> bool {
        let waiting = &self.lock().messages;
        waiting.is_empty()
            || waiting.len() < messages && waiting.iter().map(|message| message.text.len()).sum::<usize>() < bytes
    }

    /// Messages taken so far.
    pub(super) fn taken(&self) -> u64 {
        self.lock().taken
    }

    /// Whether the reader is gone.
    pub(super) fn is_left(&self) -> bool {
        self.lock().left
    }

    /// Adds a message.
    pub(super) fn push(&self, message: Arc<EncodedMessage>) {
        self.lock().messages.push_back(message);
        self.tell();
    }

    /// Throws away what waits. Answers with how many messages that were.
    pub(super) fn clear(&self) -> usize {
        std::mem::take(&mut self.lock().messages).len()
    }

    /// No more messages after those that wait.
    pub(super) fn end(&self, why: &str) {
        self.lock().ended.get_or_insert_with(|| why.to_owned());
        self.tell();
    }

    fn tell(&self) {
        self.changed.notify_all();
        (self.notify)();
    }
}
