//! What an operator can do about shocks: begin, end, switch off, and ask two residents to meet.
//!
//! An operator is held by no cooldown and no limit, only by what is under way already; what is begun by hand spaces what
//! comes by itself like anything else.

use super::{Refusal, conflict, invalid, not_found, present};
use crate::fixed_point::Micro;
use crate::ids::{PlaceId, ResidentId};
use crate::names;
use crate::perturbations::{self, ARRANGED_MEET, BLACKOUT, Meeting, OUTAGE, PERTURBATIONS, PRICE_SPIKE, meeting};
use crate::tick_context::TickContext;

/// Longest shock an operator can begin, in ticks; as in the perturbation file.
const MOST_DURATION: u32 = 100_000;
/// Least and greatest factor on prices; as in the perturbation file.
const FACTORS: std::ops::RangeInclusive<Micro> = Micro(100_000)..=Micro(10_000_000);

/// Power or water off until it is put on again; putting it on ends whatever keeps it off.
pub(super) fn utility(cx: &mut TickContext<'_>, kind: u8, on: bool, dry: bool) -> Result<String, Refusal> {
    let row = PERTURBATIONS.get(kind as usize).filter(|_| kind == BLACKOUT || kind == OUTAGE);
    let Some(row) = row else {
        return Err(not_found("there is no such switch.".into(), "`perturbation_trigger` starts the other kinds."));
    };
    if cx.state.perturbations.is_active(kind) == on {
        let message = format!("the {} is {} already.", row.name, if on { "on" } else { "off" });
        return Err(conflict(message, "There is nothing to change."));
    }
    if !dry {
        if on {
            let it = perturbations::by_hand(cx, kind, None, None);
            perturbations::begin(cx, it);
        } else {
            perturbations::end(cx, |it| it.kind == kind);
        }
    }
    Ok(if on { format!("{} begins: {}.", row.name, row.detail) } else { format!("{} ends.", row.name) })
}

/// The name of an event of the file.
fn named(cx: &TickContext<'_>, event: u16) -> Result<(String, u8), Refusal> {
    let event_rule = cx.rules.perturbation_events.get(event as usize);
    event_rule
        .map(|event_rule| (event_rule.name.clone(), event_rule.kind))
        .ok_or_else(|| not_found("there is no such event.".into(), "`perturbation_queue` lists them."))
}

pub(super) fn trigger(
    cx: &mut TickContext<'_>,
    event: u16,
    duration: Option<u32>,
    magnitude: Option<Micro>,
    dry: bool,
) -> Result<String, Refusal> {
    let (name, kind) = named(cx, event)?;
    if cx.state.perturbations.is_event_active(event) {
        return Err(conflict(format!("{name} is under way already."), "`perturbation_cancel` ends it."));
    }
    if duration.is_some_and(|ticks| ticks == 0 || ticks > MOST_DURATION) {
        return Err(invalid("that is no duration.".into(), "Give 1 to 100,000 ticks."));
    }
    if magnitude.is_some_and(|factor| kind != PRICE_SPIKE || !FACTORS.contains(&factor)) {
        let hint = "A price spike takes a factor from 0.1 to 10; the other kinds take none.";
        return Err(invalid("that is no magnitude for it.".into(), hint));
    }
    let drawn = perturbations::draw(cx, event, duration.map(u64::from), magnitude)
        .map_err(|why| conflict(format!("{name} cannot begin: {why}."), "Try again later, or `arrange_meet`."))?;
    let ticks = drawn.ends.map_or(0, |ends| ends - cx.state.tick);
    if !dry {
        perturbations::begin_event(cx, event, drawn);
    }
    let factor = if kind == PRICE_SPIKE { format!(", prices × {}", drawn.magnitude) } else { String::new() };
    let meets = drawn.meeting.map_or_else(String::new, |meeting| {
        let [who, other] = meeting.who.map(names::name);
        format!(", {who} and {other} at {}", cx.rules.plan.places[meeting.place].name)
    });
    Ok(format!("{name} begins, at most {ticks} ticks long{factor}{meets}."))
}

pub(super) fn cancel(cx: &mut TickContext<'_>, event: u16, dry: bool) -> Result<String, Refusal> {
    let (name, _) = named(cx, event)?;
    let perturbations = &cx.state.perturbations;
    let active = perturbations.is_event_active(event);
    if !active && !perturbations.pending.iter().any(|pending| pending.event == event) {
        let message = format!("{name} is neither under way nor expected today.");
        return Err(conflict(message, "`perturbation_queue` lists what is."));
    }
    if !dry {
        perturbations::cancel(cx, event);
    }
    Ok(if active { format!("{name} ends.") } else { format!("{name} does not come today.") })
}

/// Nothing more comes by itself; what is under way ends at its time.
pub(super) fn switch(cx: &mut TickContext<'_>, on: bool, dry: bool) -> String {
    if !dry {
        cx.state.live_settings.perturbations = on;
        if !on {
            cx.state.perturbations.pending.clear();
        }
    }
    if on {
        "perturbations come by themselves again, from the next day on.".to_owned()
    } else {
        "no perturbation comes by itself; those under way end at their time.".to_owned()
    }
}

pub(super) fn meet(
    cx: &mut TickContext<'_>,
    who: [ResidentId; 2],
    place: PlaceId,
    dry: bool,
) -> Result<String, Refusal> {
    let agents = [present(cx, who[0])?, present(cx, who[1])?];
    let [one, other] = who.map(names::name);
    if agents[0] == agents[1] {
        return Err(invalid(format!("{one} cannot meet {one}."), "Name two residents."));
    }
    let plan = &cx.rules.plan;
    let Some(at) = plan.places.get(place) else {
        return Err(not_found("there is no such place.".into(), "Name a place of the map."));
    };
    if !perturbations::has_table(plan, place) {
        let with: Vec<&str> = plan
            .places()
            .filter(|(id, _)| perturbations::has_table(plan, *id))
            .map(|(_, it)| it.name.as_str())
            .collect();
        let hint = format!("Places with tables: {}.", with.join(", "));
        return Err(invalid(format!("{} has no table to meet at.", at.name), &hint));
    }
    for agent in agents {
        let name = names::name(cx.state.agents.resident[agent]);
        if cx.state.agents.possessed[agent] {
            return Err(conflict(format!("{name} is possessed."), "`release` gives the resident back first."));
        }
        if meeting::meeting_place_of(cx.state, agent).is_some() {
            return Err(conflict(format!("{name} is asked to a meeting already."), "`perturbation_queue` shows it."));
        }
    }
    let ends = cx.state.tick + meeting::walk(cx.rules, cx.state, agents, place) + meeting::STAY_TICKS;
    let answer = format!("{one} and {other} are asked to meet at {}.", at.name);
    if !dry {
        let meeting = Meeting { who, place, met: false };
        let it = perturbations::by_hand(cx, ARRANGED_MEET, Some(ends), Some(meeting));
        perturbations::begin(cx, it);
    }
    Ok(answer)
}
