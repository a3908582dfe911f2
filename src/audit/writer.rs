//! The writer thread of a run's audit log: queue, group commit, and recovery from disk failures.
//!
//! Callers never wait for the disk; they pass a callback. The thread takes everything queued, writes it, syncs once and calls
//! back; it never delays a commit. The head file is replaced when the queue is empty or after 100 ms, because lines beyond the
//! head are valid. Lines that no caller waits for are synced with the next durable line, or after a second.

mod disturbance;

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::chain::{Chain, sync_dir};
pub use super::error::AuditError;
use super::idempotency::IdempotencyIndex;
use super::log_files::{is_run_id, run_files, segment_name};
use super::record::{Record, Stage};
use super::recovery::recover;
use super::run_start::{RunStart, begin_record};
use super::seal::Cause;
use super::sealer::{Sealer, Sealing};
use super::verify::torn_piece_args;
use disturbance::CHECK;
use townlet_files::Placement;
use townlet_wire::telemetry::{AuditRow, AuditTail};

/// Records kept in memory for screens.
pub(crate) const TAIL: usize = 200;
/// Records that may wait for the disk; more are refused.
const QUEUE: usize = 16_384;
/// Maximum records of one commit.
const BATCH: usize = 4_096;
/// How long the queue must be empty before the head is written.
const HEAD_IDLE: Duration = Duration::from_millis(20);
/// The longest the head file may lag while the queue never empties.
const HEAD_LAG: Duration = Duration::from_millis(100);
/// The longest a written line stays unsynced.
const UNSYNCED: Duration = Duration::from_secs(1);
/// After this long without an answer from the disk the log counts as unavailable.
const STALLED: Duration = Duration::from_secs(1);

/// How long lines of a live log stay without a seal, unless [`Options::seal_interval`] says otherwise.
pub const SEAL_INTERVAL: Duration = Duration::from_mins(1);

/// Supplies the time of a record.
pub type Clock = Box<dyn Fn() -> jiff::Timestamp + Send>;

/// Where a record was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// File name of the segment.
    pub file: String,
    /// The record's sequence number.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
    /// The segment with this record.
    pub placement: Placement,
}

/// How to open a run's log.
pub struct Options {
    /// The log folder, such as `logs/console`; created if missing.
    pub dir: PathBuf,
    /// The run id: letters, digits, `-`, `_`.
    pub run_id: String,
    /// The shard's name.
    pub shard: String,
    /// Size in bytes after which the next segment starts; default 4 MiB. The open segment is also kept in memory.
    pub segment_bytes: u64,
    /// After a failure, appends retry the disk at most this often; default one second.
    pub retry: Duration,
    /// Supplies the time of a record.
    pub clock: Clock,
    /// The town's tick, for records that the log writes before the shard notes one; without it, that of the last record.
    pub tick: Option<u64>,
    /// What the first line of a new run says; without it the run is not chained to the run before.
    pub start: Option<RunStart>,
    /// The sealing key of the home. The log is sealed if the file exists.
    pub seal_key: Option<PathBuf>,
    /// How long lines of a live log stay without a seal; default [`SEAL_INTERVAL`].
    pub seal_interval: Duration,
}

impl Options {
    /// The default options.
    pub fn new(dir: impl Into<PathBuf>, run_id: impl Into<String>, shard: impl Into<String>) -> Self {
        Self {
            dir: dir.into(),
            run_id: run_id.into(),
            shard: shard.into(),
            segment_bytes: 4 * 1024 * 1024,
            retry: Duration::from_secs(1),
            clock: Box::new(jiff::Timestamp::now),
            tick: None,
            start: None,
            seal_key: None,
            seal_interval: SEAL_INTERVAL,
        }
    }
}

/// An open log and what the shard needs from the records it already holds.
pub struct Opened {
    /// The log.
    pub log: Log,
    /// Intents without an end, oldest first. Append each with its stage set to `recovered` (with status, result and digest) or
    /// `abort`; until then its id is in flight in `index`.
    pub pending: Vec<Record>,
    /// Outcomes of mutating commands that were applied, in log order, including those reported as not durable.
    pub done: Vec<Record>,
    /// The command ids of the run.
    pub index: IdempotencyIndex,
}

type Done = Box<dyn FnOnce(Result<Written, AuditError>) + Send>;

struct Append {
    record: Record,
    durable: bool,
    done: Done,
}

enum Message {
    Append(Box<Append>),
    Reopen(SyncSender<Result<(), AuditError>>),
    Rotate,
    Flush(SyncSender<Result<(), AuditError>>),
    Seal(SyncSender<Result<(), AuditError>>),
}

/// State that the writer thread shares with callers.
struct SharedState {
    /// Why writing has failed.
    trouble: Option<String>,
    tail: VecDeque<AuditRow>,
    file: String,
    seq: u64,
    hash: String,
    sealing: Sealing,
    /// When the current disk operation started.
    busy: Option<Instant>,
    /// What somebody else did to the files, until it is acknowledged.
    disturbed: Option<String>,
    /// Is called with every change of it.
    on_disturbed: Option<Box<dyn Fn() + Send>>,
}

/// The open log of one run. Shared by reference; dropping it writes and syncs everything queued.
pub struct Log {
    inbox: Option<SyncSender<Message>>,
    shared: Arc<Mutex<SharedState>>,
    /// The town's tick, for records the log writes itself.
    tick: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// Opens or creates a run's log: locks it, repairs what a crash left and starts the writer. Fails without changing any file
    /// if another process writes the log or the log is damaged.
    pub fn open(options: Options) -> Result<Opened, AuditError> {
        if !is_run_id(&options.run_id) {
            return Err(AuditError::BadRunId(options.run_id));
        }
        let (dir, run_id) = (options.dir.clone(), options.run_id.clone());
        let first = dir.join(segment_name(&run_id, 1));
        let failed = |error| AuditError::io("open", &first, &error);
        std::fs::create_dir_all(&dir).map_err(|error| AuditError::io("create", &dir, &error))?;
        let files = run_files(&dir, &run_id).map_err(failed)?;
        if !files.segments.contains_key(&1) && (files.head || !files.segments.is_empty()) {
            // The log is damaged: report it before a new first segment takes the place of the lost one.
            recover(&dir, &run_id)?;
        }
        let lock = OpenOptions::new().create(true).append(true).open(&first).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(AuditError::Locked(first.display().to_string())),
            Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
        sync_dir(&dir).map_err(failed)?;
        let found = recover(&dir, &run_id)?;
        let (retry, start) = (options.retry, options.start.clone().filter(|_| found.end.is_none()));
        let (seal_key, seal_interval) = (options.seal_key.clone(), options.seal_interval);
        let first = start.map(|start| begin_record(&dir, &start)).transpose().map_err(failed)?;
        let (config_id, tick) = (found.last.config_id.clone(), options.tick.unwrap_or(found.last.tick));
        let lines = found.end.as_ref().map_or(0, |end| end.seq);
        let mut chain = Chain::open(options, lock, found.end, found.last).map_err(failed)?;
        let torn = |piece| Record::own(Stage::Recovered, &config_id, tick, torn_piece_args(&piece));
        let own: Vec<Record> = first.into_iter().chain(found.torn_piece.map(torn)).collect();
        let mut tail = found.tail;
        if !own.is_empty() {
            let records = chain.append(own.iter()).map_err(failed)?;
            chain.sync().and_then(|()| chain.write_head()).map_err(failed)?;
            tail.extend(records.iter().map(Record::row));
        }
        let mut sealer = Sealer::new(seal_key, seal_interval, &run_id, found.sealed, lines);
        let records = sealer.seal(&mut chain, Cause::Start).map_err(failed)?;
        tail.extend(records.iter().map(Record::row));
        let shared = Arc::new(Mutex::new(SharedState {
            trouble: None,
            tail,
            file: chain.file_name(),
            seq: chain.end().seq,
            hash: chain.end().hash.clone(),
            sealing: sealer.state.clone(),
            busy: None,
            disturbed: None,
            on_disturbed: None,
        }));
        let (inbox, queue) = mpsc::sync_channel(QUEUE);
        let tick = chain.tick();
        let writer = Writer {
            chain,
            sealer,
            shared: Arc::clone(&shared),
            retry,
            last_attempt: None,
            head_written_at: Instant::now(),
            unsynced_since: None,
            checked_at: Instant::now(),
            closed_checked_at: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name(String::from("audit"))
            .spawn(move || writer.run(&queue))
            .map_err(|error| AuditError::Unavailable(error.to_string()))?;
        let log = Self { inbox: Some(inbox), shared, tick, thread: Some(thread) };
        Ok(Opened { log, pending: found.pending, done: found.done, index: found.index })
    }

    /// Notes the town's tick, which records have that the log writes itself, such as seals.
    pub fn note_tick(&self, tick: u64) {
        self.tick.store(tick, Ordering::Relaxed);
    }

    /// Queues a record. `done` is called once: with `durable`, after the record is synced; otherwise after it is written and
    /// before it is synced. It is called at once if the log cannot be written.
    pub fn append(
        &self,
        record: Record,
        durable: bool,
        done: impl FnOnce(Result<Written, AuditError>) + Send + 'static,
    ) {
        let append = Box::new(Append { record, durable, done: Box::new(done) });
        if let Some(why) = self.stalled() {
            return (append.done)(Err(AuditError::Unavailable(why)));
        }
        if let Err((message, why)) = self.send(Message::Append(append))
            && let Message::Append(append) = message
        {
            (append.done)(Err(AuditError::Unavailable(why)));
        }
    }

    /// Appends and waits. Not for the tick loop.
    pub fn append_and_wait(&self, record: Record, durable: bool) -> Result<Written, AuditError> {
        let (sender, answer) = mpsc::sync_channel(1);
        self.append(record, durable, move |written| {
            // The caller may be gone.
            let _ = sender.send(written);
        });
        answer.recv().unwrap_or_else(|_| Err(AuditError::Unavailable(stopped())))
    }

    /// Waits until everything queued so far is durable and named by the head.
    pub fn flush(&self) -> Result<(), AuditError> {
        self.ask(Message::Flush)
    }

    /// Retries now after a failure, in a new segment. Appends do this by themselves every [`Options::retry`].
    pub fn reopen(&self) -> Result<(), AuditError> {
        self.ask(Message::Reopen)
    }

    /// Seals the log now, if its home has a sealing key.
    pub fn seal(&self) -> Result<(), AuditError> {
        self.ask(Message::Seal)
    }

    /// Whether the log is sealed.
    pub fn sealing(&self) -> Sealing {
        lock(&self.shared).sealing.clone()
    }

    fn ask(&self, message: impl FnOnce(SyncSender<Result<(), AuditError>>) -> Message) -> Result<(), AuditError> {
        let (sender, answer) = mpsc::sync_channel(1);
        self.send(message(sender)).map_err(|(_, why)| AuditError::Unavailable(why))?;
        answer.recv().unwrap_or_else(|_| Err(AuditError::Unavailable(stopped())))
    }

    fn send(&self, message: Message) -> Result<(), (Message, String)> {
        let Some(inbox) = &self.inbox else {
            return Err((message, stopped()));
        };
        inbox.try_send(message).map_err(|error| match error {
            TrySendError::Full(message) => (message, format!("{QUEUE} records are already waiting for the disk")),
            TrySendError::Disconnected(message) => (message, stopped()),
        })
    }

    /// Why no append is accepted, if the thread is stuck in a disk operation.
    fn stalled(&self) -> Option<String> {
        let busy = lock(&self.shared).busy?.elapsed();
        (busy >= STALLED).then(|| "the disk does not answer".to_owned())
    }

    /// Why the log cannot be written now, if so.
    pub fn trouble(&self) -> Option<String> {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return Some(stopped());
        }
        self.stalled().or_else(|| lock(&self.shared).trouble.clone())
    }

    /// Whether writing has failed, so that [`Log::reopen`] may help. A stalled disk has not failed.
    pub fn has_failed(&self) -> bool {
        lock(&self.shared).trouble.is_some()
    }

    /// The newest `count` records (at most 200), newest last, and the state of the log.
    pub fn tail(&self, count: usize) -> AuditTail {
        let state = self.trouble().unwrap_or_else(|| String::from("ok"));
        let shared = lock(&self.shared);
        let skip = shared.tail.len().saturating_sub(count);
        let records = shared.tail.iter().skip(skip).cloned().collect();
        AuditTail { records, state, file: shared.file.clone(), seq: shared.seq, head: shared.hash.clone() }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.inbox = None;
        if let Some(thread) = self.thread.take()
            // A callback may drop the last reference on the writer thread itself, which then ends when the callback returns.
            && thread.thread().id() != std::thread::current().id()
        {
            // The panic hook has already reported a panic of a callback.
            let _ = thread.join();
        }
    }
}

fn stopped() -> String {
    String::from("its writer has stopped")
}

fn lock(shared: &Mutex<SharedState>) -> MutexGuard<'_, SharedState> {
    // Every field is valid at every moment, so a panic while the lock was held leaves no partial state.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Writer {
    chain: Chain,
    sealer: Sealer,
    shared: Arc<Mutex<SharedState>>,
    retry: Duration,
    /// When the last failed attempt to write was.
    last_attempt: Option<Instant>,
    head_written_at: Instant,
    /// When the oldest unsynced line was written.
    unsynced_since: Option<Instant>,
    /// When the files were last checked.
    checked_at: Instant,
    /// When the closed segments were last looked for.
    closed_checked_at: Instant,
}

impl Writer {
    fn run(mut self, queue: &Receiver<Message>) {
        while let Some(first) = self.wait(queue) {
            let mut batch = Vec::new();
            let mut next = Some(first);
            while let Some(message) = next.take() {
                match message {
                    Message::Append(append) => batch.push(*append),
                    Message::Reopen(done) => {
                        self.commit(std::mem::take(&mut batch));
                        let _ = done.send(self.repair());
                    }
                    Message::Rotate => {
                        self.commit(std::mem::take(&mut batch));
                        // The failure is in the shared state, where every append sees it.
                        let _ = self.at_disk(|chain| chain.begin_segment("requested"));
                    }
                    Message::Flush(done) => {
                        self.commit(std::mem::take(&mut batch));
                        let _ = done.send(self.sync_and_write_head());
                    }
                    Message::Seal(done) => {
                        self.commit(std::mem::take(&mut batch));
                        let _ = done.send(self.seal(Cause::Interval));
                    }
                }
                if batch.len() < BATCH {
                    next = queue.try_recv().ok();
                }
            }
            self.commit(batch);
            self.seal_if_due();
            self.check_if_due();
            if self.until_sync_due().is_some_and(|left| left.is_zero()) {
                // The failure is in the shared state, where every append sees it.
                let _ = self.sync_and_write_head();
            } else if self.is_head_due() && self.head_written_at.elapsed() >= HEAD_LAG {
                self.replace_head();
            }
        }
        // All senders are gone. After a failure here, `verify` reports lines beyond the head.
        let _ = self.seal(Cause::Stop);
        let _ = self.sync_and_write_head();
    }

    /// The next message; syncs and replaces the head while it waits. `None` when all senders are gone.
    fn wait(&mut self, queue: &Receiver<Message>) -> Option<Message> {
        loop {
            let head = self.is_head_due();
            let timeout = if head { HEAD_IDLE } else { self.until_sync_due().map_or(CHECK, |due| due.min(CHECK)) };
            let seal = self.until_seal_due();
            let timeout = seal.map_or(timeout, |seal| seal.min(timeout));
            match queue.recv_timeout(timeout) {
                Ok(message) => return Some(message),
                Err(RecvTimeoutError::Timeout) if seal.is_some_and(|seal| seal <= timeout) => self.seal_if_due(),
                Err(RecvTimeoutError::Timeout) if head => self.replace_head(),
                // The failure is in the shared state, where every append sees it.
                Err(RecvTimeoutError::Timeout) if self.until_sync_due().is_some_and(|due| due.is_zero()) => {
                    drop(self.sync_and_write_head());
                }
                Err(RecvTimeoutError::Timeout) => self.check(),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// How long until unsynced lines must be synced, if there are any.
    fn until_sync_due(&self) -> Option<Duration> {
        let since = self.unsynced_since.filter(|_| self.unavailable_reason().is_none())?;
        Some(UNSYNCED.saturating_sub(since.elapsed()))
    }

    fn until_seal_due(&self) -> Option<Duration> {
        self.sealer.until_due(&self.chain).filter(|_| self.unavailable_reason().is_none())
    }

    fn seal_if_due(&mut self) {
        if self.until_seal_due().is_some_and(|left| left.is_zero()) {
            let cause = self.sealer.cause(&self.chain);
            // A failure of the log is in the shared state, where every append sees it.
            let _ = self.seal(cause);
        }
    }

    /// Seals the log, if its home has a sealing key. The error is one of the log.
    fn seal(&mut self, cause: Cause) -> Result<(), AuditError> {
        if let Some(why) = self.unavailable_reason() {
            return Err(AuditError::Unavailable(why));
        }
        let mut sealer = std::mem::take(&mut self.sealer);
        let sealed = self.at_disk(|chain| sealer.seal(chain, cause));
        self.sealer = sealer;
        lock(&self.shared).sealing = self.sealer.state.clone();
        self.publish(&sealed?);
        Ok(())
    }

    fn is_head_due(&self) -> bool {
        self.unavailable_reason().is_none() && self.chain.is_head_stale()
    }

    fn unavailable_reason(&self) -> Option<String> {
        lock(&self.shared).trouble.clone()
    }

    /// Runs a disk operation; a failure makes the log unavailable.
    fn at_disk<T>(&mut self, work: impl FnOnce(&mut Chain) -> io::Result<T>) -> Result<T, AuditError> {
        lock(&self.shared).busy = Some(Instant::now());
        let result = work(&mut self.chain);
        self.unsynced_since =
            if self.chain.is_synced() { None } else { self.unsynced_since.or_else(|| Some(Instant::now())) };
        let report = self.chain.take_report();
        let mut shared = lock(&self.shared);
        shared.busy = None;
        shared.note_disturbance(report);
        result.map_err(|error| {
            let why = format!("{}: {error}", self.chain.file_name());
            let kept = self.chain.last_kept().seq;
            shared.tail.retain(|row| row.seq <= kept);
            shared.trouble = Some(why.clone());
            self.last_attempt = Some(Instant::now());
            AuditError::Unavailable(why)
        })
    }

    fn replace_head(&mut self) {
        self.head_written_at = Instant::now();
        // The failure is in the shared state, where every append sees it.
        let _ = self.at_disk(|chain| {
            chain.check(false)?;
            if chain.is_head_stale() { chain.write_head() } else { Ok(()) }
        });
    }

    /// Makes the log writable again, if it is not.
    fn repair(&mut self) -> Result<(), AuditError> {
        let Some(why) = self.unavailable_reason() else {
            return Ok(());
        };
        // The cause goes into the `rotate` record of the new segment.
        self.at_disk(|chain| chain.repair(&why))?;
        lock(&self.shared).trouble = None;
        self.publish(&[]);
        Ok(())
    }

    fn sync_and_write_head(&mut self) -> Result<(), AuditError> {
        if let Some(why) = self.unavailable_reason() {
            return Err(AuditError::Unavailable(why));
        }
        self.at_disk(|chain| {
            chain.sync()?;
            chain.check(true)?;
            if chain.is_head_stale() { chain.write_head() } else { Ok(()) }
        })
    }

    fn commit(&mut self, batch: Vec<Append>) {
        if batch.is_empty() {
            return;
        }
        match self.write(&batch) {
            Ok((file, records)) => {
                self.publish(&records);
                let placement = self.chain.placement();
                for (append, record) in batch.into_iter().zip(records) {
                    let (file, placement) = (file.clone(), placement.clone());
                    (append.done)(Ok(Written { file, seq: record.seq, hash: record.hash, placement }));
                }
                self.begin_disturbed_segment();
            }
            Err(error) => {
                for append in batch {
                    (append.done)(Err(error.clone()));
                }
            }
        }
    }

    /// The file that the records were written to, and the records.
    fn write(&mut self, batch: &[Append]) -> Result<(String, Vec<Record>), AuditError> {
        if let Some(why) = self.unavailable_reason() {
            if self.last_attempt.is_some_and(|attempt| attempt.elapsed() < self.retry) {
                return Err(AuditError::Unavailable(why));
            }
            self.repair()?;
        }
        let durable = batch.iter().any(|append| append.durable);
        let written = self.at_disk(|chain| {
            let records = chain.append(batch.iter().map(|append| &append.record))?;
            let file = chain.file_name();
            // Nothing is acknowledged that stands in no file.
            if durable || chain.is_disturbed().unwrap_or(true) {
                chain.sync()?;
            }
            Ok((file, records))
        });
        self.sealer.wrote(&self.chain);
        written
    }

    /// Shows new records and the end of the chain to callers.
    fn publish(&self, records: &[Record]) {
        let mut shared = lock(&self.shared);
        for record in records {
            if shared.tail.len() >= TAIL {
                shared.tail.pop_front();
            }
            shared.tail.push_back(record.row());
        }
        shared.file = self.chain.file_name();
        shared.seq = self.chain.end().seq;
        shared.hash.clone_from(&self.chain.end().hash);
    }
}
