//! The past of a local shard: a thread that asks for the tick that was wished last, and for no other, and for the marks of the run.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Deliver, MAX_MARKS, Moved, SourceEvent};
use townlet_shard::Handle;
use townlet_shard::history::{MarkSelection, PastError};
use townlet_wire::ErrorBody;

/// How the interface is called in the shard's line of questions.
const CLIENT: &str = "screen";
/// How long it waits before it asks again for what takes longer.
const AGAIN: Duration = Duration::from_millis(50);
/// Least time between two readings of the marks.
const MARKS_PAUSE: Duration = Duration::from_secs(10);

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

/// What is to be delivered.
#[derive(Clone, Copy, Debug, Default)]
struct Wish {
    /// The tick that is to be shown, if it is not shown yet.
    tick: Option<u64>,
    marks: bool,
    end: bool,
}

/// What the thread does next.
enum Job {
    Tick(u64),
    Marks,
}

impl Wishes {
    fn lock(&self) -> MutexGuard<'_, Wish> {
        self.wish.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Wish)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// The next job, marks not before their time; `None` at the end.
    fn next(&self, marks_from: Instant) -> Option<Job> {
        let mut wish = self.lock();
        loop {
            match *wish {
                Wish { end: true, .. } => return None,
                Wish { tick: Some(tick), .. } => return Some(Job::Tick(tick)),
                Wish { marks: true, .. } => {
                    let wait = marks_from.saturating_duration_since(Instant::now());
                    if wait.is_zero() {
                        wish.marks = false;
                        return Some(Job::Marks);
                    }
                    let waited = self.changed.wait_timeout(wish, wait);
                    wish = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                _ => wish = self.changed.wait(wish).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Waits a moment while this tick is wished.
    fn pause(&self, tick: u64) {
        let still = |wish: &mut Wish| wish.tick == Some(tick) && !wish.end;
        drop(self.changed.wait_timeout_while(self.lock(), AGAIN, still));
    }

    /// Takes back the wish for a tick. Returns whether it was still there.
    fn grant(&self, tick: u64) -> bool {
        let mut wish = self.lock();
        let still = wish.tick == Some(tick);
        if still {
            wish.tick = None;
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
        self.shared.change(|wish| wish.tick = Some(tick));
        self.start(shard, deliver);
    }

    /// Has the marks delivered.
    pub(super) fn marks(&mut self, shard: &Arc<Handle>, deliver: &Deliver) {
        self.shared.change(|wish| wish.marks = true);
        self.start(shard, deliver);
    }

    fn start(&mut self, shard: &Arc<Handle>, deliver: &Deliver) {
        if self.thread.is_none() {
            let (wishes, shard, deliver) = (Arc::clone(&self.shared), Arc::clone(shard), Arc::clone(deliver));
            let answer = move || serve(&wishes, &shard, &deliver);
            self.thread = std::thread::Builder::new().name("past".into()).spawn(answer).ok();
        }
    }

    /// Takes back what was not delivered.
    pub(super) fn live(&self, deliver: &Deliver) {
        self.shared.change(|wish| wish.tick = None);
        deliver(SourceEvent::Moved(Moved::Live));
    }

    /// Ends the thread.
    pub(super) fn end(&mut self) {
        self.shared.change(|wish| wish.end = true);
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
    let mut marks_from = Instant::now();
    while let Some(job) = wishes.next(marks_from) {
        let Job::Tick(tick) = job else {
            let found = shard.past_marks(CLIENT, MarkSelection::newest(MAX_MARKS));
            marks_from = Instant::now() + MARKS_PAUSE;
            if matches!(found, Err(PastError::Busy)) {
                wishes.change(|wish| wish.marks = true);
            } else {
                deliver(SourceEvent::Marks(found.map(Arc::new).map_err(|why| ErrorBody::from(&why))));
            }
            continue;
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_comes_before_the_marks_and_the_newest_wish_counts() {
        let (wishes, now) = (Wishes::default(), Instant::now());
        wishes.change(|wish| wish.marks = true);
        wishes.change(|wish| wish.tick = Some(5));
        assert!(matches!(wishes.next(now), Some(Job::Tick(5))));
        wishes.change(|wish| wish.tick = Some(7));
        assert!(!wishes.grant(5), "another one is wished by now");
        assert!(matches!(wishes.next(now), Some(Job::Tick(7))) && wishes.grant(7));
        assert!(matches!(wishes.next(now), Some(Job::Marks)));
        wishes.change(|wish| (wish.marks, wish.end) = (true, true));
        assert!(wishes.next(now).is_none());
    }
}
