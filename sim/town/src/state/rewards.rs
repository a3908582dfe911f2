//! Reward items of the last tick.

use serde::{Deserialize, Serialize};

use crate::fixed_point::Micro;

/// Parts of a reward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Item {
    /// Cost of need deficits.
    Homeostasis = 0,
    /// Potential-based shaping of the deficits.
    Shaping = 1,
    /// Per tick lived.
    Survival = 2,
    /// Per tick worked.
    Wages = 3,
    /// For a shift begun on time.
    Punctuality = 4,
    /// Cost of a collapse or an eviction, outside the clip.
    Terminal = 5,
    /// Difference made by the clips.
    Clip = 6,
    /// Social reward, as far as the configured stage goes.
    Social = 7,
}

/// Number of items.
pub const ITEM_COUNT: usize = 8;

/// Names of the items, in order.
pub const ITEM_NAMES: [&str; ITEM_COUNT] =
    ["homeostasis", "shaping", "survival", "wages", "punctuality", "terminal", "clip", "social"];

/// Rewards of the last tick and counts since the town began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewards {
    /// Items of the last tick, summed over residents.
    pub items: [Micro; ITEM_COUNT],
    /// Their sum.
    pub total: Micro,
    /// Clip events since the town began.
    pub clip_events: u64,
}
