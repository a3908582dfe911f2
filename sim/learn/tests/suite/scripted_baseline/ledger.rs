//! Books kept by somebody else: who should hold how much, worked out from events, places and prices alone.
//!
//! Never reads a wallet, an account or the outside world's purse of the town until it is compared with them. Each
//! movement has two sides, so what it finds is conserved by its own making.

use townlet_town::config::Config;
use townlet_town::fixed_point::Micro;
use townlet_town::perturbations::PRICE_SPIKE;
use townlet_town::state::ShiftState;
use townlet_town::{AgentId, Event, EventKind, ResidentId, Town};

/// What is known of one resident.
#[derive(Clone, Copy)]
struct Page {
    who: ResidentId,
    held: Micro,
    /// Days of rent not paid.
    owed: u32,
    /// Still to be kept back from wages.
    fine: Micro,
}

/// The books of one town, opened before anybody has arrived.
#[derive(Default)]
pub(crate) struct Ledger {
    pages: Vec<Page>,
    outside: Micro,
    /// Sums that came to residents as wages, and left them for rent and for goods: none may be nothing after some days.
    pub(crate) wages: Micro,
    /// See [`Ledger::wages`].
    pub(crate) rent: Micro,
    /// See [`Ledger::wages`].
    pub(crate) goods: Micro,
}

impl Ledger {
    fn welcome(&mut self, config: &Config, who: ResidentId) {
        self.pages.push(Page { who, held: Micro::ZERO, owed: 0, fine: Micro::ZERO });
        self.transfer(who, config.lifecycle.starter_wallet);
    }

    fn page(&mut self, who: ResidentId) -> &mut Page {
        self.pages.iter_mut().find(|page| page.who == who).expect("they have a page")
    }

    /// From the outside world to a resident, or back when negative.
    fn transfer(&mut self, who: ResidentId, amount: Micro) {
        self.page(who).held += amount;
        self.outside -= amount;
    }

    /// One tick that has been lived through, with what happened in it.
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
        for index in 0..self.pages.len() {
            self.pages[index].owed += 1;
            while self.pages[index].owed > 0 && self.pages[index].held >= rent {
                self.transfer(self.pages[index].who, -rent);
                self.pages[index].owed -= 1;
                self.rent += rent;
            }
        }
    }

    fn note(&mut self, town: &Town, event: &Event, helped: &[ResidentId]) {
        let config = &town.rules().config;
        match event.kind {
            EventKind::ResidentArrived { who } => self.welcome(config, who),
            EventKind::ResidentLeft { who, .. } => {
                let held = self.page(who).held;
                self.transfer(who, -held);
                self.pages.retain(|page| page.who != who);
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
                self.page(who).fine += if helped.contains(&who) { Micro(whole.0 / 2) } else { whole };
            }
            EventKind::ShiftAbsent { who, .. } => self.page(who).fine += config.employment.absence_penalty,
            _ => {}
        }
    }

    /// A tick of work for whoever is on shift and within two steps of the site; fines come off first. A shift worked for
    /// somebody else is paid besides, and fines do not touch it.
    fn wages(&mut self, town: &Town, agent: AgentId, now: u32) {
        let (rules, agents) = (town.rules(), &town.state().agents);
        let who = agents.resident[agent];
        let at = |job| rules.jobs[job].field[agents.tile[agent]] <= 2 && now < rules.jobs[job].end;
        let wage = |job: townlet_town::ids::JobId| rules.config.jobs[&rules.jobs[job].name].wage_rate;
        let on_shift = matches!(agents.shift[agent].state, ShiftState::OnTime | ShiftState::Late);
        let mut paid = Micro::ZERO;
        if let Some(job) = agents.job[agent].filter(|job| on_shift && at(*job)) {
            let kept = self.page(who).fine.min(wage(job));
            self.page(who).fine -= kept;
            paid += wage(job) - kept;
        }
        if let Some(job) = agents.covering[agent].filter(|job| at(*job)) {
            paid += wage(job);
        }
        self.transfer(who, paid);
        self.wages += paid;
    }

    /// Where the town and these books differ, to the last unit; `None` when they agree.
    pub(crate) fn disagrees(&self, town: &Town) -> Option<String> {
        let agents = &town.state().agents;
        for agent in agents.present.iter().copied() {
            let (who, wallet) = (agents.resident[agent], agents.wallet[agent]);
            match self.pages.iter().find(|page| page.who == who) {
                Some(page) if page.held == wallet => {}
                Some(page) => return Some(format!("{who:?} holds {wallet} and should hold {}", page.held)),
                None => return Some(format!("{who:?} has no page")),
            }
        }
        let empty = |slot: &usize| !agents.is_present(AgentId(*slot as u16));
        let lost =
            (0..agents.wallet.len()).filter(empty).find(|slot| agents.wallet[AgentId(*slot as u16)] != Micro::ZERO);
        if let Some(slot) = lost {
            return Some(format!("nobody lives in slot {slot}, and it holds money"));
        }
        let (outside, should) = (town.state().economy.outside, self.outside);
        (outside != should).then(|| format!("the outside world holds {outside} and should hold {should}"))
    }
}

/// A list price under the spikes of the moment.
fn spiked(town: &Town, item: u8, list: Micro) -> Micro {
    let spikes = town.state().perturbations.active.iter().filter(|it| it.kind == PRICE_SPIKE);
    let about = spikes.filter(|it| it.items >> item & 1 == 1);
    about.fold(list, |price, spike| Micro((i128::from(price.0) * i128::from(spike.magnitude.0) / 1_000_000) as i64))
}
