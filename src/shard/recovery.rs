//! Coming back: a run's town rebuilt from its newest good snapshot and the journal after it, digest for digest.
//!
//! Also what `townlet replay` runs. No policy is asked: the options are in the journal. Rule: "Journal".

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use townlet_learn::Recorded;
use townlet_town::config::diff;
use townlet_town::{OptionKind, Rules, Town, snapshot};

use super::home::Home;
use super::journal::{self, Base, Contents, Entry, Header};
use super::snapshots::{self, Found};

/// A town that journal entries are played into.
#[derive(Clone)]
pub struct JournalReplayer {
    /// As far as it has come.
    pub town: Town,
    recorded: Recorded,
    /// Whether it stands in the midst of an entry's ticks.
    within: bool,
    /// Digests found equal.
    pub checked: u64,
}

impl JournalReplayer {
    /// From what a header says.
    ///
    /// # Errors
    /// Why its texts or its snapshot make no town.
    pub fn from_header(header: &Header) -> Result<Self, String> {
        let town = match &header.base {
            Base::Seed(seed) => {
                let rules = Rules::new(header.sources.clone()).map_err(|error| error.to_string())?;
                Town::new(Arc::new(rules), *seed)
            }
            Base::Snapshot(bytes) => snapshot::load(bytes).map_err(|error| error.to_string())?,
        };
        Ok(Self::from_town(town))
    }

    /// From a town, such as one unpacked from a snapshot.
    pub fn from_town(town: Town) -> Self {
        Self { town, recorded: Recorded::default(), within: false, checked: 0 }
    }

    /// Plays one entry; what the town already has behind it is passed over. `each_tick` sees the town after every tick.
    ///
    /// # Errors
    /// Where and how the journal and the town disagree.
    pub fn play(&mut self, entry: &Entry, mut each_tick: impl FnMut(&Town)) -> Result<(), String> {
        self.drive(entry, u64::MAX, |_| {}, &mut each_tick)
    }

    /// The same, as far as tick `until`: ticks from there on, and what was done between later ones, wait for the next call with
    /// this entry. `told` sees the town with its events, after every tick and after whatever was done to it between two.
    ///
    /// # Errors
    /// Where and how the journal and the town disagree.
    pub fn apply_until(&mut self, entry: &Entry, until: u64, told: impl FnMut(&Town)) -> Result<(), String> {
        self.drive(entry, until, told, |_| {})
    }

    /// Goes on with a further file of the journal. Where it starts from a town of its own that is further, that one stands for
    /// whatever was lost before it. Answers with how far such a town had come.
    ///
    /// # Errors
    /// Why its texts or its snapshot make no town.
    pub fn begin(&mut self, header: &Header) -> Result<Option<(u64, u64)>, String> {
        let Base::Snapshot(_) = header.base else { return Ok(None) };
        let based = Self::from_header(header)?;
        let own = reached(&based.town);
        // A command lost at this very tick shows in the number of commands alone.
        if own > reached(&self.town) {
            *self = Self { checked: self.checked, ..based };
        }
        Ok(Some(own))
    }

    /// Events are no part of what a journal holds, nor of its digests: `told` sees them before they are gone, `each_tick` sees
    /// the town without them.
    fn drive(
        &mut self,
        entry: &Entry,
        until: u64,
        mut told: impl FnMut(&Town),
        mut each_tick: impl FnMut(&Town),
    ) -> Result<(), String> {
        match entry {
            Entry::Ticks { to, .. } if *to <= self.town.tick() => Ok(()),
            Entry::Command { tick, .. } | Entry::Reload { tick, .. } if *tick > until => Ok(()),
            Entry::Ticks { from, to, options, digest } => {
                if !self.within {
                    if *from != self.town.tick() {
                        return Err(format!("the journal goes on at tick {from}, the town is at {}", self.town.tick()));
                    }
                    let known: Option<Vec<OptionKind>> = options.iter().map(|option| OptionKind::at(*option)).collect();
                    self.recorded.extend(known.ok_or(format!("tick {from}: an option that does not exist"))?);
                }
                while self.town.tick() < until.min(*to) {
                    self.town.step(&mut self.recorded);
                    told(&self.town);
                    self.town.clear_events();
                    each_tick(&self.town);
                }
                self.within = self.town.tick() < *to;
                if self.within {
                    return Ok(());
                }
                if self.recorded.missing() > 0 || self.recorded.left() > 0 {
                    return Err(format!("ticks {from} to {to}: the options do not fit the town's questions"));
                }
                match digest {
                    Some(digest) if *digest != self.town.digest() => {
                        Err(format!("tick {to}: the digest is {}, the journal says {digest}", self.town.digest()))
                    }
                    Some(_) => {
                        self.checked += 1;
                        Ok(())
                    }
                    None => Ok(()),
                }
            }
            Entry::Policy { .. } => Ok(()),
            Entry::Command { index, .. } | Entry::Reload { index, .. } if *index < self.town.state().commands => Ok(()),
            Entry::Command { tick, index, .. } | Entry::Reload { tick, index, .. }
                if (*tick, *index) != (self.town.tick(), self.town.state().commands) =>
            {
                Err(format!("command {index} of tick {tick} does not follow tick {}", self.town.tick()))
            }
            Entry::Reload { tick, sources, .. } => {
                let odd = |why: String| format!("tick {tick}: what was reloaded there makes no town: {why}");
                let rules = Rules::new((**sources).clone()).map_err(|error| odd(error.to_string()))?;
                let done = self.town.reload(&Arc::new(rules)).map_err(|refusal| odd(refusal.message));
                told(&self.town);
                self.town.clear_events();
                done
            }
            Entry::Command { command, .. } => {
                let done = self.town.apply(command).map(drop).map_err(|refusal| refusal.message);
                told(&self.town);
                self.town.clear_events();
                done
            }
        }
    }
}

/// A run as it was when it stopped.
pub struct RecoveredRun {
    /// The town at the last journalled tick.
    pub town: Town,
    /// The newest journal file's header, with the policy that chose last and the texts the town has now; of a run without a
    /// journal, what its newest snapshot says.
    pub header: Header,
    /// The newest journal file and how much of it is whole; nothing when none leads up to the town, so that a further one
    /// must begin.
    pub journal: Option<(PathBuf, u64)>,
    /// Tick and digest of the packed town, or of the new one, that entries were played into.
    pub base: (u64, String),
    /// Commands the journal holds: (issuer, `cmd_id`) → tick. Two issuers may use one id.
    pub commands: BTreeMap<(String, String), u64>,
    /// What an operator should know, a line each.
    pub notes: Vec<String>,
}

/// Rebuilds a run: from its newest snapshot that is whole, of this run and in accord with the journal, else from the journal's
/// own beginning.
///
/// # Errors
/// What is missing or damaged, by file.
pub fn recover_run(home: &Home, snapshot_root: &str, run_id: &str) -> Result<RecoveredRun, String> {
    let mut notes = Vec::new();
    let mut contents: Vec<(PathBuf, Contents)> = Vec::new();
    for file in home.journal_files(run_id) {
        let read = journal::read(&file).map_err(|error| error.to_string())?;
        contents.push((file, read));
    }
    let folder = home.snapshots(snapshot_root, run_id);
    let Some((newest_path, newest)) = contents.last() else {
        let found = newest(&folder, &mut notes, Ok);
        return recover_from_snapshot(home, run_id, found, notes);
    };
    let (mut commands, mut policy) = (BTreeMap::new(), None);
    for entry in contents.iter().flat_map(|(_, read)| &read.entries) {
        if let Entry::Command { tick, cmd_id, issuer, .. }
        | Entry::Policy { tick, cmd_id, issuer, .. }
        | Entry::Reload { tick, cmd_id, issuer, .. } = entry
            && issuer != super::promotion::TOWN
        {
            commands.insert((issuer.clone(), cmd_id.clone()), *tick);
        }
        if let Entry::Policy { to, .. } = entry {
            policy = Some(to.clone());
        }
    }
    let Played { player, from, base, end } = played(&contents, &folder, &mut notes)?;
    for (number, (file, read)) in contents.iter().enumerate() {
        note_torn_bytes(file, read, number + 1 == contents.len(), &mut notes);
    }
    notes.push(format!(
        "resumed at tick {}, from tick {} of {}; {} digests of the journal are equal.",
        player.town.tick(),
        from.1,
        from.0.display(),
        player.checked
    ));
    let journal = if reached(&player.town) > end {
        notes.push(format!(
            "{}: it ends at tick {}, before the snapshot; another goes on.",
            newest_path.display(),
            end.0
        ));
        None
    } else {
        Some((newest_path.clone(), newest.whole))
    };
    let header = newest.header.clone();
    let sources = player.town.rules().sources.clone();
    let header = Header { policy: policy.unwrap_or_else(|| header.policy.clone()), sources, ..header };
    Ok(RecoveredRun { town: player.town, header, journal, base, commands, notes })
}

/// A journal played from somewhere to its end.
struct Played {
    player: JournalReplayer,
    /// The file it began with, and at which tick.
    from: (PathBuf, u64),
    /// As [`RecoveredRun::base`].
    base: (u64, String),
    /// What the journal leads up to: a tick, and how many commands before it.
    end: (u64, u64),
}

/// From the newest snapshot that accords with the journal; what was passed over is noted.
fn played(contents: &[(PathBuf, Contents)], folder: &Path, notes: &mut Vec<String>) -> Result<Played, String> {
    let mut first = None;
    let found = newest(folder, notes, |found| {
        check_same_run(&found.town, &contents[0].1.header)?;
        replay_all(contents, JournalReplayer::from_town(found.town), &found.path).map_err(|why| {
            let odd = format!("it and the journal disagree ({why})");
            first.get_or_insert(why);
            odd
        })
    });
    if let Some(played) = found {
        return Ok(played);
    }
    replay_all(contents, based(&contents[0])?, &contents[0].0).map_err(|why| first.unwrap_or(why))
}

/// Plays what the player has not behind it yet.
fn replay_all(contents: &[(PathBuf, Contents)], mut player: JournalReplayer, from: &Path) -> Result<Played, String> {
    let began = player.town.tick();
    let mut base = (began, player.town.digest());
    let mut end = (0, 0);
    for file in contents {
        let before = reached(&player.town);
        if let Some(own) = player.begin(&file.1.header).map_err(|why| format!("{}: {why}", file.0.display()))? {
            end = own;
            if own > before {
                player.checked = 0;
                base = (player.town.tick(), player.town.digest());
            }
        }
        for entry in &file.1.entries {
            player.play(entry, |_| {}).map_err(|why| {
                format!("{}: {why}. A journal before it may be missing; put back a copy of it", file.0.display())
            })?;
            end = match entry {
                Entry::Ticks { to, .. } => (*to, end.1),
                Entry::Command { tick, index, .. } | Entry::Reload { tick, index, .. } => (*tick, index + 1),
                Entry::Policy { .. } => end,
            };
        }
    }
    Ok(Played { player, from: (from.to_owned(), began), base, end })
}

/// That a packed town can be one of the run whose journal begins so: of one seed, with no setting that a running town does not
/// take set otherwise.
fn check_same_run(town: &Town, header: &Header) -> Result<(), String> {
    let seed = match &header.base {
        Base::Seed(seed) => *seed,
        Base::Snapshot(bytes) => snapshot::load(bytes).map_err(|why| why.to_string())?.state().seed,
    };
    if town.state().seed != seed {
        return Err(format!("it is of another run: its seed is {}, this run's {seed}", town.state().seed));
    }
    let other = diff(&header.sources.config, &town.rules().config).into_iter().find(|it| !it.hot);
    let said = |value: Option<String>| value.unwrap_or_else(|| "missing".to_owned());
    other.map_or(Ok(()), |it| {
        Err(format!("it is of another run: its {} is {}, this run's {}", it.key, said(it.right), said(it.left)))
    })
}

/// How far a town has come: two at one tick differ in the number of commands alone.
pub fn reached(town: &Town) -> (u64, u64) {
    (town.tick(), town.state().commands)
}

fn based((file, read): &(PathBuf, Contents)) -> Result<JournalReplayer, String> {
    JournalReplayer::from_header(&read.header).map_err(|why| format!("{}: {why}", file.display()))
}

fn note_torn_bytes(file: &Path, read: &Contents, newest: bool, notes: &mut Vec<String>) {
    let what = if newest { "torn bytes at the end were cut off" } else { "bytes at its end are damaged" };
    if read.torn > 0 {
        notes.push(format!("{}: {} {what}.", file.display(), read.torn));
    }
}

/// What is made of the newest snapshot that is whole and that something can be made of; what was passed over is noted.
fn newest<T>(folder: &Path, notes: &mut Vec<String>, mut make: impl FnMut(Found) -> Result<T, String>) -> Option<T> {
    for file in snapshots::of(folder).iter().rev() {
        match snapshots::read(file).and_then(&mut make) {
            Ok(made) => return Some(made),
            Err(why) => notes.push(format!("{}: {why}. It was passed over.", file.display())),
        }
    }
    None
}

/// A run whose journal is gone goes on from its newest snapshot, and with a further journal.
fn recover_from_snapshot(
    home: &Home,
    run_id: &str,
    found: Option<Found>,
    mut notes: Vec<String>,
) -> Result<RecoveredRun, String> {
    let missing = home.journal(run_id, 0);
    let Some(Found { town, path, .. }) = found else {
        return Err(format!(
            "{}: the journal of this run is missing, and no snapshot of it is whole; put one of them back, or name an \
             earlier run behind `--resume`",
            missing.display()
        ));
    };
    notes.push(format!("{}: the journal of this run is missing; another begins.", missing.display()));
    notes.push(format!("resumed at tick {}, from {}.", town.tick(), path.display()));
    let rules = town.rules();
    let header = Header {
        version: journal::VERSION,
        run_id: run_id.to_owned(),
        shard: rules.config.shard.clone(),
        sources: rules.sources.clone(),
        // Which one it was is told by nothing that is left.
        policy: String::new(),
        base: Base::Seed(town.state().seed),
    };
    let base = (town.tick(), town.digest());
    Ok(RecoveredRun { town, header, journal: None, base, commands: BTreeMap::new(), notes })
}
