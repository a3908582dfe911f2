//! Commands and answers of this session, newest last. Secrets are not part of a command line. Rule: "Operator actions".

use std::collections::VecDeque;

use ratatui::style::Style;
use ratatui::text::Line;

use crate::answer_table;
use crate::format::thousands;
use crate::pane::DetailCard;
use crate::theme::Theme;
use townlet_wire::{Answer, Role, Status};

/// Maximum number of entries.
const MAX_ENTRIES: usize = 500;

/// A line of the Console pane.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The answer.
    pub answer: Answer,
    /// Role of the session when the command was sent.
    pub role: Role,
}

impl Entry {
    /// `✓`, `✗`, or `≈` for a dry run, with its style.
    pub const fn sign(&self, theme: &Theme) -> (&'static str, Style) {
        match self.answer.status {
            Status::Ok => ("✓", theme.good),
            Status::Error => ("✗", theme.bad),
            Status::DryRun => ("≈", theme.accent),
        }
    }

    /// All details: command, answer, audit location and result. A recording logs nothing.
    pub fn card(&self, theme: &Theme, is_recording: bool) -> DetailCard {
        let answer = &self.answer;
        let fact = |label: &str, value: &str| DetailCard::fact(label, value, 9, theme);
        let mut lines = vec![
            fact("command", &answer.command),
            fact("answer", &format!("{} {}", self.sign(theme).0, answer.summary())),
            fact("tick", &answer.shard_tick().map_or_else(|| "–".into(), thousands)),
            fact("cmd_id", &answer.cmd_id),
            fact("role", self.role.word()),
            fact(
                "audit",
                if answer.audit.is_empty() {
                    unplaced(answer.status, is_recording, answer.by_client)
                } else {
                    &answer.audit
                },
            ),
        ];
        if answer.replayed {
            lines.push(fact("note", "already executed under this cmd_id; not executed again"));
        }
        let rows = answer.result.as_ref().map(answer_table::rows).unwrap_or_default();
        if !rows.is_empty() {
            lines.push(Line::default());
            lines.extend(rows.into_iter().map(|row| Line::styled(row, theme.text)));
        }
        DetailCard { title: "Answer".into(), lines, live: false }
    }
}

/// Where an answer without a location is logged: reads and refusals do not wait for the audit log.
const fn unplaced(status: Status, is_recording: bool, by_client: bool) -> &'static str {
    match status {
        Status::Ok if !is_recording => "logged; see the Audit screen",
        _ if by_client => "the shard has not answered",
        Status::Error if !is_recording => "see the Audit screen",
        _ => "not logged",
    }
}

/// The newest answers of the session.
#[derive(Clone, Debug, Default)]
pub struct AnswerLog {
    entries: VecDeque<Entry>,
}

impl AnswerLog {
    /// Adds an answer and drops the oldest if there are too many.
    pub fn push(&mut self, answer: Answer, role: Role) {
        if self.entries.len() == MAX_ENTRIES {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { answer, role });
    }

    /// All entries, oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        self.entries.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_is_logged_although_its_answer_has_no_location() {
        let answer = Answer::new("7", "kpi", 5, Ok(serde_json::json!({ "summary": "3 met." })));
        let theme = Theme::named("dark", true).expect("a theme");
        let audit = |status, is_recording| {
            let entry = Entry { answer: Answer { status, ..answer.clone() }, role: Role::Viewer };
            let lines: Vec<String> = entry.card(&theme, is_recording).lines.iter().map(ToString::to_string).collect();
            lines.into_iter().find(|line| line.starts_with("audit")).expect("a row")
        };
        assert!(audit(Status::Ok, false).ends_with("logged; see the Audit screen"));
        assert!(
            audit(Status::DryRun, false).ends_with("not logged") && audit(Status::Ok, true).ends_with("not logged")
        );
    }
}
