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

fn below_cap(state: &State) -> bool {
    state.employment.exits_today < state.live_settings.daily_exit_cap
}
