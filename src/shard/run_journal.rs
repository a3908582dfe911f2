//! The journal of the running town: the options chosen since it was last written, and the header of its next file.
//!
//! Rule: "Journal".

use std::sync::Arc;
use std::time::{Duration, Instant};

use townlet_town::{Town, snapshot};

use super::home::Home;
use super::journal::{Base, DIGEST_TICKS, Entry, Header, Journal};

/// Longest time chosen options stay out of the journal.
const WRITE_INTERVAL: Duration = Duration::from_millis(100);

/// The journal and what is to be written to it next.
pub(super) struct RunJournal {
    pub writer: Arc<Journal>,
    /// Of the next file.
    pub header: Header,
    options: Vec<u8>,
    /// The first tick that no entry holds yet.
    from: u64,
    written: Instant,
}

impl RunJournal {
    /// A journal that holds everything up to `tick`.
    pub(super) fn new(writer: Arc<Journal>, header: Header, tick: u64) -> Self {
        Self { writer, header, options: Vec::new(), from: tick, written: Instant::now() }
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

    /// Begins a further file from the town as it is when the present one cannot be written.
    pub(super) fn retry(&mut self, home: &Home, town: &Town) {
        if self.writer.trouble().is_some() {
            self.write(town);
            let header = Header { base: Base::Snapshot(snapshot::save(town)), ..self.header.clone() };
            self.writer.restart(home.clone(), town.tick(), header);
        }
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.writer.trouble().or_else(|| self.writer.stalled())
    }
}
