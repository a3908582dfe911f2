//! The past of a running shard: a thread of the lowest priority that answers a bounded number of questions beside the town.
//!
//! It reads the files that the shard writes, so the town's thread does nothing for it. Rule: "Keyframes".

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use thiserror::Error;
use townlet_wire::history::HistoryPage;
use townlet_wire::{ErrorBody, Snapshot, thousands};

use super::{MarkSelection, MarkStore, SeekError};
use crate::home::Home;
use crate::journal::Segments;
use crate::privacy::PrivacyFilter;
use crate::recorded_run::RecordedRun;
use crate::thread_priority::lower_priority;

/// Questions of all clients that wait or are being answered.
const MAX_QUESTIONS: usize = 8;
/// Of these, questions of one client.
const MAX_OF_CLIENT: usize = 2;
/// Longest time that a question takes before the next one is answered. What it has reached is kept.
const SLICE: Duration = Duration::from_millis(500);
/// Time without a question after which the memory is given back.
const IDLE: Duration = Duration::from_mins(5);
/// Added to the thread's niceness: the least priority there is.
const NICENESS: i32 = 19;

/// Why a question about the past has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PastError {
    /// Too many questions wait, or the client has asked too many.
    #[error("too many requests for past ticks are waiting")]
    Busy,
    /// The way to the tick is long. The next question goes on from here.
    #[error("the town is being rebuilt and is at tick {} of {}", thousands(*.reached), thousands(*.tick))]
    Unfinished {
        /// The tick that was asked for.
        tick: u64,
        /// The tick that was reached.
        reached: u64,
    },
    /// The tick is not in the journal, or not yet.
    #[error("tick {} is not in the journal, which has ticks {} to {}", thousands(*.tick), thousands(*.first), thousands(*.last))]
    NoTick {
        /// The tick that was asked for.
        tick: u64,
        /// The first tick of the journal.
        first: u64,
        /// The last tick of the journal now.
        last: u64,
    },
    /// A file is damaged or missing, or town and journal differ. A sentence without full stop.
    #[error("{0}")]
    Damaged(String),
    /// The shard has ended.
    #[error("the shard has ended")]
    Ended,
}

impl From<&PastError> for ErrorBody {
    fn from(error: &PastError) -> Self {
        let (code, hint) = match error {
            PastError::Busy | PastError::Unfinished { .. } => ("E_RATE_LIMITED", "Ask again in a moment."),
            PastError::NoTick { .. } => ("E_NOT_FOUND", "Choose a tick in this range."),
            PastError::Damaged(_) => ("E_DAMAGED", "Other ticks can still be shown. Put back a copy of the file."),
            PastError::Ended => ("E_STOPPING", "Start it again with `--resume`."),
        };
        Self::new(code, format!("{error}."), hint)
    }
}

/// A question, which is answered on the thread. It is dropped without an answer when the shard ends.
type Question = Box<dyn FnOnce(&mut Past) + Send>;

/// The handle of the thread, which starts with the first question.
pub(crate) struct LiveHistory {
    home: Home,
    run_id: String,
    names: PrivacyFilter,
    marks: Arc<MarkStore>,
    /// The client of each question that waits or is being answered.
    asking: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
    thread: Mutex<Option<(Sender<Question>, JoinHandle<()>)>>,
}

impl LiveHistory {
    pub(crate) fn new(home: Home, run_id: String, names: PrivacyFilter, marks: Arc<MarkStore>) -> Self {
        let (asking, ended, thread) = (Arc::default(), Arc::default(), Mutex::default());
        Self { home, run_id, names, marks, asking, ended, thread }
    }

    /// The town at a past tick, as an observer would have seen it. Waits for the answer.
    pub(crate) fn view(&self, client: &str, tick: u64) -> Result<Snapshot, PastError> {
        self.ask(client, move |past| past.view(tick))
    }

    /// The ticks of the journal and some of the marks. Waits for the answer.
    pub(crate) fn page(&self, client: &str, selection: MarkSelection) -> Result<HistoryPage, PastError> {
        self.ask(client, move |past| Ok(past.opened(u64::MAX)?.page(&selection)))
    }

    fn ask<T: Send + 'static>(
        &self,
        client: &str,
        question: impl FnOnce(&mut Past) -> Result<T, PastError> + Send + 'static,
    ) -> Result<T, PastError> {
        let turn = Turn::take(&self.asking, client)?;
        let (sender, answer) = channel();
        self.submit(Box::new(move |past| {
            let found = question(past);
            drop(turn);
            drop(sender.send(found));
        }))?;
        answer.recv().unwrap_or(Err(PastError::Ended))
    }

    fn submit(&self, question: Question) -> Result<(), PastError> {
        let mut thread = lock(&self.thread);
        if thread.as_ref().is_none_or(|(_, running)| running.is_finished()) {
            *thread = self.start();
        }
        let (inbox, _) = thread.as_ref().ok_or(PastError::Ended)?;
        inbox.send(question).map_err(|_| PastError::Ended)
    }

    fn start(&self) -> Option<(Sender<Question>, JoinHandle<()>)> {
        let (inbox, questions) = channel::<Question>();
        let (home, run_id, names) = (self.home.clone(), self.run_id.clone(), self.names.clone());
        let marks = Arc::clone(&self.marks);
        let ended = Arc::clone(&self.ended);
        let answer = move || {
            lower_priority(NICENESS);
            let mut past = Past { home, run_id, names, marks, run: None };
            loop {
                let question = questions.recv_timeout(IDLE);
                if ended.load(Ordering::Acquire) {
                    return;
                }
                let is_kept = match question {
                    // A damaged file may make its reader panic, which the panic hook reports.
                    Ok(question) => catch_unwind(AssertUnwindSafe(|| question(&mut past))).is_ok(),
                    Err(RecvTimeoutError::Timeout) => false,
                    Err(RecvTimeoutError::Disconnected) => return,
                };
                if !is_kept {
                    past.run = None;
                }
            }
        };
        let thread = std::thread::Builder::new().name("history".into()).spawn(answer).ok()?;
        Some((inbox, thread))
    }
}

impl Drop for LiveHistory {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        if let Some((inbox, thread)) = lock(&self.thread).take() {
            drop(inbox);
            drop(thread.join());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place of a question among those that wait, until it is dropped.
struct Turn {
    asking: Arc<Mutex<Vec<String>>>,
    client: String,
}

impl Turn {
    fn take(asking: &Arc<Mutex<Vec<String>>>, client: &str) -> Result<Self, PastError> {
        let mut clients = lock(asking);
        let own = clients.iter().filter(|other| *other == client).count();
        if clients.len() >= MAX_QUESTIONS || own >= MAX_OF_CLIENT {
            return Err(PastError::Busy);
        }
        clients.push(client.to_owned());
        drop(clients);
        Ok(Self { asking: Arc::clone(asking), client: client.to_owned() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut clients = lock(&self.asking);
        if let Some(place) = clients.iter().position(|client| *client == self.client) {
            clients.swap_remove(place);
        }
    }
}

/// What the thread has in memory.
struct Past {
    home: Home,
    run_id: String,
    names: PrivacyFilter,
    marks: Arc<MarkStore>,
    run: Option<RecordedRun>,
}

impl Past {
    fn view(&mut self, tick: u64) -> Result<Snapshot, PastError> {
        let deadline = Instant::now() + SLICE;
        let (first, _, last) = self.opened(tick)?.ticks();
        if !(first..=last).contains(&tick) {
            return Err(PastError::NoTick { tick, first, last });
        }
        match self.sought(tick, deadline) {
            // Retention may have removed what was opened.
            Err(PastError::Damaged(_)) if self.reopened()? => self.view(tick),
            sought => sought,
        }
    }

    fn sought(&mut self, tick: u64, deadline: Instant) -> Result<Snapshot, PastError> {
        let run = self.opened(tick)?;
        run.seek_until(tick, deadline).map_err(|error| match error {
            SeekError::Unfinished { reached } => PastError::Unfinished { tick, reached },
            SeekError::Failed(why) => PastError::Damaged(why),
        })?;
        Ok(run.view("paused"))
    }

    /// Opens the run again if its oldest segments are gone. Returns whether it did.
    fn reopened(&mut self) -> Result<bool, PastError> {
        let Some(run) = &mut self.run else { return Ok(false) };
        run.refresh(&self.home).map_err(PastError::Damaged)
    }

    /// The run, with the files as they are now if what is known of it ends at or before a tick.
    fn opened(&mut self, tick: u64) -> Result<&mut RecordedRun, PastError> {
        loop {
            let files = self.home.journal_files(&self.run_id);
            match self.read_files(tick) {
                Ok(run) => return Ok(self.run.insert(run)),
                // Retention has removed a file meanwhile.
                Err(_) if self.home.journal_files(&self.run_id) != files => {}
                Err(why) => return Err(PastError::Damaged(why)),
            }
        }
    }

    fn read_files(&mut self, tick: u64) -> Result<RecordedRun, String> {
        match self.run.take() {
            Some(run) if run.ticks().2 > tick => Ok(run),
            Some(mut run) => run.refresh(&self.home).map(|_| run),
            None => {
                let segments = Segments::of_run(&self.home, &self.run_id).map_err(|why| why.to_string())?;
                let (names, marks) = (self.names.clone(), Arc::clone(&self.marks));
                RecordedRun::of_running(&self.home, segments, names, marks)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_few_questions_and_all_have_a_bounded_number() {
        let asking = Arc::default();
        let take = |client: &str| Turn::take(&asking, client);
        let mut turns: Vec<Turn> = vec![take("a").unwrap(), take("a").unwrap()];
        assert_eq!(take("a").err(), Some(PastError::Busy));
        for client in ["b", "b", "c", "c", "d", "d"] {
            turns.push(take(client).unwrap());
        }
        assert_eq!(take("e").err(), Some(PastError::Busy));
        drop(turns.pop());
        assert_eq!(take("a").err(), Some(PastError::Busy), "it has two of its own");
        turns.push(take("e").unwrap());
        turns.clear();
        assert!(take("a").is_ok() && lock(&asking).is_empty());
    }
}
