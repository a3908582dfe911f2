//! What was asked in this session and what came back, newest last.
//!
//! Holds no secret: a line that carried one is remembered without it. Rule: "Acting" of the interface guide.

use std::collections::VecDeque;

use crate::wire::{Answer, Role, Status};

/// Entries kept.
const KEPT: usize = 500;

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
}

/// The session's answers, bounded.
#[derive(Clone, Debug, Default)]
pub struct Log {
    entries: VecDeque<Entry>,
}

impl Log {
    /// Adds an answer; the oldest goes when there are too many.
    pub fn push(&mut self, answer: Answer, role: Role) {
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { answer, role });
    }

    /// Oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        self.entries.iter()
    }
}
