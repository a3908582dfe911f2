//! The second set of books: what everybody must own after a tick, worked out from what happened and not from what the
//! town wrote down; with an account for the outside world.
//!
//! Money, meals, groceries and needs move only by a use that ended, by wages for being there, by rent, by coming and by
//! going; so nothing is half-paid. Wages of those who left within the tick are known only by what may be earned.

use townlet_town::affordances::{Affordance, Price};
use townlet_town::ids::{JobId, ObjectId};
use townlet_town::needs::{ENERGY, HYGIENE, NEED_COUNT};
use townlet_town::plan::ObjectKind;
use townlet_town::state::Account;
use townlet_town::state::{Activity, ShiftState, State};
use townlet_town::{AgentId, Command, EventKind, Micro, ResidentId};

use crate::{Held, Moment, hold};

/// Steps from a site within which one is at work.
const SITE_REACH: u16 = 2;

/// The slot somebody lives in.
pub(crate) fn slot(state: &State, who: ResidentId) -> Option<AgentId> {
    state.agents.present.iter().copied().find(|agent| state.agents.resident[*agent] == who)
}

/// The books of a tick.
struct Page {
    accounts: [Micro; 7],
    stock: Vec<u32>,
    /// What those who left in the tick had without its wages.
    gone: Micro,
}

impl Page {
    fn book(&mut self, account: Account, amount: Micro) {
        self.accounts[account as usize] += amount;
    }
}

/// After an order: only what it is about has changed.
pub(crate) fn order(moment: &Moment<'_>, command: &Command) -> Held {
    let Moment { before, after, .. } = moment;
    let mut page = open(before);
    for agent in before.agents.present.iter().copied() {
        let (had, who) = (before.agents.wallet[agent], before.agents.resident[agent]);
        let Some(now) = slot(after, who) else {
            page.book(Account::Departure, -had);
            continue;
        };
        let has = after.agents.wallet[now];
        match command {
            Command::SetMoney { who: paid, value } if *paid == who => {
                hold!(has == *value, "money: {who:?} was given {value} and has {has}");
                page.book(Account::Operator, has - had);
            }
            _ => hold!(has == had, "money: {who:?} had {had} and has {has}"),
        }
        let same = before.agents.groceries[agent] == after.agents.groceries[now];
        hold!(same, "goods: {who:?} carries other groceries");
        if !matches!(command, Command::SetNeed { who: filled, .. } if *filled == who) {
            hold!(before.agents.needs[agent] == after.agents.needs[now], "needs: those of {who:?} changed");
        }
    }
    newcomers(moment, &mut page)?;
    close(moment, &page)
}

/// After a tick.
pub(crate) fn tick(moment: &Moment<'_>) -> Held {
    let mut page = open(moment.before);
    uses(moment, &mut page)?;
    for agent in moment.before.agents.present.iter().copied() {
        resident(moment, agent, &mut page)?;
    }
    leavers(moment, &mut page)?;
    newcomers(moment, &mut page)?;
    deliveries(moment, &mut page);
    close(moment, &page)
}

fn open(before: &State) -> Page {
    let stock = before.objects.iter().map(|object| object.stock).collect();
    Page { accounts: before.economy.accounts, stock, gone: Micro::ZERO }
}

/// Both sets say the same, and all money together is none.
fn close(moment: &Moment<'_>, page: &Page) -> Held {
    let economy = &moment.after.economy;
    let (theirs, ours) = (economy.accounts, page.accounts);
    hold!(theirs == ours, "money: the accounts are {theirs:?} and should be {ours:?}");
    let wallets: Micro = moment.after.agents.wallet.iter().copied().sum();
    hold!(wallets + economy.outside == Micro::ZERO, "money: wallets hold {wallets}, the outside {}", economy.outside);
    let accounts: Micro = ours.into_iter().sum();
    hold!(accounts == wallets, "money: {accounts} went out and {wallets} are held");
    for ((_, plan), (object, stock)) in moment.rules.plan.objects().zip(moment.after.objects.iter().zip(&page.stock)) {
        hold!(object.stock == *stock, "goods: {} holds {} and should hold {stock}", plan.name, object.stock);
    }
    Ok(())
}

/// The uses that ended well for a resident.
fn ended<'a>(moment: &'a Moment<'_>, who: ResidentId) -> impl Iterator<Item = (ObjectId, &'a Affordance)> {
    moment.events.iter().filter_map(move |event| match event.kind {
        EventKind::AffordanceDone { who: user, affordance, object } if user == who => {
            Some((object, &moment.rules.affordances[affordance]))
        }
        _ => None,
    })
}

/// What uses took out of things and put into them. A use ends no sooner than it should.
fn uses(moment: &Moment<'_>, page: &mut Page) -> Held {
    let (rules, before) = (moment.rules, moment.before);
    for event in moment.events {
        let EventKind::AffordanceDone { who, affordance, object } = event.kind else { continue };
        let user = slot(before, who);
        hold!(user.is_some(), "goods: {who:?} used something before arriving");
        let agent = user.unwrap_or_default();
        let due = matches!(before.agents.activity[agent], Activity::Using(at, what, until)
            if at == object && what == affordance && until <= event.tick);
        hold!(due, "goods: {who:?} is done with what was {:?}", before.agents.activity[agent]);
        let what = &rules.affordances[affordance];
        let stock = page.stock[object.0 as usize].checked_sub(what.takes_stock);
        hold!(stock.is_some(), "goods: {who:?} took what was not there");
        page.stock[object.0 as usize] = stock.unwrap_or_default();
        if what.cooking
            && let Some(fridge) = rules.fridge_of[before.agents.home[agent]]
        {
            page.stock[fridge.0 as usize] += rules.config.economy.stove_stock_replenish;
        }
    }
    Ok(())
}

fn price(moment: &Moment<'_>, what: &Affordance) -> (Account, Micro) {
    match what.price {
        Price::Free => (Account::Meals, Micro::ZERO),
        Price::Item(item) if item as usize == 0 => (Account::Meals, moment.after.economy.prices[0]),
        Price::Item(_) => (Account::Groceries, moment.after.economy.prices[1]),
    }
}

fn resident(moment: &Moment<'_>, agent: AgentId, page: &mut Page) -> Held {
    let Moment { rules, before, after, .. } = moment;
    let who = before.agents.resident[agent];
    let mut wallet = before.agents.wallet[agent];
    let mut groceries = before.agents.groceries[agent];
    let mut owed = before.agents.rent_owed[agent];
    if before.tick > 0 && rules.tick_of_day(before.tick) == 0 {
        let rent = rules.config.economy.rent_per_day;
        owed += 1;
        while owed > 0 && wallet >= rent {
            wallet -= rent;
            owed -= 1;
            page.book(Account::Rent, -rent);
        }
    }
    for (_, what) in ended(moment, who) {
        let (account, price) = price(moment, what);
        hold!(wallet >= price, "money: {who:?} paid {price} out of {wallet}");
        wallet -= price;
        page.book(account, -price);
        groceries = groceries + what.gives_groceries - what.takes_groceries;
    }
    let Some(now) = slot(after, who) else {
        page.gone += wallet;
        return Ok(());
    };
    let earned = after.agents.wages_earned[now] - before.agents.wages_earned[agent];
    wages(moment, agent, now, earned)?;
    wallet += earned;
    page.book(Account::Wages, earned);
    let has = after.agents.wallet[now];
    hold!(has == wallet, "money: {who:?} has {has} and should have {wallet}");
    hold!(after.agents.rent_owed[now] == owed, "money: {who:?} should owe {owed} days of rent");
    hold!(after.agents.groceries[now] == groceries, "goods: {who:?} should carry {groceries} groceries");
    needs(moment, agent, now)
}

/// What the leavers of a tick earned in it is in no column any more: it went out to them and came back with them.
fn leavers(moment: &Moment<'_>, page: &mut Page) -> Held {
    let (rules, agents) = (moment.rules, &moment.before.agents);
    let gone = agents.present.iter().filter(|agent| slot(moment.after, agents.resident[**agent]).is_none());
    let jobs = gone.flat_map(|agent| agents.job[*agent].into_iter().chain(agents.covering[*agent]));
    let most: i64 = jobs.map(|job| rules.jobs[job].wage.0).sum();
    let earned = moment.after.economy.accounts[Account::Wages as usize] - page.accounts[Account::Wages as usize];
    hold!((0..=most).contains(&earned.0), "money: those who left earned {earned} of {}", Micro(most));
    page.book(Account::Wages, earned);
    page.book(Account::Departure, -(page.gone + earned));
    Ok(())
}

/// Wages are for being at the site within the shift, and no more than the job pays.
fn wages(moment: &Moment<'_>, agent: AgentId, now: AgentId, earned: Micro) -> Held {
    let (rules, after) = (moment.rules, moment.after);
    let withheld = after.agents.wages_withheld[now] - moment.before.agents.wages_withheld[agent];
    hold!(earned >= Micro::ZERO && withheld >= Micro::ZERO, "money: {earned} earned, {withheld} withheld in a tick");
    if earned == Micro::ZERO {
        return Ok(());
    }
    let tick = rules.tick_of_day(moment.before.tick);
    // A shift may be taken over in this very tick, and one begun before midnight is still paid by its old terms.
    let jobs = after.agents.job[now].into_iter().chain(after.agents.covering[now]);
    let there = |job: &JobId| {
        let it = &rules.jobs[*job];
        it.field[after.agents.tile[now]] <= SITE_REACH && (it.start..it.end).contains(&tick)
    };
    let most: Micro = jobs.filter(there).map(|job| rules.jobs[job].wage).sum();
    let shift = after.agents.shift[now].state;
    let at_work = matches!(shift, ShiftState::OnTime | ShiftState::Late) || after.agents.covering[now].is_some();
    let who = after.agents.resident[now];
    hold!(earned <= most && at_work, "money: {who:?} earned {earned} of {most} as {shift:?}");
    Ok(())
}

/// Levels fall by their decay and rise by what a use gives, at its end or, where it says so, by a part of it each tick.
fn needs(moment: &Moment<'_>, agent: AgentId, now: AgentId) -> Held {
    let Moment { rules, before, after, .. } = moment;
    let who = before.agents.resident[agent];
    let (had, has) = (before.agents.needs[agent], after.agents.needs[now]);
    for need in 0..NEED_COUNT {
        let mut level = had[need];
        let mut slack = 0;
        if let Activity::Using(_, affordance, _) = before.agents.activity[agent]
            && rules.affordances[affordance].gradual
        {
            let what = &rules.affordances[affordance];
            slack = what.effects[need].0 / i64::from(what.duration) + 1;
        }
        for (_, what) in ended(moment, who) {
            if !what.gradual {
                level = (level + what.effects[need]).unit();
            }
            let economy = &rules.config.economy;
            let cost = [(ENERGY, economy.cook_energy_cost), (HYGIENE, economy.cook_hygiene_cost)];
            for (_, cost) in cost.into_iter().filter(|(of, _)| what.cooking && *of == need) {
                level = (level - cost).unit();
            }
        }
        let least = (level - rules.decay[need]).unit();
        let most = ((level + Micro(slack)).unit() - rules.decay[need]).unit();
        let fits = (least..=most).contains(&has[need]);
        hold!(fits, "needs: {who:?} has {} and should have {least} to {most}", has[need]);
    }
    Ok(())
}

fn newcomers(moment: &Moment<'_>, page: &mut Page) -> Held {
    let config = &moment.rules.config.lifecycle;
    for agent in moment.after.agents.present.iter().copied() {
        let who = moment.after.agents.resident[agent];
        if slot(moment.before, who).is_some() {
            continue;
        }
        page.book(Account::Starter, config.starter_wallet);
        let has = moment.after.agents.wallet[agent];
        hold!(has == config.starter_wallet, "money: {who:?} arrived with {has}");
        let carries = moment.after.agents.groceries[agent];
        hold!(carries == config.starter_groceries, "goods: {who:?} arrived with {carries} groceries");
    }
    Ok(())
}

fn deliveries(moment: &Moment<'_>, page: &mut Page) {
    let economy = &moment.rules.config.economy;
    if moment.rules.tick_of_day(moment.before.tick) != economy.restock_tick {
        return;
    }
    for ((_, object), stock) in moment.rules.plan.objects().zip(&mut page.stock) {
        let (delivery, holds) = match object.kind {
            ObjectKind::Till => (economy.cafe_restock, economy.cafe_capacity),
            ObjectKind::Shelf => (economy.grocer_restock, economy.grocer_capacity),
            _ => continue,
        };
        *stock = (*stock).max((*stock + delivery).min(holds));
    }
}
