//! Why an audit log cannot be used.

use std::io;
use std::path::Path;

use townlet_wire::ErrorBody;

/// Why an audit log cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// Another process writes this run's log.
    #[error("another process is writing to the audit log `{0}`.")]
    Locked(String),
    /// The run id contains characters that are not allowed in it.
    #[error("`{0}` cannot name a run: letters, digits, `-` and `_` can.")]
    BadRunId(String),
    /// The log differs from what was written; no file was changed.
    #[error(
        "the audit log is damaged and was left unchanged: {first} (`townlet audit verify` lists {}). \
         Restore a copy of the named file, or start a new run without `--resume`",
        townlet_wire::count(*findings as u64, "finding")
    )]
    Broken {
        /// The first finding.
        first: String,
        /// The number of findings.
        findings: usize,
    },
    /// A file operation failed.
    #[error("cannot {action} `{path}`: {why}.")]
    Io {
        /// The operation, a verb.
        action: &'static str,
        /// The file.
        path: String,
        /// The system's message.
        why: String,
    },
    /// The log cannot be written now.
    #[error("the audit log cannot be written: {0}.")]
    Unavailable(String),
}

impl AuditError {
    pub(crate) fn io(action: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::Io { action, path: path.display().to_string(), why: error.to_string() }
    }

    /// As the error of an answer: `E_AUDIT_UNAVAILABLE`.
    pub fn body(&self) -> ErrorBody {
        let hint = "Nothing was changed. Free or repair the disk; the log retries by itself.";
        ErrorBody::new("E_AUDIT_UNAVAILABLE", self.to_string(), hint)
    }
}
