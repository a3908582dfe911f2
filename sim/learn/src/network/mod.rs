//! The policy network: weights, inference, choice of an option, and normalization of its input. Rule: "Network policy".

mod actor_critic;
mod dense;
mod evaluate;
mod forward;
mod masked_categorical;
pub(crate) mod matmul;
mod normalizer;
mod weights;

pub use actor_critic::ActorCritic;
pub(crate) use actor_critic::PackedActorCritic;
pub use dense::Dense;
pub(crate) use dense::{Buffer, Matrix, Vector, vector_values};
pub use forward::{Forward, Output};
pub use masked_categorical::{MASKED, MaskedCategorical};
pub use normalizer::Normalizer;
pub use weights::{NamedTensor, Weights, WeightsError};

/// Sizes of the network: observation → hidden → hidden → options and one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Values of an observation, at least 1.
    pub observation: usize,
    /// Units of the two hidden layers, at least 1 each.
    pub hidden: [usize; 2],
    /// Options, 1 to [`Shape::MOST_OPTIONS`].
    pub options: usize,
}

impl Shape {
    /// A mask has one bit per option.
    pub const MOST_OPTIONS: usize = u16::BITS as usize;

    /// Two hidden layers of 128 units.
    pub const fn standard(observation: usize, options: usize) -> Self {
        Self { observation, hidden: [128, 128], options }
    }

    /// Weights and biases of all layers.
    pub(crate) fn weights(&self) -> usize {
        self.layers().into_iter().map(|(_, inputs, outputs)| (inputs + 1) * outputs).sum()
    }

    /// Name, inputs and outputs of the four layers, in the order of every file.
    pub const fn layers(&self) -> [(&'static str, usize, usize); 4] {
        let [first, second] = self.hidden;
        [
            ("fc1", self.observation, first),
            ("fc2", first, second),
            ("policy", second, self.options),
            ("value", second, 1),
        ]
    }
}

/// The model in stock operations of dfdx, to which tests hold our own, and how often the tape has run a layer of ours.
#[cfg(test)]
pub(crate) mod stock_operations {
    use dfdx::prelude::{Cpu, Tape, WithEmptyTape};

    use super::dense::{Activation, Matrix, tests::stock};
    pub(crate) use super::evaluate::tests::stock as log_prob_and_entropy;

    /// Logits and values.
    pub(crate) fn forward<T: Tape<f32, Cpu>>(
        agent: &super::ActorCritic,
        observations: Matrix<T>,
    ) -> (Matrix<T>, Matrix<T>) {
        let hidden = stock(&agent.fc1, observations, Activation::Relu);
        let hidden = stock(&agent.fc2, hidden, Activation::Relu);
        let values = stock(&agent.value, hidden.with_empty_tape(), Activation::Identity);
        (stock(&agent.policy, hidden, Activation::Identity), values)
    }

    /// Backward passes of layers on this thread.
    pub(crate) fn backward_runs() -> usize {
        super::dense::tests::BACKWARD_RUNS.get()
    }
}
