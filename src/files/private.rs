//! Files that hold a secret: whether other users can read, change or replace them. Root and the user of this process are not
//! other users.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

use super::{open, open_own};

/// Users besides the owner that may read a file with a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// None.
    Owner,
    /// The group of a file that belongs to root, as system packages install the keys of certificates.
    GroupOfRoot,
}

/// Why other users can read, change or replace this file, as a sentence with the command that mends it; `None` if they cannot.
#[cfg(unix)]
pub fn exposure(path: &Path, found: &Metadata, readers: Readers) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let (mode, owner) = (found.mode() & 0o7777, found.uid());
    if !is_trusted(owner) {
        return Some(format!("it belongs to user {owner}, who can change it. Make it yours with `chown`"));
    }
    let group_reads = readers == Readers::GroupOfRoot && owner == 0;
    let open = mode & if group_reads { 0o037 } else { 0o077 };
    if open != 0 {
        let verb = if open & 0o022 == 0 { "read" } else { "change" };
        return Some(format!("other users can {verb} it (mode {mode:04o}). Run `chmod 600 {}`", path.display()));
    }
    folder_exposure(folder_of(path))
}

/// Other systems have other permissions, which are not checked.
#[cfg(not(unix))]
pub fn exposure(_: &Path, _: &Metadata, _: Readers) -> Option<String> {
    None
}

/// Why other users can replace the files of this folder, as a sentence; `None` if they cannot, or if there is no such folder. In a
/// folder with the sticky bit, users can replace only files of their own.
#[cfg(unix)]
pub fn folder_exposure(folder: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::metadata(folder).ok()?;
    let (mode, owner, name) = (found.mode() & 0o7777, found.uid(), folder.display());
    if !is_trusted(owner) {
        return Some(format!(
            "its folder {name} belongs to user {owner}, who can replace it. Make it yours with `chown`"
        ));
    }
    let open = mode & 0o022 != 0 && mode & 0o1000 == 0;
    open.then(|| format!("other users can replace it: {name} has mode {mode:04o}. Run `chmod go-w {name}`"))
}

/// Other systems have other permissions, which are not checked.
#[cfg(not(unix))]
pub fn folder_exposure(_: &Path) -> Option<String> {
    None
}

/// Opens a file of the program that holds a secret for reading, as [`open_own`] does, and refuses one that other users can read,
/// change or replace.
pub fn open_private(path: &Path) -> io::Result<File> {
    let file = open_own(path, OpenOptions::new().read(true))?;
    refuse(exposure(path, &file.metadata()?, Readers::Owner))?;
    Ok(file)
}

/// Opens a private key of a certificate for reading. Links are followed, because tools that renew certificates use them; the
/// file itself is held to [`exposure`].
pub fn open_key(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    let found = file.metadata()?;
    // A pipe of the shell has no permissions of its own.
    if found.is_file() {
        refuse(exposure(&path.canonicalize()?, &found, Readers::GroupOfRoot))?;
    }
    Ok(file)
}

/// Lets only the owner of a file that is created with `options` read or write it.
pub fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Whether the permissions of an open file let other users read or write it.
#[cfg(unix)]
pub fn is_open_to_others(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(file.metadata()?.permissions().mode() & 0o077 != 0)
}

/// Other systems have other permissions, which are not checked.
#[cfg(not(unix))]
pub fn is_open_to_others(_: &File) -> io::Result<bool> {
    Ok(false)
}

fn refuse(exposure: Option<String>) -> io::Result<()> {
    exposure.map_or(Ok(()), |why| Err(io::Error::new(io::ErrorKind::PermissionDenied, why)))
}

#[cfg(unix)]
fn is_trusted(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

/// The folder of a file. The parent of a bare file name is an empty path.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::super::{write_atomically, write_private};
    use super::*;

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_secret_that_others_can_read_change_or_replace_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (ops, path) = (folder.path().join("ops"), folder.path().join("ops/tokens.json"));
        write_private(&path, b"secret").unwrap();
        assert!(open_private(&path).is_ok());
        for (file, parent, words) in [
            (0o644, 0o755, "other users can read it (mode 0644). Run `chmod 600"),
            (0o640, 0o755, "other users can read it"),
            (0o620, 0o755, "other users can change it (mode 0620)"),
            (0o666, 0o755, "other users can change it (mode 0666)"),
            (0o600, 0o775, "other users can replace it"),
            (0o600, 0o777, "chmod go-w"),
        ] {
            mode(&path, file);
            mode(&ops, parent);
            let error = open_private(&path).unwrap_err().to_string();
            assert!(error.contains(words), "{file:o} {parent:o}: {error}");
        }
        mode(&path, 0o600);
        mode(&ops, 0o1777);
        assert!(open_private(&path).is_ok(), "the sticky bit protects files of other users");
    }

    #[test]
    fn a_private_file_is_private_from_its_creation_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/tokens.json");
        write_private(&path, b"one").unwrap();
        let modes = || [&path, path.parent().unwrap()].map(|it| it.metadata().unwrap().permissions().mode() & 0o7777);
        assert_eq!(modes()[0], 0o600);
        assert_eq!(modes()[1] & 0o022, 0);
        // A store that was open to others is closed when it is written, not opened again.
        mode(&path, 0o666);
        write_private(&path, b"two").unwrap();
        assert_eq!((modes()[0], std::fs::read(&path).unwrap()), (0o600, b"two".to_vec()));
        mode(&path, 0o644);
        write_atomically(&path, b"three").unwrap();
        assert_eq!(modes()[0], 0o644, "other files keep their permissions");
    }

    #[test]
    fn keys_of_certificates_may_be_links_but_not_open() {
        let folder = tempfile::tempdir().unwrap();
        let (key, link) = (folder.path().join("archive.key"), folder.path().join("live.key"));
        write_private(&key, b"key").unwrap();
        symlink(&key, &link).unwrap();
        assert!(open_key(&link).is_ok());
        assert!(open_private(&link).is_err());
        mode(&key, 0o644);
        assert!(open_key(&link).unwrap_err().to_string().contains("chmod 600"));
    }
}
