//! The identity of a file that is being written, so that its writer notices when something happens to it.
//!
//! A descriptor works on after its file was removed, renamed, truncated or replaced: writes succeed, and nobody finds what was
//! written. Comparing device, inode and length under the name with those of the open file finds each of these. It does not find
//! bytes that were overwritten in place; checksums and hashes find those. Rule: "Files that change under the program".

use std::fmt::{Display, Formatter};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Device and inode of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
}

/// What happened to a file that is being written. Shown as a clause that follows the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// Its name names nothing: it was removed or renamed, or its folder was.
    Missing,
    /// Its name names another file.
    Replaced,
    /// It has fewer bytes than were written.
    Truncated {
        /// Bytes written.
        written: u64,
        /// Bytes found.
        found: u64,
    },
    /// It has more bytes than were written.
    Extended {
        /// Bytes written.
        written: u64,
        /// Bytes found.
        found: u64,
    },
}

impl Display for Disturbance {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("was removed or renamed"),
            Self::Replaced => f.write_str("was replaced by another file"),
            Self::Truncated { written, found } => write!(f, "was truncated from {written} to {found} bytes"),
            Self::Extended { written, found } => write!(f, "was extended from {written} to {found} bytes"),
        }
    }
}

impl Identity {
    /// The identity of an open file.
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self::in_metadata(&file.metadata()?))
    }

    #[cfg(unix)]
    fn in_metadata(found: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device: found.dev(), inode: found.ino() }
    }

    /// Without device and inode only the length is compared.
    #[cfg(not(unix))]
    fn in_metadata(_: &Metadata) -> Self {
        Self { device: 0, inode: 0 }
    }

    /// Compares the file under `path`, which is not followed if it is a link, with this one and `written` bytes. `None` if it is
    /// the same.
    pub fn disturbance(&self, path: &Path, written: u64) -> io::Result<Option<Disturbance>> {
        let found = match std::fs::symlink_metadata(path) {
            Ok(found) => found,
            Err(error) if is_missing(&error) => return Ok(Some(Disturbance::Missing)),
            Err(error) => return Err(error),
        };
        if Self::in_metadata(&found) != *self {
            return Ok(Some(Disturbance::Replaced));
        }
        let found = found.len();
        Ok(match found.cmp(&written) {
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Less => Some(Disturbance::Truncated { written, found }),
            std::cmp::Ordering::Greater => Some(Disturbance::Extended { written, found }),
        })
    }
}

/// Where bytes were written: a file under its name, up to a length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    path: Arc<Path>,
    identity: Identity,
    bytes: u64,
}

impl Placement {
    /// The first `bytes` bytes of the file of this identity under `path`.
    pub const fn new(path: Arc<Path>, identity: Identity, bytes: u64) -> Self {
        Self { path, identity, bytes }
    }

    /// Whether the file still has its name and these bytes.
    pub fn stands(&self) -> bool {
        // A file that grows has them, too.
        matches!(self.identity.disturbance(&self.path, self.bytes), Ok(None | Some(Disturbance::Extended { .. })))
    }
}

/// Whether a path names nothing; a file in place of its folder counts.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Renames what stands under a name to `<name>.found`, or `<name>.found-2` and so on if that exists, so that nothing of it is
/// lost. `None` if nothing stands there.
pub fn set_aside(path: &Path) -> io::Result<Option<PathBuf>> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => {}
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(error),
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut names =
        std::iter::once(format!("{name}.found")).chain((2_u32..).map(|count| format!("{name}.found-{count}")));
    let aside = names.find_map(|name| {
        let aside = path.with_file_name(name);
        aside.symlink_metadata().is_err().then_some(aside)
    });
    let aside = aside.ok_or_else(|| io::Error::other("too many files were set aside"))?;
    std::fs::rename(path, &aside)?;
    Ok(Some(aside))
}

/// Makes a file with this content under a name, which appears with all of it or not at all, and returns it open for reading and
/// appending. Creates missing folders. `before` runs before the file gets its name, for example to lock it.
pub fn put_back(path: &Path, content: &mut dyn Read, before: impl FnOnce(&File) -> io::Result<()>) -> io::Result<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let temporary = path.with_extension("part");
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().read(true).append(true).create_new(true).open(&temporary)?;
    let made = io::copy(content, &mut file)
        .and_then(|_| file.sync_all())
        .and_then(|()| before(&file))
        .and_then(|()| std::fs::rename(&temporary, path));
    if let Err(error) = made {
        drop(std::fs::remove_file(&temporary));
        return Err(error);
    }
    File::open(folder)?.sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// A file of four bytes in a folder of its own.
    fn written() -> (tempfile::TempDir, PathBuf, File, Identity) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/file.txt");
        let file = put_back(&path, &mut &b"abcd"[..], |_| Ok(())).unwrap();
        let identity = Identity::of(&file).unwrap();
        (folder, path, file, identity)
    }

    #[test]
    fn every_change_under_a_name_is_told_apart() {
        type Change = fn(&Path, &mut File);
        let changes: [(Change, Option<Disturbance>); 8] = [
            (|_, _| {}, None),
            (|path, _| std::fs::remove_file(path).unwrap(), Some(Disturbance::Missing)),
            (
                |path, _| std::fs::rename(path.parent().unwrap(), path.with_file_name("../old")).unwrap(),
                Some(Disturbance::Missing),
            ),
            (
                |path, _| {
                    let folder = path.parent().unwrap();
                    std::fs::remove_dir_all(folder).unwrap();
                    std::fs::write(folder, "a file in place of the folder").unwrap();
                },
                Some(Disturbance::Missing),
            ),
            (
                |path, _| {
                    std::fs::rename(path, path.with_extension("old")).unwrap();
                    std::fs::write(path, "abcd").unwrap();
                },
                Some(Disturbance::Replaced),
            ),
            (
                |path, _| {
                    std::fs::rename(path, path.with_extension("old")).unwrap();
                    std::os::unix::fs::symlink(path.with_extension("old"), path).unwrap();
                },
                Some(Disturbance::Replaced),
            ),
            (|_, file| file.set_len(1).unwrap(), Some(Disturbance::Truncated { written: 4, found: 1 })),
            (|_, file| file.write_all(b"e").unwrap(), Some(Disturbance::Extended { written: 4, found: 5 })),
        ];
        for (number, (change, expected)) in changes.into_iter().enumerate() {
            let (_folder, path, mut file, identity) = written();
            let placement = Placement::new(path.as_path().into(), identity, 4);
            assert!(placement.stands());
            change(&path, &mut file);
            assert_eq!(identity.disturbance(&path, 4).unwrap(), expected, "change {number}");
            let stands = matches!(expected, None | Some(Disturbance::Extended { .. }));
            assert_eq!(placement.stands(), stands, "change {number}");
        }
    }

    #[test]
    fn what_stands_under_a_name_is_kept_beside_it() {
        let (_folder, path, _, _) = written();
        assert_eq!(set_aside(&path).unwrap(), Some(path.with_file_name("file.txt.found")));
        assert_eq!(set_aside(&path).unwrap(), None);
        std::fs::create_dir(&path).unwrap();
        assert_eq!(set_aside(&path).unwrap(), Some(path.with_file_name("file.txt.found-2")));
        let mut file = put_back(&path, &mut &b"xy"[..], |_| Ok(())).unwrap();
        file.write_all(b"z").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"xyz");
        assert_eq!(std::fs::read(path.with_file_name("file.txt.found")).unwrap(), b"abcd");
    }
}
