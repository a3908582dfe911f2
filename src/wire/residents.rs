//! Telemetry of a resident as the inspector shows one, with the rules of `telemetry`.

#![allow(missing_docs, reason = "the names are the documentation; units stand where a name does not say them")]

use serde::{Deserialize, Serialize};

/// A named level with the level below which it is critical.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Need {
    pub name: String,
    pub value: f64,
    pub critical: f64,
}

/// A resident as the inspector shows one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Agent {
    pub id: String,
    pub name: String,
    pub x: u64,
    pub y: u64,
    /// Name of the current place, such as `cafe`.
    pub place: String,
    /// Name of the home.
    pub home: String,
    pub arrived_tick: u64,
    pub needs: Vec<Need>,
    /// The chosen option: `eat`, `work`, …
    pub option: String,
    pub option_since: u64,
    /// In words: `waiting for shower_1, 2nd in line`.
    pub activity: String,
    /// The object of the current activity.
    pub target: Option<String>,
    pub mask: Vec<MaskBit>,
    pub top_options: Vec<TopOption>,
    /// The policy's value estimate; `None` when it has none.
    pub value: Option<f64>,
    /// Driven by an operator instead of the policy.
    pub possessed: bool,
    pub shift: Option<Shift>,
    /// Groceries carried.
    pub groceries: u64,
    pub rent_owed_days: u64,
    /// Fixed at arrival.
    pub personality: Vec<Trait>,
    /// The resident's share of the town score since the day began, or since it arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
}

impl Agent {
    /// The row of a list: without what only an inspector shows, which is most of its length.
    #[must_use]
    pub fn without_details(&self) -> Self {
        Self {
            id: self.id.clone(),
            name: self.name.clone(),
            place: self.place.clone(),
            home: self.home.clone(),
            needs: self.needs.clone(),
            option: self.option.clone(),
            activity: self.activity.clone(),
            target: self.target.clone(),
            top_options: self.top_options.clone(),
            shift: self.shift.clone(),
            mask: Vec::new(),
            personality: Vec::new(),
            objective: None,
            ..*self
        }
    }
}

/// A resident's share of the town score since the day began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Objective {
    /// The sum of the terms that are part of the score.
    pub total: f64,
    pub terms: Vec<ObjectiveTerm>,
}

/// One term of a resident's objective, in points of the score.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ObjectiveTerm {
    /// `needs`, `attendance`, `wages`, `trust`, `starvation`, `exit`, `low_needs`.
    pub name: String,
    pub value: f64,
    /// At most 0: the difference from the best that was possible so far; `None` for terms without a best.
    pub lost: Option<f64>,
    /// Whether the term is part of the score. Low needs are not.
    pub scored: bool,
}

/// A personality trait, in [-1, 1].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Trait {
    /// `extroversion`, `forgiveness`, `ambition`.
    pub name: String,
    pub value: f64,
}

/// Whether an option may be chosen now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct MaskBit {
    pub option: String,
    pub allowed: bool,
    /// Why not, in words; empty when allowed.
    pub reason: String,
}

/// An option with its probability under the policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct TopOption {
    pub option: String,
    pub probability: f64,
}

/// A resident's shift of the day, in ticks of the day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Shift {
    pub start: u64,
    pub end: u64,
    pub arrived: Option<u64>,
    pub worked: u64,
    /// Outcomes of past shifts, oldest first: `on_time`, `late`, `absent`.
    pub history: Vec<String>,
}
