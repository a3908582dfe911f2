//! Telemetry of the training beside a town, and of the promotion of its candidate.
//!
//! Parts of the snapshot, with the rules of `telemetry`: everything has a default, figures that are not there are `None`.
//! Rules: "Training log", "Stability, promotion, rollback".

#![allow(missing_docs, reason = "the names are the documentation; units stand where a name does not say them")]

use serde::{Deserialize, Serialize};

use super::diff::with_diff;
use super::field_change::Rows;

with_diff! {
    /// The training beside the town.
    #[serde(default)]
    pub struct Learning {
        /// `off`, `training`, `paused`, `finished`, `diverged`, `failed`; empty from a shard without training.
        pub state: String,
        /// Name of its rows and checkpoints; empty when there is none.
        pub run: String,
        /// The cause in words, such as which disk failed; often empty.
        pub detail: String,
        /// Length of the schedule, in resident-ticks.
        pub total_steps: u64,
        /// The newest checkpoint.
        pub checkpoint: Option<String>,
        /// Oldest first, bounded: when it is full, every second row is dropped and fewer are added from then on. The newest
        /// update is always included.
        pub history: Vec<LearningRow> => Rows<LearningRow>,
        /// Evaluations of the policy in training on held-out towns, oldest first, bounded as `history` is.
        pub evaluations: Vec<HeldOutEvaluation> => Rows<HeldOutEvaluation>,
        /// Resident-ticks after which the next evaluation is due.
        pub next_evaluation_steps: Option<u64>,
        /// The towns that it is trained on, in words.
        pub trained_range: Option<String>,
    }

    /// What changed about the training beside the town.
    pub struct LearningDiff;
}

/// One update, with the names of `logs/training/<run>.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// An evaluation of the policy in training on towns that it is not trained on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct HeldOutEvaluation {
    pub update: u64,
    /// Resident-ticks learned from.
    pub steps: u64,
    pub towns: u64,
    /// Days per town.
    pub days: u64,
    /// Mean town score.
    pub score: Option<f64>,
    pub starvation: SafetyRate,
    pub involuntary_exits: SafetyRate,
    pub charter_met: bool,
    /// Whether it was the best of the training so far.
    pub best: bool,
}

/// Events per 1,000 resident-days with the bounds of their confidence interval.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct SafetyRate {
    pub events: u64,
    pub rate: f64,
    pub low: f64,
    pub high: f64,
}

with_diff! {
    /// The state of the promotion of a policy.
    #[serde(default)]
    pub struct Promotion {
        /// `idle`, `evaluating`, `eligible`, `promoting`, `canary`, `stable`, `rolled_back`, `held`.
        pub state: String,
        /// In words: the next step, or why promotions are on hold.
        pub detail: String,
        /// The policy being evaluated, if any.
        pub candidate: Option<String>,
        /// Why the town lies outside the range of towns that the candidate was trained on.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub outside_range: Option<String>,
        /// The policy that drives the town.
        pub release: String,
        /// The previous release, which a rollback restores.
        pub previous: Option<String>,
        /// Consecutive green windows of the candidate or the canary.
        pub green: u64,
        /// Consecutive green windows required.
        pub required: u64,
        /// `off`, `critical`, `any`.
        pub auto_rollback: String,
        /// Unmet conditions for the promotion of the candidate, a sentence each.
        pub blockers: Vec<String>,
        /// The paired evaluation against the release, once it has begun.
        pub evidence: Option<Evidence>,
        /// Newest last, bounded.
        pub history: Vec<PromotionStep> => Rows<PromotionStep>,
    }

    /// What changed about the promotion of a policy.
    pub struct PromotionDiff;
}

/// The paired comparison of a candidate with the release: town scores of runs with equal seeds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Evidence {
    pub candidate: String,
    pub release: String,
    /// The verdict on the scores: `running`, `better`, `not_better`.
    pub verdict: String,
    /// Pairs that the verdict on the scores rests on.
    pub pairs: u64,
    pub max_pairs: u64,
    /// Mean difference of the town scores, candidate minus release.
    pub difference: Option<f64>,
    /// Bounds of its confidence interval, valid at any time during the evaluation.
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub first_seed: u64,
    /// The safety gate: one row per kind of harm. Empty from a shard without it.
    pub safety: Vec<SafetyCheck>,
}

impl Evidence {
    /// Whether the candidate scores higher and passes every row of the safety gate.
    pub fn is_sufficient(&self) -> bool {
        self.verdict == "better" && !self.safety.is_empty() && self.safety.iter().all(SafetyCheck::has_passed)
    }

    /// The reasons why the candidate is refused, a clause each.
    pub fn refusals(&self) -> Vec<String> {
        let score = (self.verdict == "not_better")
            .then(|| format!("it is not better than the release over {}", townlet_text::count(self.pairs, "pair")));
        let unsafe_rows = self.safety.iter().filter(|row| matches!(row.verdict.as_str(), "failed" | "undecided"));
        score.into_iter().chain(unsafe_rows.map(|row| format!("{}: {}", row.title, row.in_words()))).collect()
    }
}

/// Whether a candidate causes one kind of harm in more towns than the release: towns with equal seeds, compared in pairs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct SafetyCheck {
    /// `starvation_events`, `involuntary_exits`.
    pub name: String,
    pub title: String,
    /// `running`, `passed`, `failed` (the candidate is worse), `undecided` (neither could be shown).
    pub verdict: String,
    pub pairs: u64,
    pub max_pairs: u64,
    /// Further pairs without a difference after which the candidate passes; 0 once there is a verdict.
    pub pairs_needed: u64,
    /// Share of pairs by which the candidate may not be worse.
    pub margin: f64,
    /// Pairs with more events under the candidate.
    pub worse: u64,
    /// Pairs with fewer events under the candidate.
    pub better: u64,
    pub candidate: HarmRate,
    pub release: HarmRate,
}

/// How often a kind of harm happened under one policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct HarmRate {
    pub events: u64,
    /// Towns with at least one event.
    pub towns: u64,
    pub resident_days: f64,
    pub per_1000_resident_days: Option<f64>,
    /// Exact 95 % interval of the rate.
    pub low: Option<f64>,
    pub high: Option<f64>,
}

impl SafetyCheck {
    pub fn has_passed(&self) -> bool {
        self.verdict == "passed"
    }

    /// The verdict as a clause.
    pub fn in_words(&self) -> String {
        let noun = |count: u64| if count == 1 { "pair" } else { "pairs" };
        let (pairs, needed) = (self.pairs, self.pairs_needed);
        match self.verdict.as_str() {
            "passed" => format!("passed after {pairs} {}", noun(pairs)),
            "failed" => {
                format!("failed, worse in {} and better in {} of {pairs} {}", self.worse, self.better, noun(pairs))
            }
            "undecided" => format!("not shown to be safe in {pairs} {}", noun(pairs)),
            _ => format!("needs {needed} more {}", noun(needed)),
        }
    }
}

impl HarmRate {
    /// `2 in 1 town, 0.05 [0.01, 0.18]`: events, towns, and the rate per 1,000 resident-days with its interval.
    pub fn in_words(&self) -> String {
        let towns = if self.towns == 1 { "town" } else { "towns" };
        let rate = match (self.per_1000_resident_days, self.low, self.high) {
            (Some(rate), Some(low), Some(high)) => format!(", {rate:.2} [{low:.2}, {high:.2}]"),
            _ => String::new(),
        };
        format!("{} in {} {towns}{rate}", self.events, self.towns)
    }
}

/// One change of the promotion's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct PromotionStep {
    /// From 1, over all runs of the shard in its home.
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
