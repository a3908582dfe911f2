//! Saves snapshots of the running town: when one is due, whether one is under way, and why the last one failed.
//!
//! Rule: "Durable state".

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use townlet_town::{Town, snapshot};

use super::disk_thread::DiskThread;
use super::engine::Message;
use super::run_journal::RunJournal;
use super::snapshots;

pub(super) struct SnapshotSaver {
    pub folder: PathBuf,
    last_autosave: Instant,
    saving: bool,
    pub trouble: Option<String>,
}

impl SnapshotSaver {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, last_autosave: Instant::now(), saving: false, trouble: None }
    }

    /// Whether an autosave is due now; the next one counts from here.
    pub(super) fn autosave_due(&mut self, town: &Town, now: Instant) -> bool {
        let autosave = &town.rules().config.snapshot.autosave;
        let due = town.tick().is_multiple_of(u64::from(autosave.cadence_ticks))
            && now >= self.last_autosave + Duration::from_secs(u64::from(autosave.min_seconds));
        if due {
            self.last_autosave = now;
        }
        due
    }

    pub(super) fn wants_retry(&self) -> bool {
        self.trouble.is_some() && !self.saving
    }

    /// Packs the town now and has it written once the journal up to it is on disk: a snapshot ahead of its journal could be
    /// resumed but not replayed, and would hold commands that were reported as not safe.
    pub(super) fn save(&mut self, town: &Town, journal: &RunJournal, disk: &DiskThread, sender: &Sender<Message>) {
        self.saving = true;
        let (write, journal, sender) = (self.writer(town), Arc::clone(&journal.writer), sender.clone());
        let tick = town.tick();
        disk.run(move || {
            let saved = journal.flush().and_then(|()| write()).map(|_| tick);
            // The loop may have ended meanwhile; then nobody needs to know.
            drop(sender.send(Message::SnapshotSaved(saved)));
        });
    }

    /// Packs the town now; the result writes it and returns the path.
    pub(super) fn writer(&self, town: &Town) -> impl FnOnce() -> Result<PathBuf, String> + Send + 'static {
        let (folder, tick, bytes) = (self.folder.clone(), town.tick(), snapshot::save(town));
        let retain = town.rules().config.snapshot.autosave.retain as usize;
        move || snapshots::save(&folder, tick, &bytes, retain)
    }

    pub(super) fn saved(&mut self, saved: &Result<u64, String>) {
        self.saving = false;
        self.trouble = saved.as_ref().err().map(|why| format!("the last snapshot could not be written: {why}"));
    }
}
