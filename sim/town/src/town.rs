//! A running town: its state, the phases of a tick, and commands between ticks.

use std::sync::Arc;

use crate::activity::{self, Decider};
use crate::best_ties::BestTies;
use crate::command::{self, Command, Refusal};
use crate::events::Event;
use crate::ids::AgentId;
use crate::memory::{HeapBytes as _, Table};
use crate::occupancy::Occupancy;
use crate::options::OptionKind;
use crate::plan::PlaceKind;
use crate::queue_index::QueueIndex;
use crate::rules::Rules;
use crate::state::{Agents, DailyCounters, Employment, LiveSettings, ObjectState, Rewards, Score, Stability, State};
use crate::tick_context::{Departure, TickContext, TickReward, TickRewards};
use crate::vacancies::Vacancies;
use crate::{decay, economy, lifecycle, names, perturbations, queues, rewards, score, stability, ties, work};

/// Chooses options for residents.
pub trait Policy {
    /// Appends an option for every decider to `choices`, in the same order. An option outside the mask counts as `wait`.
    fn decide(&mut self, town: &Town, deciders: &[Decider], choices: &mut Vec<OptionKind>);
}

/// A running town.
#[derive(Clone, Debug)]
pub struct Town {
    rules: Arc<Rules>,
    state: State,
    occupancy: Occupancy,
    best_ties: BestTies,
    queue_index: QueueIndex,
    rewards: TickRewards,
    events: Vec<Event>,
    deciders: Vec<Decider>,
    choices: Vec<OptionKind>,
    vacancies: Vacancies,
    company: Vec<AgentId>,
}

impl Town {
    /// A town at tick 0 with its first residents.
    pub fn new(rules: Arc<Rules>, seed: u64) -> Self {
        let config = &rules.config;
        let slots = lifecycle::slots(&rules);
        let state = State {
            seed,
            tick: 0,
            commands: 0,
            live_settings: LiveSettings::at_start(config),
            agents: Agents::new(slots),
            objects: rules
                .plan
                .objects()
                .map(|(object, _)| economy::initial_object(&rules, object))
                .collect::<Vec<_>>()
                .into(),
            economy: economy::initial(&rules),
            employment: Employment::default(),
            lifecycle: lifecycle::initial(slots),
            perturbations: perturbations::initial(&rules),
            days: DailyCounters { begun: 1, ..DailyCounters::default() },
            score: Score::default(),
            stability: Stability::default(),
            rewards: Rewards::default(),
            ghost_steps: 0,
            blocked_steps: 0,
        };
        let population = config.world.population;
        let mut town = Self::from_parts(rules, state);
        for _ in 0..population {
            lifecycle::arrive(&mut town.cx());
        }
        town
    }

    /// A town that continues from a state.
    ///
    /// # Errors
    /// What does not match, when the state belongs to other rules.
    pub fn resume(rules: Arc<Rules>, state: State) -> Result<Self, String> {
        let tiles = (rules.plan.width * rules.plan.height) as usize;
        let slots = state.agents.tile.len();
        if slots != lifecycle::slots(&rules) || state.objects.len() != rules.plan.objects.len() {
            return Err(format!(
                "it has {slots} slots and {} objects, so it belongs to another town",
                state.objects.len()
            ));
        }
        let freed = ("freed", state.lifecycle.freed.len());
        let columns = state.agents.other_length(slots).or((freed.1 != slots).then_some(freed));
        if let Some((column, rows)) = columns {
            return Err(format!("its column `{column}` has {rows} rows instead of {slots}"));
        }
        if !state.agents.present.is_sorted_by(|one, next| one < next) {
            return Err("its list of occupied slots is not ascending".into());
        }
        let fits = |agent: &AgentId| {
            (agent.0 as usize) < slots
                && (state.agents.tile[*agent].0 as usize) < tiles
                && state.agents.job[*agent].is_none_or(|job| (job.0 as usize) < rules.jobs.len())
                && (state.agents.home[*agent].0 as usize) < rules.plan.places.len()
                && state.agents.covering[*agent].is_none_or(|job| (job.0 as usize) < rules.jobs.len())
                && state.agents.ties[*agent].iter().all(|tie| state.agents.is_present(tie.other))
                && state.agents.activity[*agent].target().is_none_or(|(object, affordance)| {
                    state.objects.get(object).is_some() && rules.affordances.get(affordance).is_some()
                })
        };
        if !state.agents.present.iter().all(fits) {
            return Err("a resident is outside the town".into());
        }
        let known = |agent: AgentId| state.agents.tile.get(agent).is_some();
        let orderly = |object: &ObjectState| {
            object.uses.iter().all(|agent| known(*agent))
                && object.queue.iter().all(|waiter| known(waiter.agent))
                && object.cooldowns.iter().all(|cooldown| known(cooldown.agent))
        };
        let due = state.employment.queue.iter().map(|entry| entry.agent).chain(state.employment.due.iter().copied());
        if !state.objects.iter().all(orderly) || !due.into_iter().all(|agent| state.agents.is_present(agent)) {
            return Err("it refers to residents who do not live there".into());
        }
        if !perturbations::are_known(&rules, &state.perturbations) {
            return Err("it has perturbations that this town does not".into());
        }
        if let Some(violation) = queues::violations(&rules, &state).into_iter().next() {
            return Err(violation);
        }
        Ok(Self::from_parts(rules, state))
    }

    fn from_parts(rules: Arc<Rules>, mut state: State) -> Self {
        reserve_capacity(&rules, &mut state);
        let mut occupancy = Occupancy::new(&rules.plan);
        for agent in &state.agents.present {
            occupancy.enter(state.agents.tile[*agent]);
        }
        let (best_ties, queue_index) = (BestTies::new(&state.agents), QueueIndex::new(&state.objects));
        let slots = state.agents.tile.len();
        let (events, deciders, choices) =
            (Vec::with_capacity(slots * 8), Vec::with_capacity(slots), Vec::with_capacity(slots));
        let rewards = TickRewards::with_slots(slots);
        let (vacancies, company) = (Vacancies::new(&rules), Vec::with_capacity(slots));
        Self { rules, state, occupancy, best_ties, queue_index, rewards, events, deciders, choices, vacancies, company }
    }

    pub(crate) fn cx(&mut self) -> TickContext<'_> {
        TickContext {
            rules: &self.rules,
            state: &mut self.state,
            occupancy: &mut self.occupancy,
            best_ties: &mut self.best_ties,
            queue_index: &mut self.queue_index,
            rewards: &mut self.rewards,
            events: &mut self.events,
            vacancies: &mut self.vacancies,
            company: &mut self.company,
        }
    }

    /// Replaces the rules by others for the same plan. The caller makes the state match them.
    pub(crate) fn set_rules(&mut self, rules: Arc<Rules>) {
        self.rules = rules;
    }

    /// Runs one tick. Its events are added to [`Town::events`].
    pub fn step(&mut self, policy: &mut impl Policy) {
        self.begin_step();
        let mut choices = std::mem::take(&mut self.choices);
        choices.clear();
        policy.decide(self, &self.deciders, &mut choices);
        self.finish(&choices);
        self.choices = choices;
    }

    /// Runs the first half of a tick and returns the decisions due. Use it with [`Town::finish_step`] to evaluate one policy for
    /// many towns at once; [`Town::step`] runs both halves.
    pub fn begin_step(&mut self) -> &[Decider] {
        let cx = &mut self.cx();
        rewards::reset(cx);
        turn_of_day(cx);
        perturbations::run(cx);
        activity::deciders(&self.rules, &self.state, &mut self.deciders);
        &self.deciders
    }

    /// Runs the second half of a tick with one choice per decider, in the same order.
    fn finish(&mut self, choices: &[OptionKind]) {
        assert_eq!(choices.len(), self.deciders.len(), "a policy returns one choice per decider");
        let deciders = std::mem::take(&mut self.deciders);
        let cx = &mut self.cx();
        for (decider, choice) in deciders.iter().zip(choices) {
            activity::choose(cx, *decider, *choice);
        }
        activity::run(cx);
        queues::serve(cx);
        decay::run(cx);
        work::run(cx);
        economy::restock(cx);
        ties::run(cx);
        lifecycle::run(cx);
        rewards::run(cx);
        score::run(cx);
        stability::run(cx);
        cx.state.tick += 1;
        self.deciders = deciders;
    }

    /// Runs the second half of a tick with these choices, one for every decider that [`Town::begin_step`] returned.
    pub fn finish_step(&mut self, choices: &[OptionKind]) {
        self.choices.clear();
        self.choices.extend_from_slice(choices);
        self.finish(choices);
    }

    /// The decisions due in this tick, or after it the decisions of the last tick.
    pub fn deciders(&self) -> &[Decider] {
        &self.deciders
    }

    /// Applies a command between two ticks and returns a sentence about its effect.
    ///
    /// # Errors
    /// Why it is refused; then nothing has changed.
    pub fn apply(&mut self, command: &Command) -> Result<String, Refusal> {
        let done = command::run(&mut self.cx(), command, false)?;
        self.state.commands += 1;
        Ok(done)
    }

    /// The result of [`Town::apply`], without the effect.
    ///
    /// # Errors
    /// As [`Town::apply`].
    pub fn preview(&mut self, command: &Command) -> Result<String, Refusal> {
        command::run(&mut self.cx(), command, true)
    }

    /// A copy whose random draws from now on are those of another seed. What is already drawn stays.
    #[must_use]
    pub fn with_seed(&self, seed: u64) -> Self {
        let mut copy = self.clone();
        copy.state.seed = seed;
        copy
    }

    /// Events since the last [`Town::clear_events`], oldest first.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Drops the events. The caller does this after reading them.
    pub fn clear_events(&mut self) {
        self.events.clear();
    }

    /// The decisions of the last tick.
    pub fn decisions(&self) -> impl Iterator<Item = (AgentId, OptionKind)> {
        self.deciders.iter().map(|decider| decider.agent).zip(self.choices.iter().copied())
    }

    /// The rules.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// The state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Residents per tile.
    pub(crate) fn occupancy(&self) -> &Occupancy {
        &self.occupancy
    }

    /// The ties that residents observe.
    pub(crate) fn best_ties(&self) -> &BestTies {
        &self.best_ties
    }

    /// Busy objects and users per object.
    pub(crate) fn queue_index(&self) -> &QueueIndex {
        &self.queue_index
    }

    /// The memory of the town and its rules by table, without that of the configuration. Replicas share the tables of the rules.
    pub fn tables(&self) -> Vec<Table> {
        let TickRewards { by_agent, departures, leaving } = &self.rewards;
        let rewards = by_agent.heap_bytes() + departures.heap_bytes() + leaving.heap_bytes();
        let tick = [
            self.occupancy.heap_bytes() + self.queue_index.heap_bytes() + self.vacancies.heap_bytes(),
            self.best_ties.heap_bytes(),
            self.deciders.heap_bytes() + self.choices.heap_bytes() + self.company.heap_bytes() + rewards,
        ];
        let mut tables = self.rules.tables();
        tables.extend(self.state.tables());
        tables.push(Table::new("events of a tick", self.events.heap_bytes()));
        tables.push(Table::new("derived from the state", tick.iter().sum()));
        tables
    }

    /// Ticks since the town began.
    pub fn tick(&self) -> u64 {
        self.state.tick
    }

    /// The reward of the last tick for the resident in a slot.
    pub fn reward(&self, agent: AgentId) -> TickReward {
        self.rewards.by_agent[agent]
    }

    /// Residents who left in the last tick, with their rewards.
    pub fn departures(&self) -> &[Departure] {
        &self.rewards.departures
    }

    /// Digest of the whole state, 32 hex digits.
    pub fn digest(&self) -> String {
        self.state.digest()
    }

    /// The resident with an id such as `ada`, in any case.
    pub fn find(&self, id: &str) -> Option<AgentId> {
        let id = id.to_lowercase();
        let agents = &self.state.agents;
        agents.present.iter().copied().find(|agent| names::id(agents.resident[*agent]) == id)
    }
}

/// Reserves room for everything a tick may add, so that no tick allocates.
pub(crate) fn reserve_capacity(rules: &Rules, state: &mut State) {
    let slots = state.agents.tile.len();
    let room = |has: usize, wanted: usize| wanted.saturating_sub(has);
    state.agents.present.reserve(room(state.agents.present.len(), slots));
    state.lifecycle.arrivals.reserve(room(state.lifecycle.arrivals.len(), slots));
    state.employment.queue.reserve(room(state.employment.queue.len(), slots));
    state.employment.due.reserve(room(state.employment.due.len(), slots));
    let stability = &mut state.stability;
    stability.returns.reserve(room(stability.returns.len(), slots * stability::SAMPLES_A_WINDOW as usize * 2));
    stability.closed.reserve(room(stability.closed.len(), stability::KEPT_WINDOWS));
    // Only the largest towns have longer queues; those grow during warm-up. Objects of a home have few users, even when its
    // residents are twice their share.
    let (public, at_home) = (slots.min(64), (2 * slots / rules.homes.len()).max(8).min(slots.min(64)));
    for (object, it) in rules.plan.objects() {
        let people = if rules.plan.places[it.place].kind == PlaceKind::Home { at_home } else { public };
        let state = &mut state.objects[object];
        state.uses.reserve(room(state.uses.len(), it.kind.capacity() as usize));
        state.queue.reserve(room(state.queue.len(), people));
        state.cooldowns.reserve(room(state.cooldowns.len(), people));
    }
}

/// The first phase of a day: resets daily counters and shifts, and collects rent.
fn turn_of_day(cx: &mut TickContext<'_>) {
    if cx.state.tick == 0 || cx.rules.tick_of_day(cx.state.tick) != 0 {
        return;
    }
    cx.state.days.start_day();
    lifecycle::turn_of_day(cx);
    ties::turn_of_day(cx);
    work::turn_of_day(cx);
    economy::turn_of_day(cx);
}
