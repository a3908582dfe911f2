//! Evaluation: one policy over many towns and days, and what came of each.
//!
//! A town's record depends on its seed and the policy alone, never on the other towns or on the number of threads. Runs and
//! records; what the figures of many towns come to stands in [`stats`], what must never happen in [`watch`]. Knows no
//! file, no clock and no screen. Rule: "Town score" and "Scripted baseline".

pub mod invariant_monitor;
pub mod sequential_test;
pub mod stats;

use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

use townlet_town::kpi::{self, KPIS, KpiReading};

use townlet_town::score::{self, ScoreTerms};
use townlet_town::state::Counters;
use townlet_town::{Policy, Rules, Town};

use invariant_monitor::{Fault, Watch};

/// Which towns, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first town's seed; the others follow it one by one.
    pub seed: u64,
    /// Towns.
    pub seeds: usize,
    /// Days each of them lives.
    pub days: usize,
}

/// One day of one town, as it stood when the day was over.
#[derive(Clone, Copy)]
pub struct Day {
    /// The day's score with its terms; `None` when it has none.
    pub score: Option<ScoreTerms>,
    /// What was counted over the day.
    pub counters: Counters,
    /// Every KPI with its verdict, in the order of [`KPIS`].
    pub kpis: [KpiReading; KPIS.len()],
}

/// What came of one town.
#[derive(Clone)]
pub struct Record {
    /// Its seed.
    pub seed: u64,
    /// Day by day.
    pub days: Vec<Day>,
    /// Digest of its state at the end.
    pub digest: String,
    /// The first time its money did not agree with the ledger; `None` when it is conserved to the last unit.
    pub money: Option<Fault>,
    /// The first time a queue was in disorder or nothing moved in it; `None` when none ever was.
    pub deadlock: Option<Fault>,
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

    /// A KPI after a day, from 1.
    pub fn kpi_on(&self, index: usize, day: usize) -> Option<f64> {
        Some(self.days.get(day.checked_sub(1)?)?.kpis[index].value?.to_f64())
    }

    /// A counter over all days.
    pub fn total(&self, what: impl Fn(&Counters) -> u32) -> u64 {
        self.days.iter().map(|day| u64::from(what(&day.counters))).sum()
    }
}

/// Something that people do in a town that is alive.
pub struct Sign {
    /// For programs: `shared_meals`.
    pub name: &'static str,
    /// For people: `shared meals`.
    pub title: &'static str,
    /// How often in a day.
    pub count: fn(&Counters) -> u32,
}

/// The signs of life.
pub static SIGNS: [Sign; 5] = [
    Sign { name: "waits", title: "waits", count: |day| day.waits },
    Sign { name: "late_arrivals", title: "late arrivals", count: |day| day.late_shifts },
    Sign { name: "meetings", title: "meetings", count: |day| day.meetings },
    Sign { name: "shared_meals", title: "shared meals", count: |day| day.shared_meals },
    Sign { name: "quarrels", title: "quarrels", count: |day| day.quarrels },
];

/// Runs a policy over the span's towns on up to `threads` workers; `policy` makes one for each seed. `done` is told of every
/// town that is finished, from whichever worker finished it. The records are in the order of the seeds.
pub fn evaluate<P: Policy>(
    rules: &Arc<Rules>,
    span: Span,
    threads: NonZero<usize>,
    policy: impl Fn(u64) -> P + Sync,
    done: impl Fn() + Sync,
) -> Vec<Record> {
    let mut records: Vec<Option<Record>> = vec![None; span.seeds];
    let open = Mutex::new((0..).map(|index| span.seed.wrapping_add(index)).zip(&mut records));
    let work = || {
        // The lock is held while a town is taken, not while it lives.
        let next = || open.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some((seed, record)) = next() {
            *record = Some(live(rules, seed, span.days, policy(seed)));
            done();
        }
    };
    std::thread::scope(|scope| {
        // This thread is one of the workers.
        for _ in 1..threads.get().min(span.seeds.max(1)) {
            scope.spawn(work);
        }
        work();
    });
    records.into_iter().flatten().collect()
}

/// The life of one town.
fn live(rules: &Arc<Rules>, seed: u64, days: usize, mut policy: impl Policy) -> Record {
    let mut town = Town::new(Arc::clone(rules), seed);
    let mut watch = Watch::new(&town);
    let days = (0..days)
        .map(|_| {
            for _ in 0..rules.day_length() {
                town.step(&mut policy);
                watch.look(&town);
                town.clear_events();
            }
            day(&town)
        })
        .collect();
    let Watch { money, deadlock, .. } = watch;
    Record { seed, days, digest: town.digest(), money, deadlock }
}

fn day(town: &Town) -> Day {
    let (rules, state) = (town.rules(), town.state());
    let mut readings = kpi::read(rules, state);
    Day {
        score: score::last(rules, state),
        counters: state.days.days[0],
        kpis: std::array::from_fn(|_| readings.next().expect("a reading a row")),
    }
}

/// How one policy did against another on each seed both were run on: the first minus the second. Seeds on which either has no
/// score are left out.
pub fn differences(ours: &[Record], theirs: &[Record]) -> Vec<f64> {
    let pairs = ours.iter().filter_map(|ours| Some((ours, theirs.iter().find(|theirs| theirs.seed == ours.seed)?)));
    pairs.filter_map(|(ours, theirs)| Some(ours.score()? - theirs.score()?)).collect()
}
