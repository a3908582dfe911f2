//! Events match the change of state and counters, belong to their tick, and name present residents.

use townlet_town::events::Utility;
use townlet_town::state::Counters;
use townlet_town::state::State;
use townlet_town::{EventKind, ResidentId};

use super::conservation::slot;
use super::{CheckResult, Transition, ensure};

/// A daily counter and the event that it counts.
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

/// After a command.
pub(crate) fn command(transition: &Transition<'_>) -> CheckResult {
    tellable(transition)?;
    counted(transition, transition.before.days.days[0])
}

/// After a tick.
pub(crate) fn tick(transition: &Transition<'_>) -> CheckResult {
    let turned = transition.before.tick > 0 && transition.rules.tick_of_day(transition.before.tick) == 0;
    tellable(transition)?;
    counted(transition, if turned { Counters::default() } else { transition.before.days.days[0] })
}

fn tellable(transition: &Transition<'_>) -> CheckResult {
    let Transition { before, after, events, .. } = transition;
    let late = events.iter().find(|event| event.tick != before.tick);
    ensure!(late.is_none(), "events: {late:?} is of another tick");
    let here = |state: &State, who: ResidentId| slot(state, who).is_some();
    for event in *events {
        for who in people(event.kind).into_iter().flatten() {
            ensure!(here(before, who) || here(after, who), "events: {event:?} names an unknown resident");
        }
        if let [Some(one), Some(other)] = people(event.kind) {
            ensure!(one != other, "events: {event:?} names one resident twice");
        }
    }
    comings_and_goings(transition)?;
    let count = |name: &str| events.iter().filter(|event| event.kind.name() == name).count();
    let (began, ended) = (count("perturbation_began"), count("perturbation_ended"));
    let (were, are) = (before.perturbations.active.len(), after.perturbations.active.len());
    ensure!(were + began == are + ended, "events: {were} perturbations, {began} began, {ended} ended, {are} remain");
    for utility in [Utility::Power, Utility::Water] {
        let on = |state: &State| if utility == Utility::Power { state.economy.power } else { state.economy.water };
        let mut now = on(before);
        for event in *events {
            let turned = match event.kind {
                EventKind::UtilityOff { utility: of } if of == utility => false,
                EventKind::UtilityOn { utility: of, .. } if of == utility => true,
                _ => continue,
            };
            ensure!(turned != now, "events: {utility:?} is reported twice");
            now = turned;
        }
        ensure!(now == on(after), "events: {utility:?} changed without an event");
    }
    Ok(())
}

/// Each arrival, exit and entry into the exit queue has exactly one event.
fn comings_and_goings(transition: &Transition<'_>) -> CheckResult {
    let Transition { before, after, events, .. } = transition;
    let reported = |wanted: fn(EventKind) -> Option<ResidentId>| {
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
    let came = reported(|kind| if let EventKind::ResidentArrived { who } = kind { Some(who) } else { None });
    let went = reported(|kind| if let EventKind::ResidentLeft { who, .. } = kind { Some(who) } else { None });
    ensure!(came == without(after, before), "events: arrivals of {came:?}");
    ensure!(went == without(before, after), "events: exits of {went:?}");
    let over_work = reported(|kind| match kind {
        EventKind::ResidentLeft { who, cause: townlet_town::state::ExitCause::Employment { .. } } => Some(who),
        _ => None,
    });
    let processed =
        reported(|kind| if let EventKind::EmploymentExitProcessed { who, .. } = kind { Some(who) } else { None });
    ensure!(over_work == processed, "events: {over_work:?} left for employment, {processed:?} were processed");
    let pending =
        reported(|kind| if let EventKind::EmploymentExitPending { who, .. } = kind { Some(who) } else { None });
    // A resident who joins the queue may still leave in the same tick for another cause.
    let pending: Vec<ResidentId> = pending.into_iter().filter(|who| slot(after, *who).is_some()).collect();
    let queued = |state: &State, who: ResidentId| {
        slot(state, who).and_then(|agent| state.employment.entry(agent).copied()).map(|entry| entry.enqueued)
    };
    let joined = after.employment.queue.iter().map(|entry| after.agents.resident[entry.agent]);
    let mut joined: Vec<ResidentId> = joined.filter(|who| queued(before, *who) != queued(after, *who)).collect();
    joined.sort_unstable();
    ensure!(pending == joined, "events: {pending:?} joined the exit queue by events, {joined:?} by state");
    Ok(())
}

fn counted(transition: &Transition<'_>, day: Counters) -> CheckResult {
    let today = transition.after.days.days[0];
    for row in &COUNTED {
        let reported = transition.events.iter().filter(|event| event.kind.name() == row.name).count();
        let counted = (row.count)(&today) - (row.count)(&day);
        ensure!(reported == counted as usize, "events: {reported} of {} are reported, {counted} counted", row.name);
    }
    Ok(())
}

/// The residents that an event names.
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
