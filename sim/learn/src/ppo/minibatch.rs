//! A minibatch: some decisions of a batch, always in the same number of parts, and the gradient of each part.
//!
//! The parts and the order in which they are summed are fixed, so that one thread and two give the same bits.

use dfdx::prelude::*;

use super::objective::{Targets, Terms, objective};
use super::{Batch, Settings, fused};
use crate::network::ActorCritic;

/// Parts of a minibatch.
pub(super) const PARTS: usize = 2;
/// Added to the deviation of advantages, so that equal ones are not divided by zero.
const EPSILON: f64 = 1e-8;

/// Some decisions with what they are held to.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub(super) observations: Vec<f32>,
    pub(super) targets: Targets,
}

/// Mean terms and the gradient, column by column in the order of the weights.
#[derive(Debug)]
pub(super) struct Slope {
    pub(super) terms: Terms,
    pub(super) gradient: Vec<Vec<f32>>,
}

/// Copies the decisions at `places` out of the batch into parts.
pub(super) fn gather(batch: &Batch, places: &[usize], width: usize, settings: &Settings) -> [Part; PARTS] {
    let count = places.len();
    let (mean, deviation) = if settings.norm_adv { spread(batch, places) } else { (0.0, 1.0) };
    std::array::from_fn(|part| {
        let places = &places[count * part / PARTS..count * (part + 1) / PARTS];
        let mut observations = Vec::with_capacity(places.len() * width);
        for place in places {
            observations.extend_from_slice(&batch.observations[place * width..][..width]);
        }
        let column = |values: &[f32]| places.iter().map(|place| values[*place]).collect::<Vec<_>>();
        let scaled = |place: &usize| ((f64::from(batch.advantages[*place]) - mean) / deviation) as f32;
        let targets = Targets {
            actions: places.iter().map(|place| batch.actions[*place]).collect(),
            action_masks: places.iter().map(|place| batch.action_masks[*place]).collect(),
            log_probs: column(&batch.log_probs),
            advantages: places.iter().map(scaled).collect(),
            returns: column(&batch.returns),
            values: column(&batch.values),
            share: 1.0 / count as f32,
        };
        Part { observations, targets }
    })
}

/// Mean and deviation (over one less than the count) of the advantages of a minibatch.
fn spread(batch: &Batch, places: &[usize]) -> (f64, f64) {
    let advantages = || places.iter().map(|place| f64::from(batch.advantages[*place]));
    let mean = advantages().sum::<f64>() / places.len() as f64;
    let squares: f64 = advantages().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / places.len().saturating_sub(1).max(1) as f64).sqrt() + EPSILON)
}

/// The gradient of the objective over a part.
pub(super) fn differentiate(model: &ActorCritic, part: Part, settings: &Settings) -> Result<Slope, CpuError> {
    let shape = (part.targets.actions.len(), model.shape().observation);
    let rows = Cpu::default().try_tensor_from_vec(part.observations, shape)?;
    let (logits, values) = fused::forward(model, rows.leaky_traced())?;
    let (loss, terms) = objective(logits, values, &part.targets, settings)?;
    Ok(Slope { terms, gradient: columns(model, loss.try_backward()?)? })
}

/// The gradient of each column of weights, taken out of dfdx's.
pub(super) fn columns(model: &ActorCritic, mut gradients: Gradients<f32, Cpu>) -> Result<Vec<Vec<f32>>, CpuError> {
    let mut columns = Vec::new();
    for layer in model.layers() {
        columns.push(std::mem::take(&mut **gradients.get_or_alloc_mut(&layer.weight)?));
        columns.push(std::mem::take(&mut **gradients.get_or_alloc_mut(&layer.bias)?));
    }
    Ok(columns)
}

impl Slope {
    /// The sum of two parts, in this order.
    pub(super) fn and(mut self, other: &Self) -> Self {
        for (sums, terms) in self.gradient.iter_mut().zip(&other.gradient) {
            sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
        }
        self.terms = self.terms.and(other.terms);
        self
    }
}
