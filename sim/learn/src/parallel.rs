//! Parallel work over chunks of a slice.
//!
//! Which thread takes which chunk depends on timing; the results must not. Rule: "Performance targets".

use std::num::NonZero;
use std::sync::{Mutex, PoisonError};

/// Whether to continue. Workers call it often, so it must be fast.
pub type ShouldContinue<'a> = &'a (dyn Fn() -> bool + Sync);

/// Calls `body` once for each chunk of `size` items, on up to `threads` threads including this one, and waits for all.
pub(crate) fn for_each_chunk<T: Send>(
    items: &mut [T],
    size: usize,
    threads: NonZero<usize>,
    body: impl Fn(&mut [T]) + Sync,
) {
    let workers = threads.get().min(items.len().div_ceil(size));
    let chunks = Mutex::new(items.chunks_mut(size));
    let work = || {
        loop {
            let chunk = chunks.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(chunk) = chunk else { break };
            body(chunk);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(work);
        }
        work();
    });
}
