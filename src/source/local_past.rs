//! The past of a local shard: a thread that asks for the tick that was wished last, and for no other.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Deliver, Moved, SourceEvent};
use townlet_shard::Handle;
use townlet_shard::history::PastError;
use townlet_wire::ErrorBody;

/// How the interface is called in the shard's line of questions.
const CLIENT: &str = "screen";
/// How long it waits before it asks again for what takes longer.
const AGAIN: Duration = Duration::from_millis(50);

/// The thread, which starts with the first wish and ends with this value.
pub(super) struct LocalPast {
    shared: Arc<Wishes>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Wishes {
    wish: Mutex<Wish>,
    changed: Condvar,
}

/// What is to be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wish {
    /// Nothing else than what is shown.
    #[default]
    None,
    Tick(u64),
    End,
}

impl Wishes {
    fn lock(&self) -> MutexGuard<'_, Wish> {
        self.wish.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, wish: Wish) {
        *self.lock() = wish;
        self.changed.notify_all();
    }

    /// The next tick that is wished; `None` at the end.
    fn next(&self) -> Option<u64> {
        let mut wish = self.lock();
        loop {
            match *wish {
                Wish::Tick(tick) => return Some(tick),
                Wish::End => return None,
                Wish::None => wish = self.changed.wait(wish).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Waits a moment while this tick is wished.
    fn pause(&self, tick: u64) {
        let still = |wish: &mut Wish| *wish == Wish::Tick(tick);
        drop(self.changed.wait_timeout_while(self.lock(), AGAIN, still));
    }

    /// Takes back the wish for a tick. Returns whether it was still there.
    fn grant(&self, tick: u64) -> bool {
        let mut wish = self.lock();
        let still = *wish == Wish::Tick(tick);
        if still {
            *wish = Wish::None;
        }
        still
    }
}

impl LocalPast {
    pub(super) fn new() -> Self {
        Self { shared: Arc::default(), thread: None }
    }

    /// Has a tick delivered.
    pub(super) fn seek(&mut self, tick: u64, shard: &Arc<Handle>, deliver: &Deliver) {
        self.shared.set(Wish::Tick(tick));
        if self.thread.is_none() {
            let (wishes, shard, deliver) = (Arc::clone(&self.shared), Arc::clone(shard), Arc::clone(deliver));
            let answer = move || serve(&wishes, &shard, &deliver);
            self.thread = std::thread::Builder::new().name("past".into()).spawn(answer).ok();
        }
    }

    /// Takes back what was not delivered.
    pub(super) fn live(&self, deliver: &Deliver) {
        self.shared.set(Wish::None);
        deliver(SourceEvent::Moved(Moved::Live));
    }

    /// Ends the thread.
    pub(super) fn end(&mut self) {
        self.shared.set(Wish::End);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for LocalPast {
    fn drop(&mut self) {
        self.end();
    }
}

fn serve(wishes: &Wishes, shard: &Handle, deliver: &Deliver) {
    while let Some(tick) = wishes.next() {
        let moved = match shard.past_view(CLIENT, tick) {
            Ok(view) => Moved::Past(Arc::new(view)),
            Err(PastError::Busy | PastError::Unfinished { .. }) => {
                wishes.pause(tick);
                continue;
            }
            Err(why) => Moved::Refused { tick, error: ErrorBody::from(&why) },
        };
        // What is not wished any more is not delivered after what is.
        if wishes.grant(tick) {
            deliver(SourceEvent::Moved(moved));
        }
    }
}
