//! Checkpoints: a policy as one file that other programs can read, named by what is in it.
//!
//! Owns the bytes: safetensors with the weights, the scale of observations and, as JSON under the one metadata key
//! `townlet`, what the policy is made for and where it comes from. The name is the beginning of the file's SHA-256, so a
//! changed byte is another checkpoint. What a training goes on from stands in `saved`. Rule: "Checkpoints".

mod error;
mod registry;
mod training_state;

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use townlet_town::Rules;
use townlet_town::hash::hex;
use townlet_town::observations::layout;
use townlet_town::options::OPTIONS;

pub use error::CheckpointError;
pub use registry::Registry;
pub use training_state::Saved;

use crate::network::{Column, Forward, Normalizer, Shape, Weights};
use crate::train::KpiMean;

/// What the metadata's JSON says first.
pub const FORMAT: &str = "townlet-policy-1";
/// The one key of the file's metadata: several would stand in no fixed order.
const KEY: &str = "townlet";

/// What a policy is made for and where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// `townlet-policy-1`.
    pub format: String,
    /// Configuration it was trained for.
    pub config_id: String,
    /// Observation variant: `full`, `hybrid` or `compact`.
    pub observations: String,
    /// Hash of that layout.
    pub layout_hash: String,
    /// Options in the order of its logits.
    pub options: Vec<String>,
    /// Units of the hidden layers.
    pub hidden: [usize; 2],
    /// Resident-ticks it has learned from.
    pub steps: u64,
    /// Updates it has been through.
    pub updates: u64,
    /// Seed of its training.
    pub seed: u64,
    /// Hash of the texts it was trained with: configuration, plan, affordances, perturbations.
    pub training_hash: String,
    /// Whether it began by imitating the scripted policy.
    pub warm_start: bool,
    /// The checkpoint before it in its training; `None` for the first.
    pub parent: Option<String>,
    /// Mean town score of the latest days in training.
    pub town_score: Option<f64>,
    /// KPIs of the latest towns in training.
    pub kpis: Vec<KpiMean>,
}

impl Meta {
    /// What is known of a policy from the rules it is trained with.
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
            training_hash: training_hash(rules),
            warm_start: false,
            parent: None,
            town_score: None,
            kpis: Vec::new(),
        }
    }
}

/// 32 hex digits over all that a training's towns are made from.
pub fn training_hash(rules: &Rules) -> String {
    rules.texts_digest.clone()
}

/// A policy: what it is, its weights, and how it sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// 16 hex digits over its bytes.
    pub id: String,
    /// What it is made for and where it comes from.
    pub meta: Meta,
    /// The network.
    pub weights: Weights,
    /// The scale of observations, frozen.
    pub normalizer: Normalizer,
}

impl Checkpoint {
    /// The bytes of a policy, and their name.
    pub fn encode(meta: &Meta, weights: &Weights, normalizer: &Normalizer) -> (String, Vec<u8>) {
        let scale = normalizer.columns();
        let columns: Vec<&Column> = weights.columns.iter().chain(&scale).collect();
        let bytes: Vec<Vec<u8>> = columns.iter().map(|column| little_endian(&column.values)).collect();
        let views = columns.iter().zip(&bytes).map(|(column, bytes)| {
            let view = TensorView::new(Dtype::F32, column.shape.clone(), bytes);
            (column.name.clone(), view.expect("a column fills its shape"))
        });
        let about = serde_json::to_string(meta).expect("plain values");
        let metadata = Some(HashMap::from([(KEY.to_owned(), about)]));
        let bytes = safetensors::serialize(views, &metadata).expect("plain values");
        (name(&bytes), bytes)
    }

    /// Reads what was written; everything is checked.
    ///
    /// # Errors
    /// The fault by its name.
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
        let tensors = SafeTensors::deserialize(bytes).map_err(unreadable)?;
        let (scale, weights): (Vec<Column>, Vec<Column>) =
            columns(id, &tensors)?.into_iter().partition(|column| column.name.starts_with("obs."));
        let width = weights.iter().find(|column| column.name == "fc1.weight").and_then(|it| it.shape.get(1)).copied();
        let shape = Shape { observation: width.unwrap_or_default(), hidden: meta.hidden, options: meta.options.len() };
        if shape.options > Shape::MOST_OPTIONS {
            return Err(CheckpointError::unreadable(id, format!("it has {} options", shape.options)));
        }
        let in_words = |error| CheckpointError::Weights { id: id.into(), error };
        let weights = Weights::read(&shape, weights).map_err(in_words)?;
        let normalizer = Normalizer::read(shape.observation, &scale).map_err(in_words)?;
        Ok(Self { id: id.into(), meta, weights, normalizer })
    }

    /// Reads bytes that come with no name, such as those inside the program: their name is what they make.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn embedded(bytes: &[u8]) -> Result<Self, CheckpointError> {
        Self::decode(&name(bytes), bytes)
    }

    /// Whether this policy can drive a town with these rules.
    ///
    /// # Errors
    /// What does not fit: `config_id`, the layout of observations, the options.
    pub fn fits(&self, rules: &Rules) -> Result<(), CheckpointError> {
        let layout = layout(rules.config.features.systems.observations);
        let options: Vec<&str> = OPTIONS.iter().map(|row| row.1).collect();
        let width = self.shape().observation.to_string();
        let rows = [
            ("config_id", &self.meta.config_id, rules.config.config_id.clone()),
            ("the observations", &self.meta.observations, layout.name.to_owned()),
            ("the observation layout", &self.meta.layout_hash, layout.hash.clone()),
            ("the options", &self.meta.options.join(" "), options.join(" ")),
            ("observations as wide as", &width, layout.width.to_string()),
        ];
        for (what, found, wanted) in rows {
            if *found != wanted {
                return Err(CheckpointError::Mismatch { id: self.id.clone(), what, found: found.clone(), wanted });
            }
        }
        Ok(())
    }

    /// The sizes of its network.
    pub fn shape(&self) -> Shape {
        let observation = self.normalizer.width();
        Shape { observation, hidden: self.meta.hidden, options: self.meta.options.len() }
    }

    /// Its network, ready to run.
    pub fn forward(&self) -> Forward {
        Forward::new(self.shape(), &self.weights)
    }
}

/// That the file ends where its header says.
fn whole(id: &str, bytes: &[u8]) -> Result<(), CheckpointError> {
    let truncated = |wanted| CheckpointError::Truncated { id: id.into(), found: bytes.len(), wanted };
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return Err(truncated(8)) };
    let header = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let header_end = header.saturating_add(8);
    let Some(header) = rest.get(..header) else { return Err(truncated(header_end)) };
    // A header that cannot be read is the next check's business.
    let Ok(serde_json::Value::Object(entries)) = serde_json::from_slice(header) else { return Ok(()) };
    let end = |entry: &serde_json::Value| entry["data_offsets"][1].as_u64().unwrap_or_default();
    let data = usize::try_from(entries.values().map(end).max().unwrap_or_default()).unwrap_or(usize::MAX);
    let wanted = header_end.saturating_add(data);
    if bytes.len() < wanted { Err(truncated(wanted)) } else { Ok(()) }
}

fn columns(id: &str, tensors: &SafeTensors<'_>) -> Result<Vec<Column>, CheckpointError> {
    let column = |(name, view): (String, TensorView<'_>)| {
        if view.dtype() != Dtype::F32 {
            return Err(CheckpointError::unreadable(id, format!("`{name}` is not of 32-bit floats")));
        }
        let (values, _) = view.data().as_chunks::<4>();
        let values = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
        Ok(Column { name, shape: view.shape().to_vec(), values })
    };
    tensors.tensors().into_iter().map(column).collect()
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The name that bytes have: the first 16 hex digits of their SHA-256.
fn name(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..8])
}
