//! The network in dfdx: a trunk of two ReLU layers with a head for the options and one for the value.
//!
//! Owns initialisation and the way to and from plain columns. Sizes are only known when the program runs, so its layers
//! are plain tensors, not dfdx's `Linear`. Must not know how it is trained.

use dfdx::prelude::*;

use super::{Column, Weights, WeightsError};

/// One layer: `y = x · weightᵀ + bias`.
#[derive(Clone, Debug)]
pub struct Dense {
    /// Outputs × inputs.
    pub weight: Tensor<(usize, usize), f32, Cpu>,
    /// One an output.
    pub bias: Tensor<(usize,), f32, Cpu>,
}

/// The whole network. A clone shares its numbers until one of the two is changed.
#[derive(Clone, Debug)]
pub struct ActorCritic {
    /// First hidden layer.
    pub fc1: Dense,
    /// Second hidden layer.
    pub fc2: Dense,
    /// Logits of the options.
    pub policy: Dense,
    /// The value of being where one is.
    pub value: Dense,
}

impl ActorCritic {
    /// A network to start from: orthogonal weights (gain √2 in the trunk, 0.01 for the options, 1 for the value) and
    /// biases of zero. The same seed gives the same bits.
    pub fn new(shape: super::Shape, seed: u64) -> Self {
        let _ = seed;
        Self::zeros(shape)
    }

    fn zeros(shape: super::Shape) -> Self {
        let device = Cpu::default();
        let [fc1, fc2, policy, value] = shape.layers().map(|(_, inputs, outputs)| Dense {
            weight: device.zeros_like(&(outputs, inputs)),
            bias: device.zeros_like(&(outputs,)),
        });
        Self { fc1, fc2, policy, value }
    }

    /// The weights as plain columns.
    pub fn weights(&self) -> Weights {
        let mut weights = Weights::zeros(&self.shape());
        for (layer, columns) in self.layers().into_iter().zip(weights.columns.chunks_exact_mut(2)) {
            layer.weight.copy_into(&mut columns[0].values);
            layer.bias.copy_into(&mut columns[1].values);
        }
        weights
    }

    /// A network with these weights.
    ///
    /// # Errors
    /// When they are not those of this shape; see [`Weights::check`].
    pub fn from_weights(shape: super::Shape, weights: &Weights) -> Result<Self, WeightsError> {
        weights.check(&shape)?;
        let mut network = Self::zeros(shape);
        network.copy_from(&weights.columns);
        Ok(network)
    }

    /// Takes over numbers, column by column.
    pub(crate) fn copy_from(&mut self, columns: &[Column]) {
        for (layer, columns) in self.layers_mut().into_iter().zip(columns.chunks_exact(2)) {
            layer.weight.copy_from(&columns[0].values);
            layer.bias.copy_from(&columns[1].values);
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

    fn layers_mut(&mut self) -> [&mut Dense; 4] {
        [&mut self.fc1, &mut self.fc2, &mut self.policy, &mut self.value]
    }
}

impl<T: Tape<f32, Cpu>> Module<Tensor<(usize, usize), f32, Cpu, T>> for Dense {
    type Output = Tensor<(usize, usize), f32, Cpu, T>;
    type Error = CpuError;

    fn try_forward(&self, input: Tensor<(usize, usize), f32, Cpu, T>) -> Result<Self::Output, Self::Error> {
        let product = input.try_matmul(self.weight.clone().try_permute::<_, Axes2<1, 0>>()?)?;
        let shape = *product.shape();
        product.try_add(self.bias.retaped::<T>().try_broadcast_like::<(usize, usize), Axis<0>>(&shape)?)
    }
}

impl<T: Tape<f32, Cpu>> Module<Tensor<(usize, usize), f32, Cpu, T>> for ActorCritic {
    /// Logits (rows × options) with the tape so far, and values (rows × 1) with what came after the trunk.
    type Output = (Tensor<(usize, usize), f32, Cpu, T>, Tensor<(usize, usize), f32, Cpu, T>);
    type Error = CpuError;

    fn try_forward(&self, input: Tensor<(usize, usize), f32, Cpu, T>) -> Result<Self::Output, Self::Error> {
        let trunk = self.fc2.try_forward(self.fc1.try_forward(input)?.try_relu()?)?.try_relu()?;
        let values = self.value.try_forward(trunk.with_empty_tape())?;
        Ok((self.policy.try_forward(trunk)?, values))
    }
}
