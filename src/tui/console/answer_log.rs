//! What was asked in this session and what came back, newest last.
//!
//! Holds no secret: a line that carried one is remembered without it. Rule: "Operator actions".

use std::collections::VecDeque;

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::format::{pad, thousands};
use crate::pane::DetailCard;
use crate::theme::Theme;
use townlet_wire::text::escape;
use townlet_wire::{Answer, Role, Status};

/// Entries kept.
const MAX_ENTRIES: usize = 500;

/// One line of the console pane.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The whole answer.
    pub answer: Answer,
    /// As what it was asked.
    pub role: Role,
}

impl Entry {
    /// `✓`, `✗` or, for a dry run, `≈`.
    pub const fn sign(&self) -> &'static str {
        match self.answer.status {
            Status::Ok => "✓",
            Status::Error => "✗",
            Status::DryRun => "≈",
        }
    }

    /// The style of the sign.
    pub const fn style(&self, theme: &Theme) -> Style {
        match self.answer.status {
            Status::Ok => theme.good,
            Status::Error => theme.bad,
            Status::DryRun => theme.accent,
        }
    }

    /// The whole answer to read: what was asked, how it ended, where it was logged, and every value of the result.
    pub fn card(&self, theme: &Theme) -> DetailCard {
        let answer = &self.answer;
        let fact = |label: &str, value: &str| {
            Line::from(vec![Span::styled(pad(label, 9), theme.dim), Span::styled(escape(value), theme.text)])
        };
        let mut lines = vec![
            fact("command", &answer.command),
            fact("answer", &format!("{} {}", self.sign(), answer.summary())),
            fact("tick", &thousands(answer.tick)),
            fact("cmd_id", &answer.cmd_id),
            fact("asked as", self.role.word()),
            fact("logged", if answer.audit.is_empty() { "no" } else { &answer.audit }),
        ];
        if answer.replayed {
            lines.push(fact("note", "done before under this cmd_id; nothing was applied twice"));
        }
        let mut result = answer.result.clone();
        if let Some(fields) = result.as_mut().and_then(serde_json::Value::as_object_mut) {
            fields.shift_remove("summary");
        }
        if let Some(result) = result.filter(|result| result.as_object().is_none_or(|fields| !fields.is_empty())) {
            lines.push(Line::default());
            let pretty = serde_json::to_string_pretty(&result).unwrap_or_default();
            lines.extend(pretty.lines().map(|line| Line::styled(escape(line), theme.text)));
        }
        DetailCard { title: "Answer".into(), lines }
    }
}

/// The session's answers, bounded.
#[derive(Clone, Debug, Default)]
pub struct AnswerLog {
    entries: VecDeque<Entry>,
}

impl AnswerLog {
    /// Adds an answer; the oldest goes when there are too many.
    pub fn push(&mut self, answer: Answer, role: Role) {
        if self.entries.len() == MAX_ENTRIES {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { answer, role });
    }

    /// Oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        self.entries.iter()
    }
}
