//! Lines typed before, to be had again with the arrow keys.
//!
//! No line that may hold a secret is ever kept: [`may_be_stored`] is the rule. The shell writes the file.

/// Lines kept in memory and read from the file.
pub const MAX_LINES: usize = 1_000;

/// Whether a line may be remembered. A token typed after `escalate` must be in no history.
pub fn may_be_stored(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("escalate") && !line.contains("twn_")
}

/// The lines, oldest first, and where the operator is among them.
#[derive(Clone, Debug, Default)]
pub struct InputHistory {
    lines: Vec<String>,
    at: Option<usize>,
    draft: String,
}

impl InputHistory {
    /// With the lines of earlier sessions, oldest first.
    pub fn new(lines: Vec<String>) -> Self {
        let mut history =
            Self { lines: lines.into_iter().filter(|line| may_be_stored(line)).collect(), ..Self::default() };
        history.lines.drain(..history.lines.len().saturating_sub(MAX_LINES));
        history
    }

    /// Keeps a line that was sent; whether it is worth writing to the file.
    pub fn push(&mut self, line: &str) -> bool {
        self.at = None;
        if !may_be_stored(line) || self.lines.last().is_some_and(|last| last == line.trim()) {
            return false;
        }
        self.lines.push(line.trim().to_owned());
        true
    }

    /// The next line gone back to is the newest again.
    pub fn reset_position(&mut self) {
        self.at = None;
    }

    /// The line before, going back from `now`.
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

    /// The line after, and at the end what was being typed.
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
        let mut history = InputHistory::new(vec!["one".into(), "escalate twn_a_b".into(), "two".into()]);
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
        assert!(!history.push("  "));
        assert_eq!(history.lines, ["kpi"]);
    }
}
