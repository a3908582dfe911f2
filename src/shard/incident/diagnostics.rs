//! Diagnostics that a shard's threads publish for the watchdog: the phase of the town's thread, the last command, the last
//! snapshot, and panics.
//!
//! A tick writes two atomics; locks are held only to copy. Rule: "Incidents".

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use townlet_town::{Decider, OptionKind, Policy, Town};

use crate::telemetry::CapturedState;
use townlet_wire::Snapshot;
use townlet_wire::telemetry::Alert;

const MAX_FAULTS: usize = 16;

/// The name of the town's thread.
pub(crate) const TOWN: &str = "town";

/// What the town's thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Waiting for a message or the next tick. Only this phase and [`Phase::Ending`] may take any time.
    Waiting,
    /// The start of a tick, before the policy decides.
    Starting,
    Deciding,
    /// The rest of the tick.
    Applying,
    Commanding,
    /// Handling another message.
    Answering,
    /// Recording events, journal, autosave, telemetry.
    Housekeeping,
    /// Writing the last snapshot, which waits for the disk.
    Ending,
}

const PHASES: [(Phase, &str); 8] = [
    (Phase::Waiting, "waiting"),
    (Phase::Starting, "starting the tick (day change, perturbations)"),
    (Phase::Deciding, "running the policy"),
    (Phase::Applying, "applying decisions"),
    (Phase::Commanding, "applying a command"),
    (Phase::Answering, "handling a message"),
    (Phase::Housekeeping, "housekeeping (events, journal, telemetry, snapshot)"),
    (Phase::Ending, "stopping"),
];

impl Phase {
    pub(super) fn words(self) -> &'static str {
        PHASES[self as usize].1
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AppliedCommand {
    pub(crate) line: String,
    pub(crate) cmd_id: String,
    pub(crate) issuer: String,
    /// The tick before which it was applied.
    pub(crate) tick: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Fault {
    pub(super) thread: String,
    pub(super) message: String,
    pub(super) location: String,
    /// Time, RFC 3339, UTC.
    pub(super) ts: String,
    pub(super) tick: u64,
    pub(super) phase: String,
    pub(super) last_command: Option<AppliedCommand>,
    pub(super) backtrace: String,
}

#[derive(Clone, Debug)]
pub(super) struct Hang {
    pub(super) message: String,
    pub(super) tick: u64,
}

impl Hang {
    fn alert(&self) -> Alert {
        let hint = "Screens show the last state. If the tick does not end, stop the process and use `--resume`.";
        alert("tick_hung", self.tick, self.message.clone(), hint)
    }
}

fn alert(name: &str, since_tick: u64, message: String, hint: &str) -> Alert {
    Alert { name: name.into(), severity: "critical".into(), since_tick, message, hint: hint.into(), ..Alert::default() }
}

#[derive(Default)]
struct State {
    command: Option<AppliedCommand>,
    view: Option<LastState>,
    hang: Option<Hang>,
    /// Hangs that have ended and that the town's thread has not taken yet.
    over: Vec<Hang>,
    faults: Vec<Fault>,
    /// Number of faults without a bundle yet.
    fresh: usize,
    /// Why the last bundle could not be written.
    trouble: Option<String>,
}

/// The last state of the town.
#[derive(Clone)]
enum LastState {
    Built(Arc<Snapshot>),
    Kept(Arc<(CapturedState, OnceLock<Arc<Snapshot>>)>),
}

impl LastState {
    fn snapshot(&self) -> Arc<Snapshot> {
        match self {
            Self::Built(view) => Arc::clone(view),
            Self::Kept(kept) => Arc::clone(kept.1.get_or_init(|| Arc::new(kept.0.snapshot()))),
        }
    }
}

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

    /// Enters a phase. Only the town's thread calls this.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.beat.store(self.beat.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    pub(crate) fn reached(&self, tick: u64) {
        self.tick.store(tick, Ordering::Relaxed);
    }

    /// Records a command that is about to be applied.
    pub(crate) fn command(&self, given: AppliedCommand) {
        self.lock().command = Some(given);
    }

    pub(crate) fn last_command(&self) -> Option<AppliedCommand> {
        self.lock().command.clone()
    }

    pub(crate) fn show(&self, view: Arc<Snapshot>) {
        self.lock().view = Some(LastState::Built(view));
    }

    /// Keeps a state whose snapshot is built when somebody needs it, on another thread than the town's.
    pub(crate) fn keep(&self, state: CapturedState) {
        self.lock().view = Some(LastState::Kept(Arc::new((state, OnceLock::new()))));
    }

    /// A counter that changes with every phase.
    pub(super) fn beat(&self) -> u64 {
        self.beat.load(Ordering::Acquire)
    }

    pub(super) fn phase(&self) -> Phase {
        PHASES.get(self.phase.load(Ordering::Relaxed) as usize).map_or(Phase::Waiting, |row| row.0)
    }

    pub(super) fn tick(&self) -> u64 {
        self.tick.load(Ordering::Relaxed)
    }

    pub(crate) fn view(&self) -> Option<Arc<Snapshot>> {
        let last = self.lock().view.clone();
        last.map(|last| last.snapshot())
    }

    /// A fault at the current tick and phase.
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

    pub(super) fn panicked(&self, fault: Fault) {
        let mut kept = self.lock();
        if kept.faults.len() < MAX_FAULTS {
            kept.faults.push(fault);
            kept.fresh += 1;
        }
    }

    /// Takes the panics not reported yet, except those of the town's thread.
    pub(super) fn unreported_faults(&self) -> Vec<Fault> {
        let mut kept = self.lock();
        let from = kept.faults.len() - std::mem::take(&mut kept.fresh);
        kept.faults[from..].iter().filter(|fault| fault.thread != TOWN).cloned().collect()
    }

    pub(super) fn town_fault(&self) -> Option<Fault> {
        self.lock().faults.iter().rev().find(|fault| fault.thread == TOWN).cloned()
    }

    /// Records that a tick hangs, or that it ended.
    pub(super) fn hang(&self, hang: Option<Hang>) {
        let mut kept = self.lock();
        let before = std::mem::replace(&mut kept.hang, hang);
        kept.over.extend(before);
    }

    pub(crate) fn hung(&self) -> Option<String> {
        self.lock().hang.as_ref().map(|hang| hang.message.clone())
    }

    pub(crate) fn has_ended_hangs(&self) -> bool {
        !self.lock().over.is_empty()
    }

    pub(crate) fn take_ended_hangs(&self) -> Vec<Alert> {
        std::mem::take(&mut self.lock().over).iter().map(Hang::alert).collect()
    }

    pub(super) fn filed(&self, trouble: Option<String>) {
        self.lock().trouble = trouble;
    }

    /// Active alerts; each is also a health problem.
    pub(crate) fn alerts(&self) -> Vec<Alert> {
        let kept = self.lock();
        let hung = kept.hang.iter().map(Hang::alert);
        let lost = kept.faults.iter().map(|fault| {
            let message = format!("the thread `{}` crashed: {}.", fault.thread, fault.message.trim_end_matches('.'));
            alert("thread_lost", fault.tick, message, "The town continues. The incident bundle is in ops/incidents.")
        });
        let trouble = kept.trouble.iter().map(|why| {
            let message = format!("an incident bundle could not be written: {why}");
            alert("incident_unwritten", self.tick(), message, "`townlet incident bundle --output` writes elsewhere.")
        });
        hung.chain(lost).chain(trouble).collect()
    }
}

/// A policy that records the phases around its decisions.
pub(crate) struct PhaseTracker<'a, P> {
    pub(crate) policy: &'a mut P,
    pub(crate) diagnostics: &'a Diagnostics,
}

impl<P: Policy> Policy for PhaseTracker<'_, P> {
    fn decide(&mut self, town: &Town, deciders: &[Decider], choices: &mut Vec<OptionKind>) {
        self.diagnostics.enter(Phase::Deciding);
        self.policy.decide(town, deciders, choices);
        self.diagnostics.enter(Phase::Applying);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_in_order() {
        for (place, (phase, _)) in PHASES.iter().enumerate() {
            assert_eq!(*phase as usize, place);
        }
    }

    #[test]
    fn a_hang_that_ended_is_reported_once() {
        let diagnostics = Diagnostics::default();
        diagnostics.hang(Some(Hang { message: "tick 7 hangs.".into(), tick: 7 }));
        assert_eq!((diagnostics.alerts().len(), diagnostics.has_ended_hangs()), (1, false));
        diagnostics.hang(None);
        assert_eq!((diagnostics.alerts(), diagnostics.has_ended_hangs()), (Vec::new(), true));
        let alerts = diagnostics.take_ended_hangs();
        assert_eq!((alerts.len(), &*alerts[0].name, alerts[0].since_tick), (1, "tick_hung", 7));
        assert_eq!((diagnostics.take_ended_hangs(), diagnostics.has_ended_hangs()), (Vec::new(), false));
    }
}
