//! Towns drawn at random for training and for evaluation on unseen towns: plan, population and prices.
//!
//! A drawn town depends on the configuration and one number alone. Rule: "Drawn towns".

mod plan;

use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

use townlet_town::config::{Config, TrainingTowns};
use townlet_town::fixed_point::Micro;
use townlet_town::{Rules, Sources};

use crate::prng::Prng;
use crate::seeds;
pub use plan::{SIDE, draw_plan};

/// Residents of a drawn town.
pub const POPULATION: RangeInclusive<u32> = 4..=32;
/// Prices and rent of a drawn town relative to the configuration, in percent.
pub const PRICES: RangeInclusive<u32> = 80..=120;
/// Separates these draws from others with the same number.
const DRAWN: u64 = 0x6472_6177;
/// Towns of one training. Each serves many episodes, because computing the rules of a town takes longer than some ticks.
pub(crate) const POOL: usize = 256;

/// The sources of the town with this number: the configuration with another plan, population and prices. Deliveries are
/// scaled with the population, which is at most the number of slots. Numbers are seeds: trainings draw theirs from
/// [`crate::seeds::TRAINING`].
pub fn draw(base: &Sources, number: u64) -> Sources {
    draw_with_population(base, number, None)
}

/// Like [`draw`], with this many residents in place of the drawn number.
pub fn draw_with_population(base: &Sources, number: u64, population: Option<u32>) -> Sources {
    let mut prng = Prng::new([number, DRAWN, 0]);
    let mut config = base.config.clone();
    let drawn = within(&mut prng, &POPULATION);
    let population = population.unwrap_or(drawn).min(config.embedding_allocator.max_slots);
    scale_deliveries(&mut config, population);
    for price in [&mut config.economy.meal_cost, &mut config.economy.ingredients_cost, &mut config.economy.rent_per_day]
    {
        *price = price.times(Micro::ratio(i64::from(within(&mut prng, &PRICES)), 100));
    }
    config.world.population = population;
    config.world.grid_size = [SIDE as u32; 2];
    for job in config.jobs.values_mut() {
        // A location belongs to a plan; on another plan the site decides.
        job.location = None;
    }
    let plan = (format!("drawn/{number}.txt"), draw_plan(&mut prng, population as usize));
    config.world.plan.clone_from(&plan.0);
    Sources { config, plan, ..base.clone() }
}

fn within(prng: &mut Prng, range: &RangeInclusive<u32>) -> u32 {
    range.start() + prng.below((range.end() - range.start() + 1) as usize) as u32
}

fn scale_deliveries(config: &mut Config, population: u32) {
    let configured = config.world.population.max(1);
    let economy = &mut config.economy;
    for amount in [
        &mut economy.cafe_stock,
        &mut economy.cafe_capacity,
        &mut economy.cafe_restock,
        &mut economy.grocer_stock,
        &mut economy.grocer_capacity,
        &mut economy.grocer_restock,
    ] {
        *amount = (*amount * population).div_ceil(configured);
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
            TrainingTowns::Drawn => Self::Drawn(Arc::new(DrawnTowns::new(&rules.sources, run))),
        }
    }

    /// The rules of the town with this seed.
    pub(crate) fn rules(&self, seed: u64) -> Arc<Rules> {
        match self {
            Self::Configured(rules) => Arc::clone(rules),
            Self::Drawn(towns) => towns.rules(seed),
        }
    }
}

/// The towns of one training, computed when they are first needed.
#[derive(Debug)]
pub struct DrawnTowns {
    base: Sources,
    run: u64,
    pool: Vec<OnceLock<Arc<Rules>>>,
}

impl DrawnTowns {
    /// The towns of a training with this seed.
    pub fn new(base: &Sources, run: u64) -> Self {
        Self { base: base.clone(), run, pool: (0..POOL).map(|_| OnceLock::new()).collect() }
    }

    /// The rules of the town for a seed.
    pub fn rules(&self, seed: u64) -> Arc<Rules> {
        let index = (seed % POOL as u64) as usize;
        let drawn = || {
            let number = seeds::training(self.run, index as u32, u64::MAX);
            Arc::new(Rules::new(draw(&self.base, number)).expect("rules on another plan"))
        };
        Arc::clone(self.pool[index].get_or_init(drawn))
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
        let towns = DrawnTowns::new(&base, 3);
        let populations: std::collections::BTreeSet<u32> =
            (0..200).map(|seed| towns.rules(seed).config.world.population).collect();
        assert!(populations.len() > 20 && populations.contains(&4) && populations.contains(&32), "{populations:?}");
        assert_eq!(towns.rules(5).texts_digest, towns.rules(5 + POOL as u64).texts_digest);
        for seed in 0..20 {
            let plan = towns.rules(seed).config.world.plan.clone();
            let number: u64 = plan.trim_matches(|letter: char| !letter.is_ascii_digit()).parse().expect("a number");
            assert!(seeds::TRAINING.contains(&number), "an evaluation can meet {plan}");
        }
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
    fn a_drawn_town_has_a_slot_for_each_resident() {
        let base = Sources::default_town(&[("embedding_allocator.max_slots", "16")]).expect("valid settings");
        let populations = (0..50).map(|number| draw(&base, number).config.world.population);
        assert_eq!(populations.max(), Some(16));
    }
}
