//! The journal, which replays a run: seed, configuration texts, applied commands, chosen options, and a digest every 100 ticks.
//!
//! A file is a sequence of frames: body length (u32), CRC-32 of the body (u32), body (postcard). The first frame is a
//! [`Header`]. It holds no wall-clock times. A writer thread syncs at least once a second and for every command. After a crash
//! a torn last frame is cut off. Rule: "Journal".

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fail::fail_point;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use townlet_files::write_atomically;
use townlet_town::{Command, Sources};

use super::home::Home;

/// Version of the file format.
pub const VERSION: u32 = 1;
/// Ticks between two digests.
pub const DIGEST_TICKS: u64 = 100;
/// Longest time written entries stay unsynced.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// After this long without an answer from the disk the journal counts as unavailable.
const STALLED: Duration = Duration::from_secs(1);
/// Largest body read; a longer one is damage.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// What an operator can do about a file that cannot be used.
const REPAIR_HINT: &str =
    "put back a copy of the file, or move it away to resume from the newest snapshot and the audit log";

/// The state at the start of a journal file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Base {
    /// A new town of this seed.
    Seed(u64),
    /// A saved town, used when an earlier file is missing or could not be written.
    Snapshot(Vec<u8>),
}

/// First frame of every file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Format version.
    pub version: u32,
    /// The run.
    pub run_id: String,
    /// The shard's name.
    pub shard: String,
    /// The texts the town was built from.
    pub sources: Sources,
    /// The policy at the start of the file.
    pub policy: String,
    /// The state at the start of the file.
    pub base: Base,
}

/// A frame after the header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// Ticks `from..to` with the options chosen in them, in the order the town asked for them.
    Ticks {
        /// First tick.
        from: u64,
        /// End of the range, exclusive.
        to: u64,
        /// Numbers of [`townlet_town::OptionKind`]s.
        options: Vec<u8>,
        /// Digest after the last tick, if `to` is a multiple of [`DIGEST_TICKS`].
        digest: Option<String>,
    },
    /// A command applied before tick `tick`.
    Command {
        /// Number of commands applied before it.
        index: u64,
        /// The next tick to run.
        tick: u64,
        /// Finds the command after a crash.
        cmd_id: String,
        /// The issuer.
        issuer: String,
        /// The command.
        command: Command,
    },
    /// A change of policy, effective from tick `tick`. Replay does not need it, because the journal holds the options.
    Policy {
        /// The first tick of the new policy.
        tick: u64,
        /// Finds the command after a crash.
        cmd_id: String,
        /// The issuer; `town` for an automatic change.
        issuer: String,
        /// The old policy.
        from: String,
        /// The new policy.
        to: String,
    },
    /// A configuration reload before tick `tick`. It counts as a command.
    Reload {
        /// Number of commands applied before it.
        index: u64,
        /// The next tick to run.
        tick: u64,
        /// Finds the command after a crash.
        cmd_id: String,
        /// The issuer.
        issuer: String,
        /// The complete new texts.
        sources: Box<Sources>,
    },
}

/// Why a journal cannot be used: its path, and the system's error or what is invalid.
#[derive(Debug, Error)]
#[error("{path}: {why}")]
pub struct JournalError {
    path: String,
    why: String,
}

fn failed(path: &Path, why: &dyn std::fmt::Display) -> JournalError {
    JournalError { path: path.display().to_string(), why: why.to_string() }
}

type Done = Box<dyn FnOnce(Result<(), String>) + Send>;

enum Message {
    /// Appends. Calls `written` once the operating system has the entry, `durable` once it is synced.
    Append {
        entry: Box<Entry>,
        written: Option<Done>,
        durable: Option<Done>,
    },
    /// Continues in a new file that starts at this tick.
    Restart {
        home: Home,
        tick: u64,
        header: Box<Header>,
    },
    Flush(Sender<Result<(), String>>),
}

/// State that the writer thread shares with callers.
#[derive(Default)]
struct SharedState {
    /// Why the journal cannot be written.
    trouble: Option<String>,
    /// When the current disk operation started.
    busy: Option<Instant>,
}

fn lock(shared: &Mutex<SharedState>) -> MutexGuard<'_, SharedState> {
    // Every field is valid at every moment, so a panic while the lock was held leaves no partial state.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The handle of the writer thread. Dropping it syncs and closes the file.
pub struct Journal {
    sender: Option<Sender<Message>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Mutex<SharedState>>,
}

impl Journal {
    /// Creates a new file. Fails if it exists.
    pub fn create(path: &Path, header: &Header) -> Result<Self, JournalError> {
        let file = start(path, header).map_err(|error| failed(path, &error))?;
        Ok(Self::writer(file))
    }

    /// Reopens a file to append after its first `whole` bytes, as [`read`] returns them; the rest is cut off.
    pub fn reopen(path: &Path, whole: u64) -> Result<Self, JournalError> {
        let file = OpenOptions::new().append(true).open(path).map_err(|error| failed(path, &error))?;
        file.set_len(whole).and_then(|()| file.sync_all()).map_err(|error| failed(path, &error))?;
        Ok(Self::writer(file))
    }

    fn writer(file: File) -> Self {
        let (sender, receiver) = channel();
        let shared = Arc::default();
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || {
                Writer { file: Some(file), shared: theirs, waiting: Vec::new(), unsynced: None }.run(&receiver);
            })
            .expect("a thread can be started");
        Self { sender: Some(sender), thread: Some(thread), shared }
    }

    fn send(&self, message: Message) {
        if let Some(sender) = &self.sender {
            // If the writer has stopped, `trouble` says so and later commands are refused.
            drop(sender.send(message));
        }
    }

    /// Appends without waiting.
    pub fn append(&self, entry: Entry) {
        self.send(Message::Append { entry: Box::new(entry), written: None, durable: None });
    }

    /// Appends a command. Calls `written` once a crash of this process cannot lose it, `durable` once a power failure cannot.
    pub fn command(
        &self,
        entry: Entry,
        written: impl FnOnce(Result<(), String>) + Send + 'static,
        durable: impl FnOnce(Result<(), String>) + Send + 'static,
    ) {
        let (written, durable): (Option<Done>, Option<Done>) = (Some(Box::new(written)), Some(Box::new(durable)));
        self.send(Message::Append { entry: Box::new(entry), written, durable });
    }

    /// Gives up a file that cannot be written and continues in a new one.
    pub fn restart(&self, home: Home, tick: u64, header: Header) {
        self.send(Message::Restart { home, tick, header: Box::new(header) });
    }

    /// Waits until everything appended so far is synced; the error says why it is not.
    pub fn flush(&self) -> Result<(), String> {
        let (sender, receiver) = channel();
        self.send(Message::Flush(sender));
        receiver.recv().unwrap_or_else(|_| Err("the journal's writer has stopped".into()))
    }

    /// Why the journal cannot be written until it continues in a new file, if so.
    pub fn trouble(&self) -> Option<String> {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return Some("the journal cannot be written: its writer has stopped".into());
        }
        lock(&self.shared).trouble.clone()
    }

    /// Why the journal cannot be written until the disk answers, if so.
    pub fn stalled(&self) -> Option<String> {
        let busy = lock(&self.shared).busy?.elapsed();
        (busy >= STALLED).then(|| "the journal cannot be written: the disk does not answer".to_owned())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

pub(super) fn frame<T: Serialize>(value: &T) -> Vec<u8> {
    let body = postcard::to_stdvec(value).expect("journal entries are plain data");
    let mut bytes = Vec::with_capacity(body.len() + 8);
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

fn start(path: &Path, header: &Header) -> io::Result<File> {
    fail_point!("journal_create", |_| Err(io::Error::other("fail point journal_create")));
    if path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    // The file appears with its header or not at all: a file without a header could not be resumed.
    write_atomically(path, &frame(header))?;
    OpenOptions::new().append(true).open(path)
}

struct Writer {
    file: Option<File>,
    shared: Arc<Mutex<SharedState>>,
    waiting: Vec<Done>,
    unsynced: Option<Instant>,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Message>) {
        loop {
            let message = match (self.waiting.is_empty(), self.unsynced) {
                (true, None) => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
                (true, Some(since)) => receiver.recv_timeout(SYNC_EVERY.saturating_sub(since.elapsed())),
                // Commands wait for the disk: take everything queued meanwhile, then sync.
                (false, _) => receiver.try_recv().map_err(|error| match error {
                    std::sync::mpsc::TryRecvError::Empty => RecvTimeoutError::Timeout,
                    std::sync::mpsc::TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
                }),
            };
            match message {
                Ok(Message::Append { entry, written, durable }) => self.append(&entry, written, durable),
                Ok(Message::Restart { home, tick, header }) => self.restart(&home, tick, &header),
                Ok(Message::Flush(answer)) => {
                    let result = self.sync();
                    drop(answer.send(result));
                }
                Err(RecvTimeoutError::Timeout) => drop(self.sync()),
                Err(RecvTimeoutError::Disconnected) => {
                    drop(self.sync());
                    return;
                }
            }
        }
    }

    fn at_disk<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        lock(&self.shared).busy = Some(Instant::now());
        let result = work(self);
        lock(&self.shared).busy = None;
        result
    }

    fn append(&mut self, entry: &Entry, written: Option<Done>, durable: Option<Done>) {
        let bytes = frame(entry);
        let result = self.at_disk(|writer| writer.write(&bytes));
        if let Err(why) = &result {
            self.fail(why);
        }
        if let Some(written) = written {
            written(result.clone());
        }
        match (result, durable) {
            (Ok(()), Some(durable)) => self.waiting.push(durable),
            (Err(why), Some(durable)) => durable(Err(why)),
            (_, None) => {}
        }
        if self.unsynced.is_some_and(|since| since.elapsed() >= SYNC_EVERY) {
            drop(self.sync());
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        fail_point!("journal_write", |_| Err("fail point journal_write".into()));
        let Some(file) = &mut self.file else {
            return Err(self.trouble());
        };
        // Half of the bytes are written, then the disk fails.
        fail_point!("journal_torn", |_| {
            file.write_all(&bytes[..bytes.len() / 2]).map_err(|error| error.to_string())?;
            Err("fail point journal_torn".into())
        });
        file.write_all(bytes).map_err(|error| error.to_string())?;
        self.unsynced.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Syncs and calls the waiting callbacks. A failed sync is never retried on the same file.
    fn sync(&mut self) -> Result<(), String> {
        let result = if self.unsynced.take().is_some() || self.file.is_none() {
            self.at_disk(|writer| writer.sync_file())
        } else {
            Ok(())
        };
        if let Err(why) = &result {
            self.fail(why);
        }
        for waiting in self.waiting.drain(..) {
            waiting(result.clone());
        }
        result
    }

    fn sync_file(&self) -> Result<(), String> {
        fail_point!("journal_sync", |_| Err("fail point journal_sync".into()));
        // Without a file, entries appended since the failure are lost.
        let Some(file) = &self.file else { return Err(self.trouble()) };
        file.sync_data().map_err(|error| error.to_string())
    }

    fn trouble(&self) -> String {
        lock(&self.shared).trouble.clone().unwrap_or_default()
    }

    fn fail(&mut self, why: &str) {
        self.file = None;
        self.unsynced = None;
        lock(&self.shared).trouble.get_or_insert_with(|| format!("the journal cannot be written: {why}"));
    }

    fn restart(&mut self, home: &Home, tick: u64, header: &Header) {
        let path = home.unused_journal_path(&header.run_id, tick);
        match self.at_disk(|_| start(&path, header)) {
            Ok(file) => {
                self.file = Some(file);
                lock(&self.shared).trouble = None;
            }
            Err(error) => self.fail(&error.to_string()),
        }
    }
}

/// The content of a journal file.
pub struct Contents {
    /// The first frame.
    pub header: Header,
    /// The frames after it.
    pub entries: Vec<Entry>,
    /// Bytes up to the end of the last valid frame.
    pub whole: u64,
    /// Bytes after it: an incomplete frame that a crash left.
    pub torn: u64,
}

impl Contents {
    /// The configuration texts in force at the end of the file.
    pub fn sources(&self) -> &Sources {
        let reloaded = self.entries.iter().rev().find_map(|entry| match entry {
            Entry::Reload { sources, .. } => Some(&**sources),
            _ => None,
        });
        reloaded.unwrap_or(&self.header.sources)
    }
}

/// Reads a file up to a torn last frame. Fails if the header is invalid, or if a valid frame follows an invalid one.
pub fn read(path: &Path) -> Result<Contents, JournalError> {
    let mut bytes = Vec::new();
    townlet_files::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|error| failed(path, &error))?;
    let mut at = 0;
    let header: Header = next(&bytes, &mut at)
        .ok_or_else(|| failed(path, &format!("it does not begin with a journal header; {REPAIR_HINT}")))?;
    check_version(path, &header)?;
    let mut entries = Vec::new();
    while let Some(entry) = next(&bytes, &mut at) {
        entries.push(entry);
    }
    if let Some(behind) = intact_frame_after(&bytes, at) {
        let what = format!("it is damaged at byte {at}, with whole entries behind it from byte {behind}");
        return Err(failed(path, &format!("{what}; nothing was cut off; {REPAIR_HINT}")));
    }
    Ok(Contents { header, entries, whole: at as u64, torn: (bytes.len() - at) as u64 })
}

fn check_version(path: &Path, header: &Header) -> Result<(), JournalError> {
    if header.version == VERSION {
        return Ok(());
    }
    let version = header.version;
    Err(failed(path, &format!("it is version {version} of the journal; this program reads version {VERSION}")))
}

/// Streams a file's entries, each with the bytes of its frame, because a long journal may not fit in memory. Ends at the first
/// invalid frame.
pub(super) struct FrameReader {
    reader: BufReader<File>,
    pub(super) header: Header,
}

impl FrameReader {
    pub(super) fn open(path: &Path) -> Result<Self, JournalError> {
        let mut reader = BufReader::new(townlet_files::open(path).map_err(|error| failed(path, &error))?);
        let header = read_frame(&mut reader).and_then(|bytes| next::<Header>(&bytes, &mut 0));
        let header = header.ok_or_else(|| failed(path, &"it does not begin with a journal header"))?;
        check_version(path, &header)?;
        Ok(Self { reader, header })
    }

    /// The header with the configuration texts in force at the end of the file, and whether the end was reached before `deadline`.
    pub(super) fn header_at_end(self, deadline: Instant) -> (Header, bool) {
        let mut header = self.header.clone();
        for (entry, _) in self {
            if let Entry::Reload { sources, .. } = entry {
                header.sources = *sources;
            }
            if Instant::now() > deadline {
                return (header, false);
            }
        }
        (header, true)
    }
}

impl Iterator for FrameReader {
    type Item = (Entry, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = read_frame(&mut self.reader)?;
        Some((next(&bytes, &mut 0)?, bytes))
    }
}

fn read_frame(reader: &mut impl Read) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 8];
    reader.read_exact(&mut bytes).ok()?;
    let length = u64::from(u32::from_le_bytes(bytes[..4].try_into().ok()?));
    // The buffer grows with the data read, so a damaged length does not allocate memory.
    let read = reader.take(length.min(MAX_BODY as u64)).read_to_end(&mut bytes).ok()?;
    (read as u64 == length).then_some(bytes)
}

/// The offset of a valid entry after an invalid frame, which shows that the frame was damaged and not torn by a crash.
fn intact_frame_after(bytes: &[u8], bad: usize) -> Option<usize> {
    (bad + 1..bytes.len()).find(|at| {
        let mut next_at = *at;
        next::<Entry>(bytes, &mut next_at).is_some()
    })
}

fn next<T: for<'a> Deserialize<'a>>(bytes: &[u8], at: &mut usize) -> Option<T> {
    let head = bytes.get(*at..*at + 8)?;
    let length = u32::from_le_bytes(head[..4].try_into().ok()?) as usize;
    let crc = u32::from_le_bytes(head[4..].try_into().ok()?);
    let body = bytes.get(*at + 8..(*at + 8).checked_add(length)?)?;
    if length > MAX_BODY || crc32fast::hash(body) != crc {
        return None;
    }
    let value = postcard::from_bytes(body).ok()?;
    *at += 8 + length;
    Some(value)
}
