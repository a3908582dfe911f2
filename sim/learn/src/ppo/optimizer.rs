//! Adam by dfdx's kernel, and gradient clipping.
//!
//! The moments belong to the learner and not to dfdx's own optimizer, so that checkpoints hold them.

use dfdx::prelude::*;

use crate::network::matmul::vectorized;
use crate::network::{ActorCritic, Buffer, Weights};

/// Partial sums; a fixed number, so that sums are the same on every vector width.
const LANES: usize = 16;

/// The Adam optimizer (Kingma and Ba 2015) of a network.
pub(super) struct Adam {
    config: AdamConfig,
    /// Running means of the gradient and of its square, in the order of the weights.
    moments: Vec<[Buffer; 2]>,
    steps: u64,
}

impl Adam {
    /// An optimizer that continues with these moments after `steps` steps.
    pub(super) fn new([first, second]: [&Weights; 2], steps: u64, learning_rate: f32) -> Self {
        let device = Cpu::default();
        let buffer = |values: &[f32]| {
            let mut buffer: Buffer = device.try_alloc_len(values.len()).expect("memory for a moment");
            buffer.copy_from_slice(values);
            buffer
        };
        let moments = first.tensors.iter().zip(&second.tensors);
        Self {
            // An ε larger than the usual 1e-8, as in CleanRL's PPO.
            config: AdamConfig { lr: f64::from(learning_rate), betas: [0.9, 0.999], eps: 1e-5, weight_decay: None },
            moments: moments.map(|(first, second)| [buffer(&first.values), buffer(&second.values)]).collect(),
            steps,
        }
    }

    /// Steps taken.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// Copies the moments into the tensors.
    pub(super) fn save(&self, [first, second]: [&mut Weights; 2]) {
        for ((moments, first), second) in self.moments.iter().zip(&mut first.tensors).zip(&mut second.tensors) {
            first.values.copy_from_slice(&moments[0]);
            second.values.copy_from_slice(&moments[1]);
        }
    }

    /// One step along these gradients.
    pub(super) fn step(&mut self, agent: &mut ActorCritic, gradients: &mut Gradients<f32, Cpu>) {
        self.steps += 1;
        let step = i32::try_from(self.steps).unwrap_or(i32::MAX);
        for (layer, moments) in agent.layers_mut().into_iter().zip(self.moments.chunks_exact_mut(2)) {
            update(&self.config, step, &mut layer.weight, &mut moments[0], gradients);
            update(&self.config, step, &mut layer.bias, &mut moments[1], gradients);
        }
    }
}

fn update<S: Shape>(
    config: &AdamConfig,
    step: i32,
    tensor: &mut Tensor<S, f32, Cpu>,
    [first, second]: &mut [Buffer; 2],
    gradients: &mut Gradients<f32, Cpu>,
) {
    let gradient = gradients.get_or_alloc_mut(tensor).expect("memory for a gradient");
    vectorized(|| config.try_update(step, tensor, first, second, gradient)).expect("the kernel on a CPU cannot fail");
}

/// Scales the gradients to at most this norm, as PyTorch does, and returns the norm before. A limit of 0 means none. A norm
/// that is not finite scales nothing.
pub(super) fn clip_grad_norm(agent: &ActorCritic, gradients: &mut Gradients<f32, Cpu>, max_grad_norm: f32) -> f32 {
    let mut squares = 0.0;
    agent.for_each_gradient(gradients, |_, gradient| squares += f64::from(sum_of_squares(gradient)));
    let norm = squares.sqrt() as f32;
    let scale = max_grad_norm / (norm + 1e-6);
    if max_grad_norm > 0.0 && norm.is_finite() && scale < 1.0 {
        agent.for_each_gradient(gradients, |_, gradient| {
            let gradient = &mut gradient[..];
            vectorized(|| {
                for value in gradient {
                    *value *= scale;
                }
            });
        });
    }
    norm
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Shape;
    use crate::prng::Prng;

    const SHAPE: Shape = Shape { observation: 3, hidden: [5, 4], options: 2 };

    fn random(prng: &mut Prng, size: f64) -> Weights {
        let mut weights = Weights::zeros(&SHAPE);
        for tensor in &mut weights.tensors {
            tensor.values.iter_mut().for_each(|value| *value = (prng.normal() * size) as f32);
        }
        weights
    }

    fn gradients(agent: &ActorCritic, values: &Weights) -> Gradients<f32, Cpu> {
        let mut gradients = Gradients::leaky();
        agent.for_each_gradient(&mut gradients, |place, gradient| {
            gradient.copy_from_slice(&values.tensors[place].values);
        });
        gradients
    }

    /// Every value as `f64`, in the order of the tensors.
    fn flat(weights: &Weights) -> Vec<f64> {
        weights.tensors.iter().flat_map(|tensor| tensor.values.iter().map(|value| f64::from(*value))).collect()
    }

    #[test]
    fn steps_match_the_formula_and_continue_from_saved_moments() {
        let mut prng = Prng::new([21, 0, 0]);
        let start = random(&mut prng, 1.0);
        let zeros = Weights::zeros(&SHAPE);
        let (mut saved, mut agent) = ([zeros.clone(), zeros], ActorCritic::zeros(SHAPE));
        agent.copy_from(&start.tensors);
        let mut wanted = flat(&start);
        let (mut first, mut second) = (vec![0.0; wanted.len()], vec![0.0; wanted.len()]);
        for step in 1..=20 {
            // A new optimizer each time, from the moments that a checkpoint would hold.
            let mut optimizer = Adam::new([&saved[0], &saved[1]], step - 1, 0.01);
            let values = random(&mut prng, 0.1);
            let mut gradients = gradients(&agent, &values);
            optimizer.step(&mut agent, &mut gradients);
            assert_eq!(optimizer.steps(), step);
            let [of_first, of_second] = &mut saved;
            optimizer.save([of_first, of_second]);
            for (place, gradient) in flat(&values).into_iter().enumerate() {
                first[place] = 0.9 * first[place] + 0.1 * gradient;
                second[place] = 0.999 * second[place] + 0.001 * gradient * gradient;
                let (mean, variance): (f64, f64) = (
                    first[place] / (1.0 - 0.9_f64.powi(step as i32)),
                    second[place] / (1.0 - 0.999_f64.powi(step as i32)),
                );
                wanted[place] -= 0.01 * mean / (variance.sqrt() + 1e-5);
            }
        }
        for (found, wanted) in flat(&agent.weights()).into_iter().zip(wanted) {
            assert!((found - wanted).abs() < 2e-5, "{found} and not {wanted}");
        }
        for (found, wanted) in flat(&saved[1]).into_iter().zip(second) {
            assert!((found - wanted).abs() < 1e-4 * wanted, "{found} and not {wanted}");
        }
    }

    #[test]
    fn gradients_are_scaled_down_to_the_limit_and_never_up() {
        let mut prng = Prng::new([22, 0, 0]);
        let agent = ActorCritic::zeros(SHAPE);
        let values = random(&mut prng, 1.0);
        let norm = flat(&values).iter().map(|value| value * value).sum::<f64>().sqrt();
        for (limit, scale) in [(0.5, 0.5 / norm), (100.0, 1.0), (0.0, 1.0)] {
            let mut gradients = gradients(&agent, &values);
            let found = clip_grad_norm(&agent, &mut gradients, limit);
            assert!((f64::from(found) - norm).abs() < 1e-5 * norm, "{found} and not {norm}");
            agent.for_each_gradient(&mut gradients, |place, gradient| {
                for (found, wanted) in gradient.iter().zip(&values.tensors[place].values) {
                    let wanted = f64::from(*wanted) * scale;
                    assert!((f64::from(*found) - wanted).abs() <= 1e-5 * wanted.abs(), "{found} and not {wanted}");
                }
            });
        }
        let mut broken = values;
        broken.tensors[3].values[1] = f32::INFINITY;
        let mut gradients = gradients(&agent, &broken);
        assert!(!clip_grad_norm(&agent, &mut gradients, 0.5).is_finite());
        agent.for_each_gradient(&mut gradients, |place, gradient| {
            assert_eq!(**gradient, broken.tensors[place].values, "an infinite norm scales nothing");
        });
    }
}
