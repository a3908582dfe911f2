//! Error rates of the whole test of a candidate, score and safety together: on random towns whose residents starve together, and
//! on real towns.
//!
//! Real towns are run once and drawn from with replacement. `TOWNLET_SOAK=1` runs more of them, takes ten times as many
//! decisions and prints the tables of docs/POLICY.md.

use std::num::NonZero;

use townlet_learn::checkpoint::Checkpoint;
use townlet_learn::evaluate::promotion_test::{Decision, PromotionTest};
use townlet_learn::evaluate::safety_gate::{HARMS, SafetyPlan, Tally};
use townlet_learn::evaluate::sequential_test::Plan;
use townlet_learn::evaluate::{Record, Span, evaluate};
use townlet_learn::network::{Forward, MaskedCategorical, Normalizer, Output};
use townlet_learn::prng::Prng;
use townlet_learn::{Choice, NetworkPolicy, Scripted};
use townlet_town::observations::{Layout, layout};
use townlet_town::options::OPTIONS;
use townlet_town::{Decider, OptionKind, Policy, Rules, Town};

use super::sequential::{SHIPPED, unit};

/// Results of many decisions.
#[derive(Debug, Default)]
struct Outcomes {
    decisions: u32,
    accepted: u32,
    pairs: u64,
}

impl Outcomes {
    /// Takes this many decisions on pairs that `next` adds.
    fn of(decisions: u32, mut next: impl FnMut(&mut PromotionTest)) -> Self {
        let empty = PromotionTest::new(Plan::default(), SafetyPlan::default());
        let mut outcomes = Self { decisions, ..Self::default() };
        for _ in 0..decisions {
            let mut test = empty.clone();
            while test.decision() == Decision::Running {
                next(&mut test);
            }
            outcomes.accepted += u32::from(test.decision() == Decision::Accepted);
            outcomes.pairs += test.pairs();
        }
        outcomes
    }

    fn accepted(&self) -> f64 {
        f64::from(self.accepted) / f64::from(self.decisions)
    }

    /// Asserts that the acceptance rate is at most `limit`, up to three deviations of the estimate.
    #[track_caller]
    fn at_most(&self, limit: f64, what: &str) {
        println!(
            "{what}: {:.2} % of {} accepted, {:.0} pairs",
            100.0 * self.accepted(),
            self.decisions,
            self.mean_pairs()
        );
        assert!(self.accepted() <= limit + self.spread(limit), "{what}: {self:?}");
    }

    /// The same for a lower limit.
    #[track_caller]
    fn at_least(&self, limit: f64, what: &str) {
        println!(
            "{what}: {:.2} % of {} accepted, {:.0} pairs",
            100.0 * self.accepted(),
            self.decisions,
            self.mean_pairs()
        );
        assert!(self.accepted() >= limit - self.spread(limit), "{what}: {self:?}");
    }

    fn spread(&self, limit: f64) -> f64 {
        3.0 * (limit * (1.0 - limit) / f64::from(self.decisions)).sqrt()
    }

    fn mean_pairs(&self) -> f64 {
        self.pairs as f64 / f64::from(self.decisions)
    }
}

fn scaled(decisions: u32) -> u32 {
    if crate::is_soak() { 10 * decisions } else { decisions }
}

/// A policy on random towns.
#[derive(Clone, Copy)]
struct RandomTowns {
    score: f64,
    /// Share of towns in which somebody starves, then up to eight residents.
    starving: f64,
    /// Share of towns in which somebody leaves.
    leaving: f64,
}

/// As safe as a release may be for the stated power.
const RELEASE: RandomTowns = RandomTowns { score: 0.88, starving: 0.002, leaving: 0.005 };

impl RandomTowns {
    fn town(&self, deviation: f64, prng: &mut Prng) -> (f64, [Tally; HARMS.len()]) {
        let events = |share: f64, prng: &mut Prng| {
            if unit(prng) < share { 1 + prng.below(8) as u64 } else { 0 }
        };
        let (starved, left) = (events(self.starving, prng), events(self.leaving, prng));
        // The prices of the town score for ten days and eight residents.
        let harmed = (0.5 * starved as f64 + 0.2 * left as f64) / 80.0;
        let score = self.score + deviation / 2f64.sqrt() * prng.normal() - harmed;
        let tally = |events| Tally { events, towns: u64::from(events > 0), resident_ticks: 80_000 };
        (score, [tally(starved), tally(left)])
    }
}

/// Decisions on random towns; the deviation is that of a pair's difference.
fn random(decisions: u32, candidate: RandomTowns, release: RandomTowns, deviation: f64) -> Outcomes {
    let mut prng = Prng::from_state(14_005);
    Outcomes::of(scaled(decisions), |test| {
        let (ours, our_harm) = candidate.town(deviation, &mut prng);
        let (theirs, their_harm) = release.town(deviation, &mut prng);
        let tallies = std::array::from_fn(|index| (our_harm[index], their_harm[index]));
        test.add_pair(Some(ours - theirs), tallies);
    })
}

#[test]
fn equal_candidates_are_rarely_accepted() {
    for starving in [0.0, 0.002, 0.02] {
        let policy = RandomTowns { starving, ..RELEASE };
        for deviation in [0.012, 0.015] {
            let what = format!("equal, deviation {deviation}, starving in {starving} of towns");
            random(4_000, policy, policy, deviation).at_most(0.025, &what);
        }
    }
}

#[test]
fn candidates_that_harm_more_are_rarely_accepted_however_high_they_score() {
    let better = RandomTowns { score: 0.94, ..RELEASE };
    for base in [0.0, 0.002, 0.01] {
        let release = RandomTowns { starving: base, leaving: 0.0, ..RELEASE };
        let starving = RandomTowns { starving: base + 0.01, leaving: 0.0, ..better };
        random(400, starving, release, 0.012).at_most(0.05, &format!("starves in {base} + 0.01 of towns"));
    }
    let leaving = RandomTowns { leaving: RELEASE.leaving + 0.01, ..better };
    random(400, leaving, RELEASE, 0.012).at_most(0.05, "loses residents in 0.01 more of towns");
}

#[test]
fn candidates_that_are_better_and_as_safe_are_accepted() {
    for (deviation, starving, leaving) in
        [(0.012, 0.0, 0.0), (0.015, 0.0, 0.0), (0.012, 0.002, 0.005), (0.015, 0.002, 0.005)]
    {
        let release = RandomTowns { starving, leaving, ..RELEASE };
        let better = RandomTowns { score: release.score + Plan::default().effect, ..release };
        let what =
            format!("better by 0.005, deviation {deviation}, starving in {starving} of towns, leaving in {leaving}");
        random(400, better, release, deviation).at_least(0.9, &what);
    }
}

/// The shipped policy with other random numbers: an equal policy. Residents of a town that breaks meals never eat.
struct Twin {
    layout: &'static Layout,
    forward: Forward,
    normalizer: Normalizer,
    breaks_meals: bool,
    rows: Vec<f32>,
    out: Output,
}

impl Twin {
    fn new(shipped: &Checkpoint, rules: &Rules, breaks_meals: bool) -> Self {
        Self {
            layout: layout(rules.config.features.systems.observations),
            forward: shipped.forward(),
            normalizer: shipped.normalizer.clone(),
            breaks_meals,
            rows: Vec::new(),
            out: Output::default(),
        }
    }
}

impl Policy for Twin {
    fn decide(&mut self, town: &Town, deciders: &[Decider], choices: &mut Vec<OptionKind>) {
        let width = self.layout.width;
        self.rows.clear();
        self.rows.resize(deciders.len() * width, 0.0);
        for (decider, row) in deciders.iter().zip(self.rows.chunks_exact_mut(width)) {
            self.layout.observe(town, decider.agent, row);
            self.normalizer.scale(row);
        }
        self.forward.run(&self.rows, &mut self.out);
        for (decider, logits) in deciders.iter().zip(self.out.logits.chunks_exact(OPTIONS.len())) {
            let who = u64::from(town.state().agents.resident[decider.agent].0);
            let mut prng = Prng::from_state(town.state().seed << 40 ^ town.tick() << 16 ^ who);
            let option = OPTIONS[MaskedCategorical::new(logits, decider.mask.0).sample(unit(&mut prng) as f32)].0;
            choices.push(if self.breaks_meals && option == OptionKind::Eat { OptionKind::Wait } else { option });
        }
    }
}

/// Real towns of ten days under several policies, on the same seeds.
struct Pool {
    shipped: Vec<Record>,
    twin: Vec<Record>,
    broken: Vec<Record>,
    scripted: Vec<Record>,
}

impl Pool {
    fn run() -> Self {
        let rules = crate::default_rules(&[]);
        let shipped = Checkpoint::embedded(SHIPPED).unwrap();
        let span = Span { seed: 100_000, seeds: if crate::is_soak() { 1_500 } else { 24 }, days: 10 };
        let threads = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        let network = |_| NetworkPolicy::new(&shipped, &rules, Choice::Sampled).unwrap();
        let twin = |breaks: bool| evaluate(&rules, span, threads, |_| Twin::new(&shipped, &rules, breaks), || ());
        Self {
            shipped: evaluate(&rules, span, threads, network, || ()),
            twin: twin(false),
            broken: twin(true),
            scripted: evaluate(&rules, span, threads, |_| Scripted, || ()),
        }
    }
}

#[test]
fn error_rates_hold_on_towns() {
    let pool = Pool::run();
    let mut prng = Prng::from_state(5);
    let harmed = |records: &[Record]| {
        let harmed = |record: &&Record| HARMS.iter().any(|harm| record.total(harm.count) > 0);
        records.iter().filter(harmed).count()
    };
    println!(
        "{} towns, somebody harmed in {} shipped, {} twin, {} broken, {} scripted",
        pool.shipped.len(),
        harmed(&pool.shipped),
        harmed(&pool.twin),
        harmed(&pool.broken),
        harmed(&pool.scripted)
    );
    assert_eq!(harmed(&pool.broken), pool.broken.len(), "nobody eats there");
    // Equal policies are exchangeable, so chance says which of them is the candidate.
    let equal = Outcomes::of(scaled(1_000), |test| {
        let (at, is_twin) = (prng.below(pool.twin.len()), prng.below(2) == 0);
        let (ours, theirs) = if is_twin { (&pool.twin, &pool.shipped) } else { (&pool.shipped, &pool.twin) };
        test.add(&ours[at], &theirs[at]);
    });
    equal.at_most(0.025, "equal, on towns");
    let better = Outcomes::of(scaled(50), |test| {
        let at = prng.below(pool.shipped.len());
        test.add(&pool.shipped[at], &pool.scripted[at]);
    });
    better.at_least(0.9, "shipped against scripted, on towns");
    let broken = Outcomes::of(scaled(100), |test| {
        let at = prng.below(pool.shipped.len());
        let ours = if prng.below(100) == 0 { &pool.broken[at] } else { &pool.shipped[at] };
        test.add(ours, &pool.scripted[at]);
    });
    broken.at_most(0.05, "breaks meals in 1 of 100 towns, against scripted, on towns");
}
