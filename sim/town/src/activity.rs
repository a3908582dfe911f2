//! Decisions and the execution of options: walking, queueing, holding and using. Rule: "Options".

use crate::distances::Heading;
use crate::events::EventKind;
use crate::fixed_point::Micro;
use crate::ids::{AffordanceId, AgentId, ObjectId, Tile};
use crate::masks::{avoided_rival, best_object, mask, object_refusal};
use crate::options::{Mask, OptionKind};
use crate::rules::Rules;
use crate::state::{Activity, State};
use crate::tick_context::TickContext;
use crate::{economy, queues, ties};

/// A resident with a decision due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decider {
    /// The resident.
    pub agent: AgentId,
    /// The options it may choose.
    pub mask: Mask,
}

/// Collects the decisions due: the option ended or became impossible, the commitment is over, or a need became critical.
pub(crate) fn deciders(rules: &Rules, state: &State, out: &mut Vec<Decider>) {
    out.clear();
    for agent in state.agents.present.iter().copied() {
        let agents = &state.agents;
        if agents.possessed[agent] {
            continue;
        }
        let due = agents.ended[agent] || agents.decide[agent] || state.tick >= agents.commit_until[agent];
        if due || is_impossible(rules, state, agent) {
            out.push(Decider { agent, mask: mask(rules, state, agent) });
        }
    }
}

/// Whether the current activity cannot be completed.
fn is_impossible(rules: &Rules, state: &State, agent: AgentId) -> bool {
    let Some((object, affordance)) = state.agents.activity[agent].target() else { return false };
    object_refusal(rules, state, agent, object, affordance).is_some()
}

/// Applies a decision. An option outside the mask counts as `wait`.
pub(crate) fn choose(cx: &mut TickContext<'_>, decider: Decider, choice: OptionKind) {
    let agent = decider.agent;
    let choice = if decider.mask.allows(choice) { choice } else { OptionKind::Wait };
    let previous = cx.state.agents.option[agent];
    let open =
        !cx.state.agents.ended[agent] && decider.mask.allows(previous) && !is_impossible(cx.rules, cx.state, agent);
    if open {
        cx.count(|counters| counters.decisions += 1);
        if choice != previous {
            cx.count(|counters| counters.switches += 1);
        }
    }
    cx.state.agents.decide[agent] = false;
    cx.state.agents.commit_until[agent] = cx.state.tick + u64::from(cx.rules.config.policy_runtime.option_commit_ticks);
    if !open || choice != previous {
        begin(cx, agent, choice);
    }
}

/// Drops the current activity and begins an option.
pub(crate) fn begin(cx: &mut TickContext<'_>, agent: AgentId, option: OptionKind) {
    release(cx, agent);
    let tick = cx.state.tick;
    let agents = &mut cx.state.agents;
    if agents.option[agent] != option || agents.ended[agent] {
        agents.option_since[agent] = tick;
    }
    agents.option[agent] = option;
    agents.ended[agent] = false;
    if !matches!(option, OptionKind::Wait | OptionKind::Work | OptionKind::GoHome) {
        match best_object(cx.rules, cx.state, agent, option) {
            Ok((object, affordance)) => {
                cx.state.agents.activity[agent] = Activity::Walking(object, affordance);
                if let Some((rival, left)) = avoided_rival(cx.rules, cx.state, agent, option, object) {
                    ties::rival_avoided(cx, agent, rival, left);
                }
            }
            Err(_) => cx.state.agents.ended[agent] = true,
        }
    }
}

/// Releases the object in use, the reservation or the place in a queue. Nothing is paid or taken.
pub(crate) fn release(cx: &mut TickContext<'_>, agent: AgentId) {
    let activity = std::mem::take(&mut cx.state.agents.activity[agent]);
    cx.state.agents.blocked[agent] = 0;
    let Some((object, _)) = activity.target() else { return };
    match activity {
        Activity::Waiting(..) => queues::give_up(cx, agent, object),
        Activity::Holding(..) | Activity::Using(..) => queues::vacate(cx, agent, object),
        Activity::Walking(..) | Activity::Idle => {}
    }
}

/// Advances the activity of every resident by a tick, in the order of the slots.
pub(crate) fn run(cx: &mut TickContext<'_>) {
    cx.each(|cx, agent| match cx.state.agents.activity[agent] {
        Activity::Idle => idle(cx, agent),
        Activity::Walking(object, affordance) => walk(cx, agent, object, affordance),
        Activity::Waiting(..) => {}
        Activity::Holding(object, affordance, until, since) => hold(cx, agent, object, affordance, (until, since)),
        Activity::Using(object, affordance, until) => use_it(cx, agent, object, affordance, until),
    });
}

fn idle(cx: &mut TickContext<'_>, agent: AgentId) {
    let agents = &cx.state.agents;
    match agents.option[agent] {
        OptionKind::Work => {
            let rules = cx.rules;
            match agents.workplace(agent) {
                Some(job) => {
                    let way = rules.way_to_site(job, agents.tile[agent]);
                    step(cx, agent, way, None);
                }
                _ => cx.state.agents.ended[agent] = true,
            }
        }
        OptionKind::GoHome => {
            let rules = cx.rules;
            let way = rules.way_to_place(agents.home[agent], agents.tile[agent]);
            if way.steps() == 0 {
                cx.state.agents.ended[agent] = true;
            } else {
                step(cx, agent, way, None);
            }
        }
        OptionKind::Socialise => {
            if let Some(place) = cx.state.perturbations.meeting_place(agents.resident[agent]) {
                let way = cx.rules.way_to_place(place, agents.tile[agent]);
                step(cx, agent, way, None);
            }
        }
        _ => {}
    }
}

/// Steps to an object within which a resident joins its queue.
pub(crate) const QUEUE_REACH: u16 = 2;
/// Steps to an object within which a resident uses it.
pub(crate) const USE_REACH: u16 = 1;

fn walk(cx: &mut TickContext<'_>, agent: AgentId, object: ObjectId, affordance: AffordanceId) {
    if approach(cx, agent, object, QUEUE_REACH) {
        match retarget(cx, agent, object) {
            Some((other, affordance)) => cx.state.agents.activity[agent] = Activity::Walking(other, affordance),
            None => queues::join(cx, agent, object, affordance),
        }
    }
}

/// A better object when this one is busy on arrival; `None` to queue here.
fn retarget(cx: &TickContext<'_>, agent: AgentId, object: ObjectId) -> Option<(ObjectId, AffordanceId)> {
    let it = &cx.state.objects[object];
    if it.uses.len() + it.queue.len() < cx.rules.plan.objects[object].kind.capacity() as usize {
        return None;
    }
    let option = cx.state.agents.option[agent];
    best_object(cx.rules, cx.state, agent, option).ok().filter(|(best, _)| *best != object)
}

fn hold(
    cx: &mut TickContext<'_>,
    agent: AgentId,
    object: ObjectId,
    affordance: AffordanceId,
    (until, since): (u64, u64),
) {
    let rules = cx.rules;
    if approach(cx, agent, object, USE_REACH) {
        let done = cx.state.tick + u64::from(rules.affordances[affordance].duration);
        cx.state.agents.activity[agent] = Activity::Using(object, affordance, done);
        ties::use_begun(cx, agent, object);
        cx.state.agents.blocked[agent] = 0;
    } else if cx.state.tick >= until {
        queues::lapse(cx, agent, object, affordance, since);
    }
}

fn use_it(cx: &mut TickContext<'_>, agent: AgentId, object: ObjectId, affordance: AffordanceId, until: u64) {
    let what = &cx.rules.affordances[affordance];
    if what.gradual {
        let left = until.saturating_sub(cx.state.tick) as i64;
        let duration = i64::from(what.duration);
        let levels = &mut cx.state.agents.needs[agent];
        for (level, effect) in levels.iter_mut().zip(what.effects) {
            // Most effects are zero, and a division is slow.
            if effect == Micro::ZERO {
                continue;
            }
            // Parts that add up to the whole exactly.
            let part = effect.0 * (duration - left + 1) / duration - effect.0 * (duration - left) / duration;
            *level = Micro(level.0 + part).unit();
        }
    }
    if cx.state.tick >= until {
        economy::complete_use(cx, agent, object, affordance);
        queues::vacate(cx, agent, object);
        cx.state.agents.activity[agent] = Activity::Idle;
        cx.state.agents.ended[agent] = true;
    }
}

/// Steps towards an object unless it is within reach. Returns whether it is then.
fn approach(cx: &mut TickContext<'_>, agent: AgentId, object: ObjectId, reach: u16) -> bool {
    let way = cx.rules.way_to_object(object, cx.state.agents.tile[agent]);
    let steps = way.steps();
    if steps <= reach {
        return true;
    }
    let moved = step(cx, agent, way, Some(object));
    moved && steps - 1 <= reach
}

/// Moves one tile along a way; returns whether the resident moved. A blocked resident waits, and after enough attempts passes
/// through (a ghost step).
fn step(cx: &mut TickContext<'_>, agent: AgentId, way: Heading, towards: Option<ObjectId>) -> bool {
    let from = cx.state.agents.tile[agent];
    let sides = cx.rules.plan.neighbours(from);
    let nearer = || way.sides().filter_map(|side| sides[side]);
    if let Some(free) = nearer().find(|tile| cx.occupancy.on(*tile) == 0) {
        cx.state.agents.blocked[agent] = 0;
        place(cx, agent, free);
        return true;
    }
    let Some(ahead) = nearer().next() else { return false };
    cx.state.blocked_steps += 1;
    cx.state.agents.blocked[agent] += 1;
    if cx.state.agents.blocked[agent] >= cx.rules.config.queue_fairness.ghost_step_after {
        cx.state.agents.blocked[agent] = 0;
        cx.state.ghost_steps += 1;
        if let Some(object) = towards {
            cx.state.objects[object].ghost_steps += 1;
        }
        cx.count(|counters| counters.ghost_steps += 1);
        cx.emit_for(agent, |who| EventKind::GhostStep { who });
        place(cx, agent, ahead);
        return true;
    }
    false
}

/// Moves a resident to a tile.
pub(crate) fn place(cx: &mut TickContext<'_>, agent: AgentId, tile: Tile) {
    let from = cx.state.agents.tile[agent];
    cx.occupancy.leave(from);
    cx.occupancy.enter(tile);
    cx.state.agents.tile[agent] = tile;
}
