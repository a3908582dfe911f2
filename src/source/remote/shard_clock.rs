//! The clock of a shard, as far as a client knows it.

use std::time::{Duration, Instant};

/// What the clock of a shard said, and when the answer came.
#[derive(Clone, Copy, Debug)]
pub struct ShardClock {
    now_ms: u64,
    read: Instant,
}

impl ShardClock {
    /// The clock of an answer that has just come. `None` for a shard that knows no `expires_ms`, which says 0.
    pub fn read(now_ms: u64) -> Option<Self> {
        (now_ms > 0).then(|| Self { now_ms, read: Instant::now() })
    }

    /// What it says at a time: never later than the truth, by what the answer took.
    pub fn ms_at(&self, time: Instant) -> u64 {
        let ms = |time: Duration| time.as_millis() as u64;
        match time.checked_duration_since(self.read) {
            Some(since) => self.now_ms.saturating_add(ms(since)),
            None => self.now_ms.saturating_sub(ms(self.read.duration_since(time))),
        }
    }
}
