//! Telemetry of perturbations: active, expected and cooling down, and the events of the perturbation file.
//!
//! Parts of the snapshot, with the rules of `telemetry`. Rule: "Perturbations".

#![allow(missing_docs, reason = "the names are the documentation; units stand where a name does not say them")]

use serde::{Deserialize, Serialize};

/// A perturbation that is active, expected today or cooling down.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Perturbation {
    pub kind: String,
    pub name: String,
    /// `active`, `pending`, `cooldown`.
    pub state: String,
    pub started_tick: u64,
    /// `None` if it lasts until an operator ends it.
    pub ends_tick: Option<u64>,
    pub detail: String,
}

/// The events of the perturbation file, and whether they start automatically.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct PerturbationEvents {
    pub by_themselves: bool,
    /// In the order of the perturbation file.
    pub events: Vec<PerturbationEvent>,
}

/// One event of the perturbation file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct PerturbationEvent {
    pub name: String,
    /// `blackout`, `outage`, `price_spike`, `arranged_meet`.
    pub kind: String,
    /// Its effect in words.
    pub detail: String,
    /// Chance of starting on a given day, in [0, 1].
    pub chance: f64,
    /// Shortest and longest duration, in ticks. The longest of a meeting includes the longest walk to its place.
    pub least_ticks: u64,
    pub most_ticks: u64,
}
