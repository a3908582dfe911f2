//! The pace of a local town, which its owner may change in every role.

use crate::arguments::Integer;
use crate::command_table::row;
use crate::engine::Speed;
use crate::operation::PaceChange;

row! { SPEED = "speed", Admin, "how fast the town runs"; Pace(rate: Speed) => PaceChange::Speed(rate) }

row! { PAUSE = "pause", Admin, "no more ticks until resumed; commands still apply"; Pace() => PaceChange::Pause }

row! { RESUME = "resume", Admin, "ticks again at the last speed"; Pace() => PaceChange::Resume }

row! {
    STEP = "step", Admin, "so many ticks (1), then paused";
    Pace(ticks: Option<Integer<1, 10_000>>) => PaceChange::Step(ticks.map_or(1, |ticks| ticks.0 as u64))
}
