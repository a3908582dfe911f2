//! Two residents who are asked to meet: who can be asked, how they get there, and when it is over.
//!
//! They walk to the place, wait there for each other, and sit down at one of its tables together; then they are free again. A need that turns critical, an
//! operator's command or an exit breaks it off. Must not know ties: company is company, whoever arranged it.

use super::{ActivePerturbation, MEET, Meeting};
use crate::activity;
use crate::events::EventKind;
use crate::ids::{AffordanceId, AgentId, ObjectId, PlaceId, ResidentId};
use crate::rules::Rules;
use crate::state::{Activity, ShiftState, State};
use crate::tick_context::TickContext;

/// Ticks an operator's meeting lasts from when both can be there.
pub(crate) const STAY_TICKS: u64 = 60;

/// The table of a place with the fewest people at it.
pub(crate) fn table_at(rules: &Rules, state: &State, place: PlaceId) -> Option<(ObjectId, AffordanceId)> {
    let here = |object: &ObjectId| rules.plan.objects[*object].place == place;
    let people = |object: ObjectId| state.objects[object].uses.len() + state.objects[object].queue.len();
    let tables = rules.choices[MEET.index()].iter().copied().filter(|(object, _)| here(object));
    tables.min_by_key(|(object, _)| (people(*object), *object))
}

fn slot(state: &State, who: ResidentId) -> Option<AgentId> {
    state.agents.present.iter().copied().find(|agent| state.agents.resident[*agent] == who)
}

/// Ticks until the farther of the two can be there.
pub(crate) fn walk(rules: &Rules, state: &State, who: [AgentId; 2], place: PlaceId) -> u64 {
    let field = &rules.place_fields[place];
    who.into_iter().map(|agent| u64::from(field[state.agents.tile[agent]])).max().unwrap_or(0)
}

/// Whether somebody has time for it: nobody else's guest, not driven by hand, not at or near work, not in want, and not
/// in the middle of something.
fn is_free(rules: &Rules, state: &State, agent: AgentId) -> bool {
    let agents = &state.agents;
    let now = rules.tick_of_day(state.tick);
    let working = matches!(agents.shift[agent].state, ShiftState::AwaitStart | ShiftState::OnTime | ShiftState::Late);
    let soon = agents.job[agent].is_some_and(|job| {
        let start = rules.jobs[job].start;
        now < start && now + crate::options::WORK_LEAD_TICKS * 2 > start
    });
    let content = agents.needs[agent].iter().zip(rules.critical).all(|(level, critical)| *level > critical.scaled(3));
    let busy = matches!(agents.activity[agent], Activity::Holding(..) | Activity::Using(..));
    !agents.possessed[agent] && !working && !soon && content && !busy && meeting_place_of(state, agent).is_none()
}

/// Two who have time and were not picked lately; `target` may name the first.
///
/// # Errors
/// Who has none.
pub(super) fn pair(
    cx: &TickContext<'_>,
    target: Option<ResidentId>,
    luck: impl Fn(usize, u64) -> u64,
) -> Result<[AgentId; 2], &'static str> {
    let (rules, state) = (cx.rules, &*cx.state);
    let gap = u64::from(rules.perturbations.per_agent_cooldown_ticks);
    let able = |agent: AgentId| {
        state.agents.invited[agent].is_none_or(|last| state.tick >= last + gap) && is_free(rules, state, agent)
    };
    let pick = |place: usize, taken: Option<AgentId>| {
        let all = || state.agents.present.iter().copied().filter(|agent| Some(*agent) != taken && able(*agent));
        let count = all().count() as u64;
        all().nth(luck(place, count) as usize)
    };
    let nobody = "nobody has time to meet now";
    let first = match target {
        None => pick(0, None).ok_or(nobody)?,
        Some(who) => {
            slot(state, who).filter(|agent| able(*agent)).ok_or("the resident it is about has no time to meet now")?
        }
    };
    let second = pick(1, Some(first)).ok_or(nobody)?;
    Ok([first, second])
}

/// Both drop what they do and set out.
pub(super) fn summon(cx: &mut TickContext<'_>, it: &ActivePerturbation) {
    let Some(Meeting { who, place, .. }) = it.meeting else { return };
    let tick = cx.state.tick;
    for who in who {
        let Some(agent) = slot(cx.state, who) else { continue };
        activity::release(cx, agent);
        let agents = &mut cx.state.agents;
        agents.option[agent] = MEET;
        agents.option_since[agent] = tick;
        agents.ended[agent] = false;
        agents.decide[agent] = false;
        agents.commit_until[agent] = it.ends.unwrap_or(u64::MAX);
        agents.invited[agent] = Some(tick);
    }
    cx.emit(EventKind::MeetingArranged { who: who[0], other: who[1], place });
}

/// Whoever still waits for the other is free again; who sits at a table finishes the talk like anybody else.
pub(super) fn dismiss(cx: &mut TickContext<'_>, it: &ActivePerturbation) {
    let Some(Meeting { who, place, .. }) = it.meeting else { return };
    let tick = cx.state.tick;
    for who in who {
        let Some(agent) = slot(cx.state, who) else { continue };
        if attends(cx, agent, place) {
            let agents = &mut cx.state.agents;
            agents.ended[agent] = agents.activity[agent] == Activity::Idle;
            agents.commit_until[agent] = tick;
        }
    }
}

/// The place a resident has been asked to and has not yet sat down in.
pub(crate) fn meeting_place_of(state: &State, agent: AgentId) -> Option<PlaceId> {
    let who = state.agents.resident[agent];
    let mut meetings = state.perturbations.active.iter().filter_map(|it| it.meeting);
    meetings.find(|meeting| meeting.who.contains(&who)).map(|meeting| meeting.place)
}

/// Whether somebody is still about the meeting: on the way to it, waiting there, or at one of its tables.
fn attends(cx: &TickContext<'_>, agent: AgentId, place: PlaceId) -> bool {
    let agents = &cx.state.agents;
    let elsewhere = |(object, _): (ObjectId, AffordanceId)| cx.rules.plan.objects[object].place != place;
    let bound = agents.option[agent] == MEET && !agents.ended[agent] && !agents.possessed[agent];
    bound && !agents.activity[agent].target().is_some_and(elsewhere)
}

/// Sends to a table those who have found each other, notes who sits together, and ends what one of the two has left.
pub(super) fn attend(cx: &mut TickContext<'_>) {
    for index in 0..cx.state.perturbations.active.len() {
        let Some(Meeting { who, place, met }) = cx.state.perturbations.active[index].meeting else { continue };
        let (Some(one), Some(other)) = (slot(cx.state, who[0]), slot(cx.state, who[1])) else {
            cx.state.perturbations.active[index].ends = Some(cx.state.tick);
            continue;
        };
        let both = [one, other];
        let agents = &cx.state.agents;
        let there = |agent: AgentId| {
            agents.activity[agent] == Activity::Idle && cx.rules.place_fields[place][agents.tile[agent]] == 0
        };
        if !both.iter().all(|agent| attends(cx, *agent, place)) {
            cx.state.perturbations.active[index].ends = Some(cx.state.tick);
        } else if !met && both.iter().all(|agent| matches!(agents.activity[*agent], Activity::Using(..))) {
            cx.state.perturbations.active[index].meeting = Some(Meeting { who, place, met: true });
            cx.emit(EventKind::Met { who: who[0], other: who[1], place });
        } else if both.iter().all(|agent| there(*agent)) {
            let Some((object, affordance)) = table_at(cx.rules, cx.state, place) else { continue };
            for agent in both {
                cx.state.agents.activity[agent] = Activity::Walking(object, affordance);
            }
        }
    }
}
