//! `townlet audit tail`: prints the newest records of a log folder and follows new ones.
//!
//! Checks each line by itself and marks damaged ones. It does not verify the chain; `audit verify` does.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result};

use super::output;
use townlet_audit::Record;
use townlet_tui::format::arguments;
use townlet_wire::escape;
use townlet_wire::telemetry::AuditRow;

/// Interval at which the files are checked.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Prints the newest `count` records and, with `follow`, every new one until interrupted.
pub(super) fn tail(folder: &Path, count: usize, follow: bool) -> Result<ExitCode> {
    let mut follower = Follower::default();
    let mut newest = follower.read(folder).with_context(|| folder.display().to_string())?;
    // Timestamps have equal length, so they sort as text. The stable sort keeps the order within a file.
    newest.sort_by(|a, b| a.0.cmp(&b.0));
    for (_, line) in newest.iter().skip(newest.len().saturating_sub(count)) {
        output::line(line)?;
    }
    if !follow {
        return Ok(ExitCode::SUCCESS);
    }
    let interrupted = output::signal_flag(&[signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM])?;
    while !interrupted.load(Ordering::Relaxed) {
        if output::stdout_closed() {
            return Ok(ExitCode::SUCCESS);
        }
        for (_, line) in follower.read(folder).with_context(|| folder.display().to_string())? {
            output::line(&line)?;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(ExitCode::from(super::EXIT_INTERRUPTED))
}

/// Bytes and lines read of each file.
#[derive(Default)]
struct Follower {
    read: BTreeMap<PathBuf, (u64, u64)>,
}

impl Follower {
    /// New complete lines, each with its timestamp and its printed form. A line without its newline is read later.
    fn read(&mut self, folder: &Path) -> io::Result<Vec<(String, String)>> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
            .collect();
        files.sort();
        let mut lines = Vec::new();
        for path in files {
            let (bytes, number) = self.read.entry(path.clone()).or_default();
            let mut file = File::open(&path)?;
            // The file is shorter than before, so it was replaced: start over.
            if file.metadata()?.len() < *bytes {
                (*bytes, *number) = (0, 0);
            }
            file.seek(SeekFrom::Start(*bytes))?;
            let mut reader = BufReader::new(file);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
                *bytes += line.len() as u64;
                *number += 1;
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                lines.push(match Record::parse(&line) {
                    Ok(record) => (record.ts.clone(), format_row(&record.row())),
                    Err(why) => (String::new(), escape(&format!("DAMAGED  {name}:{number}: {why}"))),
                });
                line.clear();
            }
        }
        Ok(lines)
    }
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
