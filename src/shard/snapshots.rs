//! Snapshot files of a run: atomic writing, retention and bounded reading. `townlet_town::snapshot` owns their content.
//! Rule: "Durable state".

use std::io::Read;
use std::path::{Path, PathBuf};

use fail::fail_point;
use townlet_files::write_atomically;
use townlet_town::{Town, snapshot};

use super::home::files;

/// An intact snapshot that was read.
pub struct SnapshotFile {
    /// The file.
    pub path: PathBuf,
    /// The saved town.
    pub town: Town,
    /// Its size in bytes.
    pub bytes: usize,
}

/// The file name of the snapshot at a tick.
pub fn name(tick: u64) -> String {
    format!("{tick:012}.tls")
}

/// All snapshot files of a folder, oldest first.
pub fn list(folder: &Path) -> Vec<PathBuf> {
    files(folder, "tls")
}

/// Reads a snapshot, up to the largest size allowed. The error is a sentence without full stop to follow the file's name.
pub fn read(path: &Path) -> Result<SnapshotFile, String> {
    let say = |error: std::io::Error| error.to_string();
    let mut bytes = Vec::new();
    townlet_files::open(path)
        .and_then(|file| file.take(snapshot::MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(say)?;
    if bytes.len() > snapshot::MAX_BYTES {
        return Err(format!("it is larger than a snapshot may be ({} bytes)", snapshot::MAX_BYTES));
    }
    let town = snapshot::load(&bytes).map_err(|error| error.to_string())?;
    Ok(SnapshotFile { path: path.to_owned(), town, bytes: bytes.len() })
}

/// The newest intact snapshot before `path` in its folder.
pub fn previous_intact(path: &Path) -> Option<SnapshotFile> {
    let folder = townlet_files::folder_of(path);
    let before = list(folder).into_iter().filter(|other| other.file_name() < path.file_name());
    before.rev().find_map(|other| read(&other).ok())
}

/// Describes a damaged snapshot and names the intact one before it.
pub fn damage(path: &Path, why: &str) -> String {
    let good = previous_intact(path).map_or_else(
        || "Its folder holds no intact snapshot before it.".to_owned(),
        |good| format!("The last intact one before it is {}, tick {}.", good.path.display(), good.town.tick()),
    );
    format!("{}: {why}. {good} Nothing was changed.", path.display())
}

/// Writes a snapshot and removes the oldest beyond `retain`.
pub(super) fn save(folder: &Path, tick: u64, bytes: &[u8], retain: usize) -> Result<PathBuf, String> {
    let path = folder.join(name(tick));
    fail_point!("snapshot_write", |_| Err(format!("{}: fail point snapshot_write", path.display())));
    write_atomically(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    let files = list(folder);
    for old in files.iter().take(files.len().saturating_sub(retain.max(1))) {
        // An old snapshot that cannot be removed only costs space.
        drop(std::fs::remove_file(old));
    }
    Ok(path)
}
