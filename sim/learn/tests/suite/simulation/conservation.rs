//! Double-entry bookkeeping: balances, goods and needs after a tick, derived from events instead of the town's own books.
//!
//! They change only by finished uses, wages, rent, arrivals and exits. Wages of residents who left within the tick are only
//! bounded.

use townlet_town::affordances::{Affordance, Price};
use townlet_town::ids::{JobId, ObjectId};
use townlet_town::needs::{ENERGY, HYGIENE, NEED_COUNT};
use townlet_town::plan::ObjectKind;
use townlet_town::state::Account;
use townlet_town::state::{Activity, ShiftState, State};
use townlet_town::{AgentId, Command, EventKind, Micro, ResidentId};

use super::{CheckResult, Transition, ensure};

/// Steps from a site within which a resident is at work.
const SITE_REACH: u16 = 2;

/// The slot of a resident.
pub(crate) fn slot(state: &State, who: ResidentId) -> Option<AgentId> {
    state.agents.present.iter().copied().find(|agent| state.agents.resident[*agent] == who)
}

/// Expected balances after a tick or command.
struct Books {
    accounts: [Micro; 7],
    stock: Vec<u32>,
    /// Money of the residents who left, without this tick's wages.
    gone: Micro,
}

impl Books {
    fn book(&mut self, account: Account, amount: Micro) {
        self.accounts[account as usize] += amount;
    }
}

/// After a command: only its subject has changed.
pub(crate) fn command(transition: &Transition<'_>, command: &Command) -> CheckResult {
    let Transition { before, after, .. } = transition;
    let mut books = open(before);
    for agent in before.agents.present.iter().copied() {
        let (had, who) = (before.agents.wallet[agent], before.agents.resident[agent]);
        let Some(now) = slot(after, who) else {
            books.book(Account::Departure, -had);
            continue;
        };
        let has = after.agents.wallet[now];
        match command {
            Command::SetMoney { who: paid, value } if *paid == who => {
                ensure!(has == *value, "money: {who:?} was given {value} and has {has}");
                books.book(Account::Operator, has - had);
            }
            _ => ensure!(has == had, "money: {who:?} had {had} and has {has}"),
        }
        let same = before.agents.groceries[agent] == after.agents.groceries[now];
        ensure!(same, "goods: groceries of {who:?} changed");
        if !matches!(command, Command::SetNeed { who: filled, .. } if *filled == who) {
            ensure!(before.agents.needs[agent] == after.agents.needs[now], "needs: needs of {who:?} changed");
        }
    }
    newcomers(transition, &mut books)?;
    close(transition, &books)
}

/// After a tick.
pub(crate) fn tick(transition: &Transition<'_>) -> CheckResult {
    let mut books = open(transition.before);
    uses(transition, &mut books)?;
    for agent in transition.before.agents.present.iter().copied() {
        resident(transition, agent, &mut books)?;
    }
    leavers(transition, &mut books)?;
    newcomers(transition, &mut books)?;
    deliveries(transition, &mut books);
    close(transition, &books)
}

fn open(before: &State) -> Books {
    let stock = before.objects.iter().map(|object| object.stock).collect();
    Books { accounts: before.economy.accounts, stock, gone: Micro::ZERO }
}

/// Accounts, wallets and stocks must match, and all money must sum to zero.
fn close(transition: &Transition<'_>, books: &Books) -> CheckResult {
    let economy = &transition.after.economy;
    let (theirs, ours) = (economy.accounts, books.accounts);
    ensure!(theirs == ours, "money: the accounts are {theirs:?} and should be {ours:?}");
    let wallets: Micro = transition.after.agents.wallet.iter().copied().sum();
    ensure!(wallets + economy.outside == Micro::ZERO, "money: wallets hold {wallets}, the outside {}", economy.outside);
    let accounts: Micro = ours.into_iter().sum();
    ensure!(accounts == wallets, "money: {accounts} was paid out and wallets hold {wallets}");
    for ((_, plan), (object, stock)) in
        transition.rules.plan.objects().zip(transition.after.objects.iter().zip(&books.stock))
    {
        ensure!(object.stock == *stock, "goods: {} holds {} and should hold {stock}", plan.name, object.stock);
    }
    Ok(())
}

/// The finished uses of a resident.
fn ended<'a>(transition: &'a Transition<'_>, who: ResidentId) -> impl Iterator<Item = (ObjectId, &'a Affordance)> {
    transition.events.iter().filter_map(move |event| match event.kind {
        EventKind::AffordanceDone { who: user, affordance, object } if user == who => {
            Some((object, &transition.rules.affordances[affordance]))
        }
        _ => None,
    })
}

/// Books the goods of finished uses. No use may end early.
fn uses(transition: &Transition<'_>, books: &mut Books) -> CheckResult {
    let (rules, before) = (transition.rules, transition.before);
    for event in transition.events {
        let EventKind::AffordanceDone { who, affordance, object } = event.kind else { continue };
        let user = slot(before, who);
        ensure!(user.is_some(), "goods: {who:?} used something before arriving");
        let agent = user.unwrap_or_default();
        let due = matches!(before.agents.activity[agent], Activity::Using(at, what, until)
            if at == object && what == affordance && until <= event.tick);
        ensure!(due, "goods: {who:?} finished a use that was {:?}", before.agents.activity[agent]);
        let what = &rules.affordances[affordance];
        let stock = books.stock[object.0 as usize].checked_sub(what.takes_stock);
        ensure!(stock.is_some(), "goods: {who:?} took what was not there");
        books.stock[object.0 as usize] = stock.unwrap_or_default();
        if what.cooking
            && let Some(fridge) = rules.fridge_of[before.agents.home[agent]]
        {
            books.stock[fridge.0 as usize] += rules.config.economy.stove_stock_replenish;
        }
    }
    Ok(())
}

fn price(transition: &Transition<'_>, what: &Affordance) -> (Account, Micro) {
    match what.price {
        Price::Free => (Account::Meals, Micro::ZERO),
        Price::Item(item) if item as usize == 0 => (Account::Meals, transition.after.economy.prices[0]),
        Price::Item(_) => (Account::Groceries, transition.after.economy.prices[1]),
    }
}

fn resident(transition: &Transition<'_>, agent: AgentId, books: &mut Books) -> CheckResult {
    let Transition { rules, before, after, .. } = transition;
    let who = before.agents.resident[agent];
    let mut wallet = before.agents.wallet[agent];
    let mut groceries = before.agents.groceries[agent];
    let mut due = before.agents.rent_owed[agent];
    if before.tick > 0 && rules.tick_of_day(before.tick) == 0 {
        let rent = rules.config.economy.rent_per_day;
        due += 1;
        while due > 0 && wallet >= rent {
            wallet -= rent;
            due -= 1;
            books.book(Account::Rent, -rent);
        }
    }
    for (_, what) in ended(transition, who) {
        let (account, price) = price(transition, what);
        ensure!(wallet >= price, "money: {who:?} paid {price} out of {wallet}");
        wallet -= price;
        books.book(account, -price);
        groceries = groceries + what.gives_groceries - what.takes_groceries;
    }
    let Some(now) = slot(after, who) else {
        books.gone += wallet;
        return Ok(());
    };
    let earned = after.agents.wages_earned[now] - before.agents.wages_earned[agent];
    wages(transition, agent, now, earned)?;
    wallet += earned;
    books.book(Account::Wages, earned);
    let has = after.agents.wallet[now];
    ensure!(has == wallet, "money: {who:?} has {has} and should have {wallet}");
    ensure!(after.agents.rent_owed[now] == due, "money: {who:?} should owe {due} days of rent");
    ensure!(after.agents.groceries[now] == groceries, "goods: {who:?} should carry {groceries} groceries");
    needs(transition, agent, now)
}

/// Books the wages of residents who left within the tick: paid to them and returned with them.
fn leavers(transition: &Transition<'_>, books: &mut Books) -> CheckResult {
    let (rules, agents) = (transition.rules, &transition.before.agents);
    let gone = agents.present.iter().filter(|agent| slot(transition.after, agents.resident[**agent]).is_none());
    let jobs = gone.flat_map(|agent| agents.job[*agent].into_iter().chain(agents.covering[*agent]));
    let most: i64 = jobs.map(|job| rules.jobs[job].wage.0).sum();
    let earned = transition.after.economy.accounts[Account::Wages as usize] - books.accounts[Account::Wages as usize];
    ensure!((0..=most).contains(&earned.0), "money: residents who left earned {earned} of {}", Micro(most));
    books.book(Account::Wages, earned);
    books.book(Account::Departure, -(books.gone + earned));
    Ok(())
}

/// Wages require presence at the site during the shift, and are at most the job's wage.
fn wages(transition: &Transition<'_>, agent: AgentId, now: AgentId, earned: Micro) -> CheckResult {
    let (rules, after) = (transition.rules, transition.after);
    let withheld = after.agents.wages_withheld[now] - transition.before.agents.wages_withheld[agent];
    ensure!(earned >= Micro::ZERO && withheld >= Micro::ZERO, "money: {earned} earned, {withheld} withheld in a tick");
    if earned == Micro::ZERO {
        return Ok(());
    }
    let tick = rules.tick_of_day(transition.before.tick);
    // A shift can be covered in this very tick, and a shift begun before midnight is still paid by its old terms.
    let jobs = after.agents.job[now].into_iter().chain(after.agents.covering[now]);
    let there = |job: &JobId| {
        let it = &rules.jobs[*job];
        rules.way_to_site(*job, after.agents.tile[now]).steps() <= SITE_REACH && (it.start..it.end).contains(&tick)
    };
    let most: Micro = jobs.filter(there).map(|job| rules.jobs[job].wage).sum();
    let shift = after.agents.shift[now].state;
    let at_work = matches!(shift, ShiftState::OnTime | ShiftState::Late) || after.agents.covering[now].is_some();
    let who = after.agents.resident[now];
    ensure!(earned <= most && at_work, "money: {who:?} earned {earned} of {most} as {shift:?}");
    Ok(())
}

/// Needs fall by their decay and rise by a use's effects, at its end or gradually.
fn needs(transition: &Transition<'_>, agent: AgentId, now: AgentId) -> CheckResult {
    let Transition { rules, before, after, .. } = transition;
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
        for (_, what) in ended(transition, who) {
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
        ensure!(fits, "needs: {who:?} has {} and should have {least} to {most}", has[need]);
    }
    Ok(())
}

fn newcomers(transition: &Transition<'_>, books: &mut Books) -> CheckResult {
    let config = &transition.rules.config.lifecycle;
    for agent in transition.after.agents.present.iter().copied() {
        let who = transition.after.agents.resident[agent];
        if slot(transition.before, who).is_some() {
            continue;
        }
        books.book(Account::Starter, config.starter_wallet);
        let has = transition.after.agents.wallet[agent];
        ensure!(has == config.starter_wallet, "money: {who:?} arrived with {has}");
        let carries = transition.after.agents.groceries[agent];
        ensure!(carries == config.starter_groceries, "goods: {who:?} arrived with {carries} groceries");
    }
    Ok(())
}

fn deliveries(transition: &Transition<'_>, books: &mut Books) {
    let economy = &transition.rules.config.economy;
    if transition.rules.tick_of_day(transition.before.tick) != economy.restock_tick {
        return;
    }
    for ((_, object), stock) in transition.rules.plan.objects().zip(&mut books.stock) {
        let (delivery, holds) = match object.kind {
            ObjectKind::Till => (economy.cafe_restock, economy.cafe_capacity),
            ObjectKind::Shelf => (economy.grocer_restock, economy.grocer_capacity),
            _ => continue,
        };
        *stock = (*stock).max((*stock + delivery).min(holds));
    }
}
