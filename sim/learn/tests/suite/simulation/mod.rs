//! Randomized simulation: a seed determines a town, commands and policy, and every invariant is checked after every tick.
//!
//! `TOWNLET_SOAK=1` runs a hundred seeds for 10,000 ticks each; `TOWNLET_SIM_SEED=N` runs that seed for as long. A violation
//! or panic prints seed, tick, the last commands and how to reproduce it. Rule: "Tests".

mod conservation;
mod event_consistency;
mod exit_limits;
mod liveness;
mod observation_ranges;
pub(crate) mod prng;
pub(crate) mod random_commands;
mod random_rules;
mod score_shares;
mod state_invariants;
mod test_policies;

use std::collections::VecDeque;
use std::sync::Arc;

use townlet_town::state::State;
use townlet_town::{Command, Event, Rules, Town, snapshot};

use prng::Prng;
use random_commands::KINDS;
use test_policies::{CheckedPolicy, TEST_POLICIES, TestPolicy};

/// The result of a check. The error starts with the invariant's name.
pub(crate) type CheckResult = Result<(), String>;

/// Returns an error from a check unless `$holds`.
macro_rules! ensure {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err(format!($($what)+));
        }
    };
}
pub(crate) use ensure;

/// Seeds, and ticks per seed.
const FEW: (u64, u64) = (8, 1_000);
/// The same for a soak.
const SOAK: (u64, u64) = (100, 10_000);
/// Commands printed after a violation.
const LOGGED_COMMANDS: usize = 12;
/// Ticks for which a copy from a snapshot runs beside its town.
const COPY_TICKS: u64 = 12;

/// A state change: a tick, or a command before one.
pub(crate) struct Transition<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) before: &'a State,
    pub(crate) after: &'a State,
    pub(crate) events: &'a [Event],
}

/// The state of a run, printed when it panics.
struct Log {
    seed: u64,
    test_policy: TestPolicy,
    tick: u64,
    settings: String,
    commands: VecDeque<String>,
}

impl Drop for Log {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        eprintln!("seed {} policy {:?} failed at tick {}; the last commands:", self.seed, self.test_policy, self.tick);
        self.commands.iter().for_each(|order| eprintln!("  {order}"));
        eprintln!("the town:\n{}", self.settings);
        eprintln!("reproduce: TOWNLET_SIM_SEED={} cargo test -p townlet-learn --test suite simulation", self.seed);
    }
}

/// A run with its checks.
struct Run {
    town: Town,
    policy: CheckedPolicy,
    prng: Prng,
    log: Log,
    exit_limits: exit_limits::ExitLimits,
    liveness: liveness::LivenessCheck,
    observations: observation_ranges::ObservationCheck,
    /// A copy from a snapshot, and the tick until which it runs beside the town.
    copy: Option<(Town, u64)>,
    /// Accepted commands by kind.
    done: Vec<u64>,
    reloads: u64,
}

impl Run {
    fn new(seed: u64, test_policy: TestPolicy) -> Self {
        let mut prng = Prng::new(seed);
        let (rules, settings) = random_rules::rules(&mut prng);
        let town = Town::new(rules, seed);
        let log = Log { seed, test_policy, tick: 0, settings, commands: VecDeque::new() };
        let mut run = Self {
            exit_limits: exit_limits::ExitLimits::new(town.state()),
            liveness: liveness::LivenessCheck::default(),
            observations: observation_ranges::ObservationCheck::default(),
            copy: None,
            done: vec![0; KINDS.len()],
            reloads: 0,
            policy: CheckedPolicy::new(test_policy),
            town,
            prng,
            log,
        };
        run.town.clear_events();
        run
    }

    /// Runs the town; panics at the first violation.
    fn run(&mut self, ticks: u64) {
        let mut commands = Vec::new();
        while self.town.tick() < ticks {
            self.log.tick = self.town.tick();
            if self.prng.once_in(150) {
                self.reload().unwrap_or_else(|broken| panic!("{broken}, by a reload"));
            }
            random_commands::before_tick(&mut self.prng, &self.town, &mut commands);
            for command in &commands {
                self.log.commands.push_back(format!("tick {}: {command:?}", self.town.tick()));
                if self.log.commands.len() > LOGGED_COMMANDS {
                    self.log.commands.pop_front();
                }
                self.command(command).unwrap_or_else(|broken| panic!("{broken}, by {command:?}"));
            }
            self.tick().unwrap_or_else(|broken| panic!("{broken}"));
        }
    }

    /// Applies other rules, which must not change money or needs.
    fn reload(&mut self) -> CheckResult {
        let rules = random_rules::reloaded(&mut self.prng, self.town.rules());
        self.log.commands.push_back(format!("tick {}: reload", self.town.tick()));
        let before = self.town.state().clone();
        for town in std::iter::once(&mut self.town).chain(self.copy.as_mut().map(|it| &mut it.0)) {
            town.reload(&rules).map_err(|refusal| format!("reload: {}", refusal.message))?;
        }
        let after = self.town.state();
        let transition = Transition { rules: &rules, before: &before, after, events: self.town.events() };
        event_consistency::command(&transition)?;
        state_invariants::check(&transition)?;
        ensure!(after.agents.wallet == before.agents.wallet, "reload: wallets changed");
        ensure!(after.agents.needs == before.agents.needs, "reload: needs changed");
        let known = Town::resume(Arc::clone(&rules), after.clone());
        ensure!(known.is_ok(), "reload: {known:?}");
        self.reloads += 1;
        self.town.clear_events();
        self.copy.iter_mut().for_each(|it| it.0.clear_events());
        Ok(())
    }

    fn command(&mut self, command: &Command) -> CheckResult {
        let before = self.town.state().clone();
        let preview = self.town.preview(command);
        ensure!(*self.town.state() == before, "preview: it changed the town");
        let answer = self.town.apply(command);
        ensure!(preview == answer, "preview: {preview:?}, but applied {answer:?}");
        if let Some((copy, _)) = &mut self.copy {
            ensure!(copy.apply(command) == answer, "snapshot: the copy answers differently");
        }
        let rules = self.town.rules().clone();
        let transition =
            Transition { rules: &rules, before: &before, after: self.town.state(), events: self.town.events() };
        if let Err(refusal) = &answer {
            ensure!(*transition.after == before && transition.events.is_empty(), "refusal: it changed the town");
            ensure!(!refusal.message.is_empty() && !refusal.hint.is_empty(), "refusal: {refusal:?} is empty");
        } else {
            self.done[random_commands::kind(command)] += 1;
            conservation::command(&transition, command)?;
            self.exit_limits.command(&transition)?;
            event_consistency::command(&transition)?;
            state_invariants::check(&transition)?;
        }
        self.town.clear_events();
        Ok(())
    }

    fn tick(&mut self) -> CheckResult {
        let before = self.town.state().clone();
        self.town.step(&mut self.policy);
        let rules = self.town.rules().clone();
        let transition =
            Transition { rules: &rules, before: &before, after: self.town.state(), events: self.town.events() };
        if let Some(wrong) = self.policy.wrong.take() {
            return Err(format!("mask: {wrong}"));
        }
        state_invariants::check(&transition)?;
        state_invariants::options(&transition, &self.policy.deciders, self.town.decisions())?;
        state_invariants::rewards(&transition)?;
        conservation::tick(&transition)?;
        self.exit_limits.tick(&transition)?;
        self.liveness.tick(&transition)?;
        event_consistency::tick(&transition)?;
        self.observations.check(&self.town)?;
        self.copy()?;
        self.town.clear_events();
        Ok(())
    }

    /// Occasionally saves and loads the town; the copy must stay equal for some ticks.
    fn copy(&mut self) -> CheckResult {
        if let Some((mut copy, until)) = self.copy.take() {
            copy.step(&mut CheckedPolicy::new(self.policy.test_policy));
            copy.clear_events();
            ensure!(copy.digest() == self.town.digest(), "snapshot: the copy diverged");
            if self.town.tick() < until {
                self.copy = Some((copy, until));
            }
        } else if self.prng.once_in(180) {
            let copy = snapshot::load(&snapshot::save(&self.town));
            let copy = copy.map_err(|error| format!("snapshot: {error}"))?;
            ensure!(copy.digest() == self.town.digest(), "snapshot: the loaded town differs");
            self.copy = Some((copy, self.town.tick() + COPY_TICKS));
        }
        Ok(())
    }
}

fn seeds() -> (Vec<u64>, u64) {
    if let Some(seed) = std::env::var_os("TOWNLET_SIM_SEED") {
        let seed = seed.to_str().and_then(|seed| seed.parse().ok());
        return (vec![seed.expect("TOWNLET_SIM_SEED is an integer")], SOAK.1);
    }
    let (count, ticks) = if crate::is_soak() { SOAK } else { FEW };
    ((1..=count).collect(), ticks)
}

#[test]
fn random_towns_keep_every_invariant() {
    let (seeds, ticks) = seeds();
    let alone = seeds.len() == 1;
    let (mut done, mut reloads) = (vec![0; KINDS.len()], 0);
    for seed in seeds {
        for test_policy in TEST_POLICIES {
            let mut run = Run::new(seed, test_policy);
            run.run(ticks);
            done.iter_mut().zip(&run.done).for_each(|(all, run)| *all += run);
            reloads += run.reloads;
        }
    }
    assert!(reloads > 10 || alone, "{reloads} reloads");
    for (kind, done) in KINDS.iter().zip(done) {
        assert!(done > 0 || alone, "no {} was accepted in any town", kind.name);
    }
}
