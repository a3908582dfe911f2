//! `ops/employment.md`: a row for each decision on an employment exit.

use std::path::Path;

use fail::fail_point;
use serde_json::Value;

use super::markdown_log::{append_missing, cell};

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
            && line.contains(&format!("| {} | {} | {} |", cell(&self.shard), self.tick, cell(&self.issuer)))
            && line.ends_with(&format!("| {} |", self.cmd_id))
    }

    fn row(&self) -> String {
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
            self.when.strftime("%Y-%m-%d %H:%M:%S"),
            cell(&self.shard),
            self.tick,
            cell(&self.issuer),
            self.decision,
            self.resident,
            cell(&self.reason),
            self.cmd_id
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
