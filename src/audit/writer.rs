//! The one writer of a run's log: a queue, a thread, group commit, and what happens when the disk fails.
//!
//! Owns who waits for what. Must not know bytes (that is `segment`) or commands. Callers never wait for the disk: they
//! hand over a callback. The thread takes everything queued, writes it, syncs once and calls back; it never delays a
//! commit. The head follows when the queue is empty or a tenth of a second has passed, because lines beyond it are legal.
//! Lines that nobody waits for are synced with the next that somebody does, or after a second.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::chain::{Chain, Home, sync_dir};
use super::idempotency::IdempotencyIndex;
use super::log_files::{is_run_id, run_files, segment_name};
use super::record::{Entry, Record, Stage};
use super::recovery::{OpenIntent, recover};
use super::verify::torn_piece_args;
use townlet_wire::ErrorBody;
use townlet_wire::telemetry::{AuditRow, AuditTail};

/// Records kept in memory for screens.
pub(crate) const TAIL: usize = 200;
/// Records that may wait for the disk before further ones are refused.
const QUEUE: usize = 16_384;
/// Most records of one commit.
const BATCH: usize = 4_096;
/// How long the queue must be empty before the head is replaced.
const HEAD_IDLE: Duration = Duration::from_millis(20);
/// The longest the head stays behind while the queue never empties.
const HEAD_LAG: Duration = Duration::from_millis(100);
/// The longest a written line stays unsynced, and so out of the head's reach.
const UNSYNCED: Duration = Duration::from_secs(1);
/// A disk that has not answered for this long counts as one that cannot be written.
const STALLED: Duration = Duration::from_secs(1);

/// Where the time of a record comes from.
pub type Clock = Box<dyn Fn() -> jiff::Timestamp + Send>;

/// What went wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// Another process writes this run.
    #[error("the audit log `{0}` is being written by another process.")]
    Locked(String),
    /// A name that cannot be told apart from others in the folder.
    #[error("`{0}` cannot name a run: letters, digits, `-` and `_` can.")]
    BadRunId(String),
    /// The log is not what was written; nothing was touched.
    #[error(
        "the audit log is damaged and was left as it is: {first} ({findings} findings; `townlet audit verify` lists them). Put \
         back a copy of what it names, or start anew without `--resume`"
    )]
    Broken {
        /// The first finding.
        first: String,
        /// How many there are.
        findings: usize,
    },
    /// A file could not be opened, read or mended.
    #[error("cannot {action} `{path}`: {why}.")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: String,
        /// As the system says it.
        why: String,
    },
    /// The log cannot be written now.
    #[error("the audit log cannot be written: {0}.")]
    Unavailable(String),
}

impl AuditError {
    pub(crate) fn io(action: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::Io { action, path: path.display().to_string(), why: error.to_string() }
    }

    /// As an answer says it: `E_AUDIT_UNAVAILABLE`.
    pub fn body(&self) -> ErrorBody {
        ErrorBody {
            code: String::from("E_AUDIT_UNAVAILABLE"),
            message: self.to_string(),
            hint: String::from("Nothing was changed. Free or repair the disk; the log tries again by itself."),
        }
    }
}

/// Where a record was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Name of the segment.
    pub file: String,
    /// The record's number.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
}

/// Whether the log can be written, for a banner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It can.
    Ok,
    /// It cannot, and why.
    Unavailable(String),
}

/// How a run's log is opened.
pub struct Options {
    /// The folder, such as `logs/console`; made when it is not there.
    pub dir: PathBuf,
    /// The run: letters, digits, `-`, `_`.
    pub run_id: String,
    /// The shard's name.
    pub shard: String,
    /// A segment of this many bytes is followed by another; 16 MiB.
    pub segment_bytes: u64,
    /// After a failure, appends try to write again at most this often; a second.
    pub retry: Duration,
    /// Where the time of a record comes from.
    pub clock: Clock,
}

impl Options {
    /// The usual options.
    pub fn new(dir: impl Into<PathBuf>, run_id: impl Into<String>, shard: impl Into<String>) -> Self {
        Self {
            dir: dir.into(),
            run_id: run_id.into(),
            shard: shard.into(),
            segment_bytes: 16 * 1024 * 1024,
            retry: Duration::from_secs(1),
            clock: Box::new(jiff::Timestamp::now),
        }
    }
}

/// A run's log, open, and what the shard must know of what it already holds.
pub struct Opened {
    /// The log.
    pub log: Log,
    /// Intents without an end, oldest first. Their ids are in flight in `index` until the shard ends them.
    pub pending: Vec<OpenIntent>,
    /// How mutating commands that were applied ended, in the order of the log; also those told to be unsafe on disk.
    pub done: Vec<Record>,
    /// The ids of the run.
    pub index: IdempotencyIndex,
}

type Done = Box<dyn FnOnce(Result<Written, AuditError>) + Send>;

struct Append {
    entry: Entry,
    durable: bool,
    done: Done,
}

enum Message {
    Append(Box<Append>),
    Reopen(SyncSender<Result<(), AuditError>>),
    Flush(SyncSender<Result<(), AuditError>>),
}

/// What the thread shows to everybody.
struct Board {
    state: State,
    tail: VecDeque<AuditRow>,
    file: String,
    seq: u64,
    hash: String,
    /// Since when the thread has been at the disk.
    busy: Option<Instant>,
}

/// The open log of one run. Shared by reference; dropping it writes and syncs everything queued.
pub struct Log {
    inbox: Option<SyncSender<Message>>,
    board: Arc<Mutex<Board>>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// Opens a run's log, new or written before, locks it, mends what a crash left and starts the writer.
    ///
    /// # Errors
    /// When another process writes it, it is damaged, or the disk refuses. Nothing of a damaged log is touched.
    pub fn open(options: Options) -> Result<Opened, AuditError> {
        let Options { dir, run_id, shard, segment_bytes, retry, clock } = options;
        if !is_run_id(&run_id) {
            return Err(AuditError::BadRunId(run_id));
        }
        let first = dir.join(segment_name(&run_id, 1));
        let failed = |error| AuditError::io("open", &first, &error);
        std::fs::create_dir_all(&dir).map_err(|error| AuditError::io("make", &dir, &error))?;
        let files = run_files(&dir, &run_id).map_err(failed)?;
        if !files.segments.contains_key(&1) && (files.head || !files.segments.is_empty()) {
            // Damaged for certain: let it be said before a first segment is made in the place of the lost one.
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
        let home = Home { dir, run_id, shard, segment_bytes, clock };
        let (config_id, tick) = found.last.clone();
        let mut chain = Chain::open(home, lock, found.end, found.last).map_err(failed)?;
        let mut tail = found.tail;
        if let Some(aside) = found.aside {
            let entry = Entry::own(Stage::Recovered, &config_id, tick, torn_piece_args(&aside));
            let records = chain.append(std::iter::once(&entry)).map_err(failed)?;
            chain.sync().and_then(|()| chain.write_head()).map_err(failed)?;
            tail.extend(records.iter().map(Record::row));
        }
        let board = Arc::new(Mutex::new(Board {
            state: State::Ok,
            tail,
            file: chain.file_name(),
            seq: chain.end().seq,
            hash: chain.end().hash.clone(),
            busy: None,
        }));
        let (inbox, queue) = mpsc::sync_channel(QUEUE);
        let writer =
            Writer { chain, board: Arc::clone(&board), retry, tried: None, head_at: Instant::now(), unsynced: None };
        let thread = std::thread::Builder::new()
            .name(String::from("audit"))
            .spawn(move || writer.run(&queue))
            .map_err(|error| AuditError::Unavailable(error.to_string()))?;
        let log = Self { inbox: Some(inbox), board, thread: Some(thread) };
        Ok(Opened { log, pending: found.pending, done: found.done, index: found.index })
    }

    /// Queues a record. `done` is called once, from the writer's thread or at once when the log cannot be written: with
    /// `durable`, after the record is on the disk for good; without, after it is written, to be synced with a later one.
    pub fn append(&self, entry: Entry, durable: bool, done: impl FnOnce(Result<Written, AuditError>) + Send + 'static) {
        let append = Box::new(Append { entry, durable, done: Box::new(done) });
        if let Some(why) = self.stalled() {
            return (append.done)(Err(AuditError::Unavailable(why)));
        }
        if let Err((message, why)) = self.send(Message::Append(append))
            && let Message::Append(append) = message
        {
            (append.done)(Err(AuditError::Unavailable(why)));
        }
    }

    /// Appends and waits. For callers that have nothing else to do, never for a tick loop.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn append_and_wait(&self, entry: Entry, durable: bool) -> Result<Written, AuditError> {
        let (sender, answer) = mpsc::sync_channel(1);
        self.append(entry, durable, move |written| {
            // The caller may have gone; then nobody is to be told.
            let _ = sender.send(written);
        });
        answer.recv().unwrap_or_else(|_| Err(AuditError::Unavailable(stopped())))
    }

    /// Waits until everything queued before is durable and named by the head.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn flush(&self) -> Result<(), AuditError> {
        self.ask(Message::Flush)
    }

    /// After a failure: tries now to go on, in a further segment. Appends do so by themselves, [`Options::retry`] apart.
    ///
    /// # Errors
    /// When the log still cannot be written.
    pub fn reopen(&self) -> Result<(), AuditError> {
        self.ask(Message::Reopen)
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
            TrySendError::Full(message) => (message, format!("{QUEUE} records already wait for the disk")),
            TrySendError::Disconnected(message) => (message, stopped()),
        })
    }

    /// Why no append can be taken, when the thread is stuck at the disk.
    fn stalled(&self) -> Option<String> {
        let busy = board(&self.board).busy?.elapsed();
        (busy >= STALLED).then(|| "the disk does not answer".to_owned())
    }

    /// Whether the log can be written now.
    pub fn state(&self) -> State {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return State::Unavailable(stopped());
        }
        match self.stalled() {
            Some(why) => State::Unavailable(why),
            None => board(&self.board).state.clone(),
        }
    }

    /// Whether writing has failed, so that [`Log::reopen`] may help. A disk that has not answered yet has not failed.
    pub fn has_failed(&self) -> bool {
        board(&self.board).state != State::Ok
    }

    /// The newest `count` records (at most 200), newest last, and where the log stands.
    pub fn tail(&self, count: usize) -> AuditTail {
        let state = match self.state() {
            State::Ok => String::from("ok"),
            State::Unavailable(why) => why,
        };
        let board = board(&self.board);
        let skip = board.tail.len().saturating_sub(count);
        let records = board.tail.iter().skip(skip).cloned().collect();
        AuditTail { records, state, file: board.file.clone(), seq: board.seq, head: board.hash.clone() }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.inbox = None;
        if let Some(thread) = self.thread.take()
            // The last owner may be a callback, on the thread itself: it ends when that returns.
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic of a callback was printed when it happened.
            let _ = thread.join();
        }
    }
}

fn stopped() -> String {
    String::from("its writer has stopped")
}

fn board(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    // Every field is whole at every moment, so a panic elsewhere spoils nothing.
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread's own.
struct Writer {
    chain: Chain,
    board: Arc<Mutex<Board>>,
    retry: Duration,
    /// When writing was last tried and failed.
    tried: Option<Instant>,
    head_at: Instant,
    /// Since when there are lines that are written and not synced.
    unsynced: Option<Instant>,
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
                    Message::Flush(done) => {
                        self.commit(std::mem::take(&mut batch));
                        let _ = done.send(self.sync_and_write_head());
                    }
                }
                if batch.len() < BATCH {
                    next = queue.try_recv().ok();
                }
            }
            self.commit(batch);
            if self.until_sync_due().is_some_and(|left| left.is_zero()) {
                // The failure is on the board, and every append meets it there.
                let _ = self.sync_and_write_head();
            } else if self.is_head_due() && self.head_at.elapsed() >= HEAD_LAG {
                self.replace_head();
            }
        }
        // Everybody has gone; a failure now is found by `verify` as lines beyond the head at most.
        let _ = self.sync_and_write_head();
    }

    /// The next message; what is owed to the disk is done meanwhile. `None` when everybody has gone.
    fn wait(&mut self, queue: &Receiver<Message>) -> Option<Message> {
        loop {
            let head = self.is_head_due();
            let owed = if head { Some(HEAD_IDLE) } else { self.until_sync_due() };
            let Some(idle) = owed else { return queue.recv().ok() };
            match queue.recv_timeout(idle) {
                Ok(message) => return Some(message),
                Err(RecvTimeoutError::Timeout) if head => self.replace_head(),
                // The failure is on the board, and every append meets it there.
                Err(RecvTimeoutError::Timeout) => drop(self.sync_and_write_head()),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// How long unsynced lines may still wait, when there are any.
    fn until_sync_due(&self) -> Option<Duration> {
        let since = self.unsynced.filter(|_| self.unavailable_reason().is_none())?;
        Some(UNSYNCED.saturating_sub(since.elapsed()))
    }

    fn is_head_due(&self) -> bool {
        self.unavailable_reason().is_none() && self.chain.is_head_stale()
    }

    fn unavailable_reason(&self) -> Option<String> {
        match &board(&self.board).state {
            State::Ok => None,
            State::Unavailable(why) => Some(why.clone()),
        }
    }

    /// Does something at the disk; a failure makes the log unavailable.
    fn at_disk<T>(&mut self, work: impl FnOnce(&mut Chain) -> io::Result<T>) -> Result<T, AuditError> {
        board(&self.board).busy = Some(Instant::now());
        let result = work(&mut self.chain);
        self.unsynced = if self.chain.is_synced() { None } else { self.unsynced.or_else(|| Some(Instant::now())) };
        let mut board = board(&self.board);
        board.busy = None;
        result.map_err(|error| {
            let why = format!("{}: {error}", self.chain.file_name());
            let kept = self.chain.kept().seq;
            board.tail.retain(|row| row.seq <= kept);
            board.state = State::Unavailable(why.clone());
            self.tried = Some(Instant::now());
            AuditError::Unavailable(why)
        })
    }

    fn replace_head(&mut self) {
        self.head_at = Instant::now();
        // The failure is on the board, and every append meets it there.
        let _ = self.at_disk(Chain::write_head);
    }

    /// Makes the log writable again; nothing to do when it is.
    fn repair(&mut self) -> Result<(), AuditError> {
        let Some(why) = self.unavailable_reason() else {
            return Ok(());
        };
        // The log itself tells why it goes on elsewhere.
        self.at_disk(|chain| chain.repair(&why))?;
        let mut board = board(&self.board);
        board.state = State::Ok;
        board.file = self.chain.file_name();
        board.seq = self.chain.end().seq;
        board.hash.clone_from(&self.chain.end().hash);
        Ok(())
    }

    fn sync_and_write_head(&mut self) -> Result<(), AuditError> {
        if let Some(why) = self.unavailable_reason() {
            return Err(AuditError::Unavailable(why));
        }
        self.at_disk(|chain| {
            chain.sync()?;
            if chain.is_head_stale() { chain.write_head() } else { Ok(()) }
        })
    }

    fn commit(&mut self, batch: Vec<Append>) {
        if batch.is_empty() {
            return;
        }
        match self.write(&batch) {
            Ok(records) => {
                let file = self.chain.file_name();
                self.publish(&file, &records);
                for (append, record) in batch.into_iter().zip(records) {
                    (append.done)(Ok(Written { file: file.clone(), seq: record.seq, hash: record.hash }));
                }
            }
            Err(error) => {
                for append in batch {
                    (append.done)(Err(error.clone()));
                }
            }
        }
    }

    fn write(&mut self, batch: &[Append]) -> Result<Vec<Record>, AuditError> {
        if let Some(why) = self.unavailable_reason() {
            if self.tried.is_some_and(|tried| tried.elapsed() < self.retry) {
                return Err(AuditError::Unavailable(why));
            }
            self.repair()?;
        }
        let durable = batch.iter().any(|append| append.durable);
        self.at_disk(|chain| {
            let records = chain.append(batch.iter().map(|append| &append.entry))?;
            if durable {
                chain.sync()?;
            }
            Ok(records)
        })
    }

    fn publish(&self, file: &str, records: &[Record]) {
        let mut board = board(&self.board);
        for record in records {
            if board.tail.len() >= TAIL {
                board.tail.pop_front();
            }
            board.tail.push_back(record.row());
        }
        file.clone_into(&mut board.file);
        board.seq = self.chain.end().seq;
        board.hash.clone_from(&self.chain.end().hash);
    }
}
