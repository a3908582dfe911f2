//! The policy network: weights, inference, choice of an option, and normalization of its input. Rule: "Network policy".

mod actor_critic;
mod forward;
mod masked_categorical;
pub(crate) mod matmul;
mod normalizer;
mod weights;

pub use actor_critic::{ActorCritic, Dense};
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
