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
}

impl Log {
    /// The rows of a run up to and including `updates`; the file is made with the first row.
    pub(super) fn open(folder: &Path, run: &str, updates: u64) -> Result<Self> {
        let path = folder.join(format!("{run}.jsonl"));
        let mut last = None;
        if updates > 0 && path.exists() {
            let rows: Vec<Row> = read(&path)?.into_iter().filter(|row| row.update <= updates).collect();
            let text: String = rows.iter().map(line).collect::<Result<_>>()?;
            replace(&path, text.as_bytes()).with_context(|| path.display().to_string())?;
            last = rows.into_iter().last();
        }
        Ok(Self { path, file: None, last })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The newest row.
    pub(super) fn last(&self) -> Option<&Row> {
        self.last.as_ref()
    }

    /// Writes a row.
    pub(super) fn write(&mut self, row: &Row) -> Result<()> {
        let path = self.path.display().to_string();
        if self.file.is_none() {
            let folder = self.path.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            let file = OpenOptions::new().append(true).create(true).open(&self.path);
            self.file = Some(file.with_context(|| path.clone())?);
        }
        if let Some(file) = &mut self.file {
            file.write_all(line(row)?.as_bytes()).context(path)?;
        }
        self.last = Some(row.clone());
        Ok(())
    }

    /// Makes what was written durable.
    pub(super) fn sync(&self) -> Result<()> {
        let synced = self.file.as_ref().map_or(Ok(()), File::sync_all);
        synced.with_context(|| self.path.display().to_string())
    }

    /// Every row.
    pub(super) fn rows(&self) -> Result<Vec<Row>> {
        if self.path.exists() { read(&self.path) } else { Ok(Vec::new()) }
    }
}

fn line(row: &Row) -> Result<String> {
    Ok(format!("{}\n", serde_json::to_string(row).context("JSON")?))
}

/// A torn last line, as a crash leaves it, is nothing.
fn read(path: &Path) -> Result<Vec<Row>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(text.lines().map_while(|line| serde_json::from_str(line).ok()).collect())
}
