//! Shadow training: a thread that trains a policy on replicas of the town, and the shard's side of it: control, the `learning`
//! block of telemetry, and new candidates. The live town is not affected. Rule: "Shadow training".

mod available_memory;
mod metrics_log;
mod spec;
mod worker;

pub use metrics_log::{Log, LogError};
pub use spec::TrainingSpec;

/// Checks that a training with these rules finds the memory that it needs, before it takes any.
///
/// # Errors
/// The estimate and what to reduce. Nothing is checked on systems that do not say how much there is.
pub fn check_memory(rules: &Rules) -> Result<(), NotEnoughMemory> {
    available_memory::available_memory().map_or(Ok(()), |available| MemoryEstimate::of(rules).check(available))
}

/// The newest training in a folder of checkpoints that is wanted, at its latest update: the one that began last in this home.
/// Damaged states are skipped.
pub fn newest_training(
    home: &Home,
    registry: &Registry,
    is_wanted: impl Fn(&TrainingState) -> bool,
) -> Option<TrainingState> {
    let runs = home.oldest_first(registry.training_runs());
    // One at a time, because each holds every replica.
    runs.iter().rev().filter_map(|run| registry.latest_training(run)).find(is_wanted)
}

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use townlet_learn::checkpoint::{Registry, TrainingState};
use townlet_learn::train::{MemoryEstimate, NotEnoughMemory};
use townlet_town::Rules;

use super::engine::{Engine, Message};
use super::home::Home;
use super::incident::panic_message;
use super::telemetry::AlertDraft;
use townlet_wire::telemetry::{HeldOutEvaluation, Learning, LearningRow};
use worker::{TrainerControl, TrainerState, Worker};

const HISTORY: usize = 240;

pub(super) enum TrainerEvent {
    /// A training started or resumed: its name, the length of its schedule in resident-ticks, and what is written so far.
    TrainingStarted {
        run: String,
        total_steps: u64,
        rows: Vec<LearningRow>,
        evaluations: Vec<HeldOutEvaluation>,
        /// Resident-ticks between two evaluations; 0 without.
        evaluated_every: u64,
        /// The towns that it is trained on, in words.
        trained_range: String,
        checkpoint: Option<String>,
    },
    State(&'static str, String),
    /// An update, with the evaluation after it if one was due.
    Row(Box<LearningRow>, Option<Box<HeldOutEvaluation>>),
    Checkpoint(String),
}

/// The handle of the trainer thread. Dropping it stops the training and waits for its last checkpoint.
pub(super) struct Training {
    control: Arc<TrainerControl>,
    thread: Option<JoinHandle<Result<(), String>>>,
    /// Updates between two rows of the history.
    stride: u64,
    /// Resident-ticks between two evaluations; 0 without.
    evaluated_every: u64,
}

impl Training {
    pub(super) fn start(spec: TrainingSpec, home: &Home, sender: Sender<Message>) -> io::Result<Self> {
        let control = Arc::new(TrainerControl::default());
        let registry = Registry::new(home.folder().join(&spec.shadow_dir));
        let worker = Worker { spec, registry, home: home.clone(), control: Arc::clone(&control), sender };
        let thread = std::thread::Builder::new().name("trainer".into()).spawn(move || {
            let ended = catch_unwind(AssertUnwindSafe(|| worker.run()));
            ended.unwrap_or_else(|panic| {
                let why = format!("the trainer thread crashed: {}.", panic_message(panic.as_ref()));
                drop(worker.sender.send(Message::Training(TrainerEvent::State("failed", why.clone()))));
                Err(why)
            })
        })?;
        Ok(Self { control, thread: Some(thread), stride: 1, evaluated_every: 0 })
    }

    /// Requests a stop; [`Self::end`] waits for it.
    pub(super) fn stop(&self) {
        self.set_state(TrainerState::Stop);
    }

    /// Stops with a last checkpoint. The error says what could not be saved.
    pub(super) fn end(mut self) -> Result<(), String> {
        self.wait()
    }

    fn wait(&mut self) -> Result<(), String> {
        self.stop();
        let ended = self.thread.take().map_or(Ok(Ok(())), JoinHandle::join);
        let ended = ended.unwrap_or_else(|panic| Err(panic_message(panic.as_ref()).to_owned()));
        ended.map_err(|why| format!("the training's last checkpoint: {why}"))
    }

    pub(super) fn update_rules(&self, rules: Arc<Rules>) {
        self.control.update_rules(rules);
    }

    fn set_state(&self, state: TrainerState) {
        self.control.set(state);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Training {
    fn drop(&mut self) {
        // `end` reports what could not be saved.
        drop(self.wait());
    }
}

impl Engine {
    pub(super) fn on_trainer_event(&mut self, event: TrainerEvent) {
        self.publication.dirty = true;
        let learning = &mut self.status.learning;
        match event {
            TrainerEvent::TrainingStarted {
                run,
                total_steps,
                rows,
                evaluations,
                evaluated_every,
                trained_range,
                checkpoint,
            } => {
                (learning.run, learning.total_steps) = (run, total_steps);
                learning.trained_range = Some(trained_range);
                for evaluation in evaluations {
                    add_evaluation(&mut learning.evaluations, evaluation);
                }
                if let Some(training) = &mut self.training {
                    training.evaluated_every = evaluated_every;
                }
                self.plan_evaluation(0);
                for row in rows {
                    self.add_row(row);
                }
                if let Some(id) = checkpoint {
                    self.checkpoint_written(id);
                }
            }
            TrainerEvent::State(state, detail) => {
                (learning.state, learning.detail) = (state.into(), detail);
                self.note_alerts();
            }
            TrainerEvent::Row(row, evaluation) => {
                if let Some(evaluation) = evaluation {
                    add_evaluation(&mut learning.evaluations, *evaluation);
                }
                self.add_row(*row);
            }
            TrainerEvent::Checkpoint(id) => self.checkpoint_written(id),
        }
    }

    /// Offers a new checkpoint as a candidate for promotion.
    pub(super) fn checkpoint_written(&mut self, id: String) {
        self.status.learning.checkpoint = Some(id.clone());
        self.offer_candidate(id);
    }

    /// Pauses or resumes the training; returns the message for the operator.
    pub(super) fn train(&mut self, on: bool) {
        if let Some(training) = &self.training {
            training.set_state(if on { TrainerState::Train } else { TrainerState::Pause });
        }
    }

    /// Says when the next evaluation is due, for a training that has learned from `steps` resident-ticks.
    fn plan_evaluation(&mut self, steps: u64) {
        let (every, total) =
            (self.training.as_ref().map_or(0, |it| it.evaluated_every), self.status.learning.total_steps);
        let planned = every > 0 && steps < total && total >= every;
        self.status.learning.next_evaluation_steps = planned.then(|| ((steps / every + 1) * every).min(total));
    }

    fn add_row(&mut self, row: LearningRow) {
        self.plan_evaluation(row.steps);
        if let Some(training) = &mut self.training {
            add_to_history(&mut self.status.learning.history, &mut training.stride, row);
        }
    }
}

/// Adds a row. When there are too many, every second one is removed and fewer are added; the newest is always kept.
fn add_to_history(history: &mut Vec<LearningRow>, stride: &mut u64, row: LearningRow) {
    if history.last().is_some_and(|newest| !newest.update.is_multiple_of(*stride)) {
        history.pop();
    }
    history.push(row);
    if history.len() > HISTORY {
        *stride *= 2;
        let newest = history.pop();
        history.retain(|row| row.update.is_multiple_of(*stride));
        history.extend(newest);
    }
}

/// Adds an evaluation. When there are too many, every second one is removed; the best and the newest are always kept.
fn add_evaluation(evaluations: &mut Vec<HeldOutEvaluation>, new: HeldOutEvaluation) {
    evaluations.push(new);
    if evaluations.len() > HISTORY {
        let (best, newest) = (evaluations.iter().rposition(|it| it.best), evaluations.len() - 1);
        let mut places = 0..;
        evaluations.retain(|_| {
            let place = places.next().expect("without end");
            place % 2 == 0 || place == newest || Some(place) == best
        });
    }
}

/// An alert about the training: name, severity, message, hint.
pub(super) fn alert(learning: &Learning) -> Option<AlertDraft> {
    let (name, what, hint) = match learning.state.as_str() {
        "diverged" => (
            "training_diverged",
            "the training diverged",
            "The town continues and the last checkpoint is kept. A smaller `ppo.learning_rate` may help.",
        ),
        "failed" => (
            "training_failed",
            "the training cannot continue",
            "The town continues. The disk is retried every second; free some space.",
        ),
        _ => return None,
    };
    Some((name, "warning", format!("{what}: {}", learning.detail), hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluations_are_bounded_and_keep_the_best_and_the_newest() {
        let mut evaluations = Vec::new();
        for update in 1..=5_000 {
            let best = update <= 77;
            add_evaluation(&mut evaluations, HeldOutEvaluation { update, best, ..HeldOutEvaluation::default() });
            assert!(evaluations.len() <= HISTORY, "{}", evaluations.len());
            assert_eq!(evaluations.last().map(|it| it.update), Some(update));
            let best = evaluations.iter().rev().find(|it| it.best).map(|it| it.update);
            assert_eq!(best, Some(update.min(77)));
            assert!(evaluations.is_sorted_by_key(|it| it.update));
        }
    }

    #[test]
    fn the_history_is_bounded_and_keeps_the_newest_row() {
        let (mut history, mut stride) = (Vec::new(), 1);
        for update in 1..=5_000 {
            add_to_history(&mut history, &mut stride, LearningRow { update, ..LearningRow::default() });
            assert!(history.len() <= HISTORY);
            assert_eq!(history.last().map(|row| row.update), Some(update));
            let (_, before) = history.split_last().expect("a row");
            assert!(before.iter().zip(1..).all(|(row, place)| row.update == place * stride), "update {update}");
            assert!(update < 240 || history.len() >= HISTORY / 2, "update {update}: {}", history.len());
        }
    }
}
