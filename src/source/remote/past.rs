//! The past of a remote shard: asks for the tick that was wished last, one request at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::client::parse;
use super::{ClientError, Shared};
use crate::{Moved, SourceEvent};
use townlet_wire::{ErrorBody, Snapshot};

/// Longest wait before a busy shard is asked again: it says whole seconds, and works on in the meantime.
const AGAIN: Duration = Duration::from_millis(100);

/// The tick that is to be shown, if it is not shown yet.
#[derive(Default)]
pub(super) struct Past {
    wish: Mutex<Option<u64>>,
    changed: Notify,
}

impl Past {
    fn lock(&self) -> MutexGuard<'_, Option<u64>> {
        self.wish.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wishes a tick, or the present.
    pub(super) fn wish(&self, tick: Option<u64>) {
        *self.lock() = tick;
        self.changed.notify_one();
    }

    async fn next(&self) -> u64 {
        loop {
            let changed = self.changed.notified();
            let wish = *self.lock();
            if let Some(tick) = wish {
                return tick;
            }
            changed.await;
        }
    }
}

/// Shows what is wished, as long as the connection is used.
pub(super) async fn serve(shared: &Shared) {
    loop {
        let tick = shared.past.next().await;
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
            Err(failure) => {
                let hint = "Try again when the shard answers.";
                Moved::Refused { tick, error: ErrorBody::new("E_UNREACHABLE", failure.message(), hint) }
            }
        };
        let mut wish = shared.past.lock();
        // What is not wished any more is not shown after what is.
        if *wish == Some(tick) {
            *wish = None;
            drop(wish);
            shared.emit(SourceEvent::Moved(moved));
        }
    }
}
