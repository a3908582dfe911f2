//! The home folder: paths of every kind of file, run ids, and the lock of a shard's name. Rule: "Home folder and runs".

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use townlet_files::Identity;

/// A home folder.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

macro_rules! paths {
    ($($(#[$meaning:meta])* $name:ident: $path:literal;)+) => {
        impl Home {$(
            $(#[$meaning])*
            pub fn $name(&self) -> PathBuf {
                self.0.join($path)
            }
        )+}
    };
}

paths! {
    /// The program's own log.
    log: "logs/townlet.log";
    /// Folder of incidents, one subfolder each.
    incidents: "ops/incidents";
    /// Folder of answers to what-if questions.
    what_if: "ops/whatif";
    /// Folder of audit logs.
    console: "logs/console";
    /// Folder of journals.
    journals: "logs/journal";
    /// Folder of archives of the raw telemetry stream.
    archives: "logs/telemetry";
    /// The runs, trainings and sweeps of this home in the order in which they began, an id a line. Clocks may be set back.
    run_list: "logs/runs";
    /// Folder of training metrics.
    trainings: "logs/training";
    /// The sealing key of the home's audit logs; there is one if `townlet audit seal setup` has made it.
    seal_key: "ops/seal.key";
    /// The Markdown log of exit decisions.
    employment_log: "ops/employment.md";
    /// The Markdown log of release changes.
    rollouts: "ops/rollouts.md";
}

impl Home {
    /// The home at a folder, which need not exist; subfolders are created when needed.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// ` --home DIR` for a command line that is to be pasted, quoted for a shell; empty for the current folder.
    pub fn option(&self) -> String {
        match self.0.display().to_string().as_str() {
            "." | "" => String::new(),
            folder => format!(" --home {}", shell_word(folder)),
        }
    }

    /// A segment of a run's journal, by the tick it starts at.
    pub fn journal(&self, run_id: &str, from: u64) -> PathBuf {
        self.journals().join(format!("{run_id}-{from:012}.tlj"))
    }

    /// A free path for the next segment of a run. A paused town may start several at one tick; none is overwritten.
    pub fn unused_journal_path(&self, run_id: &str, from: u64) -> PathBuf {
        let mut names = (from.max(1)..).map(|tick| self.journal(run_id, tick));
        names.find(|path| !path.exists()).expect("ticks do not run out")
    }

    /// The copy of what a run's process printed.
    pub fn output(&self, run_id: &str) -> PathBuf {
        self.0.join("logs/output").join(format!("{run_id}.log"))
    }

    /// The segments of a run's journal, oldest first.
    pub fn journal_files(&self, run_id: &str) -> Vec<PathBuf> {
        let prefix = format!("{run_id}-");
        let mut files = files(&self.journals(), "tlj");
        files.retain(|file| {
            let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            stem.strip_prefix(&prefix).is_some_and(|tick| tick.len() == TICK_DIGITS) && journal_tick(file).is_some()
        });
        files
    }

    /// Folder of a run's keyframes.
    pub fn keyframes(&self, run_id: &str) -> PathBuf {
        self.0.join("logs/keyframes").join(run_id)
    }

    /// Folder of a run's snapshots.
    pub fn snapshots(&self, root: &str, run_id: &str) -> PathBuf {
        self.0.join(root).join("auto").join(run_id)
    }

    /// The key of a shard's pseudonyms.
    pub fn privacy_key(&self, shard: &str) -> PathBuf {
        self.0.join("ops").join(format!("{}.privacy-key", slug(shard)))
    }

    /// The key with which a shard signs checkpoints of its audit log.
    pub fn checkpoint_key(&self, shard: &str) -> PathBuf {
        self.0.join("ops").join(format!("{}.checkpoint-key", slug(shard)))
    }

    /// Run ids of a shard that have a journal or an audit log, oldest first.
    pub fn runs(&self, shard: &str) -> Vec<String> {
        let prefix = format!("{}-", slug(shard));
        let mut runs = self.all_runs();
        runs.retain(|run| run.strip_prefix(&prefix).is_some_and(|stamp| stamp.len() == STAMP_LENGTH));
        runs
    }

    /// Run ids of all shards that have a journal or an audit log, oldest first.
    pub fn all_runs(&self) -> Vec<String> {
        let files = files(&self.journals(), "tlj").into_iter().chain(files(&self.console(), "jsonl"));
        let runs = files.filter_map(|file| run_of(&file));
        let mut runs = self.oldest_first(runs.filter(|run| stamp(run).len() == STAMP_LENGTH));
        runs.dedup();
        runs
    }

    /// Sorts runs of any kind by their beginning: those in the list in its order, after the others in the order of the times in
    /// their names.
    pub fn oldest_first(&self, runs: impl IntoIterator<Item = String>) -> Vec<String> {
        let list = townlet_files::read(&self.run_list()).unwrap_or_default();
        let list = String::from_utf8_lossy(&list);
        let places: BTreeMap<&str, usize> = list.lines().zip(1..).collect();
        let mut runs: Vec<String> = runs.into_iter().collect();
        runs.sort_by_cached_key(|run| (places.get(run.as_str()).copied(), stamp(run).to_owned(), run.clone()));
        runs
    }

    /// Adds a run, a training or a sweep to the list, before it has any file. Returns its number in the home: numbers rise, whatever
    /// the clock says.
    pub fn list_run(&self, run_id: &str) -> io::Result<u64> {
        let path = self.run_list();
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        std::fs::create_dir_all(self.0.join("logs")).map_err(named)?;
        let options = &mut OpenOptions::new();
        let mut file = townlet_files::open_own(&path, options.create(true).append(true).read(true)).map_err(named)?;
        // Two processes never take one number.
        file.lock().map_err(named)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(named)?;
        // The first newline ends a line that a crash has cut.
        file.write_all(format!("\n{run_id}\n").as_bytes()).and_then(|()| file.sync_data()).map_err(named)?;
        Ok(numbered(&text).len() as u64 + 1)
    }

    /// The number of a run, a training or a sweep in the home; `None` if the list does not hold it.
    pub fn run_number(&self, run_id: &str) -> Option<u64> {
        let text = townlet_files::read(&self.run_list()).ok()?;
        let text = String::from_utf8_lossy(&text);
        let place = numbered(text.as_bytes()).iter().position(|line| *line == run_id.as_bytes())?;
        Some(place as u64 + 1)
    }

    /// The newest run with an audit log that began before this one.
    pub fn run_before(&self, run_id: &str) -> Option<String> {
        let logs: BTreeSet<String> = files(&self.console(), "jsonl").iter().filter_map(|file| run_of(file)).collect();
        let runs = self.oldest_first(logs.into_iter().chain([run_id.to_owned()]));
        let own = runs.iter().position(|run| run == run_id)?;
        runs[..own].last().cloned()
    }

    /// Locks a shard's name in this home for a run, until the lock is dropped. The error names the process that holds it.
    pub fn lock_shard(&self, shard: &str, run_id: &str) -> Result<ShardLock, String> {
        let path = self.lock_file(shard);
        let say = |error: io::Error| format!("{}: {error}", path.display());
        std::fs::create_dir_all(self.0.join("logs")).map_err(say)?;
        let mut file =
            townlet_files::open_own(&path, OpenOptions::new().read(true).write(true).create(true).truncate(false))
                .map_err(say)?;
        if file.try_lock().is_err() {
            let mut holder = String::new();
            drop(file.read_to_string(&mut holder));
            return Err(format!(
                "a shard named `{shard}` is running in this home already (process {}). Stop it, or use another name \
                 (`shard:` in the configuration) or another home (`--home`).",
                holder.split_whitespace().next().unwrap_or("unknown")
            ));
        }
        let content = format!("{} {run_id}", std::process::id());
        file.set_len(0).and_then(|()| file.write_all(content.as_bytes())).map_err(say)?;
        Ok(ShardLock { path, content, file: Mutex::new(file) })
    }

    /// The last run that locked a shard's name, if its files exist. Batch runs do not lock.
    pub fn last_locked_run(&self, shard: &str) -> Option<String> {
        let holder = townlet_files::read_to_string(&self.lock_file(shard)).ok()?;
        let run = holder.split_whitespace().nth(1)?.to_owned();
        self.runs(shard).contains(&run).then_some(run)
    }

    /// The last run that locked each shard's name, as far as its files exist.
    pub fn locked_runs(&self) -> Vec<String> {
        let known = self.all_runs();
        let runs = files(&self.0.join("logs"), "lock").into_iter().filter_map(|file| {
            let holder = townlet_files::read_to_string(&file).ok()?;
            holder.split_whitespace().nth(1).map(str::to_owned).filter(|run| known.contains(run))
        });
        runs.collect()
    }

    fn lock_file(&self, shard: &str) -> PathBuf {
        self.0.join("logs").join(format!("{}.lock", slug(shard)))
    }
}

/// The lock of a shard's name.
#[derive(Debug)]
pub struct ShardLock {
    path: PathBuf,
    /// The process and the run.
    content: String,
    file: Mutex<File>,
}

impl ShardLock {
    /// Makes sure that the file under the name is the one that is locked. If somebody else has changed it, it is made and locked
    /// again. The error, a sentence, says why that was not possible.
    pub(super) fn keep(&self) -> Result<(), String> {
        let mut held = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let said = |error: io::Error| {
            format!("{}: the lock of this shard cannot be made again: {error}.", self.path.display())
        };
        let identity = Identity::of(&held).map_err(said)?;
        let Some(disturbance) = identity.disturbance(&self.path, self.content.len() as u64).map_err(said)? else {
            return Ok(());
        };
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(said)?;
        }
        let options = &mut OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = townlet_files::open_own(&self.path, options).map_err(said)?;
        let is_same = identity == Identity::of(&file).map_err(said)?;
        // A file that is only shorter or longer is locked by this process already.
        if !is_same && file.try_lock().is_err() {
            return Err(format!("{} {disturbance}, and another process holds the lock.", self.path.display()));
        }
        file.set_len(0).and_then(|()| file.write_all(self.content.as_bytes())).map_err(said)?;
        if !is_same {
            *held = file;
        }
        Ok(())
    }
}

/// The lines of the list of runs, by number from 1.
fn numbered(list: &[u8]) -> Vec<&[u8]> {
    list.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect()
}

/// The run of a segment of a journal or an audit log.
fn run_of(file: &Path) -> Option<String> {
    Some(file.file_stem()?.to_str()?.rsplit_once('-')?.0.to_owned())
}

/// Digits of the tick in the name of a journal's segment.
const TICK_DIGITS: usize = 12;

/// The tick in the name of a journal's segment. It may be later than the first tick of the segment, never earlier.
pub(crate) fn journal_tick(path: &Path) -> Option<u64> {
    let (_, tick) = path.file_stem()?.to_str()?.rsplit_once('-')?;
    tick.bytes().all(|byte| byte.is_ascii_digit()).then(|| tick.parse().ok())?
}

/// `yyyymmdd-hhmmss-mmmxxx`.
const STAMP_LENGTH: usize = 22;

/// The end of a run id: its time and random characters, and what a training may have after them. Names of shards have no dash.
fn stamp(run_id: &str) -> &str {
    run_id.split_once('-').map_or("", |(_, stamp)| stamp)
}

/// A new run id: shard, time to the millisecond and three random characters. Later runs sort later.
pub fn new_run_id(shard: &str) -> String {
    let random = uuid::Uuid::now_v7().simple().to_string();
    run_id_at(shard, jiff::Timestamp::now(), &random[29..])
}

/// The id of a run that starts at `now`; `random` is three characters.
pub(super) fn run_id_at(shard: &str, now: jiff::Timestamp, random: &str) -> String {
    let now = now.to_zoned(jiff::tz::TimeZone::UTC);
    format!("{}-{}-{:03}{random}", slug(shard), now.strftime("%Y%m%d-%H%M%S"), now.millisecond())
}

/// A name reduced to characters that are safe in a file name.
pub(super) fn slug(name: &str) -> String {
    let safe = |character: char| if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '_' };
    name.chars().map(safe).collect()
}

/// Files of a folder with this extension, sorted by name; none if the folder cannot be read.
pub(super) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}
/// A word for a shell.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |character: char| character.is_alphanumeric() || "/._-+:,@".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
