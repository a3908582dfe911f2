//! Verification of audit logs: verdicts on integrity, continuity and completeness, each finding with file and line; with what was
//! kept off the machine, also on seals and checkpoints.
//!
//! Any byte, line or file that was changed, added, moved or removed is reported. Complete lines beyond the head, a torn piece
//! after them and intents without an outcome are normal after a crash or in a live run: they are notes, not findings.
//!
//! The chain alone finds accidents: with write access to the folder all of it can be computed again. [`Proofs`] find that too.
//! Rule: "Audit log".

mod checkpoints;
mod facts;
mod runs;
mod scan;
mod seals;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::checkpoint::Checkpoint;
use super::log_files::{bytes_of, head_name, list};
use super::seal::VerificationKey;
use facts::RunFacts;
pub(crate) use scan::{ChainEnd, TornPiece, TornTail, scan_run, torn_piece_args};

/// What a finding contradicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every line is byte for byte what was written.
    Integrity,
    /// Every line follows the one before, across segments.
    Continuity,
    /// Nothing was removed or added: the head, the segments, the torn pieces and the run before are all there.
    Completeness,
    /// Every line up to the last seal is what was sealed, and no seal is missing.
    Seals,
    /// The log holds the lines that the checkpoints name.
    Checkpoints,
}

/// A violation and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The verdict it contradicts.
    pub verdict: Verdict,
    /// Name of the file within the folder.
    pub file: String,
    /// Line number from 1; 0 for the whole file.
    pub line: u64,
    /// A sentence.
    pub message: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// An intent without an outcome: the command is running, or a crash interrupted it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenIntentRow {
    /// File of the intent.
    pub file: String,
    /// Its line, from 1.
    pub line: u64,
    /// The command's id.
    pub cmd_id: String,
    /// The issuer.
    pub issuer: String,
    /// The command's name.
    pub command: String,
}

/// The result of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RunReport {
    /// The run id.
    pub run_id: String,
    /// Lines read, valid or not.
    pub lines: u64,
    /// Valid records among them.
    pub records: u64,
    /// Sequence number of the last valid record; 0 for an empty log.
    pub seq: u64,
    /// Hash of the last valid record.
    pub hash: String,
    /// Violations, in file order.
    pub findings: Vec<Finding>,
    /// Intents without an outcome, oldest first.
    pub open: Vec<OpenIntentRow>,
    /// Remarks that are no violations.
    pub notes: Vec<String>,
}

/// The result of a log folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Every run, by id.
    pub runs: Vec<RunReport>,
    /// Files that belong to no run.
    pub unknown_files: Vec<Finding>,
    /// What the runs, seals and checkpoints say of each other.
    pub between: Vec<Finding>,
    /// What the seals and checkpoints prove, a sentence each.
    pub proven: Vec<String>,
    /// What is not proven, a sentence each.
    pub unproven: Vec<String>,
}

/// What was kept off the machine, to hold a log to.
#[derive(Clone, Debug, Default)]
pub struct Proofs {
    /// Verification keys of the home's seals.
    pub keys: Vec<VerificationKey>,
    /// The sealing key of the home. Its number shows whether the newest seals were removed.
    pub seal_key: Option<PathBuf>,
    /// Checkpoints that were seen earlier.
    pub checkpoints: Vec<Checkpoint>,
}

impl Report {
    /// All violations.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.runs.iter().flat_map(|run| &run.findings).chain(&self.between).chain(&self.unknown_files)
    }

    /// Whether no finding contradicts this verdict.
    pub fn holds(&self, verdict: Verdict) -> bool {
        self.findings().all(|finding| finding.verdict != verdict)
    }

    /// Whether all verdicts hold.
    pub fn passed(&self) -> bool {
        self.findings().next().is_none()
    }
}

/// Checks every run in `dir`. Fails if the folder does not exist or a file cannot be read.
pub fn verify(dir: &Path) -> io::Result<Report> {
    verify_with(dir, &Proofs::default())
}

/// The same, and holds the log to what was kept off the machine.
pub fn verify_with(dir: &Path, proofs: &Proofs) -> io::Result<Report> {
    std::fs::metadata(dir)?;
    // The key before the lines: seals that a live writer makes meanwhile are then in the lines that are read.
    let key = proofs.seal_key.as_deref().map(super::seal_key::position);
    // Heads first, then names, then lines: lines that a live writer adds meanwhile are beyond the head that was read.
    let mut heads = HashMap::new();
    for run_id in list(dir)?.runs.into_keys() {
        let head = bytes_of(&dir.join(head_name(&run_id)))?;
        heads.insert(run_id, head);
    }
    let listing = list(dir)?;
    let mut report = Report::default();
    for name in listing.unknown_files {
        let message = String::from("the file belongs to no run of this log.");
        report.unknown_files.push(Finding { verdict: Verdict::Completeness, file: name, line: 0, message });
    }
    let mut facts = BTreeMap::new();
    for (run_id, files) in listing.runs {
        if let Some(head) = heads.remove(&run_id) {
            let scan = scan_run(dir, &run_id, &files, head, &mut |_, _| {})?;
            report.runs.push(scan.report);
            facts.insert(run_id, scan.facts);
        }
    }
    runs::check(&mut report, &facts);
    seals::check(&mut report, &facts, &proofs.keys, key);
    checkpoints::check(&mut report, &facts, &proofs.checkpoints);
    Ok(report)
}

impl Report {
    fn add(&mut self, verdict: Verdict, (file, line): (String, u64), message: impl Into<String>) {
        self.between.push(Finding { verdict, file, line, message: message.into() });
    }

    fn run_mut(&mut self, run_id: &str) -> Option<&mut RunReport> {
        self.runs.iter_mut().find(|run| run.run_id == run_id)
    }
}
