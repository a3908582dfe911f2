//! What a tick was worth to each resident, item by item; the items always add up to the total.
//!
//! Fixed-point like everything in the town; learning turns the total into a float. Rule: "Rewards".

use serde::{Deserialize, Serialize};

use crate::employment::ExitEntry;
use crate::fixed_point::Micro;
use crate::ids::{AgentId, Column, ResidentId};
use crate::lifecycle::ExitCause;
use crate::needs::NEED_COUNT;
use crate::rules::Rules;
use crate::state::{ShiftState, State};
use crate::tick_context::TickContext;

/// Parts of a reward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Item {
    /// Cost of deficits.
    Homeostasis = 0,
    /// Potential-based shaping of the same.
    Shaping = 1,
    /// For living.
    Survival = 2,
    /// For working.
    Wages = 3,
    /// For being on time.
    Punctuality = 4,
    /// What a collapse or an eviction costs, outside the clip.
    Terminal = 5,
    /// What the clips took or gave.
    Clip = 6,
    /// For good company, as far as the stage goes.
    Social = 7,
}

/// Number of items.
pub const ITEM_COUNT: usize = 8;

/// Every item's name, in order.
pub const ITEM_NAMES: [&str; ITEM_COUNT] =
    ["homeostasis", "shaping", "survival", "wages", "punctuality", "terminal", "clip", "social"];

/// Rewards of the last tick and counts since the town began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewards {
    /// Items of the last tick, summed over residents.
    pub items: [Micro; ITEM_COUNT],
    /// Their sum.
    pub total: Micro,
    /// Clips since the town began.
    pub clip_events: u64,
}

/// The last tick by resident: follows from the tick, so it stands beside the state and not in it.
#[derive(Clone, Debug)]
pub(crate) struct TickRewards {
    pub(crate) of: Column<AgentId, Micro>,
    pub(crate) left: Vec<Departure>,
}

impl TickRewards {
    pub(crate) fn with_slots(slots: usize) -> Self {
        Self { of: Column::filled(slots, Micro::ZERO), left: Vec::with_capacity(slots) }
    }
}

/// Somebody who left in the last tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The slot they had; somebody else may have it by now.
    pub agent: AgentId,
    /// Who.
    pub who: ResidentId,
    /// What the tick was worth to them.
    pub reward: Micro,
}

/// Σ wᵢ·deficitᵢ² of a resident.
fn deficit(rules: &Rules, needs: &[Micro; NEED_COUNT]) -> Micro {
    let mut sum = Micro::ZERO;
    for (level, weight) in needs.iter().zip(rules.weights) {
        let missing = Micro::ONE - *level;
        sum += missing.times(missing).times(weight);
    }
    sum
}

fn potential(rules: &Rules, needs: &[Micro; NEED_COUNT]) -> Micro {
    -deficit(rules, needs).times(rules.config.rewards.homeostasis_scale)
}

/// A new tick's sums, before anybody can leave in it: what a departure costs belongs to its tick.
pub(crate) fn begin(cx: &mut TickContext<'_>) {
    cx.state.rewards.items = [Micro::ZERO; ITEM_COUNT];
    cx.state.rewards.total = Micro::ZERO;
    cx.rewarded.of.iter_mut().for_each(|reward| *reward = Micro::ZERO);
    cx.rewarded.left.clear();
}

/// Hands out the tick's rewards.
pub(crate) fn run(cx: &mut TickContext<'_>) {
    // Asked once, because it is seldom so, and the queue of a large town is long.
    let window = u64::from(cx.rules.config.rewards.clip.no_positive_within_death_ticks);
    let leaving = cx.state.employment.queue.iter().any(|entry| certain(cx.rules, cx.state, entry, window));
    cx.each(|cx, agent| resident(cx, agent, leaving));
}

fn resident(cx: &mut TickContext<'_>, agent: AgentId, somebody_leaves: bool) {
    let rules = cx.rules;
    let config = &rules.config.rewards;
    let needs = cx.state.agents.needs[agent];
    let mut items = [Micro::ZERO; ITEM_COUNT];
    let potential = potential(rules, &needs);
    items[Item::Homeostasis as usize] = potential;
    if rules.config.shaping.use_potential {
        let previous = cx.state.agents.potential[agent];
        items[Item::Shaping as usize] = potential.times(rules.config.ppo.gamma) - previous;
        cx.state.agents.potential[agent] = potential;
    }
    items[Item::Survival as usize] = config.survival_tick;
    let shift = cx.state.agents.shift[agent];
    items[Item::Social as usize] = std::mem::take(&mut cx.state.agents.social[agent]);
    let at_work = matches!(shift.state, ShiftState::OnTime | ShiftState::Late) && shift.away == 0;
    if at_work || crate::work::covers(rules, cx.state, agent) {
        items[Item::Wages as usize] = config.wage_rate;
        if shift.state == ShiftState::OnTime && shift.worked == 1 {
            items[Item::Punctuality as usize] = config.punctuality_bonus;
        }
    }
    if doomed(rules, cx.state, agent, somebody_leaves) {
        for item in &mut items {
            *item = (*item).min(Micro::ZERO);
        }
    }
    clip(cx, agent, &mut items);
    give(cx, agent, items);
}

/// While a collapse counts down or an exit is certain, nothing positive is given.
fn doomed(rules: &Rules, state: &State, agent: AgentId, somebody_leaves: bool) -> bool {
    let window = rules.config.rewards.clip.no_positive_within_death_ticks;
    let collapse = rules.config.lifecycle.collapse_ticks;
    let collapsing = state.live_settings.mortality && state.agents.collapse_ticks[agent] + window > collapse;
    let leaving = somebody_leaves
        && state.employment.entry(agent).is_some_and(|entry| certain(rules, state, entry, u64::from(window)));
    window > 0 && (collapsing || leaving)
}

/// Whether an employment exit is approved, or due within the window.
fn certain(rules: &Rules, state: &State, entry: &ExitEntry, window: u64) -> bool {
    entry.approved || state.tick + window > crate::employment::review_ends_at(rules, entry)
}

/// The clips: a tick's sum, then the episode's. Both land in an item of their own.
fn clip(cx: &mut TickContext<'_>, agent: AgentId, items: &mut [Micro; ITEM_COUNT]) {
    let limits = &cx.rules.config.rewards.clip;
    let sum: Micro = items.iter().copied().sum();
    let mut kept = sum.clamp(-limits.clip_per_tick, limits.clip_per_tick);
    cx.state.rewards.clip_events += u64::from(kept != sum);
    let so_far = cx.state.agents.episode_return[agent];
    // An episode that is beyond a limit lowered meanwhile stays where it is: nothing given is taken back.
    let (least, most) = (so_far.min(-limits.clip_per_episode), so_far.max(limits.clip_per_episode));
    let within = (so_far + kept).clamp(least, most) - so_far;
    cx.state.rewards.clip_events += u64::from(within != kept);
    kept = within;
    cx.state.agents.episode_return[agent] = so_far + kept;
    items[Item::Clip as usize] = kept - sum;
}

fn give(cx: &mut TickContext<'_>, agent: AgentId, items: [Micro; ITEM_COUNT]) {
    let total: Micro = items.iter().copied().sum();
    for (sum, item) in cx.state.rewards.items.iter_mut().zip(items) {
        *sum += item;
    }
    cx.state.rewards.total += total;
    cx.state.agents.window_return[agent] += total;
    cx.rewarded.of[agent] += total;
}

/// A newcomer's potential, so that the first shaping is not a jump.
pub(crate) fn welcome(cx: &mut TickContext<'_>, agent: AgentId) {
    cx.state.agents.potential[agent] = potential(cx.rules, &cx.state.agents.needs[agent]);
    cx.rewarded.of[agent] = Micro::ZERO;
}

/// The end of an episode, outside the clip.
pub(crate) fn depart(cx: &mut TickContext<'_>, agent: AgentId, cause: ExitCause) {
    let config = &cx.rules.config.rewards;
    let penalty = match cause {
        ExitCause::Collapse | ExitCause::Neglect => config.faint_penalty,
        ExitCause::Eviction => config.eviction_penalty,
        ExitCause::Employment { .. } | ExitCause::Operator => Micro::ZERO,
    };
    let mut items = [Micro::ZERO; ITEM_COUNT];
    items[Item::Terminal as usize] = penalty;
    give(cx, agent, items);
    let sample = cx.state.agents.window_return[agent];
    cx.state.stability.returns.push(sample);
    let who = cx.state.agents.resident[agent];
    cx.rewarded.left.push(Departure { agent, who, reward: cx.rewarded.of[agent] });
}
