//! The files of the interface: saved screens, exports, the console history, the layouts, the bookmarks, the note that the first-run
//! hint was seen.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::bookmarks::{self, Bookmark, Bookmarks};
use super::console::input_history;
use super::export::ExportFile;
use super::layouts::{Layouts, MAX_BYTES};
use super::screenshot;

/// Default file of the console history, in the user's state folder.
pub fn history_file() -> Option<PathBuf> {
    state_file("console_history")
}

/// Default file that notes that the first-run hint was seen, in the user's state folder.
pub fn hint_seen_file() -> Option<PathBuf> {
    state_file("hint_seen")
}

/// Default file of the sizes of panes and the columns of tables, in the user's state folder.
pub fn layouts_file() -> Option<PathBuf> {
    state_file("layouts.json")
}

/// Default file of the bookmarks of runs, in the user's state folder.
pub fn bookmarks_file() -> Option<PathBuf> {
    state_file("bookmarks.json")
}

/// Default file of what was seen of the audit logs of shards, in the user's state folder.
pub fn known_shards_file() -> Option<PathBuf> {
    state_file("known_shards.json")
}

fn state_file(name: &str) -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    let strategy = etcetera::choose_base_strategy().ok()?;
    let folder = strategy.state_dir().unwrap_or_else(|| strategy.data_dir());
    Some(folder.join("townlet").join(name))
}

/// Reads a small regular file; `None` when there is none.
fn read_small(file: &Path, most: u64) -> Result<Option<String>, String> {
    let opened = match std::fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
        Ok(meta) if !meta.is_file() => return Err("it is not a regular file".to_owned()),
        Ok(_) => std::fs::File::open(file).map_err(|error| error.to_string())?,
    };
    let mut text = String::new();
    opened.take(most + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > most { Err(format!("it is larger than {most} bytes")) } else { Ok(Some(text)) }
}

/// Reads the file of the layouts: the default when there is none, and also, with a sentence, when it is damaged.
pub(crate) fn read_layouts(file: &Path) -> (Layouts, Option<String>) {
    let read =
        read_small(file, MAX_BYTES).and_then(|text| text.map_or(Ok(Layouts::default()), |text| Layouts::parse(&text)));
    match read {
        Ok(layouts) => (layouts, None),
        Err(why) => {
            let said = format!("{} is not used: {why}. Panes and tables have their defaults.", file.display());
            (Layouts::default(), Some(said))
        }
    }
}

/// Replaces the file of the layouts as a whole.
pub(crate) fn write_layouts(file: &Path, layouts: &Layouts) -> io::Result<()> {
    replace_whole(file, &layouts.to_text())
}

/// The bookmarks of a run in a file, or why it is not used.
pub(crate) fn read_bookmarks(file: &Path, run: &str) -> Result<Vec<Bookmark>, String> {
    Ok(all_bookmarks(file)?.of(run))
}

/// Sets or removes a bookmark of a run in a file. Returns those of the run. A damaged file is not replaced.
pub(crate) fn keep_bookmark(file: &Path, run: &str, tick: u64, note: Option<&str>) -> Result<Vec<Bookmark>, String> {
    let mut all = all_bookmarks(file)?;
    all.change(run, tick, note)?;
    replace_whole(file, &all.to_text()).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(all.of(run))
}

fn all_bookmarks(file: &Path) -> Result<Bookmarks, String> {
    let read = read_small(file, bookmarks::MAX_BYTES);
    let parsed = read.and_then(|text| text.map_or(Ok(Bookmarks::default()), |text| Bookmarks::parse(&text)));
    parsed.map_err(|why| format!("{} is not used: {why}", file.display()))
}

fn replace_whole(file: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let temporary = file.with_extension(format!("json.{}", std::process::id()));
    let written = std::fs::write(&temporary, text);
    written.and_then(|()| std::fs::rename(&temporary, file)).inspect_err(|_| remove(&[&temporary]))
}

/// Writes a new file, or none when it cannot be written whole.
fn create_whole(file: &Path, text: &str) -> io::Result<()> {
    std::fs::File::create_new(file)?.write_all(text.as_bytes()).inspect_err(|_| remove(&[file]))
}

/// Removes what was written in part.
fn remove(files: &[&Path]) {
    for file in files {
        drop(std::fs::remove_file(file));
    }
}

/// Writes the text and the SVG under the first unused name for this tick. Returns the path of the text file.
pub(crate) fn write_screen(folder: &Path, tick: u64, text: &str, svg: &str) -> io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let mut count = 1_u32;
    loop {
        let file = folder.join(screenshot::name(tick, count));
        match create_whole(&file, text) {
            Ok(()) => {
                let picture = file.with_extension("svg");
                std::fs::write(&picture, svg).inspect_err(|_| remove(&[&file, &picture]))?;
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
        create_whole(&path, &file.text)?;
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
    fn layouts_are_replaced_as_a_whole_and_a_damaged_file_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state/layouts.json");
        assert_eq!(read_layouts(&file), (Layouts::default(), None), "there is none");
        let layouts = Layouts::parse(r#"{"sizes": {"operations": [400, 300, 300]}, "columns": {}}"#).unwrap();
        write_layouts(&file, &layouts).unwrap();
        assert_eq!(read_layouts(&file), (layouts.clone(), None));
        let left: Vec<_> = std::fs::read_dir(file.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing temporary stays");
        for damaged in [String::new(), "{\"sizes\": 3}".to_owned(), "\0".to_owned(), " ".repeat(70_000)] {
            std::fs::write(&file, damaged).unwrap();
            let (read, said) = read_layouts(&file);
            assert_eq!(read, Layouts::default());
            let said = said.unwrap();
            assert!(said.contains("layouts.json is not used: ") && !said.contains('\n'), "{said}");
        }
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        assert!(read_layouts(&file).1.unwrap().contains("it is not a regular file"));
        assert!(write_layouts(&file, &layouts).is_err());
        assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing temporary stays");
    }

    #[test]
    fn bookmarks_are_kept_beside_those_of_other_programs_and_a_damaged_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state/bookmarks.json");
        assert_eq!(read_bookmarks(&file, "run-1"), Ok(Vec::new()), "there is none");
        keep_bookmark(&file, "run-1", 7, Some("seven")).unwrap();
        keep_bookmark(&file, "run-2", 9, Some("nine")).unwrap();
        let seven = vec![Bookmark { tick: 7, note: "seven".into() }];
        assert_eq!(read_bookmarks(&file, "run-1"), Ok(seven));
        assert_eq!(keep_bookmark(&file, "run-1", 7, None), Ok(Vec::new()));
        assert_eq!(read_bookmarks(&file, "run-2").map(|list| list.len()), Ok(1));
        assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing temporary stays");
        std::fs::write(&file, "{").unwrap();
        for said in [read_bookmarks(&file, "run-1"), keep_bookmark(&file, "run-1", 1, Some("x"))] {
            assert!(said.unwrap_err().contains("bookmarks.json is not used: "));
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{");
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
