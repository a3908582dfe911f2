//! Groups audit records by command. A mutating command has an intent and an outcome (after a crash: an abort or a
//! recovery), a read has one outcome, a refused command one rejection. Rule: "Audit log".

use ratatui::style::Style;
use serde_json::Value;

use crate::format::{arguments, raw};
use crate::screens::filter;
use crate::theme::Theme;
use townlet_wire::telemetry::AuditRow;

/// Status of a command according to the log: a sign of one cell, a word for screen and filter, and its style.
#[derive(Clone, Copy)]
pub(super) struct CommandStatus {
    pub(super) sign: &'static str,
    pub(super) word: &'static str,
    pub(super) style: fn(&Theme) -> Style,
}

const fn status(sign: &'static str, word: &'static str, style: fn(&Theme) -> Style) -> CommandStatus {
    CommandStatus { sign, word, style }
}

#[derive(Clone, Debug)]
pub(super) struct CommandRecords<'a> {
    /// Oldest first; never empty.
    pub(super) rows: Vec<&'a AuditRow>,
}

impl<'a> CommandRecords<'a> {
    /// The first record. Its sequence number identifies the command.
    pub(super) fn first(&self) -> &'a AuditRow {
        self.rows[0]
    }

    pub(super) fn last(&self) -> &'a AuditRow {
        self.rows[self.rows.len() - 1]
    }

    pub(super) fn status(&self) -> CommandStatus {
        let last = self.last();
        match (last.stage.as_str(), last.status.as_str()) {
            // The intent is durable; there is no outcome yet.
            ("intent", _) => status("…", "in flight", |theme| theme.warn),
            // Refused: role, syntax or a reused id.
            ("rejected", _) => status("✗", "rejected", |theme| theme.bad),
            // A retry: the answer of the first request was sent again.
            ("replayed", _) => status("↺", "replayed", |theme| theme.dim),
            // Interrupted by a crash; not executed.
            ("abort", _) => status("⊘", "aborted", |theme| theme.warn),
            // Interrupted by a crash after execution; completed at restart.
            ("recovered", _) => status("↻", "recovered", |theme| theme.good),
            // Lines that the log writes for itself.
            ("begin" | "rotate" | "seal", _) => status("·", "log", |theme| theme.dim),
            (_, "ok") => status("✓", "ok", |theme| theme.good),
            (_, "dry_run") => status("≈", "dry run", |theme| theme.dim),
            (_, "error") => status("✗", "error", |theme| theme.bad),
            _ => status("·", "log", |theme| theme.dim),
        }
    }

    pub(super) fn reason(&self) -> Option<&'a str> {
        self.rows.iter().find_map(|row| row.reason.as_deref()).filter(|reason| !reason.is_empty())
    }

    /// State digests before and after the command, if the log has both.
    pub(super) fn digests(&self) -> Option<(&'a str, &'a str)> {
        let before = self.rows.iter().map(|row| row.digest_before.as_str()).find(|text| !text.is_empty())?;
        let after = self.rows.iter().rev().map(|row| row.digest_after.as_str()).find(|text| !text.is_empty())?;
        Some((before, after))
    }

    /// Whether it matches the filter.
    pub(super) fn passes(&self, typed: &str) -> bool {
        let row = self.last();
        let args = arguments(&row.args);
        let tick = row.tick.to_string();
        let texts = [
            &row.command,
            &args,
            &row.issuer,
            self.status().word,
            &row.role,
            &row.transport,
            &row.cmd_id,
            &tick,
            &row.error,
            self.reason().unwrap_or_default(),
        ];
        let fields: [_; FIELDS.len()] = std::array::from_fn(|at| (FIELDS[at], texts[at]));
        filter::passes(typed, &fields)
    }
}

/// The fields of the filter.
pub(super) const FIELDS: [&str; 10] =
    ["command", "args", "issuer", "status", "role", "transport", "id", "tick", "error", "reason"];

/// Groups records by command, in order. An intent is joined by the next final record of the same `cmd_id`. Every other record
/// is a group of its own, so that a refused reuse of an id does not change the status of the first use.
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

/// Values of the arguments, in the order of the log. The reason has its own place.
pub(super) fn values(args: &Value) -> String {
    match args {
        Value::Object(fields) => {
            let others = fields.iter().filter(|(name, _)| *name != "reason");
            others.map(|(_, value)| raw(value)).collect::<Vec<_>>().join(" ")
        }
        other => arguments(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: u64, cmd_id: &str, stage: &str, status: &str) -> AuditRow {
        AuditRow { seq, cmd_id: cmd_id.into(), stage: stage.into(), status: status.into(), ..AuditRow::default() }
    }

    #[test]
    fn interleaved_intents_and_outcomes_are_grouped_by_command() {
        let records = [
            row(1, "a", "intent", ""),
            row(2, "b", "outcome", "ok"),
            row(3, "a", "outcome", "error"),
            row(4, "c", "intent", ""),
        ];
        let seen: Vec<_> = commands(&records)
            .iter()
            .map(|command| (command.first().seq, command.rows.len(), command.status().word))
            .collect();
        assert_eq!(seen, [(1, 2, "error"), (2, 1, "ok"), (4, 1, "in flight")]);
    }

    #[test]
    fn a_refused_reuse_of_an_id_does_not_change_the_first_use() {
        let records = [row(1, "a", "intent", ""), row(2, "a", "outcome", "ok"), row(3, "a", "rejected", "error")];
        let seen: Vec<_> = commands(&records).iter().map(|command| command.status().word).collect();
        assert_eq!(seen, ["ok", "rejected"]);
    }

    #[test]
    fn a_replayed_answer_is_no_refusal() {
        let records = [row(1, "a", "outcome", "ok"), row(2, "a", "replayed", "ok")];
        let seen: Vec<_> = commands(&records).iter().map(|command| command.status().word).collect();
        assert_eq!(seen, ["ok", "replayed"]);
    }

    #[test]
    fn a_retry_after_a_crash_is_a_new_group() {
        let records = [
            row(1, "a", "intent", ""),
            row(2, "a", "abort", "error"),
            row(3, "a", "intent", ""),
            row(4, "a", "recovered", "ok"),
            row(5, "", "rotate", "ok"),
        ];
        let seen: Vec<_> =
            commands(&records).iter().map(|command| (command.rows.len(), command.status().word)).collect();
        assert_eq!(seen, [(2, "aborted"), (2, "recovered"), (1, "log")]);
    }

    #[test]
    fn arguments_are_formatted() {
        assert_eq!(arguments(&serde_json::json!({"agent": "ada", "value": 0.5})), "agent=ada value=0.5");
        assert_eq!(values(&serde_json::json!({"agent": "ada", "value": 0.5})), "ada 0.5");
        assert_eq!(
            values(&serde_json::json!({"agent": "ada", "reason": "moved away"})),
            "ada",
            "it is in the second line"
        );
        assert_eq!(arguments(&Value::Null), "");
        assert_eq!(arguments(&serde_json::json!(["ada", 3])), "ada 3");
    }
}
