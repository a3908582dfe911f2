//! Files of a home folder: copies, listings, the audit log and the journal.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use townlet_audit::{Record, records, verify};

/// A home folder that is removed when the test ends.
pub(crate) fn temp_home() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// Every file below a folder, sorted; empty when the folder does not exist.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() { found.extend(files_below(&entry.path())) } else { found.push(entry.path()) }
    }
    found.sort();
    found
}

/// The only file of a folder whose name ends so.
#[track_caller]
pub(crate) fn only_file(folder: &Path, ending: &str) -> PathBuf {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("the folder").flatten().map(|it| it.path()).collect();
    files.retain(|file| file.to_string_lossy().ends_with(ending));
    assert_eq!(files.len(), 1, "{}: {files:?}", folder.display());
    files.remove(0)
}

/// Lets atomic writes of a file fail: a folder stands in place of its temporary file.
pub(crate) fn fail_writes_of(file: &Path) {
    std::fs::create_dir_all(file.with_extension("part")).expect("a folder can be made");
}

/// Copies a folder with everything below it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the target can be made");
    for entry in std::fs::read_dir(from).expect("the folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            // A running shard replaces temporary files meanwhile.
            match std::fs::copy(entry.path(), target) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                copied => drop(copied.expect("the file can be copied")),
            }
        }
    }
}

/// The journal files of a home, sorted.
pub(crate) fn journal_files(home: &Path) -> Vec<PathBuf> {
    let mut files = files_below(&home.join("logs/journal"));
    files.retain(|file| file.extension().is_some_and(|ending| ending == "tlj"));
    files
}

/// The newest file below a folder of a home with this ending: the segment that is written.
pub(crate) fn open_segment(home: &Path, folder: &str, ending: &str) -> PathBuf {
    let mut files = files_below(&home.join(folder));
    files.retain(|file| file.extension().is_some_and(|found| found == ending));
    files.pop().expect("there is a segment")
}

/// Moves a folder away and puts another one in its place, if the shard has not made one already.
pub(crate) fn replace_folder(folder: &Path) {
    std::fs::rename(folder, folder.with_extension("old")).unwrap();
    std::fs::create_dir_all(folder).unwrap();
}

/// Whether a run of this home has written a journal.
pub(crate) fn has_journal(home: &Path) -> bool {
    !journal_files(home).is_empty()
}

/// Every record of a home's audit log, which must verify. An unfinished last line is no record.
#[track_caller]
pub(crate) fn audit_log(home: &Path) -> Vec<Record> {
    let folder = home.join("logs/console");
    let report = verify(&folder).expect("there is an audit log");
    assert!(report.passed(), "{:?}", report.findings().map(ToString::to_string).collect::<Vec<_>>());
    let mut all = Vec::new();
    records(&folder, |_, _, record| {
        all.extend(record);
        Ok(())
    })
    .expect("the audit log can be read");
    all
}
