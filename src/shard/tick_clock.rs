//! When the town ticks: its speed, pauses, single steps, and the tick it must not pass.

use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use super::engine::Speed;
use super::operation::PaceChange;
use townlet_wire::telemetry::Stepping;

/// A town that fell behind by more than this does not run to catch up.
const MAX_BACKLOG: Duration = Duration::from_millis(250);

/// The clock of the loop. It belongs to the shard: the town itself has no clock.
pub(super) struct TickClock {
    paused: bool,
    speed: Speed,
    /// The single steps asked for; all done when they are equal.
    steps: Stepping,
    next_tick: Instant,
    limit: Option<(u64, Vec<Sender<u64>>)>,
}

impl TickClock {
    /// A clock that starts now; `limit` is a tick that it must not pass.
    pub(super) fn new(paused: bool, speed: Speed, limit: Option<u64>) -> Self {
        let limit = limit.map(|tick| (tick, Vec::new()));
        Self { paused, speed, steps: Stepping::default(), next_tick: Instant::now(), limit }
    }

    /// Changes the pace. Steps are added to those that are left; any other change drops them, and they are returned.
    pub(super) fn change(&mut self, change: PaceChange) -> Option<Stepping> {
        let stepping = self.stepping();
        if !(change == PaceChange::Pause || stepping.is_some() && matches!(change, PaceChange::Step(_))) {
            self.next_tick = Instant::now();
        }
        match change {
            PaceChange::Step(ticks) => {
                let steps = stepping.unwrap_or_default();
                self.steps = Stepping { total: steps.total.saturating_add(ticks), ..steps };
                self.paused = true;
                return None;
            }
            PaceChange::Speed(speed) => (self.speed, self.paused) = (speed, false),
            PaceChange::Pause => self.paused = true,
            PaceChange::Resume => self.paused = false,
        }
        self.steps = Stepping::default();
        stepping
    }

    /// The single steps in progress.
    pub(super) fn stepping(&self) -> Option<Stepping> {
        (self.steps.done < self.steps.total).then(|| self.steps.clone())
    }

    /// `paused`, `1x`, `10x`, `100x` or `max`.
    pub(super) fn word(&self) -> &'static str {
        if self.paused { "paused" } else { self.speed.row().1 }
    }

    /// When the town at this tick is to tick next; `None` while it is not.
    pub(super) fn due(&self, tick: u64) -> Option<Instant> {
        let held = self.limit.as_ref().is_some_and(|(limit, _)| tick >= *limit);
        (!held && (!self.paused || self.steps.done < self.steps.total)).then_some(self.next_tick)
    }

    /// The first tick is due now.
    pub(super) fn start(&mut self) {
        self.next_tick = Instant::now();
    }

    /// The time between two ticks; zero at full speed.
    pub(super) fn period(&self, tick_ms: u32) -> Duration {
        Duration::from_millis(u64::from(tick_ms)).checked_div(self.speed.row().2).unwrap_or_default()
    }

    /// A tick was done that began `now`. Returns how late it began; `None` at full speed, where no tick is due at any time.
    pub(super) fn ticked(&mut self, now: Instant, tick_ms: u32) -> Option<Duration> {
        self.steps.done = (self.steps.done + 1).min(self.steps.total);
        let period = self.period(tick_ms);
        if period.is_zero() {
            self.next_tick = now;
            return None;
        }
        let late = now.saturating_duration_since(self.next_tick);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Ticks until the clock stops, at most `most`.
    fn run(clock: &mut TickClock, most: u64) -> u64 {
        let ticks = (0..most).take_while(|tick| {
            let due = clock.due(*tick);
            due.is_some_and(|due| clock.ticked(due, 250).is_some())
        });
        ticks.count() as u64
    }

    #[test]
    fn steps_add_up() {
        let mut clock = TickClock::new(false, Speed::X1, None);
        assert_eq!(clock.change(PaceChange::Step(20)), None);
        assert_eq!(run(&mut clock, 12), 12);
        assert_eq!(clock.stepping(), Some(Stepping { done: 12, total: 20 }));
        assert_eq!(clock.change(PaceChange::Step(5)), None);
        assert_eq!(clock.stepping(), Some(Stepping { done: 12, total: 25 }));
        assert_eq!(run(&mut clock, 1_000), 13, "the eight that were left, and five");
        assert_eq!((clock.stepping(), clock.word()), (None, "paused"));
        clock.change(PaceChange::Step(1));
        assert_eq!(clock.stepping(), Some(Stepping { done: 0, total: 1 }), "counted from the beginning");
        clock.change(PaceChange::Step(u64::MAX));
        assert_eq!(clock.stepping().map(|steps| steps.total), Some(u64::MAX));
    }

    #[test]
    fn every_other_change_of_pace_drops_the_steps_that_are_left() {
        for change in [PaceChange::Pause, PaceChange::Resume, PaceChange::Speed(Speed::X10)] {
            let mut clock = TickClock::new(true, Speed::X1, None);
            clock.change(PaceChange::Step(9));
            run(&mut clock, 4);
            assert_eq!(clock.change(change), Some(Stepping { done: 4, total: 9 }), "{change:?}");
            assert_eq!(clock.stepping(), None);
            let ticks = if change == PaceChange::Pause { 0 } else { 50 };
            assert_eq!(run(&mut clock, 50), ticks, "{change:?}");
        }
    }
}
