//! What must never happen in a town, looked for after every tick: money from nowhere, disorder in a queue, standstill.
//!
//! Keeps a ledger of its own, from what residents are known to have earned, eaten and owed; the town's payments are never asked.
//! Holds for towns that no operator touches. Rule: "Scripted baseline".

use townlet_town::events::EventKind;
use townlet_town::fixed_point::Micro;
use townlet_town::ids::{AgentId, ObjectId};
use townlet_town::{Rules, State, Town, masks, names, queues};

/// Longest a reservation that nobody takes up stands in the way, with room for the walk to it.
const RESERVED: u64 = 100;

/// What went wrong, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// After how many ticks.
    pub tick: u64,
    /// In a sentence.
    pub what: String,
}

/// Looks at a town tick by tick and keeps the first fault of each kind.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The first time money did not agree with the ledger.
    pub money: Option<Fault>,
    /// The first disorder or standstill.
    pub deadlock: Option<Fault>,
    /// Paid for meals and groceries, by resident.
    spent: Vec<Micro>,
    /// By object: who used it a tick ago, and since when its queue is not empty and that has been so.
    stands: Vec<(Vec<AgentId>, u64)>,
    /// Ticks without any change after which a queue stands still.
    patience: u64,
}

impl Watch {
    /// For a town that has just begun.
    pub fn new(town: &Town) -> Self {
        let rules = town.rules();
        let longest = rules.affordances.iter().map(|what| what.duration).max().unwrap_or_default();
        let patience = u64::from(longest + rules.config.queue_fairness.cooldown_ticks) + RESERVED;
        let stands = vec![(Vec::new(), town.tick()); rules.plan.objects.len()];
        Self { money: None, deadlock: None, spent: Vec::new(), stands, patience }
    }

    /// Looks at the tick just lived through; its events must still be there.
    pub fn look(&mut self, town: &Town) {
        let fault = |what| Fault { tick: town.tick(), what };
        self.purchases(town);
        if self.money.is_none() {
            self.money = self.audit(town.rules(), town.state()).map(fault);
        }
        let stuck = self.standstill(town.rules(), town.state());
        if self.deadlock.is_none() {
            let disorder = queues::violations(town.rules(), town.state()).into_iter().next();
            self.deadlock = disorder.or(stuck).map(fault);
        }
    }

    /// Whatever was finished was paid for, at the price of the tick.
    fn purchases(&mut self, town: &Town) {
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

    /// Everybody must hold the starter kit and their wages, less what they bought and the rent of the days they paid; the outside
    /// world must be short of exactly that.
    fn audit(&self, rules: &Rules, state: &State) -> Option<String> {
        let day = rules.day_length();
        let (agents, last) = (&state.agents, state.tick - 1);
        let mut held = Micro::ZERO;
        for agent in agents.present.iter().copied() {
            let who = agents.resident[agent];
            // Rent is due at the turn of a day, before newcomers arrive.
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

    /// A queue in which nothing has changed for longer than anything can take, or somebody who cannot get past others.
    fn standstill(&mut self, rules: &Rules, state: &State) -> Option<String> {
        let mut found = None;
        for (index, (before, since)) in self.stands.iter_mut().enumerate() {
            let object = ObjectId(index as u16);
            let it = &state.objects[object];
            if it.queue.is_empty() || *before != it.uses {
                *since = state.tick;
                before.clone_from(&it.uses);
            } else if state.tick - *since > self.patience {
                found = Some(format!("nothing moves in the queue of {}", rules.plan.objects[object].name));
            }
        }
        let agents = &state.agents;
        let blocked = |agent: &&AgentId| u64::from(agents.blocked[**agent]) > self.patience;
        let stuck = agents.present.iter().find(blocked);
        found.or_else(|| stuck.map(|agent| format!("{} cannot get past", names::name(agents.resident[*agent]))))
    }
}
