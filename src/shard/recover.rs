//! Coming back: a run's town rebuilt from its newest good snapshot and the journal after it, digest for digest.
//!
//! Also what `townlet replay` runs. No policy is asked: the options are in the journal. Rule: "Journal".

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use townlet_learn::Recorded;
use townlet_town::{OptionKind, Rules, Town, snapshot};

use super::home::{Home, snapshot_files};
use super::journal::{self, Base, Contents, Entry, Header};

/// A town that journal entries are played into.
pub struct Player {
    /// As far as it has come.
    pub town: Town,
    recorded: Recorded,
    /// Digests found equal.
    pub checked: u64,
}

impl Player {
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
        Self { town, recorded: Recorded::default(), checked: 0 }
    }

    /// Plays one entry; what the town already has behind it is passed over. `each_tick` sees the town after every tick.
    ///
    /// # Errors
    /// Where and how the journal and the town disagree.
    pub fn play(&mut self, entry: &Entry, mut each_tick: impl FnMut(&Town)) -> Result<(), String> {
        match entry {
            Entry::Ticks { to, .. } if *to <= self.town.tick() => Ok(()),
            Entry::Ticks { from, to, options, digest } => {
                if *from != self.town.tick() {
                    return Err(format!("the journal goes on at tick {from}, the town is at {}", self.town.tick()));
                }
                let known: Option<Vec<OptionKind>> = options.iter().map(|option| OptionKind::at(*option)).collect();
                self.recorded.extend(known.ok_or(format!("tick {from}: an option that does not exist"))?);
                while self.town.tick() < *to {
                    self.town.step(&mut self.recorded);
                    self.town.clear_events();
                    each_tick(&self.town);
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
            Entry::Command { index, .. } if *index < self.town.state().commands => Ok(()),
            Entry::Command { tick, command, index, .. } => {
                if (*tick, *index) != (self.town.tick(), self.town.state().commands) {
                    return Err(format!("command {index} of tick {tick} does not follow tick {}", self.town.tick()));
                }
                let done = self.town.apply(command).map(drop).map_err(|refusal| refusal.message);
                self.town.clear_events();
                done
            }
        }
    }
}

/// A run as it was when it stopped.
pub struct Rebuilt {
    /// The town at the last journalled tick.
    pub town: Town,
    /// The newest journal file's header, with the policy that chose last.
    pub header: Header,
    /// The newest journal file and how much of it is whole.
    pub journal: (PathBuf, u64),
    /// Commands the journal holds: (issuer, `cmd_id`) → tick. Two issuers may use one id.
    pub commands: BTreeMap<(String, String), u64>,
    /// What an operator should know, a line each.
    pub notes: Vec<String>,
}

/// Rebuilds a run.
///
/// # Errors
/// What is missing or damaged, by file.
pub fn rebuild(home: &Home, snapshot_root: &str, run_id: &str) -> Result<Rebuilt, String> {
    let mut notes = Vec::new();
    let files = home.journals_of(run_id);
    let mut contents: Vec<(PathBuf, Contents)> = Vec::new();
    for file in files {
        let read = journal::read(&file).map_err(|error| error.to_string())?;
        contents.push((file, read));
    }
    let Some((newest_path, newest)) = contents.last() else {
        return Err(format!("run {run_id} has no journal in {}", home.journals().display()));
    };
    if newest.torn > 0 {
        notes.push(format!("{}: {} torn bytes at the end were cut off.", newest_path.display(), newest.torn));
    }
    for (file, read) in contents.iter().take(contents.len() - 1) {
        if read.torn > 0 {
            notes.push(format!("{}: {} bytes at its end are damaged.", file.display(), read.torn));
        }
    }
    let (mut header, journal) = (newest.header.clone(), (newest_path.clone(), newest.whole));
    let mut commands = BTreeMap::new();
    for entry in contents.iter().flat_map(|(_, read)| &read.entries) {
        if let Entry::Command { tick, cmd_id, issuer, .. } | Entry::Policy { tick, cmd_id, issuer, .. } = entry {
            commands.insert((issuer.clone(), cmd_id.clone()), *tick);
        }
        if let Entry::Policy { to, .. } = entry {
            header.policy.clone_from(to);
        }
    }
    let mut player = start(home, snapshot_root, run_id, &contents, &mut notes)?;
    let from = player.town.tick();
    for (file, read) in &contents {
        // A later file with a snapshot of its own stands for whatever was lost before it.
        if let Base::Snapshot(_) = read.header.base {
            let based = Player::from_header(&read.header)?;
            // A command lost at this very tick shows in the number of commands alone.
            let reached = |player: &Player| (player.town.tick(), player.town.state().commands);
            if reached(&based) > reached(&player) {
                player = based;
            }
        }
        for entry in &read.entries {
            player.play(entry, |_| {}).map_err(|why| format!("{}: {why}", file.display()))?;
        }
    }
    notes.push(if player.town.tick() > from {
        format!(
            "resumed at tick {}, from the snapshot of tick {from}; {} digests of the journal are equal.",
            player.town.tick(),
            player.checked
        )
    } else {
        format!("resumed at tick {from}, from its snapshot.")
    });
    Ok(Rebuilt { town: player.town, header, journal, commands, notes })
}

/// The newest snapshot that is whole; else what the first journal file starts from.
fn start(
    home: &Home,
    snapshot_root: &str,
    run_id: &str,
    contents: &[(PathBuf, Contents)],
    notes: &mut Vec<String>,
) -> Result<Player, String> {
    for file in snapshot_files(&home.snapshots(snapshot_root, run_id)).iter().rev() {
        let loaded = std::fs::read(file).map_err(|error| error.to_string());
        match loaded.and_then(|bytes| snapshot::load(&bytes).map_err(|error| error.to_string())) {
            Ok(town) => return Ok(Player::from_town(town)),
            Err(why) => notes.push(format!("{}: {why}. The one before it is used.", file.display())),
        }
    }
    let (file, first) = &contents[0];
    Player::from_header(&first.header).map_err(|why| format!("{}: {why}", file.display()))
}
