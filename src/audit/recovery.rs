//! Opening a run that was written before: what a crash left unfinished is set aside, anything else wrong is refused.
//!
//! Owns the mending of files. Must not judge: that is `verify`'s scan. Called with the run's lock held.
//! Only what lies beyond the head is ever set aside, and only when no whole line follows it; nothing is thrown away.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::chain::sync_dir;
use super::idempotency::IdempotencyIndex;
use super::log_files::{run_files, segment_name};
use super::record::{Entry, Record, Stage, sha256};
use super::verify::{ChainEnd, Finding, TornTail, TornPiece, Verdict, scan_run};
use super::writer::{AuditError, TAIL};
use townlet_wire::telemetry::AuditRow;

/// An intent whose end the log does not hold. Set `entry.stage` to `recovered` (with status, result and digest) or to
/// `abort`, and append it.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenIntent {
    /// The intent as it was written: `cmd_id`, `issuer`, `command`, `args`, …
    pub entry: Entry,
    /// Its number.
    pub seq: u64,
    /// Its file.
    pub file: String,
    /// Its line in that file, from 1.
    pub line: u64,
}

/// A run as it stands after mending.
pub(crate) struct Recovered {
    /// The last good line; `None` for an empty log.
    pub(crate) end: Option<ChainEnd>,
    pub(crate) pending: Vec<OpenIntent>,
    /// Ends of mutating commands that were applied, in the order of the log.
    pub(crate) done: Vec<Record>,
    pub(crate) index: IdempotencyIndex,
    pub(crate) tail: VecDeque<AuditRow>,
    /// What was set aside, still to be told in the log.
    pub(crate) aside: Option<TornPiece>,
    /// `config_id` and tick of the last record.
    pub(crate) last: (String, u64),
}

/// Reads and mends the run.
pub(crate) fn recover(dir: &Path, run_id: &str) -> Result<Recovered, AuditError> {
    let failed = |error| AuditError::io("read the audit log in", dir, &error);
    let files = run_files(dir, run_id).map_err(failed)?;
    let (mut index, mut done) = (IdempotencyIndex::default(), Vec::new());
    let mut tail = VecDeque::new();
    let mut last = (String::new(), 0);
    let scan = scan_run(dir, run_id, &files, None, &mut |file, record| {
        index.take(file, record);
        let ends = matches!(record.stage, Stage::Outcome | Stage::Recovered);
        if ends && index.knows(&record.issuer, &record.cmd_id) {
            done.push(record.clone());
        }
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(record.row());
        last = (record.config_id.clone(), record.tick);
    })
    .map_err(failed)?;
    let torn = scan.torn.as_ref();
    let broken: Vec<&Finding> = scan.report.findings.iter().filter(|finding| !is_of(finding, torn)).collect();
    if let Some(first) = broken.first() {
        return Err(AuditError::Broken { first: first.to_string(), findings: broken.len() });
    }
    let aside = torn
        .map(|torn| set_aside(dir, run_id, torn).map_err(|error| AuditError::io("mend", &dir.join(&torn.file), &error)))
        .transpose()?
        .flatten();
    let pending = scan.open.into_iter().map(|(open, record)| OpenIntent {
        entry: record.entry(),
        seq: record.seq,
        file: open.file,
        line: open.line,
    });
    Ok(Recovered { end: scan.end, pending: pending.collect(), done, index, tail, aside, last })
}

/// Whether a finding speaks of the torn end alone.
fn is_of(finding: &Finding, torn: Option<&TornTail>) -> bool {
    torn.is_some_and(|torn| {
        finding.verdict == Verdict::Integrity && finding.file == torn.file && finding.line >= torn.line
    })
}

/// Moves everything from the torn line on into `<file>.torn`: first there, durably, then away here.
fn set_aside(dir: &Path, run_id: &str, torn: &TornTail) -> std::io::Result<Option<TornPiece>> {
    let path = dir.join(&torn.file);
    let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
    let mut piece = Vec::new();
    file.seek(SeekFrom::Start(torn.offset))?;
    file.read_to_end(&mut piece)?;
    let aside = if piece.is_empty() { None } else { Some(keep(dir, &torn.file, &piece)?) };
    if torn.offset == 0 && torn.file != segment_name(run_id, 1) {
        std::fs::remove_file(&path)?;
    } else {
        file.set_len(torn.offset)?;
        file.sync_all()?;
    }
    sync_dir(dir)?;
    Ok(aside)
}

fn keep(dir: &Path, name: &str, piece: &[u8]) -> std::io::Result<TornPiece> {
    let name = format!("{name}.torn");
    let mut torn: File = OpenOptions::new().create(true).append(true).open(dir.join(&name))?;
    let from = torn.metadata()?.len();
    torn.write_all(piece)?;
    torn.sync_all()?;
    sync_dir(dir)?;
    Ok(TornPiece { file: name, from, bytes: piece.len() as u64, sha256: sha256(piece) })
}
