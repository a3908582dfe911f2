//! The files of a home folder as others see them: permissions, links, and temporary files that a crash left.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use super::Severity::{Bad, Ok as Fine, Warning};
use super::{CheckContext, Finding};

/// Maximum number of files looked at.
const MAX_FILES: usize = 50_000;
/// Number of names in a finding.
const SHOWN: usize = 3;
/// Folders of a home that the program writes to.
const FOLDERS: [&str; 3] = ["logs", "ops", "snapshots"];

/// What was found below the folders of a home.
#[derive(Default)]
struct Files {
    count: usize,
    writable: Vec<PathBuf>,
    links: Vec<PathBuf>,
    leftovers: Vec<PathBuf>,
}

impl Files {
    fn walk(home: &Path) -> Self {
        let mut files = Self::default();
        let mut open: Vec<PathBuf> = FOLDERS.iter().map(|folder| home.join(folder)).collect();
        while let Some(path) = open.pop() {
            let Ok(found) = std::fs::symlink_metadata(&path) else { continue };
            files.count += 1;
            if files.count > MAX_FILES {
                break;
            }
            if found.is_symlink() {
                files.links.push(path);
                continue;
            }
            if is_writable_by_others(&found) {
                files.writable.push(path.clone());
            }
            if path.extension().is_some_and(|extension| extension == "part") {
                files.leftovers.push(path.clone());
            }
            if found.is_dir()
                && let Ok(entries) = std::fs::read_dir(&path)
            {
                open.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
            }
        }
        for list in [&mut files.writable, &mut files.links, &mut files.leftovers] {
            list.sort();
        }
        files
    }
}

/// The first of some paths, and how many more there are.
fn names(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths.iter().take(SHOWN).map(|path| path.display().to_string()).collect();
    let more = paths.len().saturating_sub(SHOWN);
    shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

#[cfg(unix)]
fn is_writable_by_others(found: &Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o022 != 0
}

#[cfg(not(unix))]
fn is_writable_by_others(_: &Metadata) -> bool {
    false
}

/// The home, and the folders above it: a user who can write to one of them can replace everything below.
pub(super) fn home(context: &CheckContext) -> Vec<Finding> {
    let folder = context.home.folder();
    let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mut findings = Vec::new();
    for path in real.ancestors() {
        let Some(why) = townlet_files::folder_exposure(path) else { continue };
        let (severity, check) = if path == real { (Bad, "home") } else { (Bad, "parents") };
        findings.push(Finding::new(severity, check, path.display().to_string(), format!("{why}.")));
    }
    if findings.is_empty() {
        findings.push(Finding::new(
            Fine,
            "home",
            folder.display().to_string(),
            "no other user can write to it or replace it",
        ));
    }
    findings
}

pub(super) fn files(context: &CheckContext) -> Vec<Finding> {
    let found = Files::walk(context.home.folder());
    let mut findings = Vec::new();
    if !found.writable.is_empty() {
        let seen = format!("{} files or folders are writable by other users", found.writable.len());
        let to_do = format!("Run `chmod -R go-w {}`.", FOLDERS.join(" "));
        findings.push(Finding::new(Bad, "files", names(&found.writable), seen).with_advice(to_do));
    }
    if !found.links.is_empty() {
        let seen = "a link: it is not followed in place of the program's own files".to_owned();
        findings.push(
            Finding::new(Warning, "links", names(&found.links), seen).with_advice("Put the files there themselves."),
        );
    }
    if !found.leftovers.is_empty() {
        let seen = "a temporary file, left by a crash or being written now".to_owned();
        let to_do = "Remove it when no shard runs.";
        findings.push(Finding::new(Warning, "leftovers", names(&found.leftovers), seen).with_advice(to_do));
    }
    if found.count > MAX_FILES {
        let seen = format!("only {MAX_FILES} files were looked at");
        findings.push(Finding::new(Warning, "files", context.home.folder().display().to_string(), seen));
    }
    if findings.is_empty() {
        let seen = format!("{} files and folders, none writable by others, no links, nothing left over", found.count);
        findings.push(Finding::new(Fine, "files", FOLDERS.join(", "), seen));
    }
    findings
}
