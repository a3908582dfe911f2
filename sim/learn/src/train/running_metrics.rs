//! Running means for the training log, over the latest episodes, days and towns. Rule: "Training log".

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use townlet_town::Rules;
use townlet_town::kpi::KPIS;

use super::row::{Row, charter_met, kpi_means, mean};
use crate::rollout::RolloutStats;
use crate::rollout::decision_buffer::Episode;

/// Episodes in the mean return.
const EPISODES: usize = 100;
/// Days in the mean score.
const DAYS: usize = 128;
/// Towns in the mean KPIs.
const TOWNS: usize = 32;
/// Fewer towns than this give no charter verdict.
const MIN_TOWNS: usize = 16;

/// The latest episodes, days and towns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct RunningMetrics {
    episodes: VecDeque<Episode>,
    scores: VecDeque<f64>,
    towns: VecDeque<Vec<Option<f64>>>,
}

impl RunningMetrics {
    /// Adds what was counted since the last update.
    pub(super) fn push(&mut self, rollout_stats: RolloutStats) {
        let score = KPIS.iter().position(|row| row.name == "town_score");
        let scores = rollout_stats.days.iter().filter_map(|day| score.and_then(|score| day[score]));
        push_bounded(&mut self.scores, DAYS, scores);
        push_bounded(&mut self.episodes, EPISODES, rollout_stats.episodes.into_iter());
        push_bounded(&mut self.towns, TOWNS, rollout_stats.horizons.into_iter());
    }

    /// Writes the means into a row.
    pub(super) fn fill(&self, rules: &Rules, row: &mut Row) {
        let day = rules.day_length() as f64;
        let episodes = || self.episodes.iter();
        let days = mean(episodes().map(|episode| episode.ticks as f64 / day));
        row.episodic_return = mean(episodes().map(|episode| episode.total));
        row.episode_days = days;
        row.return_per_day = row.episodic_return.zip(days).map(|(total, days)| total / days.max(1.0 / day));
        row.terminated = mean(episodes().map(|episode| f64::from(u8::from(episode.terminated))));
        row.town_score = mean(self.scores.iter().copied());
        row.kpis = kpi_means(rules, &self.towns);
        row.charter_met = self.towns.len() >= MIN_TOWNS && charter_met(&row.kpis);
    }
}

fn push_bounded<T>(kept: &mut VecDeque<T>, most: usize, new: impl Iterator<Item = T>) {
    kept.extend(new);
    let over = kept.len().saturating_sub(most);
    kept.drain(..over);
}
