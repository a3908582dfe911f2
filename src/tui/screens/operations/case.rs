//! The case of a resident who waits to leave, in words: service, absences, what led here.

use ratatui::text::{Line, Span};

use crate::tui::pane::{Card, Context};
use crate::tui::text::{clock, count, duration, moment, pad, percent, resident, thousands};
use crate::wire::Snapshot;
use crate::wire::telemetry::{Event, ExitEntry, Job};
use crate::wire::text::escape;

/// Events of the resident that a card lists.
const LISTED: usize = 12;

/// `Ada has worked 4 days as barista.`
pub(super) fn service(view: &Snapshot, id: &str) -> String {
    let name = resident(view, id);
    match view.jobs.get(id).filter(|job| !job.job_id.is_empty()) {
        Some(job) => format!("{name} has worked {} as {}.", days(job), escape(&job.job_id)),
        None => format!("{name} has no job."),
    }
}

fn days(job: &Job) -> String {
    let whole = job.tenure_days.floor();
    if (job.tenure_days - whole).abs() < 0.05 {
        count(whole as u64, "day")
    } else {
        format!("{:.1} days", job.tenure_days)
    }
}

/// `3 absent shifts in 7 days (3 are too many), attendance 71 %.`
pub(super) fn absences(view: &Snapshot, id: &str) -> String {
    let Some(job) = view.jobs.get(id) else { return String::new() };
    format!(
        "{} in 7 days ({} make a resident due), attendance {}.",
        count(job.absent_shifts_7d, "absent shift"),
        view.employment.max_absent_shifts,
        percent(job.attendance_ratio)
    )
}

/// The case in two sentences.
pub(super) fn sentence(view: &Snapshot, entry: &ExitEntry) -> String {
    let end = if entry.approved {
        "Approved: leaves on the next tick.".to_owned()
    } else {
        let cap = if view.employment.exits_today >= view.employment.daily_exit_cap { " if the cap allows" } else { "" };
        format!("Leaves {}{cap}, unless deferred.", when(entry.releases_at_tick, view))
    };
    format!("{} {} {end}", service(view, &entry.agent), absences(view, &entry.agent))
}

/// `in 2 h 10 m (tick 4,310)`.
fn when(tick: u64, view: &Snapshot) -> String {
    format!("{})", moment(tick, view).replacen(" · ", " (", 1))
}

/// The whole case.
pub(super) fn card(cx: &Context<'_>, entry: &ExitEntry) -> Card {
    let (view, theme) = (cx.view, cx.theme);
    let name = resident(view, &entry.agent);
    let fact = |label: &str, value: String| {
        Line::from(vec![Span::styled(pad(label, 12), theme.dim), Span::styled(escape(&value), theme.text)])
    };
    let per_day = view.clock.ticks_per_day;
    let waited = duration(view.tick.saturating_sub(entry.enqueued_tick), per_day);
    let mut lines = vec![Line::styled(service(view, &entry.agent), theme.strong), Line::default()];
    lines.push(fact("why", entry.reason.clone()));
    lines.push(fact("waiting", format!("{waited} · since tick {}", thousands(entry.enqueued_tick))));
    lines.push(fact(
        "leaves",
        if entry.approved { "next tick".to_owned() } else { moment(entry.releases_at_tick, view) },
    ));
    if let Some(job) = view.jobs.get(&entry.agent) {
        lines.push(fact("attendance", format!("{} of the last shifts", percent(job.attendance_ratio))));
        lines.push(fact(
            "absent",
            format!("{} of {} shifts in 7 days", job.absent_shifts_7d, view.employment.max_absent_shifts),
        ));
        lines.push(fact("late today", count(job.late_ticks_today, "tick")));
        lines
            .push(fact("wages", format!("{:.2} earned, {:.2} withheld (meals)", job.wages_earned, job.wages_withheld)));
        lines.push(fact("wallet", format!("{:.2} meals; a day costs {:.2}", job.wallet, job.basket_cost)));
    }
    if let Some(agent) = view.agents.iter().find(|agent| agent.id == entry.agent) {
        if let Some(shift) = &agent.shift {
            let hours = format!("{} – {}", clock(shift.start, per_day), clock(shift.end, per_day));
            lines.push(fact("shift", format!("{hours}; past: {}", shift.history.join(", ").replace('_', " "))));
        }
        lines.push(fact("now", format!("{} ({})", agent.activity, agent.place)));
    }
    lines.extend([Line::default(), Line::styled("What led here", theme.head)]);
    let about = |event: &&Event| event.fields.values().any(|value| value.as_str() == Some(&entry.agent));
    let led: Vec<&Event> = view.events.iter().filter(about).collect();
    if led.is_empty() {
        lines
            .push(Line::styled(format!("No event about {name} is in this snapshot; see the Audit screen."), theme.dim));
    }
    for event in led.iter().rev().take(LISTED) {
        let when = format!("tick {} {}", pad(&thousands(event.tick), 7), clock(event.tick, per_day));
        let fields = event.fields.iter().filter(|(_, value)| value.as_str() != Some(&entry.agent));
        let fields: Vec<String> = fields.map(|(name, value)| format!("{name} {}", plain(value))).collect();
        let text = format!("  {}  {}", event.event.replace('_', " "), fields.join(", "));
        lines.push(Line::from(vec![Span::styled(when, theme.dim), Span::styled(escape(&text), theme.text)]));
    }
    Card { title: format!("{name}: the case"), lines }
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
