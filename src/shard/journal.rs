//! The journal: what replays a run. Seed and texts, the commands applied, the options chosen, a digest every 100 ticks.
//!
//! Owns the byte layout, the writing thread and the reader. No wall clock is in it. Entries are written as they come and
//! synced at least once a second and for every command; a torn tail after a crash is cut off and said. Rule: "Journal".
//!
//! A file is a sequence of frames: length (u32), CRC-32 of the body (u32), body (postcard). The first frame is a [`Header`].

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

/// Version of the layout.
pub const VERSION: u32 = 4;
/// The oldest layout that is read: it has no [`Entry::Policy`], and those before 4 no [`Entry::Reload`].
const OLDEST: u32 = 2;
/// Ticks between two digests.
pub const DIGEST_TICKS: u64 = 100;
/// Longest time written entries stay unsynced.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// A disk that has not answered for this long counts as one that cannot be written.
const STALLED: Duration = Duration::from_secs(1);
/// Largest body read back; a longer one is damage.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// What helps when a file cannot be used.
const REPAIR_HINT: &str =
    "put back a copy of the file, or move it away to go on from the newest snapshot and the audit log";

/// What a journal file starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Base {
    /// A new town of this seed.
    Seed(u64),
    /// A packed town, where an earlier file is lost or could not be written.
    Snapshot(Vec<u8>),
}

/// First frame of every file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Layout.
    pub version: u32,
    /// Whose.
    pub run_id: String,
    /// The shard's name.
    pub shard: String,
    /// The texts the town was made from.
    pub sources: Sources,
    /// The policy that chose.
    pub policy: String,
    /// Where it starts from.
    pub base: Base,
}

/// One further frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// Ticks `from..to` and the options chosen in them, in the order the town asked.
    Ticks {
        /// First tick.
        from: u64,
        /// First tick after.
        to: u64,
        /// [`townlet_town::OptionKind`] by number.
        options: Vec<u8>,
        /// Digest after the last of them, when it is a multiple of [`DIGEST_TICKS`].
        digest: Option<String>,
    },
    /// A command applied before tick `tick` ran.
    Command {
        /// How many commands the town had behind it.
        index: u64,
        /// The tick that had not yet run.
        tick: u64,
        /// By which it is found after a crash.
        cmd_id: String,
        /// Who.
        issuer: String,
        /// What.
        command: Command,
    },
    /// Another policy chooses from tick `tick` on. A replay needs none: the options are in the journal.
    Policy {
        /// The first tick it chooses in.
        tick: u64,
        /// By which it is found after a crash.
        cmd_id: String,
        /// Who; `town` when nobody asked.
        issuer: String,
        /// Who chose before.
        from: String,
        /// Who chooses.
        to: String,
    },
    /// Before tick `tick` ran, the town went on under other texts. It counts as a command.
    Reload {
        /// How many commands the town had behind it.
        index: u64,
        /// The tick that had not yet run.
        tick: u64,
        /// By which it is found after a crash.
        cmd_id: String,
        /// Who.
        issuer: String,
        /// All of them, so that a replay needs no file.
        sources: Box<Sources>,
    },
}

/// Why a journal cannot be used.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The disk.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: String,
        /// What the system says.
        error: io::Error,
    },
    /// The content.
    #[error("{path}: {what}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        what: String,
    },
}

fn io_error(path: &Path, error: io::Error) -> JournalError {
    JournalError::Io { path: path.display().to_string(), error }
}

type Done = Box<dyn FnOnce(Result<(), String>) + Send>;

enum Message {
    /// Append; `written` once the system holds it, `durable` once the disk does.
    Append { entry: Box<Entry>, written: Option<Done>, durable: Option<Done> },
    /// Go on in a new file that starts at this tick.
    Restart { home: Home, tick: u64, header: Box<Header> },
    /// Sync and answer.
    Flush(Sender<Result<(), String>>),
}

/// What the thread shows to everybody.
#[derive(Default)]
struct Diagnostics {
    /// Why nothing can be written.
    trouble: Option<String>,
    /// Since when the thread has been at the disk.
    busy: Option<Instant>,
}

fn diagnostics(diagnostics: &Mutex<Diagnostics>) -> MutexGuard<'_, Diagnostics> {
    // Every field is whole at every moment, so a panic elsewhere spoils nothing.
    diagnostics.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The writing end. Dropping it syncs and closes the file.
pub struct Journal {
    sender: Option<Sender<Message>>,
    thread: Option<JoinHandle<()>>,
    diagnostics: Arc<Mutex<Diagnostics>>,
}

impl Journal {
    /// Starts a new file.
    ///
    /// # Errors
    /// When it exists or cannot be written.
    pub fn create(path: &Path, header: &Header) -> Result<Self, JournalError> {
        let file = start(path, header).map_err(|error| io_error(path, error))?;
        Ok(Self::writer(file))
    }

    /// Goes on at the end of a file that [`read`] has read, cutting off `torn` bytes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn reopen(path: &Path, whole: u64) -> Result<Self, JournalError> {
        let file = OpenOptions::new().append(true).open(path).map_err(|error| io_error(path, error))?;
        file.set_len(whole).and_then(|()| file.sync_all()).map_err(|error| io_error(path, error))?;
        Ok(Self::writer(file))
    }

    fn writer(file: File) -> Self {
        let (sender, receiver) = channel();
        let diagnostics = Arc::default();
        let shown = Arc::clone(&diagnostics);
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || {
                Writer { file: Some(file), diagnostics: shown, waiting: Vec::new(), unsynced: None }.run(&receiver);
            })
            .expect("a thread can be started");
        Self { sender: Some(sender), thread: Some(thread), diagnostics }
    }

    fn send(&self, message: Message) {
        if let Some(sender) = &self.sender {
            // A writer that is gone has said why on the board, and every later command is refused by it.
            drop(sender.send(message));
        }
    }

    /// Appends without waiting.
    pub fn append(&self, entry: Entry) {
        self.send(Message::Append { entry: Box::new(entry), written: None, durable: None });
    }

    /// Appends a command: `written` runs once a crash of this process cannot lose it, `durable` once a power cut cannot.
    pub fn command(
        &self,
        entry: Entry,
        written: impl FnOnce(Result<(), String>) + Send + 'static,
        durable: impl FnOnce(Result<(), String>) + Send + 'static,
    ) {
        let (written, durable): (Option<Done>, Option<Done>) = (Some(Box::new(written)), Some(Box::new(durable)));
        self.send(Message::Append { entry: Box::new(entry), written, durable });
    }

    /// Gives up a file that cannot be written and goes on in a new one.
    pub fn restart(&self, home: Home, tick: u64, header: Header) {
        self.send(Message::Restart { home, tick, header: Box::new(header) });
    }

    /// Waits until everything appended so far is on disk.
    ///
    /// # Errors
    /// Why it is not.
    pub fn flush(&self) -> Result<(), String> {
        let (sender, receiver) = channel();
        self.send(Message::Flush(sender));
        receiver.recv().unwrap_or_else(|_| Err("the journal's writer has stopped".into()))
    }

    /// Why nothing can be written until it goes on in a new file, if so.
    pub fn trouble(&self) -> Option<String> {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return Some("the journal cannot be written: its writer has stopped".into());
        }
        diagnostics(&self.diagnostics).trouble.clone()
    }

    /// Why nothing can be written until the disk answers, if so. Then there is nothing to be done but to wait.
    pub fn stalled(&self) -> Option<String> {
        let busy = diagnostics(&self.diagnostics).busy?.elapsed();
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

/// A value as a frame: length, sum, body.
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
    // It appears with its header or not at all: a file without one could not be resumed.
    write_atomically(path, &frame(header))?;
    OpenOptions::new().append(true).open(path)
}

struct Writer {
    file: Option<File>,
    diagnostics: Arc<Mutex<Diagnostics>>,
    waiting: Vec<Done>,
    unsynced: Option<Instant>,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Message>) {
        loop {
            let message = match (self.waiting.is_empty(), self.unsynced) {
                (true, None) => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
                (true, Some(since)) => receiver.recv_timeout(SYNC_EVERY.saturating_sub(since.elapsed())),
                // Commands wait for the disk: take what has queued up meanwhile, then sync at once.
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
        diagnostics(&self.diagnostics).busy = Some(Instant::now());
        let result = work(self);
        diagnostics(&self.diagnostics).busy = None;
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
            return Err(self.lost());
        };
        // Half of it is written, and then the disk fails.
        fail_point!("journal_torn", |_| {
            file.write_all(&bytes[..bytes.len() / 2]).map_err(|error| error.to_string())?;
            Err("fail point journal_torn".into())
        });
        file.write_all(bytes).map_err(|error| error.to_string())?;
        self.unsynced.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Syncs and tells everybody who waits. A failed sync is never retried on the same file.
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
        // Without a file, what was appended since is lost, and nobody may be told otherwise.
        let Some(file) = &self.file else { return Err(self.lost()) };
        file.sync_data().map_err(|error| error.to_string())
    }

    fn lost(&self) -> String {
        diagnostics(&self.diagnostics).trouble.clone().unwrap_or_default()
    }

    fn fail(&mut self, why: &str) {
        self.file = None;
        self.unsynced = None;
        diagnostics(&self.diagnostics).trouble.get_or_insert_with(|| format!("the journal cannot be written: {why}"));
    }

    fn restart(&mut self, home: &Home, tick: u64, header: &Header) {
        let path = home.unused_journal_path(&header.run_id, tick);
        match self.at_disk(|_| start(&path, header)) {
            Ok(file) => {
                self.file = Some(file);
                diagnostics(&self.diagnostics).trouble = None;
            }
            Err(error) => self.fail(&error.to_string()),
        }
    }
}

/// A journal file read back.
pub struct Contents {
    /// Its first frame.
    pub header: Header,
    /// The frames after it.
    pub entries: Vec<Entry>,
    /// Bytes up to the end of the last whole frame.
    pub whole: u64,
    /// Bytes behind it that are no frame: torn by a crash.
    pub torn: u64,
}

impl Contents {
    /// The texts the town ran under where the file ends.
    pub fn sources(&self) -> &Sources {
        let reloaded = self.entries.iter().rev().find_map(|entry| match entry {
            Entry::Reload { sources, .. } => Some(&**sources),
            _ => None,
        });
        reloaded.unwrap_or(&self.header.sources)
    }
}

/// Reads a file up to the first frame that is torn or damaged.
///
/// # Errors
/// When the file cannot be read or its header is no header.
pub fn read(path: &Path) -> Result<Contents, JournalError> {
    let damaged = |what: String| JournalError::Damaged { path: path.display().to_string(), what };
    let mut bytes = Vec::new();
    townlet_files::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|error| io_error(path, error))?;
    let mut at = 0;
    let header: Header = next(&bytes, &mut at)
        .ok_or_else(|| damaged(format!("it does not begin with a journal header; {REPAIR_HINT}")))?;
    if !(OLDEST..=VERSION).contains(&header.version) {
        let reads = format!("this program reads {OLDEST} to {VERSION}");
        return Err(damaged(format!("it is version {} of the journal; {reads}", header.version)));
    }
    let mut entries = Vec::new();
    while let Some(entry) = next(&bytes, &mut at) {
        entries.push(entry);
    }
    if let Some(behind) = intact_frame_after(&bytes, at) {
        return Err(damaged(format!(
            "it is damaged at byte {at}, with whole entries behind it from byte {behind}; nothing was cut off; {REPAIR_HINT}"
        )));
    }
    Ok(Contents { header, entries, whole: at as u64, torn: (bytes.len() - at) as u64 })
}

/// A file's entries one at a time, each with the bytes of its frame: a long journal need not fit in memory. Ends at the
/// first frame that is torn or damaged.
pub(super) struct FrameReader {
    reader: BufReader<File>,
    /// The first frame.
    pub(super) header: Header,
}

impl FrameReader {
    /// At the first entry.
    ///
    /// # Errors
    /// When the file cannot be read or its header is no header.
    pub(super) fn open(path: &Path) -> Result<Self, JournalError> {
        let mut reader = BufReader::new(townlet_files::open(path).map_err(|error| io_error(path, error))?);
        let what = "it does not begin with a journal header of this program".into();
        let header = frame_of(&mut reader).and_then(|bytes| next::<Header>(&bytes, &mut 0));
        let header = header.filter(|header| (OLDEST..=VERSION).contains(&header.version));
        let header = header.ok_or_else(|| JournalError::Damaged { path: path.display().to_string(), what })?;
        Ok(Self { reader, header })
    }

    /// The header, with the texts the town ran under where the file ends, and whether it was read that far by then.
    pub(super) fn header_at_the_end(self, late: Instant) -> (Header, bool) {
        let mut header = self.header.clone();
        for (entry, _) in self {
            if let Entry::Reload { sources, .. } = entry {
                header.sources = *sources;
            }
            if Instant::now() > late {
                return (header, false);
            }
        }
        (header, true)
    }
}

impl Iterator for FrameReader {
    type Item = (Entry, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = frame_of(&mut self.reader)?;
        Some((next(&bytes, &mut 0)?, bytes))
    }
}

fn frame_of(reader: &mut impl Read) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 8];
    reader.read_exact(&mut bytes).ok()?;
    let length = u64::from(u32::from_le_bytes(bytes[..4].try_into().ok()?));
    // Grows with what is there: a damaged length must not take the memory it announces.
    let read = reader.take(length.min(MAX_BODY as u64)).read_to_end(&mut bytes).ok()?;
    (read as u64 == length).then_some(bytes)
}

/// Where a whole entry stands behind a frame that cannot be read: then that frame was damaged, not torn by a crash.
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
