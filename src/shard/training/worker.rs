//! The trainer thread: resumes the newest matching training or starts one, and trains until it is stopped.
//!
//! It writes a row per update, a checkpoint every few updates, and one when it stops. A failing disk is retried every second, and
//! training waits meanwhile.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use townlet_learn::checkpoint::{Registry, TrainedRange};
use townlet_learn::evaluate::stats::Rate;
use townlet_learn::ppo::Diverged;
use townlet_learn::train::{Plan, Row, Trainer};
use townlet_town::Rules;

use super::metrics_log::{Log, LogError};
use super::spec::TrainingSpec;
use super::{TrainerEvent, newest_training};
use crate::engine::Message;
use crate::home::{Home, new_run_id};
use crate::thread_priority;
use townlet_wire::telemetry::{HeldOutEvaluation, LearningRow, SafetyRate};

/// Threads of a shadow training; the other cores are for the town and its service.
const THREADS: NonZero<usize> = NonZero::<usize>::MIN;
/// Time between attempts after a disk failure.
const RETRY_EVERY: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TrainerState {
    Train = 0,
    Pause = 1,
    Stop = 2,
}

#[derive(Debug, Default)]
pub(super) struct TrainerControl {
    state: AtomicU8,
    rules: Mutex<Option<Arc<Rules>>>,
    /// Whether there are new rules; checked at every tick.
    rules_changed: AtomicBool,
}

impl TrainerControl {
    pub(super) fn update_rules(&self, rules: Arc<Rules>) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = Some(rules);
        self.rules_changed.store(true, Ordering::Release);
    }

    fn take_rules(&self) -> Option<Arc<Rules>> {
        self.rules_changed.swap(false, Ordering::Acquire).then(|| self.rules.lock().ok()?.take()).flatten()
    }

    /// Whether it should continue unchanged.
    fn unchanged(&self) -> bool {
        self.state() == TrainerState::Train && !self.rules_changed.load(Ordering::Acquire)
    }

    /// A training that is stopping cannot be restarted.
    pub(super) fn set(&self, state: TrainerState) {
        self.state.fetch_max(state as u8, Ordering::Relaxed);
        if state == TrainerState::Train {
            // Fails if it is stopping, which takes precedence.
            let _ = self.state.compare_exchange(
                TrainerState::Pause as u8,
                state as u8,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        }
    }

    pub(super) fn state(&self) -> TrainerState {
        match self.state.load(Ordering::Relaxed) {
            0 => TrainerState::Train,
            1 => TrainerState::Pause,
            _ => TrainerState::Stop,
        }
    }
}

pub(super) struct Worker {
    pub(super) spec: TrainingSpec,
    pub(super) registry: Registry,
    pub(super) home: Home,
    pub(super) control: Arc<TrainerControl>,
    pub(super) sender: Sender<Message>,
}

struct Run {
    trainer: Trainer,
    name: String,
    log: Log,
}

impl Run {
    fn save(&mut self, registry: &Registry) -> Result<String, String> {
        self.log.sync().map_err(|why| why.to_string())?;
        self.trainer.save(registry, &self.name).map_err(|why| why.to_string())
    }
}

impl Worker {
    /// Trains until it is stopped or finished. The error says what could not be saved at the end.
    pub(super) fn run(&self) -> Result<(), String> {
        thread_priority::lower();
        let Some(mut run) = self.begin() else { return Ok(()) };
        while self.wait_while_paused() {
            self.apply_new_rules(&mut run);
            if run.trainer.finished() {
                if self.save(&mut run) {
                    self.report_state("finished", "the schedule is complete.");
                    return Ok(());
                }
                continue;
            }
            match run.trainer.advance_while(&|| self.control.unchanged()) {
                Ok(Some(row)) => self.record(&mut run, &row),
                // Interrupted; the loop condition decides.
                Ok(None) => {}
                Err(why) => {
                    self.report_state("diverged", &format!("{why}."));
                    return Ok(());
                }
            }
        }
        // Before the first update there is nothing to save.
        if run.trainer.updates() == 0 { Ok(()) } else { run.save(&self.registry).map(drop) }
    }

    /// Whether it was not stopped. Asked between the towns that are made.
    fn is_wanted(&self) -> bool {
        self.control.state() != TrainerState::Stop
    }

    fn apply_new_rules(&self, run: &mut Run) {
        if let Some(rules) = self.control.take_rules() {
            // The live town accepted the rules, so its replicas do.
            if let Err(refusal) = run.trainer.reload(&rules) {
                self.report_state("training", &refusal.message);
            }
        }
    }

    fn begin(&self) -> Option<Run> {
        let mut started = self.retry_until_done(|| self.resume())?;
        while started.is_none() {
            if !self.wait_while_paused() {
                return None;
            }
            started = match self.start_new() {
                Ok(started) => started,
                Err(why) => {
                    self.report_state("diverged", &format!("during imitation of the scripted policy: {why}."));
                    return None;
                }
            };
        }
        let run = started?;
        let rows = self.retry_until_done(|| run.log.rows())?;
        self.send(TrainerEvent::TrainingStarted {
            run: run.name.clone(),
            total_steps: run.trainer.plan().total_steps,
            rows: rows.iter().map(to_wire).collect(),
            evaluations: rows.iter().filter_map(to_evaluation).collect(),
            evaluated_every: self.spec.rules.config.training.evaluation.every_steps,
            trained_range: TrainedRange::of(&self.spec.rules).to_string(),
            checkpoint: run.trainer.checkpoint().map(str::to_owned),
        });
        Some(run)
    }

    /// The newest matching training, unless it cannot be resumed or another process is running it.
    fn resume(&self) -> Result<Option<Run>, LogError> {
        let newest = newest_training(&self.home, &self.registry, |saved| self.spec.fits(saved));
        let Some(saved) = newest.filter(|saved| !self.spec.is_spent(saved)) else { return Ok(None) };
        let Some(trainer) = self.spec.resume(&saved, THREADS, &|| self.is_wanted()) else { return Ok(None) };
        match Log::resume(&self.home.trainings(), &saved.run, saved.progress.updates) {
            Ok(log) => Ok(Some(Run { trainer, name: saved.run, log })),
            Err(LogError::Locked { .. }) => Ok(None),
            Err(why) => Err(why),
        }
    }

    /// A new training, from the release if its network has the same size, else from the scripted policy. `None` if it was
    /// interrupted.
    fn start_new(&self) -> Result<Option<Run>, Diverged> {
        let config = &self.spec.rules.config;
        let plan = Plan { seed: config.seed, total_steps: config.training.total_steps, threads: THREADS };
        let made = Trainer::new_while(&self.spec.rules, plan, &|| self.is_wanted());
        let Some(mut trainer) = made else { return Ok(None) };
        let release = self.spec.release.as_ref();
        let taken = release.is_some_and(|release| trainer.start_from(release).is_ok());
        if !taken && !trainer.warm_start(None, &|| self.control.state() == TrainerState::Train, |_, _| {})? {
            return Ok(None);
        }
        let name = new_run_id(&self.spec.shard);
        if self.retry_until_done(|| self.home.list_run(&name)).is_none() {
            return Ok(None);
        }
        let log = Log::new(&self.home.trainings(), &name);
        Ok(Some(Run { trainer, name, log }))
    }

    /// Writes a row, and a checkpoint if one is due.
    fn record(&self, run: &mut Run, row: &Row) {
        if self.retry_until_done(|| run.log.write(row)).is_none() {
            return;
        }
        self.send(TrainerEvent::Row(Box::new(to_wire(row)), to_evaluation(row).map(Box::new)));
        let cadence = u64::from(self.spec.rules.config.training.checkpoint_updates);
        if row.update.is_multiple_of(cadence) || run.trainer.has_unsaved_best() {
            self.save(run);
        }
    }

    /// Writes a checkpoint and reports it; `false` if it is stopping.
    fn save(&self, run: &mut Run) -> bool {
        let Some(id) = self.retry_until_done(|| run.save(&self.registry)) else { return false };
        self.send(TrainerEvent::Checkpoint(id));
        true
    }

    /// Waits while it is paused; `false` if it is stopping.
    fn wait_while_paused(&self) -> bool {
        let mut paused = false;
        loop {
            match self.control.state() {
                TrainerState::Train => {
                    if paused {
                        self.report_state("training", "");
                    }
                    return true;
                }
                TrainerState::Stop => return false,
                TrainerState::Pause => {
                    if !paused {
                        self.report_state("paused", "");
                    }
                    paused = true;
                    thread::park();
                }
            }
        }
    }

    /// Repeats a disk operation until it succeeds; `None` if it is stopping.
    fn retry_until_done<T, E: std::fmt::Display>(&self, mut operation: impl FnMut() -> Result<T, E>) -> Option<T> {
        let mut failed = false;
        loop {
            match operation() {
                Ok(done) => {
                    if failed {
                        self.report_state("training", "");
                    }
                    return Some(done);
                }
                Err(why) => self.report_state("failed", &format!("{why}.")),
            }
            failed = true;
            if self.control.state() == TrainerState::Stop {
                return None;
            }
            thread::park_timeout(RETRY_EVERY);
        }
    }

    fn report_state(&self, state: &'static str, detail: &str) {
        self.send(TrainerEvent::State(state, detail.to_owned()));
    }

    fn send(&self, event: TrainerEvent) {
        // The engine may have stopped.
        drop(self.sender.send(Message::Training(event)));
    }
}

/// A row as telemetry shows it: the same names, fewer of them.
fn to_wire(row: &Row) -> LearningRow {
    let read = serde_json::to_value(row).and_then(serde_json::from_value);
    // Only a figure that is not finite cannot be written.
    read.unwrap_or_else(|_| LearningRow { update: row.update, ..LearningRow::default() })
}

/// The evaluation of a row, with the intervals of its rates.
fn to_evaluation(row: &Row) -> Option<HeldOutEvaluation> {
    let it = row.evaluation.as_ref()?;
    let rate = |events| {
        let rate = Rate::of(events, it.resident_days);
        rate.map_or_else(SafetyRate::default, |it| SafetyRate { events, rate: it.rate, low: it.low, high: it.high })
    };
    Some(HeldOutEvaluation {
        update: row.update,
        steps: row.steps,
        towns: it.towns.into(),
        days: it.days.into(),
        score: it.score,
        starvation: rate(it.starvation_events),
        involuntary_exits: rate(it.involuntary_exits),
        charter_met: it.charter_met,
        best: it.best,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stopping_takes_precedence() {
        let control = TrainerControl::default();
        for (set, expected) in [
            (TrainerState::Pause, TrainerState::Pause),
            (TrainerState::Train, TrainerState::Train),
            (TrainerState::Pause, TrainerState::Pause),
            (TrainerState::Stop, TrainerState::Stop),
            (TrainerState::Train, TrainerState::Stop),
            (TrainerState::Pause, TrainerState::Stop),
        ] {
            control.set(set);
            assert_eq!(control.state(), expected, "{set:?}");
        }
    }
}
