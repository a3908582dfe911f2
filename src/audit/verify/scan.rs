//! Reading a run once: every line, its link to the line before, the head, torn pieces, and the facts for the checks between runs.
//! Recovery uses the same scan.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::facts::{RunFacts, SealLine};
use super::{Finding, OpenIntentRow, RunReport, Verdict};
use crate::log_files::{Head, Line, Lines, RunFiles, bytes_of, head_name, segment_name};
use crate::record::{GENESIS, Record, Stage};
use crate::run_start::Begin;
use crate::seal::Seal;
use townlet_wire::sha256;

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
    pub(crate) facts: RunFacts,
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
    facts: RunFacts,
    /// Time of the last record, and the first place where time ran backwards.
    time: String,
    backwards: Option<(String, u64)>,
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
        facts: RunFacts::default(),
        time: String::new(),
        backwards: None,
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
        self.note_facts(record, name, line.number);
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
            Stage::Rejected | Stage::Rotate | Stage::Begin | Stage::Seal => {}
        }
    }

    fn note_facts(&mut self, record: &Record, name: &str, line: u64) {
        if record.ts < self.time && self.backwards.is_none() {
            self.backwards = Some((name.to_owned(), line));
            // Earlier versions wrote what the clock said.
            if self.facts.begin.is_some() {
                let message = format!("the time runs backwards: {} after {}.", record.ts, self.time);
                self.report_finding(Verdict::Continuity, name, line, message);
            }
        }
        match record.stage {
            Stage::Begin if record.seq != 1 => {
                self.report_finding(Verdict::Continuity, name, line, "`begin` is not the first line of its run.");
            }
            Stage::Begin => match Begin::of_args(&record.args) {
                Some(begin) => self.facts.begin = Some(begin),
                None => {
                    self.report_finding(Verdict::Integrity, name, line, "the line does not say how the run begins.");
                }
            },
            Stage::Seal => match Seal::of_args(&record.args) {
                Some(seal) => {
                    let in_place = self.facts.is_in_place(&seal, record);
                    self.facts.seals.push(SealLine { seal, file: name.to_owned(), line, in_place });
                }
                None => self.report_finding(Verdict::Integrity, name, line, "the line does not describe a seal."),
            },
            _ => {}
        }
        self.time.clone_from(&record.ts);
        self.facts.add(record, name, line);
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
        if let Some((file, line)) = self.backwards.filter(|_| self.facts.begin.is_none()) {
            let note =
                format!("{file}:{line}: the clock was set back; this version of the log wrote the time as it was.");
            self.report.notes.push(note);
        }
        RunScan { report: self.report, end: self.end, torn: self.bad, open, facts: self.facts }
    }
}

/// The arguments of the `recovered` record of a torn piece.
pub(crate) fn torn_piece_args(aside: &TornPiece) -> Value {
    serde_json::json!({ "set_aside": aside })
}
