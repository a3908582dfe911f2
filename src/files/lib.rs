//! Opens regular files and refuses pipes and devices, which could block or never end. Callers limit the size.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Paths that a shell passes in place of a file, such as `--config <(…)` or `/dev/null`.
const SHELL_PATHS: [&str; 4] = ["/dev/stdin", "/dev/null", "/dev/fd", "/proc/self/fd"];

/// Fails if `path` is neither a regular file, a link to one, nor missing. A folder passes, because opening it fails anyway.
///
/// # Errors
/// Another kind of file, or an error of the operating system.
pub fn require_regular(path: &Path) -> io::Result<()> {
    let from_shell = || SHELL_PATHS.iter().any(|place| path.starts_with(place));
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() || found.is_dir() || from_shell() => Ok(()),
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens a regular file for reading.
///
/// # Errors
/// As [`require_regular`]; a missing file.
pub fn open(path: &Path) -> io::Result<File> {
    require_regular(path)?;
    File::open(path)
}

/// Reads a regular file.
///
/// # Errors
/// As [`open`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a regular file as text.
///
/// # Errors
/// As [`open`]; a file that is not UTF-8.
pub fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_and_devices_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link, pipe) = (folder.path().join("file"), folder.path().join("link"), folder.path().join("pipe"));
        std::fs::write(&file, "text").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!((text(&file).unwrap(), read(&link).unwrap()), ("text".to_owned(), b"text".to_vec()));
        for odd in [pipe.as_path(), Path::new("/dev/zero"), Path::new("/dev/full")] {
            assert_eq!(read(odd).unwrap_err().to_string(), "not a regular file", "{}", odd.display());
        }
        assert_eq!(text(Path::new("/dev/null")).unwrap(), "");
        assert_eq!(open(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
