//! The exit queue: who waits, and the three things an operator does about it.

use serde_json::json;
use townlet_town::{Command, names};

use crate::command_table::{Args, Kind, Look, REASON, Reply, Row, Run, arg};
use crate::telemetry;
use townlet_wire::{ErrorBody, Role};

pub(crate) static STATUS: Row = Row {
    name: "employment_status",
    args: &[],
    role: Role::Viewer,
    destructive: false,
    help: "employment KPIs: pending exits, cap usage, queue limit, and the queue",
    run: Run::Read(status),
};

pub(crate) static REVIEW: Row = Row {
    name: "employment_exit review",
    args: &[],
    role: Role::Viewer,
    destructive: false,
    help: "the exit queue, one entry a resident, with what led there",
    run: Run::Read(review),
};

pub(crate) static REQUEST: Row = Row {
    name: "employment_exit request",
    args: &[arg("agent", Kind::Agent), REASON],
    role: Role::Admin,
    destructive: false,
    help: "puts a resident into the exit queue by hand",
    run: Run::Town(|look, args| on(look, args, |who| Command::ExitRequest { who })),
};

pub(crate) static APPROVE: Row = Row {
    name: "employment_exit approve",
    args: &[arg("agent", Kind::Agent), REASON],
    role: Role::Admin,
    destructive: true,
    help: "the resident leaves town on the next tick",
    run: Run::Town(|look, args| on(look, args, |who| Command::ExitApprove { who })),
};

pub(crate) static DEFER: Row = Row {
    name: "employment_exit defer",
    args: &[arg("agent", Kind::Agent), REASON],
    role: Role::Admin,
    destructive: false,
    help: "the entry goes and the resident's absences are forgiven",
    run: Run::Town(|look, args| on(look, args, |who| Command::ExitDefer { who })),
};

/// A command on the resident that the arguments name.
pub(super) fn on(
    look: &Look<'_>,
    args: &Args,
    command: impl FnOnce(townlet_town::ResidentId) -> Command,
) -> Result<Command, ErrorBody> {
    let agent = look.agent(args)?;
    Ok(command(look.town.state().agents.resident[agent]))
}

fn status(look: &Look<'_>, _: &Args) -> Reply {
    let employment = telemetry::employment(look.town.rules(), look.town.state());
    let summary = format!(
        "{} pending (limit {}), {} of {} exits today.",
        employment.pending_count, employment.queue_limit, employment.exits_today, employment.daily_exit_cap
    );
    let mut result = json!(employment);
    result["summary"] = json!(summary);
    Ok(result)
}

fn review(look: &Look<'_>, _: &Args) -> Reply {
    let (rules, state) = (look.town.rules(), look.town.state());
    let entries: Vec<_> = state
        .employment
        .queue
        .iter()
        .map(|entry| {
            let agents = &state.agents;
            let job = agents.job[entry.agent].map(|job| rules.jobs[job].name.clone());
            json!({
                "agent": telemetry::agent_id(state, entry.agent),
                "name": names::name(agents.resident[entry.agent]),
                "job": job,
                "reason": entry.reason.name(),
                "absent_shifts_7d": agents.absent_shifts(entry.agent),
                "attendance_ratio": agents
                    .attendance(entry.agent, rules.config.employment.attendance_window)
                    .map(townlet_town::Micro::to_f64),
                "waiting_ticks": state.tick - entry.enqueued,
                "releases_at_tick": townlet_town::employment::review_ends_at(rules, entry),
                "approved": entry.approved,
            })
        })
        .collect();
    let summary = match entries.len() {
        0 => "nobody waits in the exit queue.".to_owned(),
        count => {
            let names: Vec<String> =
                state.employment.queue.iter().map(|entry| names::name(state.agents.resident[entry.agent])).collect();
            format!("{count} waiting: {}.", crate::command_table::listed(&names))
        }
    };
    Ok(json!({ "summary": summary, "queue": entries }))
}
