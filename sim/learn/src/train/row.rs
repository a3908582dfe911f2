//! What is logged after every update: the one struct that files, screens and curves read.
//!
//! Names are CleanRL's where it has one. Knows nothing of who reads it. Rule: "Training log".

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use townlet_town::Rules;
use townlet_town::kpi::KPIS;

use crate::evaluate::meets;

/// One update, as a line of `logs/training/<run>.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Updates done, this one included.
    pub update: u64,
    /// Ticks of residents' envs learned from since the training began.
    pub steps: u64,
    /// Of how many the schedule is made.
    pub total_steps: u64,
    /// Seconds of work since the training began, those before a resumption included.
    pub seconds: f64,
    /// Resident-ticks a second in this update, collecting and learning together.
    pub steps_per_second: f64,
    /// Share of the time that went into collecting, in [0, 1].
    pub rollout_share: f64,
    /// Decisions learned from.
    pub decisions: u64,
    /// Episodes that ended.
    pub episodes: u64,
    /// Share of these that ended by an exit; the others came to the horizon.
    pub terminated: Option<f64>,
    /// Mean undiscounted return of the latest hundred ended episodes.
    pub episodic_return: Option<f64>,
    /// Mean length of the same, in days.
    pub episode_days: Option<f64>,
    /// Their return for each day of their envs: what can be compared whatever their length.
    pub return_per_day: Option<f64>,
    /// Mean town score of the latest days lived through by the replicas.
    pub town_score: Option<f64>,
    /// Clipped surrogate.
    pub policy_loss: f64,
    /// Before its weight.
    pub value_loss: f64,
    /// In nats, over what was allowed.
    pub entropy: f64,
    /// How far the policy moved from the one that collected.
    pub approx_kl: f64,
    /// Share of decisions whose ratio was outside the clip.
    pub clip_frac: f64,
    /// How much of the returns' variance the values explained; `None` when returns did not vary.
    pub explained_variance: Option<f64>,
    /// Length of the gradient before it was cut.
    pub grad_norm: f64,
    /// Step size used.
    pub learning_rate: f64,
    /// Passes over the batch that were begun.
    pub epochs: u32,
    /// Decisions learned from in a second of the update alone, each as often as it was used.
    pub samples_per_second: f64,
    /// Share of decisions that the mask forbade: 0.
    pub invalid_rate: f64,
    /// KPIs of the latest towns that came to their horizon.
    pub kpis: Vec<KpiMean>,
    /// Whether every charter KPI is where it should be, on enough of these towns.
    pub charter_met: bool,
}

/// A KPI over several towns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KpiMean {
    /// As in the table of KPIs.
    pub name: String,
    /// Mean over the towns that had enough data; `None` when none had.
    pub value: Option<f64>,
    /// Whether it is where it should be; `None` without a value.
    pub met: Option<bool>,
    /// Whether it is of the charter.
    pub charter: bool,
}

/// Each KPI over towns, in the order of the table; `towns` hold one value each.
pub(super) fn kpi_means(rules: &Rules, towns: &VecDeque<Vec<Option<f64>>>) -> Vec<KpiMean> {
    let mean = |kpi: usize| mean(towns.iter().filter_map(|town| town.get(kpi).copied().flatten()));
    let row = |kpi: usize| {
        let row = &KPIS[kpi];
        let value = mean(kpi);
        let met = value.map(|value| meets((row.target)(&rules.config), value));
        KpiMean { name: row.name.into(), value, met, charter: row.charter }
    };
    (0..KPIS.len()).map(row).collect()
}

/// `None` of nothing.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}
