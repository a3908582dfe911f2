//! The training log: one row per update, read by files, screens and plots.
//!
//! Names follow CleanRL where it has one. Rule: "Training log".

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use townlet_town::Rules;
use townlet_town::kpi::KPIS;

use super::Evaluation;
use crate::evaluate::{has_enough_towns, meets};

/// One update, as a line of `logs/training/<run>.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Updates done, including this one.
    pub update: u64,
    /// Resident-ticks learned from since the training began.
    pub steps: u64,
    /// Resident-ticks of the schedule.
    pub total_steps: u64,
    /// Seconds spent training, including before a resume.
    pub seconds: f64,
    /// Resident-ticks per second in this update, rollout and learning together.
    pub steps_per_second: f64,
    /// Share of the time spent on the rollout, in [0, 1].
    pub rollout_share: f64,
    /// Decisions learned from.
    pub decisions: u64,
    /// Finished episodes.
    pub episodes: u64,
    /// Share of them that ended by an exit; the others were truncated.
    pub terminated: Option<f64>,
    /// Mean undiscounted return of the latest hundred episodes.
    pub episodic_return: Option<f64>,
    /// Mean length of these episodes, in days.
    pub episode_days: Option<f64>,
    /// Mean return per day of these episodes; comparable whatever their length.
    pub return_per_day: Option<f64>,
    /// Mean town score of the latest days of the replicas.
    pub town_score: Option<f64>,
    /// Clipped surrogate loss.
    pub policy_loss: f64,
    /// Value loss, unweighted.
    pub value_loss: f64,
    /// Entropy over the allowed options, in nats.
    pub entropy: f64,
    /// Approximate KL divergence from the policy that collected.
    pub approx_kl: f64,
    /// Share of decisions whose ratio was clipped.
    pub clip_frac: f64,
    /// Explained variance of the returns; `None` when they did not vary.
    pub explained_variance: Option<f64>,
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Learning rate used.
    pub learning_rate: f64,
    /// Epochs begun.
    pub epochs: u32,
    /// Decisions per second of the update alone, counted once per epoch.
    pub samples_per_second: f64,
    /// Share of decisions that the mask forbade; always 0.
    pub invalid_rate: f64,
    /// KPIs of the latest towns at their horizon.
    pub kpis: Vec<KpiMean>,
    /// Whether every charter KPI meets its target over enough of these towns.
    pub charter_met: bool,
    /// Evaluation on held-out towns after this update, if one was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Evaluation>,
    /// Seconds that the evaluation took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation_seconds: Option<f64>,
}

/// A KPI averaged over several towns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KpiMean {
    /// Name as in the table of KPIs.
    pub name: String,
    /// Mean over the towns with enough data; `None` when these are less than half.
    pub value: Option<f64>,
    /// Whether the mean meets the target; `None` without a value.
    pub met: Option<bool>,
    /// Whether it belongs to the charter.
    pub charter: bool,
}

/// The mean of each KPI over `towns`, in the order of the table. There is none when less than half of them have data.
pub(super) fn kpi_means(rules: &Rules, towns: &VecDeque<Vec<Option<f64>>>) -> Vec<KpiMean> {
    let values = |kpi: usize| towns.iter().filter_map(move |town| town.get(kpi).copied().flatten());
    let mean = |kpi: usize| mean(values(kpi)).filter(|_| has_enough_towns(values(kpi).count(), towns.len()));
    let row = |kpi: usize| {
        let row = &KPIS[kpi];
        let value = mean(kpi);
        let met = value.map(|value| meets((row.target)(&rules.config), value));
        KpiMean { name: row.name.into(), value, met, charter: row.charter }
    };
    (0..KPIS.len()).map(row).collect()
}

/// Whether every charter KPI is met.
pub(super) fn charter_met(kpis: &[KpiMean]) -> bool {
    kpis.iter().filter(|kpi| kpi.charter).all(|kpi| kpi.met == Some(true))
}

/// The mean; `None` without values.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}
