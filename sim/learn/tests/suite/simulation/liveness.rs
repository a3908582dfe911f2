//! No starvation: free objects serve their queue, uses and reservations end in time, waits are bounded, walks progress.

use townlet_town::ids::{Key, ObjectId};
use townlet_town::state::{Activity, ObjectState, State};
use townlet_town::{AgentId, EventKind, Rules};

use super::conservation::slot;
use super::{CheckResult, Transition, ensure};

/// Ticks a reservation waits for its holder.
const HOLD_TICKS: u64 = 10;

/// Waits that can follow each other when reservations lapse.
const LAPSES: u64 = 4;

/// Queue lengths so far.
#[derive(Default)]
pub(crate) struct LivenessCheck {
    /// Longest queue at each object since it was last empty.
    longest: Vec<u64>,
}

impl LivenessCheck {
    /// After a tick.
    pub(crate) fn tick(&mut self, transition: &Transition<'_>) -> CheckResult {
        let (rules, tick) = (transition.rules, transition.before.tick);
        self.longest.resize(transition.after.objects.len(), 0);
        // A resident who left frees their object after the queues were served.
        let freed = transition.events.iter().any(|event| matches!(event.kind, EventKind::ResidentLeft { .. }));
        for (object, plan) in rules.plan.objects() {
            let it = &transition.after.objects[object];
            let longest = &mut self.longest[object.at()];
            *longest = if it.queue.is_empty() { 0 } else { (*longest).max(it.queue.len() as u64) };
            let room = it.uses.len() < plan.kind.capacity() as usize;
            ensure!(
                freed || !room || sits_out(transition.after, it, tick),
                "deadlock: {} is free although residents queue",
                plan.name
            );
            in_turn(transition, object)?;
            let bound = bound(rules, object, *longest);
            for waiter in &it.queue {
                let (who, waited) = (transition.after.agents.resident[waiter.agent], tick - waiter.since);
                ensure!(
                    waited <= bound,
                    "deadlock: {who:?} has waited {waited} ticks for {}, bound {bound}",
                    plan.name
                );
            }
        }
        for agent in transition.after.agents.present.iter().copied() {
            gets_on(transition, agent)?;
        }
        Ok(())
    }
}

fn gets_on(transition: &Transition<'_>, agent: AgentId) -> CheckResult {
    let (rules, tick, agents) = (transition.rules, transition.before.tick, &transition.after.agents);
    let who = agents.resident[agent];
    let patience = rules.config.queue_fairness.ghost_step_after;
    ensure!(agents.blocked[agent] < patience, "deadlock: {who:?} was blocked {} times", agents.blocked[agent]);
    let activity = agents.activity[agent];
    match activity {
        Activity::Holding(_, _, until, _) => {
            ensure!((tick + 1..=tick + HOLD_TICKS).contains(&until), "deadlock: {who:?} holds something until {until}");
        }
        Activity::Using(_, affordance, until) => {
            let duration = u64::from(rules.affordances[affordance].duration);
            ensure!((tick + 1..=tick + duration).contains(&until), "deadlock: {who:?} uses something until {until}");
        }
        _ => {}
    }
    let Some(was) = slot(transition.before, who) else { return Ok(()) };
    let before = &transition.before.agents;
    let stood = before.activity[was] == activity && before.tile[was] == agents.tile[agent];
    if stood && matches!(activity, Activity::Walking(..)) {
        // Attempts are counted and bounded; a walk that started in this tick begins with 1.
        let (had, has) = (before.blocked[was], agents.blocked[agent]);
        ensure!(has == had + 1 || has == 1, "deadlock: {who:?} walks and does not try to move");
    }
    Ok(())
}

/// A resident served in this tick had no cooldown, and without fairness was the first in the queue.
fn in_turn(transition: &Transition<'_>, object: ObjectId) -> CheckResult {
    let (tick, agents) = (transition.before.tick, &transition.after.agents);
    let (before, it) = (&transition.before.objects[object], &transition.after.objects[object]);
    let served = |agent: &AgentId| matches!(agents.activity[*agent], Activity::Holding(_, _, until, _) if until == tick + HOLD_TICKS);
    let place = |agent: AgentId| before.queue.iter().position(|waiter| waiter.agent == agent);
    for agent in it.uses.iter().copied().filter(served) {
        let who = agents.resident[agent];
        ensure!(it.cooldown_of(agent) <= tick, "queues: {who:?} was served during a cooldown");
        let kept = it.queue.iter().filter(|waiter| before.queue.contains(waiter));
        let passed =
            place(agent).and_then(|own| kept.filter_map(|waiter| place(waiter.agent)).find(|other| *other < own));
        let fair = transition.after.live_settings.queue_fairness;
        ensure!(fair || passed.is_none(), "queues: {who:?} was served before {passed:?} of {:?}", before.queue);
    }
    Ok(())
}

/// Whether everyone in the queue is on cooldown.
fn sits_out(state: &State, object: &ObjectState, tick: u64) -> bool {
    let fair = state.live_settings.queue_fairness;
    object.queue.iter().all(|waiter| fair && object.cooldown_of(waiter.agent) > tick)
}

/// The longest possible wait: everyone who was in the queue at once goes first and reserves, uses and cools down as long as
/// possible.
fn bound(rules: &Rules, object: ObjectId, longest: u64) -> u64 {
    let serving = rules.choices.iter().flatten().filter(|(at, _)| *at == object);
    let use_ticks =
        serving.map(|(_, affordance)| u64::from(rules.affordances[*affordance].duration)).max().unwrap_or(0);
    let turn = use_ticks + HOLD_TICKS + 2;
    let fairness = &rules.config.queue_fairness;
    let once = u64::from(fairness.cooldown_ticks) + (longest + 1) * turn;
    // Where residents step aside later than a reservation lasts, it can lapse, and the wait starts again.
    if u64::from(fairness.ghost_step_after) < HOLD_TICKS { once } else { once * LAPSES }
}
