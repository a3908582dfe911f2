//! Towns drawn at random for training and for evaluation on unseen towns: plan, population and prices.
//!
//! A drawn town depends on the configuration and one number alone. Rule: "Drawn towns".

mod plan;

use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

use townlet_town::config::Config;
use townlet_town::fixed_point::Micro;
use townlet_town::rules::RulesError;
use townlet_town::{Rules, Sources};

use crate::prng::Prng;
pub use plan::{SIDE, draw_plan};

/// Residents of a drawn town.
pub const POPULATION: RangeInclusive<u32> = 4..=32;
/// Prices and rent of a drawn town relative to the configuration, in percent.
pub const PRICES: RangeInclusive<u32> = 80..=120;
/// Towns of one training. Each serves many episodes, because computing the rules of a town takes longer than some ticks.
const POOL: usize = 256;

/// The sources of the town with this number: the configuration with another plan, population and prices. Deliveries are
/// scaled with the population.
pub fn draw(base: &Sources, number: u64) -> Sources {
    let mut prng = Prng::new([number, 0x64_72_61_77, 0]);
    let population = within(&mut prng, &POPULATION);
    let mut config = base.config.clone();
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

/// The towns of one training, computed when they are first needed.
#[derive(Debug)]
pub struct DrawnTowns {
    base: Sources,
    run: u64,
    pool: Vec<OnceLock<Arc<Rules>>>,
}

impl DrawnTowns {
    /// The towns of a training with this seed.
    ///
    /// # Errors
    /// The configuration does not fit a drawn town, such as fewer slots than residents.
    pub fn new(base: &Sources, run: u64) -> Result<Self, RulesError> {
        let (slots, needed) = (base.config.embedding_allocator.max_slots, *POPULATION.end());
        if slots < needed {
            let why = format!("embedding_allocator.max_slots is {slots}; drawn towns have up to {needed} residents");
            return Err(RulesError::Misfit(why));
        }
        Rules::new(draw(base, 0))?;
        Ok(Self { base: base.clone(), run, pool: (0..POOL).map(|_| OnceLock::new()).collect() })
    }

    /// The rules of the town for a seed.
    pub fn rules(&self, seed: u64) -> Arc<Rules> {
        let index = (seed % POOL as u64) as usize;
        let drawn = || {
            let number = Prng::new([self.run, index as u64, 1]).next_u64();
            Arc::new(Rules::new(draw(&self.base, number)).expect("`new` has checked the configuration"))
        };
        Arc::clone(self.pool[index].get_or_init(drawn))
    }
}

#[cfg(test)]
mod tests {
    use townlet_town::Town;
    use townlet_town::config::{Layers, load};

    use super::*;
    use crate::Scripted;

    fn base() -> Sources {
        let config = load(&Layers::default()).expect("the default configuration").config;
        let text = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        Sources {
            config,
            plan: text("default.txt", include_str!("../../../../configs/towns/default.txt")),
            affordances: text("affordances.yaml", include_str!("../../../../configs/affordances.yaml")),
            perturbations: text("default.yaml", include_str!("../../../../configs/perturbations/default.yaml")),
        }
    }

    #[test]
    fn residents_of_a_drawn_town_live_there_for_two_days() {
        let base = base();
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
        let base = base();
        assert_eq!(draw(&base, 7).digest(), draw(&base, 7).digest());
        let towns = DrawnTowns::new(&base, 3).unwrap();
        let populations: std::collections::BTreeSet<u32> =
            (0..200).map(|seed| towns.rules(seed).config.world.population).collect();
        assert!(populations.len() > 20 && populations.contains(&4) && populations.contains(&32), "{populations:?}");
        assert_eq!(towns.rules(5).texts_digest, towns.rules(5 + POOL as u64).texts_digest);
    }

    #[test]
    fn a_configuration_with_too_few_slots_is_refused() {
        let mut base = base();
        base.config.embedding_allocator.max_slots = 16;
        let why = DrawnTowns::new(&base, 1).unwrap_err().to_string();
        assert_eq!(why, "embedding_allocator.max_slots is 16; drawn towns have up to 32 residents");
    }
}
