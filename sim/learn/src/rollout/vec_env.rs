//! Environments that step together, so that one inference serves every decision of a tick.
//!
//! A row's result depends only on the row and the weights, so the grouping does not affect results.
//! Rule: "Performance targets", "Decision process".

use townlet_town::counter_rng::{self, Purpose, Stream};
use townlet_town::observations::Layout;
use townlet_town::options::OPTIONS;
use townlet_town::{Decider, OptionKind, Policy, ResidentId};

use super::decision_buffer::NewDecision;
use super::env::Env;
use crate::network::{Forward, MaskedCategorical, Normalizer, Output};
use crate::parallel::ShouldContinue;
use crate::{NetworkPolicy, Scripted};

/// The policy that chooses options during collection.
#[derive(Clone, Copy)]
pub enum BehaviorPolicy<'a> {
    /// The network in training, sampled by probability.
    Network,
    /// The scripted policy; the network in training only supplies log-probabilities and values.
    Scripted,
    /// A trained policy; the network in training only supplies log-probabilities and values.
    Trained(&'a NetworkPolicy),
}

/// The inputs that all environments share.
pub(super) struct CollectContext<'a> {
    pub(super) layout: &'static Layout,
    pub(super) normalizer: &'a Normalizer,
    pub(super) behavior_policy: BehaviorPolicy<'a>,
    pub(super) should_continue: ShouldContinue<'a>,
}

/// Environments that step together, and their buffers.
pub(super) struct VecEnv {
    pub(super) envs: Vec<Env>,
    forward: Forward,
    /// The trained policy that chooses, if one does.
    trained: Option<NetworkPolicy>,
    deciders: Vec<Decider>,
    rows: Vec<f32>,
    out: Output,
    choices: Vec<OptionKind>,
}

impl VecEnv {
    pub(super) fn new(envs: Vec<Env>, forward: Forward) -> Self {
        let (deciders, rows, out, choices) = (Vec::new(), Vec::new(), Output::default(), Vec::new());
        Self { envs, forward, trained: None, deciders, rows, out, choices }
    }

    /// Replaces the network and the policy that chooses.
    pub(super) fn set_policies(&mut self, forward: Forward, behavior_policy: BehaviorPolicy<'_>) {
        self.forward = forward;
        self.trained = match behavior_policy {
            BehaviorPolicy::Trained(policy) => Some(policy.clone()),
            BehaviorPolicy::Network | BehaviorPolicy::Scripted => None,
        };
    }

    /// Advances all environments by `ticks`. Returns `false` when it was told to stop before.
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

    /// Steps every town up to its decisions and observes the deciding residents.
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
            let agents = deciders.iter().map(|decider| decider.agent);
            context.layout.observe_each(town, agents, &mut self.rows[from..]);
            for row in self.rows[from..].chunks_exact_mut(context.layout.width) {
                env.seen.observe(row);
                context.normalizer.scale(row);
            }
            match (context.behavior_policy, &mut self.trained) {
                (BehaviorPolicy::Scripted, _) => Scripted.decide(town, deciders, &mut self.choices),
                (BehaviorPolicy::Trained(_), Some(policy)) => policy.decide(town, deciders, &mut self.choices),
                _ => {}
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
                    _ if !mask.allows(self.choices[at]) => OptionKind::Wait,
                    _ => self.choices[at],
                };
                env.stats.decisions += 1;
                env.stats.invalid += u64::from(!mask.allows(option));
                let observation = &self.rows[at * context.layout.width..(at + 1) * context.layout.width];
                let (action, log_prob, value) =
                    (option.index() as u8, distribution.log_prob(option.index()), self.out.values[at]);
                env.decisions.push(&NewDecision {
                    agent,
                    who,
                    observation,
                    action_mask: mask,
                    action,
                    log_prob,
                    value,
                });
            }
            env.town.finish_step(&self.choices[first..first + count]);
            env.after_tick();
            first += count;
        }
    }

    /// Resets an environment, with the value of every present resident's state.
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

/// A number in [0, 1) for a resident's choice at this tick.
fn uniform_draw(env: &Env, who: ResidentId) -> f32 {
    uniform(env.town.state().seed, env.town.tick(), who)
}

/// A number in [0, 1) for a resident's choice at a tick of the town with this seed.
pub(crate) fn uniform(seed: u64, tick: u64, who: ResidentId) -> f32 {
    let word = counter_rng::draw(seed, Stream::Policy, tick, who.0, Purpose::Option, 0)[0];
    (word >> 8) as f32 / (1 << 24) as f32
}
