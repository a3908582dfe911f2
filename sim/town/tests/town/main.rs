//! Tests of the town's rules through its public API, and their shared helpers. A test edits a state and resumes it, so that it
//! starts right before the rule applies.

mod config_table;
mod digest;
mod economy;
mod kpi;
mod lifecycle;
mod module_order;
mod observations;
mod options;
mod perturbations;
mod plan_and_affordances;
mod properties;
mod queues;
mod reload;
mod rewards;
mod score;
mod snapshots;
mod stability;
mod ties;
mod work;

use std::sync::Arc;

use townlet_town::counter_rng::{self, Purpose, Stream};
use townlet_town::ids::{JobId, Tile};
use townlet_town::options::{Mask, OPTIONS};
use townlet_town::{AgentId, Decider, Event, OptionKind, Policy, ResidentId, Rules, Sources, State, Town};

pub(crate) const PLAN: &str = include_str!("../../../../configs/towns/default.txt");
pub(crate) const AFFORDANCES: &str = include_str!("../../../../configs/affordances.yaml");

/// A perturbation file without events.
pub(crate) const QUIET: &str = "max_concurrent_events: 1\nglobal_cooldown_ticks: 0\nper_agent_cooldown_ticks: 0\n\
grace_window_ticks: 0\nwindow_ticks: 1000\nmax_events_per_window: 1\nevents: {}\n";

/// Settings without decay of needs.
pub(crate) const UNTIRING: &[(&str, &str)] = &[
    ("needs.decay_rates.hunger", "0"),
    ("needs.decay_rates.hygiene", "0"),
    ("needs.decay_rates.energy", "0"),
    ("rewards.punctuality_bonus", "0"),
];

/// Settings without involuntary exits.
pub(crate) const SAFE: &[(&str, &str)] =
    &[("lifecycle.mortality", "off"), ("economy.rent_per_day", "0"), ("employment.max_absent_shifts", "99")];

pub(crate) fn sources(flags: &[(&str, &str)]) -> Sources {
    let sources = Sources::default_town(flags).expect("the settings hold");
    Sources { perturbations: ("perturbations.yaml".into(), QUIET.into()), ..sources }
}

/// The default town with some settings changed.
pub(crate) fn town(flags: &[(&str, &str)]) -> Town {
    Town::new(Arc::new(Rules::new(sources(flags)).expect("the town can be made")), 7)
}

/// A copy of the town with an edited state.
pub(crate) fn edited(town: &Town, edit: impl FnOnce(&mut State)) -> Town {
    let mut state = town.state().clone();
    edit(&mut state);
    Town::resume(Arc::clone(town.rules()), state).expect("the edited state is in order")
}

/// A policy from a closure.
pub(crate) struct By<F>(pub(crate) F);

impl<F: FnMut(&Town, AgentId, Mask) -> OptionKind> Policy for By<F> {
    fn decide(&mut self, town: &Town, deciders: &[Decider], choices: &mut Vec<OptionKind>) {
        choices.extend(deciders.iter().map(|decider| (self.0)(town, decider.agent, decider.mask)));
    }
}

/// A random option of the mask, which reaches states that a sensible policy avoids.
pub(crate) fn wander(town: &Town, agent: AgentId, mask: Mask) -> OptionKind {
    let allowed: Vec<OptionKind> = OPTIONS.iter().map(|row| row.0).filter(|option| mask.allows(*option)).collect();
    let pick = counter_rng::below(
        town.state().seed,
        Stream::Policy,
        town.tick(),
        u32::from(agent.0),
        Purpose::Probe,
        allowed.len() as u32,
    );
    allowed[pick as usize]
}

/// Keeps the current option.
pub(crate) fn keep(town: &Town, agent: AgentId, _mask: Mask) -> OptionKind {
    town.state().agents.option[agent]
}

/// Steps through the given tick and returns the events.
pub(crate) fn through(
    town: &mut Town,
    tick: u64,
    choose: impl FnMut(&Town, AgentId, Mask) -> OptionKind,
) -> Vec<Event> {
    let mut policy = By(choose);
    let mut events = town.events().to_vec();
    town.clear_events();
    while town.tick() <= tick {
        town.step(&mut policy);
        events.extend(town.events());
        town.clear_events();
    }
    events
}

/// Always waits.
pub(crate) fn idle(_town: &Town, _agent: AgentId, _mask: Mask) -> OptionKind {
    OptionKind::Wait
}

pub(crate) fn slot(town: &Town, who: u32) -> AgentId {
    let agents = &town.state().agents;
    *agents.present.iter().find(|agent| agents.resident[**agent] == ResidentId(who)).expect("they live here")
}

pub(crate) fn job(town: &Town, name: &str) -> JobId {
    town.rules().jobs().find(|(_, job)| job.name == name).expect("there is such a job").0
}

/// A tile at a job's site.
pub(crate) fn site(town: &Town, name: &str) -> Tile {
    let (rules, job) = (town.rules(), job(town, name));
    let tiles = (0..rules.plan.width * rules.plan.height).map(Tile);
    tiles.min_by_key(|tile| (rules.way_to_site(job, *tile).steps(), *tile)).expect("a plan has tiles")
}

pub(crate) fn place(town: &Town, name: &str) -> Tile {
    let (id, _) = town.rules().plan.places().find(|(_, place)| place.name == name).expect("there is such a place");
    town.rules().plan.floor_of(id).next().expect("it has floor")
}
