//! History of the console line, navigated with the arrow keys.
//!
//! A line that may contain a secret is never stored; see [`may_be_stored`]. The shell writes the file.

use townlet_wire::holds_token;

use crate::app::without_note;

/// Maximum number of lines in memory and read from the file.
pub const MAX_LINES: usize = 1_000;

/// Whether a line may be stored. A token typed after `escalate` must not be.
pub fn may_be_stored(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("escalate") && !holds_token(line)
}

/// The lines, oldest first, and the current position.
#[derive(Clone, Debug, Default)]
pub struct InputHistory {
    lines: Vec<String>,
    at: Option<usize>,
    draft: String,
}

impl InputHistory {
    /// `lines`: those of earlier sessions, oldest first.
    pub fn new(lines: &[String]) -> Self {
        let lines = lines.iter().map(|line| without_note(line)).filter(|line| may_be_stored(line));
        let mut history = Self { lines: lines.map(str::to_owned).collect(), ..Self::default() };
        history.lines.drain(..history.lines.len().saturating_sub(MAX_LINES));
        history
    }

    /// Adds a sent line. Returns whether to write it to the history file.
    pub fn push(&mut self, line: &str) -> bool {
        self.at = None;
        if !may_be_stored(line) || self.lines.last().is_some_and(|last| last == line.trim()) {
            return false;
        }
        self.lines.push(line.trim().to_owned());
        true
    }

    /// Resets the position to the end.
    pub fn reset_position(&mut self) {
        self.at = None;
    }

    /// The newest line that contains `wanted`, ignoring case, before the line at `before`; with its position.
    pub fn find(&self, wanted: &str, before: usize) -> Option<(usize, &str)> {
        let wanted = wanted.to_lowercase();
        let lines = self.lines.iter().enumerate().take(before).rev();
        lines.map(|(at, line)| (at, line.as_str())).find(|(_, line)| line.to_lowercase().contains(&wanted))
    }

    /// Number of lines.
    pub const fn count(&self) -> usize {
        self.lines.len()
    }

    /// Moves to the previous line; `now` is the current text.
    pub fn older(&mut self, now: &str) -> Option<&str> {
        let at = match self.at {
            None => {
                now.clone_into(&mut self.draft);
                self.lines.len().checked_sub(1)?
            }
            Some(at) => at.saturating_sub(1),
        };
        self.at = Some(at);
        self.lines.get(at).map(String::as_str)
    }

    /// Moves to the next line; after the last, returns the text typed before.
    pub fn newer(&mut self) -> Option<&str> {
        let at = self.at? + 1;
        if at < self.lines.len() {
            self.at = Some(at);
            Some(&self.lines[at])
        } else {
            self.at = None;
            Some(&self.draft)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_back_and_forth_and_keeps_the_draft() {
        let given_up = "two # given up 0192aaaa-7c".to_owned();
        let mut history = InputHistory::new(&["one".into(), "escalate twn_a_b".into(), given_up]);
        assert_eq!(history.older("dra"), Some("two"));
        assert_eq!(history.older("two"), Some("one"));
        assert_eq!(history.older("one"), Some("one"));
        assert_eq!(history.newer(), Some("two"));
        assert_eq!(history.newer(), Some("dra"));
        assert_eq!(history.newer(), None);
    }

    #[test]
    fn keeps_no_secret_and_no_repetition() {
        let mut history = InputHistory::default();
        assert!(history.push("kpi"));
        assert!(!history.push("kpi "));
        assert!(!history.push("  escalate secret"));
        assert!(!history.push("say twn_1_secret"));
        assert!(!history.push("say twn%5f1_secret"));
        assert!(!history.push("  "));
        assert_eq!(history.lines, ["kpi"]);
    }
}
