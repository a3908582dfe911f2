//! The writer of a journal: a thread that appends entries, syncs at least once a second and for every command, and begins
//! segments. Rule: "Journal".

use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fail::fail_point;
use townlet_files::{Disturbance, Placement, write_atomically};

use super::open_segment::{OpenSegment, Restored};
use super::retention::{Removal, Retention};
use super::{Entry, Header, JournalError, PreviousEnd, SegmentEnd, failed, frame};
use crate::history::KeyframeStore;
use crate::home::Home;
use crate::log::Log;

/// Longest time written entries stay unsynced.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// How often the file is checked, whether or not anything is written.
const CHECK: Duration = Duration::from_millis(100);
/// How often a segment is written again before its writing counts as failed.
const ATTEMPTS: u32 = 3;
/// After this long without an answer from the disk the journal counts as unavailable.
const STALLED: Duration = Duration::from_secs(1);
/// Longest time a segment is written, so that `journal.retain_days` can remove it.
pub(super) const MAX_AGE: Duration = Duration::from_hours(24);

type Written = Box<dyn FnOnce(Result<(), String>) + Send>;
type Durable = Box<dyn FnOnce(Result<Placement, String>) + Send>;

enum Message {
    /// Appends. Calls `written` once the operating system has the entry, `durable` once it is synced.
    Append {
        entry: Box<Entry>,
        written: Option<Written>,
        durable: Option<Durable>,
    },
    /// Completes the segment and begins another.
    Begin(Box<NewSegment>),
    Flush(Sender<Result<(), String>>),
}

/// State that the writer thread shares with callers.
#[derive(Default)]
struct SharedState {
    /// Why the journal cannot be written.
    trouble: Option<String>,
    /// When the current disk operation started.
    busy: Option<Instant>,
    /// The segment being written.
    fill: SegmentFill,
    /// What somebody else did to the file, until it is acknowledged.
    disturbed: Option<String>,
    /// Is called with every change of it.
    on_disturbed: Option<Box<dyn Fn() + Send>>,
}

/// How far a segment is filled.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SegmentFill {
    /// Its number.
    pub sequence: u64,
    /// Bytes of its entries.
    pub bytes: u64,
    /// When this process began to write it.
    pub since: Option<Instant>,
}

impl SegmentFill {
    /// Whether the segment is to be completed: it has so many bytes of entries, or has been written for a day.
    pub(crate) fn is_full(&self, segment_bytes: u64, now: Instant) -> bool {
        let old = || self.since.is_some_and(|since| now.saturating_duration_since(since) >= MAX_AGE);
        self.bytes >= segment_bytes || (self.bytes > 0 && old())
    }
}

/// A segment to begin, with the town now in its header.
pub(crate) struct NewSegment {
    /// Where.
    pub home: Home,
    /// The writer sets the number and the previous end.
    pub header: Header,
    /// What is kept of the segments before it.
    pub retention: Retention,
    /// Where removals are reported.
    pub log: Log,
    /// The keyframes of the run.
    pub keyframes: Arc<KeyframeStore>,
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
    /// Creates a new segment. Fails if the file exists.
    pub fn create(path: &Path, header: &Header) -> Result<Self, JournalError> {
        let (file, end) = start(path, header).map_err(|error| failed(path, &error))?;
        Ok(Self::writer(file, end))
    }

    /// Reopens a segment to append at its end, as [`read`](super::read) returns it; what is behind it is cut off.
    pub fn reopen(path: &Path, end: SegmentEnd) -> Result<Self, JournalError> {
        let cut = |segment: &OpenSegment| segment.file.set_len(end.bytes).and_then(|()| segment.file.sync_all());
        let segment = OpenSegment::open(path).and_then(|segment| cut(&segment).map(|()| segment));
        Ok(Self::writer(segment.map_err(|error| failed(path, &error))?, end))
    }

    fn writer(file: OpenSegment, end: SegmentEnd) -> Self {
        let (sender, receiver) = channel();
        let shared = Arc::default();
        let (waiting, held, checked) = (Vec::new(), Vec::new(), Instant::now());
        let mut writer =
            Writer { file: None, end, shared: Arc::clone(&shared), waiting, held, unsynced: None, checked };
        writer.continue_in(file, end);
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run(&receiver))
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

    /// Appends a command. Calls `written` once a crash of this process cannot lose it, and `durable`, with the segment that holds
    /// it, once a power failure cannot.
    pub fn command(
        &self,
        entry: Entry,
        written: impl FnOnce(Result<(), String>) + Send + 'static,
        durable: impl FnOnce(Result<Placement, String>) + Send + 'static,
    ) {
        let (written, durable): (Option<Written>, Option<Durable>) = (Some(Box::new(written)), Some(Box::new(durable)));
        self.send(Message::Append { entry: Box::new(entry), written, durable });
    }

    /// Completes the segment and begins another. A file that cannot be written is given up.
    pub(crate) fn begin_segment(&self, segment: NewSegment) {
        self.send(Message::Begin(Box::new(segment)));
    }

    /// How far the current segment is filled.
    pub(crate) fn fill(&self) -> SegmentFill {
        lock(&self.shared).fill
    }

    /// Waits until everything appended so far is synced; the error says why it is not.
    pub fn flush(&self) -> Result<(), String> {
        let (sender, receiver) = channel();
        self.send(Message::Flush(sender));
        receiver.recv().unwrap_or_else(|_| Err("the journal's writer has stopped".into()))
    }

    /// Calls `notify`, on the writer's thread, when somebody else has changed the file.
    pub(crate) fn on_disturbed(&self, notify: impl Fn() + Send + 'static) {
        lock(&self.shared).on_disturbed = Some(Box::new(notify));
    }

    /// What somebody else did to the file since this was last acknowledged.
    pub(crate) fn disturbed(&self) -> Option<String> {
        lock(&self.shared).disturbed.clone()
    }

    /// Ends what [`Journal::disturbed`] says.
    pub(crate) fn acknowledge_disturbance(&self) {
        lock(&self.shared).disturbed = None;
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

fn start(path: &Path, header: &Header) -> io::Result<(OpenSegment, SegmentEnd)> {
    fail_point!("journal_create", |_| Err(io::Error::other("fail point journal_create")));
    if path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    // The file appears with its header or not at all: a file without a header could not be resumed.
    let header_bytes = frame(header);
    write_atomically(path, &header_bytes)?;
    Ok((OpenSegment::open(path)?, SegmentEnd::of_header(&header.place, &header_bytes)))
}

struct Writer {
    file: Option<OpenSegment>,
    /// Where the segment ends, as far as it was written without an error.
    end: SegmentEnd,
    shared: Arc<Mutex<SharedState>>,
    waiting: Vec<Durable>,
    /// Commands whose entries were lost with the file. They are acknowledged once the next segment holds the town.
    held: Vec<Durable>,
    unsynced: Option<Instant>,
    /// When the file was last checked.
    checked: Instant,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Message>) {
        loop {
            // A moment and not a time from now on, so that frequent messages do not put it off.
            let check_due = CHECK.saturating_sub(self.checked.elapsed());
            let message = match (self.waiting.is_empty(), self.unsynced) {
                (true, None) => receiver.recv_timeout(check_due),
                (true, Some(since)) => receiver.recv_timeout(SYNC_EVERY.saturating_sub(since.elapsed()).min(check_due)),
                // Commands wait for the disk: take everything queued meanwhile, then sync.
                (false, _) => receiver.try_recv().map_err(|error| match error {
                    std::sync::mpsc::TryRecvError::Empty => RecvTimeoutError::Timeout,
                    std::sync::mpsc::TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
                }),
            };
            match message {
                Ok(Message::Append { entry, written, durable }) => self.append(&entry, written, durable),
                Ok(Message::Begin(segment)) => self.begin_segment(*segment),
                Ok(Message::Flush(answer)) => {
                    let result = self.sync();
                    drop(answer.send(result));
                }
                Err(RecvTimeoutError::Timeout) if self.is_sync_due() => drop(self.sync()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    drop(self.sync());
                    self.check();
                    let why = self.trouble();
                    self.held.drain(..).for_each(|held| held(Err(why.clone())));
                    return;
                }
            }
            if self.checked.elapsed() >= CHECK {
                self.check();
            }
        }
    }

    fn at_disk<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        lock(&self.shared).busy = Some(Instant::now());
        let result = work(self);
        lock(&self.shared).busy = None;
        result
    }

    fn append(&mut self, entry: &Entry, written: Option<Written>, durable: Option<Durable>) {
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

    fn is_sync_due(&self) -> bool {
        !self.waiting.is_empty() || self.unsynced.is_some_and(|since| since.elapsed() >= SYNC_EVERY)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        fail_point!("journal_write", |_| Err("fail point journal_write".into()));
        let Some(OpenSegment { file, .. }) = &mut self.file else {
            return Err(self.trouble());
        };
        // Half of the bytes are written, then the disk fails.
        fail_point!("journal_torn", |_| {
            file.write_all(&bytes[..bytes.len() / 2]).map_err(|error| error.to_string())?;
            Err("fail point journal_torn".into())
        });
        file.write_all(bytes).map_err(|error| error.to_string())?;
        self.unsynced.get_or_insert_with(Instant::now);
        self.end = self.end.and(bytes);
        lock(&self.shared).fill.bytes = self.end.bytes - self.end.header;
        Ok(())
    }

    /// Syncs and calls the waiting callbacks. A failed sync is never retried on the same file.
    fn sync(&mut self) -> Result<(), String> {
        let result =
            if self.unsynced.take().is_some() || self.file.is_none() { self.at_disk(Self::sync_file) } else { Ok(()) };
        if let Err(why) = &result {
            self.fail(why);
        }
        let placed = result.clone().and_then(|()| self.placement());
        self.waiting.drain(..).for_each(|waiting| waiting(placed.clone()));
        result
    }

    /// Where the entries of the segment stand.
    fn placement(&self) -> Result<Placement, String> {
        self.file.as_ref().map(|segment| segment.placement(&self.end)).ok_or_else(|| self.trouble())
    }

    fn sync_file(&mut self) -> Result<(), String> {
        fail_point!("journal_sync", |_| Err("fail point journal_sync".into()));
        // Without a file, entries appended since the failure are lost.
        let Some(segment) = &self.file else { return Err(self.trouble()) };
        segment.file.sync_data().map_err(|error| error.to_string())?;
        fail_point!("journal_check", |_| Err("fail point journal_check".into()));
        self.keep_in_place()
    }

    /// Looks for what somebody else did to the file.
    fn check(&mut self) {
        self.checked = Instant::now();
        if self.file.is_some()
            && let Err(why) = self.at_disk(Self::keep_in_place)
        {
            self.fail(&why);
        }
    }

    /// Makes sure that the segment stands under its name.
    fn keep_in_place(&mut self) -> Result<(), String> {
        for _ in 0..ATTEMPTS {
            let Some(disturbance) = self.disturbance()? else { return Ok(()) };
            self.write_again(disturbance)?;
        }
        self.disturbance()?.map_or(Ok(()), |disturbance| Err(format!("the segment {disturbance}, again and again")))
    }

    fn disturbance(&self) -> Result<Option<Disturbance>, String> {
        let found = self.file.as_ref().map(|segment| segment.disturbance(&self.end)).transpose();
        found.map(Option::flatten).map_err(|error| error.to_string())
    }

    /// Writes the segment again under its name. If its bytes are lost, the commands wait for the next one.
    fn write_again(&mut self, disturbance: Disturbance) -> Result<(), String> {
        let Some(segment) = &mut self.file else { return Ok(()) };
        let failed = |why: io::Error| Restored { whole: false, what: format!("the segment {disturbance}; {why}") };
        let Restored { whole, what } = segment.restore(disturbance, &self.end).unwrap_or_else(failed);
        if !whole {
            self.held.append(&mut self.waiting);
            // Before anybody learns of it, so that the next segment is begun at once.
            self.fail(&what);
        }
        let mut shared = lock(&self.shared);
        shared.disturbed = Some(what.clone());
        shared.on_disturbed.iter().for_each(|notify| notify());
        if whole { Ok(()) } else { Err(what) }
    }

    fn trouble(&self) -> String {
        lock(&self.shared).trouble.clone().unwrap_or_default()
    }

    fn fail(&mut self, why: &str) {
        self.file = None;
        self.unsynced = None;
        lock(&self.shared).trouble.get_or_insert_with(|| format!("the journal cannot be written: {why}"));
    }

    fn continue_in(&mut self, file: OpenSegment, end: SegmentEnd) {
        (self.file, self.end) = (Some(file), end);
        let mut shared = lock(&self.shared);
        let (sequence, bytes) = (end.sequence, end.bytes - end.header);
        shared.fill = SegmentFill { sequence, bytes, since: Some(Instant::now()) };
        shared.trouble = None;
    }

    /// Syncs the segment before the next one appears, because that one holds the town of everything before it.
    fn begin_segment(&mut self, segment: NewSegment) {
        let complete = self.file.is_some();
        if complete && self.sync().is_err() {
            return;
        }
        fail_point!("journal_rotate", |_| self.fail("fail point journal_rotate"));
        let NewSegment { home, mut header, mut retention, log, keyframes } = segment;
        retention.reserve += frame(&header).len() as u64;
        let removal = self.at_disk(|_| Removal::plan(home.journal_files(&header.run_id), &retention));
        let SegmentEnd { sequence, oldest, bytes, checksum, .. } = self.end;
        header.place.sequence = sequence + 1;
        header.place.oldest = removal.oldest().unwrap_or(oldest);
        header.place.previous = if complete { PreviousEnd::Complete { bytes, checksum } } else { PreviousEnd::Unknown };
        let path = home.unused_journal_path(&header.run_id, header.place.tick);
        match self.at_disk(|_| start(&path, &header)) {
            Ok((file, end)) => {
                self.continue_in(file, end);
                if let Err(why) = self.at_disk(Self::keep_in_place) {
                    // Commands wait for the segment after this one.
                    return self.fail(&why);
                }
                let placed = self.placement();
                self.held.drain(..).for_each(|held| held(placed.clone()));
                fail_point!("journal_rotated");
                self.at_disk(|_| removal.carry_out(&log, &keyframes));
            }
            Err(error) => {
                let why = error.to_string();
                self.fail(&why);
                self.held.drain(..).for_each(|held| held(Err(why.clone())));
            }
        }
    }
}
