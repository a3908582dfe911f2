//! The replay in a bundle: a journal that starts from the last intact snapshot but one, or from a segment of the journal, and
//! the digest it must reach. Made from files alone, so that it also works for a crashed shard. Rules: "Journal", "Incidents".

use std::path::{Path, PathBuf};
use std::time::Instant;

use townlet_town::{Town, snapshot};

use super::redaction::SecretRedactor;
use crate::home::Home;
use crate::journal::{Base, Entry, FrameReader, Header, JournalError, PreviousEnd, SegmentPlace, frame};
use crate::recovery::{JournalReplayer, position};
use crate::snapshots;

/// Largest replay in bytes. The newest segment always fits, and with it the end of the journal.
pub(super) const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Below this size in bytes a journal may be replayed from its start.
const SHORT_BYTES: u64 = 1024 * 1024;

/// A journal that replays the end of a run.
pub(super) struct Replay {
    pub(super) bytes: Vec<u8>,
    pub(super) tick: u64,
    /// The last digest that the shard wrote, with its tick.
    pub(super) written: Option<(u64, String)>,
    /// The town at its end, if it was replayed here.
    pub(super) town: Option<Town>,
    /// Remarks: where it starts, what was skipped, and disagreements.
    pub(super) notes: Vec<String>,
    /// Whether secrets were removed from the texts.
    pub(super) redacted: bool,
}

/// Makes the replay of the end of a run's journal, and replays it until `deadline`. The error names the missing or damaged file.
pub(super) fn replay(
    home: &Home,
    root: &str,
    run_id: &str,
    secrets: &SecretRedactor,
    deadline: Instant,
) -> Result<Replay, String> {
    let files = home.journal_files(run_id);
    let newest = files.last().ok_or_else(|| format!("run {run_id} has no journal in {}", home.journals().display()))?;
    let mut files = connected(&files).map_err(|error| error.to_string())?;
    let mut notes = Vec::new();
    let mut snapshots = newest_two(&home.snapshots(root, run_id), &mut notes);
    let long = std::fs::metadata(newest).is_ok_and(|found| found.len() > SHORT_BYTES);
    let snapshot = match (snapshots.pop(), files.len()) {
        (only, 2..) if snapshots.is_empty() => {
            // A segment that begins before the only snapshot.
            let end = only.map_or(u64::MAX, |town| town.tick());
            let first = files.iter().rposition(|(_, frames)| frames.header.place.tick < end);
            files.drain(..first.unwrap_or(0));
            None
        }
        (only, _) => snapshots.pop().or(only.filter(|_| long)),
    };
    let (oldest, frames) = &files[0];
    let mut header = frames.header.clone();
    let based = JournalReplayer::from_header(&header).map_err(|why| format!("{}: {why}", oldest.display()))?.town;
    let town = snapshot.filter(|town| position(town) > position(&based)).unwrap_or(based);
    let cleaned = secrets.town(&town);
    let redacted = cleaned.is_some();
    let town = cleaned.unwrap_or(town);
    header.place = SegmentPlace { tick: town.tick(), ..SegmentPlace::FIRST };
    header.sources.clone_from(&town.rules().sources);
    header.base = match header.base {
        Base::Seed(seed) if position(&town) == (0, 0) => Base::Seed(seed),
        _ => Base::Snapshot(snapshot::save(&town)),
    };
    notes.push(match &header.base {
        Base::Seed(seed) => format!("it starts from seed {seed}."),
        Base::Snapshot(_) => format!("it starts from the town at tick {}.", town.tick()),
    });
    let mut replay = Replay { bytes: frame(&header), tick: town.tick(), written: None, town: None, notes, redacted };
    replay.take(files, town, (&header, deadline), secrets);
    Ok(replay)
}

/// The newest segments that follow each other without a gap and fit into a replay, oldest first.
fn connected(files: &[PathBuf]) -> Result<Vec<(PathBuf, FrameReader)>, JournalError> {
    let mut found: Vec<(PathBuf, FrameReader)> = Vec::new();
    let mut total = 0;
    for file in files.iter().rev() {
        let bytes = std::fs::metadata(file).map_or(0, |found| found.len());
        let frames = match (FrameReader::open(file), found.is_empty()) {
            (Err(why), true) => return Err(why),
            (frames, _) => frames.ok(),
        };
        let follows = |(_, next): &(PathBuf, FrameReader)| {
            let (next, this) = (&next.header.place, frames.as_ref().map(|frames| frames.header.place.sequence + 1));
            let complete = matches!(next.previous, PreviousEnd::Complete { bytes: expected, .. } if expected == bytes);
            complete && this == Some(next.sequence) && total + bytes <= MAX_BYTES as u64
        };
        if !found.last().is_none_or(follows) {
            break;
        }
        found.extend(frames.map(|frames| (file.clone(), frames)));
        total += bytes;
    }
    found.reverse();
    Ok(found)
}

impl Replay {
    /// Adds and replays the entries after the start.
    fn take(
        &mut self,
        files: Vec<(PathBuf, FrameReader)>,
        from: Town,
        (header, deadline): (&Header, Instant),
        secrets: &SecretRedactor,
    ) {
        let start = position(&from);
        let mut player = Some(JournalReplayer::from_town(from));
        let entries = files.into_iter().flat_map(|(path, frames)| frames.map(move |entry| (path.clone(), entry)));
        for (path, entry) in entries {
            let behind = match &entry {
                Entry::Ticks { to, .. } => *to <= start.0,
                Entry::Command { index, .. } | Entry::Reload { index, .. } => *index < start.1,
                Entry::Policy { tick, .. } => *tick < start.0,
            };
            if behind {
                continue;
            }
            let clean = without_secrets(&entry, secrets);
            self.redacted |= clean.is_some();
            let entry = clean.unwrap_or(entry);
            let bytes = frame(&entry);
            if self.bytes.len() + bytes.len() > MAX_BYTES {
                self.notes.push(format!(
                    "{} is too long for a bundle; the replay ends at tick {}.",
                    path.display(),
                    self.tick
                ));
                break;
            }
            self.bytes.extend_from_slice(&bytes);
            if let Entry::Ticks { to, digest, .. } = &entry {
                self.tick = *to;
                self.written = digest.clone().map(|digest| (*to, digest)).or_else(|| self.written.take());
            }
            if let Some(town) = &mut player
                && let Err(why) = town.apply(&entry, |_| {})
            {
                self.notes.push(format!("JOURNAL AND TOWN DISAGREE: {why}."));
                player = None;
            }
            if player.is_some() && Instant::now() > deadline {
                self.notes.push(
                    "it was not replayed to its end, because the time limit for making the bundle was reached.".into(),
                );
                player = None;
            }
        }
        self.town = player.map(|player| player.town);
        // A journal without a digest yet is compared with the town it starts from.
        if self.written.is_none()
            && let Base::Snapshot(bytes) = &header.base
        {
            self.written = snapshot::load(bytes).ok().map(|town| (town.tick(), town.digest()));
        }
    }

    /// The tick and digest to reach: of the last entry if it was replayed here, else the last ones written.
    pub(super) fn target(&self) -> Option<(u64, String)> {
        let played = self.town.as_ref().map(|town| (town.tick(), town.digest()));
        played.or_else(|| self.written.clone())
    }
}

/// A reload entry without secrets; `None` if it contains none.
fn without_secrets(entry: &Entry, secrets: &SecretRedactor) -> Option<Entry> {
    let Entry::Reload { sources, .. } = entry else { return None };
    let without = secrets.sources(sources)?;
    let mut clean = entry.clone();
    if let Entry::Reload { sources, .. } = &mut clean {
        **sources = without;
    }
    Some(clean)
}

/// The newest two intact snapshots, older first. A replay starts from the older one, so that there is something to replay.
fn newest_two(folder: &Path, notes: &mut Vec<String>) -> Vec<Town> {
    let mut whole = Vec::new();
    for file in snapshots::list(folder).iter().rev() {
        match snapshots::read(file) {
            Ok(found) => whole.insert(0, found.town),
            Err(why) => notes.push(format!("{}: {why}. One before it is used.", file.display())),
        }
        if whole.len() == 2 {
            break;
        }
    }
    whole
}
