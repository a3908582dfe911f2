//! A few towns that advance together, so that one pass through the network answers for all who decide in a tick.
//!
//! Owns the order: every town to its question, one inference, every answer. What comes of a row depends on nothing but the
//! row and the weights, so neither vec_envs nor threads show in the results. Rule: "Performance targets", "Decision process".

use townlet_town::counter_rng::{self, Purpose, Stream};
use townlet_town::observations::Layout;
use townlet_town::options::OPTIONS;
use townlet_town::{Decider, OptionKind, Policy, ResidentId};

use super::decision_buffer::NewDecision;
use super::env::Env;
use crate::Scripted;
use crate::network::{Forward, MaskedCategorical, Normalizer, Output};
use crate::parallel::ShouldContinue;

/// Who chooses while it is collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BehaviorPolicy {
    /// The network, by its probabilities.
    Network,
    /// The scripted policy; the network only says what it would have thought of that.
    Scripted,
}

/// What every vec_env looks through.
pub(super) struct CollectContext<'a> {
    pub(super) layout: &'static Layout,
    pub(super) normalizer: &'a Normalizer,
    pub(super) behavior_policy: BehaviorPolicy,
    pub(super) should_continue: ShouldContinue<'a>,
}

/// Towns that advance together, and room for their questions.
pub(super) struct VecEnv {
    pub(super) envs: Vec<Env>,
    forward: Forward,
    deciders: Vec<Decider>,
    rows: Vec<f32>,
    out: Output,
    choices: Vec<OptionKind>,
}

impl VecEnv {
    pub(super) fn new(envs: Vec<Env>, forward: Forward) -> Self {
        let (deciders, rows, out, choices) = (Vec::new(), Vec::new(), Output::default(), Vec::new());
        Self { envs, forward, deciders, rows, out, choices }
    }

    /// Thinks with another network from here on.
    pub(super) fn set_network(&mut self, forward: Forward) {
        self.forward = forward;
    }

    /// Lives through so many ticks, or as many as it may; whether it was all of them.
    pub(super) fn advance(&mut self, ticks: u64, context: &CollectContext<'_>) -> bool {
        for _ in 0..ticks {
            if !(context.should_continue)() {
                return false;
            }
            self.begin_tick(context);
            self.forward.run(&self.rows, &mut self.out);
            self.end_tick(context);
            for env in 0..self.envs.len() {
                if self.envs[env].is_done() {
                    self.reset(env, context);
                }
            }
        }
        true
    }

    /// Every town up to its question, and what those see who must decide.
    fn begin_tick(&mut self, context: &CollectContext<'_>) {
        self.deciders.clear();
        self.rows.clear();
        self.choices.clear();
        for env in &mut self.envs {
            env.town.clear_events();
            env.town.begin_step();
            let town = &env.town;
            let deciders = town.deciders();
            self.deciders.extend_from_slice(deciders);
            let from = self.rows.len();
            self.rows.resize(from + deciders.len() * context.layout.width, 0.0);
            for (decider, row) in deciders.iter().zip(self.rows[from..].chunks_exact_mut(context.layout.width)) {
                context.layout.observe(town, decider.agent, row);
                env.seen.observe(row);
                context.normalizer.scale(row);
            }
            if context.behavior_policy == BehaviorPolicy::Scripted {
                Scripted.decide(town, deciders, &mut self.choices);
            }
        }
    }

    fn end_tick(&mut self, context: &CollectContext<'_>) {
        let mut first = 0;
        for env in &mut self.envs {
            let count = env.town.deciders().len();
            for at in first..first + count {
                let Decider { agent, mask } = self.deciders[at];
                let who = env.town.state().agents.resident[agent];
                let distribution =
                    MaskedCategorical::new(&self.out.logits[at * OPTIONS.len()..(at + 1) * OPTIONS.len()], mask.0);
                let option = match context.behavior_policy {
                    BehaviorPolicy::Network => {
                        let option = OPTIONS[distribution.sample(uniform_draw(env, who))].0;
                        self.choices.push(option);
                        option
                    }
                    // An option outside the mask counts as `wait`.
                    BehaviorPolicy::Scripted if !mask.allows(self.choices[at]) => OptionKind::Wait,
                    BehaviorPolicy::Scripted => self.choices[at],
                };
                env.stats.decisions += 1;
                env.stats.invalid += u64::from(!mask.allows(option));
                let observation = &self.rows[at * context.layout.width..(at + 1) * context.layout.width];
                let (action, log_prob, value) =
                    (option.index() as u8, distribution.log_prob(option.index()), self.out.values[at]);
                env.decisions.push(&NewDecision { agent, who, observation, mask, action, log_prob, value });
            }
            env.town.finish_step(&self.choices[first..first + count]);
            env.after_tick();
            first += count;
        }
    }

    /// What everybody at the horizon is expected to be worth from there on, and the town's new beginning.
    fn reset(&mut self, env: usize, context: &CollectContext<'_>) {
        let env = &mut self.envs[env];
        let present = env.town.state().agents.present.len();
        self.rows.clear();
        self.rows.resize(present * context.layout.width, 0.0);
        context.layout.observe_all(&env.town, &mut self.rows);
        self.rows.chunks_exact_mut(context.layout.width).for_each(|row| context.normalizer.scale(row));
        self.forward.run(&self.rows, &mut self.out);
        env.reset(&self.out.values);
    }
}

/// A number in [0, 1) for a resident's choice in this tick of this town.
fn uniform_draw(env: &Env, who: ResidentId) -> f32 {
    uniform(env.town.state().seed, env.town.tick(), who)
}

/// A number in [0, 1) for a resident's choice at a tick of the town with this seed.
pub(crate) fn uniform(seed: u64, tick: u64, who: ResidentId) -> f32 {
    let word = counter_rng::draw(seed, Stream::Policy, tick, who.0, Purpose::Option, 0)[0];
    (word >> 8) as f32 / (1 << 24) as f32
}
