//! Parallel work: over chunks of a slice, and over the residents of a large town.
//!
//! Which thread takes which chunk depends on timing; the results must not. Rule: "Performance targets".

use std::num::NonZero;
use std::sync::{Mutex, PoisonError};

use townlet_town::Town;
use townlet_town::observations::{BufferPart, ObservationBuffer};

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
    for_each(items.chunks_mut(size), workers, body);
}

/// Calls `body` once for each item, on this thread and `workers - 1` others, and waits for all.
fn for_each<T: Send>(items: impl Iterator<Item = T> + Send, workers: usize, body: impl Fn(T) + Sync) {
    let items = Mutex::new(items);
    let work = || {
        loop {
            let item = items.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(item) = item else { break };
            body(item);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(work);
        }
        work();
    });
}

/// Fewest residents for which a second thread saves more time than it takes to start.
const OBSERVED_ON_THREADS: usize = 512;
/// Parts of the residents for each thread, so that a thread that is held up takes fewer.
const PARTS_PER_THREAD: usize = 4;

/// The same as [`ObservationBuffer::update`], on up to `threads` threads. The values do not depend on their number.
pub fn update_observations<'a>(buffer: &'a mut ObservationBuffer, town: &Town, threads: NonZero<usize>) -> &'a [f32] {
    let residents = town.state().agents.present.len();
    let threads = if residents < OBSERVED_ON_THREADS { 1 } else { threads.get() };
    if threads == 1 {
        return buffer.update(town);
    }
    let part = residents.div_ceil(threads * PARTS_PER_THREAD);
    for_each(buffer.parts(town, part), threads, BufferPart::update);
    buffer.values()
}
