//! Verification of audit logs: three verdicts (integrity, continuity, completeness), each finding with file and line.
//!
//! Any byte, line or file that was changed, added, moved or removed is reported. Complete lines beyond the head, a torn piece
//! after them and intents without an outcome are normal after a crash or in a live run: they are notes, not findings. Recovery
//! uses the same scan. Rule: "Audit log".

use std::collections::HashMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::log_files::{Head, Line, Lines, RunFiles, bytes_of, head_name, list, segment_name};
use super::record::{GENESIS, Record, Stage};
use townlet_wire::sha256;

/// What a finding contradicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every line is byte for byte what was written.
    Integrity,
    /// Every line follows the one before, across segments.
    Continuity,
    /// Nothing was removed or added: the head, the segments and the torn pieces are all there.
    Completeness,
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
}

impl Report {
    /// All violations.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.runs.iter().flat_map(|run| &run.findings).chain(&self.unknown_files)
    }

    /// Whether no finding contradicts this verdict.
    pub fn holds(&self, verdict: Verdict) -> bool {
        self.findings().all(|finding| finding.verdict != verdict)
    }

    /// Whether all three verdicts hold.
    pub fn passed(&self) -> bool {
        self.findings().next().is_none()
    }
}

/// Checks every run in `dir`. Fails if the folder does not exist or a file cannot be read.
pub fn verify(dir: &Path) -> io::Result<Report> {
    std::fs::metadata(dir)?;
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
    for (run_id, files) in listing.runs {
        if let Some(head) = heads.remove(&run_id) {
            report.runs.push(scan_run(dir, &run_id, &files, head, &mut |_, _| {})?.report);
        }
    }
    Ok(report)
}

/// The description of a torn piece in its `recovered` record.
#[derive(Serialize, Deserialize)]
pub(crate) struct TornPiece {
    pub(crate) file: String,
    pub(crate) from: u64,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// An incomplete end beyond the head, which a crash left of unacknowledged lines.
#[derive(Clone, Debug)]
pub(crate) struct TornTail {
    pub(crate) file: String,
    pub(crate) line: u64,
    pub(crate) offset: u64,
}

/// The end of the last valid line.
#[derive(Clone, Debug)]
pub(crate) struct ChainEnd {
    pub(crate) segment: u32,
    /// Size of the segment in bytes, up to and including that line.
    pub(crate) bytes: u64,
    /// Number of that line within its segment.
    pub(crate) lines: u64,
    pub(crate) seq: u64,
    pub(crate) hash: String,
}

/// The result of reading a run once.
pub(crate) struct RunScan {
    pub(crate) report: RunReport,
    pub(crate) end: Option<ChainEnd>,
    pub(crate) torn: Option<TornTail>,
    pub(crate) open: Vec<(OpenIntentRow, Record)>,
}

struct RunScanner<'a> {
    report: RunReport,
    head: Option<Head>,
    head_seen: bool,
    end: Option<ChainEnd>,
    /// Whether the line before was valid, so that the next line's link can be checked.
    linked: bool,
    bad: Option<TornTail>,
    open: HashMap<(String, String), (OpenIntentRow, Record)>,
    torn_pieces: Vec<(String, u64, TornPiece)>,
    visit: &'a mut dyn FnMut(&str, &Record),
}

/// Reads a run's files once, checks every line, and passes every valid record to `visit` with its file name.
pub(crate) fn scan_run(
    dir: &Path,
    run_id: &str,
    files: &RunFiles,
    head: Option<Vec<u8>>,
    visit: &mut dyn FnMut(&str, &Record),
) -> io::Result<RunScan> {
    let report = RunReport { run_id: run_id.to_owned(), hash: GENESIS.to_owned(), ..RunReport::default() };
    let mut scanner = RunScanner {
        report,
        head: None,
        head_seen: false,
        end: None,
        linked: true,
        bad: None,
        open: HashMap::new(),
        torn_pieces: Vec::new(),
        visit,
    };
    // A run without a head a moment ago may have written its first one since.
    let head = head.map_or_else(|| bytes_of(&dir.join(head_name(run_id))), |head| Ok(Some(head)))?;
    scanner.take_head(head.as_deref());
    let mut expected = 1;
    for (number, name) in &files.segments {
        while expected < *number {
            let missing = segment_name(run_id, expected);
            scanner.report_finding(Verdict::Continuity, &missing, 0, "the segment is missing.");
            scanner.linked = false;
            expected += 1;
        }
        expected += 1;
        scanner.segment(&dir.join(name), name, *number)?;
    }
    scanner.check_head(files);
    scanner.check_torn_pieces(dir, files)?;
    Ok(scanner.finish())
}

impl RunScanner<'_> {
    fn report_finding(&mut self, verdict: Verdict, file: &str, line: u64, message: impl Into<String>) {
        self.report.findings.push(Finding { verdict, file: file.to_owned(), line, message: message.into() });
    }

    fn take_head(&mut self, bytes: Option<&[u8]>) {
        let name = head_name(&self.report.run_id);
        match bytes.map(Head::parse) {
            None => {}
            Some(Ok(head)) if head.run_id == self.report.run_id => {
                self.head_seen = head.seq == 0 && head.hash == GENESIS;
                self.head = Some(head);
            }
            Some(Ok(_)) => self.report_finding(Verdict::Completeness, &name, 1, "the head belongs to another run."),
            Some(Err(message)) => self.report_finding(Verdict::Completeness, &name, 1, message),
        }
    }

    fn segment(&mut self, path: &Path, name: &str, number: u32) -> io::Result<()> {
        if let Some(torn) = self.bad.take() {
            // An invalid piece is allowed only at the very end of a run.
            self.report_bad_line(&torn);
        }
        let mut empty = true;
        for line in Lines::open(path)? {
            let line = line?;
            empty = false;
            self.report.lines += 1;
            match Record::parse(&line.bytes) {
                Ok(record) => {
                    if let Some(torn) = self.bad.take() {
                        self.report_bad_line(&torn);
                    }
                    self.accept(&record, name, &line, number);
                }
                Err(message) => self.bad_line(name, &line, message),
            }
        }
        if empty && number > 1 {
            // A crash between creating a segment and writing its first line.
            self.bad = Some(TornTail { file: name.to_owned(), line: 1, offset: 0 });
        }
        Ok(())
    }

    /// Reports a torn piece that turned out not to be the last line.
    fn report_bad_line(&mut self, torn: &TornTail) {
        let known = self.report.findings.iter().any(|finding| finding.file == torn.file && finding.line == torn.line);
        if !known {
            self.report_finding(Verdict::Integrity, &torn.file, torn.line, "the line ends without a newline.");
        }
    }

    fn bad_line(&mut self, name: &str, line: &Line, message: String) {
        self.linked = false;
        let torn = TornTail { file: name.to_owned(), line: line.number, offset: line.offset };
        let first = self.bad.is_none();
        self.bad.get_or_insert(torn);
        // One incomplete piece may be a line that is being written; a complete invalid line may not.
        if line.bytes.ends_with(b"\n") || !first {
            self.report_finding(Verdict::Integrity, name, line.number, message);
        }
    }

    fn accept(&mut self, record: &Record, name: &str, line: &Line, segment: u32) {
        if self.linked {
            self.check_link(record, name, line.number);
        }
        if record.run_id != self.report.run_id {
            let message = format!("the line belongs to run `{}`.", record.run_id);
            self.report_finding(Verdict::Continuity, name, line.number, message);
        }
        let opens = line.number == 1 && segment > 1;
        if opens != (record.stage == Stage::Rotate) {
            let message = if opens {
                "the segment does not begin with `rotate`."
            } else {
                "`rotate` is not the first line of its segment."
            };
            self.report_finding(Verdict::Continuity, name, line.number, message);
        }
        self.linked = true;
        self.report.records += 1;
        self.report.seq = record.seq;
        self.report.hash.clone_from(&record.hash);
        let bytes = line.offset + line.bytes.len() as u64;
        self.end = Some(ChainEnd { segment, bytes, lines: line.number, seq: record.seq, hash: record.hash.clone() });
        if self
            .head
            .as_ref()
            .is_some_and(|head| (head.seq, &head.hash) == (record.seq, &record.hash) && head.file == name)
        {
            self.head_seen = true;
        }
        self.track_intent(record, name, line.number);
        if let Some(disturbance) = Some(record).filter(|_| opens).and_then(|record| record.args["disturbed"].as_str()) {
            self.report.notes.push(format!("{name}:{}: {disturbance}.", line.number));
        }
        (self.visit)(name, record);
    }

    fn check_link(&mut self, record: &Record, name: &str, line: u64) {
        let expected = self.report.seq + 1;
        if record.seq != expected {
            let message = format!("the line has number {}; {expected} was expected.", record.seq);
            self.report_finding(Verdict::Continuity, name, line, message);
        } else if record.prev != self.report.hash {
            self.report_finding(Verdict::Continuity, name, line, "the line does not name the hash of the line before.");
        }
    }

    fn track_intent(&mut self, record: &Record, name: &str, line: u64) {
        let key = (record.issuer.clone(), record.cmd_id.clone());
        match record.stage {
            Stage::Intent => {
                let open = OpenIntentRow {
                    file: name.to_owned(),
                    line,
                    cmd_id: record.cmd_id.clone(),
                    issuer: record.issuer.clone(),
                    command: record.command.clone(),
                };
                self.open.insert(key, (open, record.clone()));
            }
            Stage::Recovered if record.cmd_id.is_empty() => {
                if let Some(aside) = record.args.get("set_aside").cloned().map(serde_json::from_value::<TornPiece>) {
                    match aside {
                        Ok(aside) => self.torn_pieces.push((name.to_owned(), line, aside)),
                        Err(_) => self.report_finding(
                            Verdict::Completeness,
                            name,
                            line,
                            "the line does not describe a torn piece.",
                        ),
                    }
                }
            }
            Stage::Outcome | Stage::Abort | Stage::Recovered => {
                self.open.remove(&key);
            }
            Stage::Rejected | Stage::Rotate => {}
        }
    }

    fn check_head(&mut self, files: &RunFiles) {
        let name = head_name(&self.report.run_id);
        let last = files.segments.values().next_back().cloned();
        let Some(head) = self.head.clone() else {
            let named = self.report.findings.iter().any(|finding| finding.file == name);
            if self.report.records > 0 && !named {
                let message = "the head is missing, so a removed end cannot be detected.";
                self.report_finding(Verdict::Completeness, &name, 0, message);
            } else if !files.segments.is_empty() && !named {
                // A process that died while it created them leaves the same.
                let note = "no lines and no head: nothing was logged, or everything was removed.";
                self.report.notes.push(note.to_owned());
            }
            return;
        };
        let Some(last) = last else {
            let message = format!("the head names `{}`, and the run has no segment.", head.file);
            return self.report_finding(Verdict::Completeness, &name, 1, message);
        };
        if self.head_seen {
            if head.seq == 0 && head.file != segment_name(&self.report.run_id, 1) {
                self.report_finding(Verdict::Completeness, &name, 1, "the head of an empty log names another file.");
            }
            return;
        }
        if head.seq <= self.report.seq {
            let message = format!("the head names line {} of `{}`, and that line differs.", head.seq, head.file);
            return self.report_finding(Verdict::Completeness, &name, 1, message);
        }
        if let Some(torn) = self.bad.clone() {
            self.report_bad_line(&torn);
        }
        let message = format!(
            "the head names number {} as the last durable line; the log ends at {}: its end was removed.",
            head.seq, self.report.seq
        );
        let line = self.report.findings.iter().filter(|finding| finding.file == last).map(|finding| finding.line).max();
        let line = line.unwrap_or_else(|| self.line_after_end(&last));
        self.report_finding(Verdict::Completeness, &last, line, message);
    }

    /// The line after the end in the last segment: sequence numbers count through the run, lines through a file.
    fn line_after_end(&self, last: &str) -> u64 {
        self.end
            .as_ref()
            .filter(|end| segment_name(&self.report.run_id, end.segment) == last)
            .map_or(1, |end| end.lines + 1)
    }

    fn check_torn_pieces(&mut self, dir: &Path, files: &RunFiles) -> io::Result<()> {
        let aside = std::mem::take(&mut self.torn_pieces);
        for (name, line, claim) in &aside {
            // The name comes from the log, so only a listed file is opened.
            let bytes = if files.torn.contains(&claim.file) { bytes_of(&dir.join(&claim.file))? } else { None };
            let end = claim.from.saturating_add(claim.bytes);
            let piece = bytes.as_ref().and_then(|bytes| bytes.get(claim.from as usize..end as usize));
            if piece.is_none_or(|piece| sha256(piece) != claim.sha256) {
                let message = format!("the torn piece in `{}` is missing or was changed.", claim.file);
                self.report_finding(Verdict::Completeness, name, *line, message);
            }
        }
        for torn in &files.torn {
            self.report.notes.push(format!("{torn}: holds incomplete lines that a crash left."));
        }
        Ok(())
    }

    fn finish(mut self) -> RunScan {
        let mut open: Vec<(OpenIntentRow, Record)> = self.open.into_values().collect();
        open.sort_by_key(|(_, record)| record.seq);
        self.report.open = open.iter().map(|(open, _)| open.clone()).collect();
        if let Some(torn) = &self.bad {
            let note =
                format!("{}:{}: an incomplete line; it is moved aside when the run is opened.", torn.file, torn.line);
            self.report.notes.push(note);
        }
        if let Some(head) = self.head.as_ref().filter(|head| head.seq < self.report.seq) {
            let beyond = self.report.seq - head.seq;
            self.report.notes.push(format!("{beyond} chained lines beyond the head: the run is live, or it crashed."));
        }
        RunScan { report: self.report, end: self.end, torn: self.bad, open }
    }
}

/// The arguments of the `recovered` record of a torn piece.
pub(crate) fn torn_piece_args(aside: &TornPiece) -> Value {
    serde_json::json!({ "set_aside": aside })
}
