//! The reward of every resident in a tick, by items that add up to the total. Rule: "Rewards".

use crate::employment::review_ends_at;
use crate::fixed_point::Micro;
use crate::ids::AgentId;
use crate::needs::NEED_COUNT;
use crate::rules::Rules;
use crate::state::{ExitCause, ExitEntry, ITEM_COUNT, Item, ShiftState, State};
use crate::tick_context::{Departure, TickContext, TickReward};
use crate::work;

/// Σ weight · (1 − level)² over the needs.
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

/// Clears the sums at the start of a tick, before a resident can leave in it.
pub(crate) fn reset(cx: &mut TickContext<'_>) {
    cx.state.rewards.items = [Micro::ZERO; ITEM_COUNT];
    cx.state.rewards.total = Micro::ZERO;
    cx.rewards.by_agent.iter_mut().for_each(|reward| *reward = TickReward::default());
    cx.rewards.departures.clear();
}

/// Gives every resident its reward of the tick.
pub(crate) fn run(cx: &mut TickContext<'_>) {
    // The queue of a large town is long, so it is not searched for each resident.
    let window = u64::from(cx.rules.config.rewards.clip.no_positive_within_death_ticks);
    for entry in &cx.state.employment.queue {
        cx.rewards.leaving[entry.agent] = is_certain(cx.rules, cx.state, entry, window);
    }
    cx.each(resident);
    for entry in &cx.state.employment.queue {
        cx.rewards.leaving[entry.agent] = false;
    }
}

fn resident(cx: &mut TickContext<'_>, agent: AgentId) {
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
    if at_work || work::is_covering(rules, cx.state, agent) {
        items[Item::Wages as usize] = config.wage_rate;
        if shift.state == ShiftState::OnTime && shift.worked == 1 {
            items[Item::Punctuality as usize] = config.punctuality_bonus;
        }
    }
    if exit_is_near(cx, agent) {
        for item in &mut items {
            *item = (*item).min(Micro::ZERO);
        }
    }
    let by_episode = clip(cx, agent, &mut items);
    give(cx, agent, items, by_episode);
}

/// Whether a collapse or an exit is so near that no positive reward is given.
fn exit_is_near(cx: &TickContext<'_>, agent: AgentId) -> bool {
    let (state, config) = (&cx.state, &cx.rules.config);
    let window = config.rewards.clip.no_positive_within_death_ticks;
    let collapse = config.lifecycle.collapse_ticks;
    let collapsing = state.live_settings.mortality && state.agents.collapse_ticks[agent] + window > collapse;
    window > 0 && (collapsing || cx.rewards.leaving[agent])
}

/// Whether an employment exit is approved, or due within the window.
fn is_certain(rules: &Rules, state: &State, entry: &ExitEntry, window: u64) -> bool {
    entry.approved || state.tick + window > review_ends_at(rules, entry)
}

/// Clips the sum of the tick, then that of the episode. The difference is an item of its own. Returns the part of it that
/// the episode's limit made.
fn clip(cx: &mut TickContext<'_>, agent: AgentId, items: &mut [Micro; ITEM_COUNT]) -> Micro {
    let limits = &cx.rules.config.rewards.clip;
    let sum: Micro = items.iter().copied().sum();
    let kept = sum.clamp(-limits.clip_per_tick, limits.clip_per_tick);
    if kept != sum {
        cx.state.rewards.clip_events += 1;
        cx.count(|counters| counters.reward_clips += 1);
    }
    let so_far = cx.state.agents.episode_return[agent];
    // A limit lowered by a reload takes nothing back that was already given.
    let (least, most) = (so_far.min(-limits.clip_per_episode), so_far.max(limits.clip_per_episode));
    let within = (so_far + kept).clamp(least, most) - so_far;
    cx.state.rewards.clip_events += u64::from(within != kept);
    cx.state.agents.episode_return[agent] = so_far + within;
    items[Item::Clip as usize] = within - sum;
    within - kept
}

fn give(cx: &mut TickContext<'_>, agent: AgentId, items: [Micro; ITEM_COUNT], by_episode: Micro) {
    let total: Micro = items.iter().copied().sum();
    for (sum, item) in cx.state.rewards.items.iter_mut().zip(items) {
        *sum += item;
    }
    cx.state.rewards.total += total;
    cx.state.agents.window_return[agent] += total;
    cx.rewards.by_agent[agent].total += total;
    cx.rewards.by_agent[agent].before_episode_clip += total - by_episode;
}

/// Starts the episode of a newcomer with the potential of its needs, so that the first shaping is not a jump.
pub(crate) fn open_episode(cx: &mut TickContext<'_>, agent: AgentId) {
    cx.state.agents.potential[agent] = potential(cx.rules, &cx.state.agents.needs[agent]);
    cx.rewards.by_agent[agent] = TickReward::default();
}

/// Ends an episode with the reward of its cause, outside the clip.
pub(crate) fn close_episode(cx: &mut TickContext<'_>, agent: AgentId, cause: ExitCause) {
    let config = &cx.rules.config.rewards;
    let penalty = match cause {
        ExitCause::Collapse | ExitCause::Neglect => config.faint_penalty,
        ExitCause::Eviction => config.eviction_penalty,
        ExitCause::Employment { .. } | ExitCause::Operator => Micro::ZERO,
    };
    let mut items = [Micro::ZERO; ITEM_COUNT];
    items[Item::Terminal as usize] = penalty;
    give(cx, agent, items, Micro::ZERO);
    let sample = cx.state.agents.window_return[agent];
    cx.state.stability.returns.push(sample);
    let who = cx.state.agents.resident[agent];
    let (reward, involuntary) = (cx.rewards.by_agent[agent], cause != ExitCause::Operator);
    cx.rewards.departures.push(Departure { agent, who, reward, involuntary });
}
