//! Checkpoints: a policy as a safetensors file, named by its content.
//!
//! The file holds the weights, the observation normalizer and, as JSON under the metadata key `townlet`, what the policy was
//! trained for. Its id is the start of its SHA-256. A training's own state is in `training_state`. Rule: "Checkpoints".

mod error;
mod registry;
mod trained_range;
mod training_state;

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use townlet_town::Rules;
use townlet_town::hash::hex;
use townlet_town::observations::{Layout, VARIANTS, layout};
use townlet_town::options::OPTIONS;

pub use error::CheckpointError;
pub use registry::Registry;
pub use trained_range::{RangeCheck, TrainedRange};
pub use training_state::TrainingState;

use crate::network::{Forward, NamedTensor, Normalizer, Shape, Weights};
use crate::train::{Evaluation, KpiMean};

/// The format in the metadata.
pub const FORMAT: &str = "townlet-policy-1";
/// Most bytes of the header, which is JSON and takes many times its length when it is read.
const MAX_HEADER: usize = 1024 * 1024;
/// The only metadata key, because safetensors does not order several.
const KEY: &str = "townlet";

/// What a policy was trained for, and its origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// `townlet-policy-1`.
    pub format: String,
    /// Configuration it was trained with.
    pub config_id: String,
    /// Observation variant: `full`, `hybrid` or `compact`.
    pub observations: String,
    /// Hash of that observation layout.
    pub layout_hash: String,
    /// Options in the order of the logits.
    pub options: Vec<String>,
    /// Units of the hidden layers.
    pub hidden: [usize; 2],
    /// Resident-ticks learned from.
    pub steps: u64,
    /// Updates done.
    pub updates: u64,
    /// Seed of its training.
    pub seed: u64,
    /// Hash of the sources of its training: configuration, plan, affordances, perturbations.
    pub training_hash: String,
    /// The towns of its training; `None` for policies older than this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub towns: Option<TrainedRange>,
    /// Whether its training began by imitating another policy.
    pub warm_start: bool,
    /// The policy that it imitated: `scripted` or the id of a checkpoint; `None` for policies older than this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imitated: Option<String>,
    /// The checkpoint from whose weights its training started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_from: Option<String>,
    /// The previous checkpoint of its training; for the first, the one that the training started from.
    pub parent: Option<String>,
    /// Mean town score of the latest days in training.
    pub town_score: Option<f64>,
    /// KPIs of the latest towns in training.
    pub kpis: Vec<KpiMean>,
    /// Its evaluation on held-out towns; `None` when the training did not evaluate it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Evaluation>,
    /// The checkpoint of its training with the best evaluation before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_before: Option<String>,
}

impl Meta {
    /// The metadata of a policy that is trained with these rules, before its first step.
    pub fn of(rules: &Rules, shape: &Shape) -> Self {
        let layout = layout(rules.config.features.systems.observations);
        Self {
            format: FORMAT.into(),
            config_id: rules.config.config_id.clone(),
            observations: layout.name.into(),
            layout_hash: layout.hash.clone(),
            options: OPTIONS.iter().map(|row| row.1.to_owned()).collect(),
            hidden: shape.hidden,
            steps: 0,
            updates: 0,
            seed: 0,
            training_hash: rules.texts_digest.clone(),
            towns: Some(TrainedRange::of(rules)),
            warm_start: false,
            imitated: None,
            started_from: None,
            parent: None,
            town_score: None,
            kpis: Vec::new(),
            evaluation: None,
            best_before: None,
        }
    }
}

/// A policy with its metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The first 16 hex digits of the file's SHA-256.
    pub id: String,
    /// The metadata.
    pub meta: Meta,
    /// The network.
    pub weights: Weights,
    /// The observation normalizer, frozen.
    pub normalizer: Normalizer,
}

impl Checkpoint {
    /// The id and the bytes of a policy.
    pub fn encode(meta: &Meta, weights: &Weights, normalizer: &Normalizer) -> (String, Vec<u8>) {
        let scale = normalizer.tensors();
        let tensors: Vec<&NamedTensor> = weights.tensors.iter().chain(&scale).collect();
        let bytes: Vec<Vec<u8>> = tensors.iter().map(|tensor| little_endian(&tensor.values)).collect();
        let views = tensors.iter().zip(&bytes).map(|(tensor, bytes)| {
            let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes);
            (tensor.name.clone(), view.expect("a tensor fills its shape"))
        });
        let about = serde_json::to_string(meta).expect("plain values");
        let metadata = Some(HashMap::from([(KEY.to_owned(), about)]));
        let bytes = safetensors::serialize(views, &metadata).expect("plain values");
        (name(&bytes), bytes)
    }

    /// Reads and validates the bytes of a policy.
    ///
    /// # Errors
    /// The first problem found.
    pub fn decode(id: &str, bytes: &[u8]) -> Result<Self, CheckpointError> {
        whole(id, bytes)?;
        let found = name(bytes);
        if found != id {
            return Err(CheckpointError::Altered { id: id.into(), found });
        }
        let unreadable = |error: SafeTensorError| CheckpointError::unreadable(id, format!("{error:?}"));
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(unreadable)?;
        let about = metadata.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
        let about = about.ok_or_else(|| CheckpointError::unreadable(id, "its metadata has no `townlet`"))?;
        let meta: Meta =
            serde_json::from_str(about).map_err(|error| CheckpointError::unreadable(id, error.to_string()))?;
        if meta.format != FORMAT {
            let (found, wanted) = (meta.format, FORMAT.into());
            return Err(CheckpointError::Mismatch { id: id.into(), what: "the format", found, wanted });
        }
        let stored = SafeTensors::deserialize(bytes).map_err(unreadable)?;
        let (scale, weights): (Vec<NamedTensor>, Vec<NamedTensor>) =
            named_tensors(id, &stored)?.into_iter().partition(|tensor| tensor.name.starts_with("obs."));
        let width = weights.iter().find(|tensor| tensor.name == "fc1.weight").and_then(|it| it.shape.get(1)).copied();
        let shape = Shape { observation: width.unwrap_or_default(), hidden: meta.hidden, options: meta.options.len() };
        if shape.options > Shape::MOST_OPTIONS {
            return Err(CheckpointError::unreadable(id, format!("it has {} options", shape.options)));
        }
        let in_words = |error| CheckpointError::Weights { id: id.into(), error };
        let weights = Weights::read(&shape, weights).map_err(in_words)?;
        let normalizer = Normalizer::read(shape.observation, &scale).map_err(in_words)?;
        Ok(Self { id: id.into(), meta, weights, normalizer })
    }

    /// Reads a policy without a known id, such as one embedded in the program.
    ///
    /// # Errors
    /// Like [`Self::decode`].
    pub fn embedded(bytes: &[u8]) -> Result<Self, CheckpointError> {
        Self::decode(&name(bytes), bytes)
    }

    /// Why a town lies outside the range of towns that this policy was trained on; `None` when it lies inside. It can drive
    /// the town all the same if it [`Self::fits`].
    pub fn reason_outside(&self, rules: &Rules) -> Option<String> {
        self.meta.towns.as_ref().map_or_else(|| self.another_config(rules), |range| range.reason_outside(rules))
    }

    /// The same for a town while it runs with these rules.
    pub fn range_check(&self, rules: &Rules) -> RangeCheck {
        let without = || RangeCheck::without_range(self.another_config(rules));
        self.meta.towns.as_ref().map_or_else(without, |range| RangeCheck::of(range, rules))
    }

    fn another_config(&self, rules: &Rules) -> Option<String> {
        let (trained, configured) = (&self.meta.config_id, &rules.config.config_id);
        (trained != configured).then(|| format!("config_id `{configured}`; trained on `{trained}`"))
    }

    /// Checks that this policy can drive a town with these rules, whose residents show the layout of the configuration.
    ///
    /// # Errors
    /// A mismatch of observation layout or options.
    pub fn fits(&self, rules: &Rules) -> Result<(), CheckpointError> {
        let layout = layout(rules.config.features.systems.observations);
        let rows = [
            ("the observations", &self.meta.observations, layout.name),
            ("the observation layout", &self.meta.layout_hash, &layout.hash),
        ];
        for (what, found, wanted) in rows {
            if found != wanted {
                return Err(self.mismatch(what, found, wanted));
            }
        }
        self.layout().map(|_| ())
    }

    /// The observation layout that this policy sees.
    ///
    /// # Errors
    /// A layout, or options, that this build does not have.
    pub fn layout(&self) -> Result<&'static Layout, CheckpointError> {
        let known = VARIANTS.map(|(variant, _)| layout(variant));
        let Some(layout) = known.into_iter().find(|layout| layout.hash == self.meta.layout_hash) else {
            return Err(CheckpointError::UnknownLayout {
                id: self.id.clone(),
                found: format!("{} {}", self.meta.observations, self.meta.layout_hash),
                known: known.map(|layout| format!("{} {}", layout.name, layout.hash)).join(", "),
            });
        };
        let options: Vec<&str> = OPTIONS.iter().map(|row| row.1).collect();
        let (width, options) = (self.shape().observation.to_string(), options.join(" "));
        if self.meta.options.join(" ") != options {
            return Err(self.mismatch("the options", &self.meta.options.join(" "), &options));
        }
        if width != layout.width.to_string() {
            return Err(self.mismatch("observations as wide as", &width, &layout.width.to_string()));
        }
        Ok(layout)
    }

    fn mismatch(&self, what: &'static str, found: &str, wanted: &str) -> CheckpointError {
        CheckpointError::Mismatch { id: self.id.clone(), what, found: found.into(), wanted: wanted.into() }
    }

    /// The sizes of its network.
    pub fn shape(&self) -> Shape {
        let observation = self.normalizer.width();
        Shape { observation, hidden: self.meta.hidden, options: self.meta.options.len() }
    }

    /// Its network, prepared for inference.
    pub fn forward(&self) -> Forward {
        Forward::new(self.shape(), &self.weights)
    }
}

/// Checks that the file is as long as its header says.
fn whole(id: &str, bytes: &[u8]) -> Result<(), CheckpointError> {
    let truncated = |wanted| CheckpointError::Truncated { id: id.into(), found: bytes.len(), wanted };
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return Err(truncated(8)) };
    let header = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let header_end = header.saturating_add(8);
    if header > MAX_HEADER {
        let why = format!("its header states {header} bytes; it has at most {MAX_HEADER}");
        return Err(CheckpointError::unreadable(id, why));
    }
    let Some(header) = rest.get(..header) else { return Err(truncated(header_end)) };
    // An invalid header is reported by safetensors itself.
    let Ok(serde_json::Value::Object(entries)) = serde_json::from_slice(header) else { return Ok(()) };
    let end = |entry: &serde_json::Value| entry["data_offsets"][1].as_u64().unwrap_or_default();
    let data = usize::try_from(entries.values().map(end).max().unwrap_or_default()).unwrap_or(usize::MAX);
    let wanted = header_end.saturating_add(data);
    if bytes.len() < wanted { Err(truncated(wanted)) } else { Ok(()) }
}

fn named_tensors(id: &str, stored: &SafeTensors<'_>) -> Result<Vec<NamedTensor>, CheckpointError> {
    let tensor = |(name, view): (String, TensorView<'_>)| {
        if view.dtype() != Dtype::F32 {
            return Err(CheckpointError::unreadable(id, format!("`{name}` is not of 32-bit floats")));
        }
        let (values, _) = view.data().as_chunks::<4>();
        let values = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
        Ok(NamedTensor { name, shape: view.shape().to_vec(), values })
    };
    stored.tensors().into_iter().map(tensor).collect()
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The id of a file: the first 16 hex digits of its SHA-256.
fn name(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..8])
}
