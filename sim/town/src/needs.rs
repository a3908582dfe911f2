//! The needs table: what residents lack when left alone.
//!
//! One row a need; decay, start, critical level and reward weight come from the configuration by the row's name.

use crate::config::Config;
use crate::fixed_point::Micro;
use crate::tick_context::TickContext;

/// One need.
pub struct NeedRow {
    /// As in the configuration, in telemetry and on screen.
    pub name: &'static str,
    /// Level a newcomer starts with.
    pub start: fn(&Config) -> Micro,
    /// Loss a tick.
    pub decay: fn(&Config) -> Micro,
    /// Below this a resident may change its mind at once.
    pub critical: fn(&Config) -> Micro,
    /// Weight of its deficit in the reward.
    pub weight: fn(&Config) -> Micro,
}

/// Number of needs.
pub const NEED_COUNT: usize = 3;

/// Where hunger stands in the table: collapse and starvation are about hunger.
pub const HUNGER: usize = 0;
/// Where hygiene stands.
pub const HYGIENE: usize = 1;
/// Where energy stands.
pub const ENERGY: usize = 2;

/// THE table of needs. Levels are in [0, 1], 1 is satisfied.
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

/// Below this a need counts against self-sufficiency.
pub const SUFFICIENT_LEVEL: Micro = Micro(300_000);

/// Every resident's needs fall by a tick's decay; who is low, starving or neglected is noted.
pub(crate) fn decay(cx: &mut TickContext<'_>) {
    let tick = cx.state.tick;
    let starvation = &cx.rules.config.stability.starvation;
    for index in 0..cx.state.agents.present.len() {
        let agent = cx.state.agents.present[index];
        let agents = &mut cx.state.agents;
        let levels = &mut agents.needs[agent];
        let mut urgent = false;
        for (need, level) in levels.iter_mut().enumerate() {
            let before = *level;
            *level = (*level - cx.rules.decay[need]).unit();
            urgent |= before >= cx.rules.critical[need] && *level < cx.rules.critical[need];
        }
        let levels = *levels;
        if urgent {
            agents.decide[agent] = true;
        }
        if levels.iter().any(|level| *level <= SUFFICIENT_LEVEL) {
            agents.low_tick[agent] = Some(tick);
        }
        let starving = levels[HUNGER] <= starvation.hunger_threshold;
        let ticks = &mut agents.starving_ticks[agent];
        *ticks = if starving { ticks.saturating_add(1) } else { 0 };
        if *ticks == starvation.min_duration_ticks {
            cx.count(|counters| counters.starvation_events += 1);
            cx.emit_for(agent, |who| crate::events::EventKind::Starving { who });
        }
        let agents = &mut cx.state.agents;
        let collapsing = levels[HUNGER] <= cx.rules.config.lifecycle.collapse_hunger;
        let ticks = &mut agents.collapse_ticks[agent];
        *ticks = if collapsing { ticks.saturating_add(1) } else { 0 };
        let neglected = levels[HYGIENE] == Micro::ZERO || levels[ENERGY] == Micro::ZERO;
        let ticks = &mut agents.neglect_ticks[agent];
        *ticks = if neglected { ticks.saturating_add(1) } else { 0 };
    }
}
