//! Queues and reservations: who is served next, who sits out, and that nobody is left holding a thing.
//!
//! Invariants, checked every tick in tests: nobody absent holds anything, nobody stands in two queues, nobody waits for
//! what does not exist. Rule: "Queues and reservations".

use crate::events::EventKind;
use crate::ids::{AffordanceId, AgentId, Column, Key, ObjectId};
use crate::state::{Activity, Cooldown, ObjectState, Waiter};
use crate::tick_context::TickContext;
use crate::ties;

/// Ticks a reservation waits for its holder to step up.
pub(crate) const HOLD_TICKS: u64 = 10;

/// What of the objects' state every tick asks of all of them, small enough to stay close to the core; follows from it.
#[derive(Clone, Debug)]
pub(crate) struct QueueIndex {
    /// A bit each, set where somebody waits or sits out: a tick passes over the rest. An object that has been left is
    /// dropped when it is next served.
    busy: Vec<u64>,
    users: Column<ObjectId, u8>,
}

impl QueueIndex {
    /// Those of a state.
    pub(crate) fn new(objects: &Column<ObjectId, ObjectState>) -> Self {
        let users = objects.iter().map(|it| it.uses.len() as u8).collect::<Vec<_>>().into();
        let mut lines = Self { busy: vec![0; objects.len().div_ceil(64)], users };
        for (index, it) in objects.iter().enumerate() {
            if !it.is_left() {
                lines.note(ObjectId(index as u16));
            }
        }
        lines
    }

    /// How many hold or use it.
    pub(crate) fn users(&self, object: ObjectId) -> u8 {
        self.users[object]
    }

    fn note(&mut self, object: ObjectId) {
        self.busy[object.at() / 64] |= 1 << (object.at() % 64);
    }

    fn drop(&mut self, object: ObjectId) {
        self.busy[object.at() / 64] &= !(1 << (object.at() % 64));
    }
}

/// Joins the tail.
pub(crate) fn join(cx: &mut TickContext<'_>, agent: AgentId, object: ObjectId, affordance: AffordanceId) {
    let since = cx.state.tick;
    cx.state.objects[object].queue.push(Waiter { agent, affordance, since });
    cx.queue_index.note(object);
    cx.state.agents.activity[agent] = Activity::Waiting(object, affordance);
    cx.state.agents.blocked[agent] = 0;
    if cx.state.objects[object].uses.len() >= cx.rules.plan.objects[object].kind.capacity() as usize {
        cx.count(|counters| counters.waits += 1);
        ties::joined(cx, agent, object);
    }
}

/// Leaves the queue unserved.
pub(crate) fn give_up(cx: &mut TickContext<'_>, agent: AgentId, object: ObjectId) {
    let tick = cx.state.tick;
    let queue = &mut cx.state.objects[object].queue;
    if let Some(index) = queue.iter().position(|waiter| waiter.agent == agent) {
        let waiter = queue.remove(index);
        let waited = (tick - waiter.since) as u32;
        if waited > 0 {
            cx.count(|counters| counters.queue_conflicts += 1);
            cx.emit_for(agent, |who| EventKind::QueueConflict { who, object, waited });
            ties::blocked_in_queue(cx, agent, object);
        }
    }
}

/// A reservation that was not taken up: back to the tail, the wait still counts, and a cooldown for having blocked.
pub(crate) fn lapse(cx: &mut TickContext<'_>, agent: AgentId, object: ObjectId, affordance: AffordanceId, since: u64) {
    vacate(cx, agent, object);
    cx.state.objects[object].queue.push(Waiter { agent, affordance, since });
    cx.queue_index.note(object);
    cx.state.agents.activity[agent] = Activity::Waiting(object, affordance);
    cx.count(|counters| counters.queue_conflicts += 1);
    let waited = (cx.state.tick - since) as u32;
    cx.emit_for(agent, |who| EventKind::QueueConflict { who, object, waited });
    ties::blocked_in_queue(cx, agent, object);
}

/// Frees the object and starts the cooldown of whoever held it.
pub(crate) fn vacate(cx: &mut TickContext<'_>, agent: AgentId, object: ObjectId) {
    let until = cx.state.tick + u64::from(cx.rules.config.queue_fairness.cooldown_ticks);
    let fair = cx.state.live_settings.queue_fairness;
    let it = &mut cx.state.objects[object];
    it.uses.retain(|user| *user != agent);
    cx.queue_index.users[object] = it.uses.len() as u8;
    if fair {
        it.cooldowns.retain(|cooldown| cooldown.agent != agent);
        it.cooldowns.push(Cooldown { agent, until });
        cx.queue_index.note(object);
    }
}

/// Forgets somebody who has left the town.
pub(crate) fn forget(cx: &mut TickContext<'_>, agent: AgentId) {
    crate::activity::release(cx, agent);
    for object in &mut cx.state.objects {
        object.cooldowns.retain(|cooldown| cooldown.agent != agent);
    }
}

/// Gives every free object to the next in line, in the order of the plan.
pub(crate) fn serve(cx: &mut TickContext<'_>) {
    for word in 0..cx.queue_index.busy.len() {
        let mut left = cx.queue_index.busy[word];
        while left != 0 {
            let object = ObjectId((word * 64) as u16 + left.trailing_zeros() as u16);
            left &= left - 1;
            serve_at(cx, object);
            if cx.state.objects[object].is_left() {
                cx.queue_index.drop(object);
            }
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
        cx.queue_index.users[object] += 1;
        cx.state.agents.activity[waiter.agent] =
            Activity::Holding(object, waiter.affordance, tick + HOLD_TICKS, waiter.since);
        ties::served(cx, waiter.agent, waiter.since, object);
        let waited = tick - waiter.since;
        cx.count(|counters| {
            counters.served += 1;
            counters.wait_ticks += waited as u32;
        });
    }
}

/// Position of the next in line: with fairness, nobody who sits out, then the highest of `age_priority_weight` × ticks
/// waited − places behind the head; without, the head.
fn next(cx: &TickContext<'_>, object: ObjectId) -> Option<usize> {
    let it = &cx.state.objects[object];
    if !cx.state.live_settings.queue_fairness {
        return Some(0);
    }
    let weight = cx.rules.config.queue_fairness.age_priority_weight;
    let score = |position: usize| {
        let waited = (cx.state.tick - it.queue[position].since) as i64;
        weight.scaled(waited).0 - crate::fixed_point::Micro::whole(position as i64).0
    };
    (0..it.queue.len())
        .filter(|position| it.cooldown_of(it.queue[*position].agent) <= cx.state.tick)
        .max_by_key(|position| (score(*position), std::cmp::Reverse(*position)))
}

/// What the invariants say is wrong, if anything; for tests and for `debug queues`.
pub fn violations(rules: &crate::rules::Rules, state: &crate::state::State) -> Vec<String> {
    let mut found = Vec::new();
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
                found.push(format!("slot {} is absent and stands at {}", agent.0, plan.name));
            } else if !fits {
                found.push(format!("slot {} stands at {} and does not know it", agent.0, plan.name));
            }
        }
        if it.cooldowns.iter().any(|cooldown| !state.agents.is_present(cooldown.agent)) {
            found.push(format!("somebody absent sits out at {}", plan.name));
        }
    }
    for agent in &state.agents.present {
        let held = u32::from(!matches!(state.agents.activity[*agent], Activity::Idle | Activity::Walking(..)));
        if seen[agent.at()] != held {
            found.push(format!("slot {} stands in {} queues or uses", agent.0, seen[agent.at()]));
        }
    }
    found
}
