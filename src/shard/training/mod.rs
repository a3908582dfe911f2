//! The training beside a town: a thread that learns on replicas of it, and what the shard knows of that.
//!
//! Owns the shard's end: orders, the block `learning` of telemetry, and where a candidate arrives. The town that runs is not
//! touched by any of it. Rule: "Shadow training".

mod metrics_log;
mod spec;
mod worker;

pub use metrics_log::{Log, LogError};
pub use spec::TrainingSpec;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use townlet_learn::checkpoint::Registry;
use townlet_town::Rules;

use super::engine::{Engine, Message};
use super::home::Home;
use super::incident::said;
use super::telemetry::AlertDraft;
use townlet_wire::telemetry::{Learning, LearningRow};
use worker::{Orders, Wanted, Worker};

/// Most rows of the history that observers get.
const HISTORY: usize = 240;

/// What the trainer tells the loop.
pub(super) enum TrainerEvent {
    /// It has begun, or goes on.
    Begun(Begun),
    /// Its state, and words where they are needed.
    State(&'static str, String),
    /// An update is done and its row written.
    Row(Box<LearningRow>),
    /// A checkpoint was written.
    Checkpoint(String),
}

/// A training that has begun.
pub(super) struct Begun {
    /// Its name.
    pub run: String,
    /// Resident-ticks of its schedule.
    pub total_steps: u64,
    /// What lies behind it.
    pub rows: Vec<LearningRow>,
    /// The newest checkpoint.
    pub checkpoint: Option<String>,
}

/// The engine's end of the trainer's thread. Dropping it stops the training and waits for its last checkpoint.
pub(super) struct Training {
    orders: Arc<Orders>,
    thread: Option<JoinHandle<Result<(), String>>>,
    /// Updates between two rows of the history.
    stride: u64,
}

impl Training {
    /// Starts the thread.
    ///
    /// # Errors
    /// That the system gives none.
    pub(super) fn start(spec: TrainingSpec, home: &Home, sender: Sender<Message>) -> io::Result<Self> {
        let orders = Arc::new(Orders::new());
        let registry = Registry::new(home.folder().join(&spec.shadow_dir));
        let worker = Worker { spec, registry, rows: home.trainings(), orders: Arc::clone(&orders), sender };
        let thread = std::thread::Builder::new().name("trainer".into()).spawn(move || {
            let ended = catch_unwind(AssertUnwindSafe(|| worker.run()));
            ended.unwrap_or_else(|panic| {
                let why = format!("the trainer's thread broke off: {}.", said(panic.as_ref()));
                drop(worker.sender.send(Message::Training(TrainerEvent::State("failed", why.clone()))));
                Err(why)
            })
        })?;
        Ok(Self { orders, thread: Some(thread), stride: 1 })
    }

    /// Begins to stop; [`Self::end`] waits for it.
    pub(super) fn stop(&self) {
        self.order(Wanted::Stop);
    }

    /// Stops, with a last checkpoint.
    ///
    /// # Errors
    /// What could not be saved.
    pub(super) fn end(mut self) -> Result<(), String> {
        self.wait()
    }

    fn wait(&mut self) -> Result<(), String> {
        self.stop();
        let ended = self.thread.take().map_or(Ok(Ok(())), JoinHandle::join);
        let ended = ended.unwrap_or_else(|panic| Err(said(panic.as_ref()).to_owned()));
        ended.map_err(|why| format!("the training's last checkpoint: {why}"))
    }

    /// Its towns go on under these rules, from where they are.
    pub(super) fn teach(&self, rules: Arc<Rules>) {
        self.orders.teach(rules);
    }

    fn order(&self, wanted: Wanted) {
        self.orders.set(wanted);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Training {
    fn drop(&mut self) {
        // Whoever wanted to know what could not be saved has asked `end`.
        drop(self.wait());
    }
}

impl Engine {
    /// Takes in what the trainer tells.
    pub(super) fn on_trainer_event(&mut self, news: TrainerEvent) {
        self.publication.dirty = true;
        let learning = &mut self.status.learning;
        match news {
            TrainerEvent::Begun(Begun { run, total_steps, rows, checkpoint }) => {
                (learning.run, learning.total_steps) = (run, total_steps);
                for row in rows {
                    self.learned(row);
                }
                if let Some(id) = checkpoint {
                    self.candidate(id);
                }
            }
            TrainerEvent::State(state, detail) => {
                (learning.state, learning.detail) = (state.into(), detail);
                self.note_alerts();
            }
            TrainerEvent::Row(row) => self.learned(*row),
            TrainerEvent::Checkpoint(id) => self.candidate(id),
        }
    }

    /// A checkpoint of the training is whole and on disk: where a candidate for promotion arrives.
    pub(super) fn candidate(&mut self, id: String) {
        self.status.learning.checkpoint = Some(id.clone());
        self.offer_candidate(id);
    }

    /// Lets the training pause or go on, and says so.
    pub(super) fn train(&mut self, on: bool) -> String {
        if let Some(training) = &self.training {
            training.order(if on { Wanted::Train } else { Wanted::Pause });
        }
        if on {
            "the training goes on."
        } else {
            "the training pauses; an update it is in the middle of is begun again."
        }
        .into()
    }

    fn learned(&mut self, row: LearningRow) {
        if let Some(training) = &mut self.training {
            remember(&mut self.status.learning.history, &mut training.stride, row);
        }
    }
}

/// Adds a row. When they are too many every second one goes and half as many come; the newest is always there.
fn remember(history: &mut Vec<LearningRow>, stride: &mut u64, row: LearningRow) {
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

/// An alert about the training: name, severity, message, hint.
pub(super) fn alert(learning: &Learning) -> Option<AlertDraft> {
    let (name, what, hint) = match learning.state.as_str() {
        "diverged" => (
            "training_diverged",
            "the training diverged",
            "The town goes on and the last good checkpoint is kept. A smaller `ppo.learning_rate` may help.",
        ),
        "failed" => (
            "training_failed",
            "the training cannot go on",
            "The town goes on. A disk is tried again every second; free it.",
        ),
        _ => return None,
    };
    Some((name, "warning", format!("{what}: {}", learning.detail), hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_is_bounded_even_and_ends_with_the_newest() {
        let (mut history, mut stride) = (Vec::new(), 1);
        for update in 1..=5_000 {
            remember(&mut history, &mut stride, LearningRow { update, ..LearningRow::default() });
            assert!(history.len() <= HISTORY);
            assert_eq!(history.last().map(|row| row.update), Some(update));
            let (_, before) = history.split_last().expect("a row");
            assert!(before.iter().zip(1..).all(|(row, place)| row.update == place * stride), "update {update}");
            assert!(update < 240 || history.len() >= HISTORY / 2, "update {update}: {}", history.len());
        }
    }
}
