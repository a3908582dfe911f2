//! The learner: weights, Adam's moments, and the PPO update.
//!
//! The order of minibatches and of sums is fixed, so the same seed and batches give the same bits, whatever the threads.

use std::num::NonZero;
use std::time::Instant;

use dfdx::prelude::{Cpu, Gradients};

use super::gradient_workers::GradientWorkers;
use super::optimizer::{Adam, clip_grad_norm};
use super::stats::{StatsSum, explained_variance};
use super::{Batch, Diverged, Settings, UpdateStats};
use crate::network::{ActorCritic, Shape, Weights, WeightsError};
use crate::parallel::ShouldContinue;
use crate::prng::Prng;

/// Keeps the random numbers of shuffles apart from those of the initial weights.
const SHUFFLES: u64 = 0x7368_7566;

/// The state of a learner; with the same batches it continues as if it had not stopped.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnerState {
    /// The network.
    pub weights: Weights,
    /// Running means of the gradient, by the weights' names.
    pub first_moments: Weights,
    /// Running means of the squared gradient, by the weights' names.
    pub second_moments: Weights,
    /// Gradient steps taken.
    pub steps: u64,
    /// Updates done.
    pub updates: u64,
}

/// Learns from batches.
#[derive(Debug)]
pub struct Learner {
    shape: Shape,
    settings: Settings,
    seed: u64,
    state: LearnerState,
    threads: NonZero<usize>,
}

/// Position in an update, for error messages.
#[derive(Clone, Copy)]
struct MinibatchIndex {
    update: u64,
    epoch: u32,
    minibatch: usize,
}

impl Learner {
    /// A new learner. The seed determines the initial weights and every shuffle.
    pub fn new(shape: Shape, settings: Settings, seed: u64) -> Self {
        let zeros = Weights::zeros(&shape);
        let weights = ActorCritic::new(shape, seed).weights();
        let state = LearnerState { weights, first_moments: zeros.clone(), second_moments: zeros, steps: 0, updates: 0 };
        let threads = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        Self { shape, settings, seed, state, threads }
    }

    /// Sets the threads of an update, including the calling one: all cores by default, of which at most 2 are used. The result
    /// does not depend on it.
    pub fn set_threads(&mut self, threads: NonZero<usize>) {
        self.threads = threads;
    }

    /// The sizes of the network.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The current weights.
    pub fn weights(&self) -> &Weights {
        &self.state.weights
    }

    /// The state to save.
    pub fn state(&self) -> &LearnerState {
        &self.state
    }

    /// Continues from a saved state. Seed and settings are not part of it.
    ///
    /// # Errors
    /// A tensor of another network or a value that is not finite, by name; then nothing has changed.
    pub fn restore(&mut self, state: LearnerState) -> Result<(), WeightsError> {
        for weights in [&state.weights, &state.first_moments, &state.second_moments] {
            weights.check(&self.shape)?;
        }
        self.state = state;
        Ok(())
    }

    /// Takes other weights, such as those of a warm start, and clears the moments.
    ///
    /// # Errors
    /// A tensor of another network or a value that is not finite, by name.
    pub fn start_from(&mut self, weights: Weights) -> Result<(), WeightsError> {
        let zeros = Weights::zeros(&self.shape);
        let (steps, updates) = (0, self.state.updates);
        self.restore(LearnerState { weights, first_moments: zeros.clone(), second_moments: zeros, steps, updates })
    }

    /// Learns from a batch. `progress` in [0, 1] is the completed share of the training, by which the learning rate is annealed.
    /// An empty batch changes nothing.
    ///
    /// # Errors
    /// What diverged. Weights and moments are then those from before.
    pub fn update(&mut self, batch: &Batch, progress: f64) -> Result<UpdateStats, Diverged> {
        Ok(self.update_while(batch, progress, &|| true)?.expect("nothing interrupts it"))
    }

    /// Like [`Self::update`], but asks `should_continue` before every few hundred decisions. Returns `None` when it said no;
    /// weights and moments are then those from before.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub fn update_while(
        &mut self,
        batch: &Batch,
        progress: f64,
        should_continue: ShouldContinue<'_>,
    ) -> Result<Option<UpdateStats>, Diverged> {
        if !batch.check(&self.shape, self.state.updates, should_continue)? {
            return Ok(None);
        }
        let settings = self.settings;
        std::thread::scope(|scope| {
            let workers = if self.threads.get() < 2 {
                GradientWorkers::new(&settings, batch, should_continue)
            } else {
                GradientWorkers::shared(&settings, batch, should_continue, scope)
            };
            self.learn(batch, progress, &workers, should_continue)
        })
    }

    fn learn(
        &mut self,
        batch: &Batch,
        progress: f64,
        workers: &GradientWorkers<'_>,
        should_continue: ShouldContinue<'_>,
    ) -> Result<Option<UpdateStats>, Diverged> {
        let started = Instant::now();
        let (settings, update, count) = (self.settings, self.state.updates, batch.len());
        let left = if settings.anneal_lr { 1.0 - progress.clamp(0.0, 1.0) } else { 1.0 };
        let mut stats = UpdateStats {
            learning_rate: settings.learning_rate * left as f32,
            explained_variance: explained_variance(&batch.values, &batch.returns),
            ..UpdateStats::default()
        };
        let mut means = StatsSum::default();
        // The state stays as it is until the update is complete.
        let mut agent = ActorCritic::zeros(self.shape);
        agent.copy_from(&self.state.weights.tensors);
        let moments = [&self.state.first_moments, &self.state.second_moments];
        let mut optimizer = Adam::new(moments, self.state.steps, stats.learning_rate);

        let minibatches = ((count + settings.minibatch_size / 2) / settings.minibatch_size.max(1)).max(1);
        for epoch in 0..if count == 0 { 0 } else { settings.update_epochs } {
            let mut places: Vec<usize> = (0..count).collect();
            let mut prng = Prng::new([self.seed ^ SHUFFLES, update, u64::from(epoch)]);
            if !prng.shuffle_while(&mut places, should_continue) {
                return Ok(None);
            }
            means.begin_epoch();
            for minibatch in 0..minibatches {
                let places = &places[count * minibatch / minibatches..count * (minibatch + 1) / minibatches];
                let Some((mut gradients, terms)) = workers.backward(&agent, places) else { return Ok(None) };
                let grad_norm = clip_grad_norm(&agent, &mut gradients, settings.max_grad_norm);
                MinibatchIndex { update, epoch, minibatch }.check(&agent, &mut gradients, terms.loss, grad_norm)?;
                optimizer.step(&mut agent, &mut gradients);
                means.add(&terms, grad_norm, places.len());
            }
            if settings.target_kl.is_some_and(|most| means.epoch_kl() > most) {
                break;
            }
        }

        let weights = agent.weights();
        for column in &weights.tensors {
            if let Some(value) = column.values.iter().find(|value| !value.is_finite()) {
                return Err(Diverged::Weight { name: column.name.clone(), value: *value, update });
            }
        }
        let LearnerState { first_moments, second_moments, steps, updates, .. } = &mut self.state;
        optimizer.save([first_moments, second_moments]);
        (*steps, *updates) = (optimizer.steps(), *updates + 1);
        self.state.weights = weights;
        means.write(&mut stats);
        stats.samples_per_second = stats.samples as f64 / started.elapsed().as_secs_f64().max(1e-9);
        Ok(Some(stats))
    }
}

impl MinibatchIndex {
    /// Checks that loss and gradients are finite.
    fn check(
        self,
        agent: &ActorCritic,
        gradients: &mut Gradients<f32, Cpu>,
        loss: f32,
        grad_norm: f32,
    ) -> Result<(), Diverged> {
        let Self { update, epoch, minibatch } = self;
        if !loss.is_finite() {
            return Err(Diverged::Loss { value: loss, update, epoch, minibatch });
        }
        if grad_norm.is_finite() {
            return Ok(());
        }
        let names = Weights::names(&agent.shape());
        let mut broken = None;
        agent.for_each_gradient(gradients, |place, gradient| {
            let value = gradient.iter().copied().find(|value| !value.is_finite());
            broken = broken.take().or(value.map(|value| (names[place].0.clone(), value)));
        });
        let (name, value) = broken.unwrap_or_else(|| ("the whole network".into(), grad_norm));
        Err(Diverged::Gradient { name, value, update, epoch, minibatch })
    }
}
