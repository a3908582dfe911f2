//! Commands on perturbations. They ignore cooldowns and limits, but an event that is already active cannot begin again. Events
//! begun by command count towards the limits of those that start by themselves.

use townlet_text::nearest;

use super::{Refusal, conflict, invalid, not_found, present};
use crate::fixed_point::Micro;
use crate::ids::{PlaceId, ResidentId};
use crate::names;
use crate::perturbations::{self, ARRANGED_MEET, BLACKOUT, OUTAGE, PERTURBATIONS, PRICE_SPIKE};
use crate::state::Meeting;
use crate::tick_context::TickContext;

/// Longest duration of an event, in ticks; the same limit as in the perturbation file.
const MAX_DURATION: u32 = 100_000;
/// Range of the factor on prices; the same as in the perturbation file.
const FACTORS: std::ops::RangeInclusive<Micro> = Micro(100_000)..=Micro(10_000_000);

/// Turns power or water off until it is turned on again. Turning it on ends every perturbation of the kind.
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
            let it = perturbations::manual(cx, kind, None, None);
            perturbations::begin(cx, it);
        } else {
            perturbations::end(cx, |it| it.kind == kind);
        }
    }
    Ok(if on { format!("{} begins: {}.", row.name, row.detail) } else { format!("{} ends.", row.name) })
}

/// The row of an event of the perturbation file, and its kind.
fn event_row(cx: &TickContext<'_>, name: &str) -> Result<(u16, u8), Refusal> {
    let events = &cx.rules.perturbation_events;
    if let Some(row) = events.iter().position(|event| event.name == name) {
        return Ok((row as u16, events[row].kind));
    }
    let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
    let hint = match nearest(name, names.iter().copied()) {
        Some(near) => format!("Did you mean `{near}`?"),
        None if names.is_empty() => "The perturbation file has no events.".to_owned(),
        None => format!("Events: {}.", names.join(", ")),
    };
    Err(not_found(format!("the perturbation file has no event `{name}`."), &hint))
}

pub(super) fn trigger(
    cx: &mut TickContext<'_>,
    name: &str,
    duration: Option<u32>,
    magnitude: Option<Micro>,
    dry: bool,
) -> Result<String, Refusal> {
    let (event, kind) = event_row(cx, name)?;
    if cx.state.perturbations.is_event_active(event) {
        return Err(conflict(format!("{name} is active already."), "`perturbation_cancel` ends it."));
    }
    if duration.is_some_and(|ticks| ticks == 0 || ticks > MAX_DURATION) {
        return Err(invalid("the duration is out of range.".into(), "Give 1 to 100,000 ticks."));
    }
    if magnitude.is_some_and(|factor| kind != PRICE_SPIKE || !FACTORS.contains(&factor)) {
        let hint = "A price spike takes a factor from 0.1 to 10; other events take no factor.";
        return Err(invalid(format!("the magnitude does not fit {name}."), hint));
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
    Ok(format!("{name} begins, at most {} long{factor}{meets}.", townlet_text::count(ticks, "tick")))
}

pub(super) fn cancel(cx: &mut TickContext<'_>, name: &str, dry: bool) -> Result<String, Refusal> {
    let (event, _) = event_row(cx, name)?;
    let perturbations = &cx.state.perturbations;
    let active = perturbations.is_event_active(event);
    if !active && !perturbations.pending.iter().any(|pending| pending.event == event) {
        let message = format!("{name} is neither active nor pending today.");
        return Err(conflict(message, "`perturbation_queue` lists the active and pending events."));
    }
    if !dry {
        perturbations::cancel(cx, event);
    }
    Ok(if active { format!("{name} ends.") } else { format!("{name} does not come today.") })
}

/// Sets whether perturbations start by themselves. Active ones end at their time.
pub(super) fn switch(cx: &mut TickContext<'_>, on: bool, dry: bool) -> String {
    if !dry {
        cx.state.live_settings.perturbations = on;
        if !on {
            cx.state.perturbations.pending.clear();
        }
    }
    if on {
        "scheduled perturbations start again on the next day.".to_owned()
    } else {
        "no perturbation starts by itself; active ones end at their time.".to_owned()
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
        return Err(not_found("there is no such place.".into(), "Give the name of a place on the map."));
    };
    if !plan.has_table(place) {
        let with: Vec<&str> =
            plan.places().filter(|(id, _)| plan.has_table(*id)).map(|(_, it)| it.name.as_str()).collect();
        let hint = format!("Places with tables: {}.", with.join(", "));
        return Err(invalid(format!("{} has no table to meet at.", at.name), &hint));
    }
    for agent in agents {
        let name = names::name(cx.state.agents.resident[agent]);
        if cx.state.agents.possessed[agent] {
            return Err(conflict(format!("{name} is possessed."), "`release` gives the resident back first."));
        }
        if cx.state.perturbations.meeting_place(cx.state.agents.resident[agent]).is_some() {
            return Err(conflict(format!("{name} is invited to a meeting already."), "`perturbation_queue` shows it."));
        }
    }
    let ends =
        cx.state.tick + perturbations::walking_time(cx.rules, cx.state, agents, place) + perturbations::STAY_TICKS;
    let answer = format!("{one} and {other} are invited to meet at {}.", at.name);
    if !dry {
        let meeting = Meeting { who, place, met: false };
        let it = perturbations::manual(cx, ARRANGED_MEET, Some(ends), Some(meeting));
        perturbations::begin(cx, it);
    }
    Ok(answer)
}
