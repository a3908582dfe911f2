//! The exit queue. The five numbered rules of "Work and the exit queue" are implemented here; `lifecycle` carries out the
//! exits. Rule: "Work and the exit queue".

use crate::events::EventKind;
use crate::ids::AgentId;
use crate::rules::Rules;
use crate::state::{ExitCause, ExitEntry, ExitReason, State};
use crate::tick_context::TickContext;

/// Whether the queue is longer than the limit at which operators are alerted.
pub fn overflows(rules: &Rules, state: &State) -> bool {
    state.employment.queue.len() > rules.config.employment.exit_queue_limit as usize
}

/// Marks a resident as due after an absence, when the absences of seven days reach the limit.
pub(crate) fn check_absences(cx: &mut TickContext<'_>, agent: AgentId) {
    let due = cx.state.agents.absent_shifts(agent) >= cx.rules.config.employment.max_absent_shifts;
    if due && cx.state.employment.entry(agent).is_none() {
        cx.state.employment.due.push(agent);
    }
}

/// Whether a resident who became due may leave at once, without queueing (rule 1).
pub(crate) fn may_skip_queue(state: &State) -> bool {
    state.employment.queue.is_empty() && below_cap(state)
}

/// Adds a resident to the tail (rule 2).
pub(crate) fn enqueue(cx: &mut TickContext<'_>, agent: AgentId, reason: ExitReason) {
    let enqueued = cx.state.tick;
    cx.state.employment.queue.push(ExitEntry { agent, reason, enqueued, approved: false });
    let requested = reason == ExitReason::Requested;
    cx.emit_for(agent, |who| EventKind::EmploymentExitPending { who, requested });
}

/// Approves an entry (rule 3).
pub(crate) fn approve(cx: &mut TickContext<'_>, agent: AgentId) {
    for entry in cx.state.employment.queue.iter_mut().filter(|entry| entry.agent == agent) {
        entry.approved = true;
    }
    cx.emit_for(agent, |who| EventKind::EmploymentExitManualRequest { who });
}

/// Drops an entry and forgives the absences (rule 4).
pub(crate) fn defer(cx: &mut TickContext<'_>, agent: AgentId) {
    cx.state.employment.queue.retain(|entry| entry.agent != agent);
    cx.state.agents.absent_days[agent] = 0;
    cx.emit_for(agent, |who| EventKind::EmploymentExitDeferred { who });
}

/// The first approved entry, which leaves now (rule 3).
pub(crate) fn next_approved(state: &State) -> Option<(AgentId, ExitCause)> {
    let entry = state.employment.queue.iter().find(|entry| entry.approved)?;
    Some((entry.agent, ExitCause::Employment { reason: entry.reason, manual: true }))
}

/// The first entry past its review window, while the daily cap allows an exit (rule 5).
pub(crate) fn next_overdue(rules: &Rules, state: &State) -> Option<(AgentId, ExitCause)> {
    let overdue = |entry: &&ExitEntry| state.tick > review_ends_at(rules, entry);
    let entry = state.employment.queue.iter().filter(|_| below_cap(state)).find(overdue)?;
    Some((entry.agent, ExitCause::Employment { reason: entry.reason, manual: false }))
}

/// Last tick of an entry's review window.
pub fn review_ends_at(rules: &Rules, entry: &ExitEntry) -> u64 {
    entry.enqueued + u64::from(rules.config.employment.exit_review_window)
}

/// Exits that a forecast looks ahead.
const FORECAST_EXITS: usize = 100;

/// The tick at which each resident of the queue leaves, in the order of the queue, if nobody decides, nobody else leaves and power and
/// water stay on. `None` for those who do not leave without a decision, while power or water is off, and beyond the next hundred exits.
pub fn expected_exits(rules: &Rules, state: &State) -> Vec<Option<u64>> {
    let (queue, lifecycle, day) = (&state.employment.queue, &state.lifecycle, rules.day_length());
    let mut expected = vec![None; queue.len()];
    // Exits of the queue and of all causes in the day of `tick`, and when the next one may be.
    let mut tick = state.tick;
    let begins = tick.is_multiple_of(day);
    let mut exits = if begins { [0, 0] } else { [state.employment.exits_today, lifecycle.exits_today] };
    let caps = [state.live_settings.daily_exit_cap, rules.config.lifecycle.max_exits_per_day];
    let gap = u64::from(rules.config.lifecycle.exit_cooldown_ticks);
    for at in (0..queue.len()).filter(|at| queue[*at].approved) {
        (expected[at], exits) = (Some(tick), exits.map(|exits| exits + 1));
    }
    let supplied = state.economy.power && state.economy.water;
    if caps.contains(&0) || !supplied || !rules.config.features.systems.lifecycle {
        return expected;
    }
    let last = if expected.iter().any(Option::is_some) { Some(tick) } else { lifecycle.last_exit };
    tick = tick.max(last.map_or(0, |last| last + gap)).max(lifecycle.suppressed_until);
    let mut left: Vec<usize> = (0..queue.len()).filter(|at| expected[*at].is_none()).collect();
    let mut today = state.tick / day;
    for _ in 0..FORECAST_EXITS {
        let Some(due) = left.iter().map(|at| review_ends_at(rules, &queue[*at]) + 1).min() else { break };
        tick = tick.max(due);
        if tick / day == today && exits.iter().zip(caps).any(|(exits, cap)| *exits >= cap) {
            tick = tick.max((today + 1) * day);
        }
        if tick / day > today {
            (today, exits) = (tick / day, [0, 0]);
        }
        let Some(next) = left.iter().position(|at| tick > review_ends_at(rules, &queue[*at])) else { break };
        (expected[left.remove(next)], exits) = (Some(tick), exits.map(|exits| exits + 1));
        tick += gap;
    }
    expected
}

fn below_cap(state: &State) -> bool {
    state.employment.exits_today < state.live_settings.daily_exit_cap
}
