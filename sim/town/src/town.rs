//! The town itself: rules, state, and the tick that reads like the handbook.

use std::sync::Arc;

use crate::activity::{self, Decider};
use crate::command::{self, Command, Refusal};
use crate::events::Event;
use crate::fixed_point::Micro;
use crate::ids::AgentId;
use crate::occupancy::Occupancy;
use crate::options::OptionKind;
use crate::queues::QueueIndex;
use crate::rewards::{Departure, TickRewards};
use crate::rules::Rules;
use crate::state::{Agents, LiveSettings, ObjectState, State};
use crate::tick_context::TickContext;
use crate::{economy, lifecycle, names, needs, perturbations, queues, rewards, score, snapshot, stability, ties, work};

/// Whoever drives the residents.
pub trait Policy {
    /// Chooses an option for every decider, into `choices` in the same order. An option outside the mask counts as `wait`.
    fn decide(&mut self, town: &Town, deciders: &[Decider], choices: &mut Vec<OptionKind>);
}

/// A running town.
#[derive(Clone, Debug)]
pub struct Town {
    rules: Arc<Rules>,
    state: State,
    occupancy: Occupancy,
    queue_index: QueueIndex,
    rewarded: TickRewards,
    events: Vec<Event>,
    deciders: Vec<Decider>,
    choices: Vec<OptionKind>,
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
            live_settings: LiveSettings {
                queue_fairness: config.features.systems.queue_fairness,
                mortality: config.lifecycle.mortality,
                daily_exit_cap: config.employment.daily_exit_cap,
                spawn_delay: (config.lifecycle.spawn_delay_ticks[0], config.lifecycle.spawn_delay_ticks[1]),
                perturbations: config.features.systems.perturbations,
            },
            agents: Agents::new(slots),
            objects: rules.plan.objects().map(|(object, _)| economy::object(&rules, object)).collect::<Vec<_>>().into(),
            economy: economy::start(&rules),
            employment: crate::employment::Employment::default(),
            lifecycle: lifecycle::start(slots),
            perturbations: perturbations::start(&rules),
            days: crate::kpi::DailyCounters { begun: 1, ..crate::kpi::DailyCounters::default() },
            score: score::Score::default(),
            stability: stability::Stability::default(),
            rewards: rewards::Rewards::default(),
            ghost_steps: 0,
            blocked_steps: 0,
        };
        let population = config.world.population;
        let mut town = Self::around(rules, state);
        for _ in 0..population {
            lifecycle::arrive(&mut town.cx());
        }
        town
    }

    /// A town that goes on from a state.
    ///
    /// # Errors
    /// What does not fit, when the state belongs to other rules.
    pub fn resume(rules: Arc<Rules>, state: State) -> Result<Self, String> {
        let tiles = (rules.plan.width * rules.plan.height) as usize;
        let slots = state.agents.tile.len();
        if slots != lifecycle::slots(&rules) || state.objects.len() != rules.plan.objects.len() {
            return Err(format!("it has {slots} slots and {} objects, which is another town", state.objects.len()));
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
            return Err("a resident stands outside the town".into());
        }
        let known = |agent: AgentId| state.agents.tile.get(agent).is_some();
        let orderly = |object: &ObjectState| {
            object.uses.iter().all(|agent| known(*agent))
                && object.queue.iter().all(|waiter| known(waiter.agent))
                && object.cooldowns.iter().all(|cooldown| known(cooldown.agent))
        };
        let due = state.employment.queue.iter().map(|entry| entry.agent).chain(state.employment.due.iter().copied());
        if !state.objects.iter().all(orderly) || !due.into_iter().all(|agent| state.agents.is_present(agent)) {
            return Err("it names residents who do not live there".into());
        }
        if !state.perturbations.fits(&rules) {
            return Err("it has perturbations that this town does not".into());
        }
        if let Some(violation) = queues::violations(&rules, &state).into_iter().next() {
            return Err(violation);
        }
        Ok(Self::around(rules, state))
    }

    fn around(rules: Arc<Rules>, mut state: State) -> Self {
        reserve(&rules, &mut state);
        let mut occupancy = Occupancy::new(&rules.plan);
        for agent in &state.agents.present {
            occupancy.enter(state.agents.tile[*agent]);
        }
        let queue_index = QueueIndex::new(&state.objects);
        let slots = state.agents.tile.len();
        let (events, deciders, choices) =
            (Vec::with_capacity(slots * 8), Vec::with_capacity(slots), Vec::with_capacity(slots));
        let rewarded = TickRewards::with_slots(slots);
        Self { rules, state, occupancy, queue_index, rewarded, events, deciders, choices }
    }

    pub(crate) fn cx(&mut self) -> TickContext<'_> {
        TickContext {
            rules: &self.rules,
            state: &mut self.state,
            occupancy: &mut self.occupancy,
            queue_index: &mut self.queue_index,
            rewarded: &mut self.rewarded,
            events: &mut self.events,
        }
    }

    /// Other rules for the same plan; whoever hands them over sees to it that the state fits them.
    pub(crate) fn take_rules(&mut self, rules: Arc<Rules>) {
        self.rules = rules;
    }

    /// One tick. What happened stands in [`Town::events`] until they are taken.
    pub fn step(&mut self, policy: &mut impl Policy) {
        self.begin_step();
        let mut choices = std::mem::take(&mut self.choices);
        choices.clear();
        policy.decide(self, &self.deciders, &mut choices);
        self.finish(&choices);
        self.choices = choices;
    }

    /// The first half of a tick, up to the question: who decides now, and what they may choose. For whoever asks one policy
    /// for many towns at once; [`Town::step`] is both halves.
    pub fn begin_step(&mut self) -> &[Decider] {
        let cx = &mut self.cx();
        rewards::begin(cx);
        turn_of_day(cx);
        perturbations::run(cx);
        activity::deciders(&self.rules, &self.state, &mut self.deciders);
        &self.deciders
    }

    /// The second half: the choices, one a decider in the same order, and what comes of them.
    fn finish(&mut self, choices: &[OptionKind]) {
        assert_eq!(choices.len(), self.deciders.len(), "a policy answers once for every decider");
        let deciders = std::mem::take(&mut self.deciders);
        let cx = &mut self.cx();
        for (decider, choice) in deciders.iter().zip(choices) {
            activity::choose(cx, *decider, *choice);
        }
        activity::carry_out(cx);
        queues::serve(cx);
        needs::decay(cx);
        work::shifts(cx);
        economy::restock(cx);
        ties::run(cx);
        lifecycle::run(cx);
        rewards::run(cx);
        score::run(cx);
        stability::run(cx);
        cx.state.tick += 1;
        self.deciders = deciders;
    }

    /// [`Town::begin_step`]'s answer: goes through the rest of the tick with these choices.
    pub fn finish_step(&mut self, choices: &[OptionKind]) {
        self.choices.clear();
        self.choices.extend_from_slice(choices);
        self.finish(choices);
    }

    /// Who decides in this tick, between [`Town::begin_step`] and [`Town::finish_step`]; afterwards, who decided in it.
    pub fn deciders(&self) -> &[Decider] {
        &self.deciders
    }

    /// Applies a command between two ticks, or only says what it would do.
    ///
    /// # Errors
    /// Why it cannot be done; then nothing has changed.
    pub fn apply(&mut self, command: &Command) -> Result<String, Refusal> {
        let done = command::run(&mut self.cx(), command, false)?;
        self.state.commands += 1;
        Ok(done)
    }

    /// What [`Town::apply`] would answer, without doing it.
    ///
    /// # Errors
    /// As [`Town::apply`].
    pub fn preview(&mut self, command: &Command) -> Result<String, Refusal> {
        command::run(&mut self.cx(), command, true)
    }

    /// Events since they were last taken, oldest first.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Forgets the events; whoever runs a town does this after reading them.
    pub fn clear_events(&mut self) {
        self.events.clear();
    }

    /// Who decided in the last tick, and what; for the journal.
    pub fn decided(&self) -> impl Iterator<Item = (AgentId, OptionKind)> {
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

    /// How many residents stand on each tile.
    pub(crate) fn occupancy(&self) -> &Occupancy {
        &self.occupancy
    }

    /// Where somebody waits, and how many use what.
    pub(crate) fn queue_index(&self) -> &QueueIndex {
        &self.queue_index
    }

    /// Ticks since the town began.
    pub fn tick(&self) -> u64 {
        self.state.tick
    }

    /// What the last tick was worth to the resident of a slot; a newcomer's count begins with them.
    pub fn reward(&self, agent: AgentId) -> Micro {
        self.rewarded.of[agent]
    }

    /// Who left in the last tick, and what it was worth to them.
    pub fn departures(&self) -> &[Departure] {
        &self.rewarded.left
    }

    /// Digest of the whole state, 32 hex digits.
    pub fn digest(&self) -> String {
        snapshot::digest(&self.state)
    }

    /// The resident of an id such as `ada`, upper or lower case.
    pub fn find(&self, id: &str) -> Option<AgentId> {
        let id = id.to_lowercase();
        let agents = &self.state.agents;
        agents.present.iter().copied().find(|agent| names::id(agents.resident[*agent]) == id)
    }
}

/// Room for all that a tick may add, so that no tick has to ask for memory.
pub(crate) fn reserve(rules: &Rules, state: &mut State) {
    let slots = state.agents.tile.len();
    let room = |has: usize, wanted: usize| wanted.saturating_sub(has);
    state.agents.present.reserve(room(state.agents.present.len(), slots));
    state.lifecycle.arrivals.reserve(room(state.lifecycle.arrivals.len(), slots));
    state.employment.queue.reserve(room(state.employment.queue.len(), slots));
    state.employment.due.reserve(room(state.employment.due.len(), slots));
    let stability = &mut state.stability;
    stability.returns.reserve(room(stability.returns.len(), slots * stability::SAMPLES_A_WINDOW as usize * 2));
    stability.closed.reserve(room(stability.closed.len(), stability::KEPT_WINDOWS));
    // A queue of more than this many is a matter of the largest towns; theirs grow while they warm up.
    let people = slots.min(64);
    for (object, it) in rules.plan.objects() {
        let state = &mut state.objects[object];
        state.uses.reserve(room(state.uses.len(), it.kind.capacity() as usize));
        state.queue.reserve(room(state.queue.len(), people));
        state.cooldowns.reserve(room(state.cooldowns.len(), people));
    }
}

/// What happens once a day, before anything else: counters turn, shifts begin anew, rent is due.
fn turn_of_day(cx: &mut TickContext<'_>) {
    if cx.state.tick == 0 || cx.rules.tick_of_day(cx.state.tick) != 0 {
        return;
    }
    cx.state.days.turn();
    lifecycle::turn_of_day(cx);
    work::turn_of_day(cx);
    economy::turn_of_day(cx);
}
