//! Checks after every tick of an evaluation: money is conserved, queues are in order, and queues move.
//!
//! Keeps a ledger of its own from wages, purchases and rent, and compares it with the wallets. Only valid for towns without
//! operator commands. Rule: "Scripted baseline".

use townlet_town::events::EventKind;
use townlet_town::fixed_point::Micro;
use townlet_town::ids::{AgentId, ObjectId};
use townlet_town::{Rules, State, Town, masks, names, queues};

/// Ticks that an unused reservation can block a queue, including the walk to it.
const RESERVATION_TICKS: u64 = 100;

/// A violated invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Ticks of the town when it was found.
    pub tick: u64,
    /// What is wrong, as a sentence.
    pub what: String,
}

/// Checks a town tick by tick and keeps the first violation of each kind.
#[derive(Clone, Debug)]
pub struct InvariantMonitor {
    /// The first time that wallets and ledger differed.
    pub money: Option<Violation>,
    /// The first time that a queue was out of order or did not move.
    pub deadlock: Option<Violation>,
    /// Paid for meals and groceries, by resident number.
    spent: Vec<Micro>,
    /// By object: its users one tick ago, and the tick since which they have not changed while residents queued.
    unchanged_since: Vec<(Vec<AgentId>, u64)>,
    /// Ticks without a change after which a queue counts as stuck.
    stuck_after: u64,
}

impl InvariantMonitor {
    /// A monitor for a town before its first tick.
    pub fn new(town: &Town) -> Self {
        let rules = town.rules();
        let longest = rules.affordances.iter().map(|what| what.duration).max().unwrap_or_default();
        let stuck_after = u64::from(longest + rules.config.queue_fairness.cooldown_ticks) + RESERVATION_TICKS;
        let unchanged_since = vec![(Vec::new(), town.tick()); rules.plan.objects.len()];
        Self { money: None, deadlock: None, spent: Vec::new(), unchanged_since, stuck_after }
    }

    /// Checks the latest tick. Its events must not be cleared yet.
    pub fn check(&mut self, town: &Town) {
        let violation = |what| Violation { tick: town.tick(), what };
        self.record_purchases(town);
        if self.money.is_none() {
            self.money = self.money_mismatch(town.rules(), town.state()).map(violation);
        }
        let stuck = self.stuck_queue(town.rules(), town.state());
        if self.deadlock.is_none() {
            let disorder = queues::violations(town.rules(), town.state()).into_iter().next();
            self.deadlock = disorder.or(stuck).map(violation);
        }
    }

    /// Adds the price of every finished use, at the prices of this tick.
    fn record_purchases(&mut self, town: &Town) {
        for event in town.events() {
            if let EventKind::AffordanceDone { who, affordance, .. } = event.kind {
                let index = who.0 as usize;
                if self.spent.len() <= index {
                    self.spent.resize(index + 1, Micro::ZERO);
                }
                self.spent[index] += masks::price(town.state(), &town.rules().affordances[affordance]);
            }
        }
    }

    /// Every wallet must hold the starter wallet and the wages, less purchases and paid rent; the outside account must be
    /// exactly the negative sum.
    fn money_mismatch(&self, rules: &Rules, state: &State) -> Option<String> {
        let day = rules.day_length();
        let (agents, last) = (&state.agents, state.tick - 1);
        let mut held = Micro::ZERO;
        for agent in agents.present.iter().copied() {
            let who = agents.resident[agent];
            // Rent is due at the start of a day, before newcomers arrive.
            let due = (last / day - agents.arrived[agent] / day) as i64 - i64::from(agents.rent_owed[agent]);
            let spent = self.spent.get(who.0 as usize).copied().unwrap_or_default();
            let owns = rules.config.lifecycle.starter_wallet + agents.wages_earned[agent]
                - spent
                - rules.config.economy.rent_per_day.scaled(due);
            if agents.wallet[agent] != owns {
                return Some(format!("{} holds {} and owns {owns}", names::name(who), agents.wallet[agent]));
            }
            held += owns;
        }
        let outside = state.economy.outside;
        (outside != -held).then(|| format!("the outside world holds {outside}, the town {held}"))
    }

    /// The first queue or walking resident that has not moved for longer than any use can take.
    fn stuck_queue(&mut self, rules: &Rules, state: &State) -> Option<String> {
        let mut found = None;
        for (index, (before, since)) in self.unchanged_since.iter_mut().enumerate() {
            let object = ObjectId(index as u16);
            let it = &state.objects[object];
            if it.queue.is_empty() || *before != it.uses {
                *since = state.tick;
                before.clone_from(&it.uses);
            } else if state.tick - *since > self.stuck_after {
                found = Some(format!("nothing moves in the queue of {}", rules.plan.objects[object].name));
            }
        }
        let agents = &state.agents;
        let blocked = |agent: &&AgentId| u64::from(agents.blocked[**agent]) > self.stuck_after;
        let stuck = agents.present.iter().find(blocked);
        found.or_else(|| stuck.map(|agent| format!("{} cannot get past", names::name(agents.resident[*agent]))))
    }
}
