//! Files that may be anything: opened only when they have an end, so that a pipe or a device in a file's place is refused by
//! name and nobody waits for it.
//!
//! Knows no room. Bounds of size belong to whoever reads.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What a shell hands over in a file's place, such as `--config <(…)`, or as an empty one.
const SHELL_PATHS: [&str; 4] = ["/dev/stdin", "/dev/null", "/dev/fd", "/proc/self/fd"];

/// That nothing but an ordinary file stands there, a link to one, or nothing at all. A folder passes: what is done with it says
/// by itself what is wrong.
///
/// # Errors
/// That it is something else; what the system says of its place.
pub fn ordinary(path: &Path) -> io::Result<()> {
    let handed = || SHELL_PATHS.iter().any(|place| path.starts_with(place));
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() || found.is_dir() || handed() => Ok(()),
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not an ordinary file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens an ordinary file to read it.
///
/// # Errors
/// That it is none; what the system says.
pub fn open(path: &Path) -> io::Result<File> {
    ordinary(path)?;
    File::open(path)
}

/// All of an ordinary file.
///
/// # Errors
/// As [`open`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The same as text.
///
/// # Errors
/// As [`open`]; that it is not UTF-8.
pub fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_an_end_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link, pipe) = (folder.path().join("file"), folder.path().join("link"), folder.path().join("pipe"));
        std::fs::write(&file, "text").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!((text(&file).unwrap(), read(&link).unwrap()), ("text".to_owned(), b"text".to_vec()));
        for odd in [pipe.as_path(), Path::new("/dev/zero"), Path::new("/dev/full")] {
            assert_eq!(read(odd).unwrap_err().to_string(), "it is not an ordinary file", "{}", odd.display());
        }
        assert_eq!(text(Path::new("/dev/null")).unwrap(), "");
        assert_eq!(open(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
