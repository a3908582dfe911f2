//! The learner: weights, moments and the update that moves them.
//!
//! Owns the order of everything: which decisions stand in which minibatch, in which order gradients are summed. The same
//! seed and batches give the same bits, whatever the timing of threads.

use std::num::NonZero;
use std::time::Instant;

use super::gradient_workers::GradientWorkers;
use super::minibatch::Gradients;
use super::stats::{StatsSum, explained_variance};
use super::{Batch, Diverged, Settings, UpdateStats, adam};
use crate::network::{ActorCritic, Shape, Weights, WeightsError};
use crate::parallel::ShouldContinue;
use crate::prng::Prng;

/// Keeps the luck of shuffles apart from that of the first weights.
const SHUFFLES: u64 = 0x7368_7566;

/// Everything an update starts from; with the same batches it goes on as if it had never stopped.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnerState {
    /// The network.
    pub weights: Weights,
    /// Running means of the gradient, under the weights' names.
    pub first_moments: Weights,
    /// Running means of its square, under the weights' names.
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

/// Which minibatch it is, for whoever asks what exploded.
#[derive(Clone, Copy)]
struct MinibatchIndex {
    update: u64,
    epoch: u32,
    minibatch: usize,
}

impl Learner {
    /// A learner at its beginning. The seed decides the first weights and every shuffle.
    pub fn new(shape: Shape, settings: Settings, seed: u64) -> Self {
        let zeros = Weights::zeros(&shape);
        let weights = ActorCritic::new(shape, seed).weights();
        let state = LearnerState { weights, first_moments: zeros.clone(), second_moments: zeros, steps: 0, updates: 0 };
        let threads = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        Self { shape, settings, seed, state, threads }
    }

    /// How many threads an update may use, this one among them; all there are by default, and never more than 2. The
    /// result does not depend on it.
    pub fn set_threads(&mut self, threads: NonZero<usize>) {
        self.threads = threads;
    }

    /// The sizes of the network.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The network as it is.
    pub fn weights(&self) -> &Weights {
        &self.state.weights
    }

    /// Everything that must be kept to go on later.
    pub fn state(&self) -> &LearnerState {
        &self.state
    }

    /// Goes on from what was kept. The seed and settings are the caller's to keep.
    ///
    /// # Errors
    /// By name, when it is not of this network or not finite; the learner is then as it was.
    pub fn restore(&mut self, state: LearnerState) -> Result<(), WeightsError> {
        for weights in [&state.weights, &state.first_moments, &state.second_moments] {
            weights.check(&self.shape)?;
        }
        self.state = state;
        Ok(())
    }

    /// Takes other weights, such as those of a warm start, and forgets the moments.
    ///
    /// # Errors
    /// By name, when they are not of this network or not finite.
    pub fn start_from(&mut self, weights: Weights) -> Result<(), WeightsError> {
        let zeros = Weights::zeros(&self.shape);
        let (steps, updates) = (0, self.state.updates);
        self.restore(LearnerState { weights, first_moments: zeros.clone(), second_moments: zeros, steps, updates })
    }

    /// Learns from a batch. `progress` is the share of the training that is behind, in [0, 1]: the step size goes down by
    /// it. An empty batch changes nothing.
    ///
    /// # Errors
    /// When something exploded; weights and moments are then those before the update.
    pub fn update(&mut self, batch: &Batch, progress: f64) -> Result<UpdateStats, Diverged> {
        Ok(self.update_while(batch, progress, &|| true)?.expect("nothing cuts it off"))
    }

    /// As [`Self::update`], as long as `should_continue` says so, asked at every minibatch. `None`: it was cut off, and weights and
    /// moments are those before.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub fn update_while(
        &mut self,
        batch: &Batch,
        progress: f64,
        should_continue: ShouldContinue<'_>,
    ) -> Result<Option<UpdateStats>, Diverged> {
        batch.check(&self.shape, self.state.updates)?;
        let before = self.state.clone();
        let result = self.passes(batch, progress, should_continue);
        if matches!(result, Ok(Some(_))) {
            self.state.updates += 1;
        } else {
            self.state = before;
        }
        result
    }

    fn passes(
        &mut self,
        batch: &Batch,
        progress: f64,
        should_continue: ShouldContinue<'_>,
    ) -> Result<Option<UpdateStats>, Diverged> {
        let (shape, settings) = (self.shape, self.settings);
        let alone = self.threads.get() < 2;
        std::thread::scope(|scope| {
            let workers = if alone {
                GradientWorkers::new(shape, &settings, batch)
            } else {
                GradientWorkers::shared(shape, &settings, batch, scope)
            };
            self.learn(batch, progress, workers, should_continue)
        })
    }

    fn learn(
        &mut self,
        batch: &Batch,
        progress: f64,
        mut workers: GradientWorkers<'_>,
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
        let minibatches = ((count + settings.minibatch_size / 2) / settings.minibatch_size.max(1)).max(1);
        let mut means = StatsSum::default();
        for epoch in 0..if count == 0 { 0 } else { settings.update_epochs } {
            let mut places: Vec<usize> = (0..count).collect();
            Prng::new([self.seed ^ SHUFFLES, update, u64::from(epoch)]).shuffle(&mut places);
            means.begin_epoch();
            for minibatch in 0..minibatches {
                if !should_continue() {
                    return Ok(None);
                }
                let places = &places[count * minibatch / minibatches..count * (minibatch + 1) / minibatches];
                let gradients = workers.gradients(&self.state.weights, places);
                let norm = self.step(gradients, stats.learning_rate, MinibatchIndex { update, epoch, minibatch })?;
                means.add(&gradients.terms, norm, places.len());
            }
            if settings.target_kl.is_some_and(|most| means.epoch_kl() > most) {
                break;
            }
        }
        means.write(&mut stats);
        for column in &self.state.weights.columns {
            if let Some(value) = column.values.iter().find(|value| !value.is_finite()) {
                return Err(Diverged::Weight { name: column.name.clone(), value: *value, update });
            }
        }
        stats.samples_per_second = stats.samples as f64 / started.elapsed().as_secs_f64().max(1e-9);
        Ok(Some(stats))
    }

    /// Moves the weights by one minibatch's gradient; the length it had.
    fn step(&mut self, gradients: &Gradients, learning_rate: f32, index: MinibatchIndex) -> Result<f32, Diverged> {
        let MinibatchIndex { update, epoch, minibatch } = index;
        if !gradients.terms.loss.is_finite() {
            return Err(Diverged::Loss { value: gradients.terms.loss, update, epoch, minibatch });
        }
        let norm = adam::norm(&gradients.gradient);
        if !norm.is_finite() {
            let columns = self.state.weights.columns.iter().zip(&gradients.gradient);
            let mut broken = columns.filter_map(|(column, gradient)| {
                let value = gradient.iter().copied().find(|value| !value.is_finite());
                value.map(|value| (column.name.clone(), value))
            });
            let (name, value) = broken.next().unwrap_or_else(|| ("the whole network".into(), norm));
            return Err(Diverged::Gradient { name, value, update, epoch, minibatch });
        }
        let most = self.settings.max_grad_norm;
        // As PyTorch cuts it.
        let scale = if most > 0.0 { (most / (norm + 1e-6)).min(1.0) } else { 1.0 };
        let LearnerState { weights, first_moments, second_moments, steps, .. } = &mut self.state;
        *steps += 1;
        adam::step(weights, [first_moments, second_moments], &gradients.gradient, *steps, learning_rate, scale);
        Ok(norm)
    }
}
