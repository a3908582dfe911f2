//! The newest snapshot, shared by all requests: the town is copied at most twenty times a second, and once after each command that
//! it has answered. A read that follows the answer shows its effect.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use axum::body::Bytes;

use super::AppState;
use townlet_shard::Handle;
use townlet_wire::Snapshot;

const MAX_AGE: Duration = Duration::from_millis(50);

/// A snapshot, and its text once somebody has asked for it.
pub(super) struct SharedSnapshot {
    pub(super) state: Snapshot,
    json: OnceLock<Bytes>,
}

impl SharedSnapshot {
    /// The snapshot as JSON; encoded once.
    pub(super) fn json(&self) -> Bytes {
        self.json.get_or_init(|| self.state.to_json().into()).clone()
    }
}

#[derive(Default)]
pub(super) struct SnapshotCache(Mutex<Option<CachedSnapshot>>);

struct CachedSnapshot {
    taken: Instant,
    /// Commands that were answered before it was taken.
    answered: u64,
    shared: Arc<SharedSnapshot>,
}

impl SnapshotCache {
    /// A snapshot not older than [`MAX_AGE`], and never older than an answer to a command; `None` when the shard has ended.
    pub(super) async fn get(&self, app: &Arc<AppState>) -> Option<Arc<SharedSnapshot>> {
        let cached = match self.0.try_lock() {
            Ok(cached) => fresh(cached.as_ref(), app.shard.answered()),
            Err(TryLockError::Poisoned(cached)) => fresh(cached.into_inner().as_ref(), app.shard.answered()),
            Err(TryLockError::WouldBlock) => None,
        };
        if cached.is_some() {
            return cached;
        }
        let app = Arc::clone(app);
        // A thread waits for the lock: an asynchronous one would be passed to a request that no thread works on at the moment.
        tokio::task::spawn_blocking(move || app.snapshots.newest(&app.shard)).await.ok()?
    }

    fn lock(&self) -> MutexGuard<'_, Option<CachedSnapshot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn newest(&self, shard: &Handle) -> Option<Arc<SharedSnapshot>> {
        let mut cached = self.lock();
        let answered = shard.answered();
        if let Some(shared) = fresh(cached.as_ref(), answered) {
            return Some(shared);
        }
        let shared = Arc::new(SharedSnapshot { state: shard.view()?.0, json: OnceLock::new() });
        *cached = Some(CachedSnapshot { taken: Instant::now(), answered, shared: Arc::clone(&shared) });
        Some(shared)
    }
}

/// The cached snapshot, if it may still be shown.
fn fresh(cached: Option<&CachedSnapshot>, answered: u64) -> Option<Arc<SharedSnapshot>> {
    let cached = cached.filter(|it| it.taken.elapsed() < MAX_AGE && it.answered == answered);
    cached.map(|it| Arc::clone(&it.shared))
}
