//! Evaluation of the policy in training on held-out towns, and the best of these evaluations.
//!
//! An evaluation only reads the policy, so a training has the same bits with and without. Its towns have selection seeds and are
//! the same every time. Rule: "Held-out evaluation".

use std::cmp::Ordering;
use std::num::NonZero;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use townlet_town::Rules;
use townlet_town::config::TrainingTowns;
use townlet_town::kpi::KPIS;

use super::row::{KpiMean, charter_met, kpi_means, mean};
use crate::checkpoint::Checkpoint;
use crate::drawn_towns;
use crate::evaluate::{Record, rate, run_town};
use crate::parallel::{self, ShouldContinue};
use crate::seeds::SELECTION;
use crate::{Choice, NetworkPolicy};

/// The result of an evaluation. Sums and means are over all towns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Seed of the first town; the others follow one by one.
    pub seed: u64,
    /// Towns.
    pub towns: u32,
    /// Days per town.
    pub days: u32,
    /// Resident-days, over which the rates are.
    #[serde(default)]
    pub resident_days: f64,
    /// Mean town score; `None` when no day had one.
    pub score: Option<f64>,
    /// Starvation events.
    pub starvation_events: u64,
    /// Starvation events per 1,000 resident-days.
    pub starvation_rate: f64,
    /// Involuntary exits.
    pub involuntary_exits: u64,
    /// Involuntary exits per 1,000 resident-days.
    pub involuntary_exit_rate: f64,
    /// KPIs after the last day.
    pub kpis: Vec<KpiMean>,
    /// Whether every charter KPI meets its target on average.
    pub charter_met: bool,
    /// Whether it was better than all earlier ones of the training.
    pub best: bool,
}

/// The best evaluation of a training and its checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Id of the checkpoint.
    pub id: String,
    /// Resident-ticks it had learned from.
    pub steps: u64,
    /// Its evaluation.
    pub evaluation: Evaluation,
}

impl Evaluation {
    fn of(rules: &Rules, records: &[Record]) -> Self {
        let day = rules.day_length();
        let starvation = rate(records, day, |day| day.starvation_events);
        let exits = rate(records, day, |day| day.involuntary_exits);
        let towns = records.iter().map(|record| (0..KPIS.len()).map(|kpi| record.kpi(kpi)).collect()).collect();
        let kpis = kpi_means(rules, &towns);
        Self {
            seed: records.first().map_or(0, |record| record.seed),
            towns: records.len() as u32,
            days: rules.config.training.evaluation.days,
            resident_days: starvation.map_or(0.0, |rate| rate.days),
            score: mean(records.iter().filter_map(Record::score)),
            starvation_events: starvation.map_or(0, |rate| rate.events),
            starvation_rate: starvation.map_or(0.0, |rate| rate.rate),
            involuntary_exits: exits.map_or(0, |rate| rate.events),
            involuntary_exit_rate: exits.map_or(0.0, |rate| rate.rate),
            charter_met: charter_met(&kpis),
            kpis,
            best: false,
        }
    }

    /// Safety first: fewer starvation events are better. Of equals, one that meets the charter is, and then the higher score.
    pub(super) fn is_better_than(&self, other: &Self) -> bool {
        let score = |evaluation: &Self| evaluation.score.unwrap_or(f64::MIN);
        let by_starvation = other.starvation_events.cmp(&self.starvation_events);
        let by_charter = self.charter_met.cmp(&other.charter_met);
        by_starvation.then(by_charter).then(score(self).total_cmp(&score(other))) == Ordering::Greater
    }
}

/// The held-out towns of a training.
pub struct HeldOutTowns {
    rules: Arc<Rules>,
    towns: Vec<HeldOutTown>,
}

struct HeldOutTown {
    seed: u64,
    /// Computed for the first evaluation.
    rules: OnceLock<Arc<Rules>>,
    record: Option<Record>,
}

impl HeldOutTowns {
    /// The towns for a training with these rules.
    pub fn new(rules: &Arc<Rules>) -> Self {
        let seeds = SELECTION.take(rules.config.training.evaluation.towns as usize);
        let towns = seeds.map(|seed| HeldOutTown { seed, rules: OnceLock::new(), record: None });
        Self { rules: Arc::clone(rules), towns: towns.collect() }
    }

    /// Whether an evaluation is due after the update that ends at `steps` of `total` steps.
    pub(super) fn is_due(&self, before: u64, steps: u64, total: u64) -> bool {
        let every = self.rules.config.training.evaluation.every_steps;
        let ended = steps >= total && total >= every;
        every > 0 && (before / every != steps / every || ended)
    }

    /// Evaluates a policy, whose layout this build must have. Asks `should_continue` at every tick and returns `None` when it
    /// said no.
    pub fn evaluate(
        &mut self,
        policy: &Checkpoint,
        threads: NonZero<usize>,
        should_continue: ShouldContinue<'_>,
    ) -> Option<Evaluation> {
        let (base, days) = (&self.rules, self.rules.config.training.evaluation.days as usize);
        parallel::for_each_chunk(&mut self.towns, 1, threads, |towns| {
            for town in towns {
                let rules = town.rules.get_or_init(|| rules_of(base, town.seed));
                let driver = NetworkPolicy::with_own_layout(policy, rules, Choice::Sampled).expect("a known layout");
                town.record = run_town(rules, town.seed, days, driver, should_continue);
            }
        });
        let records: Option<Vec<Record>> = self.towns.iter_mut().map(|town| town.record.take()).collect();
        Some(Evaluation::of(base, &records?))
    }
}

/// The rules of a held-out town. A drawn town has its seed as number, which no town of a training has.
fn rules_of(base: &Arc<Rules>, seed: u64) -> Arc<Rules> {
    match base.config.training.towns {
        TrainingTowns::Configured => Arc::clone(base),
        TrainingTowns::Drawn => {
            Arc::new(Rules::new(drawn_towns::draw(&base.sources, seed)).expect("rules on another plan"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safety_comes_before_the_charter_and_the_charter_before_the_score() {
        let of = |starvation_events, charter_met, score| Evaluation {
            score,
            starvation_events,
            charter_met,
            ..Evaluation::default()
        };
        let ascending = [
            of(3, true, Some(0.99)),
            of(1, false, Some(0.95)),
            of(1, true, None),
            of(1, true, Some(0.9)),
            of(0, false, Some(0.7)),
            of(0, true, Some(0.6)),
            of(0, true, Some(0.61)),
        ];
        for (place, evaluation) in ascending.iter().enumerate() {
            for (other_place, other) in ascending.iter().enumerate() {
                assert_eq!(evaluation.is_better_than(other), place > other_place, "{place} and {other_place}");
            }
        }
    }
}
