//! Commands that only read.

use serde_json::{Value, json};
use townlet_town::masks::closure_reason;
use townlet_town::options::OPTIONS;
use townlet_town::{ResidentId, names, queues};
use townlet_wire::CommandSpec;
use townlet_wire::count;
use townlet_wire::telemetry::Objective;

use crate::arguments::{CommandName, Location};
use crate::command_table::{Reply, error, near_hint, part, row, specs};
use crate::operation::ShardView;
use crate::telemetry;

row! {
    HELP = "help", Viewer, "lists all commands, or explains one (quote names of two words)";
    Read(command: Option<CommandName>) => move |_| help(command.as_ref().map(|name| name.0.as_str()))
}

row! {
    TELEMETRY_SNAPSHOT = "telemetry_snapshot", Viewer, "prints the whole state as published, schema 0.2.0";
    Read() => telemetry_snapshot
}

row! {
    HEALTH_STATUS = "health_status", Viewer, "shows the health of the shard: audit log, journal, snapshots, speed";
    Read() => health_status
}

row! { KPI = "kpi", Viewer, "lists every KPI with its target and verdict"; Read() => kpi }

row! {
    QUEUE_INSPECT = "queue_inspect", Viewer, "shows one object: users, waiting residents and cooldowns";
    Read(object: Location) => move |view| queue_inspect(view, &object.0)
}

row! {
    DEBUG_QUEUES = "debug queues", Viewer, "lists every reservation, wait, cooldown and ghost step, and any inconsistency";
    Read() => debug_queues
}

row! {
    AFFORDANCE_STATUS = "affordance_status", Viewer, "which affordances can be used now, and why others cannot";
    Read() => affordance_status
}

row! {
    EXPLAIN = "explain", Viewer, "what a resident does and why, and which options are not allowed and why";
    Read(agent: ResidentId) => move |view| explain(view, agent)
}

fn row_of(spec: &CommandSpec) -> Value {
    json!({ "usage": spec.usage(), "role": spec.role.word(), "help": spec.help })
}

fn help(name: Option<&str>) -> Reply {
    let specs = specs();
    let Some(name) = name else {
        let rows: Vec<Value> = specs.iter().map(row_of).collect();
        return Ok(
            json!({ "summary": format!("{} commands; `help <command>` explains one.", rows.len()), "commands": rows }),
        );
    };
    let family = |spec: &&CommandSpec| spec.name.split_once(' ').is_some_and(|(head, _)| head == name);
    let rows: Vec<Value> = specs.iter().filter(family).map(row_of).collect();
    if !rows.is_empty() {
        let names: Vec<&str> = specs.iter().filter(family).map(|spec| spec.name.as_str()).collect();
        return Ok(json!({ "summary": format!("{}.", names.join(", ")), "commands": rows }));
    }
    let Some(spec) = specs.iter().find(|spec| spec.name == name) else {
        let hint = near_hint(name, specs.iter().map(|spec| spec.name.as_str()), "`help` lists them.");
        return Err(error("E_NOT_FOUND", format!("there is no command `{name}`."), hint));
    };
    Ok(json!({ "summary": format!("{}: {} ({}).", spec.usage(), spec.help, spec.role.word()), "command": spec }))
}

fn telemetry_snapshot(view: &ShardView<'_>) -> Reply {
    let (rules, state) = (view.town.rules(), view.town.state());
    let snapshot = telemetry::snapshot(rules, state, view.driver.decisions(), view.status, view.log.tail(20));
    let mut value = part(&snapshot)?;
    value["summary"] = json!(format!(
        "schema {}, tick {}, {}.",
        snapshot.schema_version,
        snapshot.tick,
        count(snapshot.agents.len() as u64, "resident")
    ));
    Ok(value)
}

fn health_status(view: &ShardView<'_>) -> Reply {
    let health = &view.status.health;
    let summary = if health.problems.is_empty() {
        format!("{}; {} at {:.0} ticks/s.", health.status, view.status.speed, view.status.ticks_per_second)
    } else {
        format!("{}: {}", health.status, health.problems.join("; "))
    };
    let late = &view.status.lateness;
    Ok(json!({
        "summary": summary, "health": health, "run_id": view.status.run_id, "digest": view.town.digest(),
        "config_id": view.town.rules().config.config_id, "texts_digest": view.town.rules().texts_digest,
        "lateness": { "ticks": late.ticks(), "p50_ms": late.milliseconds(0.5), "p99_ms": late.milliseconds(0.99) },
    }))
}

fn kpi(view: &ShardView<'_>) -> Reply {
    let kpis = telemetry::kpis(view.town.rules(), view.town.state());
    let count = |verdict: &str| kpis.iter().filter(|kpi| kpi.verdict == verdict).count();
    let summary =
        format!("{} met, {} missed, {} without enough data.", count("met"), count("missed"), count("not_enough_data"));
    Ok(json!({ "summary": summary, "kpis": kpis }))
}

fn queue_inspect(view: &ShardView<'_>, typed: &str) -> Reply {
    let conflict = telemetry::conflict(view.town.rules(), view.town.state());
    let Some(queue) = conflict.queues.iter().find(|queue| queue.object == typed) else {
        let objects = conflict.queues.iter().map(|queue| queue.object.as_str());
        let hint = near_hint(typed, objects, "`debug queues` lists them.");
        return Err(error("E_NOT_FOUND", format!("there is no object `{typed}` with a queue."), hint));
    };
    let summary = format!(
        "{}: {} using, {} waiting (longest {}), {} on cooldown.",
        queue.object,
        queue.users.len(),
        queue.waiting.len(),
        count(queue.longest_wait, "tick"),
        queue.cooldowns.len()
    );
    Ok(json!({ "summary": summary, "queue": queue }))
}

fn debug_queues(view: &ShardView<'_>) -> Reply {
    let (rules, state) = (view.town.rules(), view.town.state());
    let conflict = telemetry::conflict(rules, state);
    let disorder = queues::violations(rules, state);
    let entries = telemetry::queue_entries(rules, state);
    let busy = conflict.queues.iter().filter(|queue| !queue.users.is_empty()).count();
    let waiting: usize = conflict.queues.iter().map(|queue| queue.waiting.len()).sum();
    let order = if disorder.is_empty() { "in order".to_owned() } else { format!("DISORDER: {}", disorder.join("; ")) };
    let fairness = if conflict.queue_fairness { "on" } else { "off" };
    let ghosts: Vec<Value> = (conflict.queues.iter().filter(|queue| queue.ghost_steps > 0))
        .map(|queue| json!({ "object": queue.object, "ghost_steps": queue.ghost_steps }))
        .collect();
    let disorder: Vec<Value> = disorder.into_iter().map(|what| json!({ "what": what })).collect();
    Ok(json!({
        "summary": format!(
            "{busy} in use, {waiting} waiting, {}, fairness {fairness}, {order}.",
            count(conflict.ghost_steps, "ghost step")
        ),
        "tick": state.tick,
        "entries": part(&entries)?,
        "ghost_steps": ghosts,
        "disorder": disorder,
    }))
}

fn affordance_status(view: &ShardView<'_>) -> Reply {
    let (rules, state) = (view.town.rules(), view.town.state());
    let mut rows = Vec::new();
    for (option, choices) in OPTIONS.iter().zip(&rules.choices) {
        for (object, what) in choices {
            let affordance = &rules.affordances[*what];
            let why = closure_reason(rules, state, *object, affordance)
                .or((affordance.takes_stock > state.objects[*object].stock)
                    .then_some(townlet_town::masks::MaskReason::NoStock));
            rows.push(json!({
                "affordance": affordance.id,
                "option": option.1,
                "object": rules.plan.objects[*object].name,
                "duration": affordance.duration,
                "usable": why.is_none(),
                "why_not": why.map(townlet_town::masks::MaskReason::description),
            }));
        }
    }
    let broken = rows.iter().filter(|row| row["usable"] == json!(false)).count();
    Ok(
        json!({ "summary": format!("{} of {} usable now.", rows.len() - broken, rows.len()), "affordances": part(&rows)? }),
    )
}

/// The terms of an objective that are not zero: `needs +0.147, trust +0.031, late −0.011`.
fn objective(objective: &Objective) -> String {
    let value = |name: &str| objective.terms.iter().find(|term| term.name == name);
    let late = value("attendance").and_then(|term| term.lost).map(|lost| ("late".to_owned(), lost));
    let terms = objective.terms.iter().map(|term| (term.name.replace('_', " "), term.value)).chain(late);
    let shown = terms.filter(|(_, value)| value.abs() >= 0.000_5);
    let shown: Vec<String> = shown.map(|(name, value)| format!("{name} {value:+.3}").replace('-', "−")).collect();
    if shown.is_empty() { "no share of the town score yet".to_owned() } else { shown.join(", ") }
}

fn explain(view: &ShardView<'_>, resident: ResidentId) -> Reply {
    let agent = view.agent(resident)?;
    let state = view.town.state();
    let it = telemetry::inspect(view.town.rules(), state, view.driver.decisions(), agent);
    let name = names::name(state.agents.resident[agent]);
    let driver = if it.possessed { "an operator" } else { view.status.policy.id.as_str() };
    let lowest = it.needs.iter().min_by(|a, b| a.value.total_cmp(&b.value));
    let lowest =
        lowest.map_or_else(String::new, |need| format!("; lowest need {} {:.0} %", need.name, need.value * 100.0));
    let barred: Vec<String> =
        it.mask.iter().filter(|bit| !bit.allowed).map(|bit| format!("{} ({})", bit.option, bit.reason)).collect();
    let barred = if barred.is_empty() { String::new() } else { format!("; may not {}", barred.join(", ")) };
    let since = count(state.tick - it.option_since, "tick");
    let summary = format!(
        "{name} chose {} {since} ago (driven by {driver}): {}{lowest}{barred}. Today: {}.",
        it.option,
        it.activity,
        it.objective.as_ref().map(objective).unwrap_or_default()
    );
    let mut result = json!(it);
    result["summary"] = json!(summary);
    Ok(result)
}
