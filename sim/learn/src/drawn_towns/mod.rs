//! Towns drawn at random for training and for evaluation on unseen towns: plan, population, prices, wages, needs and
//! perturbations; and the plans of large towns.
//!
//! A drawn town depends on the configuration and one number alone. Rule: "Drawn towns".

mod city;
mod perturbations;
mod plan;

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use townlet_town::config::{Config, TrainingTowns};
use townlet_town::fixed_point::Micro;
use townlet_town::{Rules, Sources};

use crate::prng::Prng;
use crate::seeds;
pub use city::{CITY_RESIDENTS, DrawnCity, city_of_plan_name, city_plan_name, draw_city};
pub use plan::{DrawnPlan, draw_plan};

/// Residents of a drawn town.
pub const POPULATION: RangeInclusive<u32> = 4..=32;
/// Prices of a drawn town relative to the configuration, in percent.
pub const PRICES: RangeInclusive<u32> = 80..=120;
/// Its rent relative to the configuration, in percent.
pub const RENT: RangeInclusive<u32> = 15..=120;
/// What a shift pays relative to rent and three meals at the café, in percent.
const PAY: RangeInclusive<u32> = 105..=125;
/// Deliveries to shops relative to those of the configuration for as many residents, in percent.
const DELIVERIES: RangeInclusive<u32> = 25..=100;
/// Separates these draws from others with the same number.
const DRAWN: u64 = 0x6472_6177;
/// Drawn towns whose rules are kept, because computing them takes longer than some ticks.
pub(crate) const KEPT: usize = 256;
/// Shipped plans unlike the default one: a single crowded house, and a town along one road.
const SHIPPED_PLANS: [(&str, &str, [u32; 2]); 2] = [
    ("towns/crowded.txt", include_str!("../../../../configs/towns/crowded.txt"), [48, 20]),
    ("towns/backlog.txt", include_str!("../../../../configs/towns/backlog.txt"), [136, 24]),
];
/// Tiles of the largest configured plan that drawn towns share. The rules of a larger one take too much memory to have many.
const SHARED_PLAN_TILES: u32 = 4_096;

/// The sources of the town with this number: the configuration with another plan and everything else drawn too. Numbers are
/// seeds: trainings draw theirs from [`crate::seeds::TRAINING`].
pub fn draw(base: &Sources, number: u64) -> Sources {
    draw_with_population(base, number, None)
}

/// Like [`draw`], with this many residents in place of the drawn number.
pub fn draw_with_population(base: &Sources, number: u64, population: Option<u32>) -> Sources {
    let mut prng = Prng::new([number, DRAWN, 0]);
    let sources = draw_life(base, &mut prng, population);
    let plan = draw_plan(&mut prng, sources.config.world.population as usize);
    on_plan(sources, &format!("drawn/{number}.txt"), plan)
}

/// The sources with the plan of this number; everything else is as configured.
pub fn draw_plan_only(base: &Sources, number: u64) -> Sources {
    let plan = draw_plan(&mut Prng::new([number, DRAWN, 2]), base.config.world.population as usize);
    on_plan(base.clone(), &format!("drawn/{number}.txt"), plan)
}

/// The sources on another plan.
fn on_plan(mut sources: Sources, name: &str, DrawnPlan { text, size }: DrawnPlan) -> Sources {
    let config = &mut sources.config;
    for job in config.jobs.values_mut() {
        // A location belongs to a plan; on another plan the site decides.
        job.location = None;
    }
    config.world.grid_size = size;
    name.clone_into(&mut config.world.plan);
    sources.plan = (name.to_owned(), text);
    sources
}

/// Draws all that does not depend on the plan. The population is at most the number of slots.
fn draw_life(base: &Sources, prng: &mut Prng, population: Option<u32>) -> Sources {
    let mut config = base.config.clone();
    let drawn = draw_population(prng);
    let population = population.unwrap_or(drawn).min(config.embedding_allocator.max_slots);
    scale_deliveries(&mut config, population * within(prng, &DELIVERIES));
    config.world.population = population;
    draw_money(&mut config, prng);
    draw_needs(&mut config, prng);
    draw_rivalry(&mut config, prng);
    let perturbations = (base.perturbations.0.clone(), perturbations::draw(prng));
    Sources { config, perturbations, ..base.clone() }
}

fn within(prng: &mut Prng, range: &RangeInclusive<u32>) -> u32 {
    range.start() + prng.below((range.end() - range.start() + 1) as usize) as u32
}

fn percent(amount: Micro, percent: u32) -> Micro {
    amount.times(Micro::ratio(i64::from(percent), 100))
}

/// Draws small towns more often than large ones, which have more residents to learn from.
fn draw_population(prng: &mut Prng) -> u32 {
    let largest = within(prng, &POPULATION);
    within(prng, &(*POPULATION.start()..=largest))
}

/// Scales the deliveries to this many residents, in hundredths.
fn scale_deliveries(config: &mut Config, hundredths: u32) {
    let configured = 100 * config.world.population.max(1);
    let economy = &mut config.economy;
    for amount in [
        &mut economy.cafe_stock,
        &mut economy.cafe_capacity,
        &mut economy.cafe_restock,
        &mut economy.grocer_stock,
        &mut economy.grocer_capacity,
        &mut economy.grocer_restock,
    ] {
        *amount = (u64::from(*amount) * u64::from(hundredths)).div_ceil(u64::from(configured)) as u32;
    }
}

/// Draws prices, rent, and wages that cover both.
fn draw_money(config: &mut Config, prng: &mut Prng) {
    let economy = &mut config.economy;
    for price in [&mut economy.meal_cost, &mut economy.ingredients_cost] {
        *price = percent(*price, within(prng, &PRICES));
    }
    economy.rent_per_day = percent(economy.rent_per_day, within(prng, &RENT));
    let pay = percent(economy.rent_per_day + economy.meal_cost.scaled(3), within(prng, &PAY));
    let penalty = percent(pay, within(prng, &(3..=11)));
    for job in config.jobs.values_mut() {
        job.wage_rate = Micro(pay.0 / i64::from(job.end_tick - job.start_tick).max(1));
        job.lateness_penalty = penalty;
    }
    config.lifecycle.starter_wallet = percent(config.lifecycle.starter_wallet, within(prng, &(100..=600)));
}

/// Draws how fast needs fall, in a third of the towns.
fn draw_needs(config: &mut Config, prng: &mut Prng) {
    if prng.below(3) == 0 {
        let rates = &mut config.needs.decay_rates;
        rates.hunger = percent(rates.hunger, within(prng, &(90..=110)));
        rates.energy = percent(rates.energy, within(prng, &(90..=110)));
        rates.hygiene = percent(rates.hygiene, within(prng, &(80..=250)));
    }
}

/// Draws how fast rivalry grows and fades, in half of the towns.
fn draw_rivalry(config: &mut Config, prng: &mut Prng) {
    if prng.below(2) == 0 {
        let rivalry = &mut config.conflict.rivalry;
        rivalry.increment_per_conflict = percent(rivalry.increment_per_conflict, within(prng, &(100..=300))).unit();
        rivalry.decay_per_hour = percent(rivalry.decay_per_hour, within(prng, &(20..=100)));
    }
}

/// Where the towns of a training come from.
#[derive(Clone, Debug)]
pub(crate) enum TownSource {
    /// Every town has the configured rules.
    Configured(Arc<Rules>),
    /// The rules are drawn by the seed of the town.
    Drawn(Arc<DrawnTowns>),
}

impl TownSource {
    /// As `training.towns` says.
    pub(crate) fn new(rules: &Arc<Rules>, run: u64) -> Self {
        match rules.config.training.towns {
            TrainingTowns::Configured => Self::Configured(Arc::clone(rules)),
            TrainingTowns::Drawn => Self::Drawn(Arc::new(DrawnTowns::new(rules, run))),
        }
    }

    /// The rules of the town with this seed, in which a replica lives its `episode`th episode.
    pub(crate) fn rules(&self, seed: u64, episode: u64) -> Arc<Rules> {
        match self {
            Self::Configured(rules) => Arc::clone(rules),
            Self::Drawn(towns) => towns.rules(seed, episode),
        }
    }
}

/// Percent of the towns that are not the configured one, by episode of a replica: at least half in the first, in which a training
/// imitates the scripted policy; then `start`; then more and more up to `last`. A training that meets many strange towns at once
/// gives up company, which pays only where others seek it too.
fn drawn_share(episode: u64, start: u64, last: u64) -> u64 {
    match episode {
        0 => start.max(50),
        1..20 => start,
        _ => (start + 2 * (episode - 19)).min(last),
    }
}

/// The index of a drawn town and its rules.
type KeptTown = (u64, Arc<Rules>);

/// The towns of one training, computed when they are needed. Of those that are not the configured one, `drawn_plan_share` have
/// only a plan of their own. Of the others, a third have the configured plan, a third a shipped plan and a third plans of their own.
#[derive(Debug)]
pub struct DrawnTowns {
    configured: Arc<Rules>,
    run: u64,
    /// The newest drawn town of each remainder of its index.
    kept: Vec<Mutex<Option<KeptTown>>>,
}

impl DrawnTowns {
    /// The towns of a training with this seed.
    pub fn new(configured: &Arc<Rules>, run: u64) -> Self {
        let kept = KEPT.min(configured.config.training.drawn_towns as usize);
        Self { configured: Arc::clone(configured), run, kept: (0..kept).map(|_| Mutex::default()).collect() }
    }

    /// The rules of the town for a seed, in an episode of a replica counted from 0.
    pub fn rules(&self, seed: u64, episode: u64) -> Arc<Rules> {
        let training = &self.configured.config.training;
        let towns = u64::from(training.drawn_towns);
        let share = drawn_share(episode, training.drawn_share_start.into(), training.drawn_share.into());
        if seed / towns % 100 >= share {
            return Arc::clone(&self.configured);
        }
        let index = seed % towns;
        let kept = &self.kept[(index % self.kept.len() as u64) as usize];
        // Nothing is left half-done behind a panic: the rules are stored in one assignment.
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((town, rules)) if *town == index => Arc::clone(rules),
            _ => {
                let number = seeds::training(self.run, index as u32, u64::MAX);
                let rules = Arc::new(Rules::new(self.sources(index, number)).expect("rules of a drawn town"));
                *kept = Some((index, Arc::clone(&rules)));
                rules
            }
        }
    }

    fn sources(&self, index: u64, number: u64) -> Sources {
        let (base, plan) = (&self.configured.sources, &self.configured.plan);
        if index / 3 % 100 < base.config.training.drawn_plan_share.into() {
            return draw_plan_only(base, number);
        }
        let life = || draw_life(base, &mut Prng::new([number, DRAWN, 1]), None);
        match index % 3 {
            0 if plan.width * plan.height <= SHARED_PLAN_TILES => life(),
            1 => {
                let (name, text, size) = SHIPPED_PLANS[(index / 3) as usize % SHIPPED_PLANS.len()];
                on_plan(life(), name, DrawnPlan { text: text.to_owned(), size })
            }
            _ => draw(base, number),
        }
    }
}

#[cfg(test)]
mod tests {
    use townlet_town::Town;

    use super::*;
    use crate::Scripted;

    #[test]
    fn residents_of_a_drawn_town_live_there_for_two_days() {
        let base = Sources::default_town(&[]).expect("valid settings");
        for number in 0..24 {
            let rules = Arc::new(Rules::new(draw(&base, number)).unwrap_or_else(|why| panic!("town {number}: {why}")));
            let population = rules.config.world.population as usize;
            let mut town = Town::new(rules, number);
            for _ in 0..2_000 {
                town.step(&mut Scripted);
                town.clear_events();
            }
            let days = &town.state().days.days;
            assert!(town.state().agents.present.len() + 3 >= population, "town {number} has lost its residents");
            assert!(days.iter().any(|day| day.shifts > day.absences), "town {number}: nobody works");
        }
    }

    #[test]
    fn a_drawn_town_depends_on_its_number_alone() {
        let base = Sources::default_town(&[]).expect("valid settings");
        assert_eq!(draw(&base, 7).digest(), draw(&base, 7).digest());
        assert_ne!(draw(&base, 7).digest(), draw(&base, 8).digest());
        let populations: Vec<u32> = (0..400).map(|number| draw(&base, number).config.world.population).collect();
        assert!(populations.contains(&4) && populations.iter().any(|residents| *residents > 28), "{populations:?}");
        let small = populations.iter().filter(|residents| **residents <= 12).count();
        assert!((220..=310).contains(&small), "{small} of 400 have at most 12 residents");
    }

    #[test]
    fn a_training_learns_in_the_configured_town_first_and_in_drawn_ones_more_and_more() {
        let configured =
            Arc::new(Rules::new(Sources::default_town(&[]).expect("valid settings")).expect("the default town"));
        let towns = DrawnTowns::new(&configured, 3);
        let drawn = |episode| {
            let seeds = (0..100).map(|seed| seed * 257);
            let drawn: Vec<Arc<Rules>> = seeds.map(|seed| towns.rules(seed, episode)).collect();
            drawn.into_iter().filter(|rules| rules.texts_digest != configured.texts_digest).collect::<Vec<_>>()
        };
        assert_eq!([0, 1, 19, 29, 38, 100].map(|episode| drawn(episode).len()), [50, 3, 3, 23, 40, 40]);
        let plans = |start: &str| drawn(0).iter().filter(|it| it.config.world.plan.starts_with(start)).count();
        let counts = ["towns/default", "towns/crowded", "towns/backlog", "drawn/"].map(plans);
        assert_eq!(counts, [17, 9, 8, 16]);
        assert_eq!(towns.rules(5, 0).texts_digest, towns.rules(5 + 100 * 256, 0).texts_digest);
        for plan in drawn(0).iter().filter_map(|rules| rules.config.world.plan.strip_prefix("drawn/")) {
            let number: u64 = plan.strip_suffix(".txt").expect("a text").parse().expect("a number");
            assert!(seeds::TRAINING.contains(&number), "an evaluation can meet {plan}");
        }
    }

    #[test]
    fn in_a_share_of_the_drawn_towns_only_the_plan_is_drawn() {
        let settings = [
            ("training.drawn_towns", "600"),
            ("training.drawn_share_start", "100"),
            ("training.drawn_share", "100"),
            ("training.drawn_plan_share", "60"),
        ];
        let configured = Sources::default_town(&settings).expect("valid settings");
        let towns = DrawnTowns::new(&Arc::new(Rules::new(configured).expect("the default town")), 3);
        let drawn: Vec<Arc<Rules>> = (0..300).map(|seed| towns.rules(seed, 0)).collect();
        let only_plan = |rules: &&Arc<Rules>| {
            let (config, base) = (&rules.config, &towns.configured.config);
            config.world.plan.starts_with("drawn/")
                && config.world.population == base.world.population
                && config.economy == base.economy
        };
        assert_eq!(drawn.iter().filter(only_plan).count(), 180);
    }

    #[test]
    fn a_town_that_is_no_longer_kept_is_drawn_again_the_same() {
        let share = ["training.drawn_share_start", "training.drawn_share"].map(|setting| (setting, "70"));
        let settings = [("training.drawn_towns", "100000"), share[0], share[1]];
        let configured = Sources::default_town(&settings).expect("valid settings");
        let towns = DrawnTowns::new(&Arc::new(Rules::new(configured).expect("the default town")), 3);
        let (first, same_place) = (towns.rules(5, 0), towns.rules(5 + KEPT as u64, 0));
        assert_ne!(first.texts_digest, same_place.texts_digest);
        let again = towns.rules(5, 7);
        assert!(!Arc::ptr_eq(&first, &again), "the other town took its place");
        assert_eq!(first.texts_digest, again.texts_digest);
        let share = |episode| {
            let seeds = (0..100).map(|number| number * 100_000);
            seeds.filter(|seed| towns.rules(*seed, episode).texts_digest != towns.configured.texts_digest).count()
        };
        assert_eq!([0, 1, 100].map(share), [70, 70, 70], "the share begins where it ends");
    }

    #[test]
    fn the_population_of_a_drawn_town_can_be_given() {
        let base = Sources::default_town(&[]).expect("valid settings");
        for residents in [4, 32] {
            let sources = draw_with_population(&base, 7, Some(residents));
            assert_eq!(sources.config.world.population, residents);
            assert_eq!(sources.config.economy.meal_cost, draw(&base, 7).config.economy.meal_cost, "the same prices");
            assert!(Rules::new(sources).is_ok());
        }
    }

    #[test]
    fn a_shift_in_a_drawn_town_pays_for_a_day() {
        let base = Sources::default_town(&[]).expect("valid settings");
        for number in 0..50 {
            let config = draw(&base, number).config;
            let day = config.economy.rent_per_day + config.economy.meal_cost.scaled(3);
            for job in config.jobs.values() {
                let pay = job.wage_rate.scaled(i64::from(job.end_tick - job.start_tick));
                assert!(day < pay && pay < day + day, "town {number}: {pay:?} for {day:?}");
            }
        }
    }

    #[test]
    fn a_drawn_town_has_a_slot_for_each_resident() {
        let base = Sources::default_town(&[("embedding_allocator.max_slots", "16")]).expect("valid settings");
        let populations = (0..50).map(|number| draw(&base, number).config.world.population);
        assert_eq!(populations.max(), Some(16));
    }
}
