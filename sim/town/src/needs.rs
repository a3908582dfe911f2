//! The needs table: one row per need, with the settings it reads from the configuration.

use crate::config::Config;
use crate::fixed_point::Micro;

/// One need.
pub struct NeedRow {
    /// The name in the configuration, in telemetry and on screen.
    pub name: &'static str,
    /// Level of a newcomer.
    pub start: fn(&Config) -> Micro,
    /// Loss per tick.
    pub decay: fn(&Config) -> Micro,
    /// Level below which the resident decides anew at once.
    pub critical: fn(&Config) -> Micro,
    /// Weight of the deficit in the reward.
    pub weight: fn(&Config) -> Micro,
}

/// Number of needs.
pub const NEED_COUNT: usize = 3;

/// Row of hunger, which decides about collapse and starvation.
pub const HUNGER: usize = 0;
/// Row of hygiene.
pub const HYGIENE: usize = 1;
/// Row of energy.
pub const ENERGY: usize = 2;

/// The needs table. Levels are in [0, 1]; 1 is satisfied.
pub static NEEDS: [NeedRow; NEED_COUNT] = [
    NeedRow {
        name: "hunger",
        start: |config| config.needs.start.hunger,
        decay: |config| config.needs.decay_rates.hunger,
        critical: |config| config.needs.critical.hunger,
        weight: |config| config.rewards.needs_weights.hunger,
    },
    NeedRow {
        name: "hygiene",
        start: |config| config.needs.start.hygiene,
        decay: |config| config.needs.decay_rates.hygiene,
        critical: |config| config.needs.critical.hygiene,
        weight: |config| config.rewards.needs_weights.hygiene,
    },
    NeedRow {
        name: "energy",
        start: |config| config.needs.start.energy,
        decay: |config| config.needs.decay_rates.energy,
        critical: |config| config.needs.critical.energy,
        weight: |config| config.rewards.needs_weights.energy,
    },
];

/// Level at or below which a resident is not self-sufficient.
pub const SUFFICIENT_LEVEL: Micro = Micro(300_000);
