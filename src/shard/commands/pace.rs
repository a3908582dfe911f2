//! The pace of a local town, which its owner may change in every role.

use crate::arguments::Integer;
use crate::command_table::row;
use crate::engine::Speed;
use crate::operation::PaceChange;

row! { SPEED = "speed", Admin, "sets the speed of the town; a paused town runs on"; Pace(rate: Speed) => PaceChange::Speed(rate) }

row! { PAUSE = "pause", Admin, "pauses the town; commands still apply"; Pace() => PaceChange::Pause }

row! { RESUME = "resume", Admin, "resumes the town at its last speed"; Pace() => PaceChange::Resume }

row! {
    STEP = "step", Admin, "advances the given number of ticks (default 1), then pauses";
    Pace(ticks: Option<Integer<1, 10_000>>) => PaceChange::Step(ticks.map_or(1, |ticks| ticks.0 as u64))
}
