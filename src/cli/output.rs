//! Plain output of the subcommands: text and JSON to standard output, rows in columns.
//!
//! Owns what happens when the reader of a pipe has gone. Knows no subcommand. Whatever may hold text from outside passes
//! [`columns`] or `wire::text::escape`, so that no control character reaches a terminal.

use std::io::{self, IsTerminal as _, Read as _, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

use townlet_tui::format::{pad, width};
use townlet_wire::text::escape;

/// Widest a column is filled up to; a longer cell moves only its own row.
const MAX_COLUMN_WIDTH: usize = 48;

/// A line to standard error, as `eprintln!`; one that nobody takes, as on a full disk or a closed pipe, changes nothing of what is
/// done and how it ends.
macro_rules! stderr {
    ($($text:tt)*) => {
        drop(std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{}\n", format_args!($($text)*))))
    };
}
pub(super) use stderr;

/// Whether whoever read standard output has gone.
static STDOUT_CLOSED: AtomicBool = AtomicBool::new(false);

/// That there is a terminal to draw on and to read keys from; `else_use` is what does without.
///
/// # Errors
/// That there is none.
pub(super) fn needs_terminal(else_use: &str) -> Result<()> {
    if io::stdout().is_terminal() && io::stdin().is_terminal() {
        return Ok(());
    }
    Err(anyhow!("the screen needs a terminal; {else_use}"))
}

/// Writes to standard output. Once its reader has gone, as that of `| head` does, nothing more is written; what was to be found out
/// still is, so that the exit status says it.
pub(super) fn print(text: &str) -> Result<()> {
    if stdout_closed() {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            STDOUT_CLOSED.store(true, Ordering::Relaxed);
            Ok(())
        }
        written => written.context("standard output"),
    }
}

/// Whether nobody reads standard output any more: what would go on for ever ends.
pub(super) fn stdout_closed() -> bool {
    STDOUT_CLOSED.load(Ordering::Relaxed)
}

/// Writes one line.
pub(super) fn line(text: &str) -> Result<()> {
    print(&format!("{text}\n"))
}

/// Writes a JSON value for a program to read.
pub(super) fn json(value: &Value) -> Result<()> {
    line(&serde_json::to_string_pretty(value).context("JSON")?)
}

/// Why a file that was named cannot be read.
pub(super) fn read_error(path: &Path, error: &io::Error) -> anyhow::Error {
    let name = escape(&path.display().to_string());
    match error.kind() {
        io::ErrorKind::NotFound => anyhow!("{name}: there is no such file or folder."),
        io::ErrorKind::IsADirectory => anyhow!("{name}: it is a folder; name a file in it."),
        io::ErrorKind::InvalidData => anyhow!("{name}: it is not text in UTF-8."),
        _ => anyhow!("{name}: {error}."),
    }
}

/// That nothing stands where something new is to be written.
///
/// # Errors
/// That something does, by name.
pub(super) fn require_absent(path: &Path) -> Result<()> {
    if path.symlink_metadata().is_ok() {
        let name = escape(&path.display().to_string());
        return Err(anyhow!("{name}: it is there already, and nothing is written over. Name a new file."));
    }
    Ok(())
}

/// That a home that was named is there.
///
/// # Errors
/// That it is not, by name.
pub(super) fn require_home(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    Err(anyhow!("--home {}: there is no such folder.", escape(&path.display().to_string())))
}

/// A file that was named, whole. Of a device, which has no end, no more than `most` bytes are read.
///
/// # Errors
/// Why it cannot be read, by name.
pub(super) fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = townlet_files::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes));
    let size = read.map_err(|error| read_error(path, &error))?;
    if size as u64 > most {
        let name = escape(&path.display().to_string());
        return Err(anyhow!("{name}: it has more than {}, which no such file has.", self::bytes(most)));
    }
    Ok(bytes)
}

/// The same as text.
///
/// # Errors
/// As [`read`]; that it is no text.
pub(super) fn read_text(path: &Path, most: u64) -> Result<String> {
    let not_text = |_| read_error(path, &io::ErrorKind::InvalidData.into());
    String::from_utf8(read(path, most)?).map_err(not_text)
}

/// Rows in aligned columns, made safe to print; the first row is the heading.
pub(super) fn columns<R: AsRef<[String]>>(rows: &[R]) -> String {
    let mut widths = vec![0; rows.first().map_or(0, |row| row.as_ref().len())];
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row.as_ref()) {
            *widest = (*widest).max(width(&escape(cell)).min(MAX_COLUMN_WIDTH));
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells = row.as_ref().iter().zip(&widths).map(|(cell, columns)| {
            let room = (*columns).max(width(&escape(cell)));
            pad(cell, room)
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A number of bytes as a person reads it.
pub(super) fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{:.1} KiB", count as f64 / 1024.0),
        _ => format!("{:.1} MiB", count as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_safe() {
        let rows = [["key".into(), "value".into()], ["seed".into(), "7\u{1b}[31m".into()], ["x".into(), String::new()]];
        assert_eq!(columns(&rows), "key   value\nseed  7\\u{1b}[31m\nx\n");
        let long = [["k".repeat(MAX_COLUMN_WIDTH + 5), "1".into()], ["s".into(), "2".into()]];
        let text = columns(&long);
        assert_eq!(text.lines().nth(1).map(|line| line.find('2')), Some(Some(MAX_COLUMN_WIDTH + 2)));
    }

    #[test]
    fn no_more_is_read_than_a_file_may_have() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "abc").unwrap();
        assert_eq!(read_text(&file, 3).unwrap(), "abc");
        assert!(read_text(&file, 2).unwrap_err().to_string().contains("more than 2 B"));
        std::fs::write(&file, [0xff]).unwrap();
        assert!(read_text(&file, 3).unwrap_err().to_string().contains("UTF-8"));
        assert!(read(folder.path(), 3).unwrap_err().to_string().contains("folder"));
    }

    #[test]
    fn sizes_are_readable() {
        assert_eq!([bytes(0), bytes(1023), bytes(1536), bytes(3 << 20)], ["0 B", "1023 B", "1.5 KiB", "3.0 MiB"]);
    }
}
