//! Retention: which segments of a run are removed when a new one begins. Rule: "Journal".

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fail::fail_point;

use super::FrameReader;
use crate::history::KeyframeStore;
use crate::home::journal_tick;
use crate::log::Log;
use townlet_wire::count;

/// What is kept of a run's journal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// Largest size of all segments in bytes.
    pub max_bytes: u64,
    /// Bytes of that kept free for the segment that begins.
    pub reserve: u64,
    /// Age of a segment's end at which it is removed.
    pub max_age: Duration,
    /// Segments with commands from this tick on are kept, because their outcomes may not be in the audit log.
    pub needed_from: u64,
}

/// The file of a segment.
#[derive(Debug)]
pub(super) struct SegmentFile {
    pub path: PathBuf,
    /// The tick in its name, not before its first tick.
    pub tick: u64,
    pub bytes: u64,
    /// When it was last written.
    pub modified: SystemTime,
}

impl SegmentFile {
    fn of(path: PathBuf) -> Option<Self> {
        let found = std::fs::metadata(&path).ok()?;
        Some(Self { tick: journal_tick(&path)?, bytes: found.len(), modified: found.modified().ok()?, path })
    }
}

/// Segments to remove, oldest first, and what that leaves.
pub(super) struct Removal {
    files: Vec<SegmentFile>,
    /// First tick and number of the oldest segment that stays.
    kept: Option<(u64, u64)>,
}

impl Removal {
    /// What is removed of a run when a segment begins. Without any information about a file nothing is removed.
    pub(super) fn plan(files: Vec<PathBuf>, retention: &Retention) -> Self {
        let files: Option<Vec<SegmentFile>> = files.into_iter().map(SegmentFile::of).collect();
        let mut files = files.unwrap_or_default();
        let count = removable(&files, retention, SystemTime::now());
        let kept = files.get(count).and_then(|file| Some((file.tick, sequence(&file.path)?)));
        files.truncate(if kept.is_some() { count } else { 0 });
        Self { files, kept }
    }

    /// Number of the oldest segment that stays, if any segment is removed.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.kept.filter(|_| !self.files.is_empty()).map(|(_, sequence)| sequence)
    }

    /// Removes the files, the oldest first, so that a crash leaves segments that follow each other. Stops at one that cannot be
    /// removed; it is tried again when the next segment begins. Keyframes before the journal go with it.
    pub(super) fn carry_out(&self, log: &Log, keyframes: &KeyframeStore) {
        let mut bytes = 0;
        for (number, file) in self.files.iter().enumerate() {
            if let Err(why) = remove(&file.path) {
                log.write(&format!("{}: it could not be removed: {why}", file.path.display()));
                return self.report(number, bytes, log, keyframes);
            }
            bytes += file.bytes;
        }
        self.report(self.files.len(), bytes, log, keyframes);
    }

    fn report(&self, removed: usize, bytes: u64, log: &Log, keyframes: &KeyframeStore) {
        let (Some(first), Some(next)) =
            (self.files.first(), self.files.get(removed).map(|file| file.tick).or(self.kept.map(|kept| kept.0)))
        else {
            return;
        };
        if removed > 0 {
            let (shortcuts, shortcut_bytes) = keyframes.remove_before(next);
            log.write(&format!(
                "the journal before tick {next} was removed by retention: {} from tick {} on, {bytes} bytes, and {}, {shortcut_bytes} \
                 bytes",
                count(removed as u64, "segment"),
                first.tick,
                count(shortcuts, "keyframe")
            ));
        }
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    fail_point!("journal_prune", |_| Err(std::io::Error::other("fail point journal_prune")));
    std::fs::remove_file(path)
}

fn sequence(path: &Path) -> Option<u64> {
    FrameReader::open(path).ok().map(|frames| frames.header.place.sequence)
}

/// How many of the oldest segments are removed. The newest is never removed.
pub(super) fn removable(files: &[SegmentFile], retention: &Retention, now: SystemTime) -> usize {
    let mut bytes = files.iter().map(|file| file.bytes).sum::<u64>() + retention.reserve;
    let removed = files.windows(2).take_while(|pair| {
        let old = now.duration_since(pair[0].modified).is_ok_and(|age| age > retention.max_age);
        let over = old || bytes > retention.max_bytes;
        bytes -= pair[0].bytes;
        over && pair[1].tick < retention.needed_from
    });
    removed.count()
}
