//! `ops/employment.md`: a row for each decision on an employment exit, and the rows that still have to be written.

use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;

use fail::fail_point;
use serde_json::Value;

use super::disk_thread::DiskThread;
use super::engine::Message;
use super::markdown;
use super::markdown_log::append_missing;

const HEADER: &str = "# Employment exits: decisions

The program writes one row for each decision. The audit log in `logs/console` is the record; this file is for reading.

| when (UTC) | shard | tick | who | decision | resident | reason | cmd_id |
|---|---|---|---|---|---|---|---|
";

/// A row of `ops/employment.md`.
#[derive(Clone, Debug)]
pub(super) struct ExitDecision {
    /// When it was acknowledged; when it was recovered if that is unknown.
    pub when: jiff::Timestamp,
    pub shard: String,
    /// The tick at which it was applied.
    pub tick: u64,
    pub issuer: String,
    /// `approve` or `defer`.
    pub decision: String,
    /// The resident's id.
    pub resident: String,
    /// The text of `--reason`.
    pub reason: String,
    /// Identifies the command in the audit log; prevents a second row.
    pub cmd_id: String,
}

impl ExitDecision {
    /// The row of a command that was just applied; `None` if it decides no exit.
    pub(super) fn of(shard: &str, tick: u64, issuer: &str, command: &str, args: &Value, cmd_id: &str) -> Option<Self> {
        let decision = command.strip_prefix("employment_exit ").filter(|decision| *decision != "review")?.to_owned();
        let text = |name: &str| args.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (resident, reason, when) = (text("agent"), text("reason"), jiff::Timestamp::now());
        let (shard, issuer, cmd_id) = (shard.to_owned(), issuer.to_owned(), cmd_id.to_owned());
        Some(Self { when, shard, tick, issuer, decision, resident, reason, cmd_id })
    }

    /// Whether a line is this decision's row; its time may differ.
    fn is_in(&self, line: &str) -> bool {
        line.starts_with('|')
            && line.contains(&format!(
                "| {} | {} | {} |",
                markdown::text(&self.shard),
                self.tick,
                markdown::text(&self.issuer)
            ))
            && line.ends_with(&format!("| {} |", markdown::text(&self.cmd_id)))
    }

    fn row(&self) -> String {
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
            self.when.strftime("%Y-%m-%d %H:%M:%S"),
            markdown::text(&self.shard),
            self.tick,
            markdown::text(&self.issuer),
            markdown::text(&self.decision),
            markdown::text(&self.resident),
            markdown::text(&self.reason),
            markdown::text(&self.cmd_id)
        )
    }
}

/// Appends the decisions that are not listed yet, and returns how many. After an error some may have been appended.
pub(super) fn append_decisions(path: &Path, decisions: &[ExitDecision]) -> Result<usize, String> {
    if decisions.is_empty() {
        return Ok(0);
    }
    fail_point!("ops_write", |_| Err(format!("{}: fail point ops_write", path.display())));
    append_missing(path, HEADER, decisions, |line, decision| decision.is_in(line), ExitDecision::row)
}

/// How a write ended; a failed one with its rows.
pub(super) type RowsWritten = Result<(), (String, Vec<ExitDecision>)>;

pub(super) struct OperatorLog {
    path: PathBuf,
    missing: Vec<ExitDecision>,
    pub trouble: Option<String>,
}

impl OperatorLog {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, missing: Vec::new(), trouble: None }
    }

    /// Appends rows on the thread that writes files.
    pub(super) fn append(&self, rows: Vec<ExitDecision>, disk: &DiskThread, sender: &Sender<Message>) {
        let (path, sender) = (self.path.clone(), sender.clone());
        disk.run(move || {
            let written = append_decisions(&path, &rows).map(drop).map_err(|why| (why, rows));
            // If the loop has ended, the next start adds the missing rows.
            drop(sender.send(Message::OperatorLogWritten(written)));
        });
    }

    pub(super) fn retry(&mut self, disk: &DiskThread, sender: &Sender<Message>) {
        if !self.missing.is_empty() {
            let rows = std::mem::take(&mut self.missing);
            self.append(rows, disk, sender);
        }
    }

    pub(super) fn written(&mut self, written: RowsWritten) {
        match written {
            Ok(()) if self.missing.is_empty() => self.trouble = None,
            Ok(()) => {}
            Err((why, rows)) => {
                self.failed(&why);
                self.missing.extend(rows);
            }
        }
    }

    /// Notes that a page of the operators could not be written.
    pub(super) fn failed(&mut self, why: &str) {
        self.trouble = Some(format!("the operators' log could not be written: {why}"));
    }
}
