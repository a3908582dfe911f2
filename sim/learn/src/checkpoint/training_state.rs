//! What a training goes on from: the learner's moments, exact running statistics, every town, and what made them.
//!
//! Owns the bytes and their check; for this program alone and bound to its version, unlike the policy beside it. Rule:
//! "Checkpoints".

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use townlet_town::Sources;

use super::CheckpointError;
use crate::network::{Normalizer, Shape, Weights};
use crate::ppo::LearnerState;
use crate::train::Progress;

/// First bytes; the digit changes whenever what follows does.
const MAGIC: &[u8; 16] = b"townlet-train-1\n";
/// Bytes of the check.
const CHECK: usize = 32;

/// A training between two updates.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainingState {
    /// The checkpoint it stands beside.
    pub policy: String,
    /// The run whose log it continues.
    pub run: String,
    /// What its towns are made of.
    pub sources: Sources,
    /// Whether it began by imitating the scripted policy.
    pub warm_start: bool,
    /// How far it has come, and every town.
    pub progress: Progress,
    learner: LearnerArrays,
    scale: (f64, Vec<f64>, Vec<f64>),
}

/// A learner's numbers in the order of its network's columns.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct LearnerArrays {
    weights: Vec<Vec<f32>>,
    first_moments: Vec<Vec<f32>>,
    second_moments: Vec<Vec<f32>>,
    steps: u64,
    updates: u64,
}

impl TrainingState {
    /// Puts a training's parts together.
    pub fn new(
        (policy, run): (String, String),
        (sources, warm_start): (Sources, bool),
        progress: Progress,
        learner: &LearnerState,
        normalizer: &Normalizer,
    ) -> Self {
        let values = |weights: &Weights| weights.columns.iter().map(|column| column.values.clone()).collect();
        let numbers = LearnerArrays {
            weights: values(&learner.weights),
            first_moments: values(&learner.first_moments),
            second_moments: values(&learner.second_moments),
            steps: learner.steps,
            updates: learner.updates,
        };
        let (count, mean, squares) = normalizer.state();
        let scale = (count, mean.to_vec(), squares.to_vec());
        Self { policy, run, sources, warm_start, progress, learner: numbers, scale }
    }

    /// The learner's state, for a network of this shape.
    ///
    /// # Errors
    /// By name, when it is of another network.
    pub fn learner(&self, shape: &Shape) -> Result<LearnerState, CheckpointError> {
        let weights = |values: &[Vec<f32>]| {
            let mut weights = Weights::zeros(shape);
            let fits = weights.columns.len() == values.len();
            for (column, values) in weights.columns.iter_mut().zip(values) {
                column.values.clone_from(values);
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

    /// The scale of observations, going on.
    ///
    /// # Errors
    /// When it is of another layout.
    pub fn normalizer(&self, width: usize) -> Result<Normalizer, CheckpointError> {
        let (count, mean, squares) = &self.scale;
        if mean.len() != width || squares.len() != width {
            return Err(self.unreadable("its observations are of another layout"));
        }
        Ok(Normalizer::restore(*count, mean.clone(), squares.clone()))
    }

    fn unreadable(&self, why: &str) -> CheckpointError {
        CheckpointError::unreadable(&self.policy, why)
    }

    /// As bytes: a mark, a check over the rest, and the rest.
    pub fn encode(&self) -> Vec<u8> {
        let content = postcard::to_stdvec(self).expect("plain values");
        [MAGIC.as_slice(), &Sha256::digest(&content), &content].concat()
    }

    /// Reads what was written.
    ///
    /// # Errors
    /// The fault by its name.
    pub fn decode(id: &str, bytes: &[u8]) -> Result<Self, CheckpointError> {
        let Some(rest) = bytes.strip_prefix(MAGIC.as_slice()) else {
            return Err(CheckpointError::unreadable(id, "it is no training of this version"));
        };
        let Some((check, content)) = rest.split_at_checked(CHECK) else {
            let wanted = MAGIC.len() + CHECK;
            return Err(CheckpointError::Truncated { id: id.into(), found: bytes.len(), wanted });
        };
        if Sha256::digest(content).as_slice() != check {
            return Err(CheckpointError::unreadable(id, "the training beside it was altered or cut off"));
        }
        let saved: Self =
            postcard::from_bytes(content).map_err(|error| CheckpointError::unreadable(id, error.to_string()))?;
        if saved.policy != id {
            return Err(CheckpointError::unreadable(id, format!("it belongs to `{}`", saved.policy)));
        }
        Ok(saved)
    }
}
