//! The audit log's lines gathered into what an operator means by "a command": its intent and how it ended.
//!
//! Owns the pairing and the words for how a command ended. Must not know the terminal. Rule: "Audit log": a mutating
//! command leaves an intent and an outcome (or, after a crash, an abort or a recovery), a read one
//! outcome, a refused command one rejection.

use serde_json::Value;

use crate::screens::filter::Filter;
use townlet_wire::telemetry::AuditRow;

/// What can stand before a colon in the filter.
pub(super) const FIELDS: [&str; 10] =
    ["command", "args", "issuer", "status", "role", "transport", "id", "tick", "error", "reason"];

/// How a command ended, as far as the log tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommandStatus {
    /// Done.
    Ok,
    /// Would have been done.
    DryRun,
    /// Tried, and failed.
    Error,
    /// Not let in: role, grammar, a reused id.
    Rejected,
    /// Cut off by a crash; nothing was changed.
    Aborted,
    /// Cut off by a crash after it was applied; completed at restart.
    Recovered,
    /// The intent is durable, the outcome has not come.
    Open,
    /// The log's own business, such as the change to a new file.
    Log,
}

impl CommandStatus {
    /// One cell; beside it always stands the [`word`](Self::word) or the error.
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Ok => "✓",
            Self::DryRun => "≈",
            Self::Error | Self::Rejected => "✗",
            Self::Aborted => "⊘",
            Self::Recovered => "↻",
            Self::Open => "…",
            Self::Log => "·",
        }
    }

    /// What `status:` in the filter matches.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::DryRun => "dry run",
            Self::Error => "error",
            Self::Rejected => "rejected",
            Self::Aborted => "aborted",
            Self::Recovered => "recovered",
            Self::Open => "in flight",
            Self::Log => "log",
        }
    }
}

/// The lines of one command, oldest first; never empty.
#[derive(Clone, Debug)]
pub(super) struct CommandRecords<'a> {
    /// Oldest first.
    pub(super) rows: Vec<&'a AuditRow>,
}

impl<'a> CommandRecords<'a> {
    /// The line that opened it. Its number names the command for as long as the log keeps it.
    pub(super) fn first(&self) -> &'a AuditRow {
        self.rows[0]
    }

    /// The line that says most: the newest.
    pub(super) fn last(&self) -> &'a AuditRow {
        self.rows[self.rows.len() - 1]
    }

    /// How it ended.
    pub(super) fn status(&self) -> CommandStatus {
        let last = self.last();
        match (last.stage.as_str(), last.status.as_str()) {
            ("intent", _) => CommandStatus::Open,
            ("rejected", _) => CommandStatus::Rejected,
            ("abort", _) => CommandStatus::Aborted,
            ("recovered", _) => CommandStatus::Recovered,
            (_, "ok") => CommandStatus::Ok,
            (_, "dry_run") => CommandStatus::DryRun,
            (_, "error") => CommandStatus::Error,
            _ => CommandStatus::Log,
        }
    }

    /// The reason given with the command, wherever it was written.
    pub(super) fn reason(&self) -> Option<&'a str> {
        self.rows.iter().find_map(|row| row.reason.as_deref()).filter(|reason| !reason.is_empty())
    }

    /// The state digests around the command, when the log has both.
    pub(super) fn digests(&self) -> Option<(&'a str, &'a str)> {
        let before = self.rows.iter().map(|row| row.digest_before.as_str()).find(|text| !text.is_empty())?;
        let after = self.rows.iter().rev().map(|row| row.digest_after.as_str()).find(|text| !text.is_empty())?;
        Some((before, after))
    }

    /// Whether it passes the filter: bare words match any field, `issuer:`, `status:` and the like only theirs.
    pub(super) fn passes(&self, filter: &Filter) -> bool {
        let row = self.last();
        let args = arguments(&row.args);
        let tick = row.tick.to_string();
        filter.passes(&[
            ("command", row.command.as_str()),
            ("args", args.as_str()),
            ("issuer", row.issuer.as_str()),
            ("status", self.status().word()),
            ("role", row.role.as_str()),
            ("transport", row.transport.as_str()),
            ("id", row.cmd_id.as_str()),
            ("tick", tick.as_str()),
            ("error", row.error.as_str()),
            ("reason", self.reason().unwrap_or_default()),
        ])
    }
}

/// Groups in the order in which they were opened. An intent opens a command and the next line of the same `cmd_id` that
/// ends it joins; everything else stands alone, so that a refused reuse of an id never overwrites how the first use ended.
pub(super) fn commands(records: &[AuditRow]) -> Vec<CommandRecords<'_>> {
    let mut commands: Vec<CommandRecords<'_>> = Vec::with_capacity(records.len());
    for row in records {
        let ends = matches!(row.stage.as_str(), "outcome" | "abort" | "recovered") && !row.cmd_id.is_empty();
        let open = commands
            .iter_mut()
            .rev()
            .filter(|_| ends)
            .find(|command| command.last().stage == "intent" && command.first().cmd_id == row.cmd_id);
        match open {
            Some(command) => command.rows.push(row),
            None => commands.push(CommandRecords { rows: vec![row] }),
        }
    }
    commands
}

/// The values of the arguments, in the order of the log: much as they were typed.
pub(super) fn values(args: &Value) -> String {
    match args {
        Value::Object(fields) => fields.values().map(plain).collect::<Vec<_>>().join(" "),
        other => arguments(other),
    }
}

/// The arguments with their names where the log has them: `agent=ada value=0.5`.
pub(super) fn arguments(args: &Value) -> String {
    match args {
        Value::Null => String::new(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect::<Vec<_>>().join(" ")
        }
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(" "),
        other => plain(other),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: u64, cmd_id: &str, stage: &str, status: &str) -> AuditRow {
        AuditRow { seq, cmd_id: cmd_id.into(), stage: stage.into(), status: status.into(), ..AuditRow::default() }
    }

    #[test]
    fn an_intent_and_its_outcome_are_one_group_even_when_others_stand_between() {
        let records = [
            row(1, "a", "intent", ""),
            row(2, "b", "outcome", "ok"),
            row(3, "a", "outcome", "error"),
            row(4, "c", "intent", ""),
        ];
        let seen: Vec<_> = commands(&records)
            .iter()
            .map(|command| (command.first().seq, command.rows.len(), command.status()))
            .collect();
        assert_eq!(seen, [(1, 2, CommandStatus::Error), (2, 1, CommandStatus::Ok), (4, 1, CommandStatus::Open)]);
    }

    #[test]
    fn a_refused_reuse_of_an_id_leaves_the_first_use_as_it_ended() {
        let records = [row(1, "a", "intent", ""), row(2, "a", "outcome", "ok"), row(3, "a", "rejected", "error")];
        let seen: Vec<_> = commands(&records).iter().map(CommandRecords::status).collect();
        assert_eq!(seen, [CommandStatus::Ok, CommandStatus::Rejected]);
    }

    #[test]
    fn a_crash_ends_an_intent_and_a_retry_opens_anew() {
        let records = [
            row(1, "a", "intent", ""),
            row(2, "a", "abort", "error"),
            row(3, "a", "intent", ""),
            row(4, "a", "recovered", "ok"),
            row(5, "", "rotate", ""),
        ];
        let seen: Vec<_> = commands(&records).iter().map(|command| (command.rows.len(), command.status())).collect();
        assert_eq!(seen, [(2, CommandStatus::Aborted), (2, CommandStatus::Recovered), (1, CommandStatus::Log)]);
    }

    #[test]
    fn arguments_read_like_a_line() {
        assert_eq!(arguments(&serde_json::json!({"agent": "ada", "value": 0.5})), "agent=ada value=0.5");
        assert_eq!(values(&serde_json::json!({"agent": "ada", "value": 0.5})), "ada 0.5");
        assert_eq!(arguments(&Value::Null), "");
        assert_eq!(arguments(&serde_json::json!(["ada", 3])), "ada 3");
    }
}
