//! Money and goods: prices, stock, restocking, rent, and the one way money moves.
//!
//! Invariant: all wallets and the outside world together hold exactly nothing. Rule: "Map and economy", "Affordances".

use serde::{Deserialize, Serialize};

use crate::affordances::{Access, Price};
use crate::events::EventKind;
use crate::fixed_point::Micro;
use crate::ids::{AffordanceId, AgentId, ObjectId};
use crate::options::{object_refusal, price};
use crate::plan::ObjectKind;
use crate::rules::Rules;
use crate::state::{Economy, ObjectState};
use crate::tick_context::TickContext;

/// Why money moves between a resident and the outside world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Account {
    /// To residents.
    Wages = 0,
    /// From residents.
    Rent = 1,
    /// From residents.
    Meals = 2,
    /// From residents.
    Groceries = 3,
    /// To newcomers.
    Starter = 4,
    /// From those who leave.
    Departure = 5,
    /// By an operator, either way.
    Operator = 6,
}

/// Every account with its name, in the order of [`Economy::accounts`].
pub const ACCOUNTS: [(Account, &str); 7] = [
    (Account::Wages, "wages"),
    (Account::Rent, "rent"),
    (Account::Meals, "meals"),
    (Account::Groceries, "groceries"),
    (Account::Starter, "starter"),
    (Account::Departure, "departure"),
    (Account::Operator, "operator"),
];

/// Prices and utilities as a town begins.
pub(crate) fn start(rules: &Rules) -> Economy {
    let economy = &rules.config.economy;
    Economy {
        prices: [economy.meal_cost, economy.ingredients_cost],
        power: true,
        water: true,
        outside: Micro::ZERO,
        accounts: [Micro::ZERO; 7],
        list_prices: [economy.meal_cost, economy.ingredients_cost],
    }
}

/// What a store starts with, is given a day, and holds at most; `None` for what nobody restocks.
fn supply(rules: &Rules, object: ObjectId) -> Option<[u32; 3]> {
    let economy = &rules.config.economy;
    match rules.plan.objects[object].kind {
        ObjectKind::Till => Some([economy.cafe_stock, economy.cafe_restock, economy.cafe_capacity]),
        ObjectKind::Shelf => Some([economy.grocer_stock, economy.grocer_restock, economy.grocer_capacity]),
        _ => None,
    }
}

/// An object as a town begins.
pub(crate) fn object(rules: &Rules, object: ObjectId) -> ObjectState {
    let stock = match rules.plan.objects[object].kind {
        ObjectKind::Fridge => rules.config.economy.stove_stock_replenish.min(rules.config.economy.fridge_capacity),
        _ => supply(rules, object).map_or(0, |supply| supply[0]),
    };
    ObjectState { stock, ..ObjectState::default() }
}

/// The one way money moves: `amount` from the outside world to a resident, or back when negative.
pub(crate) fn pay(cx: &mut TickContext<'_>, agent: AgentId, amount: Micro, account: Account) {
    cx.state.agents.wallet[agent] += amount;
    cx.state.economy.outside -= amount;
    cx.state.economy.accounts[account as usize] += amount;
}

/// The end of a use: checks once more that all it takes is there, then takes, pays and gives everything at once.
pub(crate) fn settle(cx: &mut TickContext<'_>, agent: AgentId, object: ObjectId, affordance: AffordanceId) {
    let rules = cx.rules;
    let what = &rules.affordances[affordance];
    if let Some(why) = object_refusal(rules, cx.state, agent, object, affordance) {
        cx.count(|counters| counters.affordance_failures += 1);
        let why = why.words();
        cx.emit_for(agent, |who| EventKind::AffordanceFailed { who, affordance, object, why });
        return;
    }
    if let Price::Item(item) = what.price {
        let account = if item as usize == 0 { Account::Meals } else { Account::Groceries };
        let amount = price(cx.state, what);
        pay(cx, agent, -amount, account);
    }
    cx.state.objects[object].stock -= what.takes_stock;
    let agents = &mut cx.state.agents;
    agents.groceries[agent] = agents.groceries[agent] + what.gives_groceries - what.takes_groceries;
    if !what.gradual {
        for (level, effect) in agents.needs[agent].iter_mut().zip(what.effects) {
            *level = (*level + effect).unit();
        }
    }
    if what.meal {
        agents.meals_consumed[agent] += 1;
    }
    if what.cooking {
        let economy = &rules.config.economy;
        let levels = &mut agents.needs[agent];
        levels[crate::needs::ENERGY] = (levels[crate::needs::ENERGY] - economy.cook_energy_cost).unit();
        levels[crate::needs::HYGIENE] = (levels[crate::needs::HYGIENE] - economy.cook_hygiene_cost).unit();
        agents.meals_cooked[agent] += economy.stove_stock_replenish;
        if let Some(fridge) = rules.fridge_of[agents.home[agent]] {
            cx.state.objects[fridge].stock += economy.stove_stock_replenish;
        }
    }
    debug_assert!(what.access == Access::Public || rules.plan.objects[object].place == cx.state.agents.home[agent]);
    cx.emit_for(agent, |who| EventKind::AffordanceDone { who, affordance, object });
    crate::ties::used(cx, agent, object, what.meal);
}

/// Deliveries, at their hour.
pub(crate) fn restock(cx: &mut TickContext<'_>) {
    let rules = cx.rules;
    if rules.tick_of_day(cx.state.tick) != rules.config.economy.restock_tick {
        return;
    }
    for (object, _) in rules.plan.objects() {
        if let Some([_, delivery, capacity]) = supply(rules, object) {
            let stock = &mut cx.state.objects[object].stock;
            *stock = (*stock + delivery).min(capacity.max(*stock));
        }
    }
    cx.emit(EventKind::Restocked);
}

/// At the turn of the day: rent is due.
pub(crate) fn turn_of_day(cx: &mut TickContext<'_>) {
    let rules = cx.rules;
    let rent = rules.config.economy.rent_per_day;
    cx.each(|cx, agent| {
        cx.state.agents.rent_owed[agent] += 1;
        while cx.state.agents.rent_owed[agent] > 0 && cx.state.agents.wallet[agent] >= rent {
            pay(cx, agent, -rent, Account::Rent);
            cx.state.agents.rent_owed[agent] -= 1;
        }
        let days = cx.state.agents.rent_owed[agent];
        if days > 0 {
            cx.emit_for(agent, |who| EventKind::RentMissed { who, days });
        }
    });
}

/// What a day costs at today's prices: rent and three meals.
pub fn basket(rules: &Rules, state: &crate::state::State) -> Micro {
    rules.config.economy.rent_per_day + state.economy.prices[0].scaled(3)
}
