//! A folder of checkpoints: shadows of a training, or releases.
//!
//! Owns where files stand and that each appears whole or not at all. Rule: "Checkpoints".

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Checkpoint, CheckpointError, TrainingState};

/// Ending of a policy's file.
const POLICY: &str = "safetensors";
/// Ending of what a training goes on from.
const TRAINING: &str = "training";
/// Most bytes of a file that is read.
const MAX_BYTES: u64 = 1024 * 1024 * 1024;
/// States of one training that are kept: the newest, and one before in case it is lost.
const KEPT: usize = 2;

/// A folder of checkpoints, which need not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry(PathBuf);

impl Registry {
    /// The registry at a folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Where a checkpoint's policy stands.
    pub fn path(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.{POLICY}"))
    }

    /// Ids of everything here, sorted.
    pub fn ids(&self) -> Vec<String> {
        self.named(POLICY)
    }

    /// Loads and checks a checkpoint.
    ///
    /// # Errors
    /// The fault by its name.
    pub fn load(&self, id: &str) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::decode(id, &self.bytes(id)?)
    }

    /// A checkpoint's file as it is, unchecked.
    ///
    /// # Errors
    /// That there is none, or the disk's.
    pub fn bytes(&self, id: &str) -> Result<Vec<u8>, CheckpointError> {
        self.read(id, POLICY)
    }

    /// Writes a policy whose bytes have this name; one that is there already is left as it is.
    ///
    /// # Errors
    /// The disk's; then nothing of it is there.
    pub fn store(&self, id: &str, bytes: &[u8]) -> Result<(), CheckpointError> {
        self.write(&self.path(id), bytes)
    }

    /// Writes what a training goes on from beside its policy, and removes older ones of the same training.
    ///
    /// # Errors
    /// The disk's; then nothing of it is there.
    pub fn save(&self, saved: &TrainingState) -> Result<(), CheckpointError> {
        self.write(&self.0.join(format!("{}.{TRAINING}", saved.policy)), &saved.encode())?;
        let mut older: Vec<TrainingState> =
            self.trainings().into_iter().filter(|other| other.run == saved.run).collect();
        older.sort_by_key(|other| other.progress.updates);
        let beyond = older.len().saturating_sub(KEPT);
        for other in &older[..beyond] {
            let path = self.0.join(format!("{}.{TRAINING}", other.policy));
            fs::remove_file(&path).map_err(CheckpointError::disk(path))?;
        }
        Ok(())
    }

    /// What a training goes on from at this checkpoint.
    ///
    /// # Errors
    /// The fault by its name.
    pub fn training(&self, id: &str) -> Result<TrainingState, CheckpointError> {
        let bytes = self.read(id, TRAINING)?;
        TrainingState::decode(id, &bytes)
    }

    /// The newest training here that is wanted and can be resumed: the last run by name, at its last checkpoint.
    pub fn newest_training(&self, is_wanted: impl Fn(&TrainingState) -> bool) -> Option<TrainingState> {
        let wanted = self.trainings().into_iter().filter(is_wanted);
        wanted.max_by(|a, b| (&a.run, a.progress.updates).cmp(&(&b.run, b.progress.updates)))
    }

    /// What is wrong with trainings that are passed over, by name.
    pub fn damaged_trainings(&self) -> Vec<CheckpointError> {
        self.named(TRAINING).iter().filter_map(|id| self.training(id).err()).collect()
    }

    /// Those that can be read; a damaged one is as if it were not there, and the one before it is gone on with.
    fn trainings(&self) -> Vec<TrainingState> {
        self.named(TRAINING).iter().filter_map(|id| self.training(id).ok()).collect()
    }

    fn named(&self, ending: &str) -> Vec<String> {
        let files = fs::read_dir(&self.0).into_iter().flatten().flatten().map(|entry| entry.path());
        let of_kind = files.filter(|path| path.extension().is_some_and(|found| found == ending));
        let mut ids: Vec<String> = of_kind.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
        ids.sort();
        ids
    }

    fn read(&self, id: &str, ending: &str) -> Result<Vec<u8>, CheckpointError> {
        let plain =
            !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        let path = self.0.join(format!("{id}.{ending}"));
        if !plain || !path.is_file() {
            return Err(CheckpointError::Missing { id: id.into(), folder: self.0.clone() });
        }
        let length = fs::metadata(&path).map_err(CheckpointError::disk(&path))?.len();
        if length > MAX_BYTES {
            return Err(CheckpointError::unreadable(id, format!("it has {length} bytes")));
        }
        fs::read(&path).map_err(CheckpointError::disk(path))
    }

    /// Beside it, synced, and renamed into place; then the folder is synced as well.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
        fs::create_dir_all(&self.0).map_err(CheckpointError::disk(&self.0))?;
        let beside = path.with_extension("new");
        let write = || {
            let mut file = File::create(&beside)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&beside, path)?;
            File::open(&self.0)?.sync_all()
        };
        write().map_err(|error| {
            // A piece of a file would keep the room that is missing.
            drop(fs::remove_file(&beside));
            CheckpointError::disk(path)(error)
        })
    }
}
