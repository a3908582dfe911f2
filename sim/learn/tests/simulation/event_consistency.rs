//! What is told is what happened: events of their tick, about those who live there, in step with state and counters.

use townlet_town::events::Utility;
use townlet_town::state::Counters;
use townlet_town::state::State;
use townlet_town::{EventKind, ResidentId};

use crate::conservation::slot;
use crate::{Held, Moment, hold};

/// A counter of the day and the event that tells of each thing it counts.
struct Counted {
    name: &'static str,
    count: fn(&Counters) -> u32,
}

static COUNTED: [Counted; 9] = [
    Counted { name: "resident_left", count: |day| day.exits },
    Counted { name: "chat_done", count: |day| day.chats_done },
    Counted { name: "shared_meal", count: |day| day.shared_meals },
    Counted { name: "argument", count: |day| day.quarrels },
    Counted { name: "starvation", count: |day| day.starvation_events },
    Counted { name: "affordance_failed", count: |day| day.affordance_failures },
    Counted { name: "queue_conflict", count: |day| day.queue_conflicts },
    Counted { name: "shift_late", count: |day| day.late_shifts },
    Counted { name: "shift_absent", count: |day| day.absences },
];

/// After an order.
pub(crate) fn order(moment: &Moment<'_>) -> Held {
    tellable(moment)?;
    counted(moment, moment.before.days.days[0])
}

/// After a tick.
pub(crate) fn tick(moment: &Moment<'_>) -> Held {
    let turned = moment.before.tick > 0 && moment.rules.tick_of_day(moment.before.tick) == 0;
    tellable(moment)?;
    counted(moment, if turned { Counters::default() } else { moment.before.days.days[0] })
}

fn tellable(moment: &Moment<'_>) -> Held {
    let Moment { before, after, events, .. } = moment;
    let late = events.iter().find(|event| event.tick != before.tick);
    hold!(late.is_none(), "events: {late:?} is of another tick");
    let here = |state: &State, who: ResidentId| slot(state, who).is_some();
    for event in *events {
        for who in people(event.kind).into_iter().flatten() {
            hold!(here(before, who) || here(after, who), "events: {event:?} is about nobody");
        }
        if let [Some(one), Some(other)] = people(event.kind) {
            hold!(one != other, "events: {event:?} is about one alone");
        }
    }
    comings_and_goings(moment)?;
    let count = |name: &str| events.iter().filter(|event| event.kind.name() == name).count();
    let (began, ended) = (count("perturbation_began"), count("perturbation_ended"));
    let (were, are) = (before.perturbations.active.len(), after.perturbations.active.len());
    hold!(were + began == are + ended, "events: {were} shocks, {began} began, {ended} ended, {are} are left");
    for utility in [Utility::Power, Utility::Water] {
        let on = |state: &State| if utility == Utility::Power { state.economy.power } else { state.economy.water };
        let mut now = on(before);
        for event in *events {
            let turned = match event.kind {
                EventKind::UtilityOff { utility: of } if of == utility => false,
                EventKind::UtilityOn { utility: of, .. } if of == utility => true,
                _ => continue,
            };
            hold!(turned != now, "events: {utility:?} is told twice");
            now = turned;
        }
        hold!(now == on(after), "events: {utility:?} changed and nobody was told");
    }
    Ok(())
}

/// Who comes, who goes and who joins the exit queue is told, once, and nobody else is.
fn comings_and_goings(moment: &Moment<'_>) -> Held {
    let Moment { before, after, events, .. } = moment;
    let told = |wanted: fn(EventKind) -> Option<ResidentId>| {
        let mut all: Vec<ResidentId> = events.iter().filter_map(|event| wanted(event.kind)).collect();
        all.sort_unstable();
        all
    };
    let without = |state: &State, other: &State| {
        let all = state.agents.present.iter().map(|agent| state.agents.resident[*agent]);
        let mut all: Vec<ResidentId> = all.filter(|who| slot(other, *who).is_none()).collect();
        all.sort_unstable();
        all
    };
    let came = told(|kind| if let EventKind::ResidentArrived { who } = kind { Some(who) } else { None });
    let went = told(|kind| if let EventKind::ResidentLeft { who, .. } = kind { Some(who) } else { None });
    hold!(came == without(after, before), "events: {came:?} are said to have come");
    hold!(went == without(before, after), "events: {went:?} are said to have gone");
    let over_work = told(|kind| match kind {
        EventKind::ResidentLeft { who, cause: townlet_town::state::ExitCause::Employment { .. } } => Some(who),
        _ => None,
    });
    let processed =
        told(|kind| if let EventKind::EmploymentExitProcessed { who, .. } = kind { Some(who) } else { None });
    hold!(over_work == processed, "events: {over_work:?} left over work, {processed:?} were processed");
    let pending = told(|kind| if let EventKind::EmploymentExitPending { who, .. } = kind { Some(who) } else { None });
    // Who joins it may still have to leave in the same tick, over something else.
    let pending: Vec<ResidentId> = pending.into_iter().filter(|who| slot(after, *who).is_some()).collect();
    let queued = |state: &State, who: ResidentId| {
        slot(state, who).and_then(|agent| state.employment.entry(agent).copied()).map(|entry| entry.enqueued)
    };
    let joined = after.employment.queue.iter().map(|entry| after.agents.resident[entry.agent]);
    let mut joined: Vec<ResidentId> = joined.filter(|who| queued(before, *who) != queued(after, *who)).collect();
    joined.sort_unstable();
    hold!(pending == joined, "events: {pending:?} are said to have joined the exit queue, {joined:?} did");
    Ok(())
}

fn counted(moment: &Moment<'_>, day: Counters) -> Held {
    let today = moment.after.days.days[0];
    for row in &COUNTED {
        let told = moment.events.iter().filter(|event| event.kind.name() == row.name).count();
        let counted = (row.count)(&today) - (row.count)(&day);
        hold!(told == counted as usize, "events: {told} of {} are told, {counted} counted", row.name);
    }
    Ok(())
}

/// Whom an event is about.
fn people(kind: EventKind) -> [Option<ResidentId>; 2] {
    match kind {
        EventKind::ResidentArrived { who }
        | EventKind::ResidentLeft { who, .. }
        | EventKind::ShiftOnTime { who, .. }
        | EventKind::ShiftLate { who, .. }
        | EventKind::ShiftAbsent { who, .. }
        | EventKind::EmploymentExitPending { who, .. }
        | EventKind::EmploymentExitManualRequest { who }
        | EventKind::EmploymentExitDeferred { who }
        | EventKind::EmploymentExitProcessed { who, .. }
        | EventKind::Starving { who }
        | EventKind::AffordanceDone { who, .. }
        | EventKind::AffordanceFailed { who, .. }
        | EventKind::QueueConflict { who, .. }
        | EventKind::GhostStep { who }
        | EventKind::RentMissed { who, .. } => [Some(who), None],
        EventKind::MeetingArranged { who, other, .. }
        | EventKind::Met { who, other, .. }
        | EventKind::ChatDone { who, other }
        | EventKind::ChatFailed { who, other }
        | EventKind::SharedMeal { who, other }
        | EventKind::Argument { who, other, .. }
        | EventKind::PoliteQueue { who, other, .. }
        | EventKind::JumpedQueue { who, other, .. }
        | EventKind::ConflictAvoided { who, other, .. }
        | EventKind::HelpedLate { who, other, .. }
        | EventKind::ShiftTaken { who, other, .. } => [Some(who), Some(other)],
        _ => [None, None],
    }
}
