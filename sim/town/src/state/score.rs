//! Totals behind the town score.

use serde::{Deserialize, Serialize};

use crate::fixed_point::Micro;

/// Totals of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayTotals {
    /// Σ (1 − level)² over needs, residents and ticks; rounded down once a tick.
    pub deficits: Micro,
    /// Residents, summed over ticks.
    pub resident_ticks: u64,
    /// Ticks of the shifts that started.
    pub scheduled_ticks: u64,
    /// Ticks worked.
    pub worked_ticks: u64,
    /// Full pay of the shifts that started.
    pub scheduled_wages: Micro,
    /// Wages paid.
    pub earned_wages: Micro,
    /// Starvation events. This field and all below are set at the end of the day.
    pub starvation_events: u32,
    /// Exits that no operator ordered.
    pub involuntary_exits: u32,
    /// Residents.
    pub residents: u32,
    /// Sum over residents of the mean of their two highest trusts.
    pub trust: Micro,
}

/// What a resident has contributed to the score since the day began, or since it arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResidentDay {
    /// Ticks at whose end the resident was present.
    pub ticks: u32,
    /// Σ (1 − level)² over needs and ticks, in 10⁻¹².
    pub squared_deficits: i64,
    /// Ticks with a need at or below the level of self-sufficiency.
    pub low_ticks: u32,
    /// Ticks worked, another resident's shift included.
    pub worked: u32,
    /// Ticks of its own shift not worked.
    pub missed: u32,
    /// Wages paid.
    pub paid: Micro,
    /// Wages not paid: of missed ticks, and penalties withheld.
    pub unpaid: Micro,
    /// Starvation events.
    pub starvation_events: u32,
    /// The trust term when the day began; 0 for a newcomer.
    pub trust_before: Micro,
}

/// Totals of the current and of the last whole day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// The current day so far.
    pub today: DayTotals,
    /// The last whole day; all zero before the first one is over.
    pub last: DayTotals,
}
