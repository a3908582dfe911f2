//! The program's log, `logs/townlet.log`: starts and stops, degradations, crashes, refused connections; optionally also on
//! standard error.
//!
//! Bounded by lines per second, bytes per file, and two files. Text from outside is escaped; tokens are never written.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::process_output::note_output;
use townlet_wire::{escape, redact_tokens};

/// Size in bytes at which the file is renamed to `townlet.log.1`, replacing the one before.
const MAX_BYTES: u64 = 1024 * 1024;
/// Maximum lines per second; more are counted and left out.
const MAX_LINES: u32 = 10;

/// A handle of the log; clones write to the same file.
#[derive(Clone, Debug)]
pub struct Log(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    who: &'static str,
    aloud: bool,
    second: Instant,
    lines: u32,
    left_out: u64,
}

impl Log {
    /// A log in this file with `who` in every line; with `aloud` also on standard error.
    pub fn new(path: PathBuf, who: &'static str, aloud: bool) -> Self {
        Self(Arc::new(Mutex::new(Inner { path, who, aloud, second: Instant::now(), lines: 0, left_out: 0 })))
    }

    /// Writes one line.
    pub fn write(&self, text: &str) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.second.elapsed() >= Duration::from_secs(1) {
            (inner.second, inner.lines) = (Instant::now(), 0);
            let left_out = std::mem::take(&mut inner.left_out);
            if left_out > 0 {
                inner.write(&format!("{left_out} more lines were left out"));
            }
        }
        if inner.lines >= MAX_LINES {
            inner.left_out += 1;
            return;
        }
        inner.lines += 1;
        inner.write(text);
    }
}

impl Inner {
    fn write(&self, text: &str) {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        let line = format!("{now}  {}  {}", self.who, escape(&redact_tokens(text)));
        if self.aloud {
            note_output("err", &line);
            drop(writeln!(std::io::stderr(), "{line}"));
        }
        // A log that cannot be written must not stop the program; the audit log has the essentials.
        drop(append(&self.path, &line));
    }
}

pub(crate) fn append(path: &Path, line: &str) -> std::io::Result<()> {
    townlet_files::ensure_regular(path)?;
    if std::fs::metadata(path).is_ok_and(|found| found.len() >= MAX_BYTES) {
        std::fs::rename(path, path.with_extension("log.1"))?;
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    writeln!(OpenOptions::new().create(true).append(true).open(path)?, "{line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_escaped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/townlet.log");
        let log = Log::new(path.clone(), "shard", false);
        for _ in 0..100 {
            log.write("a\u{1b}[2Jb twn_ab12_00ffee11");
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("(redacted)") && !text.contains("00ffee11"), "{text}");
        assert!(text.lines().count() <= 2 * MAX_LINES as usize && !text.contains('\u{1b}') && text.contains("\\u{1b}"));
        std::fs::write(&path, vec![b'x'; MAX_BYTES as usize]).unwrap();
        append(&path, "new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
        assert!(path.with_extension("log.1").exists());
    }
}
