//! Recovery of an existing run: moves the torn end that a crash left aside and refuses any other damage.
//!
//! Only bytes beyond the head with no complete line after them are moved; nothing is deleted. Requires the run's lock.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::chain::sync_dir;
use super::idempotency::IdempotencyIndex;
use super::log_files::{run_files, segment_name};
use super::record::{Record, Stage};
use super::verify::{ChainEnd, Finding, TornPiece, TornTail, Verdict, scan_run};
use super::writer::{AuditError, TAIL};
use townlet_wire::sha256;
use townlet_wire::telemetry::AuditRow;

pub(crate) struct Recovered {
    /// The last valid line; `None` for an empty log.
    pub(crate) end: Option<ChainEnd>,
    /// Intents without an end, oldest first.
    pub(crate) pending: Vec<Record>,
    /// Outcomes of mutating commands that were applied, in log order.
    pub(crate) done: Vec<Record>,
    pub(crate) index: IdempotencyIndex,
    pub(crate) tail: VecDeque<AuditRow>,
    /// What was moved aside; the log does not record it yet.
    pub(crate) torn_piece: Option<TornPiece>,
    pub(crate) last: LastRecord,
    /// The last line with a seal on it; 0 for none.
    pub(crate) sealed: u64,
}

/// What the log's own records take from the record before them.
#[derive(Clone, Default)]
pub(crate) struct LastRecord {
    pub(crate) config_id: String,
    pub(crate) tick: u64,
    pub(crate) ts: String,
}

/// Reads a run and moves a torn end aside.
pub(crate) fn recover(dir: &Path, run_id: &str) -> Result<Recovered, AuditError> {
    let failed = |error| AuditError::io("read the audit log in", dir, &error);
    let files = run_files(dir, run_id).map_err(failed)?;
    let (mut index, mut done) = (IdempotencyIndex::default(), Vec::new());
    let mut tail = VecDeque::new();
    let (mut last, mut sealed) = (LastRecord::default(), 0);
    let scan = scan_run(dir, run_id, &files, None, &mut |file, record| {
        index.apply(file, record);
        let ends = matches!(record.stage, Stage::Outcome | Stage::Recovered);
        if ends && index.contains(&record.issuer, &record.cmd_id) {
            done.push(record.clone());
        }
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(record.row());
        last = LastRecord { config_id: record.config_id.clone(), tick: record.tick, ts: record.ts.clone() };
        if record.stage == Stage::Seal {
            sealed = record.seq;
        }
    })
    .map_err(failed)?;
    let torn = scan.torn.as_ref();
    let broken: Vec<&Finding> = scan.report.findings.iter().filter(|finding| !is_torn_end(finding, torn)).collect();
    if let Some(first) = broken.first() {
        return Err(AuditError::Broken { first: first.to_string(), findings: broken.len() });
    }
    let torn_piece = torn
        .map(|torn| {
            set_aside(dir, run_id, torn).map_err(|error| AuditError::io("repair", &dir.join(&torn.file), &error))
        })
        .transpose()?
        .flatten();
    let pending = scan.open.into_iter().map(|(_, record)| record).collect();
    Ok(Recovered { end: scan.end, pending, done, index, tail, torn_piece, last, sealed })
}

/// Whether a finding is about the torn end only.
fn is_torn_end(finding: &Finding, torn: Option<&TornTail>) -> bool {
    torn.is_some_and(|torn| {
        finding.verdict == Verdict::Integrity && finding.file == torn.file && finding.line >= torn.line
    })
}

/// Moves everything from the torn line on to `<file>.torn`: copies it durably, then truncates the segment.
fn set_aside(dir: &Path, run_id: &str, torn: &TornTail) -> std::io::Result<Option<TornPiece>> {
    let path = dir.join(&torn.file);
    let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(torn.offset))?;
    file.read_to_end(&mut bytes)?;
    let piece = if bytes.is_empty() { None } else { Some(copy_torn(dir, &torn.file, &bytes)?) };
    if torn.offset == 0 && torn.file != segment_name(run_id, 1) {
        std::fs::remove_file(&path)?;
    } else {
        file.set_len(torn.offset)?;
        file.sync_all()?;
    }
    sync_dir(dir)?;
    Ok(piece)
}

fn copy_torn(dir: &Path, name: &str, bytes: &[u8]) -> std::io::Result<TornPiece> {
    let name = format!("{name}.torn");
    let mut torn: File = OpenOptions::new().create(true).append(true).open(dir.join(&name))?;
    let from = torn.metadata()?.len();
    torn.write_all(bytes)?;
    torn.sync_all()?;
    sync_dir(dir)?;
    Ok(TornPiece { file: name, from, bytes: bytes.len() as u64, sha256: sha256(bytes) })
}
