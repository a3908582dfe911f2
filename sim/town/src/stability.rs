//! Stability windows: their checks and verdicts. Rule: "Stability, promotion, rollback".

use crate::events::EventKind;
use crate::fixed_point::Micro;
use crate::ids::AgentId;
use crate::rules::Rules;
use crate::state::{CHECK_COUNT, CheckReading, Counters, State, Window};
use crate::tick_context::TickContext;

/// Closed windows kept.
pub const KEPT_WINDOWS: usize = 32;
/// Return samples per resident and window, so that eight residents give at least twenty.
pub(crate) const SAMPLES_A_WINDOW: u64 = 4;
/// Shifts needed for a verdict on lateness.
const LATENESS_SAMPLES: u32 = 4;
/// Served residents needed for a verdict on queue fairness.
const QUEUE_SAMPLES: u32 = 10;

/// One check.
pub struct CheckRow {
    /// The name in telemetry.
    pub name: &'static str,
    /// `ratio`, `count`, `variance`, `ticks`.
    pub unit: &'static str,
    /// Measures the open window.
    pub read: fn(&Rules, &State) -> CheckReading,
}

/// The checks of a window.
pub static CHECKS: [CheckRow; CHECK_COUNT] = [
    CheckRow { name: "lateness", unit: "ratio", read: lateness },
    CheckRow { name: "starvation", unit: "count", read: starvation },
    CheckRow { name: "option_switching", unit: "ratio", read: switching },
    CheckRow { name: "reward_variance", unit: "variance", read: variance },
    CheckRow { name: "queue_fairness", unit: "ratio", read: fairness },
];

/// Every check of the open window.
pub fn read(rules: &Rules, state: &State) -> [CheckReading; CHECK_COUNT] {
    std::array::from_fn(|check| (CHECKS[check].read)(rules, state))
}

/// Baseline of lateness: the mean over the conclusive windows kept, but at least the configured floor.
pub fn lateness_baseline(rules: &Rules, state: &State) -> Micro {
    let seen = || state.stability.closed.iter().filter(|window| window.green.is_some());
    let mean = Micro(seen().map(|window| window.checks[0].value.0).sum::<i64>() / seen().count().max(1) as i64);
    mean.max(rules.config.stability.lateness.baseline_floor)
}

fn lateness(rules: &Rules, state: &State) -> CheckReading {
    let counters = &state.stability.counters;
    let limit = rules.config.stability.lateness.max_ratio_to_baseline;
    CheckReading {
        value: Micro::ratio(i64::from(counters.late_shifts), i64::from(counters.shifts)),
        threshold: lateness_baseline(rules, state).times(limit),
        samples: counters.shifts,
        required: LATENESS_SAMPLES,
    }
}

fn starvation(rules: &Rules, state: &State) -> CheckReading {
    CheckReading {
        value: Micro::whole(i64::from(state.stability.counters.starvation_events)),
        threshold: Micro::whole(i64::from(rules.config.stability.starvation.max_incidents)),
        samples: 1,
        required: 1,
    }
}

fn switching(rules: &Rules, state: &State) -> CheckReading {
    let counters = &state.stability.counters;
    CheckReading {
        value: Micro::ratio(i64::from(counters.switches), i64::from(counters.decisions)),
        threshold: rules.config.stability.option_thrash.max_switch_rate,
        samples: counters.decisions,
        required: rules.config.stability.option_thrash.min_samples,
    }
}

fn variance(rules: &Rules, state: &State) -> CheckReading {
    let returns = &state.stability.returns;
    let count = returns.len() as i64;
    let mean = Micro(returns.iter().map(|value| value.0).sum::<i64>() / count.max(1));
    let squares: Micro = returns.iter().map(|value| (*value - mean).times(*value - mean)).sum();
    CheckReading {
        value: Micro(squares.0 / count.max(1)),
        threshold: rules.config.stability.reward_variance.max_variance,
        samples: returns.len() as u32,
        required: rules.config.stability.reward_variance.min_samples,
    }
}

/// Queues given up or lapsed per resident served.
fn fairness(_rules: &Rules, state: &State) -> CheckReading {
    let counters = &state.stability.counters;
    CheckReading {
        value: Micro::ratio(i64::from(counters.queue_conflicts), i64::from(counters.served)),
        threshold: Micro(500_000),
        samples: counters.served,
        required: QUEUE_SAMPLES,
    }
}

/// Ticks into the open window.
pub fn progress(rules: &Rules, state: &State) -> u64 {
    state.tick % u64::from(rules.config.stability.window_ticks)
}

/// Takes return samples and closes the window, when the tick that ends is due for it.
pub(crate) fn run(cx: &mut TickContext<'_>) {
    let length = u64::from(cx.rules.config.stability.window_ticks);
    let finished = cx.state.tick + 1;
    if finished.is_multiple_of(length.div_ceil(SAMPLES_A_WINDOW)) || finished.is_multiple_of(length) {
        cx.each(sample);
    }
    if finished.is_multiple_of(length) {
        close(cx, finished);
    }
}

fn sample(cx: &mut TickContext<'_>, agent: AgentId) {
    let sample = std::mem::take(&mut cx.state.agents.window_return[agent]);
    cx.state.stability.returns.push(sample);
}

fn close(cx: &mut TickContext<'_>, end: u64) {
    let checks = read(cx.rules, cx.state);
    let breach = checks.iter().any(|check| check.holds() == Some(false));
    let green = if breach {
        Some(false)
    } else if checks.iter().all(|check| check.holds().is_some()) {
        Some(true)
    } else {
        None
    };
    let stability = &mut cx.state.stability;
    stability.windows += 1;
    match green {
        Some(true) => stability.streak += 1,
        Some(false) => stability.streak = 0,
        None => {}
    }
    if stability.closed.len() == KEPT_WINDOWS {
        stability.closed.remove(0);
    }
    let number = stability.windows;
    stability.closed.push(Window { number, end, green, checks });
    stability.counters = Counters::default();
    stability.returns.clear();
    cx.emit(EventKind::WindowClosed { number, green });
}
