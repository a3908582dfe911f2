//! Payments, stock, restocking and rent. Rules: "Map and economy", "Affordances".
//!
//! Invariant: all wallets and the outside balance sum to zero.

use crate::affordances::{Access, Price};
use crate::events::EventKind;
use crate::fixed_point::Micro;
use crate::ids::{AffordanceId, AgentId, ObjectId};
use crate::masks::{object_refusal, price};
use crate::needs::{ENERGY, HYGIENE};
use crate::plan::ObjectKind;
use crate::rules::Rules;
use crate::state::{Account, Economy, ObjectState, State};
use crate::tick_context::TickContext;
use crate::ties;

/// Most money in a wallet or on a price tag, in meals, so that sums stay far from the limits of the number type.
pub const MAX_MONEY: Micro = Micro::whole(1_000_000);

/// Prices and utilities at the start of a town.
pub(crate) fn initial(rules: &Rules) -> Economy {
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

/// Initial stock, daily delivery and capacity of a store; `None` for objects that are not restocked.
fn supply(rules: &Rules, object: ObjectId) -> Option<[u32; 3]> {
    let economy = &rules.config.economy;
    match rules.plan.objects[object].kind {
        ObjectKind::Till => Some([economy.cafe_stock, economy.cafe_restock, economy.cafe_capacity]),
        ObjectKind::Shelf => Some([economy.grocer_stock, economy.grocer_restock, economy.grocer_capacity]),
        _ => None,
    }
}

/// An object at the start of a town.
pub(crate) fn initial_object(rules: &Rules, object: ObjectId) -> ObjectState {
    let stock = match rules.plan.objects[object].kind {
        ObjectKind::Fridge => rules.config.economy.stove_stock_replenish.min(rules.config.economy.fridge_capacity),
        _ => supply(rules, object).map_or(0, |supply| supply[0]),
    };
    ObjectState { stock, ..ObjectState::default() }
}

/// Pays `amount` from the outside world to a resident; a negative amount goes the other way. All money moves through here.
pub(crate) fn pay(cx: &mut TickContext<'_>, agent: AgentId, amount: Micro, account: Account) {
    cx.state.agents.wallet[agent] += amount;
    cx.state.economy.outside -= amount;
    cx.state.economy.accounts[account as usize] += amount;
}

/// Completes a use: checks its requirements again, then takes, pays and gives everything at once.
pub(crate) fn complete_use(cx: &mut TickContext<'_>, agent: AgentId, object: ObjectId, affordance: AffordanceId) {
    let rules = cx.rules;
    let what = &rules.affordances[affordance];
    if let Some(why) = object_refusal(rules, cx.state, agent, object, affordance) {
        cx.count(|counters| counters.affordance_failures += 1);
        let why = why.description();
        cx.emit_for(agent, |who| EventKind::AffordanceFailed { who, affordance, object, why });
        return;
    }
    if let Price::Item(item) = what.price {
        let account = if item as usize == 0 { Account::Meals } else { Account::Groceries };
        let amount = price(cx.state, what);
        pay(cx, agent, -amount, account);
    }
    cx.count(|counters| {
        counters.meals += u32::from(what.meal);
        counters.cookings += u32::from(what.cooking);
        counters.shopping_trips += u32::from(what.gives_groceries > 0);
    });
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
        levels[ENERGY] = (levels[ENERGY] - economy.cook_energy_cost).unit();
        levels[HYGIENE] = (levels[HYGIENE] - economy.cook_hygiene_cost).unit();
        agents.meals_cooked[agent] += economy.stove_stock_replenish;
        if let Some(fridge) = rules.fridge_of[agents.home[agent]] {
            cx.state.objects[fridge].stock += economy.stove_stock_replenish;
        }
    }
    debug_assert!(what.access == Access::Public || rules.plan.objects[object].place == cx.state.agents.home[agent]);
    cx.emit_for(agent, |who| EventKind::AffordanceDone { who, affordance, object });
    ties::use_completed(cx, agent, object, what.meal);
}

/// The daily delivery to the stores.
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

/// Collects the rent of a day, and unpaid rent as far as the wallet allows.
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

/// The cost of a day at today's prices: rent and three meals.
pub fn basket(rules: &Rules, state: &State) -> Micro {
    rules.config.economy.rent_per_day + state.economy.prices[0].scaled(3)
}
