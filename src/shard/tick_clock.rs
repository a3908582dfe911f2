//! When the town ticks: its speed, pauses, single steps, and the tick it must not pass.

use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use super::engine::Speed;
use super::operation::PaceChange;

/// A town that fell behind by more than this does not run to catch up.
const MAX_BACKLOG: Duration = Duration::from_millis(250);

/// The clock of the loop. It belongs to the shard: the town itself has no clock.
pub(super) struct TickClock {
    paused: bool,
    speed: Speed,
    steps_left: u64,
    next_tick: Instant,
    limit: Option<(u64, Vec<Sender<u64>>)>,
}

impl TickClock {
    /// A clock that starts now; `limit` is a tick that it must not pass.
    pub(super) fn new(paused: bool, speed: Speed, limit: Option<u64>) -> Self {
        let limit = limit.map(|tick| (tick, Vec::new()));
        Self { paused, speed, steps_left: 0, next_tick: Instant::now(), limit }
    }

    pub(super) fn change(&mut self, change: PaceChange) {
        match change {
            PaceChange::Speed(speed) => (self.speed, self.paused) = (speed, false),
            PaceChange::Pause => self.paused = true,
            PaceChange::Resume => self.paused = false,
            PaceChange::Step(ticks) => (self.paused, self.steps_left) = (true, ticks),
        }
        if change != PaceChange::Pause {
            self.next_tick = Instant::now();
        }
    }

    /// `paused`, `1x`, `10x`, `100x` or `max`.
    pub(super) fn word(&self) -> &'static str {
        if self.paused { "paused" } else { self.speed.row().1 }
    }

    /// When the town at this tick is to tick next; `None` while it is not.
    pub(super) fn due(&self, tick: u64) -> Option<Instant> {
        let held = self.limit.as_ref().is_some_and(|(limit, _)| tick >= *limit);
        (!held && (!self.paused || self.steps_left > 0)).then_some(self.next_tick)
    }

    /// A tick was done that began `now`. Returns how late it began; `None` at full speed, where no tick is due at any time.
    pub(super) fn ticked(&mut self, now: Instant, tick_ms: u32) -> Option<Duration> {
        self.steps_left = self.steps_left.saturating_sub(1);
        let factor = self.speed.row().2;
        if factor == 0 {
            self.next_tick = now;
            return None;
        }
        let late = now.saturating_duration_since(self.next_tick);
        let period = Duration::from_millis(u64::from(tick_ms)) / factor;
        self.next_tick += period;
        if now > self.next_tick + MAX_BACKLOG {
            self.next_tick = now + period;
        }
        Some(late)
    }

    /// Lets the town run up to a tick and no further; `reached` gets the tick where it stops.
    pub(super) fn run_to(&mut self, limit: u64, reached: Sender<u64>) {
        self.limit = Some((limit, vec![reached]));
        self.next_tick = Instant::now();
    }

    /// Notifies those who wait for the limit, when the town is there.
    pub(super) fn notify_limit(&mut self, tick: u64) {
        if let Some((limit, waiting)) = &mut self.limit
            && tick >= *limit
        {
            // The receiver may be gone.
            for reached in waiting.drain(..) {
                let _ = reached.send(tick);
            }
        }
    }
}
