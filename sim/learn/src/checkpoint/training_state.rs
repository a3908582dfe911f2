//! The state of a training: optimizer moments, exact observation statistics, every town and its sources.
//!
//! Unlike the policy beside it, the format is private to this version of the program. Rule: "Checkpoints".

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use townlet_town::Sources;

use super::CheckpointError;
use crate::network::{Normalizer, Shape, Weights};
use crate::ppo::LearnerState;
use crate::train::Progress;

/// First bytes; the digit is the format version.
const MAGIC: &[u8; 16] = b"townlet-train-2\n";
/// Most bytes of memory that a state takes for each byte of its file, beyond [`MAX_MEMORY`]. A free slot of a town takes a
/// byte in each column of the file, so this is more than for the other formats.
const MAX_FACTOR: usize = 32;
/// As [`MAX_FACTOR`].
const MAX_MEMORY: usize = 16 * 1024 * 1024;
/// Bytes of the SHA-256.
const CHECK: usize = 32;

/// The first fields of a training state, which can be read without the rest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct TrainingHeader {
    /// Id of the policy beside it.
    pub(super) policy: String,
    /// The run whose log it continues.
    pub(super) run: String,
    /// Updates done.
    pub(super) updates: u64,
}

impl TrainingHeader {
    /// Bytes of a file that contain its header: names are short.
    pub(super) const BYTES: u64 = 4_096;

    /// Reads the header from the first bytes of a file; `None` when it is no training state of this version. Damage further
    /// on is only found by [`TrainingState::decode`].
    pub(super) fn decode(start: &[u8]) -> Option<Self> {
        let (_, content) = start.strip_prefix(MAGIC.as_slice())?.split_at_checked(CHECK)?;
        Some(postcard::take_from_bytes(content).ok()?.0)
    }
}

/// A training between two updates. Its first fields are those of `TrainingHeader`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainingState {
    /// Id of the policy beside it.
    pub policy: String,
    /// The run whose log it continues.
    pub run: String,
    updates: u64,
    /// The sources of its towns.
    pub sources: Sources,
    /// Progress and the state of every town.
    pub progress: Progress,
    learner: LearnerArrays,
    scale: (f64, Vec<f64>, Vec<f64>),
}

/// A learner's tensors in the order of its network.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct LearnerArrays {
    weights: Vec<Vec<f32>>,
    first_moments: Vec<Vec<f32>>,
    second_moments: Vec<Vec<f32>>,
    steps: u64,
    updates: u64,
}

impl TrainingState {
    /// Assembles the parts of a training.
    pub fn new(
        (policy, run): (String, String),
        sources: Sources,
        progress: Progress,
        learner: &LearnerState,
        normalizer: &Normalizer,
    ) -> Self {
        let values = |weights: &Weights| weights.tensors.iter().map(|tensor| tensor.values.clone()).collect();
        let numbers = LearnerArrays {
            weights: values(&learner.weights),
            first_moments: values(&learner.first_moments),
            second_moments: values(&learner.second_moments),
            steps: learner.steps,
            updates: learner.updates,
        };
        let (count, mean, squares) = normalizer.state();
        let scale = (count, mean.to_vec(), squares.to_vec());
        Self { policy, run, updates: progress.updates, sources, progress, learner: numbers, scale }
    }

    /// The learner's state, for a network of this shape.
    ///
    /// # Errors
    /// A mismatch of the network.
    pub fn learner(&self, shape: &Shape) -> Result<LearnerState, CheckpointError> {
        let weights = |values: &[Vec<f32>]| {
            let mut weights = Weights::zeros(shape);
            let fits = weights.tensors.len() == values.len();
            for (tensor, values) in weights.tensors.iter_mut().zip(values) {
                tensor.values.clone_from(values);
            }
            let error = |error| CheckpointError::Weights { id: self.policy.clone(), error };
            if !fits {
                return Err(self.unreadable("its network has other layers"));
            }
            weights.check(shape).map_err(error)?;
            Ok(weights)
        };
        Ok(LearnerState {
            weights: weights(&self.learner.weights)?,
            first_moments: weights(&self.learner.first_moments)?,
            second_moments: weights(&self.learner.second_moments)?,
            steps: self.learner.steps,
            updates: self.learner.updates,
        })
    }

    /// The observation normalizer, not frozen.
    ///
    /// # Errors
    /// Another observation layout.
    pub fn normalizer(&self, width: usize) -> Result<Normalizer, CheckpointError> {
        let (count, mean, squares) = &self.scale;
        if mean.len() != width || squares.len() != width {
            return Err(self.unreadable("its observations have another layout"));
        }
        Ok(Normalizer::restore(*count, mean.clone(), squares.clone()))
    }

    fn unreadable(&self, why: &str) -> CheckpointError {
        CheckpointError::unreadable(&self.policy, why)
    }

    /// Magic bytes, SHA-256 of the content, and the content.
    pub fn encode(&self) -> Vec<u8> {
        let content = postcard::to_stdvec(self).expect("plain values");
        [MAGIC.as_slice(), &Sha256::digest(&content), &content].concat()
    }

    /// Reads and validates the bytes of a training state.
    ///
    /// # Errors
    /// The first problem found.
    pub fn decode(id: &str, bytes: &[u8]) -> Result<Self, CheckpointError> {
        let Some(rest) = bytes.strip_prefix(MAGIC.as_slice()) else {
            return Err(CheckpointError::unreadable(id, "it is not a training state of this version"));
        };
        let Some((check, content)) = rest.split_at_checked(CHECK) else {
            let wanted = MAGIC.len() + CHECK;
            return Err(CheckpointError::Truncated { id: id.into(), found: bytes.len(), wanted });
        };
        if Sha256::digest(content).as_slice() != check {
            return Err(CheckpointError::unreadable(id, "the training state beside it was altered or truncated"));
        }
        let mut input = postcard::Deserializer::from_bytes(content);
        let saved: Self = townlet_bounded::deserialize(&mut input, content.len() * MAX_FACTOR + MAX_MEMORY)
            .map_err(|error| CheckpointError::unreadable(id, error.to_string()))?;
        if saved.policy != id {
            return Err(CheckpointError::unreadable(id, format!("it belongs to `{}`", saved.policy)));
        }
        Ok(saved)
    }
}
