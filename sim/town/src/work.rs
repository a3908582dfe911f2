//! Jobs: the shift of the day, wages while present, and what lateness and absence cost.
//!
//! Owns the shift's state machine. Absences come from distance, queues and needs, never from a flag. Rule: "Work and the
//! exit queue".

use crate::activity::Cx;
use crate::economy::{self, Account};
use crate::events::EventKind;
use crate::fixed::Micro;
use crate::ids::{AgentId, JobId};
use crate::rules::Rules;
use crate::state::{PastShift, Shift, ShiftState, State};

/// Steps from the site within which one is at work.
const SITE_REACH: u16 = 2;

/// The job with the fewest people in it, the first of equals; `None` when the town has no jobs.
pub(crate) fn vacancy(rules: &Rules, state: &State) -> Option<JobId> {
    let holders =
        |job: JobId| state.agents.present.iter().filter(|agent| state.agents.job[**agent] == Some(job)).count();
    rules.jobs().map(|(job, _)| job).min_by_key(|job| (holders(*job), *job))
}

/// The shift of somebody who arrives now: one that has begun already is not theirs.
pub(crate) fn first_shift(rules: &Rules, job: Option<JobId>, tick: u64) -> Shift {
    let begun = job.is_some_and(|job| rules.tick_of_day(tick) + ARRIVAL_LEEWAY >= rules.jobs[job].start);
    Shift { state: if begun { ShiftState::PostShift } else { ShiftState::PreShift }, ..Shift::default() }
}

/// A newcomer with less than this before the shift has the day off.
const ARRIVAL_LEEWAY: u32 = 60;

/// One tick of everybody's shift.
pub(crate) fn shifts(cx: &mut Cx<'_>) {
    if !cx.rules.config.employment.enforce_job_loop {
        return;
    }
    cx.each(|cx, agent| {
        if let Some(job) = cx.state.agents.job[agent] {
            shift(cx, agent, job);
        }
    });
}

fn shift(cx: &mut Cx<'_>, agent: AgentId, job: JobId) {
    let rules = cx.rules;
    let it = &rules.jobs[job];
    let employment = &rules.config.employment;
    let now = rules.tick_of_day(cx.state.tick);
    let there = it.field[cx.state.agents.tile[agent]] <= SITE_REACH;
    let shift = cx.state.agents.shift[agent];
    match shift.state {
        ShiftState::PreShift if now + rules.config.behavior.job_arrival_buffer >= it.start => {
            cx.state.agents.shift[agent].state = ShiftState::AwaitStart;
        }
        ShiftState::AwaitStart if now >= it.start => {
            if there {
                arrive(cx, agent, job, now);
            } else if now >= it.start + employment.absent_cutoff {
                miss(cx, agent, job);
            } else if now > it.start + employment.grace_ticks {
                cx.state.agents.late_ticks_today[agent] += 1;
            }
        }
        ShiftState::OnTime | ShiftState::Late if now >= it.end => end(cx, agent, job),
        ShiftState::OnTime | ShiftState::Late if there => work(cx, agent, job),
        ShiftState::OnTime | ShiftState::Late => {
            cx.state.agents.shift[agent].away += 1;
            withhold(cx, agent, it.wage);
            if shift.away + 1 > employment.absence_slack {
                miss(cx, agent, job);
            }
        }
        _ => {}
    }
}

fn arrive(cx: &mut Cx<'_>, agent: AgentId, job: JobId, now: u32) {
    let it = &cx.rules.jobs[job];
    let employment = &cx.rules.config.employment;
    let shift = &mut cx.state.agents.shift[agent];
    shift.arrived = Some(now);
    cx.count(|counters| counters.shifts += 1);
    if now <= it.start + employment.grace_ticks {
        cx.state.agents.shift[agent].state = ShiftState::OnTime;
        cx.emit_for(agent, |who| EventKind::ShiftOnTime { who, job });
    } else {
        let ticks = now - it.start;
        cx.state.agents.shift[agent].state = ShiftState::Late;
        cx.state.agents.lateness_counter[agent] += 1;
        cx.state.agents.penalty[agent] += it.lateness_penalty + employment.late_tick_penalty.scaled(i64::from(ticks));
        cx.count(|counters| counters.late_shifts += 1);
        cx.emit_for(agent, |who| EventKind::ShiftLate { who, job, ticks });
    }
    work(cx, agent, job);
}

fn work(cx: &mut Cx<'_>, agent: AgentId, job: JobId) {
    let wage = cx.rules.jobs[job].wage;
    let shift = &mut cx.state.agents.shift[agent];
    shift.worked += 1;
    shift.away = 0;
    let kept = cx.state.agents.penalty[agent].min(wage);
    cx.state.agents.penalty[agent] -= kept;
    withhold(cx, agent, kept);
    let paid = wage - kept;
    cx.state.agents.wages_earned[agent] += paid;
    economy::pay(cx, agent, paid, Account::Wages);
}

fn withhold(cx: &mut Cx<'_>, agent: AgentId, amount: Micro) {
    cx.state.agents.wages_withheld[agent] += amount;
}

/// The shift is lost: an absence, and the way into the exit queue.
fn miss(cx: &mut Cx<'_>, agent: AgentId, job: JobId) {
    let worked = cx.state.agents.shift[agent].worked;
    if cx.state.agents.shift[agent].arrived.is_none() {
        cx.count(|counters| counters.shifts += 1);
    }
    cx.count(|counters| counters.absences += 1);
    let agents = &mut cx.state.agents;
    agents.shift[agent].state = ShiftState::Absent;
    agents.absent_days[agent] |= 1;
    agents.penalty[agent] += cx.rules.config.employment.absence_penalty;
    let absent_7d = agents.absent_shifts(agent);
    past(cx, agent, job, ShiftState::Absent, worked);
    cx.emit_for(agent, |who| EventKind::ShiftAbsent { who, job, absent_7d });
    crate::employment::absence(cx, agent);
}

fn end(cx: &mut Cx<'_>, agent: AgentId, job: JobId) {
    let shift = cx.state.agents.shift[agent];
    past(cx, agent, job, shift.state, shift.worked);
    cx.state.agents.shift[agent].state = ShiftState::PostShift;
    if cx.state.agents.option[agent] == crate::options::OptionKind::Work {
        cx.state.agents.ended[agent] = true;
    }
}

fn past(cx: &mut Cx<'_>, agent: AgentId, job: JobId, outcome: ShiftState, worked: u32) {
    let scheduled = cx.rules.jobs[job].end - cx.rules.jobs[job].start;
    let past = &mut cx.state.agents.past[agent];
    past.rotate_right(1);
    past[0] = Some(PastShift { outcome, worked, scheduled });
}

/// At the turn of the day: shifts that last until midnight end, a new one begins, absences of a week ago are forgotten.
pub(crate) fn turn_of_day(cx: &mut Cx<'_>) {
    cx.each(|cx, agent| {
        if let Some(job) = cx.state.agents.job[agent] {
            match cx.state.agents.shift[agent].state {
                ShiftState::OnTime | ShiftState::Late => end(cx, agent, job),
                ShiftState::AwaitStart => miss(cx, agent, job),
                _ => {}
            }
        }
        let agents = &mut cx.state.agents;
        agents.shift[agent] = Shift::default();
        agents.absent_days[agent] = (agents.absent_days[agent] << 1) & 0x7f;
        agents.late_ticks_today[agent] = 0;
    });
}
