//! The part of a bundle that proves what happened: a journal of its own that starts from the last whole snapshot but one, the
//! command that replays it, and the digest it must reach.
//!
//! Works from files alone, of a shard that runs or is dead. Changes nothing. Rules: "Journal", "Incidents".

use std::path::Path;
use std::time::Instant;

use townlet_town::{Town, snapshot};

use super::redaction::SecretRedactor;
use crate::home::Home;
use crate::journal::{Base, Entry, FrameReader, Header, frame};
use crate::recovery::{JournalReplayer, position};
use crate::snapshots;

/// Most bytes of the journal that a bundle carries for the replay.
const MOST: usize = 32 * 1024 * 1024;
/// A journal of fewer bytes can be replayed from its beginning.
const SHORT: u64 = 1024 * 1024;

/// What replays the end of a run.
pub(super) struct Replay {
    /// A whole journal file.
    pub(super) bytes: Vec<u8>,
    /// The last tick it holds.
    pub(super) tick: u64,
    /// The last digest the shard itself wrote into it, and its tick.
    pub(super) written: Option<(u64, String)>,
    /// The town it leads to, when it was played to its end here.
    pub(super) town: Option<Town>,
    /// Where it starts, what it passed over, and what does not fit, a sentence each.
    pub(super) notes: Vec<String>,
    /// Whether the texts were changed to take a secret out.
    pub(super) redacted: bool,
}

/// Makes it, for the newest journal file of a run. Played until then; a longer one is left to whoever reads it.
///
/// # Errors
/// What is missing or damaged, by file.
pub(super) fn replay(
    home: &Home,
    root: &str,
    run_id: &str,
    secrets: &SecretRedactor,
    late: Instant,
) -> Result<Replay, String> {
    let files = home.journal_files(run_id);
    let newest = files.last().ok_or_else(|| format!("run {run_id} has no journal in {}", home.journals().display()))?;
    let frames = FrameReader::open(newest).map_err(|error| error.to_string())?;
    let mut notes = Vec::new();
    let mut header = frames.header.clone();
    let long = std::fs::metadata(newest).is_ok_and(|found| found.len() > SHORT);
    let snapshot = start_from(&home.snapshots(root, run_id), long, &mut notes);
    let based = JournalReplayer::from_header(&header).map_err(|why| format!("{}: {why}", newest.display()))?.town;
    let town = snapshot.filter(|town| position(town) > position(&based)).unwrap_or(based);
    let cleaned = secrets.town(&town);
    let redacted = cleaned.is_some();
    let town = cleaned.unwrap_or(town);
    header.sources.clone_from(&town.rules().sources);
    header.base = match header.base {
        Base::Seed(seed) if position(&town) == (0, 0) => Base::Seed(seed),
        _ => Base::Snapshot(snapshot::save(&town)),
    };
    notes.push(match &header.base {
        Base::Seed(seed) => format!("it starts from the seed, {seed}."),
        Base::Snapshot(_) => format!("it starts from the town at tick {}.", town.tick()),
    });
    let mut replay = Replay { bytes: frame(&header), tick: town.tick(), written: None, town: None, notes, redacted };
    replay.take(newest, frames, town, (&header, late), secrets)?;
    Ok(replay)
}

impl Replay {
    /// Takes the entries behind where it starts, and plays them.
    fn take(
        &mut self,
        path: &Path,
        frames: FrameReader,
        from: Town,
        (header, late): (&Header, Instant),
        secrets: &SecretRedactor,
    ) -> Result<(), String> {
        let start = position(&from);
        let mut player = Some(JournalReplayer::from_town(from));
        for (entry, bytes) in frames {
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
            let (entry, bytes) = clean.unwrap_or((entry, bytes));
            if self.bytes.len() + bytes.len() > MOST {
                self.notes.push(format!(
                    "{} is longer than a bundle may hold; it was cut off at tick {}.",
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
            if player.is_some() && Instant::now() > late {
                self.notes.push("it was not played to its end while the bundle was made: that takes too long.".into());
                player = None;
            }
        }
        self.town = player.map(|player| player.town);
        // A journal whose first digest is still to come is held to the town it starts from.
        if self.written.is_none()
            && let Base::Snapshot(bytes) = &header.base
        {
            self.written = snapshot::load(bytes).ok().map(|town| (town.tick(), town.digest()));
        }
        Ok(())
    }

    /// The tick and digest it must reach: of its last entry when it was played here, else the last one written.
    pub(super) fn target(&self) -> Option<(u64, String)> {
        let played = self.town.as_ref().map(|town| (town.tick(), town.digest()));
        played.or_else(|| self.written.clone())
    }
}

/// What was reloaded, with the secrets taken out; nothing when it holds none.
fn without_secrets(entry: &Entry, secrets: &SecretRedactor) -> Option<(Entry, Vec<u8>)> {
    let Entry::Reload { sources, .. } = entry else { return None };
    let without = secrets.sources(sources)?;
    let mut clean = entry.clone();
    if let Entry::Reload { sources, .. } = &mut clean {
        **sources = without;
    }
    let bytes = frame(&clean);
    Some((clean, bytes))
}

/// The last snapshot but one that is whole, so that there is something to replay. With one alone: that one when the journal
/// is long, else none.
fn start_from(folder: &Path, long: bool, notes: &mut Vec<String>) -> Option<Town> {
    let mut whole = Vec::new();
    for file in snapshots::list(folder).iter().rev() {
        match snapshots::read(file) {
            Ok(found) => whole.push(found.town),
            Err(why) => notes.push(format!("{}: {why}. One before it is used.", file.display())),
        }
        if whole.len() == 2 {
            return whole.pop();
        }
    }
    whole.pop().filter(|_| long)
}
