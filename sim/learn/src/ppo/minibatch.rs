//! A part of a minibatch as tensors.
//!
//! The parts of a minibatch are fixed, so that one and two threads give the same bits.

use dfdx::prelude::*;

use super::Batch;
use crate::network::{Matrix, Vector};

/// Parts of a minibatch.
pub(super) const PARTS: usize = 2;
/// Added to the deviation of advantages, so that equal ones are not divided by zero.
const EPSILON: f64 = 1e-8;

/// Decisions with the inputs of the objective, one row or entry per decision.
#[derive(Clone, Debug)]
pub(super) struct Minibatch {
    pub(super) observations: Matrix,
    pub(super) actions: Vec<u8>,
    pub(super) action_masks: Vec<u16>,
    pub(super) log_probs: Vector,
    /// Normalized, if the settings say so.
    pub(super) advantages: Vector,
    pub(super) returns: Vector,
    pub(super) values: Vector,
    /// One over the size of the whole minibatch.
    pub(super) share: f32,
}

/// The decisions of a part, as indices into the batch.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    places: Vec<usize>,
    advantages: MeanStd,
    share: f32,
}

/// Mean and deviation.
#[derive(Clone, Copy, Debug)]
struct MeanStd {
    mean: f64,
    deviation: f64,
}

impl Default for MeanStd {
    fn default() -> Self {
        Self { mean: 0.0, deviation: 1.0 }
    }
}

/// Splits a minibatch, given as indices into the batch, into its parts.
pub(super) fn split(batch: &Batch, places: &[usize], norm_adv: bool) -> [Part; PARTS] {
    let count = places.len();
    let advantages = if norm_adv { spread(batch, places) } else { MeanStd::default() };
    std::array::from_fn(|part| {
        let places = places[count * part / PARTS..count * (part + 1) / PARTS].to_vec();
        Part { places, advantages, share: 1.0 / count as f32 }
    })
}

/// Mean and sample deviation of the advantages of a minibatch.
fn spread(batch: &Batch, places: &[usize]) -> MeanStd {
    let advantages = || places.iter().map(|place| f64::from(batch.advantages[*place]));
    let mean = advantages().sum::<f64>() / places.len() as f64;
    let squares: f64 = advantages().map(|value| (value - mean).powi(2)).sum();
    MeanStd { mean, deviation: (squares / places.len().saturating_sub(1).max(1) as f64).sqrt() + EPSILON }
}

impl Part {
    /// Copies the decisions out of the batch, at most `rows` at a time.
    pub(super) fn gather<'a>(
        &'a self,
        batch: &'a Batch,
        rows: usize,
        device: &'a Cpu,
    ) -> impl Iterator<Item = Minibatch> + 'a {
        self.places.chunks(rows).map(|places| self.gather_rows(batch, places, device))
    }

    fn gather_rows(&self, batch: &Batch, places: &[usize], device: &Cpu) -> Minibatch {
        let (count, width) = (places.len(), batch.observations.len() / batch.len().max(1));
        let mut observations = Vec::with_capacity(count * width);
        for place in places {
            observations.extend_from_slice(&batch.observations[place * width..][..width]);
        }
        let column =
            |values: &[f32]| device.tensor_from_vec(places.iter().map(|place| values[*place]).collect(), (count,));
        let MeanStd { mean, deviation } = self.advantages;
        let advantages = places.iter().map(|place| ((f64::from(batch.advantages[*place]) - mean) / deviation) as f32);
        Minibatch {
            observations: device.tensor_from_vec(observations, (count, width)),
            actions: places.iter().map(|place| batch.actions[*place]).collect(),
            action_masks: places.iter().map(|place| batch.action_masks[*place]).collect(),
            log_probs: column(&batch.log_probs),
            advantages: device.tensor_from_vec(advantages.collect(), (count,)),
            returns: column(&batch.returns),
            values: column(&batch.values),
            share: self.share,
        }
    }
}
