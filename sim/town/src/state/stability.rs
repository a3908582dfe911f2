//! Stability windows: the open one and the last closed ones.

use serde::{Deserialize, Serialize};

use crate::fixed_point::Micro;
use crate::state::Counters;

/// Number of checks of a window.
pub const CHECK_COUNT: usize = 5;

/// The open window and the closed ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stability {
    /// Counters of the open window.
    pub counters: Counters,
    /// Per-resident returns in the open window.
    pub returns: Vec<Micro>,
    /// Closed windows, oldest first.
    pub closed: Vec<Window>,
    /// Number of windows ever closed.
    pub windows: u64,
    /// Consecutive green windows; inconclusive ones do not count.
    pub streak: u64,
}

/// A closed window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Number, from 1.
    pub number: u64,
    /// First tick after it.
    pub end: u64,
    /// Green or red; `None` when inconclusive.
    pub green: Option<bool>,
    /// Results in the order of the checks table.
    pub checks: [CheckReading; CHECK_COUNT],
}

/// Value, limit and sample count of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReading {
    /// Measured value; meaningless with too few samples.
    pub value: Micro,
    /// Largest acceptable value.
    pub threshold: Micro,
    /// Samples.
    pub samples: u32,
    /// Samples needed for a verdict.
    pub required: u32,
}

impl CheckReading {
    /// Whether the check passes; `None` with too few samples.
    pub fn holds(&self) -> Option<bool> {
        (self.samples >= self.required).then_some(self.value <= self.threshold)
    }
}
