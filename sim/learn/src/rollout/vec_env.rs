//! A few towns that advance together, so that one pass through the network answers for all who decide in a tick.
//!
//! Owns the order: every town to its question, one inference, every answer. What comes of a row depends on nothing but the
//! row and the weights, so neither tiles nor threads show in the results. Rule: "Performance targets", "Decision process".

use townlet_town::counter_rng::{self, Purpose, Stream};
use townlet_town::observations::Layout;
use townlet_town::options::OPTIONS;
use townlet_town::{Decider, OptionKind, Policy, ResidentId};

use super::decision_buffer::Taken;
use super::env::Life;
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

/// What every tile looks through.
pub(super) struct CollectContext<'a> {
    pub(super) layout: &'static Layout,
    pub(super) normalizer: &'a Normalizer,
    pub(super) behavior_policy: BehaviorPolicy,
    pub(super) go_on: ShouldContinue<'a>,
}

/// Towns that advance together, and room for their questions.
pub(super) struct Tile {
    pub(super) lives: Vec<Life>,
    forward: Forward,
    deciders: Vec<Decider>,
    rows: Vec<f32>,
    out: Output,
    choices: Vec<OptionKind>,
}

impl Tile {
    pub(super) fn new(lives: Vec<Life>, forward: Forward) -> Self {
        let (deciders, rows, out, choices) = (Vec::new(), Vec::new(), Output::default(), Vec::new());
        Self { lives, forward, deciders, rows, out, choices }
    }

    /// Thinks with another network from here on.
    pub(super) fn set_network(&mut self, forward: Forward) {
        self.forward = forward;
    }

    /// Lives through so many ticks, or as many as it may; whether it was all of them.
    pub(super) fn advance(&mut self, ticks: u64, sight: &CollectContext<'_>) -> bool {
        for _ in 0..ticks {
            if !(sight.go_on)() {
                return false;
            }
            self.ask(sight);
            self.forward.run(&self.rows, &mut self.out);
            self.answer(sight);
            for life in 0..self.lives.len() {
                if self.lives[life].is_over() {
                    self.reset(life, sight);
                }
            }
        }
        true
    }

    /// Every town up to its question, and what those see who must decide.
    fn ask(&mut self, sight: &CollectContext<'_>) {
        self.deciders.clear();
        self.rows.clear();
        self.choices.clear();
        for life in &mut self.lives {
            life.town.clear_events();
            life.town.begin_step();
            let town = &life.town;
            let deciders = town.deciders();
            self.deciders.extend_from_slice(deciders);
            let from = self.rows.len();
            self.rows.resize(from + deciders.len() * sight.layout.width, 0.0);
            for (decider, row) in deciders.iter().zip(self.rows[from..].chunks_exact_mut(sight.layout.width)) {
                sight.layout.observe(town, decider.agent, row);
                life.seen.observe(row);
                sight.normalizer.scale(row);
            }
            if sight.behavior_policy == BehaviorPolicy::Scripted {
                Scripted.decide(town, deciders, &mut self.choices);
            }
        }
    }

    fn answer(&mut self, sight: &CollectContext<'_>) {
        let mut first = 0;
        for life in &mut self.lives {
            let count = life.town.deciders().len();
            for at in first..first + count {
                let Decider { agent, mask } = self.deciders[at];
                let who = life.town.state().agents.resident[agent];
                let distribution =
                    MaskedCategorical::new(&self.out.logits[at * OPTIONS.len()..(at + 1) * OPTIONS.len()], mask.0);
                let option = match sight.behavior_policy {
                    BehaviorPolicy::Network => {
                        let option = OPTIONS[distribution.sample(luck(life, who))].0;
                        self.choices.push(option);
                        option
                    }
                    // An option outside the mask counts as `wait`.
                    BehaviorPolicy::Scripted if !mask.allows(self.choices[at]) => OptionKind::Wait,
                    BehaviorPolicy::Scripted => self.choices[at],
                };
                life.tally.decisions += 1;
                life.tally.invalid += u64::from(!mask.allows(option));
                let observation = &self.rows[at * sight.layout.width..(at + 1) * sight.layout.width];
                let (action, log_prob, value) =
                    (option.index() as u8, distribution.log_prob(option.index()), self.out.values[at]);
                life.decisions.take(&Taken { agent, who, observation, mask, action, log_prob, value });
            }
            life.town.finish_step(&self.choices[first..first + count]);
            life.after_tick();
            first += count;
        }
    }

    /// What everybody at the horizon is expected to be worth from there on, and the town's new beginning.
    fn reset(&mut self, life: usize, sight: &CollectContext<'_>) {
        let life = &mut self.lives[life];
        let present = life.town.state().agents.present.len();
        self.rows.clear();
        self.rows.resize(present * sight.layout.width, 0.0);
        sight.layout.observe_all(&life.town, &mut self.rows);
        self.rows.chunks_exact_mut(sight.layout.width).for_each(|row| sight.normalizer.scale(row));
        self.forward.run(&self.rows, &mut self.out);
        life.reset(&self.out.values);
    }
}

/// A number in [0, 1) for a resident's choice in this tick of this town.
fn luck(life: &Life, who: ResidentId) -> f32 {
    uniform(life.town.state().seed, life.town.tick(), who)
}

/// A number in [0, 1) for a resident's choice at a tick of the town with this seed.
pub(crate) fn uniform(seed: u64, tick: u64, who: ResidentId) -> f32 {
    let word = counter_rng::draw(seed, Stream::Policy, tick, who.0, Purpose::Option, 0)[0];
    (word >> 8) as f32 / (1 << 24) as f32
}
