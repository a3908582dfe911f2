//! Details of a pending exit: tenure, absences, release time and related events.

use ratatui::text::{Line, Span};

use crate::format::{
    capital, clock, count, days, duration, moment, pad, pad_left, percent, plain, resident, thousands, time_of,
};
use crate::indexed_snapshot::IndexedSnapshot;
use crate::pane::{Context, DetailCard};
use townlet_wire::escape;
use townlet_wire::telemetry::{Event, ExitEntry, Job, Perturbation};

/// Maximum number of events in the details.
const LISTED: usize = 12;

/// `Ada has worked 4 days as barista.`
pub(super) fn service(view: &IndexedSnapshot, id: &str) -> String {
    let name = resident(view, id);
    match view.jobs.get(id).filter(|job| !job.job_id.is_empty()) {
        Some(job) => format!("{name} has worked {} as {}.", days(job.tenure_days), escape(&job.job_id)),
        None => format!("{name} has no job."),
    }
}

/// `Ada, barista for 4 days; attended 71 % of the latest shifts.` Tenure alone does not imply attendance.
fn tenure(view: &IndexedSnapshot, id: &str) -> String {
    match view.jobs.get(id).filter(|job| !job.job_id.is_empty()) {
        Some(job) => {
            let (name, job_name) = (resident(view, id), escape(&job.job_id));
            format!("{name}, {job_name} for {}; {}.", days(job.tenure_days), attended(view, id))
        }
        None => service(view, id),
    }
}

/// `attended 71 % of the latest shifts`, or `no shift yet`. The number of shifts is not on the wire.
fn attended(view: &IndexedSnapshot, id: &str) -> String {
    let ratio = view.attendance(id).map(percent);
    ratio.map_or_else(|| "no shift yet".to_owned(), |ratio| format!("attended {ratio} of the latest shifts"))
}

/// `3 absent shifts in 7 days (limit 3), attendance 71 %.`
pub(super) fn absences(view: &IndexedSnapshot, id: &str) -> String {
    let Some(job) = view.jobs.get(id) else { return String::new() };
    format!("{}, attendance {}.", absent(view, job), attendance(view, id))
}

/// `71 %`, or a dash before the first shift.
pub(super) fn attendance(view: &IndexedSnapshot, id: &str) -> String {
    view.attendance(id).map_or_else(|| "–".to_owned(), percent)
}

fn absent(view: &IndexedSnapshot, job: &Job) -> String {
    let due = view.employment.max_absent_shifts;
    format!("{} in 7 days (limit {due})", count(job.absent_shifts_7d, "absent shift"))
}

/// Summary in three sentences.
pub(super) fn sentence(view: &IndexedSnapshot, entry: &ExitEntry) -> String {
    let absent = view.jobs.get(&entry.agent).map_or_else(String::new, |job| format!(" {}.", absent(view, job)));
    let leaves = capital(&leaves(view, entry));
    format!("{}{absent} {leaves}", tenure(view, &entry.agent))
}

/// Whether the review window is over and only the exit cap or the exit gap delays the exit.
pub(super) fn waits_for_cap(view: &IndexedSnapshot, entry: &ExitEntry) -> bool {
    !entry.approved && entry.releases_at_tick <= view.tick
}

/// The perturbation that suspends exits; approved ones leave all the same.
pub(super) fn suspension(view: &IndexedSnapshot) -> Option<&str> {
    let active = |it: &&Perturbation| it.state == "active" && ["blackout", "outage"].contains(&&*it.kind);
    view.perturbations.iter().find(active).map(|it| it.kind.as_str())
}

/// When the limits let an exit happen whose review window is over.
fn limits(view: &IndexedSnapshot) -> String {
    let employment = &view.employment;
    if employment.daily_exit_cap == 0 {
        return "only by approval: the exit cap is 0".to_owned();
    }
    match employment.reached_all_exits_cap() {
        Some(cap) => {
            let all = thousands(employment.all_exits_today);
            format!("tomorrow at the earliest: {all} of {} exits of all causes today", thousands(cap))
        }
        None => "as soon as the exit cap and exit gap allow".to_owned(),
    }
}

/// When an exit that is not approved takes effect.
pub(in crate::screens) fn when(view: &IndexedSnapshot, entry: &ExitEntry) -> String {
    match (suspension(view), waits_for_cap(view, entry)) {
        (None, false) => moment(entry.releases_at_tick, view),
        (None, true) => limits(view),
        (Some(kind), false) => format!("after the {kind}, not before tick {}", thousands(entry.releases_at_tick)),
        (Some(kind), true) => format!("after the {kind}, {}", limits(view)),
    }
}

/// `leaves in 2 h 10 m (tick 4,310), unless deferred.`
fn leaves(view: &IndexedSnapshot, entry: &ExitEntry) -> String {
    if entry.approved {
        return "approved: leaves on the next tick.".to_owned();
    }
    let timed = suspension(view).is_none() && !waits_for_cap(view, entry);
    let full = timed && view.employment.exits_today >= view.employment.daily_exit_cap;
    let when = if timed { format!("{})", when(view, entry).replacen(" · ", " (", 1)) } else { when(view, entry) };
    format!("leaves {when}{}, unless deferred.", if full { " if the cap allows" } else { "" })
}

pub(super) fn card(cx: &Context<'_>, entry: &ExitEntry) -> DetailCard {
    let (view, theme) = (cx.view, cx.theme);
    let name = resident(view, &entry.agent);
    let fact = |label: &str, value: String| DetailCard::fact(label, &value, 12, theme);
    let per_day = view.clock.ticks_per_day;
    let waited = duration(view.tick.saturating_sub(entry.enqueued_tick), per_day);
    let mut lines = vec![Line::styled(tenure(view, &entry.agent), theme.strong), Line::default()];
    lines.push(fact("reason", entry.reason.clone()));
    lines.push(fact("waiting", format!("{waited} · since tick {}", thousands(entry.enqueued_tick))));
    let leaves = if entry.approved { "next tick".to_owned() } else { when(view, entry) };
    lines.push(fact("leaves", leaves));
    if let Some(job) = view.jobs.get(&entry.agent) {
        lines.push(fact("attendance", attended(view, &entry.agent)));
        lines.push(fact("absent", absent(view, job)));
        lines.push(fact("late today", count(job.late_ticks_today, "tick")));
        lines
            .push(fact("wages", format!("{:.2} earned, {:.2} withheld (meals)", job.wages_earned, job.wages_withheld)));
        lines.push(fact("wallet", format!("{:.2} meals; a day costs {:.2}", job.wallet, job.basket_cost)));
    }
    if let Some(agent) = view.resident(&entry.agent) {
        if let Some(shift) = &agent.shift {
            let hours = format!("{} – {}", clock(shift.start, per_day), clock(shift.end, per_day));
            lines.push(fact("shift", format!("{hours}; past: {}", shift.history.join(", ").replace('_', " "))));
        }
        lines.push(fact("now", format!("{} ({})", agent.activity, agent.place)));
    }
    lines.extend([Line::default(), Line::styled("Related events", theme.head)]);
    let about = |event: &&Event| event.fields.values().any(|value| value.as_str() == Some(&entry.agent));
    let led: Vec<&Event> = view.events.iter().filter(about).collect();
    if led.is_empty() {
        lines.push(Line::styled(format!("No recent events of {name}; see the Audit screen."), theme.dim));
    }
    for event in led.iter().rev().take(LISTED) {
        let when = format!("tick {} {}", pad(&thousands(event.tick), 7), pad_left(&time_of(event.tick, view), 12));
        let fields = event.fields.iter().filter(|(_, value)| value.as_str() != Some(&entry.agent));
        let fields: Vec<String> = fields.map(|(name, value)| format!("{name} {}", plain(value))).collect();
        let text = format!("  {}  {}", event.event.replace('_', " "), fields.join(", "));
        lines.push(Line::from(vec![Span::styled(when, theme.dim), Span::styled(escape(&text), theme.text)]));
    }
    DetailCard { title: format!("Exit: {name}"), lines, live: true }
}
