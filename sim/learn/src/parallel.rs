//! Work in tiles by worker threads: who takes which tile is left to chance, what comes of a tile is not.
//!
//! The one mechanism by which many towns are stepped. Knows nothing of what a tile holds. Rule: "Performance targets".

use std::num::NonZero;
use std::sync::{Mutex, PoisonError};

/// Asked by every worker, all the time, whether to go on: it must be quick.
pub type ShouldContinue<'a> = &'a (dyn Fn() -> bool + Sync);

/// Hands `items` out in tiles of `size` to up to `threads` workers, this thread among them, and waits for all of them.
pub(crate) fn for_each_chunk<T: Send>(
    items: &mut [T],
    size: usize,
    threads: NonZero<usize>,
    body: impl Fn(&mut [T]) + Sync,
) {
    let tiles = Mutex::new(items.chunks_mut(size));
    let work = || {
        loop {
            let tile = tiles.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(tile) = tile else { break };
            body(tile);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.get() {
            scope.spawn(work);
        }
        work();
    });
}
