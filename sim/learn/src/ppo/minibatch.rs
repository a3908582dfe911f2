//! A minibatch in two parts, and the gradient of each part.
//!
//! The parts and the order of their sum are fixed, so that one and two threads give the same bits. Buffers are reused.

use super::backprop::{self, PackedNetwork, Scratch};
use super::objective::{LossTerms, Targets};
use super::{Batch, Settings};
use crate::network::matmul::vectorized;
use crate::network::{Shape, Weights};

/// Parts of a minibatch.
pub(super) const PARTS: usize = 2;
/// Added to the deviation of advantages, so that equal ones are not divided by zero.
const EPSILON: f64 = 1e-8;

/// A part of a minibatch with its targets, buffers and gradient.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    places: Vec<usize>,
    advantages: MeanStd,
    pub(super) observations: Vec<f32>,
    pub(super) targets: Targets,
    scratch: Scratch,
    pub(super) gradients: Gradients,
}

/// Mean and deviation.
#[derive(Clone, Copy, Debug, Default)]
struct MeanStd {
    mean: f64,
    deviation: f64,
}

/// Loss terms and the gradient, in the order of the weights.
#[derive(Clone, Debug, Default)]
pub(super) struct Gradients {
    pub(super) terms: LossTerms,
    pub(super) gradient: Vec<Vec<f32>>,
}

/// Splits a minibatch, given as indices into the batch, into its parts.
pub(super) fn deal(batch: &Batch, places: &[usize], settings: &Settings, parts: [&mut Part; PARTS]) {
    let count = places.len();
    let advantages = if settings.norm_adv { spread(batch, places) } else { MeanStd { mean: 0.0, deviation: 1.0 } };
    for (place, part) in parts.into_iter().enumerate() {
        part.places.clear();
        part.places.extend_from_slice(&places[count * place / PARTS..count * (place + 1) / PARTS]);
        part.advantages = advantages;
        part.targets.share = 1.0 / count as f32;
    }
}

/// Mean and sample deviation of the advantages of a minibatch.
fn spread(batch: &Batch, places: &[usize]) -> MeanStd {
    let advantages = || places.iter().map(|place| f64::from(batch.advantages[*place]));
    let mean = advantages().sum::<f64>() / places.len() as f64;
    let squares: f64 = advantages().map(|value| (value - mean).powi(2)).sum();
    MeanStd { mean, deviation: (squares / places.len().saturating_sub(1).max(1) as f64).sqrt() + EPSILON }
}

impl Part {
    /// Copies its decisions out of the batch and computes their gradient.
    pub(super) fn learn(&mut self, batch: &Batch, net: &PackedNetwork, settings: &Settings) {
        self.gather(batch);
        self.differentiate(net, settings);
    }

    fn gather(&mut self, batch: &Batch) {
        let Self { places, advantages: MeanStd { mean, deviation }, observations, targets, .. } = self;
        let width = batch.observations.len() / batch.len().max(1);
        observations.clear();
        for place in places.iter() {
            observations.extend_from_slice(&batch.observations[place * width..][..width]);
        }
        let column = |values: &[f32], out: &mut Vec<f32>| {
            out.clear();
            out.extend(places.iter().map(|place| values[*place]));
        };
        column(&batch.log_probs, &mut targets.log_probs);
        column(&batch.returns, &mut targets.returns);
        column(&batch.values, &mut targets.values);
        column(&batch.advantages, &mut targets.advantages);
        let scaled = |value: f32| ((f64::from(value) - *mean) / *deviation) as f32;
        targets.advantages.iter_mut().for_each(|value| *value = scaled(*value));
        targets.actions.clear();
        targets.actions.extend(places.iter().map(|place| batch.actions[*place]));
        targets.action_masks.clear();
        targets.action_masks.extend(places.iter().map(|place| batch.action_masks[*place]));
    }

    /// Computes the gradient of the objective over the copied decisions.
    pub(super) fn differentiate(&mut self, net: &PackedNetwork, settings: &Settings) {
        backprop::learn(net, &self.observations, &self.targets, settings, &mut self.scratch, &mut self.gradients);
    }
}

impl Gradients {
    /// Sets everything to zero, for a network of this shape.
    pub(super) fn clear(&mut self, shape: &Shape) {
        if self.gradient.is_empty() {
            self.gradient = Weights::zeros(shape).tensors.into_iter().map(|column| column.values).collect();
        }
        self.gradient.iter_mut().for_each(|column| column.fill(0.0));
        self.terms = LossTerms::default();
    }

    /// Adds another part.
    pub(super) fn add(&mut self, other: &Self) {
        for (sums, terms) in self.gradient.iter_mut().zip(&other.gradient) {
            vectorized(move || sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term));
        }
        self.terms = self.terms.and(other.terms);
    }
}
