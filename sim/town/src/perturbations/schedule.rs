//! When shocks come by themselves: each day's luck, and the limits that space them.
//!
//! At the start of a day every event of the file draws whether it happens today and when. It then starts at its time, or
//! as soon after as the limits allow, and is dropped when the day is over first.

use super::{ARRANGED_MEET, ActivePerturbation, Meeting, PRICE_SPIKE, PendingPerturbation, begin_event, end, meeting};
use crate::counter_rng::{Purpose, Stream, below};
use crate::fixed_point::Micro;
use crate::rules::Rules;
use crate::state::State;
use crate::tick_context::TickContext;

/// What each draw about an event is for; with its number it makes a question of its own.
#[derive(Clone, Copy)]
enum Question {
    Today = 0,
    When = 1,
    Duration = 2,
    Magnitude = 3,
    Place = 4,
    First = 5,
    Second = 6,
}

const QUESTIONS: u32 = 8;

/// A whole number in `[0, bound)`.
fn luck(state: &State, event: u16, question: Question, bound: u64) -> u64 {
    let entity = u32::from(event) * QUESTIONS + question as u32;
    let bound = u32::try_from(bound).unwrap_or(u32::MAX);
    u64::from(below(state.seed, Stream::Events, state.tick, entity, Purpose::PerturbationEvent, bound))
}

/// What keeps an event from starting now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartBlock {
    /// It is under way.
    Active,
    /// The town is young.
    Grace(u64),
    /// It began too short a time ago.
    Cooldown(u64),
    /// Another began too short a time ago.
    GlobalCooldown(u64),
    /// Enough began in the current window.
    Window(u64),
    /// As many as allowed are under way.
    Concurrent,
}

impl StartBlock {
    /// The first tick at which this holds no more, when that is known.
    pub const fn until(self) -> Option<u64> {
        match self {
            Self::Grace(until) | Self::Cooldown(until) | Self::GlobalCooldown(until) | Self::Window(until) => {
                Some(until)
            }
            Self::Active | Self::Concurrent => None,
        }
    }

    /// As an operator reads it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Active => "under way",
            Self::Grace(_) => "the town is young",
            Self::Cooldown(_) => "its own cooldown",
            Self::GlobalCooldown(_) => "cooldown after another event",
            Self::Window(_) => "enough events in this window",
            Self::Concurrent => "as many under way as allowed",
        }
    }
}

/// What keeps an event from starting by itself now; `None` when nothing does.
pub fn hold(rules: &Rules, state: &State, event: u16) -> Option<StartBlock> {
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

/// Today's luck at the start of a day, and what is due now.
pub(super) fn run(cx: &mut TickContext<'_>) {
    let tick = cx.state.tick;
    if cx.rules.tick_of_day(tick) == 0 {
        cx.state.perturbations.pending.clear();
        if cx.state.live_settings.perturbations {
            today(cx);
        }
    }
    let window = u64::from(cx.rules.perturbations.window_ticks);
    cx.state.perturbations.recent.retain(|began| tick < began + window);
    let mut index = 0;
    while let Some(pending) = cx.state.perturbations.pending.get(index).copied() {
        index += 1;
        if pending.at > tick || hold(cx.rules, cx.state, pending.event).is_some() {
            continue;
        }
        // Two who could meet may not be found now; the event stays pending and is asked again.
        if let Ok(drawn) = draw(cx, pending.event, None, None) {
            begin_event(cx, pending.event, drawn);
            index = 0;
        }
    }
}

fn today(cx: &mut TickContext<'_>) {
    let (tick, day) = (cx.state.tick, cx.rules.day_length());
    for (index, event_rule) in cx.rules.perturbation_events.iter().enumerate() {
        let event = index as u16;
        if luck(cx.state, event, Question::Today, 1_000_000) < event_rule.chance.0 as u64 {
            let at = tick + luck(cx.state, event, Question::When, day);
            cx.state.perturbations.pending.push(PendingPerturbation { event, at });
        }
    }
    cx.state.perturbations.pending.sort_by_key(|pending| (pending.at, pending.event));
}

/// See [`super::draw`].
pub(super) fn draw(
    cx: &TickContext<'_>,
    event: u16,
    duration: Option<u64>,
    magnitude: Option<Micro>,
) -> Result<ActivePerturbation, &'static str> {
    let (state, event_rule) = (&*cx.state, &cx.rules.perturbation_events[event as usize]);
    let (least, most) = event_rule.duration;
    let duration = duration.unwrap_or_else(|| least + luck(state, event, Question::Duration, most - least + 1));
    let (low, high) = event_rule.magnitude;
    let spread = (high.0 - low.0 + 1) as u64;
    let drawn = Micro(low.0 + luck(state, event, Question::Magnitude, spread) as i64);
    let magnitude = if event_rule.kind == PRICE_SPIKE { magnitude.unwrap_or(drawn) } else { Micro::ONE };
    let mut ends = state.tick + duration;
    let mut meet = None;
    if event_rule.kind == ARRANGED_MEET {
        let place = event_rule.places[luck(state, event, Question::Place, event_rule.places.len() as u64) as usize];
        let who = meeting::pair(cx, event_rule.target, |pick, bound| {
            luck(state, event, if pick == 0 { Question::First } else { Question::Second }, bound)
        })?;
        ends += meeting::walk(cx.rules, state, who, place);
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

/// Ends an event that is under way and takes it off today's list; answers with how many of either there were.
pub(crate) fn cancel(cx: &mut TickContext<'_>, event: u16) -> usize {
    let perturbations = &mut cx.state.perturbations;
    let before = perturbations.pending.len() + perturbations.active.iter().filter(|it| it.event == Some(event)).count();
    perturbations.pending.retain(|pending| pending.event != event);
    let pending = perturbations.pending.len();
    end(cx, |it| it.event == Some(event));
    before - pending
}
