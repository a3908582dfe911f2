//! Random search over the thresholds of the scripted policy, on selection seeds of its own.
//!
//! Half of the candidates are drawn anywhere, beside the thresholds in use, and half near the best of the first half. Each
//! batch is halved by doubling the towns until few candidates have met all of them. The same seed gives the same result. Rule: "Tuning of the scripted policy".

use std::num::NonZero;
use std::sync::Arc;

use townlet_town::kpi::KPIS;
use townlet_town::{Micro, Rules};

use crate::evaluate::{Record, Span, evaluate, has_enough_towns, meets, stats};
use crate::prng::Prng;
use crate::scripted::{ScriptedWith, Thresholds};
use crate::seeds::SELECTION;

/// A search.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Determines the candidates and the towns.
    pub seed: u64,
    /// Candidates, besides the thresholds in use.
    pub candidates: usize,
    /// Towns for the last candidates; the first ones get an eighth.
    pub towns: usize,
    /// Days per town.
    pub days: usize,
}

impl Search {
    /// Towns that the search runs, over all candidates.
    pub fn towns_to_run(&self) -> usize {
        let halves = [self.candidates.div_ceil(2), self.candidates / 2];
        let batch = |mut candidates: usize| {
            let mut sum = 0;
            for towns in self.rounds() {
                sum += candidates * towns;
                candidates = kept(candidates);
            }
            sum
        };
        halves.map(batch).iter().sum::<usize>() + self.towns
    }

    /// Towns of each round of a batch: an eighth of all, then twice as many, until all.
    fn rounds(&self) -> impl Iterator<Item = usize> {
        let all = self.towns;
        std::iter::successors(Some((all / 8).max(1)), move |towns| (*towns < all).then(|| (towns * 2).min(all)))
    }
}

/// Candidates kept of a batch.
fn kept(candidates: usize) -> usize {
    candidates.div_ceil(2).max(FINALISTS).min(candidates)
}

/// Thresholds and their score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The thresholds.
    pub thresholds: Thresholds,
    /// Mean town score; `None` when no day had one.
    pub score: Option<f64>,
    /// Whether the charter KPIs were met on average, self-sufficiency by a margin, and nobody starved. Others rank behind.
    pub sound: bool,
    /// Towns it was measured on.
    pub towns: usize,
}

/// Least self-sufficiency of the scripted policy. The score does not contain it, so a search for the score alone would leave
/// residents tired.
const SELF_SUFFICIENCY: f64 = 0.85;
/// Candidates that meet every town.
const FINALISTS: usize = 4;
/// Share of the range from which a candidate near the best is drawn.
const NEAR: f64 = 0.15;

/// The result of a search.
#[derive(Clone, Debug)]
pub struct Found {
    /// The thresholds in use, on all towns.
    pub current: Candidate,
    /// The finalists, best first.
    pub best: Vec<Candidate>,
}

/// Searches for better thresholds. `progress` gets the number of towns run so far.
pub fn search(rules: &Arc<Rules>, search: Search, threads: NonZero<usize>, progress: impl Fn(usize) + Sync) -> Found {
    let mut prng = Prng::new([search.seed, 0, 0]);
    let run = Run { rules, search, threads, progress: &progress };
    let current = Thresholds::of(rules);
    let drawn = (1..search.candidates.div_ceil(2)).map(|_| anywhere(&mut prng));
    let far: Vec<Thresholds> = std::iter::once(current).chain(drawn).collect();
    let best = run.halve(far);
    let centre = best.first().map_or(current, |best| best.thresholds);
    let near: Vec<Thresholds> = (0..search.candidates / 2).map(|_| near(&mut prng, &centre)).collect();
    let mut all = [best, run.halve(near)].concat();
    sort(&mut all);
    all.truncate(FINALISTS);
    let current = run.measure(&[current], search.towns).remove(0);
    Found { current, best: all }
}

/// The towns of a search and the batch that runs on them.
struct Run<'a, F> {
    rules: &'a Arc<Rules>,
    search: Search,
    threads: NonZero<usize>,
    progress: &'a F,
}

impl<F: Fn(usize) + Sync> Run<'_, F> {
    /// Measures candidates on more and more towns and drops the worse half each time. Returns the last, best first.
    fn halve(&self, mut thresholds: Vec<Thresholds>) -> Vec<Candidate> {
        let mut measured = Vec::new();
        for towns in self.search.rounds() {
            measured = self.measure(&thresholds, towns);
            sort(&mut measured);
            thresholds = measured[..kept(measured.len())].iter().map(|candidate| candidate.thresholds).collect();
        }
        measured.truncate(FINALISTS);
        measured
    }

    fn measure(&self, thresholds: &[Thresholds], towns: usize) -> Vec<Candidate> {
        let first = SELECTION.start + self.search.seed % 1_000_000 * 1_000_000;
        let span = Span { seed: first, seeds: towns, days: self.search.days };
        let measure = |thresholds: &Thresholds| {
            let records =
                evaluate(self.rules, span, self.threads, |_| ScriptedWith(*thresholds), || (self.progress)(1));
            let scores: Vec<f64> = records.iter().filter_map(Record::score).collect();
            let score = (!scores.is_empty()).then(|| stats::mean(&scores));
            let sound = charter_met(self.rules, &records)
                && records.iter().all(|it| it.total(|day| day.starvation_events) == 0);
            Candidate { thresholds: *thresholds, score, sound, towns }
        };
        thresholds.iter().map(measure).collect()
    }
}

/// Whether every charter KPI is met on average after the last day.
fn charter_met(rules: &Rules, records: &[Record]) -> bool {
    KPIS.iter().enumerate().filter(|(_, row)| row.charter).all(|(index, row)| {
        let values: Vec<f64> = records.iter().filter_map(|record| record.kpi(index)).collect();
        let mean = stats::mean(&values);
        let by_a_margin = row.name != "self_sufficiency" || mean >= SELF_SUFFICIENCY;
        has_enough_towns(values.len(), records.len()) && meets((row.target)(&rules.config), mean) && by_a_margin
    })
}

fn sort(candidates: &mut [Candidate]) {
    let score = |candidate: &Candidate| candidate.score.unwrap_or(f64::MIN);
    candidates.sort_by(|a, b| b.sound.cmp(&a.sound).then(score(b).total_cmp(&score(a))));
}

/// The range of each level: low, high. Needs start at 0.4, because a resident on the way still tires.
const LEVELS: [(f64, f64); 7] = [(0.4, 0.9), (0.4, 0.95), (0.4, 0.9), (0.0, 0.5), (0.5, 0.98), (0.8, 1.0), (0.4, 1.0)];
/// Most meals cooked ahead, as many as a fridge holds.
const MOST_MEALS: usize = 6;

fn levels(thresholds: &Thresholds) -> [Micro; 7] {
    let it = thresholds;
    [it.hunger, it.hygiene, it.energy, it.before_work, it.night_energy, it.rested, it.supper_hunger]
}

fn with_levels(levels: [f64; 7], pantry_meals: u32) -> Thresholds {
    // Hundredths, so that the values can be written down.
    let [hunger, hygiene, energy, before_work, night_energy, rested, supper_hunger] =
        levels.map(|level| Micro((level * 100.0).round() as i64 * 10_000));
    Thresholds { hunger, hygiene, energy, before_work, night_energy, rested, supper_hunger, pantry_meals }
}

fn anywhere(prng: &mut Prng) -> Thresholds {
    let drawn = LEVELS.map(|(low, high)| low + (high - low) * share(prng));
    with_levels(drawn, prng.below(MOST_MEALS + 1) as u32)
}

fn near(prng: &mut Prng, centre: &Thresholds) -> Thresholds {
    let mut drawn = levels(centre).map(Micro::to_f64);
    for (level, (low, high)) in drawn.iter_mut().zip(LEVELS) {
        *level = (*level + (high - low) * NEAR * (2.0 * share(prng) - 1.0)).clamp(low, high);
    }
    let meals = centre.pantry_meals as usize + prng.below(3);
    with_levels(drawn, meals.saturating_sub(1).min(MOST_MEALS) as u32)
}

/// A number in [0, 1] in steps of a millionth.
fn share(prng: &mut Prng) -> f64 {
    prng.below(1_000_001) as f64 / 1e6
}
