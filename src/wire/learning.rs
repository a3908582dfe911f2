//! Telemetry of the training beside a town, and of the promotion of its candidate.
//!
//! Parts of the snapshot, with the rules of `telemetry`: everything has a default, figures that are not there are `None`.
//! Rules: "Training log", "Stability, promotion, rollback".

#![allow(missing_docs, reason = "the names are the documentation; units stand where a name does not say them")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The training beside the town.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Learning {
    /// `off`, `training`, `paused`, `finished`, `diverged`, `failed`; empty from a shard that knows no training.
    pub state: String,
    /// Name of its rows and checkpoints; empty when there is none.
    pub run: String,
    /// In words, when the state needs any: what exploded, which disk failed.
    pub detail: String,
    /// Resident-ticks that the schedule is made for.
    pub total_steps: u64,
    /// The newest checkpoint.
    pub checkpoint: Option<String>,
    /// Oldest first, bounded: when it is full, every second one is dropped and fewer are taken from then on. The newest
    /// update is always there.
    pub history: Vec<LearningRow>,
}

/// One update, with the names of `logs/training/<run>.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LearningRow {
    pub update: u64,
    /// Resident-ticks learned from.
    pub steps: u64,
    /// Seconds of work.
    pub seconds: f64,
    pub steps_per_second: f64,
    pub episodic_return: Option<f64>,
    pub return_per_day: Option<f64>,
    pub town_score: Option<f64>,
    pub policy_loss: f64,
    pub value_loss: f64,
    /// In nats.
    pub entropy: f64,
    pub approx_kl: f64,
    pub clip_frac: f64,
    pub explained_variance: Option<f64>,
    pub grad_norm: f64,
    pub learning_rate: f64,
    pub invalid_rate: f64,
    pub charter_met: bool,
}

/// Where the promotion of a policy stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Promotion {
    /// `idle`, `evaluating`, `eligible`, `promoting`, `canary`, `stable`, `rolled_back`, `held`.
    pub state: String,
    /// In words: what it waits for, or why it is held.
    pub detail: String,
    /// The policy that is judged, while one is.
    pub candidate: Option<String>,
    /// The policy that drives the town.
    pub release: String,
    /// The one before it, to which a rollback returns.
    pub previous: Option<String>,
    /// Consecutive green windows that count now: for the candidate, or for the canary.
    pub green: u64,
    /// How many it takes.
    pub required: u64,
    /// `off`, `critical`, `any`.
    pub auto_rollback: String,
    /// What still stands between the candidate and eligibility, a sentence each; empty when nothing does.
    pub blockers: Vec<String>,
    /// The paired evaluation against the release, once it has begun.
    pub evidence: Option<Evidence>,
    /// Newest last, bounded.
    pub history: Vec<PromotionStep>,
}

/// A candidate against the release: same seeds, same luck, town score by town score.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Evidence {
    pub candidate: String,
    pub release: String,
    /// `running`, `better`, `not_better`.
    pub verdict: String,
    pub pairs: u64,
    pub max_pairs: u64,
    /// Mean difference of the town scores, candidate less release.
    pub difference: Option<f64>,
    /// Bounds of its interval, valid whenever one looks.
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub first_seed: u64,
}

/// One change of the promotion's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PromotionStep {
    /// From 1, over the life of the home's release.
    pub number: u64,
    pub tick: u64,
    /// RFC 3339, UTC.
    pub ts: String,
    pub from: String,
    pub to: String,
    /// The issuer; `town` for automatic changes.
    pub issuer: String,
    pub cmd_id: String,
    pub why: String,
}
