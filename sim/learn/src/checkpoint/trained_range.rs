//! The range of towns that a policy was trained on, and whether a town lies inside it.

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use townlet_town::config::TrainingTowns;
use townlet_town::{Micro, Rules, State, hash};

use crate::drawn_towns::{POPULATION, PRICES, RENT};

/// The towns of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainedRange {
    /// Fewest and most residents.
    pub population: [u32; 2],
    /// Digest of the plan; `None` when each town had a plan of its own.
    pub plan: Option<String>,
    /// Lowest and highest price of a meal at the café, in meals.
    pub meal_cost: [f64; 2],
    /// Lowest and highest price of groceries for one cooking, in meals.
    pub ingredients_cost: [f64; 2],
    /// Lowest and highest rent, in meals per day.
    pub rent_per_day: [f64; 2],
}

impl TrainedRange {
    /// The range of a training with these rules.
    pub fn of(rules: &Rules) -> Self {
        let config = &rules.config;
        let drawn = config.training.towns == TrainingTowns::Drawn;
        let population = if drawn { POPULATION } else { config.world.population..=config.world.population };
        let prices = |price: Micro, percent: RangeInclusive<u32>| {
            let percent = if drawn { percent } else { 100..=100 };
            [percent.start(), percent.end()].map(|part| price.to_f64() * f64::from(*part) / 100.0)
        };
        Self {
            population: [*population.start(), *population.end()],
            plan: (!drawn).then(|| plan_digest(rules)),
            meal_cost: prices(config.economy.meal_cost, PRICES),
            ingredients_cost: prices(config.economy.ingredients_cost, PRICES),
            rent_per_day: prices(config.economy.rent_per_day, RENT),
        }
    }

    /// Why a town lies outside the range as it is configured, such as `40 residents; trained on 4 to 32`; `None` when it lies inside.
    pub fn reason_outside(&self, rules: &Rules) -> Option<String> {
        let economy = &rules.config.economy;
        let prices = [economy.meal_cost, economy.ingredients_cost, economy.rent_per_day];
        self.judge(rules.config.world.population, self.another_plan(rules).as_deref(), prices)
    }

    fn another_plan(&self, rules: &Rules) -> Option<String> {
        let is_another = self.plan.as_ref().is_some_and(|plan| *plan != plan_digest(rules));
        is_another.then(|| "another plan; trained on a single one".into())
    }

    fn judge(&self, residents: u32, another_plan: Option<&str>, prices: [Micro; 3]) -> Option<String> {
        let [fewest, most] = self.population;
        if !(fewest..=most).contains(&residents) {
            return Some(format!("{residents} residents; trained on {}", span(self.population)));
        }
        if let Some(why) = another_plan {
            return Some(why.to_owned());
        }
        let names = ["a meal costs", "groceries cost", "the rent is"];
        let ranges = [self.meal_cost, self.ingredients_cost, self.rent_per_day];
        let mut rows = names.into_iter().zip(prices).zip(ranges);
        let outside = rows.find(|((_, price), [low, high])| {
            // Prices have six decimals.
            price.to_f64() < low - 1e-6 || price.to_f64() > high + 1e-6
        });
        outside.map(|((name, price), range)| format!("{name} {:.2}; trained on {}", price.to_f64(), price_span(range)))
    }
}

/// Whether a running town lies inside the range that its policy was trained on. Commands and reloads change what counts, so it is asked
/// each time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RangeCheck {
    range: Option<TrainedRange>,
    /// Why every town with this plan and this configuration lies outside.
    elsewhere: Option<String>,
}

impl RangeCheck {
    /// A check for towns with the plan of these rules.
    pub(super) fn of(range: &TrainedRange, rules: &Rules) -> Self {
        Self { elsewhere: range.another_plan(rules), range: Some(range.clone()) }
    }

    /// A check for a policy of which no range is known.
    pub(super) const fn without_range(elsewhere: Option<String>) -> Self {
        Self { range: None, elsewhere }
    }

    /// Why a town lies outside the range now; `None` when it lies inside. Prices are those of the list, without perturbations, and
    /// residents who left and will be replaced count.
    pub fn reason_outside(&self, rules: &Rules, state: &State) -> Option<String> {
        let Some(range) = &self.range else { return self.elsewhere.clone() };
        let residents = rules.config.world.population.max(state.agents.present.len() as u32);
        let [meal, groceries] = state.economy.list_prices;
        range.judge(residents, self.elsewhere.as_deref(), [meal, groceries, rules.config.economy.rent_per_day])
    }
}

impl fmt::Display for TrainedRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.plan.as_ref().map_or("drawn plans", |_| "one plan");
        let [meal, groceries, rent] = [self.meal_cost, self.ingredients_cost, self.rent_per_day].map(price_span);
        let residents = span(self.population);
        write!(out, "{residents} residents, {plan}, meals at {meal}, groceries at {groceries}, rent {rent}")
    }
}

/// `4 to 32`, or one value when both ends are equal.
fn span<T: fmt::Display + PartialEq>([low, high]: [T; 2]) -> String {
    if low == high { low.to_string() } else { format!("{low} to {high}") }
}

fn price_span(prices: [f64; 2]) -> String {
    span(prices.map(|price| format!("{price:.2}")))
}

fn plan_digest(rules: &Rules) -> String {
    hash::short_digest([rules.sources.plan.1.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use townlet_town::{Command, ResidentId};

    fn rules(settings: &[(&str, &str)]) -> Rules {
        Rules::new(townlet_town::Sources::default_town(settings).expect("valid settings")).expect("the default town")
    }

    #[test]
    fn a_training_on_one_town_covers_that_town_alone() {
        let range = TrainedRange::of(&rules(&[]));
        assert_eq!(range.reason_outside(&rules(&[("seed", "99")])), None);
        let reason = |key, value| range.reason_outside(&rules(&[(key, value)])).expect(key);
        assert_eq!(reason("world.population", "9"), "9 residents; trained on 8");
        assert_eq!(reason("economy.meal_cost", "0.5"), "a meal costs 0.50; trained on 0.40");
        let elsewhere = TrainedRange { plan: Some("other".into()), ..range };
        assert_eq!(elsewhere.reason_outside(&rules(&[])).unwrap(), "another plan; trained on a single one");
    }

    #[test]
    fn a_training_on_drawn_towns_covers_populations_prices_and_all_plans() {
        let range = TrainedRange::of(&rules(&[("training.towns", "drawn")]));
        let reason = |key, value| range.reason_outside(&rules(&[(key, value)]));
        for (key, value) in [("world.population", "4"), ("world.population", "32"), ("economy.meal_cost", "0.48")] {
            assert_eq!(reason(key, value), None, "{key} {value}");
        }
        let mut elsewhere = townlet_town::Sources::default_town(&[]).expect("the default town");
        elsewhere.plan.1.push('\n');
        assert_eq!(range.reason_outside(&Rules::new(elsewhere).expect("the same town by another text")), None);
        assert_eq!(reason("world.population", "33").unwrap(), "33 residents; trained on 4 to 32");
        assert_eq!(reason("economy.rent_per_day", "2.5").unwrap(), "the rent is 2.50; trained on 0.30 to 2.40");
    }

    #[test]
    fn a_running_town_is_judged_by_what_runs() {
        let configured = rules(&[("training.towns", "drawn"), ("world.population", "32")]);
        let check = RangeCheck::of(&TrainedRange::of(&configured), &configured);
        let rules = std::sync::Arc::new(configured);
        let mut town = townlet_town::Town::new(std::sync::Arc::clone(&rules), 7);
        let reason = |town: &townlet_town::Town| check.reason_outside(&rules, town.state());
        let price = |item, value| Command::SetPrice { item, value: Micro::from_f64(value).expect("a price") };
        assert_eq!(reason(&town), None);
        town.apply(&price(1, 2.0)).expect("it is applied");
        assert_eq!(reason(&town).as_deref(), Some("groceries cost 2.00; trained on 0.12 to 0.18"));
        town.apply(&price(1, 0.15)).expect("it is applied");
        assert_eq!(reason(&town), None);
        town.apply(&Command::Kill { who: ResidentId(0) }).expect("it is applied");
        assert_eq!(reason(&town), None, "a newcomer follows");
        for _ in 0..2 {
            town.apply(&Command::Spawn).expect("it is applied");
        }
        assert_eq!(reason(&town).as_deref(), Some("33 residents; trained on 4 to 32"));
    }
}
