//! The rows of a training: one JSON object a line in `logs/training/<run>.jsonl`.
//!
//! Owns the file. A resumed training cuts off what came after its checkpoint, because that is lived through again.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use townlet_learn::train::Row;

use crate::shard::home::replace;

/// The file of one run.
pub(super) struct Log {
    path: PathBuf,
    file: Option<File>,
    last: Option<Row>,
    /// Rows that are not in the file yet.
    waiting: Vec<Row>,
    /// Whether a write or sync failed: then the file is never synced again, and its rows go into another in its place.
    failed: bool,
}

impl Log {
    /// The rows of a run up to and including `updates`; the file is made with the first row.
    pub(super) fn open(folder: &Path, run: &str, updates: u64) -> Result<Self> {
        let path = folder.join(format!("{run}.jsonl"));
        let mut last = None;
        if updates > 0 && path.exists() {
            let rows: Vec<Row> = read(&path)?.into_iter().filter(|row| row.update <= updates).collect();
            put(&path, &rows)?;
            last = rows.into_iter().last();
        }
        Ok(Self { path, file: None, last, waiting: Vec::new(), failed: false })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The newest row.
    pub(super) fn last(&self) -> Option<&Row> {
        self.last.as_ref()
    }

    /// Takes a row, and writes it with those that could not be written before.
    ///
    /// # Errors
    /// The disk's; the row is kept for the next time.
    pub(super) fn write(&mut self, row: &Row) -> Result<()> {
        self.waiting.push(row.clone());
        self.last = Some(row.clone());
        self.settle()
    }

    /// Writes what waits.
    fn settle(&mut self) -> Result<()> {
        let written = if self.failed { self.replace() } else { self.append() };
        self.failed = written.is_err();
        if self.failed {
            self.file = None;
        } else {
            self.waiting.clear();
        }
        written.with_context(|| self.path.display().to_string())
    }

    fn append(&mut self) -> Result<()> {
        let text: String = self.waiting.iter().map(line).collect::<Result<_>>()?;
        if self.file.is_none() {
            std::fs::create_dir_all(self.path.parent().unwrap_or(Path::new(".")))?;
            self.file = Some(OpenOptions::new().append(true).create(true).open(&self.path)?);
        }
        if let Some(file) = &mut self.file {
            file.write_all(text.as_bytes())?;
        }
        Ok(())
    }

    fn replace(&self) -> Result<()> {
        let first = self.waiting.first().map_or(u64::MAX, |row| row.update);
        let mut rows = self.rows()?;
        // Some that wait may have been written before the disk refused.
        rows.retain(|row| row.update < first);
        rows.extend(self.waiting.iter().cloned());
        put(&self.path, &rows)
    }

    /// Makes all of it durable.
    ///
    /// # Errors
    /// The disk's; the rows are written anew the next time.
    pub(super) fn sync(&mut self) -> Result<()> {
        self.settle()?;
        let synced = self.file.as_ref().map_or(Ok(()), File::sync_all);
        self.failed = synced.is_err();
        synced.with_context(|| self.path.display().to_string())
    }

    /// Every row.
    pub(super) fn rows(&self) -> Result<Vec<Row>> {
        if self.path.exists() { read(&self.path) } else { Ok(Vec::new()) }
    }
}

/// A file of these rows, whole or not at all.
fn put(path: &Path, rows: &[Row]) -> Result<()> {
    let text: String = rows.iter().map(line).collect::<Result<_>>()?;
    replace(path, text.as_bytes()).with_context(|| path.display().to_string())
}

fn line(row: &Row) -> Result<String> {
    Ok(format!("{}\n", serde_json::to_string(row).context("JSON")?))
}

/// A torn last line, as a crash leaves it, is nothing.
fn read(path: &Path) -> Result<Vec<Row>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(text.lines().map_while(|line| serde_json::from_str(line).ok()).collect())
}
