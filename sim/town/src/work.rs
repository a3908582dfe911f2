//! Shifts: the state machine of the day's shift, wages, lateness and absence. Rule: "Work and the exit queue".

use crate::activity;
use crate::economy;
use crate::employment;
use crate::events::EventKind;
use crate::fixed_point::Micro;
use crate::ids::{AgentId, JobId};
use crate::options::OptionKind;
use crate::rules::Rules;
use crate::score;
use crate::state::{Account, Activity, PastShift, Shift, ShiftState, State};
use crate::tick_context::TickContext;
use crate::ties::{self, TieEvent};

/// Steps from the site within which a resident is at work.
const SITE_REACH: u16 = 2;

/// The shift of a resident who arrives now. A shift that starts within [`ARRIVAL_LEEWAY`] or has begun does not count.
pub(crate) fn first_shift(rules: &Rules, job: Option<JobId>, tick: u64) -> Shift {
    let begun = job.is_some_and(|job| rules.tick_of_day(tick) + ARRIVAL_LEEWAY >= rules.jobs[job].start);
    Shift { state: if begun { ShiftState::PostShift } else { ShiftState::PreShift }, ..Shift::default() }
}

/// Ticks before the shift below which a newcomer has the day off.
const ARRIVAL_LEEWAY: u32 = 60;

/// Advances every shift by a tick.
pub(crate) fn run(cx: &mut TickContext<'_>) {
    if !cx.rules.config.employment.enforce_job_loop {
        return;
    }
    cx.each(|cx, agent| {
        if let Some(job) = cx.state.agents.job[agent] {
            shift(cx, agent, job);
        }
    });
    // After all own shifts, so that a shift taken over in this tick counts whatever the order of the slots.
    cx.each(cover);
}

fn shift(cx: &mut TickContext<'_>, agent: AgentId, job: JobId) {
    let rules = cx.rules;
    let it = &rules.jobs[job];
    let employment = &rules.config.employment;
    let now = rules.tick_of_day(cx.state.tick);
    // Read during a shift only: in a large town the ways are far away in memory.
    let there = |cx: &TickContext<'_>| rules.is_near_site(job, cx.state.agents.tile[agent], SITE_REACH);
    let shift = cx.state.agents.shift[agent];
    if now == it.start && matches!(shift.state, ShiftState::PreShift | ShiftState::AwaitStart) {
        score::add_scheduled(cx, job);
    }
    match shift.state {
        ShiftState::PreShift if now + rules.config.behavior.job_arrival_buffer >= it.start => {
            cx.state.agents.shift[agent].state = ShiftState::AwaitStart;
        }
        ShiftState::AwaitStart if now >= it.start => {
            if there(cx) {
                arrive(cx, agent, job, now);
            } else if now >= it.start + employment.absent_cutoff {
                if !take_over(cx, agent, job) {
                    miss(cx, agent, job);
                }
            } else if now > it.start + employment.grace_ticks {
                cx.state.agents.late_ticks_today[agent] += 1;
            }
        }
        ShiftState::OnTime | ShiftState::Late if now >= it.end => end(cx, agent, job),
        ShiftState::OnTime | ShiftState::Late if there(cx) => work(cx, agent, job),
        ShiftState::OnTime | ShiftState::Late => {
            cx.state.agents.shift[agent].away += 1;
            withhold(cx, agent, it.wage);
            if shift.away + 1 > employment.absence_slack {
                miss(cx, agent, job);
            }
        }
        _ => {}
    }
    let after = cx.state.agents.shift[agent];
    let scheduled = (it.start..it.end).contains(&now) && after.state != ShiftState::PostShift;
    if scheduled && after.worked == shift.worked {
        score::add_missed(cx, agent, it.wage);
    }
}

fn arrive(cx: &mut TickContext<'_>, agent: AgentId, job: JobId, now: u32) {
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
        let mut penalty = it.lateness_penalty + employment.late_tick_penalty.scaled(i64::from(ticks));
        if let Some(friend) =
            ties::friend(cx, agent, ties::STRONG, |state, friend| at_site(cx.rules, state, friend, job))
        {
            penalty = Micro(penalty.0 / 2);
            ties::record(cx, agent, friend, TieEvent::HelpedLate);
            cx.count(|counters| counters.helped_late += 1);
            let other = cx.state.agents.resident[friend];
            cx.emit_for(agent, |who| EventKind::HelpedLate { who, other, job });
        }
        cx.state.agents.penalty[agent] += penalty;
        cx.count(|counters| counters.late_shifts += 1);
        cx.emit_for(agent, |who| EventKind::ShiftLate { who, job, ticks });
    }
    work(cx, agent, job);
}

fn work(cx: &mut TickContext<'_>, agent: AgentId, job: JobId) {
    let wage = cx.rules.jobs[job].wage;
    let shift = &mut cx.state.agents.shift[agent];
    shift.worked += 1;
    shift.away = 0;
    let kept = cx.state.agents.penalty[agent].min(wage);
    cx.state.agents.penalty[agent] -= kept;
    withhold(cx, agent, kept);
    score::add_withheld(cx, agent, kept);
    let paid = wage - kept;
    cx.state.agents.wages_earned[agent] += paid;
    score::add_worked(cx, agent, paid);
    economy::pay(cx, agent, paid, Account::Wages);
}

fn at_site(rules: &Rules, state: &State, agent: AgentId, job: JobId) -> bool {
    rules.is_near_site(job, state.agents.tile[agent], SITE_REACH)
}

/// Whether a resident works the shift of another at this moment.
pub(crate) fn is_covering(rules: &Rules, state: &State, agent: AgentId) -> bool {
    state.agents.covering[agent].is_some_and(|job| at_site(rules, state, agent, job))
}

/// Steps from the site within which a friend can take over a shift.
const TAKEOVER_STEPS: u16 = 24;

/// Lets a free friend nearby take over the shift of an absent resident. Then it is no absence. Returns whether one did.
fn take_over(cx: &mut TickContext<'_>, agent: AgentId, job: JobId) -> bool {
    let rules = cx.rules;
    let able = |state: &State, other: AgentId| {
        let agents = &state.agents;
        let free = match (agents.shift[other].state, agents.job[other]) {
            (ShiftState::PostShift, _) | (_, None) => true,
            (ShiftState::PreShift, Some(own)) => {
                rules.jobs[own].start >= rules.jobs[job].end + u32::from(TAKEOVER_STEPS)
            }
            _ => false,
        };
        let busy =
            agents.possessed[other] || matches!(agents.activity[other], Activity::Holding(..) | Activity::Using(..));
        free && !busy && agents.covering[other].is_none() && rules.is_near_site(job, agents.tile[other], TAKEOVER_STEPS)
    };
    let Some(taker) = ties::friend(cx, agent, ties::TAKEOVER_TRUST, able) else { return false };
    cx.state.agents.shift[agent].state = ShiftState::PostShift;
    cx.state.agents.covering[taker] = Some(job);
    activity::begin(cx, taker, OptionKind::Work);
    ties::record(cx, agent, taker, TieEvent::TookShift);
    cx.count(|counters| {
        counters.shifts += 1;
        counters.takeovers += 1;
    });
    let other = cx.state.agents.resident[agent];
    cx.emit_for(taker, |who| EventKind::ShiftTaken { who, other, job });
    true
}

/// A tick of a shift worked for another resident: paid while at the site, without penalties.
fn cover(cx: &mut TickContext<'_>, agent: AgentId) {
    let Some(job) = cx.state.agents.covering[agent] else { return };
    if cx.rules.tick_of_day(cx.state.tick) >= cx.rules.jobs[job].end {
        cx.state.agents.covering[agent] = None;
        if cx.state.agents.option[agent] == OptionKind::Work {
            cx.state.agents.ended[agent] = true;
        }
    } else if at_site(cx.rules, cx.state, agent, job) {
        let wage = cx.rules.jobs[job].wage;
        cx.state.agents.wages_earned[agent] += wage;
        score::add_worked(cx, agent, wage);
        economy::pay(cx, agent, wage, Account::Wages);
    }
}

fn withhold(cx: &mut TickContext<'_>, agent: AgentId, amount: Micro) {
    cx.state.agents.wages_withheld[agent] += amount;
}

/// Records an absence, which may make the resident due to leave.
fn miss(cx: &mut TickContext<'_>, agent: AgentId, job: JobId) {
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
    employment::check_absences(cx, agent);
}

fn end(cx: &mut TickContext<'_>, agent: AgentId, job: JobId) {
    let shift = cx.state.agents.shift[agent];
    past(cx, agent, job, shift.state, shift.worked);
    cx.state.agents.shift[agent].state = ShiftState::PostShift;
    if cx.state.agents.option[agent] == OptionKind::Work {
        cx.state.agents.ended[agent] = true;
    }
}

fn past(cx: &mut TickContext<'_>, agent: AgentId, job: JobId, outcome: ShiftState, worked: u32) {
    let scheduled = cx.rules.jobs[job].end - cx.rules.jobs[job].start;
    let past = &mut cx.state.agents.past[agent];
    past.rotate_right(1);
    past[0] = Some(PastShift { outcome, worked, scheduled });
}

/// Ends shifts that last until midnight, starts the new day's shifts and drops absences older than a week.
pub(crate) fn turn_of_day(cx: &mut TickContext<'_>) {
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
        agents.covering[agent] = None;
    });
}
