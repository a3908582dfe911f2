//! Comings and goings: why residents leave, what holds them back, who comes after them.
//!
//! Rule: "Lifecycle" and "Work and the exit queue". Exits of all causes share a daily cap and a gap; operators are excepted.

use serde::{Deserialize, Serialize};

use crate::counter_rng::{self, Purpose, Stream};
use crate::economy::{self, Account};
use crate::employment::{self, ExitReason};
use crate::events::EventKind;
use crate::fixed_point::Micro;
use crate::ids::{AgentId, Column, Key, PlaceId, ResidentId, Tile};
use crate::needs::NEEDS;
use crate::occupancy::Occupancy;
use crate::rules::Rules;
use crate::state::{Agents, State};
use crate::tick_context::TickContext;
use crate::{queues, ties, work};

/// Why somebody left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitCause {
    /// Hunger.
    Collapse,
    /// Rent unpaid too long.
    Eviction,
    /// Over the job.
    Employment {
        /// Why they were due.
        reason: ExitReason,
        /// Whether an operator approved it.
        manual: bool,
    },
    /// A day without energy or hygiene.
    Neglect,
    /// An operator's command.
    Operator,
}

impl ExitCause {
    /// As telemetry writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Collapse => "collapse",
            Self::Eviction => "eviction",
            Self::Employment { .. } => "employment",
            Self::Neglect => "neglect",
            Self::Operator => "operator",
        }
    }
}

/// Who is expected, who is gone, and when the next may go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// Exits of all causes today.
    pub exits_today: u32,
    /// Tick of the last exit.
    pub last_exit: Option<u64>,
    /// Until this tick nobody leaves by themselves: an outage and its grace.
    pub suppressed_until: u64,
    /// Ticks at which newcomers arrive.
    pub arrivals: Vec<u64>,
    /// Residents who ever arrived.
    pub next_resident: u32,
    /// Tick each slot was freed; a slot is not used again before its cooldown.
    pub freed: Column<AgentId, Option<u64>>,
    /// Slots used again before their cooldown because there was no other.
    pub early_reuses: u32,
}

/// An empty town's.
pub(crate) fn start(slots: usize) -> Lifecycle {
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

/// Whether somebody may leave by themselves now: a lifecycle at all, cap, gap, and no city-wide outage.
pub(crate) fn gate(rules: &Rules, state: &State) -> bool {
    let lifecycle = &state.lifecycle;
    let gap = u64::from(rules.config.lifecycle.exit_cooldown_ticks);
    rules.config.features.systems.lifecycle
        && lifecycle.exits_today < rules.config.lifecycle.max_exits_per_day
        && lifecycle.last_exit.is_none_or(|last| state.tick >= last + gap)
        && state.tick >= lifecycle.suppressed_until
        && state.economy.power
        && state.economy.water
}

/// One tick of comings and goings.
pub(crate) fn run(cx: &mut TickContext<'_>) {
    if !cx.state.economy.power || !cx.state.economy.water {
        let grace = u64::from(cx.rules.config.lifecycle.outage_grace_ticks);
        cx.state.lifecycle.suppressed_until = cx.state.tick + grace;
    }
    employment::release(cx);
    employment::admit(cx);
    while gate(cx.rules, cx.state) {
        let Some((agent, cause)) = due(cx) else { break };
        leave(cx, agent, cause);
    }
    arrivals(cx);
}

/// The first resident who is due to leave by themselves.
fn due(cx: &TickContext<'_>) -> Option<(AgentId, ExitCause)> {
    let (agents, config) = (&cx.state.agents, &cx.rules.config.lifecycle);
    let day = cx.rules.day_length() as u32;
    let rent = cx.rules.config.economy.rent_per_day;
    agents.present.iter().copied().find_map(|agent| {
        if cx.state.live_settings.mortality && agents.collapse_ticks[agent] >= config.collapse_ticks {
            Some((agent, ExitCause::Collapse))
        } else if agents.rent_owed[agent] >= config.eviction_unpaid_days.max(1) && agents.wallet[agent] < rent {
            // Whoever has come by a day's rent meanwhile pays it at the next turn of the day.
            Some((agent, ExitCause::Eviction))
        } else if agents.neglect_ticks[agent] >= day {
            Some((agent, ExitCause::Neglect))
        } else {
            None
        }
    })
}

/// Somebody leaves: everything they held is free, their money goes with them, a newcomer is on the way.
pub(crate) fn leave(cx: &mut TickContext<'_>, agent: AgentId, cause: ExitCause) {
    queues::forget(cx, agent);
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
    crate::rewards::depart(cx, agent, cause);
    let tile = cx.state.agents.tile[agent];
    cx.occupancy.leave(tile);
    let tick = cx.state.tick;
    let lifecycle = &mut cx.state.lifecycle;
    lifecycle.exits_today += 1;
    lifecycle.last_exit = Some(tick);
    lifecycle.freed[agent] = Some(tick);
    let next = lifecycle.next_resident + lifecycle.arrivals.len() as u32;
    cx.state.agents.present.retain(|other| *other != agent);
    clear(&mut cx.state.agents, agent);
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

/// A freed slot holds only defaults, so that equal towns have equal digests.
fn clear(agents: &mut Agents, agent: AgentId) {
    macro_rules! clear {
        ($($column:ident),+) => { $( agents.$column[agent] = Default::default(); )+ };
    }
    clear!(
        resident,
        tile,
        home,
        arrived,
        needs,
        wallet,
        groceries,
        option,
        option_since,
        commit_until,
        ended,
        decide,
        activity,
        blocked,
        possessed,
        job,
        job_since,
        shift,
        past,
        absent_days,
        late_ticks_today,
        lateness_counter,
        wages_earned,
        wages_withheld,
        penalty,
        meals_cooked,
        meals_consumed,
        rent_owed,
        low_tick,
        starving_ticks,
        collapse_ticks,
        neglect_ticks,
        potential,
        episode_return,
        window_return,
        invited,
        ties,
        social,
        covering
    );
}

fn arrivals(cx: &mut TickContext<'_>) {
    let tick = cx.state.tick;
    while let Some(index) = cx.state.lifecycle.arrivals.iter().position(|due| *due <= tick) {
        cx.state.lifecycle.arrivals.remove(index);
        if arrive(cx).is_none() {
            // No slot: they try again tomorrow rather than vanish.
            cx.state.lifecycle.arrivals.push(tick + cx.rules.day_length());
            break;
        }
    }
}

/// The slot a newcomer gets: the lowest one never used or cooled down, else the one freed longest ago.
pub(crate) fn free_slot(rules: &Rules, state: &State) -> Option<(AgentId, bool)> {
    let cooldown = u64::from(rules.config.embedding_allocator.cooldown_ticks);
    let slots = (0..state.agents.tile.len() as u16).map(AgentId).filter(|slot| !state.agents.is_present(*slot));
    let cooled = |slot: &AgentId| state.lifecycle.freed[*slot].is_none_or(|freed| state.tick >= freed + cooldown);
    slots
        .clone()
        .find(cooled)
        .map(|slot| (slot, false))
        .or_else(|| slots.min_by_key(|slot| (state.lifecycle.freed[*slot], *slot)).map(|slot| (slot, true)))
}

/// A newcomer with a starter kit, in the emptiest home; `None` when every slot is taken.
pub(crate) fn arrive(cx: &mut TickContext<'_>) -> Option<AgentId> {
    let (agent, early) = free_slot(cx.rules, cx.state)?;
    let rules = cx.rules;
    let tick = cx.state.tick;
    let who = ResidentId(cx.state.lifecycle.next_resident);
    cx.state.lifecycle.next_resident += 1;
    cx.state.lifecycle.early_reuses += u32::from(early);
    let home = emptiest_home(rules, cx.state);
    let job = work::vacancy(rules, cx.state);
    let luck = counter_rng::draw(cx.state.seed, Stream::World, tick, who.0, Purpose::StartNeeds, 0);
    let agents = &mut cx.state.agents;
    let place = agents.present.partition_point(|other| *other < agent);
    agents.present.insert(place, agent);
    agents.resident[agent] = who;
    agents.home[agent] = home;
    agents.arrived[agent] = tick;
    for (need, row) in NEEDS.iter().enumerate() {
        // Up to a tenth less than the starting level, so that a town's first residents do not move in step.
        let spread = Micro(i64::from(luck[need] % 100_000));
        agents.needs[agent][need] = ((row.start)(&rules.config) - spread).unit();
    }
    agents.groceries[agent] = rules.config.lifecycle.starter_groceries;
    agents.ended[agent] = true;
    agents.option_since[agent] = tick;
    agents.job[agent] = job;
    agents.job_since[agent] = tick;
    agents.shift[agent] = work::first_shift(rules, job, tick);
    agents.low_tick[agent] = None;
    let tile = free_tile_at_home(rules, cx.occupancy, home);
    cx.state.agents.tile[agent] = tile;
    cx.occupancy.enter(tile);
    economy::pay(cx, agent, rules.config.lifecycle.starter_wallet, Account::Starter);
    crate::rewards::welcome(cx, agent);
    cx.emit(EventKind::ResidentArrived { who });
    Some(agent)
}

fn emptiest_home(rules: &Rules, state: &State) -> PlaceId {
    let beds = |home: PlaceId| rules.beds[home].max(1) as usize;
    let people = |home: PlaceId| state.agents.present.iter().filter(|agent| state.agents.home[**agent] == home).count();
    rules
        .homes
        .iter()
        .copied()
        .min_by_key(|home| (people(*home) * 1_000 / beds(*home), *home))
        .expect("a plan without homes is refused")
}

/// A tile of the home with nobody on it, or its first.
fn free_tile_at_home(rules: &Rules, occupancy: &Occupancy, home: PlaceId) -> Tile {
    let taken = |tile: &Tile| occupancy.on(*tile) > 0;
    let mut floor = rules.plan.floor_of(home);
    let first = floor.next().expect("a place without floor is refused");
    if taken(&first) { floor.find(|tile| !taken(tile)).unwrap_or(first) } else { first }
}

/// At the turn of the day: new caps.
pub(crate) fn turn_of_day(cx: &mut TickContext<'_>) {
    cx.state.lifecycle.exits_today = 0;
    cx.state.employment.exits_today = 0;
}

/// Slots in use, for those who size tables by it.
pub fn slots(rules: &Rules) -> usize {
    AgentId(rules.config.embedding_allocator.max_slots as u16).at()
}
