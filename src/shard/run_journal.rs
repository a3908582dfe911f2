//! The journal of the running town: the options chosen since it was last written, and the header of its next segment.
//!
//! Rule: "Journal".

use std::sync::Arc;
use std::time::{Duration, Instant};

use townlet_files::Placement;
use townlet_town::{Town, snapshot};

use super::history::KeyframeStore;
use super::home::Home;
use super::journal::{Base, DIGEST_TICKS, Entry, Header, Journal, NewSegment, Retention};
use super::log::Log;

/// Longest time chosen options stay out of the journal.
const WRITE_INTERVAL: Duration = Duration::from_millis(100);

const DAY: Duration = Duration::from_hours(24);

/// The journal and what is to be written to it next.
pub(super) struct RunJournal {
    pub writer: Arc<Journal>,
    /// Of the next segment.
    pub header: Header,
    options: Vec<u8>,
    /// The last segment that the writer was told to complete.
    completed: u64,
    log: Log,
    keyframes: Arc<KeyframeStore>,
    /// The first tick that no entry holds yet.
    from: u64,
    written: Instant,
}

impl RunJournal {
    /// A journal that holds everything up to `tick`. Keyframes of segments that retention removes go with them.
    pub(super) fn new(
        writer: Arc<Journal>,
        header: Header,
        tick: u64,
        log: Log,
        keyframes: Arc<KeyframeStore>,
    ) -> Self {
        Self { writer, header, options: Vec::new(), completed: 0, log, keyframes, from: tick, written: Instant::now() }
    }

    /// Keeps the options of the tick that the town has just lived.
    pub(super) fn keep_options(&mut self, town: &Town) {
        self.options.extend(town.decisions().map(|(_, option)| option.index() as u8));
    }

    /// Writes the ticks that it does not hold yet, and the digest where one is due. Does not wait for the disk.
    pub(super) fn write(&mut self, town: &Town) {
        let (from, to) = (self.from, town.tick());
        self.written = Instant::now();
        if from < to {
            let digest = to.is_multiple_of(DIGEST_TICKS).then(|| town.digest());
            self.writer.append(Entry::Ticks { from, to, options: std::mem::take(&mut self.options), digest });
            self.from = to;
        }
    }

    /// When it is to be written, if anything is to be.
    pub(super) fn due(&self, tick: u64) -> Option<Instant> {
        (self.from < tick).then(|| self.written + WRITE_INTERVAL)
    }

    /// Appends an entry that nobody waits for.
    pub(super) fn append(&mut self, entry: Entry) {
        self.note_command(&entry);
        self.writer.append(entry);
    }

    /// As [`Journal::command`].
    pub(super) fn command(
        &mut self,
        entry: Entry,
        written: impl FnOnce(Result<(), String>) + Send + 'static,
        durable: impl FnOnce(Result<Placement, String>) + Send + 'static,
    ) {
        self.note_command(&entry);
        self.writer.command(entry, written, durable);
    }

    fn note_command(&mut self, entry: &Entry) {
        if let Some(command) = entry.command_id() {
            self.header.place.last_command = Some(command);
        }
    }

    /// Begins another segment from the town as it is if the present one is full. The journal must hold everything so far.
    /// Segments with commands from tick `needed_from` on are kept.
    pub(super) fn complete_full_segment(&mut self, home: &Home, town: &Town, needed_from: u64) {
        let fill = self.writer.fill();
        let due =
            fill.sequence > self.completed && fill.is_full(town.rules().config.journal.segment_bytes, Instant::now());
        if due && self.writer.trouble().is_none() {
            self.completed = fill.sequence;
            self.begin_segment(home, town, needed_from);
        }
    }

    /// Begins another segment from the town as it is if the present one cannot be written.
    pub(super) fn retry(&mut self, home: &Home, town: &Town, needed_from: u64) {
        if self.writer.trouble().is_some() {
            self.write(town);
            self.begin_segment(home, town, needed_from);
        }
    }

    fn begin_segment(&self, home: &Home, town: &Town, needed_from: u64) {
        let settings = &town.rules().config.journal;
        let mut header = Header { base: Base::Snapshot(snapshot::save(town)), ..self.header.clone() };
        header.place.tick = town.tick();
        let retention = Retention {
            max_bytes: settings.max_bytes,
            reserve: settings.segment_bytes,
            max_age: DAY * settings.retain_days,
            needed_from,
        };
        let (home, log, keyframes) = (home.clone(), self.log.clone(), Arc::clone(&self.keyframes));
        self.writer.begin_segment(NewSegment { home, header, retention, log, keyframes });
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.writer.trouble().or_else(|| self.writer.stalled())
    }
}
