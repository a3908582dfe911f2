//! A policy that replays the options recorded in a journal, in their order.

use townlet_town::{Decider, OptionKind, Policy, Town};

/// Recorded options and the position of the replay.
#[derive(Clone, Debug, Default)]
pub struct ReplayPolicy {
    options: Vec<OptionKind>,
    next: usize,
    missing: u64,
}

impl ReplayPolicy {
    /// Adds the options of one or more further ticks.
    pub fn extend(&mut self, options: impl IntoIterator<Item = OptionKind>) {
        self.options.drain(..std::mem::take(&mut self.next));
        self.options.extend(options);
    }

    /// Recorded options that were not replayed yet.
    pub fn left(&self) -> usize {
        self.options.len() - self.next
    }

    /// Decisions for which no option was recorded: then the recording belongs to another town.
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
