//! Exits and arrivals. All exits share a daily cap and a minimum gap; those ordered by an operator ignore both. Rules:
//! "Lifecycle", "Work and the exit queue".

use crate::counter_rng::{self, Purpose, Stream};
use crate::events::EventKind;
use crate::fixed_point::Micro;
use crate::ids::{AgentId, Column, Key, PlaceId, ResidentId, Tile};
use crate::needs::NEEDS;
use crate::occupancy::Occupancy;
use crate::rules::Rules;
use crate::state::{Account, ExitCause, ExitReason, Lifecycle, State};
use crate::tick_context::TickContext;
use crate::{activity, economy, employment, queues, rewards, ties, work};

/// The lifecycle state of an empty town.
pub(crate) fn initial(slots: usize) -> Lifecycle {
    Lifecycle {
        exits_today: 0,
        last_exit: None,
        suppressed_until: 0,
        arrivals: Vec::with_capacity(slots),
        next_resident: 0,
        freed: Column::filled(slots, None),
        early_reuses: 0,
    }
}

/// Whether an exit may happen now: lifecycle on, below the cap, after the gap, and outside an outage and its grace.
pub(crate) fn exits_allowed(rules: &Rules, state: &State) -> bool {
    let lifecycle = &state.lifecycle;
    let gap = u64::from(rules.config.lifecycle.exit_cooldown_ticks);
    rules.config.features.systems.lifecycle
        && lifecycle.exits_today < rules.config.lifecycle.max_exits_per_day
        && lifecycle.last_exit.is_none_or(|last| state.tick >= last + gap)
        && state.tick >= lifecycle.suppressed_until
        && state.economy.power
        && state.economy.water
}

/// The exits and arrivals of a tick.
pub(crate) fn run(cx: &mut TickContext<'_>) {
    if !cx.state.economy.power || !cx.state.economy.water {
        let grace = u64::from(cx.rules.config.lifecycle.outage_grace_ticks);
        cx.state.lifecycle.suppressed_until = cx.state.tick + grace;
    }
    while let Some((agent, cause)) = employment::next_approved(cx.state) {
        leave(cx, agent, cause);
    }
    leave_while_allowed(cx, |cx| employment::next_overdue(cx.rules, cx.state));
    while !cx.state.employment.due.is_empty() {
        let agent = cx.state.employment.due.remove(0);
        if employment::may_skip_queue(cx.state) && exits_allowed(cx.rules, cx.state) {
            leave(cx, agent, ExitCause::Employment { reason: ExitReason::Absences, manual: false });
        } else {
            employment::enqueue(cx, agent, ExitReason::Absences);
        }
    }
    leave_while_allowed(cx, next_involuntary);
    arrivals(cx);
}

fn leave_while_allowed(cx: &mut TickContext<'_>, next: impl Fn(&TickContext<'_>) -> Option<(AgentId, ExitCause)>) {
    while exits_allowed(cx.rules, cx.state)
        && let Some((agent, cause)) = next(cx)
    {
        leave(cx, agent, cause);
    }
}

/// The first resident who has to leave because of hunger, rent or neglect.
fn next_involuntary(cx: &TickContext<'_>) -> Option<(AgentId, ExitCause)> {
    let (agents, config) = (&cx.state.agents, &cx.rules.config.lifecycle);
    let day = cx.rules.day_length() as u32;
    let rent = cx.rules.config.economy.rent_per_day;
    agents.present.iter().copied().find_map(|agent| {
        if cx.state.live_settings.mortality && agents.collapse_ticks[agent] >= config.collapse_ticks {
            Some((agent, ExitCause::Collapse))
        } else if agents.rent_owed[agent] >= config.eviction_unpaid_days.max(1) && agents.wallet[agent] < rent {
            // A resident who has a day's rent again pays it at the next turn of the day.
            Some((agent, ExitCause::Eviction))
        } else if agents.neglect_ticks[agent] >= day {
            Some((agent, ExitCause::Neglect))
        } else {
            None
        }
    })
}

/// Removes a resident: frees everything it held, takes its money out of the town, and schedules a newcomer.
pub(crate) fn leave(cx: &mut TickContext<'_>, agent: AgentId, cause: ExitCause) {
    activity::release(cx, agent);
    queues::drop_cooldowns(cx, agent);
    cx.state.employment.queue.retain(|entry| entry.agent != agent);
    cx.state.employment.due.retain(|other| *other != agent);
    let wallet = cx.state.agents.wallet[agent];
    economy::pay(cx, agent, -wallet, Account::Departure);
    cx.emit_for(agent, |who| EventKind::ResidentLeft { who, cause });
    if let ExitCause::Employment { reason, manual } = cause {
        let requested = reason == ExitReason::Requested;
        cx.state.employment.exits_today += 1;
        cx.emit_for(agent, |who| EventKind::EmploymentExitProcessed { who, requested, manual });
    }
    rewards::close_episode(cx, agent, cause);
    let tile = cx.state.agents.tile[agent];
    cx.occupancy.leave(tile);
    let tick = cx.state.tick;
    let lifecycle = &mut cx.state.lifecycle;
    lifecycle.exits_today += 1;
    lifecycle.last_exit = Some(tick);
    lifecycle.freed[agent] = Some(tick);
    let next = lifecycle.next_resident + lifecycle.arrivals.len() as u32;
    cx.state.agents.present.retain(|other| *other != agent);
    cx.state.agents.clear(agent);
    ties::forget(cx, agent);
    let (least, most) = cx.state.live_settings.spawn_delay;
    let delay = counter_rng::below(cx.state.seed, Stream::World, tick, next, Purpose::SpawnDelay, most - least + 1);
    if cx.state.agents.present.len() + cx.state.lifecycle.arrivals.len() < cx.rules.config.world.population as usize {
        cx.state.lifecycle.arrivals.push(tick + u64::from(least + delay));
    }
    let involuntary = cause != ExitCause::Operator;
    cx.count(|counters| {
        counters.exits += 1;
        counters.involuntary_exits += u32::from(involuntary);
    });
}

fn arrivals(cx: &mut TickContext<'_>) {
    let tick = cx.state.tick;
    let mut counted = false;
    while let Some(index) = cx.state.lifecycle.arrivals.iter().position(|due| *due <= tick) {
        cx.state.lifecycle.arrivals.remove(index);
        if !std::mem::replace(&mut counted, true) {
            count_vacancies(cx);
        }
        if arrive(cx).is_none() {
            // Without a free slot the newcomer tries again a day later.
            cx.state.lifecycle.arrivals.push(tick + cx.rules.day_length());
            break;
        }
    }
}

/// The slot for a newcomer and whether it is reused before its cooldown: the lowest slot that was never used or has cooled
/// down, else the one that was freed first.
pub(crate) fn free_slot(rules: &Rules, state: &State) -> Option<(AgentId, bool)> {
    let cooldown = u64::from(rules.config.embedding_allocator.cooldown_ticks);
    // Occupied slots are ascending: before the first free one, each is at its own position.
    let first = state.agents.present.iter().zip(0..).take_while(|(slot, at)| slot.0 == *at).count() as u16;
    let slots = (first..state.agents.tile.len() as u16).map(AgentId);
    let slots = slots.filter(|slot| !state.agents.is_present(*slot));
    let cooled = |slot: &AgentId| state.lifecycle.freed[*slot].is_none_or(|freed| state.tick >= freed + cooldown);
    slots
        .clone()
        .find(cooled)
        .map(|slot| (slot, false))
        .or_else(|| slots.min_by_key(|slot| (state.lifecycle.freed[*slot], *slot)).map(|slot| (slot, true)))
}

/// Counts the residents before one or more arrive.
pub(crate) fn count_vacancies(cx: &mut TickContext<'_>) {
    cx.vacancies.count(cx.rules, cx.state);
}

/// Adds a newcomer with a starter kit to the emptiest home by [`count_vacancies`]; `None` when every slot is occupied.
pub(crate) fn arrive(cx: &mut TickContext<'_>) -> Option<AgentId> {
    let (agent, early) = free_slot(cx.rules, cx.state)?;
    let rules = cx.rules;
    let tick = cx.state.tick;
    let who = ResidentId(cx.state.lifecycle.next_resident);
    cx.state.lifecycle.next_resident += 1;
    cx.state.lifecycle.early_reuses += u32::from(early);
    let (home, job) = cx.vacancies.take(rules);
    let draw = counter_rng::draw(cx.state.seed, Stream::World, tick, who.0, Purpose::StartNeeds, 0);
    let agents = &mut cx.state.agents;
    let place = agents.present.partition_point(|other| *other < agent);
    agents.present.insert(place, agent);
    agents.resident[agent] = who;
    agents.home[agent] = home;
    agents.arrived[agent] = tick;
    for (need, row) in NEEDS.iter().enumerate() {
        // Up to 0.1 below the starting level, so that the first residents do not move in step.
        let spread = Micro(i64::from(draw[need] % 100_000));
        agents.needs[agent][need] = ((row.start)(&rules.config) - spread).unit();
    }
    agents.groceries[agent] = rules.config.lifecycle.starter_groceries;
    agents.ended[agent] = true;
    agents.option_since[agent] = tick;
    agents.job[agent] = job;
    agents.job_since[agent] = tick;
    agents.shift[agent] = work::first_shift(rules, job, tick);
    let tile = free_tile_at_home(rules, cx.occupancy, home);
    cx.state.agents.tile[agent] = tile;
    cx.occupancy.enter(tile);
    economy::pay(cx, agent, rules.config.lifecycle.starter_wallet, Account::Starter);
    rewards::open_episode(cx, agent);
    cx.emit(EventKind::ResidentArrived { who });
    Some(agent)
}

/// An unoccupied tile of a home, or the first tile when all are occupied.
fn free_tile_at_home(rules: &Rules, occupancy: &Occupancy, home: PlaceId) -> Tile {
    let taken = |tile: &Tile| occupancy.on(*tile) > 0;
    let mut floor = rules.plan.floor_of(home);
    let first = floor.next().expect("a place without floor is refused");
    if taken(&first) { floor.find(|tile| !taken(tile)).unwrap_or(first) } else { first }
}

/// Resets the daily exit counts.
pub(crate) fn turn_of_day(cx: &mut TickContext<'_>) {
    cx.state.lifecycle.exits_today = 0;
    cx.state.employment.exits_today = 0;
}

/// Number of resident slots.
pub fn slots(rules: &Rules) -> usize {
    AgentId(rules.config.embedding_allocator.max_slots as u16).at()
}
