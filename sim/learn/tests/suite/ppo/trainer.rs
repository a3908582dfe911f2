//! A small trainer for vectorized environments without a town.

use super::trajectory::{Decision, Trajectory};
use townlet_learn::network::{Forward, MaskedCategorical, Output, Shape};
use townlet_learn::ppo::{Batch, Learner, Settings, UpdateStats};
use townlet_town::counter_rng::{Purpose, Stream, draw};

/// An environment with one agent.
pub(crate) trait Environment: Clone {
    /// Values per observation.
    const WIDTH: usize;
    /// Options.
    const OPTIONS: usize;
    /// Starts an episode: writes the observation and returns the mask.
    fn reset(&mut self, prng: &mut Prng, observation: &mut [f32]) -> u16;
    /// Carries out a choice and writes the next observation.
    fn step(&mut self, action: usize, prng: &mut Prng, observation: &mut [f32]) -> Step;
}

/// The result of a step.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// One reward for each tick that the step took.
    pub(crate) rewards: Vec<f32>,
    /// The episode ended.
    pub(crate) terminated: bool,
    /// The episode was cut.
    pub(crate) truncated: bool,
    /// The next mask.
    pub(crate) mask: u16,
}

/// Random numbers of one slot; independent of the order of slots.
#[derive(Clone, Debug)]
pub(crate) struct Prng {
    seed: u64,
    slot: u32,
    drawn: u64,
}

impl Prng {
    pub(crate) fn new(seed: u64, slot: u32) -> Self {
        Self { seed, slot, drawn: 0 }
    }

    /// In [0, 1).
    pub(crate) fn unit(&mut self) -> f32 {
        self.drawn += 1;
        let word = draw(self.seed, Stream::Policy, self.drawn, self.slot, Purpose::Probe, 0)[0];
        (word >> 8) as f32 / (1u32 << 24) as f32
    }
}

/// Parameters of a training.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) slots: usize,
    /// Decisions per slot and update.
    pub(crate) horizon: usize,
    pub(crate) updates: usize,
    pub(crate) hidden: [usize; 2],
    pub(crate) settings: Settings,
}

struct Slot<E> {
    world: E,
    prng: Prng,
    observation: Vec<f32>,
    mask: u16,
    trajectory: Trajectory,
    episode_return: f32,
}

/// Environments, the learner, and the results so far.
pub(crate) struct Trainer<E> {
    pub(crate) learner: Learner,
    /// Returns of finished episodes in order.
    pub(crate) returns: Vec<f32>,
    /// Choices outside the mask.
    pub(crate) invalid: usize,
    pub(crate) steps: usize,
    pub(crate) stats: Vec<UpdateStats>,
    plan: Plan,
    slots: Vec<Slot<E>>,
    forward: Forward,
}

impl<E: Environment> Trainer<E> {
    pub(crate) fn new(world: &E, plan: Plan, seed: u64) -> Self {
        let shape = Shape { observation: E::WIDTH, hidden: plan.hidden, options: E::OPTIONS };
        let learner = Learner::new(shape, plan.settings, seed);
        let slot = |slot| {
            let (mut world, mut prng) = (world.clone(), Prng::new(seed, slot));
            let mut observation = vec![0.0; E::WIDTH];
            let mask = world.reset(&mut prng, &mut observation);
            Slot { world, prng, observation, mask, trajectory: Trajectory::default(), episode_return: 0.0 }
        };
        let forward = Forward::new(shape, learner.weights());
        let slots = (0..plan.slots as u32).map(slot).collect();
        let (returns, stats) = (Vec::new(), Vec::new());
        Self { learner, returns, invalid: 0, steps: 0, stats, plan, slots, forward }
    }

    pub(crate) fn train(&mut self) -> &mut Self {
        for update in 0..self.plan.updates {
            self.round(update as f64 / self.plan.updates as f64);
        }
        self
    }

    /// Collects a batch and learns from it.
    pub(crate) fn round(&mut self, progress: f64) {
        self.forward = Forward::new(*self.learner.shape(), self.learner.weights());
        let batch = self.collect();
        let stats = self.learner.update(&batch, progress).expect("a probe does not diverge");
        self.stats.push(stats);
    }

    /// Decisions of every slot, slot by slot, bootstrapped where they are cut.
    pub(crate) fn collect(&mut self) -> Batch {
        let (mut batch, mut out, mut rows) = (Batch::default(), Output::default(), Vec::new());
        let lambda = self.plan.settings.gae_lambda;
        for _ in 0..self.plan.horizon {
            rows.clear();
            self.slots.iter().for_each(|slot| rows.extend_from_slice(&slot.observation));
            self.forward.run(&rows, &mut out);
            for place in 0..self.slots.len() {
                let logits = &out.logits[place * E::OPTIONS..][..E::OPTIONS];
                self.act(place, logits, out.values[place], &mut batch);
            }
        }
        for slot in &mut self.slots {
            self.forward.run(&slot.observation, &mut out);
            slot.trajectory.cut(out.values[0], lambda, &mut batch);
        }
        batch
    }

    fn act(&mut self, place: usize, logits: &[f32], value: f32, batch: &mut Batch) {
        let (gamma, lambda) = (self.plan.settings.gamma, self.plan.settings.gae_lambda);
        let slot = &mut self.slots[place];
        let distribution = MaskedCategorical::new(logits, slot.mask);
        let action = distribution.sample(slot.prng.unit());
        self.invalid += usize::from(slot.mask >> action & 1 == 0);
        let (observation, action_mask, log_prob) = (&*slot.observation, slot.mask, distribution.log_prob(action));
        slot.trajectory.decide(&Decision { observation, action_mask, action: action as u8, log_prob, value });
        let step = slot.world.step(action, &mut slot.prng, &mut slot.observation);
        for reward in &step.rewards {
            slot.trajectory.reward(*reward, gamma);
            slot.episode_return += reward;
        }
        slot.mask = step.mask;
        self.steps += 1;
        if step.terminated {
            slot.trajectory.terminate(lambda, batch);
        } else if step.truncated {
            let mut out = Output::default();
            self.forward.run(&slot.observation, &mut out);
            slot.trajectory.cut(out.values[0], lambda, batch);
        }
        if step.terminated || step.truncated {
            self.returns.push(std::mem::take(&mut slot.episode_return));
            slot.mask = slot.world.reset(&mut slot.prng, &mut slot.observation);
        }
    }

    /// Value and probabilities at one observation.
    pub(crate) fn ask(&self, observation: &[f32], mask: u16) -> (f32, Vec<f32>) {
        let mut out = Output::default();
        Forward::new(*self.learner.shape(), self.learner.weights()).run(observation, &mut out);
        let distribution = MaskedCategorical::new(&out.logits, mask);
        (out.values[0], (0..E::OPTIONS).map(|option| distribution.prob(option)).collect())
    }

    /// Mean return of the greedy policy over new episodes.
    pub(crate) fn evaluate(&self, world: &E, seed: u64, episodes: u32) -> f32 {
        let mut forward = Forward::new(*self.learner.shape(), self.learner.weights());
        let (mut out, mut observation, mut total) = (Output::default(), vec![0.0; E::WIDTH], 0.0);
        for episode in 0..episodes {
            let (mut world, mut prng) = (world.clone(), Prng::new(seed, episode));
            let mut mask = world.reset(&mut prng, &mut observation);
            loop {
                forward.run(&observation, &mut out);
                let step = world.step(MaskedCategorical::new(&out.logits, mask).greedy(), &mut prng, &mut observation);
                total += step.rewards.iter().sum::<f32>();
                mask = step.mask;
                if step.terminated || step.truncated {
                    break;
                }
            }
        }
        total / episodes as f32
    }
}
