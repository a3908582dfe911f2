//! Lines typed before, to be had again with the arrow keys.
//!
//! No line that may hold a secret is ever kept: [`keeps`] is the rule. The shell writes the file.

/// Lines kept in memory and read from the file.
pub const KEPT: usize = 1_000;

/// Whether a line may be remembered. A token typed after `escalate` must be in no history.
pub fn keeps(line: &str) -> bool {
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
        let mut recall = Self { lines: lines.into_iter().filter(|line| keeps(line)).collect(), ..Self::default() };
        recall.lines.drain(..recall.lines.len().saturating_sub(KEPT));
        recall
    }

    /// Keeps a line that was sent; whether it is worth writing to the file.
    pub fn push(&mut self, line: &str) -> bool {
        self.at = None;
        if !keeps(line) || self.lines.last().is_some_and(|last| last == line.trim()) {
            return false;
        }
        self.lines.push(line.trim().to_owned());
        true
    }

    /// The next line gone back to is the newest again.
    pub fn start_over(&mut self) {
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
        let mut recall = InputHistory::new(vec!["one".into(), "escalate twn_a_b".into(), "two".into()]);
        assert_eq!(recall.older("dra"), Some("two"));
        assert_eq!(recall.older("two"), Some("one"));
        assert_eq!(recall.older("one"), Some("one"));
        assert_eq!(recall.newer(), Some("two"));
        assert_eq!(recall.newer(), Some("dra"));
        assert_eq!(recall.newer(), None);
    }

    #[test]
    fn keeps_no_secret_and_no_repetition() {
        let mut recall = InputHistory::default();
        assert!(recall.push("kpi"));
        assert!(!recall.push("kpi "));
        assert!(!recall.push("  escalate secret"));
        assert!(!recall.push("say twn_1_secret"));
        assert!(!recall.push("  "));
        assert_eq!(recall.lines, ["kpi"]);
    }
}
