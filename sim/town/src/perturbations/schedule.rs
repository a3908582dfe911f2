//! The schedule of perturbations that start by themselves.
//!
//! At the start of a day every event of the file draws whether it happens today and when. It starts at that tick or as soon
//! after as the limits allow, and is dropped at the end of the day. Rule: "Perturbations".

use super::{ARRANGED_MEET, PRICE_SPIKE, begin_event, end, meeting};
use crate::counter_rng::{Purpose, Stream, below};
use crate::fixed_point::Micro;
use crate::rules::Rules;
use crate::state::{ActivePerturbation, Meeting, PendingPerturbation, State};
use crate::tick_context::TickContext;

/// Purpose of a draw for an event. Combined with the event's index it makes a distinct counter.
#[derive(Clone, Copy)]
enum Draw {
    Today = 0,
    When = 1,
    Duration = 2,
    Magnitude = 3,
    Place = 4,
    First = 5,
    Second = 6,
}

const DRAWS: u32 = 8;

/// A whole number in `[0, bound)`.
fn random_below(state: &State, event: u16, purpose: Draw, bound: u64) -> u64 {
    let entity = u32::from(event) * DRAWS + purpose as u32;
    let bound = u32::try_from(bound).unwrap_or(u32::MAX);
    u64::from(below(state.seed, Stream::Events, state.tick, entity, Purpose::PerturbationEvent, bound))
}

/// Why an event cannot start now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartBlock {
    /// It is active.
    Active,
    /// The grace period at the start of the town.
    Grace(u64),
    /// Its own cooldown.
    Cooldown(u64),
    /// The cooldown after any event.
    GlobalCooldown(u64),
    /// The limit of events in the current window.
    Window(u64),
    /// The limit of concurrent events.
    Concurrent,
}

impl StartBlock {
    /// The first tick at which the reason no longer applies, when it is known.
    pub const fn until(self) -> Option<u64> {
        match self {
            Self::Grace(until) | Self::Cooldown(until) | Self::GlobalCooldown(until) | Self::Window(until) => {
                Some(until)
            }
            Self::Active | Self::Concurrent => None,
        }
    }

    /// The reason as text.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Grace(_) => "grace period at the start of the town",
            Self::Cooldown(_) => "its own cooldown",
            Self::GlobalCooldown(_) => "cooldown after another event",
            Self::Window(_) => "limit of events in this window",
            Self::Concurrent => "limit of concurrent events",
        }
    }
}

/// Why an event cannot start by itself now; `None` when it can.
pub fn start_block(rules: &Rules, state: &State, event: u16) -> Option<StartBlock> {
    let (limits, perturbations, tick) = (&rules.perturbations, &state.perturbations, state.tick);
    let later = |since: Option<u64>, ticks: u64| since.map(|since| since + ticks).filter(|until| tick < *until);
    if perturbations.is_event_active(event) {
        return Some(StartBlock::Active);
    }
    if tick < u64::from(limits.grace_window_ticks) {
        return Some(StartBlock::Grace(u64::from(limits.grace_window_ticks)));
    }
    if let Some(until) =
        later(perturbations.last_of[event as usize], rules.perturbation_events[event as usize].cooldown)
    {
        return Some(StartBlock::Cooldown(until));
    }
    if let Some(until) = later(perturbations.last, u64::from(limits.global_cooldown_ticks)) {
        return Some(StartBlock::GlobalCooldown(until));
    }
    let window = u64::from(limits.window_ticks);
    let most = limits.max_events_per_window as usize;
    let mut recent = perturbations.recent.iter().filter(|began| tick < **began + window);
    if recent.clone().count() >= most {
        return Some(StartBlock::Window(recent.next().map_or(tick + 1, |began| began + window)));
    }
    (perturbations.active.len() >= limits.max_concurrent_events as usize).then_some(StartBlock::Concurrent)
}

/// Draws the events of a new day and begins those that are due.
pub(super) fn run(cx: &mut TickContext<'_>) {
    let tick = cx.state.tick;
    if cx.rules.tick_of_day(tick) == 0 {
        cx.state.perturbations.pending.clear();
        if cx.state.live_settings.perturbations {
            draw_day(cx);
        }
    }
    let window = u64::from(cx.rules.perturbations.window_ticks);
    cx.state.perturbations.recent.retain(|began| tick < began + window);
    let mut index = 0;
    while let Some(pending) = cx.state.perturbations.pending.get(index).copied() {
        index += 1;
        if pending.at > tick || start_block(cx.rules, cx.state, pending.event).is_some() {
            continue;
        }
        // A meeting may find no residents now; then it stays pending.
        if let Ok(drawn) = draw(cx, pending.event, None, None) {
            begin_event(cx, pending.event, drawn);
            index = 0;
        }
    }
}

fn draw_day(cx: &mut TickContext<'_>) {
    let (tick, day) = (cx.state.tick, cx.rules.day_length());
    for (index, event_rule) in cx.rules.perturbation_events.iter().enumerate() {
        let event = index as u16;
        if random_below(cx.state, event, Draw::Today, 1_000_000) < event_rule.chance.0 as u64 {
            let at = tick + random_below(cx.state, event, Draw::When, day);
            cx.state.perturbations.pending.push(PendingPerturbation { event, at });
        }
    }
    cx.state.perturbations.pending.sort_by_key(|pending| (pending.at, pending.event));
}

/// The parameters of an event that starts now. `duration` and `magnitude` replace the drawn ones.
///
/// # Errors
/// Why it cannot start, as text.
pub(crate) fn draw(
    cx: &TickContext<'_>,
    event: u16,
    duration: Option<u64>,
    magnitude: Option<Micro>,
) -> Result<ActivePerturbation, &'static str> {
    let (state, event_rule) = (&*cx.state, &cx.rules.perturbation_events[event as usize]);
    let (least, most) = event_rule.duration;
    let duration = duration.unwrap_or_else(|| least + random_below(state, event, Draw::Duration, most - least + 1));
    let (low, high) = event_rule.magnitude;
    let spread = (high.0 - low.0 + 1) as u64;
    let drawn = Micro(low.0 + random_below(state, event, Draw::Magnitude, spread) as i64);
    let magnitude = if event_rule.kind == PRICE_SPIKE { magnitude.unwrap_or(drawn) } else { Micro::ONE };
    let mut ends = state.tick + duration;
    let mut meet = None;
    if event_rule.kind == ARRANGED_MEET {
        let place = event_rule.places[random_below(state, event, Draw::Place, event_rule.places.len() as u64) as usize];
        let who = meeting::draw_pair(cx, event_rule.target, |pick, bound| {
            random_below(state, event, if pick == 0 { Draw::First } else { Draw::Second }, bound)
        })?;
        ends += meeting::walking_time(cx.rules, state, who, place);
        meet = Some(Meeting { who: who.map(|agent| state.agents.resident[agent]), place, met: false });
    }
    let (kind, items) = (event_rule.kind, event_rule.items);
    Ok(ActivePerturbation {
        kind,
        event: Some(event),
        started: state.tick,
        ends: Some(ends),
        magnitude,
        items,
        meeting: meet,
    })
}

/// Ends an active event and removes it from today's pending ones. Returns how many of both there were.
pub(crate) fn cancel(cx: &mut TickContext<'_>, event: u16) -> usize {
    let perturbations = &mut cx.state.perturbations;
    let before = perturbations.pending.len() + perturbations.active.iter().filter(|it| it.event == Some(event)).count();
    perturbations.pending.retain(|pending| pending.event != event);
    let pending = perturbations.pending.len();
    end(cx, |it| it.event == Some(event));
    before - pending
}
