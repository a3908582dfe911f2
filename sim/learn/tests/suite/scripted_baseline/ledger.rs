//! An independent ledger: balances derived from events, places and prices alone.
//!
//! It reads no wallet and no account of the town before it is compared with them, and books every transfer on both sides.

use townlet_town::config::Config;
use townlet_town::fixed_point::Micro;
use townlet_town::perturbations::PRICE_SPIKE;
use townlet_town::state::ShiftState;
use townlet_town::{AgentId, Event, EventKind, ResidentId, Town};

/// The account of one resident.
#[derive(Clone, Copy)]
struct ResidentAccount {
    who: ResidentId,
    held: Micro,
    /// Days of rent not paid.
    due: u32,
    /// Fines still to be deducted from wages.
    fine: Micro,
}

/// The ledger of one town, from before its first arrival.
#[derive(Default)]
pub(crate) struct Ledger {
    accounts: Vec<ResidentAccount>,
    outside: Micro,
    /// Total wages paid to residents; with rent and goods it must be above 0 after some days.
    pub(crate) wages: Micro,
    /// Total rent paid.
    pub(crate) rent: Micro,
    /// Total paid for goods.
    pub(crate) goods: Micro,
}

impl Ledger {
    fn welcome(&mut self, config: &Config, who: ResidentId) {
        self.accounts.push(ResidentAccount { who, held: Micro::ZERO, due: 0, fine: Micro::ZERO });
        self.transfer(who, config.lifecycle.starter_wallet);
    }

    fn account(&mut self, who: ResidentId) -> &mut ResidentAccount {
        self.accounts.iter_mut().find(|account| account.who == who).expect("the resident has an account")
    }

    /// Moves money from the outside account to a resident, or back when negative.
    fn transfer(&mut self, who: ResidentId, amount: Micro) {
        self.account(who).held += amount;
        self.outside -= amount;
    }

    /// Books one tick with its events.
    pub(crate) fn tick(&mut self, town: &Town, events: &[Event]) {
        let rules = town.rules();
        let now = rules.tick_of_day(town.tick() - 1);
        if now == 0 && town.tick() > 1 {
            self.rent_day(rules.config.economy.rent_per_day);
        }
        let helped: Vec<ResidentId> = events
            .iter()
            .filter_map(|event| match event.kind {
                EventKind::HelpedLate { who, .. } => Some(who),
                _ => None,
            })
            .collect();
        for event in events {
            self.note(town, event, &helped);
        }
        for agent in town.state().agents.present.iter().copied() {
            self.wages(town, agent, now);
        }
    }

    fn rent_day(&mut self, rent: Micro) {
        for index in 0..self.accounts.len() {
            self.accounts[index].due += 1;
            while self.accounts[index].due > 0 && self.accounts[index].held >= rent {
                self.transfer(self.accounts[index].who, -rent);
                self.accounts[index].due -= 1;
                self.rent += rent;
            }
        }
    }

    fn note(&mut self, town: &Town, event: &Event, helped: &[ResidentId]) {
        let config = &town.rules().config;
        match event.kind {
            EventKind::ResidentArrived { who } => self.welcome(config, who),
            EventKind::ResidentLeft { who, .. } => {
                let held = self.account(who).held;
                self.transfer(who, -held);
                self.accounts.retain(|account| account.who != who);
            }
            EventKind::AffordanceDone { who, affordance, .. } => {
                let price = match town.rules().affordances[affordance].id.as_str() {
                    "eat_at_cafe" => spiked(town, 0, config.economy.meal_cost),
                    "buy_groceries" => spiked(town, 1, config.economy.ingredients_cost),
                    _ => Micro::ZERO,
                };
                self.transfer(who, -price);
                self.goods += price;
            }
            EventKind::ShiftLate { who, job, ticks } => {
                let job = &config.jobs[&town.rules().jobs[job].name];
                let whole = job.lateness_penalty + config.employment.late_tick_penalty.scaled(i64::from(ticks));
                self.account(who).fine += if helped.contains(&who) { Micro(whole.0 / 2) } else { whole };
            }
            EventKind::ShiftAbsent { who, .. } => self.account(who).fine += config.employment.absence_penalty,
            _ => {}
        }
    }

    /// Books a tick's wages for residents on shift within two steps of the site, less fines. A covered shift is paid
    /// separately and without fines.
    fn wages(&mut self, town: &Town, agent: AgentId, now: u32) {
        let (rules, agents) = (town.rules(), &town.state().agents);
        let who = agents.resident[agent];
        let at = |job| rules.way_to_site(job, agents.tile[agent]).steps() <= 2 && now < rules.jobs[job].end;
        let wage = |job: townlet_town::ids::JobId| rules.config.jobs[&rules.jobs[job].name].wage_rate;
        let on_shift = matches!(agents.shift[agent].state, ShiftState::OnTime | ShiftState::Late);
        let mut paid = Micro::ZERO;
        if let Some(job) = agents.job[agent].filter(|job| on_shift && at(*job)) {
            let kept = self.account(who).fine.min(wage(job));
            self.account(who).fine -= kept;
            paid += wage(job) - kept;
        }
        if let Some(job) = agents.covering[agent].filter(|job| at(*job)) {
            paid += wage(job);
        }
        self.transfer(who, paid);
        self.wages += paid;
    }

    /// The first difference between the town and this ledger.
    pub(crate) fn disagrees(&self, town: &Town) -> Option<String> {
        let agents = &town.state().agents;
        for agent in agents.present.iter().copied() {
            let (who, wallet) = (agents.resident[agent], agents.wallet[agent]);
            match self.accounts.iter().find(|account| account.who == who) {
                Some(account) if account.held == wallet => {}
                Some(account) => return Some(format!("{who:?} holds {wallet} and should hold {}", account.held)),
                None => return Some(format!("{who:?} has no account")),
            }
        }
        let empty = |slot: &usize| !agents.is_present(AgentId(*slot as u16));
        let lost =
            (0..agents.wallet.len()).filter(empty).find(|slot| agents.wallet[AgentId(*slot as u16)] != Micro::ZERO);
        if let Some(slot) = lost {
            return Some(format!("slot {slot} is empty and holds money"));
        }
        let (outside, should) = (town.state().economy.outside, self.outside);
        (outside != should).then(|| format!("the outside world holds {outside} and should hold {should}"))
    }
}

/// A list price under the active price spikes.
fn spiked(town: &Town, item: u8, list: Micro) -> Micro {
    let spikes = town.state().perturbations.active.iter().filter(|it| it.kind == PRICE_SPIKE);
    let about = spikes.filter(|it| it.items >> item & 1 == 1);
    about.fold(list, |price, spike| Micro((i128::from(price.0) * i128::from(spike.magnitude.0) / 1_000_000) as i64))
}
