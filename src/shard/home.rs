//! A shard's files: where each kind lives under its home folder, how runs are named, and who may run at a time.
//!
//! Owns paths and locks, not contents. Folders are made when first needed. Rule: "Home folder and runs".

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// A home folder.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

impl Home {
    /// The home at a folder, which need not exist yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The program's own log.
    pub fn log(&self) -> PathBuf {
        self.0.join("logs/townlet.log")
    }

    /// Incidents, a folder each.
    pub fn incidents(&self) -> PathBuf {
        self.0.join("ops/incidents")
    }

    /// Audit logs.
    pub fn console(&self) -> PathBuf {
        self.0.join("logs/console")
    }

    /// Journals.
    pub fn journals(&self) -> PathBuf {
        self.0.join("logs/journal")
    }

    /// A run's journal file, by the tick it starts at.
    pub fn journal(&self, run_id: &str, from: u64) -> PathBuf {
        self.journals().join(format!("{run_id}-{from:012}.tlj"))
    }

    /// A further journal file of a run at this tick. A paused town may begin several at one tick; none is written over.
    pub fn unused_journal_path(&self, run_id: &str, from: u64) -> PathBuf {
        let mut names = (from.max(1)..).map(|tick| self.journal(run_id, tick));
        names.find(|path| !path.exists()).expect("ticks do not run out")
    }

    /// A run's journal files, oldest first.
    pub fn journal_files(&self, run_id: &str) -> Vec<PathBuf> {
        let prefix = format!("{run_id}-");
        let mut files = files(&self.journals(), "tlj");
        files.retain(|file| {
            let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            stem.strip_prefix(&prefix)
                .is_some_and(|tick| tick.len() == 12 && tick.bytes().all(|byte| byte.is_ascii_digit()))
        });
        files
    }

    /// Archives of the raw telemetry stream.
    pub fn archives(&self) -> PathBuf {
        self.0.join("logs/telemetry")
    }

    /// Rows of trainings.
    pub fn trainings(&self) -> PathBuf {
        self.0.join("logs/training")
    }

    /// A run's snapshots.
    pub fn snapshots(&self, root: &str, run_id: &str) -> PathBuf {
        self.0.join(root).join("auto").join(run_id)
    }

    /// The operators' log of exit decisions.
    pub fn employment_log(&self) -> PathBuf {
        self.0.join("ops/employment.md")
    }

    /// The operators' log of changes of a release.
    pub fn rollouts(&self) -> PathBuf {
        self.0.join("ops/rollouts.md")
    }

    /// The key of a shard's hashed names.
    pub fn privacy_key(&self, shard: &str) -> PathBuf {
        self.0.join("ops").join(format!("{}.privacy-key", slug(shard)))
    }

    /// Runs of a shard that have a journal or an audit log, oldest first.
    pub fn runs(&self, shard: &str) -> Vec<String> {
        let prefix = format!("{}-", slug(shard));
        let logs = files(&self.console(), "jsonl");
        let mut runs: Vec<String> = files(&self.journals(), "tlj")
            .iter()
            .chain(&logs)
            .filter_map(|file| file.file_stem()?.to_str()?.rsplit_once('-').map(|(run, _)| run.to_owned()))
            .filter(|run| run.strip_prefix(&prefix).is_some_and(|rest| rest.len() == STAMP_LENGTH))
            .collect();
        runs.sort();
        runs.dedup();
        runs
    }

    /// Runs of all shards that have a journal or an audit log, oldest first.
    pub fn all_runs(&self) -> Vec<String> {
        let files = files(&self.journals(), "tlj").into_iter().chain(files(&self.console(), "jsonl"));
        let run = |file: PathBuf| file.file_stem()?.to_str()?.rsplit_once('-').map(|(run, _)| run.to_owned());
        let stamp =
            |run: &String| run.len().checked_sub(STAMP_LENGTH).and_then(|from| run.get(from..)).map(str::to_owned);
        let mut runs: Vec<String> = files.filter_map(run).filter(|run| stamp(run).is_some()).collect();
        runs.sort_by_key(|run| (stamp(run), run.clone()));
        runs.dedup();
        runs
    }

    /// Claims a shard's name in this home for a run, until the claim is dropped.
    ///
    /// # Errors
    /// Who holds it, or why it cannot be claimed.
    pub fn claim(&self, shard: &str, run_id: &str) -> Result<ShardLock, String> {
        let path = self.lock(shard);
        let say = |error: io::Error| format!("{}: {error}", path.display());
        std::fs::create_dir_all(self.0.join("logs")).map_err(say)?;
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(say)?;
        if file.try_lock().is_err() {
            let mut holder = String::new();
            drop(file.read_to_string(&mut holder));
            return Err(format!(
                "a shard named `{shard}` is running in this home already (process {}). Stop it, or give this one another \
                 name (`shard:` in the configuration) or another home (`--home`).",
                holder.split_whitespace().next().unwrap_or("unknown")
            ));
        }
        file.set_len(0).map_err(say)?;
        write!(file, "{} {run_id}", std::process::id()).map_err(say)?;
        Ok(ShardLock { _file: file })
    }

    /// The run that claimed a shard's name last, when something of it is there: the one people watched, whatever batches ran since.
    pub fn claimed(&self, shard: &str) -> Option<String> {
        let holder = townlet_files::text(&self.lock(shard)).ok()?;
        let run = holder.split_whitespace().nth(1)?.to_owned();
        self.runs(shard).contains(&run).then_some(run)
    }

    fn lock(&self, shard: &str) -> PathBuf {
        self.0.join("logs").join(format!("{}.lock", slug(shard)))
    }
}

/// A shard's name, held.
#[derive(Debug)]
pub struct ShardLock {
    _file: File,
}

/// `yyyymmdd-hhmmss-mmmxxx`.
const STAMP_LENGTH: usize = 22;

/// A new run's name: shard, time to the millisecond, and chance for runs of one millisecond. Later runs sort later.
pub fn new_run_id(shard: &str) -> String {
    let chance = uuid::Uuid::now_v7().simple().to_string();
    run_id_at(shard, jiff::Timestamp::now(), &chance[29..])
}

/// The name of a run that starts at this moment; `chance` is three characters.
pub(super) fn run_id_at(shard: &str, now: jiff::Timestamp, chance: &str) -> String {
    let now = now.to_zoned(jiff::tz::TimeZone::UTC);
    format!("{}-{}-{:03}{chance}", slug(shard), now.strftime("%Y%m%d-%H%M%S"), now.millisecond())
}

/// A name that is safe in a file's name.
pub(super) fn slug(name: &str) -> String {
    let safe = |character: char| if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '_' };
    name.chars().map(safe).collect()
}

/// Files of a folder with this ending, by name; none when it cannot be read.
pub(super) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

/// Writes a file so that its name always holds the old or the new content, whole: beside it, synced, renamed, folder
/// synced.
///
/// # Errors
/// What the system says.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use fail::fail_point;
    // The parent of a bare name is an empty path, which names no folder.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let beside = path.with_extension("part");
    fail_point!("replace_write", |_| Err(io::Error::other("fail point replace_write")));
    let mut file = File::create(&beside)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written {
        drop(std::fs::remove_file(&beside));
        return Err(error);
    }
    fail_point!("replace_rename", |_| Err(io::Error::other("fail point replace_rename")));
    std::fs::rename(&beside, path)?;
    fail_point!("replace_sync", |_| Err(io::Error::other("fail point replace_sync")));
    File::open(folder)?.sync_all()
}
