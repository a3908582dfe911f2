//! The trainer's thread: goes on from the newest training that fits or begins one, and trains until it is told otherwise.
//!
//! Owns what is written and when: a row an update, a checkpoint every so many, one on stopping. A disk that fails is tried
//! again every second, and nothing is learned meanwhile that could not be written. Must not know the town that runs.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use townlet_learn::checkpoint::Registry;
use townlet_learn::ppo::Diverged;
use townlet_learn::train::{Plan, Row, Trainer};
use townlet_town::Rules;

use super::metrics_log::{Log, LogError};
use super::spec::TrainingSpec;
use super::{Begun, TrainerEvent};
use crate::engine::Message;
use crate::home::new_run_id;
use townlet_wire::telemetry::LearningRow;

/// Workers of a training: the town and what serves it have the other cores.
const ALONE: NonZero<usize> = NonZero::<usize>::MIN;
/// How often a disk that failed is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// What the trainer is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Train = 0,
    Pause = 1,
    Stop = 2,
}

/// What the trainer was told last; it may look at it at any time.
#[derive(Debug, Default)]
pub(super) struct Orders {
    wanted: AtomicU8,
    /// Rules that its towns are to go on under.
    rules: Mutex<Option<Arc<Rules>>>,
    /// Whether there are any; asked at every tick.
    taught: AtomicBool,
}

impl Orders {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Its towns go on under these rules as soon as it looks.
    pub(super) fn teach(&self, rules: Arc<Rules>) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = Some(rules);
        self.taught.store(true, Ordering::Release);
    }

    fn take_rules(&self) -> Option<Arc<Rules>> {
        self.taught.swap(false, Ordering::Acquire).then(|| self.rules.lock().ok()?.take()).flatten()
    }

    /// Whether it goes on as it is.
    fn stand(&self) -> bool {
        self.now() == Wanted::Train && !self.taught.load(Ordering::Acquire)
    }

    /// A training that is to stop cannot be told otherwise.
    pub(super) fn set(&self, wanted: Wanted) {
        self.wanted.fetch_max(wanted as u8, Ordering::Relaxed);
        if wanted == Wanted::Train {
            // Fails when it is to stop, and then that stands.
            let _ =
                self.wanted.compare_exchange(Wanted::Pause as u8, wanted as u8, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    pub(super) fn now(&self) -> Wanted {
        match self.wanted.load(Ordering::Relaxed) {
            0 => Wanted::Train,
            1 => Wanted::Pause,
            _ => Wanted::Stop,
        }
    }
}

/// What the thread is given.
pub(super) struct Worker {
    pub(super) spec: TrainingSpec,
    pub(super) registry: Registry,
    /// The folder of rows.
    pub(super) rows: PathBuf,
    pub(super) orders: Arc<Orders>,
    pub(super) sender: Sender<Message>,
}

/// A training under way.
struct Session {
    trainer: Trainer,
    run: String,
    log: Log,
}

impl Session {
    fn save(&mut self, registry: &Registry) -> Result<String, String> {
        self.log.sync().map_err(|why| why.to_string())?;
        self.trainer.save(registry, &self.run).map_err(|why| why.to_string())
    }
}

impl Worker {
    /// Trains until it is told to stop, or nothing is left to do.
    ///
    /// # Errors
    /// What could not be saved at the end.
    pub(super) fn run(&self) -> Result<(), String> {
        lower_thread_priority();
        let Some(mut session) = self.begin() else { return Ok(()) };
        while self.may_go_on() {
            self.follow(&mut session);
            if session.trainer.finished() {
                if self.save(&mut session) {
                    self.say("finished", "the schedule is through.");
                    return Ok(());
                }
                continue;
            }
            match session.trainer.advance_while(&|| self.orders.stand()) {
                Ok(Some(row)) => self.keep(&mut session, &row),
                // Cut off; whether it goes on is asked above.
                Ok(None) => {}
                Err(why) => {
                    self.say("diverged", &format!("{why}."));
                    return Ok(());
                }
            }
        }
        // Before the first update there is nothing to keep.
        if session.trainer.updates() == 0 { Ok(()) } else { session.save(&self.registry).map(drop) }
    }

    /// Its towns go on under what was reloaded.
    fn follow(&self, session: &mut Session) {
        if let Some(rules) = self.orders.take_rules() {
            // What the running town took, its replicas take.
            if let Err(refusal) = session.trainer.reload(&rules) {
                self.say("training", &refusal.message);
            }
        }
    }

    fn begin(&self) -> Option<Session> {
        let mut begun = self.retry_until_done(|| self.resumed())?;
        while begun.is_none() {
            if !self.may_go_on() {
                return None;
            }
            begun = match self.anew() {
                Ok(begun) => begun,
                Err(why) => {
                    self.say("diverged", &format!("while it imitated the scripted policy: {why}."));
                    return None;
                }
            };
        }
        let session = begun?;
        let rows = self.retry_until_done(|| session.log.rows())?;
        self.tell(TrainerEvent::Begun(Begun {
            run: session.run.clone(),
            total_steps: session.trainer.plan().total_steps,
            rows: rows.iter().map(shown).collect(),
            checkpoint: session.trainer.checkpoint().filter(|_| session.trainer.updates() > 0).map(str::to_owned),
        }));
        Some(session)
    }

    /// The newest training of the same towns. One that cannot be gone on with is as if it were not there, and so is one that
    /// another process goes on with.
    fn resumed(&self) -> Result<Option<Session>, LogError> {
        let newest = self.registry.newest_training(|saved| self.spec.fits(saved));
        let Some(saved) = newest.filter(|saved| !self.spec.is_spent(saved)) else { return Ok(None) };
        let Some(trainer) = self.spec.resume(&saved, ALONE) else { return Ok(None) };
        match Log::resume(&self.rows, &saved.run, saved.progress.updates) {
            Ok(log) => Ok(Some(Session { trainer, run: saved.run, log })),
            Err(LogError::Taken { .. }) => Ok(None),
            Err(why) => Err(why),
        }
    }

    /// A new training: from the release where its network is of the same size, else from the scripted policy. `None`: it was
    /// told otherwise meanwhile.
    fn anew(&self) -> Result<Option<Session>, Diverged> {
        let config = &self.spec.rules.config;
        let plan = Plan { seed: config.seed, total_steps: config.training.total_steps, threads: ALONE };
        let mut trainer = Trainer::new(&self.spec.rules, plan);
        let release = self.spec.release.as_ref();
        let taken = release.is_some_and(|release| trainer.start_from(release).is_ok());
        if !taken && !trainer.warm_start(&|| self.orders.now() == Wanted::Train, |_, _| {})? {
            return Ok(None);
        }
        let run = new_run_id(&self.spec.shard);
        let log = Log::new(&self.rows, &run);
        Ok(Some(Session { trainer, run, log }))
    }

    /// Writes a row, and a checkpoint when one is due.
    fn keep(&self, session: &mut Session, row: &Row) {
        if self.retry_until_done(|| session.log.write(row)).is_none() {
            return;
        }
        self.tell(TrainerEvent::Row(Box::new(shown(row))));
        if row.update.is_multiple_of(u64::from(self.spec.rules.config.training.checkpoint_updates)) {
            self.save(session);
        }
    }

    /// Writes a checkpoint and hands it over; `false` when it is to stop.
    fn save(&self, session: &mut Session) -> bool {
        let Some(id) = self.retry_until_done(|| session.save(&self.registry)) else { return false };
        self.tell(TrainerEvent::Checkpoint(id));
        true
    }

    /// Waits while it is paused; `false` when it is to stop.
    fn may_go_on(&self) -> bool {
        let mut paused = false;
        loop {
            match self.orders.now() {
                Wanted::Train => {
                    if paused {
                        self.say("training", "");
                    }
                    return true;
                }
                Wanted::Stop => return false,
                Wanted::Pause => {
                    if !paused {
                        self.say("paused", "");
                    }
                    paused = true;
                    thread::park();
                }
            }
        }
    }

    /// Does what the disk may refuse until it is done; `None` when it is to stop.
    fn retry_until_done<T, E: std::fmt::Display>(&self, mut deed: impl FnMut() -> Result<T, E>) -> Option<T> {
        let mut failed = false;
        loop {
            match deed() {
                Ok(done) => {
                    if failed {
                        self.say("training", "");
                    }
                    return Some(done);
                }
                Err(why) => self.say("failed", &format!("{why}.")),
            }
            failed = true;
            if self.orders.now() == Wanted::Stop {
                return None;
            }
            thread::park_timeout(RETRY_EVERY);
        }
    }

    fn say(&self, state: &'static str, detail: &str) {
        self.tell(TrainerEvent::State(state, detail.to_owned()));
    }

    fn tell(&self, news: TrainerEvent) {
        // The loop may have ended; then nobody listens.
        drop(self.sender.send(Message::Training(news)));
    }
}

/// A row as the wire has it.
fn shown(row: &Row) -> LearningRow {
    LearningRow {
        update: row.update,
        steps: row.steps,
        seconds: row.seconds,
        steps_per_second: row.steps_per_second,
        episodic_return: row.episodic_return,
        return_per_day: row.return_per_day,
        town_score: row.town_score,
        policy_loss: row.policy_loss,
        value_loss: row.value_loss,
        entropy: row.entropy,
        approx_kl: row.approx_kl,
        clip_frac: row.clip_frac,
        explained_variance: row.explained_variance,
        grad_norm: row.grad_norm,
        learning_rate: row.learning_rate,
        invalid_rate: row.invalid_rate,
        charter_met: row.charter_met,
    }
}

/// Lets everything else go first. Elsewhere than on Linux this would be said of the whole program, the town included.
fn lower_thread_priority() {
    #[cfg(target_os = "linux")]
    // A thread that may not be nicer trains all the same.
    let _ = rustix::process::nice(NICENESS);
}

/// Added to the thread's niceness.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_stop_stops() {
        let orders = Orders::new();
        for (told, stands) in [
            (Wanted::Pause, Wanted::Pause),
            (Wanted::Train, Wanted::Train),
            (Wanted::Pause, Wanted::Pause),
            (Wanted::Stop, Wanted::Stop),
            (Wanted::Train, Wanted::Stop),
            (Wanted::Pause, Wanted::Stop),
        ] {
            orders.set(told);
            assert_eq!(orders.now(), stands, "{told:?}");
        }
    }
}
