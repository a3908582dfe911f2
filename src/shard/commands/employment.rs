//! The exit queue: its entries and the operator's decisions about them.

use std::fmt::Write as _;

use serde_json::json;
use townlet_town::{Command, ResidentId, names};

use crate::arguments::Reason;
use crate::command_table::{Reply, listed, row};
use crate::operation::ShardView;
use crate::telemetry;
use townlet_wire::count;

row! {
    STATUS = "employment_status", Viewer, "shows pending exits, cap usage, queue limit, and the queue";
    Read() => status
}

row! {
    REVIEW = "employment_exit review", Viewer, "lists the exit queue with the reason of each entry";
    Read() => review
}

row! {
    REQUEST = "employment_exit request", Admin, "puts a resident into the exit queue by hand";
    Town(agent: ResidentId, reason: Reason) => Command::ExitRequest { who: agent }
}

row! {
    APPROVE = "employment_exit approve", Destructive, "removes the resident from the town on the next tick";
    Town(agent: ResidentId, reason: Reason) => Command::ExitApprove { who: agent }
}

row! {
    DEFER = "employment_exit defer", Admin, "removes the entry and forgives the resident's absences";
    Town(agent: ResidentId, reason: Reason) => Command::ExitDefer { who: agent }
}

fn status(view: &ShardView<'_>) -> Reply {
    let employment = telemetry::employment(view.town.rules(), view.town.state());
    let mut summary = format!(
        "{} pending (limit {}), {} of {} exits today.",
        employment.pending_count, employment.queue_limit, employment.exits_today, employment.daily_exit_cap
    );
    if let Some(cap) = employment.reached_all_exits_cap() {
        let all = count(employment.all_exits_today, "exit");
        let _ = write!(summary, " The limit on exits of all causes is reached: {all} today, limit {cap}.");
    }
    let mut result = json!(employment);
    result["summary"] = json!(summary);
    Ok(result)
}

fn review(view: &ShardView<'_>) -> Reply {
    let (rules, state) = (view.town.rules(), view.town.state());
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
        0 => "the exit queue is empty.".to_owned(),
        count => {
            let names: Vec<String> =
                state.employment.queue.iter().map(|entry| names::name(state.agents.resident[entry.agent])).collect();
            format!("{count} waiting: {}.", listed(&names))
        }
    };
    Ok(json!({ "summary": summary, "queue": entries }))
}
