//! The keyframes of a running shard: when one is due, the files in the folder of the run, and what is removed of them.
//!
//! The town's thread copies its state; the disk thread encodes, writes and thins. A keyframe is a shortcut: one that cannot be
//! written or read costs time and nothing else. Rule: "Keyframes".

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use townlet_files::write_atomically;
use townlet_town::config::Config;

use super::Busy;
use super::keyframe::Capture;
use super::thinning::{Density, KeyframeFile, bytes, keep};
use crate::disk_thread::DiskThread;
use crate::home::files;
use crate::log::Log;

/// Least time between two keyframes, at any speed.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
const EXTENSION: &str = "tlk";

/// The keyframe files of a run, oldest first, by the ticks in their names.
pub(crate) fn list(folder: &Path) -> Vec<(u64, PathBuf)> {
    let tick = |path: &Path| path.file_stem()?.to_str()?.parse().ok();
    let mut found: Vec<_> =
        files(folder, EXTENSION).into_iter().filter_map(|path| Some((tick(&path)?, path))).collect();
    found.sort();
    found
}

/// The folder of a run's keyframes.
pub(crate) struct KeyframeStore {
    folder: PathBuf,
    /// The files, oldest first; read when the first one is written.
    files: Mutex<Option<Vec<KeyframeFile>>>,
}

impl KeyframeStore {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, files: Mutex::default() }
    }

    fn path(&self, tick: u64) -> PathBuf {
        self.folder.join(format!("{tick:012}.{EXTENSION}"))
    }

    /// Writes a keyframe and removes those that are too many.
    fn save(&self, capture: &Capture, density: &Density) -> Result<(), String> {
        let tick = capture.state.tick;
        let path = self.path(tick);
        let encoded = capture.encode();
        write_atomically(&path, &encoded).map_err(|error| format!("{}: {error}", path.display()))?;
        let new = KeyframeFile { tick, bytes: encoded.len() as u64 };
        self.change(|files| {
            files.retain(|file| file.tick != tick);
            let place = files.partition_point(|file| file.tick < tick);
            files.insert(place, new);
            keep(files, tick, density)
        });
        Ok(())
    }

    /// Removes the keyframes before a tick. Returns how many there were, and their bytes.
    pub(crate) fn remove_before(&self, tick: u64) -> (u64, u64) {
        let mut removed = (0, 0);
        self.change(|files| {
            let (old, kept) = files.split_at(files.partition_point(|file| file.tick < tick));
            removed = (old.len() as u64, bytes(old));
            kept.to_vec()
        });
        removed
    }

    /// Keeps the files that `choose` says, and removes the others.
    fn change(&self, choose: impl FnOnce(&mut Vec<KeyframeFile>) -> Vec<KeyframeFile>) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let files = files.get_or_insert_with(|| self.read());
        let mut before: BTreeSet<u64> = files.iter().map(|file| file.tick).collect();
        let kept = choose(files);
        before.extend(files.iter().map(|file| file.tick));
        for file in &kept {
            before.remove(&file.tick);
        }
        for tick in before {
            // One that cannot be removed only costs space.
            drop(std::fs::remove_file(self.path(tick)));
        }
        *files = kept;
    }

    /// The files that are there. What a killed process left of a write is removed.
    fn read(&self) -> Vec<KeyframeFile> {
        for part in files(&self.folder, "part") {
            drop(std::fs::remove_file(part));
        }
        let size = |path: &Path| -> io::Result<u64> { Ok(std::fs::metadata(path)?.len()) };
        let known = |(tick, path): (u64, PathBuf)| Some(KeyframeFile { tick, bytes: size(&path).ok()? });
        list(&self.folder).into_iter().filter_map(known).collect()
    }
}

/// Writes keyframes of the running town.
pub(crate) struct KeyframeWriter {
    pub(crate) store: Arc<KeyframeStore>,
    /// The tick and time of the last one.
    last: (u64, Instant),
    /// One is being written.
    busy: Arc<AtomicBool>,
    /// The last one could not be written.
    failed: Arc<AtomicBool>,
    log: Log,
}

impl KeyframeWriter {
    /// The writer of a run that is at `tick`, of which the journal or a snapshot holds the town.
    pub(crate) fn new(folder: PathBuf, tick: u64, log: Log) -> Self {
        let (store, now) = (Arc::new(KeyframeStore::new(folder)), Instant::now());
        // The first one need not wait.
        let last = (tick, now.checked_sub(MIN_INTERVAL).unwrap_or(now));
        Self { store, last, busy: Arc::default(), failed: Arc::default(), log }
    }

    /// Whether a keyframe is to be written of a town at `tick`. A slow disk leaves some out.
    pub(crate) fn is_due(&self, tick: u64, config: &Config, now: Instant) -> bool {
        let every = u64::from(config.keyframes.every_ticks);
        every > 0
            && tick >= self.last.0.saturating_add(every)
            && now.saturating_duration_since(self.last.1) >= MIN_INTERVAL
            && !self.busy.load(Ordering::Acquire)
    }

    /// Has a keyframe written. Does not wait for the disk.
    pub(crate) fn write(&mut self, capture: Capture, disk: &DiskThread, now: Instant) {
        let config = &capture.rules.config;
        let settings = &config.keyframes;
        let density = Density {
            every: settings.every_ticks.into(),
            dense: u64::from(settings.dense_days) * u64::from(config.time.ticks_per_day),
            sparse: settings.sparse_ticks.into(),
            max_bytes: settings.max_bytes,
        };
        self.last = (capture.state.tick, now);
        let (store, failed, log) = (Arc::clone(&self.store), Arc::clone(&self.failed), self.log.clone());
        let busy = Busy::begin(&self.busy);
        disk.run(move || {
            let saved = store.save(&capture, &density);
            match (&saved, failed.swap(saved.is_err(), Ordering::Relaxed)) {
                (Err(why), false) => log.write(&format!("keyframes cannot be written: {why}")),
                (Ok(()), true) => log.write("keyframes can be written again"),
                _ => {}
            }
            drop(busy);
        });
    }
}
