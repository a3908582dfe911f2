//! What a running town takes of other rules: in which settings two differ, and how a town goes on under the new ones.
//!
//! Owns what becomes of things under way when the text that named them has changed. Which settings may change stands in the
//! table of settings (`config`), and nowhere else. Must not know files. Rule: "Configuration reload".

use std::sync::Arc;

use crate::activity;
use crate::affordances::Affordance;
use crate::command::Refusal;
use crate::config::{Difference, diff, difference};
use crate::ids::{AffordanceId, AgentId, Column};
use crate::rules::Rules;
use crate::state::{Activity, State};
use crate::town::{Town, reserve};

/// Every setting in which two rules differ, sorted by key: of the configuration, of the perturbation file (under
/// `perturbations`), of the affordance file (under `affordances`), and the plan as a whole.
pub fn changes(old: &Rules, new: &Rules) -> Vec<Difference> {
    let mut changes = diff(&old.config, &new.config);
    let under = |file: &str, change: Difference| Difference { key: format!("{file}.{}", change.key), ..change };
    let perturbations = difference(&old.perturbations, &new.perturbations);
    changes.extend(perturbations.into_iter().map(|change| under("perturbations", change)));
    changes.extend(affordances(&old.affordances, &new.affordances).into_iter().map(|it| under("affordances", it)));
    if old.plan != new.plan && old.config.world.plan == new.config.world.plan {
        let key = "world.plan".to_owned();
        let other = format!("{} with another text", new.config.world.plan);
        changes.push(Difference { key, left: Some(old.config.world.plan.clone()), right: Some(other), hot: false });
    }
    changes.sort_by(|a, b| a.key.cmp(&b.key));
    changes
}

type All = Column<AffordanceId, Affordance>;

/// What differs between two affordance files, by id; all of it may change while a town runs.
fn affordances(old: &All, new: &All) -> Vec<Difference> {
    let hot = |key: String, left, right| Difference { key, left, right, hot: true };
    let of = |all: &All, id: &str| all.iter().find(|it| it.id == id).map(Affordance::facts);
    let mut ids: Vec<&str> = old.iter().chain(new.iter()).map(|it| it.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut changes = Vec::new();
    for id in ids {
        match (of(old, id), of(new, id)) {
            (Some(left), Some(right)) => {
                let pairs = left.into_iter().zip(right).filter(|(left, right)| left != right);
                changes.extend(
                    pairs.map(|((name, left), (_, right))| hot(format!("{id}.{name}"), Some(left), Some(right))),
                );
            }
            (left, right) => {
                let there = |facts: Option<Vec<_>>| facts.map(|_| "there".to_owned());
                changes.push(hot(id.to_owned(), there(left), there(right)));
            }
        }
    }
    // Of two that serve as well the first is taken, so that their order says something.
    let order = |all: &All, other: &All| {
        let both = all.iter().filter(|it| other.iter().any(|other| other.id == it.id));
        both.map(|it| it.id.as_str()).collect::<Vec<_>>().join(", ")
    };
    let (left, right) = (order(old, new), order(new, old));
    if left != right {
        changes.push(hot("order".to_owned(), Some(left), Some(right)));
    }
    changes
}

impl Town {
    /// Goes on under other rules from the next tick on, all of them at once. It counts as a command.
    ///
    /// Who uses an affordance that is another one now, or is gone, lets go of it: nothing is paid or taken, and they choose
    /// again. A shock under way goes on to its end as it was drawn, and one of today's luck comes if its event still exists.
    ///
    /// # Errors
    /// The settings that a running town does not take; then nothing has changed.
    pub fn reload(&mut self, rules: &Arc<Rules>) -> Result<(), Refusal> {
        let fixed: Vec<String> =
            changes(self.rules(), rules).into_iter().filter(|change| !change.hot).map(|change| change.key).collect();
        if !fixed.is_empty() {
            return Err(Refusal {
                code: "E_CONFLICT",
                message: format!("{} cannot change while the town runs.", fixed.join(", ")),
                hint: "Restart the shard for these.".to_owned(),
            });
        }
        let old = Arc::clone(self.rules());
        let kept: Vec<Option<AffordanceId>> = old.affordances.iter().map(|it| same(&rules.affordances, it)).collect();
        let kept: Column<AffordanceId, Option<AffordanceId>> = kept.into();
        let freed = self.disconnect(&kept);
        self.take_rules(Arc::clone(rules));
        let mut cx = self.cx();
        rename(cx.state, &kept);
        perturbations(cx.state, &old, rules);
        starving(cx.state, &old, rules);
        for agent in freed {
            if cx.state.agents.possessed[agent] {
                let option = cx.state.agents.option[agent];
                activity::begin(&mut cx, agent, option);
            } else {
                cx.state.agents.ended[agent] = true;
            }
        }
        reserve(rules, cx.state);
        cx.state.commands += 1;
        Ok(())
    }

    /// Whoever is about an affordance that is not kept lets go of it.
    fn disconnect(&mut self, kept: &Column<AffordanceId, Option<AffordanceId>>) -> Vec<AgentId> {
        let mut cx = self.cx();
        let agents = &cx.state.agents;
        let gone = |agent: &AgentId| agents.activity[*agent].target().is_some_and(|(_, what)| kept[what].is_none());
        let freed: Vec<AgentId> = agents.present.iter().copied().filter(gone).collect();
        for agent in &freed {
            activity::release(&mut cx, *agent);
        }
        freed
    }
}

/// Where an affordance stands now, if it is still the same.
fn same(new: &Column<AffordanceId, Affordance>, old: &Affordance) -> Option<AffordanceId> {
    new.iter().position(|it| it == old).map(|place| AffordanceId(place as u16))
}

/// Affordances by their new places; what is not kept is named by nobody any more.
fn rename(state: &mut State, kept: &Column<AffordanceId, Option<AffordanceId>>) {
    let now = |what: AffordanceId| kept[what].expect("whoever was about another one has let go");
    for agent in &state.agents.present {
        let activity = &mut state.agents.activity[*agent];
        *activity = match *activity {
            Activity::Idle => Activity::Idle,
            Activity::Walking(object, what) => Activity::Walking(object, now(what)),
            Activity::Waiting(object, what) => Activity::Waiting(object, now(what)),
            Activity::Holding(object, what, until, since) => Activity::Holding(object, now(what), until, since),
            Activity::Using(object, what, until) => Activity::Using(object, now(what), until),
        };
    }
    for waiter in state.objects.iter_mut().flat_map(|object| &mut object.queue) {
        if let Some((_, what)) = state.agents.activity[waiter.agent].target() {
            waiter.affordance = what;
        }
    }
}

/// Events by their new places; one that the file has no more, or has as another kind, leaves its shock to itself.
fn perturbations(state: &mut State, old: &Rules, new: &Rules) {
    let now = |event: u16| {
        let before = &old.perturbation_events[event as usize];
        let place = new.perturbation_events.iter().position(|it| it.name == before.name && it.kind == before.kind);
        place.map(|place| place as u16)
    };
    let perturbations = &mut state.perturbations;
    for active in &mut perturbations.active {
        active.event = active.event.and_then(now);
    }
    perturbations.pending.retain_mut(|pending| now(pending.event).map(|event| pending.event = event).is_some());
    let mut last_of = vec![None; new.perturbation_events.len()];
    for (event, last) in perturbations.last_of.iter().enumerate() {
        if let Some(place) = now(event as u16) {
            last_of[place as usize] = *last;
        }
    }
    perturbations.last_of = last_of;
    let room = |has: usize, wanted: usize| wanted.saturating_sub(has);
    let limits = &new.perturbations;
    perturbations.active.reserve(room(perturbations.active.len(), limits.max_concurrent_events as usize + 4));
    perturbations.pending.reserve(room(perturbations.pending.len(), new.perturbation_events.len()));
    perturbations.recent.reserve(room(perturbations.recent.len(), limits.max_events_per_window as usize + 4));
}

/// Who has starved for longer than the new limit is counted on the next tick; who has been counted is not counted again.
fn starving(state: &mut State, old: &Rules, new: &Rules) {
    let limit = |rules: &Rules| rules.config.stability.starvation.min_duration_ticks;
    let (before, now) = (limit(old), limit(new));
    for agent in &state.agents.present {
        let ticks = &mut state.agents.starving_ticks[*agent];
        *ticks = if *ticks >= before { (*ticks).max(now) } else { (*ticks).min(now - 1) };
    }
}
