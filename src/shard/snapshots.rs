//! Snapshot files of a run: written whole or not at all, the oldest removed, read within bounds, and the good one before a
//! damaged one.
//!
//! Owns the files. The bytes inside are `townlet_town::snapshot`'s. Rule: "Durable state".

use std::io::Read;
use std::path::{Path, PathBuf};

use fail::fail_point;
use townlet_town::{Town, snapshot};

use super::home::{files, replace};

/// A snapshot that was read and is whole.
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// The town inside.
    pub town: Town,
    /// Its size.
    pub bytes: usize,
}

/// A snapshot's file name.
pub fn name(tick: u64) -> String {
    format!("{tick:012}.tls")
}

/// All snapshot files of a folder, oldest first.
pub fn of(folder: &Path) -> Vec<PathBuf> {
    files(folder, "tls")
}

/// Reads a snapshot. A file larger than a snapshot may be is not read into memory.
///
/// # Errors
/// What is wrong, in a sentence without its full stop that fits behind the file's name.
pub fn read(path: &Path) -> Result<Found, String> {
    let say = |error: std::io::Error| error.to_string();
    let mut bytes = Vec::new();
    townlet_files::open(path)
        .and_then(|file| file.take(snapshot::MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(say)?;
    if bytes.len() > snapshot::MAX_BYTES {
        return Err(format!("it is larger than a snapshot may be ({} bytes)", snapshot::MAX_BYTES));
    }
    let town = snapshot::load(&bytes).map_err(|error| error.to_string())?;
    Ok(Found { path: path.to_owned(), town, bytes: bytes.len() })
}

/// The newest snapshot of the same folder that sorts before `path` and is whole.
pub fn previous_intact(path: &Path) -> Option<Found> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let before = of(folder).into_iter().filter(|other| other.file_name() < path.file_name());
    before.rev().find_map(|other| read(&other).ok())
}

/// A damaged snapshot in words: what is wrong with it, and which one before it is good.
pub fn damage(path: &Path, why: &str) -> String {
    let good = previous_intact(path).map_or_else(
        || "No good one lies before it in its folder.".to_owned(),
        |good| format!("The good one before it is {}, tick {}.", good.path.display(), good.town.tick()),
    );
    format!("{}: {why}. {good} Nothing was changed.", path.display())
}

/// Writes a snapshot and removes the oldest beyond `retain`.
///
/// # Errors
/// The file and what the system says.
pub(super) fn save(folder: &Path, tick: u64, bytes: &[u8], retain: usize) -> Result<PathBuf, String> {
    let path = folder.join(name(tick));
    write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    let files = of(folder);
    for old in files.iter().take(files.len().saturating_sub(retain.max(1))) {
        // An old snapshot that stays costs space, not safety.
        drop(std::fs::remove_file(old));
    }
    Ok(path)
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    fail_point!("snapshot_write", |_| Err(std::io::Error::other("fail point snapshot_write")));
    replace(path, bytes)
}
