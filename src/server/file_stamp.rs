//! Whether a file was written, replaced or given other permissions since it was read.

use std::path::Path;
use std::time::SystemTime;

/// What changes when a file or the permissions of its folder change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileStamp {
    modified: Option<SystemTime>,
    length: u64,
    /// Inode, and time of the last change of content or permissions.
    #[cfg(unix)]
    changed: (u64, i64, i64),
    /// Permissions and owner of the folder.
    #[cfg(unix)]
    folder: Option<(u32, u32)>,
}

impl FileStamp {
    /// The stamp of the file that a path leads to; `None` without one.
    pub(super) fn of(path: &Path) -> Option<Self> {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt as _;
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            modified: found.modified().ok(),
            length: found.len(),
            #[cfg(unix)]
            changed: (found.ino(), found.ctime(), found.ctime_nsec()),
            #[cfg(unix)]
            folder: path.parent().and_then(|folder| folder.metadata().ok()).map(|folder| (folder.mode(), folder.uid())),
        })
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_change_of_content_permissions_or_folder_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut seen = vec![FileStamp::of(&path)];
        let mut note = |what: &str| {
            let now = FileStamp::of(&path);
            assert_ne!(&now, seen.last().unwrap(), "{what}");
            seen.push(now);
        };
        std::fs::write(&path, "one").unwrap();
        note("created");
        std::fs::write(folder.path().join("new"), "two").unwrap();
        std::fs::rename(folder.path().join("new"), &path).unwrap();
        note("replaced by one of the same length");
        let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(folder.path(), 0o770);
        note("the folder is open");
        std::fs::remove_file(&path).unwrap();
        note("removed");
    }
}
