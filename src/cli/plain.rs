//! Plain output of the subcommands: text and JSON to standard output, rows in columns.
//!
//! Owns what happens when the reader of a pipe has gone. Knows no subcommand. Whatever may hold text from outside passes
//! [`columns`] or `wire::text::escape`, so that no control character reaches a terminal.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

use crate::tui::text::{pad, width};
use crate::wire::text::escape;

/// Widest a column is filled up to; a longer cell moves only its own row.
const WIDEST: usize = 48;

/// Writes to standard output. A reader that has gone ends the program: nobody is left to tell anything.
pub(super) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => written.context("standard output"),
    }
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
pub(super) fn unreadable(path: &Path, error: &io::Error) -> anyhow::Error {
    let name = escape(&path.display().to_string());
    match error.kind() {
        io::ErrorKind::NotFound => anyhow!("{name}: there is no such file or folder."),
        io::ErrorKind::IsADirectory => anyhow!("{name}: it is a folder; name a file in it."),
        io::ErrorKind::InvalidData => anyhow!("{name}: it is not text in UTF-8."),
        _ => anyhow!("{name}: {error}."),
    }
}

/// Rows in aligned columns, made safe to print; the first row is the heading.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(&escape(cell)).min(WIDEST));
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, columns)| {
            let room = columns.max(width(&escape(cell)));
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
        let long = [["k".repeat(WIDEST + 5), "1".into()], ["s".into(), "2".into()]];
        let text = columns(&long);
        assert_eq!(text.lines().nth(1).map(|line| line.find('2')), Some(Some(WIDEST + 2)));
    }

    #[test]
    fn sizes_are_readable() {
        assert_eq!([bytes(0), bytes(1023), bytes(1536), bytes(3 << 20)], ["0 B", "1023 B", "1.5 KiB", "3.0 MiB"]);
    }
}
