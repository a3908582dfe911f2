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
const MAGIC: &[u8; 16] = b"townlet-train-3\n";
/// Most bytes of memory that a state and one of its towns take beyond four thirds of the size of the file. A list that grows
/// takes half as much again for a moment, which makes twice the size of the file and 60 MiB.
const MAX_MEMORY: usize = 40 * 1024 * 1024;
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
    /// Bytes of memory that decoding one of its towns may take.
    #[serde(skip, default = "unbounded")]
    env_memory: usize,
}

fn unbounded() -> usize {
    usize::MAX
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
        let updates = progress.updates;
        Self { policy, run, updates, sources, progress, learner: numbers, scale, env_memory: unbounded() }
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

    /// Bytes of memory that decoding one of its towns may take.
    pub(crate) fn env_memory(&self) -> usize {
        self.env_memory
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
        let most = content.len() / 3 * 4 + MAX_MEMORY;
        let mut input = postcard::Deserializer::from_bytes(content);
        let (mut saved, taken) = townlet_bounded::measure::<Self, _>(&mut input, most)
            .map_err(|error| CheckpointError::unreadable(id, error.to_string()))?;
        saved.env_memory = most - taken;
        for env in saved.progress.envs() {
            env.decode(saved.env_memory).map_err(|why| CheckpointError::unreadable(id, why))?;
        }
        if saved.policy != id {
            return Err(CheckpointError::unreadable(id, format!("it belongs to `{}`", saved.policy)));
        }
        Ok(saved)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;
    use std::sync::Arc;

    use townlet_town::ids::Column;
    use townlet_town::{Rules, State};

    use super::super::Registry;
    use super::*;
    use crate::train::{Plan, Trainer};

    /// The id and the file of a training of one town whose state was changed.
    fn changed(change: impl FnOnce(&mut State)) -> (String, Vec<u8>) {
        let settings = [("training.replicas", "1"), ("training.rollout_ticks", "50"), ("training.hidden_units", "4")];
        let rules = Arc::new(Rules::new(Sources::default_town(&settings).unwrap()).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::new(folder.path());
        let plan = Plan { seed: 7, total_steps: 10_000, threads: NonZero::<usize>::MIN };
        let id = Trainer::new(&rules, plan).save(&registry, "run").unwrap();
        let saved = registry.training(&id).unwrap();
        let before = postcard::to_stdvec(&saved.progress.envs()[0]).unwrap();
        let env: Vec<u8> = postcard::from_bytes(&before).unwrap();
        let (mut state, rest) = postcard::take_from_bytes::<State>(&env).unwrap();
        change(&mut state);
        let env = [postcard::to_stdvec(&state).unwrap().as_slice(), rest].concat();
        let after = postcard::to_stdvec(&env).unwrap();
        let bytes = saved.encode();
        let content = &bytes[MAGIC.len() + CHECK..];
        let at = content.windows(before.len()).position(|piece| piece == before).unwrap();
        let content = [&content[..at], &after, &content[at + before.len()..]].concat();
        (id, [MAGIC.as_slice(), &Sha256::digest(&content), &content].concat())
    }

    #[test]
    fn reading_takes_no_more_memory_than_the_size_of_the_file_allows() {
        let (id, bytes) = changed(|_| {});
        assert!(TrainingState::decode(&id, &bytes).is_ok());
        // Each entry takes a few bytes of the file and many of memory.
        let (id, bytes) = changed(|state| state.agents.past = Column::filled(2_000_000, <_>::default()));
        let mut refused = String::new();
        let read = || refused = TrainingState::decode(&id, &bytes).unwrap_err().to_string();
        let found = allocation_counter::measure(read);
        assert!(refused.contains("takes more than"), "{refused}");
        assert!(found.bytes_max <= (2 * bytes.len() + 64 * 1024 * 1024) as u64, "{found:?} for {}", bytes.len());
    }
}
