//! Evaluation: one policy over many towns and days, with a record of each town.
//!
//! A record depends only on the seed and the policy. Statistics over records are in [`stats`], invariant checks in
//! [`invariant_monitor`]. Rule: "Town score" and "Scripted baseline".

pub mod invariant_monitor;
pub mod promotion_test;
pub mod safety_gate;
pub mod sequential_test;
pub mod stats;

use std::num::NonZero;
use std::sync::Arc;

use townlet_town::kpi::{self, KPIS, KpiReading, Target};
use townlet_town::score::{self, ScoreTerms};
use townlet_town::state::Counters;
use townlet_town::{Policy, Rules, Town};

use crate::parallel::{self, ShouldContinue};
use invariant_monitor::{InvariantMonitor, Violation};
use stats::Rate;

/// Which towns, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Seed of the first town; the others follow one by one.
    pub seed: u64,
    /// Number of towns.
    pub seeds: usize,
    /// Days per town.
    pub days: usize,
}

/// One day of one town, read at the end of that day.
#[derive(Clone, Copy)]
pub struct Day {
    /// The score with its terms; `None` when the day has none.
    pub score: Option<ScoreTerms>,
    /// Counters of the day.
    pub counters: Counters,
    /// Ticks of the day, summed over residents.
    pub resident_ticks: u64,
    /// Every KPI with its verdict, in the order of [`KPIS`].
    pub kpis: [KpiReading; KPIS.len()],
}

/// The result of one town.
#[derive(Clone)]
pub struct Record {
    /// Its seed.
    pub seed: u64,
    /// Its days in order.
    pub days: Vec<Day>,
    /// Digest of the final state.
    pub digest: String,
    /// The first time that money was not conserved.
    pub money: Option<Violation>,
    /// The first time that a queue was out of order or stuck.
    pub deadlock: Option<Violation>,
}

impl Record {
    /// Mean score over the days that have one.
    pub fn score(&self) -> Option<f64> {
        let scores: Vec<f64> = self.days.iter().filter_map(|day| Some(day.score?.total.to_f64())).collect();
        (!scores.is_empty()).then(|| stats::mean(&scores))
    }

    /// A KPI after the last day; `None` without enough data.
    pub fn kpi(&self, index: usize) -> Option<f64> {
        self.kpi_on(index, self.days.len())
    }

    /// A KPI after a day, counted from 1.
    pub fn kpi_on(&self, index: usize, day: usize) -> Option<f64> {
        Some(self.days.get(day.checked_sub(1)?)?.kpis[index].value?.to_f64())
    }

    /// A counter summed over all days.
    pub fn total(&self, what: impl Fn(&Counters) -> u32) -> u64 {
        self.days.iter().map(|day| u64::from(what(&day.counters))).sum()
    }
}

/// A daily count that shows residents interacting.
pub struct Sign {
    /// Name in JSON: `shared_meals`.
    pub name: &'static str,
    /// Name on screen: `shared meals`.
    pub title: &'static str,
    /// Its count on a day.
    pub count: fn(&Counters) -> u32,
}

/// All signs of life.
pub static SIGNS: [Sign; 8] = [
    Sign { name: "waits", title: "waits", count: |day| day.waits },
    Sign { name: "late_arrivals", title: "late arrivals", count: |day| day.late_shifts },
    Sign { name: "meetings", title: "meetings", count: |day| day.meetings },
    Sign { name: "chats", title: "chats", count: |day| day.chats },
    Sign { name: "shopping_trips", title: "shopping trips", count: |day| day.shopping_trips },
    Sign { name: "cookings", title: "cookings", count: |day| day.cookings },
    Sign { name: "shared_meals", title: "shared meals", count: |day| day.shared_meals },
    Sign { name: "quarrels", title: "quarrels", count: |day| day.quarrels },
];

/// Runs a policy over the span's towns on up to `threads` threads and returns their records in the order of the seeds.
/// `policy` makes the policy for a seed; `done` is called after each town, from the thread that ran it.
pub fn evaluate<P: Policy>(
    rules: &Arc<Rules>,
    span: Span,
    threads: NonZero<usize>,
    policy: impl Fn(u64) -> P + Sync,
    done: impl Fn() + Sync,
) -> Vec<Record> {
    let seeds = (0..span.seeds as u64).map(|index| span.seed.wrapping_add(index));
    let mut towns: Vec<(u64, Option<Record>)> = seeds.map(|seed| (seed, None)).collect();
    parallel::for_each_chunk(&mut towns, 1, threads, |towns| {
        for (seed, record) in towns {
            *record = run_town(rules, *seed, span.days, policy(*seed), &|| true);
            done();
        }
    });
    towns.into_iter().filter_map(|(_, record)| record).collect()
}

/// Runs one town. Asks `should_continue` at every tick and returns `None` when it said no.
pub(crate) fn run_town(
    rules: &Arc<Rules>,
    seed: u64,
    days: usize,
    mut policy: impl Policy,
    should_continue: ShouldContinue<'_>,
) -> Option<Record> {
    let mut town = Town::new(Arc::clone(rules), seed);
    let mut monitor = InvariantMonitor::new(&town);
    let mut records = Vec::with_capacity(days);
    for _ in 0..days {
        for _ in 0..rules.day_length() {
            if !should_continue() {
                return None;
            }
            town.step(&mut policy);
            monitor.check(&town);
            town.clear_events();
        }
        records.push(day(&town));
    }
    let InvariantMonitor { money, deadlock, .. } = monitor;
    Some(Record { seed, days: records, digest: town.digest(), money, deadlock })
}

fn day(town: &Town) -> Day {
    let (rules, state) = (town.rules(), town.state());
    let mut readings = kpi::read(rules, state);
    Day {
        score: score::last(rules, state),
        counters: state.days.days[0],
        resident_ticks: state.score.last.resident_ticks,
        kpis: std::array::from_fn(|_| readings.next().expect("one reading per KPI")),
    }
}

/// Score differences by seed, ours minus theirs. Seeds without a score on both sides are left out.
pub fn differences(ours: &[Record], theirs: &[Record]) -> Vec<f64> {
    let pairs = ours.iter().filter_map(|ours| Some((ours, theirs.iter().find(|theirs| theirs.seed == ours.seed)?)));
    pairs.filter_map(|(ours, theirs)| Some(ours.score()? - theirs.score()?)).collect()
}

/// Whether a KPI has data in enough towns for a mean over them: in at least half.
pub fn has_enough_towns(with_data: usize, towns: usize) -> bool {
    with_data > 0 && 2 * with_data >= towns
}

/// How often an event of a counter happened per 1,000 resident-days of `ticks_per_day` ticks. `None` without residents.
pub fn rate(records: &[Record], ticks_per_day: u64, what: impl Fn(&Counters) -> u32) -> Option<Rate> {
    let ticks: u64 = records.iter().flat_map(|record| &record.days).map(|day| day.resident_ticks).sum();
    let events = records.iter().map(|record| record.total(&what)).sum();
    Rate::of(events, ticks as f64 / ticks_per_day as f64)
}

/// Whether a mean over several towns meets a KPI's target.
pub fn meets(target: Target, value: f64) -> bool {
    match target {
        Target::AtLeast(limit) => value >= limit.to_f64(),
        Target::AtMost(limit) => value <= limit.to_f64(),
    }
}
