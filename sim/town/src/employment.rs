//! The exit queue: who is due to leave over their job, who decides, and when they go.
//!
//! The operators' main business. The five numbered rules of "Work and the exit queue" stand here in their order.

use serde::{Deserialize, Serialize};

use crate::events::EventKind;
use crate::ids::AgentId;
use crate::lifecycle::{self, ExitCause};
use crate::rules::Rules;
use crate::state::State;
use crate::tick_context::TickContext;

/// Why somebody is in the exit queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitReason {
    /// Too many absent shifts in seven days.
    Absences,
    /// Put there by an operator.
    Requested,
}

impl ExitReason {
    /// As telemetry writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Absences => "absent_shifts",
            Self::Requested => "operator_request",
        }
    }
}

/// One resident in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitEntry {
    /// Who.
    pub agent: AgentId,
    /// Why.
    pub reason: ExitReason,
    /// When they joined.
    pub enqueued: u64,
    /// An operator approved: they leave on the next tick.
    pub approved: bool,
}

/// The queue and today's count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Employment {
    /// Head first.
    pub queue: Vec<ExitEntry>,
    /// Due since this tick's work, to leave or to queue in this tick's lifecycle.
    pub due: Vec<AgentId>,
    /// Employment exits today, manual ones included.
    pub exits_today: u32,
}

impl Employment {
    /// A resident's entry.
    pub fn entry(&self, agent: AgentId) -> Option<&ExitEntry> {
        self.queue.iter().find(|entry| entry.agent == agent)
    }
}

/// Whether the queue is longer than the limit at which operators are alerted.
pub fn overflows(rules: &Rules, state: &State) -> bool {
    state.employment.queue.len() > rules.config.employment.exit_queue_limit as usize
}

/// After an absence: notes whether the resident is due.
pub(crate) fn absence(cx: &mut TickContext<'_>, agent: AgentId) {
    let due = cx.state.agents.absent_shifts(agent) >= cx.rules.config.employment.max_absent_shifts;
    if due && cx.state.employment.entry(agent).is_none() {
        cx.state.employment.due.push(agent);
    }
}

/// Those who became due leave when nobody waits and nothing holds them (rule 1), else they queue (rule 2).
pub(crate) fn admit(cx: &mut TickContext<'_>) {
    while !cx.state.employment.due.is_empty() {
        let agent = cx.state.employment.due.remove(0);
        if cx.state.employment.queue.is_empty() && below_cap(cx.state) && lifecycle::gate(cx.rules, cx.state) {
            lifecycle::leave(cx, agent, ExitCause::Employment { reason: ExitReason::Absences, manual: false });
        } else {
            enqueue(cx, agent, ExitReason::Absences);
        }
    }
}

/// Joins the tail (rule 2).
pub(crate) fn enqueue(cx: &mut TickContext<'_>, agent: AgentId, reason: ExitReason) {
    let enqueued = cx.state.tick;
    cx.state.employment.queue.push(ExitEntry { agent, reason, enqueued, approved: false });
    let requested = reason == ExitReason::Requested;
    cx.emit_for(agent, |who| EventKind::EmploymentExitPending { who, requested });
}

/// Marks an entry approved (rule 3).
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

/// Approved entries leave now (rule 3); entries past their review window leave as the cap allows (rule 5).
pub(crate) fn release(cx: &mut TickContext<'_>) {
    while let Some(entry) = cx.state.employment.queue.iter().find(|entry| entry.approved).copied() {
        lifecycle::leave(cx, entry.agent, ExitCause::Employment { reason: entry.reason, manual: true });
    }
    while below_cap(cx.state) && lifecycle::gate(cx.rules, cx.state) {
        let tick = cx.state.tick;
        let due = |entry: &&ExitEntry| tick > review_ends_at(cx.rules, entry);
        let Some(entry) = cx.state.employment.queue.iter().find(due).copied() else { break };
        lifecycle::leave(cx, entry.agent, ExitCause::Employment { reason: entry.reason, manual: false });
    }
}

/// Last tick of an entry's review window.
pub fn review_ends_at(rules: &Rules, entry: &ExitEntry) -> u64 {
    entry.enqueued + u64::from(rules.config.employment.exit_review_window)
}

fn below_cap(state: &State) -> bool {
    state.employment.exits_today < state.live_settings.daily_exit_cap
}
