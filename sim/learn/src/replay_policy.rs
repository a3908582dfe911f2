//! A recording played back: the options a journal holds, in its order. Runs no policy.

use townlet_town::{Decider, OptionKind, Policy, Town};

/// Options of past ticks, and where the playing stands.
#[derive(Clone, Debug, Default)]
pub struct ReplayPolicy {
    options: Vec<OptionKind>,
    next: usize,
    missing: u64,
}

impl ReplayPolicy {
    /// Adds what was chosen in one or more further ticks.
    pub fn extend(&mut self, options: impl IntoIterator<Item = OptionKind>) {
        self.options.drain(..std::mem::take(&mut self.next));
        self.options.extend(options);
    }

    /// Options recorded and not yet played.
    pub fn left(&self) -> usize {
        self.options.len() - self.next
    }

    /// Decisions for which the recording had nothing: it does not belong to this town.
    pub fn missing(&self) -> u64 {
        self.missing
    }
}

impl Policy for ReplayPolicy {
    fn decide(&mut self, _town: &Town, deciders: &[Decider], choices: &mut Vec<OptionKind>) {
        for _ in deciders {
            let option = self.options.get(self.next).copied();
            self.missing += u64::from(option.is_none());
            self.next += usize::from(option.is_some());
            choices.push(option.unwrap_or_default());
        }
    }
}
