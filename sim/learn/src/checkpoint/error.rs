//! Errors of checkpoints.

use std::path::PathBuf;

use crate::network::WeightsError;

/// Why a checkpoint is refused.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// No checkpoint of that name.
    #[error("there is no checkpoint `{id}` in {}", folder.display())]
    Missing {
        /// The requested id.
        id: String,
        /// The folder searched.
        folder: PathBuf,
    },
    /// The policy is there, but not the state from which its training continues.
    #[error(
        "`{id}.training` is missing in {}, so the training of this policy cannot be continued. The newest {kept} states of \
         a run are kept; `--resume` without an id continues the newest",
        folder.display()
    )]
    NoTrainingState {
        /// The requested id.
        id: String,
        /// The folder searched.
        folder: PathBuf,
        /// States kept for each run.
        kept: usize,
    },
    /// An I/O error.
    #[error("{}: {error}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// The file is truncated.
    #[error("checkpoint `{id}` is truncated: it has {found} bytes of {wanted}")]
    Truncated {
        /// Its id.
        id: String,
        /// Its length.
        found: usize,
        /// The expected length, as far as it is known.
        wanted: usize,
    },
    /// The content does not match the id.
    #[error("checkpoint `{id}` was altered: its content has the id `{found}`")]
    Altered {
        /// Its id.
        id: String,
        /// The id of its content.
        found: String,
    },
    /// The file is not a policy of this format.
    #[error("checkpoint `{id}` cannot be read: {why}")]
    Unreadable {
        /// Its id.
        id: String,
        /// The problem.
        why: String,
    },
    /// A tensor is invalid.
    #[error("checkpoint `{id}`: {error}")]
    Weights {
        /// Its id.
        id: String,
        /// The tensor's error.
        error: WeightsError,
    },
    /// The policy sees observations that this build cannot make.
    #[error(
        "checkpoint `{id}` sees the observation layout `{found}`, which this build does not know; it knows {known}"
    )]
    UnknownLayout {
        /// Its id.
        id: String,
        /// Name and hash of its layout.
        found: String,
        /// Names and hashes of this build's layouts.
        known: String,
    },
    /// The policy does not fit this town.
    #[error("checkpoint `{id}` has {what} `{found}`; this town needs `{wanted}`")]
    Mismatch {
        /// Its id.
        id: String,
        /// Such as `config_id`.
        what: &'static str,
        /// The checkpoint's value.
        found: String,
        /// The town's value.
        wanted: String,
    },
}

impl CheckpointError {
    pub(super) fn disk(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |error| Self::Disk { path, error }
    }

    pub(super) fn unreadable(id: &str, why: impl Into<String>) -> Self {
        Self::Unreadable { id: id.into(), why: why.into() }
    }
}
