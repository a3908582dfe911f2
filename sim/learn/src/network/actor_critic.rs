//! The network as a dfdx model: two ReLU layers, then one head for the options and one for the value.
//!
//! Sizes are known at run time only, so the layers are not dfdx's `Linear`.

use std::sync::Arc;

use dfdx::prelude::*;

use super::dense::{Activation, Dense, Input, Matrix, PackedWeights, Vector};
use super::evaluate::evaluate;
use super::{Buffer, NamedTensor, Weights, WeightsError};
use crate::prng::Prng;

/// Gains of the initial weights, in the order of [`super::Shape::layers`].
const GAINS: [f64; 4] = [std::f64::consts::SQRT_2, std::f64::consts::SQRT_2, 0.01, 1.0];

/// The network. A clone shares its tensors until one of the two is changed.
#[derive(Clone, Debug)]
pub struct ActorCritic {
    /// First hidden layer.
    pub fc1: Dense,
    /// Second hidden layer.
    pub fc2: Dense,
    /// Logits of the options.
    pub policy: Dense,
    /// The value of the state.
    pub value: Dense,
}

impl ActorCritic {
    /// A network with orthogonal weights (gain √2 in the hidden layers, 0.01 for the policy head, 1 for the value head) and
    /// zero biases. The same seed gives the same bits.
    pub fn new(shape: super::Shape, seed: u64) -> Self {
        let mut weights = Weights::zeros(&shape);
        for (layer, (_, inputs, outputs)) in shape.layers().into_iter().enumerate() {
            let prng = Prng::new([seed, 0x0072_7468, layer as u64]);
            weights.tensors[2 * layer].values = orthogonal(prng, outputs, inputs, GAINS[layer]);
        }
        let mut network = Self::zeros(shape);
        network.copy_from(&weights.tensors);
        network
    }

    /// A network of zeros.
    pub(crate) fn zeros(shape: super::Shape) -> Self {
        let device = Cpu::default();
        let [fc1, fc2, policy, value] = shape.layers().map(|(_, inputs, outputs)| Dense {
            weight: device.zeros_like(&(outputs, inputs)),
            bias: device.zeros_like(&(outputs,)),
        });
        Self { fc1, fc2, policy, value }
    }

    /// The weights as named tensors.
    pub fn weights(&self) -> Weights {
        let mut weights = Weights::zeros(&self.shape());
        for (layer, tensors) in self.layers().into_iter().zip(weights.tensors.chunks_exact_mut(2)) {
            layer.weight.copy_into(&mut tensors[0].values);
            layer.bias.copy_into(&mut tensors[1].values);
        }
        weights
    }

    /// A network with these weights.
    ///
    /// # Errors
    /// When the weights do not have this shape; see [`Weights::check`].
    pub fn from_weights(shape: super::Shape, weights: &Weights) -> Result<Self, WeightsError> {
        weights.check(&shape)?;
        let mut network = Self::zeros(shape);
        network.copy_from(&weights.tensors);
        Ok(network)
    }

    /// Copies values from the tensors, in their order.
    pub(crate) fn copy_from(&mut self, tensors: &[NamedTensor]) {
        for (layer, tensors) in self.layers_mut().into_iter().zip(tensors.chunks_exact(2)) {
            layer.weight.copy_from(&tensors[0].values);
            layer.bias.copy_from(&tensors[1].values);
        }
    }

    /// The sizes of the network.
    pub fn shape(&self) -> super::Shape {
        let outputs = |layer: &Dense| layer.weight.shape().0;
        super::Shape {
            observation: self.fc1.weight.shape().1,
            hidden: [outputs(&self.fc1), outputs(&self.fc2)],
            options: outputs(&self.policy),
        }
    }

    /// In the order of [`super::Shape::layers`].
    pub(crate) fn layers(&self) -> [&Dense; 4] {
        [&self.fc1, &self.fc2, &self.policy, &self.value]
    }

    /// In the order of [`super::Shape::layers`].
    pub(crate) fn layers_mut(&mut self) -> [&mut Dense; 4] {
        [&mut self.fc1, &mut self.fc2, &mut self.policy, &mut self.value]
    }

    /// Calls `body` with the place and the gradient of each tensor, in the order of [`Weights::names`].
    pub(crate) fn for_each_gradient(
        &self,
        gradients: &mut Gradients<f32, Cpu>,
        mut body: impl FnMut(usize, &mut Buffer),
    ) {
        for (place, layer) in self.layers().into_iter().enumerate() {
            body(2 * place, gradients.get_or_alloc_mut(&layer.weight).expect("memory for a gradient"));
            body(2 * place + 1, gradients.get_or_alloc_mut(&layer.bias).expect("memory for a gradient"));
        }
    }

    /// The network to run until its weights change.
    pub(crate) fn packed(&self) -> PackedActorCritic<'_> {
        PackedActorCritic { fc1: self.fc1.packed(Input::Data), fc2: self.fc2.packed(Input::Computed), agent: self }
    }
}

/// A network with the weights of its hidden layers packed, which is done once for all rows of a minibatch.
#[derive(Clone, Debug)]
pub(crate) struct PackedActorCritic<'a> {
    agent: &'a ActorCritic,
    fc1: Arc<PackedWeights>,
    fc2: Arc<PackedWeights>,
}

impl PackedActorCritic<'_> {
    /// The log-probability of each action, the entropy of each distribution and the value of each observation. The first
    /// has the tape so far, the others empty ones.
    pub(crate) fn evaluate_actions<T: Tape<f32, Cpu>>(
        &self,
        observations: Matrix<T>,
        action_masks: &[u16],
        actions: &[u8],
    ) -> (Vector<T>, Vector<T>, Vector<T>) {
        evaluate(self.forward(observations), action_masks, actions)
    }
}

impl<T: Tape<f32, Cpu>> Module<Matrix<T>> for PackedActorCritic<'_> {
    /// Both heads side by side: rows × (the logits of the options, then the value).
    type Output = Matrix<T>;
    type Error = CpuError;

    /// Runs rows of observations, which get no gradient.
    fn try_forward(&self, observations: Matrix<T>) -> Result<Self::Output, Self::Error> {
        let ActorCritic { fc1, fc2, policy, value } = self.agent;
        let hidden = fc1.run(&self.fc1, observations.into(), Activation::Relu);
        let hidden = fc2.run(&self.fc2, hidden, Activation::Relu);
        Ok(policy.run_both(value, hidden).matrix)
    }
}

/// A matrix with orthogonal rows (columns, if it has more rows than columns) of length `gain`.
fn orthogonal(mut prng: Prng, rows: usize, columns: usize, gain: f64) -> Vec<f32> {
    let (count, length) = (rows.min(columns), rows.max(columns));
    let mut vectors: Vec<Vec<f64>> = Vec::with_capacity(count);
    for _ in 0..count {
        let mut vector: Vec<f64> = (0..length).map(|_| prng.normal()).collect();
        // Twice, because rounding leaves a residue after the first pass.
        for _ in 0..2 {
            for other in &vectors {
                let along: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
                vector.iter_mut().zip(other).for_each(|(value, other)| *value -= along * other);
            }
        }
        let size = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
        vectors.push(vector.into_iter().map(|value| value / size).collect());
    }
    let entry = |row: usize, column: usize| if rows <= columns { vectors[row][column] } else { vectors[column][row] };
    (0..rows * columns).map(|place| (gain * entry(place / columns, place % columns)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Forward, Output, Shape};
    use super::*;

    #[test]
    fn rows_are_orthogonal() {
        for (rows, columns) in [(128, 432), (128, 70), (9, 128), (1, 128)] {
            let matrix = orthogonal(Prng::new([1, 0, 0]), rows, columns, 2.0);
            let entry = |row: usize, column: usize| f64::from(matrix[row * columns + column]);
            let count = rows.min(columns);
            for a in 0..count {
                for b in 0..=a {
                    let dot: f64 = if rows <= columns {
                        (0..columns).map(|at| entry(a, at) * entry(b, at)).sum()
                    } else {
                        (0..rows).map(|at| entry(at, a) * entry(at, b)).sum()
                    };
                    let wanted = if a == b { 4.0 } else { 0.0 };
                    assert!((dot - wanted).abs() < 1e-4, "{rows} × {columns}: {a} · {b} = {dot}");
                }
            }
        }
    }

    #[test]
    fn the_seed_determines_the_network() {
        let shape = Shape::standard(20, 5);
        let [a, b, c] = [3, 3, 4].map(|seed| ActorCritic::new(shape, seed).weights());
        assert_eq!(a, b);
        assert_ne!(a, c);
        assert_eq!(a.shape(), Some(shape));
        assert!(
            a.tensors
                .iter()
                .filter(|column| column.name.ends_with("bias"))
                .all(|column| { column.values.iter().all(|value| *value == 0.0) })
        );
    }

    /// Random weights and biases, so that every part of the network contributes.
    fn random(shape: Shape, prng: &mut Prng) -> Weights {
        let mut weights = Weights::zeros(&shape);
        for column in &mut weights.tensors {
            let scale = (1.0 / column.shape.last().copied().unwrap_or(1) as f64).sqrt();
            column.values.iter_mut().for_each(|value| *value = (prng.normal() * scale) as f32);
        }
        weights
    }

    #[test]
    fn forward_matches_dfdx() {
        let mut prng = Prng::new([5, 5, 5]);
        for (shape, rows) in [
            (Shape::standard(432, 9), 37),
            (Shape::standard(70, 9), 8),
            (Shape { observation: 4, hidden: [64, 64], options: 2 }, 1),
            (Shape { observation: 3, hidden: [5, 7], options: 16 }, 11),
        ] {
            let weights = random(shape, &mut prng);
            let network = ActorCritic::from_weights(shape, &weights).expect("random weights are valid");
            assert_eq!(network.weights(), weights);
            let mut input: Vec<f32> = (0..rows * shape.observation).map(|_| prng.normal() as f32).collect();
            input.iter_mut().step_by(3).for_each(|value| *value = 0.0);
            let rows_of = Cpu::default().tensor_from_vec(input.clone(), (rows, shape.observation));
            let (logits, values) = super::super::stock_operations::forward(&network, rows_of);
            let mut out = Output::default();
            Forward::new(shape, &weights).run(&input, &mut out);
            for (found, wanted) in [(&out.logits, logits.as_vec()), (&out.values, values.as_vec())] {
                assert_eq!(found.len(), wanted.len());
                for (found, wanted) in found.iter().zip(&wanted) {
                    assert!((found - wanted).abs() <= 1e-5, "{found}, expected {wanted}");
                }
            }
        }
    }
}
