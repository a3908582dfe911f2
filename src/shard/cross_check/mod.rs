//! Holds the audit log of a run to its journal, and both to the town recomputed from the journal: every command that was done is
//! logged, every logged one was done, with the same arguments, at the same tick and with the same digests.
//!
//! Reads forwards; one segment of the journal and a window of the log are in memory. Writes nothing. Rule: "Audit log".

mod claims;
mod comparison;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::home::Home;
use super::journal::{Entry, PreviousEnd, Segments};
use super::journalled_command::JournalledCommand;
use super::recovery::{JournalReplayer, position};
use super::snapshots;
use claims::WINDOW_BYTES;
use comparison::Comparison;

/// Most disagreements that are listed; the others are counted.
const MAX_FINDINGS: usize = 1_000;

/// A disagreement, and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disagreement {
    /// The file: one of the audit log by its name, others by their path.
    pub file: String,
    /// Line number from 1; 0 for the whole file.
    pub line: u64,
    /// A sentence.
    pub message: String,
}

/// The result for one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CrossCheck {
    /// The run.
    pub run_id: String,
    /// First and last tick of the replay; equal when nothing was replayed.
    pub ticks: [u64; 2],
    /// Commands that audit log, journal and town hold alike.
    pub commands: u64,
    /// Digests of the audit log that the town has.
    pub digests: u64,
    /// Digests of the journal that the town has.
    pub journal_digests: u64,
    /// Snapshots that are the town at their tick.
    pub snapshots: u64,
    /// Disagreements, in the order found.
    pub findings: Vec<Disagreement>,
    /// Number of disagreements that are not listed.
    pub more_findings: u64,
    /// What the journal says nothing about → how many records or files.
    pub not_covered: BTreeMap<String, u64>,
    /// Remarks that are no disagreements.
    pub notes: Vec<String>,
}

impl CrossCheck {
    /// Whether nothing disagrees.
    pub fn passed(&self) -> bool {
        self.findings.is_empty()
    }

    fn disagree(&mut self, file: impl Into<String>, line: u64, message: impl Into<String>) {
        if self.findings.len() == MAX_FINDINGS {
            self.more_findings += 1;
        } else {
            self.findings.push(Disagreement { file: file.into(), line, message: message.into() });
        }
    }

    fn not_covered(&mut self, what: &str) {
        *self.not_covered.entry(what.to_owned()).or_default() += 1;
    }
}

/// Checks a run whose audit log is in `folder`. Calls `progress` with the tick reached and the last tick of the log. Fails when the
/// audit log cannot be read; other files that cannot are disagreements.
pub fn cross_check(home: &Home, folder: &Path, run_id: &str, progress: impl FnMut(u64, u64)) -> io::Result<CrossCheck> {
    check(home, folder, run_id, WINDOW_BYTES, progress)
}

fn check(
    home: &Home,
    folder: &Path,
    run_id: &str,
    window_bytes: usize,
    progress: impl FnMut(u64, u64),
) -> io::Result<CrossCheck> {
    let mut comparison = Comparison::begin(folder, run_id, window_bytes)?;
    match Segments::of_run(home, run_id) {
        Err(why) => comparison.unreadable(&home.journals(), &why.to_string()),
        Ok(segments) if segments.count() == 0 => {
            let why = "the journal of this run is missing; nothing was compared.";
            comparison.found.disagree(home.journal(run_id, 0).display().to_string(), 0, why);
            comparison.uncover(0, u64::MAX);
        }
        Ok(segments) => replay(home, &segments, &mut comparison, progress)?,
    }
    comparison.finish()
}

/// Replays the segments in order and compares on the way. A disagreement between a journal and its own town ends the replay.
fn replay(
    home: &Home,
    segments: &Segments,
    comparison: &mut Comparison,
    mut progress: impl FnMut(u64, u64),
) -> io::Result<()> {
    let mut started: Option<JournalReplayer> = None;
    for index in 0..segments.count() {
        let path = segments.paths().nth(index).unwrap_or(Path::new("")).to_owned();
        let contents = match segments.read(index) {
            Ok(contents) => contents,
            Err(why) => {
                comparison.unreadable(&path, &why.to_string());
                break;
            }
        };
        let header = &contents.header;
        let player = if let Some(player) = &mut started {
            let at = position(&player.town);
            match player.begin_segment(header) {
                Ok(Some(begins)) if begins > at => {
                    let (sequence, complete) =
                        (header.place.sequence, matches!(header.place.previous, PreviousEnd::Complete { .. }));
                    comparison.skip_to(&player.town, at.0, &path, sequence, complete)?;
                }
                Ok(_) => {}
                Err(why) => {
                    comparison.found.disagree(path.display().to_string(), 0, format!("{why}."));
                    comparison.uncover(player.town.tick(), u64::MAX);
                    break;
                }
            }
            player
        } else {
            match JournalReplayer::from_header(header) {
                Ok(player) => {
                    let root = &header.sources.config.snapshot.root;
                    comparison.take_snapshots(&home.snapshots(root, segments.run_id()));
                    comparison.begin_at(&player.town, segments)?;
                    started.insert(player)
                }
                Err(why) => {
                    comparison.unreadable(&path, &format!("{}: {why}", path.display()));
                    break;
                }
            }
        };
        for entry in contents.entries.iter() {
            if let Err(why) = play(player, &entry, &path, comparison)? {
                comparison.found.disagree(path.display().to_string(), 0, format!("{why}."));
                comparison.uncover(player.town.tick(), u64::MAX);
                return Ok(());
            }
            progress(player.town.tick(), comparison.last_tick());
        }
        comparison.found.journal_digests = player.checked;
    }
    Ok(())
}

/// Applies one entry. The inner error is a disagreement between the journal and its own town.
fn play(
    player: &mut JournalReplayer,
    entry: &Entry,
    path: &Path,
    comparison: &mut Comparison,
) -> io::Result<Result<(), String>> {
    let Entry::Ticks { to, .. } = entry else {
        return Ok(match JournalledCommand::apply(player, entry, &mut comparison.last, true) {
            Ok(Some(command)) => {
                comparison.command(&command, &player.town, path);
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(why) => Err(why),
        });
    };
    loop {
        let until = (*to).min(comparison.last_covered_tick());
        if let Err(why) = player.apply_until(entry, until, |town| comparison.arrive(town)) {
            return Ok(Err(why));
        }
        if player.town.tick() >= *to {
            return Ok(Ok(()));
        }
        comparison.next_window(player.town.tick() + 1)?;
    }
}

/// The snapshots of a folder by tick: path, digest of the town and of its texts.
type SnapshotDigests = BTreeMap<u64, Vec<(PathBuf, String, String)>>;

/// Reads every snapshot of a run, one at a time.
fn snapshot_digests(folder: &Path, found: &mut CrossCheck) -> SnapshotDigests {
    let mut digests = SnapshotDigests::new();
    for path in snapshots::list(folder) {
        match snapshots::read(&path) {
            Ok(snapshot) => {
                let (tick, digest) = (snapshot.town.tick(), snapshot.town.digest());
                if path.file_name().is_none_or(|name| name != snapshots::name(tick).as_str()) {
                    found.disagree(path.display().to_string(), 0, format!("it holds the town of tick {tick}."));
                }
                let texts = snapshot.town.rules().texts_digest.clone();
                digests.entry(tick).or_default().push((path, digest, texts));
            }
            // Retention may have removed it since the folder was listed.
            Err(_) if !path.exists() => {}
            Err(why) => found.disagree(path.display().to_string(), 0, format!("{why}.")),
        }
    }
    digests
}
