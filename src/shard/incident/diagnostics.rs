//! What a shard's threads leave where others can read it: what the town's thread is at, the last command, the last state,
//! and every panic. It is all there is when the town's thread no longer answers.
//!
//! Writing costs the tick two stores without a lock; locks are held for a copy alone. Rule: "Incidents".

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use townlet_town::{Decider, OptionKind, Policy, Town};

use townlet_wire::Snapshot;
use townlet_wire::telemetry::Alert;

/// Panics kept; what follows the first few is seldom news.
const MAX_FAULTS: usize = 16;

/// The name of the town's thread.
pub(crate) const TOWN: &str = "town";

/// What the town's thread is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Nothing: it waits for a message or for the next tick. The only one that may take for ever, but for the end.
    Waiting,
    /// A tick, up to the question who decides.
    Beginning,
    /// The policy chooses.
    Deciding,
    /// What comes of the choices, to the end of the tick.
    CarryingOut,
    /// A command is applied.
    Commanding,
    /// Any other message.
    Answering,
    /// The story, the journal's entry, an autosave, a state for observers.
    Housekeeping,
    /// The last snapshot: it waits for the disk then, as it must.
    Ending,
}

/// Every phase with its words.
const PHASES: [(Phase, &str); 8] = [
    (Phase::Waiting, "waiting"),
    (Phase::Beginning, "beginning the tick (turn of the day, perturbations)"),
    (Phase::Deciding, "deciding (the policy)"),
    (Phase::CarryingOut, "carrying out what was decided"),
    (Phase::Commanding, "applying a command"),
    (Phase::Answering, "answering"),
    (Phase::Housekeeping, "housekeeping (story, journal, telemetry, snapshot)"),
    (Phase::Ending, "ending"),
];

impl Phase {
    /// In words.
    pub(super) fn words(self) -> &'static str {
        PHASES[self as usize].1
    }
}

/// A command as it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AppliedCommand {
    /// The normalised line.
    pub(crate) line: String,
    /// Its id.
    pub(crate) cmd_id: String,
    /// Who gave it.
    pub(crate) issuer: String,
    /// The tick before which it was applied.
    pub(crate) tick: u64,
}

/// A panic, or a hang: what is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Fault {
    /// The thread's name.
    pub(super) thread: String,
    /// What it said.
    pub(super) message: String,
    /// File and line.
    pub(super) location: String,
    /// RFC 3339, UTC.
    pub(super) ts: String,
    /// Ticks the town had behind it.
    pub(super) tick: u64,
    /// What the town's thread was at.
    pub(super) phase: String,
    /// The last command that was applied.
    pub(super) last_command: Option<AppliedCommand>,
    /// Frame by frame, of a panic.
    pub(super) backtrace: String,
}

/// A hung tick, while it hangs.
#[derive(Clone, Debug)]
pub(super) struct Hang {
    /// In a sentence.
    pub(super) message: String,
    /// Ticks the town had behind it.
    pub(super) tick: u64,
}

impl Hang {
    fn alert(&self) -> Alert {
        let hint = "Viewing shows the last state. If it does not end, stop the process and go on with `--resume`.";
        alert("tick_hung", self.tick, self.message.clone(), hint)
    }
}

fn alert(name: &str, since_tick: u64, message: String, hint: &str) -> Alert {
    Alert { name: name.into(), severity: "critical".into(), since_tick, message, hint: hint.into() }
}

#[derive(Default)]
struct State {
    command: Option<AppliedCommand>,
    view: Option<Arc<Snapshot>>,
    hang: Option<Hang>,
    /// Hangs that are over and that the town's thread has not heard of: it could not look while they lasted.
    over: Vec<Hang>,
    faults: Vec<Fault>,
    /// Faults that nobody has taken to a bundle yet.
    fresh: usize,
    /// Why the last bundle could not be written.
    trouble: Option<String>,
}

/// The board of one shard.
#[derive(Default)]
pub(crate) struct Diagnostics {
    phase: AtomicU8,
    beat: AtomicU64,
    tick: AtomicU64,
    state: Mutex<State>,
}

impl Diagnostics {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The town's thread goes on to something else. That thread alone calls it.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.beat.store(self.beat.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// The town has this many ticks behind it.
    pub(crate) fn reached(&self, tick: u64) {
        self.tick.store(tick, Ordering::Relaxed);
    }

    /// A command is about to be applied.
    pub(crate) fn command(&self, given: AppliedCommand) {
        self.lock().command = Some(given);
    }

    /// The command applied last, or now.
    pub(crate) fn last_command(&self) -> Option<AppliedCommand> {
        self.lock().command.clone()
    }

    /// The last state that was made.
    pub(crate) fn show(&self, view: Arc<Snapshot>) {
        self.lock().view = Some(view);
    }

    /// Changes whenever the town's thread goes on to something else.
    pub(super) fn beat(&self) -> u64 {
        self.beat.load(Ordering::Acquire)
    }

    /// What the town's thread is at.
    pub(super) fn phase(&self) -> Phase {
        PHASES.get(self.phase.load(Ordering::Relaxed) as usize).map_or(Phase::Waiting, |row| row.0)
    }

    /// Ticks the town has behind it.
    pub(super) fn tick(&self) -> u64 {
        self.tick.load(Ordering::Relaxed)
    }

    /// The last state.
    pub(crate) fn view(&self) -> Option<Arc<Snapshot>> {
        self.lock().view.clone()
    }

    /// A fault of this moment.
    pub(super) fn fault(&self, thread: &str, message: String, location: String, backtrace: String) -> Fault {
        Fault {
            thread: thread.to_owned(),
            message,
            location,
            ts: Timestamp::now().to_string(),
            tick: self.tick(),
            phase: self.phase().words().to_owned(),
            last_command: self.last_command(),
            backtrace,
        }
    }

    /// A thread panicked.
    pub(super) fn panicked(&self, fault: Fault) {
        let mut kept = self.lock();
        if kept.faults.len() < MAX_FAULTS {
            kept.faults.push(fault);
            kept.fresh += 1;
        }
    }

    /// The panics that nobody has asked for yet, but for the town's own.
    pub(super) fn unreported_faults(&self) -> Vec<Fault> {
        let mut kept = self.lock();
        let from = kept.faults.len() - std::mem::take(&mut kept.fresh);
        kept.faults[from..].iter().filter(|fault| fault.thread != TOWN).cloned().collect()
    }

    /// The panic of the town's own thread.
    pub(super) fn town_fault(&self) -> Option<Fault> {
        self.lock().faults.iter().rev().find(|fault| fault.thread == TOWN).cloned()
    }

    /// The tick hangs, or no longer.
    pub(super) fn hang(&self, hang: Option<Hang>) {
        let mut kept = self.lock();
        let before = std::mem::replace(&mut kept.hang, hang);
        kept.over.extend(before);
    }

    /// In a sentence, while a tick hangs.
    pub(crate) fn hung(&self) -> Option<String> {
        self.lock().hang.as_ref().map(|hang| hang.message.clone())
    }

    /// Whether there are hangs to take.
    pub(crate) fn hung_lately(&self) -> bool {
        !self.lock().over.is_empty()
    }

    /// Takes the alerts of hangs that are over.
    pub(crate) fn hangs_over(&self) -> Vec<Alert> {
        std::mem::take(&mut self.lock().over).iter().map(Hang::alert).collect()
    }

    /// A bundle was written, or could not be.
    pub(super) fn filed(&self, trouble: Option<String>) {
        self.lock().trouble = trouble;
    }

    /// What an operator must know, as alerts. Every one is a problem of the shard's health as well.
    pub(crate) fn alerts(&self) -> Vec<Alert> {
        let kept = self.lock();
        let hung = kept.hang.iter().map(Hang::alert);
        let lost = kept.faults.iter().map(|fault| {
            let message = format!("the thread `{}` broke off: {}.", fault.thread, fault.message.trim_end_matches('.'));
            alert("thread_lost", fault.tick, message, "The town goes on. Its incident bundle stands in ops/incidents.")
        });
        let trouble = kept.trouble.iter().map(|why| {
            let message = format!("an incident bundle could not be written: {why}");
            alert("incident_unwritten", self.tick(), message, "`townlet incident bundle --output` writes elsewhere.")
        });
        hung.chain(lost).chain(trouble).collect()
    }
}

/// A policy that says when it is asked.
pub(crate) struct PhaseTracker<'a, P> {
    /// Who chooses.
    pub(crate) policy: &'a mut P,
    /// Where it says so.
    pub(crate) diagnostics: &'a Diagnostics,
}

impl<P: Policy> Policy for PhaseTracker<'_, P> {
    fn decide(&mut self, town: &Town, deciders: &[Decider], choices: &mut Vec<OptionKind>) {
        self.diagnostics.enter(Phase::Deciding);
        self.policy.decide(town, deciders, choices);
        self.diagnostics.enter(Phase::CarryingOut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_stands_in_its_place() {
        for (place, (phase, _)) in PHASES.iter().enumerate() {
            assert_eq!(*phase as usize, place);
        }
    }

    #[test]
    fn a_hang_that_was_over_before_anybody_looked_is_told_once() {
        let diagnostics = Diagnostics::default();
        diagnostics.hang(Some(Hang { message: "tick 7 hangs.".into(), tick: 7 }));
        assert_eq!((diagnostics.alerts().len(), diagnostics.hung_lately()), (1, false));
        diagnostics.hang(None);
        assert_eq!((diagnostics.alerts(), diagnostics.hung_lately()), (Vec::new(), true));
        let told = diagnostics.hangs_over();
        assert_eq!((told.len(), &*told[0].name, told[0].since_tick), (1, "tick_hung", 7));
        assert_eq!((diagnostics.hangs_over(), diagnostics.hung_lately()), (Vec::new(), false));
    }
}
