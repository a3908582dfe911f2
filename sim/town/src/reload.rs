//! Reload: the differences between two rules, and the switch of a running town from one to the other. The table of settings
//! decides which may change. Rule: "Configuration reload".

use std::sync::Arc;

use crate::activity;
use crate::affordances::Affordance;
use crate::command::{Command, Refusal};
use crate::config::{AtStart, Config, Difference, diff};
use crate::ids::{AffordanceId, AgentId, Column};
use crate::rules::Rules;
use crate::state::{Activity, LiveSettings, State};
use crate::town::{Town, reserve_capacity};

/// Every setting in which two rules differ, sorted by key: those of the configuration, of the perturbation file (under
/// `perturbations`), of the affordance file (under `affordances`), and the plan as a whole.
pub fn changes(old: &Rules, new: &Rules) -> Vec<Difference> {
    let mut changes = diff(&old.config, &new.config);
    let under = |file: &str, change: Difference| Difference { key: format!("{file}.{}", change.key), ..change };
    let perturbations = diff(&old.perturbations, &new.perturbations);
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

/// A configuration with the values of a running town where commands can change them. What differs from the configuration itself was set
/// by command, and a reload leaves it.
pub fn with_live_settings(config: &Config, state: &State) -> Config {
    let LiveSettings { queue_fairness, mortality, daily_exit_cap, spawn_delay, perturbations } = state.live_settings;
    let mut running = config.clone();
    running.features.systems.queue_fairness = AtStart::of(queue_fairness);
    running.features.systems.perturbations = AtStart::of(perturbations);
    running.lifecycle.mortality = AtStart::of(mortality);
    running.lifecycle.spawn_delay_ticks = AtStart::of([spawn_delay.0, spawn_delay.1]);
    running.employment.daily_exit_cap = AtStart::of(daily_exit_cap);
    [running.economy.meal_cost, running.economy.ingredients_cost] = state.economy.list_prices;
    running
}

/// The command that gives a running town the value that a configuration has for a setting; `None` for settings that no command
/// changes. They are those of [`with_live_settings`].
pub fn command_for(key: &str, config: &Config) -> Option<Command> {
    let systems = &config.features.systems;
    Some(match key {
        "features.systems.queue_fairness" => Command::QueueFairness(systems.queue_fairness.at_start()),
        "features.systems.perturbations" => Command::Perturbations(systems.perturbations.at_start()),
        "lifecycle.mortality" => Command::Mortality(config.lifecycle.mortality.at_start()),
        "lifecycle.spawn_delay_ticks" => {
            let [least, most] = config.lifecycle.spawn_delay_ticks.at_start();
            Command::SpawnDelay(least, most)
        }
        "employment.daily_exit_cap" => Command::ExitCap(config.employment.daily_exit_cap.at_start()),
        "economy.meal_cost" => Command::SetPrice { item: 0, value: config.economy.meal_cost },
        "economy.ingredients_cost" => Command::SetPrice { item: 1, value: config.economy.ingredients_cost },
        _ => return None,
    })
}

type Affordances = Column<AffordanceId, Affordance>;

/// The differences between two affordance files by id. All of them may change while a town runs.
fn affordances(old: &Affordances, new: &Affordances) -> Vec<Difference> {
    let hot = |key: String, left, right| Difference { key, left, right, hot: true };
    let of = |all: &Affordances, id: &str| all.iter().find(|it| it.id == id).map(Affordance::facts);
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
    // The first of two equal choices is taken, so the order matters.
    let order = |all: &Affordances, other: &Affordances| {
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
    /// Switches to other rules from the next tick on. It counts as a command.
    ///
    /// Residents who use an affordance that changed or is gone release it: nothing is paid or taken, and they decide anew. An
    /// active perturbation continues as it was drawn, and a pending one starts if its event still exists.
    ///
    /// # Errors
    /// The settings that cannot change while the town runs; then nothing has changed.
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
        let freed = self.release_changed(&kept);
        self.set_rules(Arc::clone(rules));
        let mut cx = self.cx();
        renumber_affordances(cx.state, &kept);
        renumber_events(cx.state, &old, rules);
        adjust_starvation(cx.state, &old, rules);
        for agent in freed {
            if cx.state.agents.possessed[agent] {
                let option = cx.state.agents.option[agent];
                activity::begin(&mut cx, agent, option);
            } else {
                cx.state.agents.ended[agent] = true;
            }
        }
        reserve_capacity(rules, cx.state);
        cx.state.commands += 1;
        Ok(())
    }

    /// Releases every resident whose affordance is not kept, and returns them.
    fn release_changed(&mut self, kept: &Column<AffordanceId, Option<AffordanceId>>) -> Vec<AgentId> {
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

/// The new index of an affordance that did not change.
fn same(new: &Column<AffordanceId, Affordance>, old: &Affordance) -> Option<AffordanceId> {
    new.iter().position(|it| it == old).map(|place| AffordanceId(place as u16))
}

/// Replaces affordance indices in the state by the new ones. No resident uses one that is not kept.
fn renumber_affordances(state: &mut State, kept: &Column<AffordanceId, Option<AffordanceId>>) {
    let now = |what: AffordanceId| kept[what].expect("residents released the others before");
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

/// Replaces event indices in the state by the new ones. A perturbation whose event is gone or has another kind continues without.
fn renumber_events(state: &mut State, old: &Rules, new: &Rules) {
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

/// Adjusts starvation counts to a new limit: a resident already counted is not counted again, and one beyond a lower limit is
/// counted on the next tick.
fn adjust_starvation(state: &mut State, old: &Rules, new: &Rules) {
    let limit = |rules: &Rules| rules.config.stability.starvation.min_duration_ticks;
    let (before, now) = (limit(old), limit(new));
    for agent in &state.agents.present {
        let ticks = &mut state.agents.starving_ticks[*agent];
        *ticks = if *ticks >= before { (*ticks).max(now) } else { (*ticks).min(now - 1) };
    }
}
