//! The past of a remote shard: asks for the tick that was wished last, one request at a time, and for the marks of the run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::client::parse;
use super::{ClientError, Shared};
use crate::{MAX_MARKS, Moved, SourceEvent};
use townlet_wire::history::HistoryPage;
use townlet_wire::{ErrorBody, Snapshot};

/// Longest wait before a busy shard is asked again: it says whole seconds, and works on in the meantime.
const AGAIN: Duration = Duration::from_millis(100);
/// Least time between two readings of the marks.
const MARKS_PAUSE: Duration = Duration::from_secs(10);

/// Most pages of marks that are read.
const MAX_PAGES: usize = 5;

/// What is to be delivered.
#[derive(Default)]
pub(super) struct Past {
    wish: Mutex<Wish>,
    changed: Notify,
}

#[derive(Clone, Copy, Default)]
struct Wish {
    /// The tick that is to be shown, if it is not shown yet.
    tick: Option<u64>,
    marks: bool,
}

impl Past {
    fn lock(&self) -> MutexGuard<'_, Wish> {
        self.wish.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wishes a tick, or the present.
    pub(super) fn wish(&self, tick: Option<u64>) {
        self.lock().tick = tick;
        self.changed.notify_one();
    }

    /// Wishes the marks.
    pub(super) fn wish_marks(&self) {
        self.lock().marks = true;
        self.changed.notify_one();
    }

    /// The tick that is wished, or `None` when it is time for the marks.
    async fn next(&self, marks_from: Instant) -> Option<u64> {
        loop {
            let changed = self.changed.notified();
            let wish = *self.lock();
            if wish.tick.is_some() {
                return wish.tick;
            }
            if !wish.marks {
                changed.await;
                continue;
            }
            tokio::select! {
                () = changed => {}
                () = sleep_until(marks_from) => {
                    let mut wish = self.lock();
                    if wish.tick.is_none() {
                        wish.marks = false;
                        return None;
                    }
                }
            }
        }
    }
}

/// Shows what is wished, as long as the connection is used.
pub(super) async fn serve(shared: &Shared) {
    let mut marks_from = Instant::now();
    loop {
        let Some(tick) = shared.past.next(marks_from).await else {
            let found = marks(shared).await;
            marks_from = Instant::now() + MARKS_PAUSE;
            match found {
                Err(ClientError::Busy(..)) => shared.past.wish_marks(),
                Err(ClientError::Refused(error)) => shared.emit(SourceEvent::Marks(Err(error))),
                Err(failure) => shared.emit(SourceEvent::Marks(Err(unreachable(&failure)))),
                Ok(page) => shared.emit(SourceEvent::Marks(Ok(Arc::new(page)))),
            }
            continue;
        };
        let moved = match shared.client().past(tick).await {
            Ok(json) => match parse::<Snapshot>(&json) {
                Ok(view) => Moved::Past(view.into()),
                Err(why) => {
                    let message = format!("the answer of the shard cannot be read: {why}.");
                    Moved::Refused { tick, error: ErrorBody::new("E_INCOMPATIBLE", message, "Upgrade this program.") }
                }
            },
            Err(ClientError::Busy(_, wait)) => {
                sleep(wait.min(AGAIN)).await;
                continue;
            }
            Err(ClientError::Refused(error)) => Moved::Refused { tick, error },
            Err(failure) => Moved::Refused { tick, error: unreachable(&failure) },
        };
        let mut wish = shared.past.lock();
        // What is not wished any more is not shown after what is.
        if wish.tick == Some(tick) {
            wish.tick = None;
            drop(wish);
            shared.emit(SourceEvent::Moved(moved));
        }
    }
}

/// The range of the run and its newest marks, page by page.
async fn marks(shared: &Shared) -> Result<HistoryPage, ClientError> {
    let client = shared.client();
    let mut page = client.history(None).await?;
    for _ in 1..MAX_PAGES {
        let Some(before) = page.before.clone() else { break };
        let older = client.history(Some(&before)).await?;
        page.before = older.before;
        page.marks.splice(..0, older.marks);
    }
    let surplus = page.marks.len().saturating_sub(MAX_MARKS);
    page.marks.drain(..surplus);
    Ok(page)
}

fn unreachable(failure: &ClientError) -> ErrorBody {
    ErrorBody::new("E_UNREACHABLE", failure.message(), "Try again when the shard answers.")
}
