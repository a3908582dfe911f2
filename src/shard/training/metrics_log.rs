//! The rows of a training: one JSON object a line in `logs/training/<run>.jsonl`.
//!
//! Owns the file, for one process at a time. A resumed training cuts off what came after its checkpoint, because that is
//! lived through again. Rule: "Training log".

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;
use townlet_learn::train::Row;

/// Why rows cannot be kept.
#[derive(Debug, Error)]
pub enum LogError {
    /// The disk.
    #[error("{}: {error}", path.display())]
    Disk {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Somebody else goes on with this training.
    #[error("{}: another process goes on with this training; stop it first", path.display())]
    Taken {
        /// The file they hold.
        path: PathBuf,
    },
}

/// The file of one run.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: Option<File>,
    /// Bytes of whole rows.
    length: u64,
    /// Whether a row was begun behind them that could not be written.
    torn: bool,
    last: Option<Row>,
}

impl Log {
    /// The rows of a new run; the file is made with the first of them.
    pub fn new(folder: &Path, run: &str) -> Self {
        Self { path: folder.join(format!("{run}.jsonl")), file: None, length: 0, torn: false, last: None }
    }

    /// The rows of a run up to and including `updates`, to go on with; later ones are cut off.
    ///
    /// # Errors
    /// The disk's, or that somebody else goes on with it; then nothing was cut off.
    pub fn resume(folder: &Path, run: &str, updates: u64) -> Result<Self, LogError> {
        let mut log = Self::new(folder, run);
        if !log.path.exists() {
            return Ok(log);
        }
        let mut file = log.claim()?;
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

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest row.
    pub fn last(&self) -> Option<&Row> {
        self.last.as_ref()
    }

    /// Writes a row. One that could not be written may be written again.
    ///
    /// # Errors
    /// The disk's, or that somebody else has the file.
    pub fn write(&mut self, row: &Row) -> Result<(), LogError> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.claim()?,
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

    /// Makes what was written durable.
    ///
    /// # Errors
    /// The disk's.
    pub fn sync(&self) -> Result<(), LogError> {
        self.file.as_ref().map_or(Ok(()), File::sync_all).map_err(self.disk())
    }

    /// Every row.
    ///
    /// # Errors
    /// The disk's.
    pub fn rows(&self) -> Result<Vec<Row>, LogError> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        let text = townlet_files::read(&self.path).map_err(self.disk())?;
        Ok(whole(&text).map(|(row, _)| row).collect())
    }

    /// Opens the file for this process alone.
    fn claim(&self) -> Result<File, LogError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|error| LogError::Disk { path: folder.into(), error })?;
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&self.path).map_err(self.disk())?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(LogError::Taken { path: self.path.clone() }),
            Err(TryLockError::Error(error)) => Err(self.disk()(error)),
        }
    }

    fn disk(&self) -> impl FnOnce(io::Error) -> LogError + use<> {
        let path = self.path.clone();
        |error| LogError::Disk { path, error }
    }
}

/// Rows with the bytes of their lines. A torn last line, as a crash leaves it, is nothing.
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
    fn what_came_after_the_checkpoint_is_cut_off_and_so_is_a_torn_end() {
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
        let mut log = Log::resume(folder.path(), "run", 4).expect("it goes on");
        assert_eq!(log.last().map(|row| row.update), Some(4));
        log.write(&row(5)).expect("it is written");
        assert_eq!(updates(&log), [1, 2, 3, 4, 5]);
        drop(log);
        let mut log = Log::resume(folder.path(), "run", 2).expect("it goes on");
        log.write(&row(3)).expect("it is written");
        assert_eq!(updates(&log), [1, 2, 3]);
    }

    #[test]
    fn a_training_is_gone_on_with_by_one_process() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = Log::new(folder.path(), "run");
        log.write(&row(1)).expect("it is written");
        log.write(&row(2)).expect("it is written");
        assert!(matches!(Log::resume(folder.path(), "run", 1), Err(LogError::Taken { .. })));
        assert_eq!(updates(&log), [1, 2], "nothing was cut off");
        drop(log);
        assert!(Log::resume(folder.path(), "run", 1).is_ok());
    }
}
