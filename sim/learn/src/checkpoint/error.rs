//! Why a checkpoint is refused: each fault by its name, so that whoever reads it knows what to do.

use std::path::PathBuf;

use crate::network::WeightsError;

/// Why a checkpoint is not taken. Whatever runs meanwhile goes on.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Nothing of that name.
    #[error("there is no checkpoint `{id}` in {}", folder.display())]
    Missing {
        /// What was asked for.
        id: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// The disk.
    #[error("{}: {error}", path.display())]
    Disk {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// Bytes are missing at its end.
    #[error("checkpoint `{id}` is truncated: it has {found} bytes and should have {wanted}")]
    Truncated {
        /// Its name.
        id: String,
        /// What it has.
        found: usize,
        /// What it should have, as far as can be told.
        wanted: usize,
    },
    /// Its bytes are not those it is named by.
    #[error("checkpoint `{id}` was altered: its bytes make `{found}`")]
    Altered {
        /// Its name.
        id: String,
        /// The name its bytes would have.
        found: String,
    },
    /// It is no policy of this program.
    #[error("checkpoint `{id}` cannot be read: {why}")]
    Unreadable {
        /// Its name.
        id: String,
        /// What is wrong.
        why: String,
    },
    /// A tensor.
    #[error("checkpoint `{id}`: {error}")]
    Weights {
        /// Its name.
        id: String,
        /// Which, and what is wrong.
        error: WeightsError,
    },
    /// It belongs elsewhere.
    #[error("checkpoint `{id}` has {what} `{found}`; this town needs `{wanted}`")]
    Mismatch {
        /// Its name.
        id: String,
        /// Such as `config_id`.
        what: &'static str,
        /// What it has.
        found: String,
        /// What the town has.
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
