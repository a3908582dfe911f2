//! The Adam optimizer (Kingma and Ba 2015) over named tensors, and the gradient norm.

use crate::network::Weights;
use crate::network::matmul::vectorized;

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
/// Larger than the usual 1e-8, as in CleanRL's PPO.
const EPSILON: f32 = 1e-5;
/// Partial sums; a fixed number, so that sums are the same on every vector width.
const LANES: usize = 16;

/// Norm of the gradient over all tensors.
pub(super) fn norm(gradient: &[Vec<f32>]) -> f32 {
    let squares = gradient.iter().map(|column| f64::from(sum_of_squares(column)));
    squares.sum::<f64>().sqrt() as f32
}

fn sum_of_squares(column: &[f32]) -> f32 {
    vectorized(|| {
        let (chunks, rest) = column.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for chunk in chunks {
            sums.iter_mut().zip(chunk).for_each(|(sum, value)| *sum += value * value);
        }
        sums.iter().sum::<f32>() + rest.iter().map(|value| value * value).sum::<f32>()
    })
}

/// One step: `step` counts from 1, `scale` is the gradient's clipping factor.
pub(super) fn step(
    weights: &mut Weights,
    [first, second]: [&mut Weights; 2],
    gradient: &[Vec<f32>],
    step: u64,
    learning_rate: f32,
    scale: f32,
) {
    let rest = |beta: f32| (1.0 - f64::from(beta).powi(step.min(1_000_000) as i32)) as f32;
    let (rate, root) = (learning_rate / rest(BETA1), rest(BETA2).sqrt());
    let moments = first.tensors.iter_mut().zip(&mut second.tensors);
    for ((weights, (first, second)), gradient) in weights.tensors.iter_mut().zip(moments).zip(gradient) {
        let entries = weights.values.iter_mut().zip(&mut first.values).zip(&mut second.values).zip(gradient);
        vectorized(move || {
            for (((weight, first), second), gradients) in entries {
                let gradients = gradients * scale;
                *first = BETA1 * *first + (1.0 - BETA1) * gradients;
                *second = BETA2 * *second + (1.0 - BETA2) * gradients * gradients;
                *weight -= rate * *first / (second.sqrt() / root + EPSILON);
            }
        });
    }
}
