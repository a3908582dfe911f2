//! Recovery of a run: rebuilds its town from the newest intact snapshot and the journal after it, and checks the digests.
//!
//! `townlet replay` uses the same code. No policy runs, because the journal holds the chosen options. Rule: "Journal".

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use townlet_learn::ReplayPolicy;
use townlet_town::config::diff;
use townlet_town::{OptionKind, Rules, Town, snapshot};

use super::home::Home;
use super::journal::{self, Base, CommandId, Contents, Entry, Header, PreviousEnd, SegmentEnd, SegmentPlace, Segments};
use super::journalled_command::{JournalledCommand, LastDigest};
use super::snapshots::{self, SnapshotFile};
use townlet_wire::count;

/// A town to which journal entries are applied.
#[derive(Clone)]
pub struct JournalReplayer {
    /// The town after the entries applied so far.
    pub town: Town,
    policy: ReplayPolicy,
    /// Whether an entry's ticks have been applied in part.
    within: bool,
    /// Number of digests compared and found equal.
    pub checked: u64,
}

impl JournalReplayer {
    /// Starts from the state in a header.
    pub fn from_header(header: &Header) -> Result<Self, String> {
        Self::from_header_with(header, None)
    }

    /// As [`Self::from_header`]. A town of the same sources as `known` shares these rules.
    pub(crate) fn from_header_with(header: &Header, known: Option<&Arc<Rules>>) -> Result<Self, String> {
        let town = match (&header.base, known.filter(|rules| rules.sources == header.sources)) {
            (Base::Seed(seed), Some(rules)) => Town::new(Arc::clone(rules), *seed),
            (Base::Seed(seed), None) => {
                let rules = Rules::new(header.sources.clone()).map_err(|error| error.to_string())?;
                Town::new(Arc::new(rules), *seed)
            }
            (Base::Snapshot(bytes), _) => snapshot::load_with(bytes, known).map_err(|error| error.to_string())?,
        };
        Ok(Self::from_town(town))
    }

    /// Starts from a town, such as one loaded from a snapshot.
    pub fn from_town(town: Town) -> Self {
        Self { town, policy: ReplayPolicy::default(), within: false, checked: 0 }
    }

    /// Applies one entry, skipping what the town has already passed. Calls `each_tick` after every tick. The error says where the
    /// journal and the town disagree.
    pub fn apply(&mut self, entry: &Entry, mut each_tick: impl FnMut(&Town)) -> Result<(), String> {
        let mut reached = self.town.tick();
        self.apply_until(entry, u64::MAX, |town| {
            if std::mem::replace(&mut reached, town.tick()) < town.tick() {
                each_tick(town);
            }
        })
    }

    /// Continues with the next segment. If it starts from a snapshot that is ahead, the snapshot replaces the town, because
    /// entries before it are missing. Returns the position of that snapshot.
    pub fn begin_segment(&mut self, header: &Header) -> Result<Option<(u64, u64)>, String> {
        let Base::Snapshot(_) = header.base else { return Ok(None) };
        let base = Self::from_header_with(header, Some(self.town.rules()))?;
        let start = position(&base.town);
        if start > position(&self.town) {
            *self = Self { checked: self.checked, ..base };
        } else if start == position(&self.town) && base.town.digest() != self.town.digest() {
            let (found, expected) = (self.town.digest(), base.town.digest());
            return Err(format!("tick {}: the digest is {found}, the segment starts from {expected}", start.0));
        }
        Ok(Some(start))
    }

    /// Applies an entry up to tick `until`; the next call with the same entry continues. Calls `each_change`, with the town's
    /// events still present, after every tick and every command. Events are not part of journals or digests.
    pub fn apply_until(&mut self, entry: &Entry, until: u64, mut each_change: impl FnMut(&Town)) -> Result<(), String> {
        match entry {
            Entry::Ticks { to, .. } if *to <= self.town.tick() => Ok(()),
            Entry::Command { tick, .. } | Entry::Reload { tick, .. } if *tick > until => Ok(()),
            Entry::Ticks { from, to, options, digest } => {
                if !self.within {
                    entry.check()?;
                    if *from != self.town.tick() {
                        return Err(format!(
                            "the journal continues at tick {from}, the town is at {}",
                            self.town.tick()
                        ));
                    }
                    let known: Option<Vec<OptionKind>> = options.iter().map(|option| OptionKind::at(*option)).collect();
                    self.policy.extend(known.ok_or(format!("tick {from}: an option that does not exist"))?);
                }
                while self.town.tick() < until.min(*to) {
                    self.town.step(&mut self.policy);
                    each_change(&self.town);
                    self.town.clear_events();
                }
                self.within = self.town.tick() < *to;
                if self.within {
                    return Ok(());
                }
                if self.policy.missing() > 0 || self.policy.left() > 0 {
                    return Err(format!("ticks {from} to {to}: the options do not fit the town's questions"));
                }
                let Some(expected) = digest else { return Ok(()) };
                let found = self.town.digest();
                if *expected != found {
                    return Err(format!("tick {to}: the digest is {found}, the journal says {expected}"));
                }
                self.checked += 1;
                Ok(())
            }
            Entry::Policy { .. } => Ok(()),
            Entry::Command { index, .. } | Entry::Reload { index, .. } if *index < self.town.state().commands => Ok(()),
            Entry::Command { tick, index, .. } | Entry::Reload { tick, index, .. }
                if (*tick, *index) != (self.town.tick(), self.town.state().commands) =>
            {
                Err(format!("command {index} of tick {tick} does not follow tick {}", self.town.tick()))
            }
            Entry::Reload { tick, sources, .. } => {
                let invalid = |why: String| format!("tick {tick}: the configuration reloaded there is invalid: {why}");
                let rules = Rules::new((**sources).clone()).map_err(|error| invalid(error.to_string()))?;
                self.town.reload(&Arc::new(rules)).map_err(|refusal| invalid(refusal.message))?;
                each_change(&self.town);
                self.town.clear_events();
                Ok(())
            }
            Entry::Command { command, .. } => {
                self.town.apply(command).map_err(|refusal| refusal.message)?;
                each_change(&self.town);
                self.town.clear_events();
                Ok(())
            }
        }
    }
}

/// A run in the state in which it stopped.
pub struct RecoveredRun {
    /// The town at the last journalled tick.
    pub town: Town,
    /// The newest segment's header with the last policy, the last command and the current texts; without a journal, made from
    /// the newest snapshot.
    pub header: Header,
    /// The newest segment and its end; `None` if the journal ends before the town, so that a new segment must start.
    pub journal: Option<(PathBuf, SegmentEnd)>,
    /// Tick and digest of the snapshot, or of the new town, from which replay started.
    pub base: (u64, String),
    /// Commands in the segments that were read: (issuer, `cmd_id`) → tick. Two issuers may use one id.
    pub commands: BTreeMap<(String, String), u64>,
    /// First tick of the newest segment, if segments before it that were asked for are missing or damaged.
    pub lost_before: Option<u64>,
    /// Those of the newest segment, with what they did.
    pub(crate) journalled: Vec<JournalledCommand>,
    /// Messages for the operator, one line each.
    pub notes: Vec<String>,
}

/// Rebuilds a run from its newest intact snapshot that agrees with the newest segment of its journal, else from the start of
/// that segment. Earlier segments are read only for commands applied from tick `since` on. The error names the missing or
/// damaged file.
pub fn recover_run(home: &Home, snapshot_root: &str, run_id: &str, since: Option<u64>) -> Result<RecoveredRun, String> {
    let mut notes = Vec::new();
    let folder = home.snapshots(snapshot_root, run_id);
    let mut lost_before = None;
    let history = match History::read(home, run_id, since) {
        Ok(history) => history,
        Err(why) => {
            let newest = since.map(|_| History::read(home, run_id, None)).transpose().ok().flatten();
            let newest = newest.filter(History::begins_after_lost_entries).ok_or(&*why)?;
            notes.push(format!("{why}. The run continues from the segment after it."));
            lost_before = newest.newest.as_ref().map(|(_, contents)| contents.header.place.tick);
            newest
        }
    };
    let History { commands, last_command, policy, newest } = history;
    let Some((path, newest)) = newest else {
        let found = newest_usable(&folder, 0, &mut notes, Ok);
        return recover_from_snapshot(home, run_id, found, notes);
    };
    let Replay { player, from, base, end, journalled } = replay_newest(&path, &newest, &folder, &mut notes)?;
    if newest.torn > 0 {
        notes.push(format!("{}: {} torn bytes at the end were cut off.", path.display(), newest.torn));
    }
    notes.push(format!(
        "resumed at tick {}, from tick {} of {}; {}.",
        player.town.tick(),
        from.1,
        from.0.display(),
        match player.checked {
            0 => "the journal has no later digest to compare with".to_owned(),
            1 => "1 journal digest matches".to_owned(),
            digests => format!("{} match", count(digests, "journal digest")),
        }
    ));
    let journal = if position(&player.town) > end {
        notes.push(format!(
            "{}: it ends at tick {}, before the snapshot; a new file continues.",
            path.display(),
            end.0
        ));
        None
    } else {
        Some((path, newest.end))
    };
    let mut header = Header { policy, sources: player.town.rules().sources.clone(), ..newest.header };
    header.place.last_command = last_command;
    Ok(RecoveredRun { town: player.town, header, journal, base, commands, lost_before, journalled, notes })
}

/// What the segments of a run say about its commands, and the newest of them.
#[derive(Default)]
struct History {
    /// As [`RecoveredRun::commands`].
    commands: BTreeMap<(String, String), u64>,
    last_command: Option<CommandId>,
    policy: String,
    newest: Option<(PathBuf, Contents)>,
}

impl History {
    /// Reads the newest segment, and earlier ones for commands applied from tick `since` on.
    fn read(home: &Home, run_id: &str, since: Option<u64>) -> Result<Self, String> {
        let segments = Segments::since(home, run_id, since).map_err(|error| error.to_string())?;
        let mut history = Self::default();
        for segment in segments.iter() {
            let (path, read) = segment.map_err(|error| error.to_string())?;
            history.policy.clone_from(&read.header.policy);
            let before = read.header.place.last_command.clone();
            for command in before.into_iter().chain(read.entries.iter().filter_map(|entry| entry.command_id())) {
                history.commands.insert((command.issuer.clone(), command.cmd_id.clone()), command.tick);
                history.last_command = Some(command);
            }
            let changed = read.entries.iter().filter_map(|entry| match entry {
                Entry::Policy { to, .. } => Some(to),
                _ => None,
            });
            history.policy = changed.last().unwrap_or(history.policy);
            history.newest = Some((path, read));
        }
        Ok(history)
    }

    /// Whether the newest segment follows one whose entries may be lost, so that those before it are not needed.
    fn begins_after_lost_entries(&self) -> bool {
        self.newest.as_ref().is_some_and(|(_, contents)| contents.header.place.previous == PreviousEnd::Unknown)
    }
}

struct Replay {
    player: JournalReplayer,
    /// The file it started from, and the tick.
    from: (PathBuf, u64),
    /// As [`RecoveredRun::base`].
    base: (u64, String),
    /// The journal's end: a tick and the number of commands before it.
    end: (u64, u64),
    /// As [`RecoveredRun::journalled`].
    journalled: Vec<JournalledCommand>,
}

/// Replays the newest segment from the newest snapshot that agrees with it, and notes those skipped.
fn replay_newest(path: &Path, segment: &Contents, folder: &Path, notes: &mut Vec<String>) -> Result<Replay, String> {
    let mut first_error = None;
    let start = JournalReplayer::from_header(&segment.header).map_err(|why| format!("{}: {why}", path.display()))?;
    let replay = |player: JournalReplayer, from: &Path| {
        replay_segment(segment, &start.town, player, from).map_err(|why| {
            format!("{}: {why}. A journal before it may be missing; put back a copy of it", path.display())
        })
    };
    let found = newest_usable(folder, segment.header.place.tick, notes, |found| {
        check_same_run(&found.town, &start.town, &segment.header)?;
        replay(JournalReplayer::from_town(found.town), &found.path).map_err(|why| {
            let message = format!("it and the journal disagree ({why})");
            first_error.get_or_insert(why);
            message
        })
    });
    if let Some(replay) = found {
        return Ok(replay);
    }
    replay(start.clone(), path).map_err(|why| first_error.unwrap_or(why))
}

/// Applies all entries of a segment that the player has not passed. The segment starts from `start`, which replaces an earlier
/// town.
fn replay_segment(
    segment: &Contents,
    start: &Town,
    mut player: JournalReplayer,
    from: &Path,
) -> Result<Replay, String> {
    let began = player.town.tick();
    if position(&player.town) < position(start) {
        player = JournalReplayer::from_town(start.clone());
    }
    let base = (player.town.tick(), player.town.digest());
    let mut end = position(start);
    let (mut journalled, mut last) = (Vec::new(), LastDigest::default());
    for entry in segment.entries.iter() {
        journalled.extend(JournalledCommand::apply(&mut player, &entry, &mut last, false)?);
        end = match entry {
            Entry::Ticks { to, .. } => (to, end.1),
            Entry::Command { tick, index, .. } | Entry::Reload { tick, index, .. } => (tick, index + 1),
            Entry::Policy { .. } => end,
        };
    }
    Ok(Replay { player, from: (from.to_owned(), began), base, end, journalled })
}

/// Checks that a saved town can belong to the run of a journal: same seed, and equal settings except those that can be reloaded.
fn check_same_run(town: &Town, start: &Town, header: &Header) -> Result<(), String> {
    let seed = start.state().seed;
    if town.state().seed != seed {
        return Err(format!("it is of another run: its seed is {}, this run's {seed}", town.state().seed));
    }
    let other = diff(&header.sources.config, &town.rules().config).into_iter().find(|it| !it.hot);
    let shown = |value: Option<String>| value.unwrap_or_else(|| "missing".to_owned());
    other.map_or(Ok(()), |it| {
        Err(format!("it is of another run: its {} is {}, this run's {}", it.key, shown(it.right), shown(it.left)))
    })
}

/// The position of a town in its run: tick and number of commands. A paused town changes only the second.
pub fn position(town: &Town) -> (u64, u64) {
    (town.tick(), town.state().commands)
}

/// The result of `make` for the newest intact snapshot from tick `since` on for which it succeeds; notes those skipped.
fn newest_usable<T>(
    folder: &Path,
    since: u64,
    notes: &mut Vec<String>,
    mut make: impl FnMut(SnapshotFile) -> Result<T, String>,
) -> Option<T> {
    let late = |file: &&PathBuf| file.as_path() >= folder.join(snapshots::name(since)).as_path();
    for file in snapshots::list(folder).iter().rev().take_while(late) {
        match snapshots::read(file).and_then(&mut make) {
            Ok(made) => return Some(made),
            Err(why) => notes.push(format!("{}: {why}. It was skipped.", file.display())),
        }
    }
    None
}

/// Recovers a run without a journal from its newest snapshot; a new journal starts.
fn recover_from_snapshot(
    home: &Home,
    run_id: &str,
    found: Option<SnapshotFile>,
    mut notes: Vec<String>,
) -> Result<RecoveredRun, String> {
    let missing = home.journal(run_id, 0);
    let Some(SnapshotFile { town, path, .. }) = found else {
        return Err(format!(
            "{}: the journal of this run is missing, and it has no intact snapshot; put one of them back, or name an \
             earlier run with `--resume`",
            missing.display()
        ));
    };
    notes.push(format!("{}: the journal of this run is missing; a new one starts.", missing.display()));
    notes.push(format!("resumed at tick {}, from {}.", town.tick(), path.display()));
    let rules = town.rules();
    let header = Header {
        version: journal::VERSION,
        run_id: run_id.to_owned(),
        shard: rules.config.shard.clone(),
        place: SegmentPlace { sequence: 0, ..SegmentPlace::FIRST },
        sources: rules.sources.clone(),
        // Unknown: only the journal says which policy was in use.
        policy: String::new(),
        base: Base::Seed(town.state().seed),
    };
    let base = (town.tick(), town.digest());
    let (commands, journalled) = (BTreeMap::new(), Vec::new());
    Ok(RecoveredRun { town, header, journal: None, base, commands, lost_before: None, journalled, notes })
}
