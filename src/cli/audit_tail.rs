//! `townlet audit tail`: prints the newest records of a log folder and follows new ones.
//!
//! Checks each line by itself and marks damaged ones. It does not verify the chain; `audit verify` does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result};

use super::output;
use townlet_audit::{Record, Selection, newest};
use townlet_tui::format::arguments;
use townlet_wire::escape;
use townlet_wire::telemetry::AuditRow;

/// Interval at which the files are checked.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Prints the newest `count` records and, with `follow`, every new one until interrupted.
pub(super) fn tail(folder: &Path, count: usize, follow: bool) -> Result<ExitCode> {
    let unreadable = || folder.display().to_string();
    // The ends of the files are noted first, so that no record is missed in between.
    let mut follower = Follower::at_the_end(folder).with_context(unreadable)?;
    let selection = Selection { limit: count, max_lines: u64::MAX, ..Selection::default() };
    let newest = newest(folder, &selection).with_context(unreadable)?;
    for (name, why) in newest.damaged.iter().rev() {
        output::line(&damaged(name, why))?;
    }
    for row in &newest.rows {
        output::line(&format_row(row))?;
    }
    follower.printed = newest.rows.into_iter().map(|row| row.hash).collect();
    if !follow {
        return Ok(ExitCode::SUCCESS);
    }
    let interrupted = output::signal_flag(&[signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM])?;
    while !interrupted.load(Ordering::Relaxed) {
        if output::stdout_closed() {
            return Ok(ExitCode::SUCCESS);
        }
        for line in follower.read(folder).with_context(unreadable)? {
            output::line(&line)?;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(ExitCode::from(super::EXIT_INTERRUPTED))
}

/// Bytes read of each file.
#[derive(Default)]
struct Follower {
    read: BTreeMap<PathBuf, u64>,
    /// Hashes of records that were printed before the files were followed.
    printed: BTreeSet<String>,
}

impl Follower {
    /// Follows what is written from now on.
    fn at_the_end(folder: &Path) -> io::Result<Self> {
        let mut read = BTreeMap::new();
        for path in log_files(folder)? {
            let bytes = path.metadata()?.len();
            read.insert(path, bytes);
        }
        Ok(Self { read, printed: BTreeSet::new() })
    }

    /// New complete lines as they are printed. A line without its newline is read later.
    fn read(&mut self, folder: &Path) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        for path in log_files(folder)? {
            let bytes = self.read.entry(path.clone()).or_default();
            let mut file = File::open(&path)?;
            // The file is shorter than before, so it was replaced: start over.
            if file.metadata()?.len() < *bytes {
                *bytes = 0;
            }
            file.seek(SeekFrom::Start(*bytes))?;
            let mut reader = BufReader::new(file);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
                *bytes += line.len() as u64;
                match Record::parse(&line) {
                    Ok(record) if self.printed.remove(&record.hash) => {}
                    Ok(record) => lines.push(format_row(&record.row())),
                    Err(why) => lines.push(damaged(&path.file_name().unwrap_or_default().to_string_lossy(), &why)),
                }
                line.clear();
            }
        }
        Ok(lines)
    }
}

fn log_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    Ok(files)
}

fn damaged(name: &str, why: &str) -> String {
    escape(&format!("DAMAGED  {name}: {why}"))
}

/// A record as a line: time, tick, issuer, role, command, stage, status.
fn format_row(row: &AuditRow) -> String {
    let command = format!("{} {}", row.command, arguments(&row.args));
    let command = command.trim_end();
    let ended = if row.status.is_empty() { String::new() } else { format!(" {}", row.status) };
    let mut line =
        format!("{}  tick {}  {} ({})  {command}  {}{ended}", row.ts, row.tick, row.issuer, row.role, row.stage);
    for more in [row.reason.as_deref().unwrap_or_default(), row.error.as_str()].iter().filter(|more| !more.is_empty()) {
        line = format!("{line}  {more}");
    }
    escape(&line)
}
