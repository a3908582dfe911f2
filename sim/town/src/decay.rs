//! Decay of the needs in a tick, and the counters of residents who are low, starving, collapsing or neglected.

use crate::events::EventKind;
use crate::fixed_point::Micro;
use crate::needs::{ENERGY, HUNGER, HYGIENE};
use crate::score;
use crate::tick_context::TickContext;

/// Lowers every need by its decay and updates the counters that depend on the levels.
pub(crate) fn run(cx: &mut TickContext<'_>) {
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
        if score::is_low(&levels) {
            agents.low_tick[agent] = Some(tick);
        }
        let collapsing = levels[HUNGER] <= cx.rules.config.lifecycle.collapse_hunger;
        extend(&mut agents.collapse_ticks[agent], collapsing);
        let neglected = levels[HYGIENE] == Micro::ZERO || levels[ENERGY] == Micro::ZERO;
        extend(&mut agents.neglect_ticks[agent], neglected);
        let starving = levels[HUNGER] <= starvation.hunger_threshold;
        if extend(&mut agents.starving_ticks[agent], starving) == starvation.min_duration_ticks {
            cx.count(|counters| counters.starvation_events += 1);
            score::add_starvation(cx, agent);
            cx.emit_for(agent, |who| EventKind::Starving { who });
        }
    }
}

/// Counts consecutive ticks: one more while `holds`, else back to zero.
fn extend(ticks: &mut u32, holds: bool) -> u32 {
    *ticks = if holds { ticks.saturating_add(1) } else { 0 };
    *ticks
}
