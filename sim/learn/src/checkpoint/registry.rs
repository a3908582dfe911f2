//! A folder of checkpoints, either of trainings or of releases. Files appear completely or not at all. Rule: "Checkpoints".

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::training_state::TrainingHeader;
use super::{Checkpoint, CheckpointError, TrainingState};

/// Extension of a policy.
const POLICY: &str = "safetensors";
/// Extension of a training state.
const TRAINING: &str = "training";
/// Size limit of a file that is read.
const MAX_BYTES: u64 = 1024 * 1024 * 1024;
/// Training states kept per run: the newest, and one before in case it is damaged.
const KEPT: usize = 2;

/// A folder of checkpoints, which need not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry(PathBuf);

impl Registry {
    /// The registry in a folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Path of a checkpoint's policy.
    pub fn path(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.{POLICY}"))
    }

    /// All checkpoint ids, sorted.
    pub fn ids(&self) -> Vec<String> {
        self.named(POLICY)
    }

    /// Loads and validates a checkpoint.
    ///
    /// # Errors
    /// The first problem found.
    pub fn load(&self, id: &str) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::decode(id, &self.bytes(id)?)
    }

    /// The unvalidated bytes of a checkpoint.
    ///
    /// # Errors
    /// A missing file or an I/O error.
    pub fn bytes(&self, id: &str) -> Result<Vec<u8>, CheckpointError> {
        self.read(id, POLICY)
    }

    /// Writes the bytes of a policy under their id.
    ///
    /// # Errors
    /// An I/O error; then the file does not exist.
    pub fn store(&self, id: &str, bytes: &[u8]) -> Result<(), CheckpointError> {
        self.write(&self.path(id), bytes)
    }

    /// Writes a training state beside its policy, and removes older ones of the same run.
    ///
    /// # Errors
    /// An I/O error; then the file does not exist.
    pub fn save(&self, saved: &TrainingState) -> Result<(), CheckpointError> {
        self.write(&self.0.join(format!("{}.{TRAINING}", saved.policy)), &saved.encode())?;
        let latest_first = self.headers().into_iter().filter(|other| other.run == saved.run);
        for other in latest_first.skip(KEPT) {
            let path = self.0.join(format!("{}.{TRAINING}", other.policy));
            fs::remove_file(&path).map_err(CheckpointError::disk(path))?;
        }
        Ok(())
    }

    /// The training state of a checkpoint.
    ///
    /// # Errors
    /// The first problem found.
    pub fn training(&self, id: &str) -> Result<TrainingState, CheckpointError> {
        let bytes = self.read(id, TRAINING).map_err(|error| match error {
            CheckpointError::Missing { id, folder } if self.path(&id).is_file() => {
                CheckpointError::NoTrainingState { id, folder, kept: KEPT }
            }
            other => other,
        })?;
        TrainingState::decode(id, &bytes)
    }

    /// The runs that have a training state, in the order of their names.
    pub fn training_runs(&self) -> Vec<String> {
        let mut runs: Vec<String> = self.headers().into_iter().map(|header| header.run).collect();
        runs.sort();
        runs.dedup();
        runs
    }

    /// The training state of a run at its latest update. Damaged ones are skipped.
    pub fn latest_training(&self, run: &str) -> Option<TrainingState> {
        let mut of_run = self.headers().into_iter().filter(|header| header.run == run);
        of_run.find_map(|header| self.training(&header.policy).ok())
    }

    /// The errors of training states that cannot be read.
    pub fn damaged_trainings(&self) -> Vec<CheckpointError> {
        self.named(TRAINING).iter().filter_map(|id| self.training(id).err()).collect()
    }

    /// The headers of all training states, those of more updates first.
    fn headers(&self) -> Vec<TrainingHeader> {
        let header = |id: String| {
            let (file, mut start) = (File::open(self.0.join(format!("{id}.{TRAINING}"))).ok()?, Vec::new());
            file.take(TrainingHeader::BYTES).read_to_end(&mut start).ok()?;
            TrainingHeader::decode(&start).filter(|header| header.policy == id)
        };
        let mut headers: Vec<TrainingHeader> = self.named(TRAINING).into_iter().filter_map(header).collect();
        headers.sort_by_key(|header| std::cmp::Reverse(header.updates));
        headers
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
            return Err(CheckpointError::unreadable(
                id,
                format!("it has {length} bytes; a checkpoint has at most {MAX_BYTES}"),
            ));
        }
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes));
        read.map(|_| bytes).map_err(CheckpointError::disk(path))
    }

    /// Writes a temporary file, syncs it, renames it into place and syncs the folder.
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
            // A partial file would occupy the space that is missing.
            drop(fs::remove_file(&beside));
            CheckpointError::disk(path)(error)
        })
    }
}
