//! Queues, reservations and cooldowns at objects. Rule: "Queues and reservations".
//!
//! Invariants, checked every tick in tests: an absent resident holds nothing, and a resident is in at most one queue.

use crate::events::EventKind;
use crate::fixed_point::Micro;
use crate::ids::{AffordanceId, AgentId, Key, ObjectId};
use crate::names;
use crate::needs::HUNGER;
use crate::rules::Rules;
use crate::state::{Activity, Cooldown, State, Waiter};
use crate::tick_context::TickContext;
use crate::ties;

/// Ticks until a reservation lapses.
pub const HOLD_TICKS: u64 = 10;

/// Adds a resident to the tail of a queue.
pub(crate) fn join(cx: &mut TickContext<'_>, agent: AgentId, object: ObjectId, affordance: AffordanceId) {
    let since = cx.state.tick;
    cx.state.objects[object].queue.push(Waiter { agent, affordance, since });
    cx.queue_index.mark_busy(object);
    cx.state.agents.activity[agent] = Activity::Waiting(object, affordance);
    cx.state.agents.blocked[agent] = 0;
    cx.state.agents.hunger_on_arrival[agent] = cx.state.agents.needs[agent][HUNGER];
    if cx.state.objects[object].uses.len() >= cx.rules.plan.objects[object].kind.capacity() as usize {
        cx.count(|counters| counters.waits += 1);
        ties::queue_joined(cx, agent, object);
    }
}

/// Removes a resident from a queue unserved.
pub(crate) fn give_up(cx: &mut TickContext<'_>, agent: AgentId, object: ObjectId) {
    let tick = cx.state.tick;
    let queue = &mut cx.state.objects[object].queue;
    if let Some(index) = queue.iter().position(|waiter| waiter.agent == agent) {
        let waiter = queue.remove(index);
        let waited = (tick - waiter.since) as u32;
        if waited > 0 {
            cx.count(|counters| counters.queue_conflicts += 1);
            cx.emit_for(agent, |who| EventKind::QueueConflict { who, object, waited });
            ties::queue_left(cx, agent, object);
        }
    }
}

/// Ends a reservation that was not used in time. The resident gets a cooldown and goes to the tail; its wait still counts.
pub(crate) fn lapse(cx: &mut TickContext<'_>, agent: AgentId, object: ObjectId, affordance: AffordanceId, since: u64) {
    vacate(cx, agent, object);
    cx.state.objects[object].queue.push(Waiter { agent, affordance, since });
    cx.queue_index.mark_busy(object);
    cx.state.agents.activity[agent] = Activity::Waiting(object, affordance);
    cx.count(|counters| counters.queue_conflicts += 1);
    let waited = (cx.state.tick - since) as u32;
    cx.emit_for(agent, |who| EventKind::QueueConflict { who, object, waited });
    ties::queue_left(cx, agent, object);
}

/// Frees an object and starts the cooldown of the resident who held it.
pub(crate) fn vacate(cx: &mut TickContext<'_>, agent: AgentId, object: ObjectId) {
    let until = cx.state.tick + u64::from(cx.rules.config.queue_fairness.cooldown_ticks);
    let fair = cx.state.live_settings.queue_fairness;
    let it = &mut cx.state.objects[object];
    it.uses.retain(|user| *user != agent);
    cx.queue_index.set_users(object, it.uses.len());
    if fair {
        it.cooldowns.retain(|cooldown| cooldown.agent != agent);
        it.cooldowns.push(Cooldown { agent, until });
        cx.queue_index.mark_busy(object);
    }
}

/// Drops every cooldown of a resident who leaves the town.
pub(crate) fn drop_cooldowns(cx: &mut TickContext<'_>, agent: AgentId) {
    for object in &mut cx.state.objects {
        object.cooldowns.retain(|cooldown| cooldown.agent != agent);
    }
}

/// Gives every free object to the next resident in its queue, in plan order.
pub(crate) fn serve(cx: &mut TickContext<'_>) {
    for word in 0..cx.queue_index.busy().len() {
        let mut left = cx.queue_index.busy()[word];
        while left != 0 {
            let object = ObjectId((word * 64) as u16 + left.trailing_zeros() as u16);
            left &= left - 1;
            if cx.state.tick < cx.queue_index.due(object) {
                continue;
            }
            serve_at(cx, object);
            cx.queue_index.set_served(object, &cx.state.objects[object]);
        }
    }
}

fn serve_at(cx: &mut TickContext<'_>, object: ObjectId) {
    let tick = cx.state.tick;
    let it = &mut cx.state.objects[object];
    if !it.cooldowns.is_empty() {
        it.cooldowns.retain(|cooldown| cooldown.until > tick);
    }
    let capacity = cx.rules.plan.objects[object].kind.capacity() as usize;
    while !cx.state.objects[object].queue.is_empty() && cx.state.objects[object].uses.len() < capacity {
        let Some(position) = next(cx, object) else { break };
        let waiter = cx.state.objects[object].queue.remove(position);
        cx.state.objects[object].uses.push(waiter.agent);
        cx.queue_index.set_users(object, cx.state.objects[object].uses.len());
        cx.state.agents.activity[waiter.agent] =
            Activity::Holding(object, waiter.affordance, tick + HOLD_TICKS, waiter.since);
        ties::queue_served(cx, waiter.agent, waiter.since, object);
        let waited = tick - waiter.since;
        cx.count(|counters| {
            counters.served += 1;
            counters.wait_ticks += waited as u32;
        });
    }
}

/// Position of the next resident to serve. Without fairness it is the head. With fairness, residents on cooldown are passed
/// over and the highest `age_priority_weight` × ticks waited − position wins.
fn next(cx: &TickContext<'_>, object: ObjectId) -> Option<usize> {
    let it = &cx.state.objects[object];
    if !cx.state.live_settings.queue_fairness {
        return Some(0);
    }
    let weight = cx.rules.config.queue_fairness.age_priority_weight;
    let score = |position: usize| {
        let waited = (cx.state.tick - it.queue[position].since) as i64;
        weight.scaled(waited).0 - Micro::whole(position as i64).0
    };
    (0..it.queue.len())
        .filter(|position| it.cooldown_of(it.queue[*position].agent) <= cx.state.tick)
        .max_by_key(|position| (score(*position), std::cmp::Reverse(*position)))
}

/// Every violated invariant, for tests and for `debug queues`.
pub fn violations(rules: &Rules, state: &State) -> Vec<String> {
    let mut found = Vec::new();
    let name = |agent: AgentId| names::name(state.agents.resident[agent]);
    let mut seen = vec![0_u32; state.agents.tile.len()];
    for (object, plan) in rules.plan.objects() {
        let it = &state.objects[object];
        if it.uses.len() > plan.kind.capacity() as usize {
            found.push(format!("{} is used by {} at once", plan.name, it.uses.len()));
        }
        let waiting = it.queue.iter().map(|waiter| (waiter.agent, false));
        for (agent, holds) in waiting.chain(it.uses.iter().map(|agent| (*agent, true))) {
            seen[agent.at()] += 1;
            let fits = match state.agents.activity[agent] {
                Activity::Waiting(at, _) => at == object && !holds,
                Activity::Holding(at, ..) | Activity::Using(at, ..) => at == object && holds,
                Activity::Idle | Activity::Walking(..) => false,
            };
            if !state.agents.is_present(agent) {
                found.push(format!("slot {} is free and still registered at {}", agent.0, plan.name));
            } else if !fits {
                let activity = state.agents.activity[agent];
                found.push(format!("{} is registered at {}, and its activity is {activity:?}", name(agent), plan.name));
            }
        }
        if it.cooldowns.iter().any(|cooldown| !state.agents.is_present(cooldown.agent)) {
            found.push(format!("an absent resident has a cooldown at {}", plan.name));
        }
    }
    for agent in &state.agents.present {
        let held = u32::from(!matches!(state.agents.activity[*agent], Activity::Idle | Activity::Walking(..)));
        if seen[agent.at()] != held {
            let (times, activity) = (seen[agent.at()], state.agents.activity[*agent]);
            let who = name(*agent);
            found.push(format!("{who} is registered {times} times as waiting or using; its activity is {activity:?}"));
        }
    }
    found
}
