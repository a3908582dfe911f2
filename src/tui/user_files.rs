//! Files of the interface: the console history, the note that the first-run hint was seen, saved screens and exports.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::console::input_history;
use super::export::ExportFile;
use super::screenshot;

/// Default file of the console history, in the user's state folder.
pub fn history_file() -> Option<PathBuf> {
    state_file("console_history")
}

/// Default file that notes that the first-run hint was seen, in the user's state folder.
pub fn hint_seen_file() -> Option<PathBuf> {
    state_file("hint_seen")
}

/// A file in the user's state folder.
fn state_file(name: &str) -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    let strategy = etcetera::choose_base_strategy().ok()?;
    let folder = strategy.state_dir().unwrap_or_else(|| strategy.data_dir());
    Some(folder.join("townlet").join(name))
}

/// Writes the text and the SVG under the first unused name for this tick. Returns the path of the text file.
pub(crate) fn write_screen(folder: &Path, tick: u64, text: &str, svg: &str) -> io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let mut count = 1_u32;
    loop {
        let file = folder.join(screenshot::name(tick, count));
        match std::fs::File::create_new(&file) {
            Ok(mut created) => {
                created.write_all(text.as_bytes())?;
                std::fs::write(file.with_extension("svg"), svg)?;
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => count += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Writes exported files under the first number for which none of them exists. Returns their paths.
pub(crate) fn write_exports(folder: &Path, files: &[ExportFile]) -> io::Result<String> {
    std::fs::create_dir_all(folder)?;
    let path = |file: &ExportFile, count: u32| folder.join(format!("{}-{count}.{}", file.stem, file.extension));
    let mut count = 1_u32;
    while files.iter().any(|file| path(file, count).exists()) {
        count += 1;
    }
    let mut written = Vec::new();
    for file in files {
        let path = path(file, count);
        std::fs::File::create_new(&path)?.write_all(file.text.as_bytes())?;
        written.push(path.display().to_string());
    }
    Ok(written.join(", "))
}

/// Reads the newest lines of the console history; none when the file cannot be read.
pub fn read_lines(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(input_history::MAX_LINES)..].iter().map(|line| (*line).to_owned()).collect()
}

/// Appends a line to the console history, a file that only its owner can read.
pub fn append(file: &Path, line: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    writeln!(options.open(file)?, "{line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_screens_of_one_tick_get_two_files() {
        let folder = tempfile::tempdir().unwrap();
        let screens = folder.path().join("runs/screens");
        let first = write_screen(&screens, 3_402, "one", "<svg/>").unwrap();
        let second = write_screen(&screens, 3_402, "two", "<svg/>").unwrap();
        assert_eq!(first, screens.join("townlet-screen-3402-1.txt"));
        assert_eq!(second, screens.join("townlet-screen-3402-2.txt"));
        assert_eq!(std::fs::read_to_string(first).unwrap(), "one");
        assert_eq!(std::fs::read_to_string(second.with_extension("svg")).unwrap(), "<svg/>");
    }

    #[test]
    fn exports_replace_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = |extension| ExportFile { stem: "townlet-metrics-7".into(), extension, text: "a".into() };
        write_exports(folder.path(), &[file("svg")]).unwrap();
        let said = write_exports(folder.path(), &[file("csv"), file("svg")]).unwrap();
        assert!(said.contains("townlet-metrics-7-2.csv, ") && said.ends_with("townlet-metrics-7-2.svg"), "{said}");
        assert!(folder.path().join("townlet-metrics-7-1.svg").exists());
    }

    #[test]
    fn appended_lines_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state/history");
        assert!(read_lines(&file).is_empty());
        append(&file, "kpi").unwrap();
        append(&file, "employment_status").unwrap();
        assert_eq!(read_lines(&file), ["kpi", "employment_status"]);
    }
}
