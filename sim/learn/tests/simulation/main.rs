//! The simulation tester: a seed draws a town, orders and who drives, and after every tick every invariant is looked at.
//!
//! `TOWNLET_SOAK=1` takes a hundred seeds and 10,000 ticks each; `TOWNLET_SIM_SEED=N` takes that seed alone, as far as the
//! soak would. A broken invariant, or a panic of the town, tells seed, tick, what broke, the last orders, and the command
//! that does it again. Uses the town through its public face only. Rule: "Tests".

mod conservation;
mod event_consistency;
mod exit_limits;
mod liveness;
mod observation_ranges;
mod prng;
mod random_commands;
mod random_rules;
mod state_invariants;
mod test_policies;

use std::collections::VecDeque;
use std::sync::Arc;

use townlet_town::state::State;
use townlet_town::{Command, Event, Rules, Town, snapshot};

use crate::prng::Prng;
use crate::random_commands::KINDS;
use crate::test_policies::{DRIVERS, Driver, Watched};

/// What is wrong: the invariant's name, a colon, and what was seen.
pub(crate) type Held = Result<(), String>;

/// Ends a check with what is wrong unless `$holds`.
macro_rules! hold {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err(format!($($what)+));
        }
    };
}
pub(crate) use hold;

/// Seeds, and ticks each.
const FEW: (u64, u64) = (8, 1_000);
/// The same for a soak.
const SOAK: (u64, u64) = (100, 10_000);
/// Orders that are told when something breaks.
const TOLD_ORDERS: usize = 12;
/// Ticks a copy made from a snapshot walks beside the town it was made from.
const BESIDE_TICKS: u64 = 12;

/// What just happened: a tick, or an order before one.
pub(crate) struct Moment<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) before: &'a State,
    pub(crate) after: &'a State,
    pub(crate) events: &'a [Event],
}

/// Where a run is; told when it ends before its time.
struct Log {
    seed: u64,
    driver: Driver,
    tick: u64,
    settings: String,
    orders: VecDeque<String>,
}

impl Drop for Log {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        eprintln!("seed {} driver {:?} broke at tick {}; the last orders:", self.seed, self.driver, self.tick);
        self.orders.iter().for_each(|order| eprintln!("  {order}"));
        eprintln!("the town:\n{}", self.settings);
        eprintln!("again: TOWNLET_SIM_SEED={} cargo test -p townlet-learn --test simulation", self.seed);
    }
}

/// One run, and all who watch it.
struct Run {
    town: Town,
    policy: Watched,
    luck: Prng,
    log: Log,
    gate: exit_limits::Gate,
    patience: liveness::LivenessCheck,
    eyes: observation_ranges::ObservationCheck,
    /// A copy from a snapshot, and until when it walks beside the town.
    beside: Option<(Town, u64)>,
    /// How often an order of each kind was carried out.
    done: Vec<u64>,
    reloads: u64,
}

impl Run {
    fn new(seed: u64, driver: Driver) -> Self {
        let mut luck = Prng::new(seed);
        let (rules, settings) = random_rules::rules(&mut luck);
        let town = Town::new(rules, seed);
        let log = Log { seed, driver, tick: 0, settings, orders: VecDeque::new() };
        let mut run = Self {
            gate: exit_limits::Gate::new(town.state()),
            patience: liveness::LivenessCheck::default(),
            eyes: observation_ranges::ObservationCheck::default(),
            beside: None,
            done: vec![0; KINDS.len()],
            reloads: 0,
            policy: Watched::new(driver),
            town,
            luck,
            log,
        };
        run.town.clear_events();
        run
    }

    /// Lets the town live; panics with what broke.
    fn live(&mut self, ticks: u64) {
        let mut orders = Vec::new();
        while self.town.tick() < ticks {
            self.log.tick = self.town.tick();
            if self.luck.once_in(150) {
                self.reload().unwrap_or_else(|broken| panic!("{broken}, by a reload"));
            }
            random_commands::before_tick(&mut self.luck, &self.town, &mut orders);
            for command in &orders {
                self.log.orders.push_back(format!("tick {}: {command:?}", self.town.tick()));
                if self.log.orders.len() > TOLD_ORDERS {
                    self.log.orders.pop_front();
                }
                self.order(command).unwrap_or_else(|broken| panic!("{broken}, by {command:?}"));
            }
            self.tick().unwrap_or_else(|broken| panic!("{broken}"));
        }
    }

    /// The town goes on under other rules, and nobody has paid for it.
    fn reload(&mut self) -> Held {
        let rules = random_rules::reloaded(&mut self.luck, self.town.rules());
        self.log.orders.push_back(format!("tick {}: reloads", self.town.tick()));
        let before = self.town.state().clone();
        for town in std::iter::once(&mut self.town).chain(self.beside.as_mut().map(|it| &mut it.0)) {
            town.reload(&rules).map_err(|refusal| format!("reload: {}", refusal.message))?;
        }
        let after = self.town.state();
        let moment = Moment { rules: &rules, before: &before, after, events: self.town.events() };
        event_consistency::order(&moment)?;
        state_invariants::check(&moment)?;
        hold!(after.agents.wallet == before.agents.wallet, "reload: somebody has paid");
        hold!(after.agents.needs == before.agents.needs, "reload: somebody has eaten");
        let known = Town::resume(Arc::clone(&rules), after.clone());
        hold!(known.is_ok(), "reload: {known:?}");
        self.reloads += 1;
        self.town.clear_events();
        self.beside.iter_mut().for_each(|it| it.0.clear_events());
        Ok(())
    }

    fn order(&mut self, command: &Command) -> Held {
        let before = self.town.state().clone();
        let preview = self.town.preview(command);
        hold!(*self.town.state() == before, "preview: it changed the town");
        let answer = self.town.apply(command);
        hold!(preview == answer, "preview: it says {preview:?}, the deed {answer:?}");
        if let Some((beside, _)) = &mut self.beside {
            hold!(beside.apply(command) == answer, "snapshot: the copy does something else");
        }
        let rules = self.town.rules().clone();
        let moment = Moment { rules: &rules, before: &before, after: self.town.state(), events: self.town.events() };
        if let Err(refusal) = &answer {
            hold!(*moment.after == before && moment.events.is_empty(), "refusal: it changed the town");
            hold!(!refusal.message.is_empty() && !refusal.hint.is_empty(), "refusal: {refusal:?} says nothing");
        } else {
            self.done[random_commands::kind(command)] += 1;
            conservation::order(&moment, command)?;
            self.gate.order(&moment)?;
            event_consistency::order(&moment)?;
            state_invariants::check(&moment)?;
        }
        self.town.clear_events();
        Ok(())
    }

    fn tick(&mut self) -> Held {
        let before = self.town.state().clone();
        self.town.step(&mut self.policy);
        let rules = self.town.rules().clone();
        let moment = Moment { rules: &rules, before: &before, after: self.town.state(), events: self.town.events() };
        if let Some(wrong) = self.policy.wrong.take() {
            return Err(format!("mask: {wrong}"));
        }
        state_invariants::check(&moment)?;
        state_invariants::options(&moment, &self.policy.deciders, self.town.decisions())?;
        state_invariants::rewards(&moment)?;
        conservation::tick(&moment)?;
        self.gate.tick(&moment)?;
        self.patience.tick(&moment)?;
        event_consistency::tick(&moment)?;
        self.eyes.look(&self.town)?;
        self.copy()?;
        self.town.clear_events();
        Ok(())
    }

    /// Now and then the town is packed and unpacked, and the copy must walk as the town does.
    fn copy(&mut self) -> Held {
        if let Some((mut beside, until)) = self.beside.take() {
            beside.step(&mut Watched::new(self.policy.driver));
            beside.clear_events();
            hold!(beside.digest() == self.town.digest(), "snapshot: the copy has gone another way");
            if self.town.tick() < until {
                self.beside = Some((beside, until));
            }
        } else if self.luck.once_in(180) {
            let copy = snapshot::load(&snapshot::save(&self.town));
            let copy = copy.map_err(|error| format!("snapshot: {error}"))?;
            hold!(copy.digest() == self.town.digest(), "snapshot: what is unpacked is not what was packed");
            self.beside = Some((copy, self.town.tick() + BESIDE_TICKS));
        }
        Ok(())
    }
}

fn seeds() -> (Vec<u64>, u64) {
    if let Some(seed) = std::env::var_os("TOWNLET_SIM_SEED") {
        let seed = seed.to_str().and_then(|seed| seed.parse().ok());
        return (vec![seed.expect("TOWNLET_SIM_SEED is a whole number")], SOAK.1);
    }
    let (count, ticks) = if std::env::var("TOWNLET_SOAK").is_ok_and(|value| value == "1") { SOAK } else { FEW };
    ((1..=count).collect(), ticks)
}

#[test]
fn drawn_towns_keep_every_promise() {
    let (seeds, ticks) = seeds();
    let alone = seeds.len() == 1;
    let (mut done, mut reloads) = (vec![0; KINDS.len()], 0);
    for seed in seeds {
        for driver in DRIVERS {
            let mut run = Run::new(seed, driver);
            run.live(ticks);
            done.iter_mut().zip(&run.done).for_each(|(all, run)| *all += run);
            reloads += run.reloads;
        }
    }
    assert!(reloads > 10 || alone, "{reloads} reloads");
    for (kind, done) in KINDS.iter().zip(done) {
        assert!(done > 0 || alone, "in none of these towns was any {} carried out", kind.name);
    }
}
