//! Reads regular files only, so that a pipe or a device in a file's place is refused instead of blocking, opens the program's own
//! files without following links, replaces files atomically, refuses secrets that other users can read or change, and finds out what
//! happened to a file that is being written.

mod identity;

pub use identity::{Disturbance, Identity, Placement, put_back, set_aside};

mod private;

pub use private::{Readers, exposure, folder_exposure, folder_of, open_key, open_private, owner_only};

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use fail::fail_point;

/// Paths that a shell passes in place of a file, as in `--config <(…)`.
const SHELL_PATHS: [&str; 4] = ["/dev/stdin", "/dev/null", "/dev/fd", "/proc/self/fd"];

/// Checks that a path is a regular file, a folder, a link to either, or does not exist. Folders pass because opening one reports
/// the mistake by itself.
pub fn ensure_regular(path: &Path) -> io::Result<()> {
    let from_shell = || SHELL_PATHS.iter().any(|shell| path.starts_with(shell));
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() || found.is_dir() || from_shell() => Ok(()),
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens a regular file for reading.
pub fn open(path: &Path) -> io::Result<File> {
    ensure_regular(path)?;
    File::open(path)
}

/// Opens a file of the program itself, such as a token store, a key, a lock or a log. A symbolic link in its place is refused,
/// because the program would read or change a file that somebody else chose. Links to its folder are followed.
pub fn open_own(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    ensure_regular(path)?;
    #[cfg(unix)]
    {
        std::os::unix::fs::OpenOptionsExt::custom_flags(options, rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    options.open(path).map_err(|error| {
        if std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
            let why = "it is a symbolic link; put the file itself there";
            return io::Error::new(io::ErrorKind::InvalidInput, why);
        }
        error
    })
}

/// Reads a file of the program itself; see [`open_own`].
pub fn read_own(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_own(path, OpenOptions::new().read(true))?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Free disk space at a path for users without privileges, in bytes; `None` if unknown.
#[cfg(unix)]
pub fn free_bytes(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Free disk space at a path for users without privileges, in bytes; `None` if unknown.
#[cfg(not(unix))]
pub fn free_bytes(_: &Path) -> Option<u64> {
    None
}

/// Reads a regular file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a regular UTF-8 file, without the byte order mark that some editors put first.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    decode_text(read(path)?)
}

/// UTF-8 as text, without a byte order mark. Text in UTF-16, which some shells write, is refused by its name.
pub fn decode_text(bytes: Vec<u8>) -> io::Result<String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "it is UTF-16 text; save it as UTF-8"));
    }
    let mut text = String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    text.drain(..text.len() - without_bom(&text).len());
    Ok(text)
}

/// `text` without a byte order mark at its start.
pub fn without_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Replaces a file so that its name always refers to the complete old or the complete new content: writes a temporary file with
/// the permissions of the old one, syncs, renames it and syncs the folder. Creates missing folders. A temporary file of a crashed
/// process is removed, and so is a link in its place; its target is not touched.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    create_folder_of(path)?;
    replace(path, bytes, &mut OpenOptions::new(), std::fs::metadata(path).ok())
}

/// Replaces a file that holds a secret, as [`write_atomically`] does. From its creation on only its owner can read it.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    create_folder_of(path)?;
    replace(path, bytes, owner_only(&mut OpenOptions::new()), None)
}

/// Creates the folder of a file, if it is missing. Other users cannot write to what is created, because a secret may be kept there,
/// too.
pub fn create_folder_of(path: &Path) -> io::Result<()> {
    let mut folders = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folders, 0o755);
    folders.recursive(true).create(folder_of(path))
}

/// Replaces a file by a new one that `options` create, with the permissions of `like` if there is one.
fn replace(path: &Path, bytes: &[u8], options: &mut OpenOptions, like: Option<Metadata>) -> io::Result<()> {
    let temporary = path.with_extension("part");
    fail_point!("replace_write", |_| Err(io::Error::other("fail point replace_write")));
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = options.write(true).create_new(true).open(&temporary)?;
    if let Some(found) = like {
        file.set_permissions(found.permissions())?;
    }
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written {
        drop(std::fs::remove_file(&temporary));
        return Err(error);
    }
    fail_point!("replace_rename", |_| Err(io::Error::other("fail point replace_rename")));
    std::fs::rename(&temporary, path)?;
    fail_point!("replace_sync", |_| Err(io::Error::other("fail point replace_sync")));
    File::open(folder_of(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_no_text() {
        let decode = |bytes: &[u8]| decode_text(bytes.to_vec()).map_err(|error| error.to_string());
        assert_eq!(decode("\u{feff}a\u{feff}".as_bytes()), Ok("a\u{feff}".to_owned()));
        assert_eq!(decode("a".as_bytes()), Ok("a".to_owned()));
        assert!(decode(&[0xff, 0xfe, b'a', 0]).unwrap_err().contains("UTF-16"));
        assert!(decode(&[0xfe, 0xff, 0, b'a']).unwrap_err().contains("UTF-16"));
        assert!(decode(&[b'a', 0xff]).unwrap_err().contains("utf-8"));
    }

    #[test]
    fn a_link_in_place_of_an_own_file_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("tokens.json"), folder.path().join("precious"));
        std::fs::write(&target, "precious").unwrap();
        // The temporary file, as a link to a file and as one to nothing.
        for to in [&target, &folder.path().join("none")] {
            std::os::unix::fs::symlink(to, path.with_extension("part")).unwrap();
            write_atomically(&path, b"new").unwrap();
            assert!(path.symlink_metadata().unwrap().is_file());
            assert_eq!(std::fs::read(&path).unwrap(), b"new");
        }
        assert_eq!(read_own(&path).unwrap(), b"new");
        std::fs::write(path.with_extension("part"), "left by a crash").unwrap();
        write_atomically(&path, b"newer").unwrap();
        assert_eq!(read(&path).unwrap(), b"newer");
        for (name, to) in [("link", &target), ("dangling", &folder.path().join("none"))] {
            let link = folder.path().join(name);
            std::os::unix::fs::symlink(to, &link).unwrap();
            for options in [OpenOptions::new().read(true), OpenOptions::new().append(true).create(true)] {
                let error = open_own(&link, options).unwrap_err();
                assert!(error.to_string().contains("symbolic link"), "{name}: {error}");
            }
        }
        assert_eq!(std::fs::read(&target).unwrap(), b"precious");
        assert!(!folder.path().join("none").exists());
    }

    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link, pipe) = (folder.path().join("file"), folder.path().join("link"), folder.path().join("pipe"));
        std::fs::write(&file, "text").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!((read_to_string(&file).unwrap(), read(&link).unwrap()), ("text".to_owned(), b"text".to_vec()));
        for special in [pipe.as_path(), Path::new("/dev/zero"), Path::new("/dev/full")] {
            assert_eq!(read(special).unwrap_err().to_string(), "it is not a regular file", "{}", special.display());
        }
        assert_eq!(read_to_string(Path::new("/dev/null")).unwrap(), "");
        assert_eq!(open(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
