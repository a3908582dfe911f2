//! Telemetry of places: stores, queues and the map.

use std::collections::BTreeMap;

use serde::Serialize;
use townlet_town::ids::{AgentId, ObjectId};
use townlet_town::masks::{MaskReason, closure_reason};
use townlet_town::plan::ObjectKind;
use townlet_town::state::{Activity, State};
use townlet_town::{Rules, queues};

use super::agent_id;
use townlet_wire::telemetry::{
    Conflict, Map, MapObject, MapPlace, Queue, QueueCooldown, QueueUser, QueueWaiter, Store,
};

pub(super) fn stores(rules: &Rules, state: &State) -> BTreeMap<String, Store> {
    rules
        .plan
        .objects()
        .filter_map(|(id, object)| {
            let economy = &rules.config.economy;
            let (item, capacity) = match object.kind {
                ObjectKind::Fridge => ("meals", economy.fridge_capacity),
                ObjectKind::Till => ("meals", economy.cafe_capacity),
                ObjectKind::Shelf => ("groceries", economy.grocer_capacity),
                _ => return None,
            };
            let stock = [(item.to_owned(), u64::from(state.objects[id].stock))].into();
            Some((object.name.clone(), Store { kind: object.kind.name().into(), stock, capacity: capacity.into() }))
        })
        .collect()
}

pub(crate) fn conflict(rules: &Rules, state: &State) -> Conflict {
    let used = |id: ObjectId| rules.affordances_of(id).next().is_some();
    Conflict {
        queues: rules.plan.objects().filter(|(id, _)| used(*id)).map(|(id, _)| queue(rules, state, id)).collect(),
        ghost_steps: state.ghost_steps,
        blocked_steps: state.blocked_steps,
        queue_fairness: state.live_settings.queue_fairness,
    }
}

fn queue(rules: &Rules, state: &State, id: ObjectId) -> Queue {
    let (object, it) = (&rules.plan.objects[id], &state.objects[id]);
    let closures = || rules.affordances_of(id).map(|what| closure_reason(rules, state, id, what));
    let working = closures().any(|why| why.is_none());
    let closed = !working && closures().any(|why| why == Some(MaskReason::Closed));
    let users = it.uses.iter().map(|agent| {
        let (affordance, remaining) = match state.agents.activity[*agent] {
            Activity::Using(_, what, until) => {
                (rules.affordances[what].id.clone(), Some(until.saturating_sub(state.tick)))
            }
            Activity::Holding(_, what, ..) => (rules.affordances[what].id.clone(), None),
            _ => (String::new(), None),
        };
        QueueUser { agent: agent_id(state, *agent), affordance, remaining }
    });
    let waiting: Vec<QueueWaiter> = it
        .queue
        .iter()
        .map(|waiter| QueueWaiter { agent: agent_id(state, waiter.agent), waited: state.tick - waiter.since })
        .collect();
    Queue {
        object: object.name.clone(),
        kind: object.kind.name().into(),
        place: rules.plan.places[object.place].name.clone(),
        capacity: u64::from(object.kind.capacity()),
        users: users.collect(),
        longest_wait: waiting.iter().map(|waiter| waiter.waited).max().unwrap_or(0),
        waiting,
        cooldowns: it
            .cooldowns
            .iter()
            .filter(|cooldown| cooldown.until > state.tick)
            .map(|cooldown| QueueCooldown { agent: agent_id(state, cooldown.agent), until_tick: cooldown.until })
            .collect(),
        ghost_steps: u64::from(it.ghost_steps),
        working,
        closed,
    }
}

/// The residents that hold, have reserved, wait for or may not yet use an object again, and since when: a row each, in plan order.
pub(crate) fn queue_entries(rules: &Rules, state: &State) -> Vec<QueueEntry> {
    let mut rows = Vec::new();
    for (id, object) in rules.plan.objects() {
        let it = &state.objects[id];
        let mut add = |agent: AgentId, holds: String, since, until| {
            let (object, resident) = (object.name.clone(), agent_id(state, agent));
            rows.push(QueueEntry { object, resident, state: holds, since, until });
        };
        for agent in it.uses.iter().copied() {
            let affordance = |what| &rules.affordances[what];
            match state.agents.activity[agent] {
                Activity::Using(at, what, until) if at == id => {
                    let since = until.saturating_sub(u64::from(affordance(what).duration));
                    add(agent, format!("uses {}", affordance(what).id), Some(since), Some(until));
                }
                Activity::Holding(at, what, until, _) if at == id => {
                    let since = until.saturating_sub(queues::HOLD_TICKS);
                    add(agent, format!("has reserved {}", affordance(what).id), Some(since), Some(until));
                }
                _ => add(agent, "is registered; its activity is elsewhere".into(), None, None),
            }
        }
        for (position, waiter) in it.queue.iter().enumerate() {
            let affordance = &rules.affordances[waiter.affordance].id;
            add(waiter.agent, format!("waits for {affordance}, number {}", position + 1), Some(waiter.since), None);
        }
        for cooldown in it.cooldowns.iter().filter(|cooldown| cooldown.until > state.tick) {
            add(cooldown.agent, "cools down".into(), None, Some(cooldown.until));
        }
    }
    rows
}

/// One row of `debug queues`.
#[derive(Debug, Serialize)]
pub(crate) struct QueueEntry {
    object: String,
    resident: String,
    state: String,
    /// Tick.
    since: Option<u64>,
    /// Tick at which the use or the cooldown ends, or the reservation lapses.
    until: Option<u64>,
}

/// The map; constant while a town runs.
pub(super) fn map(rules: &Rules) -> Map {
    let plan = &rules.plan;
    Map {
        revision: 1,
        width: u64::from(plan.width),
        height: u64::from(plan.height),
        rows: plan.rows.clone(),
        places: plan
            .places
            .iter()
            .map(|place| MapPlace {
                name: place.name.clone(),
                kind: place.kind.name().into(),
                x: u64::from(place.x),
                y: u64::from(place.y),
                width: u64::from(place.width),
                height: u64::from(place.height),
            })
            .collect(),
        objects: plan
            .objects
            .iter()
            .map(|object| {
                let (x, y) = plan.at(object.tile);
                MapObject {
                    id: object.name.clone(),
                    kind: object.kind.name().into(),
                    place: plan.places[object.place].name.clone(),
                    x: u64::from(x),
                    y: u64::from(y),
                }
            })
            .collect(),
    }
}
