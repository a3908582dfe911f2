//! The metrics log of a training: one JSON object per update in `logs/training/<run>.jsonl`, locked by one process.
//!
//! A resumed training cuts off the rows after its checkpoint, because it repeats those updates. Rule: "Training log".

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;
use townlet_learn::train::Row;

/// Why the log cannot be used.
#[derive(Debug, Error)]
pub enum LogError {
    /// A file operation failed.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// Another process runs this training.
    #[error("{}: another process runs this training; stop it first", path.display())]
    Locked {
        /// The locked file.
        path: PathBuf,
    },
}

/// The metrics log of one training.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: Option<File>,
    /// Length of the complete rows in bytes.
    length: u64,
    torn: bool,
    last: Option<Row>,
}

impl Log {
    /// The log of a new training; the first row creates the file.
    pub fn new(folder: &Path, run: &str) -> Self {
        Self { path: folder.join(format!("{run}.jsonl")), file: None, length: 0, torn: false, last: None }
    }

    /// Reopens a log and cuts off the rows after update `updates`. Changes nothing if another process holds it.
    pub fn resume(folder: &Path, run: &str, updates: u64) -> Result<Self, LogError> {
        let mut log = Self::new(folder, run);
        if !log.path.exists() {
            return Ok(log);
        }
        let mut file = log.open_locked()?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(log.disk())?;
        for (row, bytes) in whole(&text).take_while(|(row, _)| row.update <= updates) {
            log.length += bytes as u64;
            log.last = Some(row);
        }
        file.set_len(log.length).and_then(|()| file.seek(SeekFrom::End(0))).map_err(log.disk())?;
        log.file = Some(file);
        Ok(log)
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest row.
    pub fn last(&self) -> Option<&Row> {
        self.last.as_ref()
    }

    /// Appends a row. After an error the same row may be written again.
    pub fn write(&mut self, row: &Row) -> Result<(), LogError> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.open_locked()?,
        };
        let line = format!("{}\n", serde_json::to_string(row).expect("plain values"));
        let mended = if self.torn {
            file.set_len(self.length).and_then(|()| file.seek(SeekFrom::End(0))).map(|_| self.torn = false)
        } else {
            Ok(())
        };
        let written = mended.and_then(|()| {
            self.torn = true;
            file.write_all(line.as_bytes())
        });
        self.file = Some(file);
        written.map_err(self.disk())?;
        self.torn = false;
        self.length += line.len() as u64;
        self.last = Some(row.clone());
        Ok(())
    }

    /// Makes all rows durable.
    pub fn sync(&self) -> Result<(), LogError> {
        self.file.as_ref().map_or(Ok(()), File::sync_all).map_err(self.disk())
    }

    /// Reads all rows.
    pub fn rows(&self) -> Result<Vec<Row>, LogError> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        let text = townlet_files::read(&self.path).map_err(self.disk())?;
        Ok(whole(&text).map(|(row, _)| row).collect())
    }

    fn open_locked(&self) -> Result<File, LogError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|error| LogError::Io { path: folder.into(), error })?;
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&self.path).map_err(self.disk())?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(LogError::Locked { path: self.path.clone() }),
            Err(TryLockError::Error(error)) => Err(self.disk()(error)),
        }
    }

    fn disk(&self) -> impl FnOnce(io::Error) -> LogError + use<> {
        let path = self.path.clone();
        |error| LogError::Io { path, error }
    }
}

/// Complete rows with the length of their lines; ignores a torn last line.
fn whole(text: &[u8]) -> impl Iterator<Item = (Row, usize)> {
    let lines = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    lines.map_while(|line| Some((serde_json::from_slice(line).ok()?, line.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(update: u64) -> Row {
        Row { update, ..Row::default() }
    }

    fn updates(log: &Log) -> Vec<u64> {
        log.rows().expect("they are read").iter().map(|row| row.update).collect()
    }

    #[test]
    fn rows_after_the_checkpoint_and_a_torn_end_are_cut_off() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = Log::new(folder.path(), "run");
        assert!(!log.path().exists(), "made with the first row");
        for update in 1..=4 {
            log.write(&row(update)).expect("it is written");
        }
        let path = log.path().to_owned();
        drop(log);
        let mut text = std::fs::read(&path).expect("rows");
        text.extend_from_slice(b"{\"update\": 5, \"st");
        std::fs::write(&path, &text).expect("a torn end");
        let mut log = Log::resume(folder.path(), "run", 4).expect("it resumes");
        assert_eq!(log.last().map(|row| row.update), Some(4));
        log.write(&row(5)).expect("it is written");
        assert_eq!(updates(&log), [1, 2, 3, 4, 5]);
        drop(log);
        let mut log = Log::resume(folder.path(), "run", 2).expect("it resumes");
        log.write(&row(3)).expect("it is written");
        assert_eq!(updates(&log), [1, 2, 3]);
    }

    #[test]
    fn one_process_runs_a_training() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = Log::new(folder.path(), "run");
        log.write(&row(1)).expect("it is written");
        log.write(&row(2)).expect("it is written");
        assert!(matches!(Log::resume(folder.path(), "run", 1), Err(LogError::Locked { .. })));
        assert_eq!(updates(&log), [1, 2], "nothing was cut off");
        drop(log);
        assert!(Log::resume(folder.path(), "run", 1).is_ok());
    }
}
