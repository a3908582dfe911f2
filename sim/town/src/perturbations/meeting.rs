//! Arranged meetings. Two residents walk to a place, wait there for each other and sit down at a table together. A critical
//! need, an operator's command or an exit of one of them ends the meeting early.

use crate::activity;
use crate::events::EventKind;
use crate::ids::{AffordanceId, AgentId, ObjectId, PlaceId, ResidentId};
use crate::masks::WORK_LEAD_TICKS;
use crate::options::OptionKind;
use crate::rules::Rules;
use crate::state::{ActivePerturbation, Activity, Meeting, ShiftState, State};
use crate::tick_context::TickContext;

/// Duration of an operator's meeting in ticks, after both can have arrived.
pub(crate) const STAY_TICKS: u64 = 60;

/// The table of a place with the fewest users.
fn table_at(rules: &Rules, state: &State, place: PlaceId) -> Option<(ObjectId, AffordanceId)> {
    let here = |object: &ObjectId| rules.plan.objects[*object].place == place;
    let people = |object: ObjectId| state.objects[object].uses.len() + state.objects[object].queue.len();
    let tables = rules.choices[MEET.index()].iter().copied().filter(|(object, _)| here(object));
    tables.min_by_key(|(object, _)| (people(*object), *object))
}

/// Ticks until both can be at a place.
pub(crate) fn walking_time(rules: &Rules, state: &State, who: [AgentId; 2], place: PlaceId) -> u64 {
    let steps = |agent: AgentId| u64::from(rules.way_to_place(place, state.agents.tile[agent]).steps());
    who.into_iter().map(steps).max().unwrap_or(0)
}

/// Whether a resident can be invited: not invited already, not driven by an operator, not at or near work, without urgent
/// needs, and not using an object.
fn is_free(rules: &Rules, state: &State, agent: AgentId) -> bool {
    let agents = &state.agents;
    let now = rules.tick_of_day(state.tick);
    let working = matches!(agents.shift[agent].state, ShiftState::AwaitStart | ShiftState::OnTime | ShiftState::Late);
    let soon = agents.job[agent].is_some_and(|job| {
        let start = rules.jobs[job].start;
        now < start && now + WORK_LEAD_TICKS * 2 > start
    });
    let content = agents.needs[agent].iter().zip(rules.critical).all(|(level, critical)| *level > critical.scaled(3));
    let busy = matches!(agents.activity[agent], Activity::Holding(..) | Activity::Using(..));
    !agents.possessed[agent]
        && !working
        && !soon
        && content
        && !busy
        && state.perturbations.meeting_place(agents.resident[agent]).is_none()
}

/// Draws two residents who can be invited and are not on cooldown. `target` may name the first.
///
/// # Errors
/// Why there are none.
pub(super) fn draw_pair(
    cx: &TickContext<'_>,
    target: Option<ResidentId>,
    random_below: impl Fn(usize, u64) -> u64,
) -> Result<[AgentId; 2], &'static str> {
    let (rules, state) = (cx.rules, &*cx.state);
    let gap = u64::from(rules.perturbations.per_agent_cooldown_ticks);
    let able = |agent: AgentId| {
        state.agents.invited[agent].is_none_or(|last| state.tick >= last + gap) && is_free(rules, state, agent)
    };
    let pick = |place: usize, taken: Option<AgentId>| {
        let all = || state.agents.present.iter().copied().filter(|agent| Some(*agent) != taken && able(*agent));
        let count = all().count() as u64;
        all().nth(random_below(place, count) as usize)
    };
    let none = "no resident has time to meet now";
    let first = match target {
        None => pick(0, None).ok_or(none)?,
        Some(who) => {
            state.agents.slot_of(who).filter(|agent| able(*agent)).ok_or("its resident has no time to meet now")?
        }
    };
    let second = pick(1, Some(first)).ok_or(none)?;
    Ok([first, second])
}

/// Both residents drop their activity and walk to the place.
pub(super) fn begin(cx: &mut TickContext<'_>, it: &ActivePerturbation) {
    let Some(Meeting { who, place, .. }) = it.meeting else { return };
    let tick = cx.state.tick;
    for who in who {
        let Some(agent) = cx.state.agents.slot_of(who) else { continue };
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

/// Residents who still wait for the other decide anew. Those at a table finish their use.
pub(super) fn end(cx: &mut TickContext<'_>, it: &ActivePerturbation) {
    let Some(Meeting { who, place, .. }) = it.meeting else { return };
    let tick = cx.state.tick;
    for who in who {
        let Some(agent) = cx.state.agents.slot_of(who) else { continue };
        if attends(cx, agent, place) {
            let agents = &mut cx.state.agents;
            agents.ended[agent] = agents.activity[agent] == Activity::Idle;
            agents.commit_until[agent] = tick;
        }
    }
}

/// Whether a resident still takes part: on the way, waiting at the place, or at one of its tables.
fn attends(cx: &TickContext<'_>, agent: AgentId, place: PlaceId) -> bool {
    let agents = &cx.state.agents;
    let elsewhere = |(object, _): (ObjectId, AffordanceId)| cx.rules.plan.objects[object].place != place;
    let bound = agents.option[agent] == MEET && !agents.ended[agent] && !agents.possessed[agent];
    bound && !agents.activity[agent].target().is_some_and(elsewhere)
}

/// Advances every meeting: sends residents who are both there to a table, marks them as met when both sit, and ends meetings
/// that one of them has left.
pub(super) fn run(cx: &mut TickContext<'_>) {
    for index in 0..cx.state.perturbations.active.len() {
        let Some(Meeting { who, place, met }) = cx.state.perturbations.active[index].meeting else { continue };
        let (Some(one), Some(other)) = (cx.state.agents.slot_of(who[0]), cx.state.agents.slot_of(who[1])) else {
            cx.state.perturbations.active[index].ends = Some(cx.state.tick);
            continue;
        };
        let both = [one, other];
        let agents = &cx.state.agents;
        let there = |agent: AgentId| {
            agents.activity[agent] == Activity::Idle && cx.rules.way_to_place(place, agents.tile[agent]).steps() == 0
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

/// The option of residents in a meeting.
const MEET: OptionKind = OptionKind::Socialise;
