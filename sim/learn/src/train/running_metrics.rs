//! The latest of what rarely comes: ended episodes, days, and towns at their horizon.
//!
//! Owns how far back a figure of the log looks. Rule: "Training log".

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use townlet_town::Rules;
use townlet_town::kpi::KPIS;

use super::row::{KpiMean, Row, kpi_means, mean};
use crate::rollout::RolloutStats;
use crate::rollout::decision_buffer::Episode;

/// Episodes a return looks back on.
const EPISODES: usize = 100;
/// Days a score looks back on.
const DAYS: usize = 128;
/// Towns the KPIs look back on.
const TOWNS: usize = 32;
/// Towns without which the charter has no verdict.
const MIN_TOWNS: usize = 16;

/// What the log looks back on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct RunningMetrics {
    episodes: VecDeque<Episode>,
    scores: VecDeque<f64>,
    towns: VecDeque<Vec<Option<f64>>>,
}

impl RunningMetrics {
    /// Takes in what was counted since the last update.
    pub(super) fn push(&mut self, rollout_stats: RolloutStats) {
        let score = KPIS.iter().position(|row| row.name == "town_score");
        let scores = rollout_stats.days.iter().filter_map(|day| score.and_then(|score| day[score]));
        push_bounded(&mut self.scores, DAYS, scores);
        push_bounded(&mut self.episodes, EPISODES, rollout_stats.episodes.into_iter());
        push_bounded(&mut self.towns, TOWNS, rollout_stats.horizons.into_iter());
    }

    /// Fills in what the log says of them.
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

fn charter_met(kpis: &[KpiMean]) -> bool {
    kpis.iter().filter(|kpi| kpi.charter).all(|kpi| kpi.met == Some(true))
}

fn push_bounded<T>(kept: &mut VecDeque<T>, most: usize, new: impl Iterator<Item = T>) {
    kept.extend(new);
    let over = kept.len().saturating_sub(most);
    kept.drain(..over);
}
