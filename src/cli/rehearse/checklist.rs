//! The checks of `townlet rehearse`. To add one, add a row to [`CHECKLIST`]. Rule: "Demonstration rehearsal".

use crate::cli::headless::format_kpi;
use crate::cli::sandbox::{CheckFailure, Sandbox, ensure};
use townlet_tui::format::count;
use townlet_wire::Snapshot;
use townlet_wire::telemetry::{Agent, Event};

/// What a passed check observed.
pub(super) type CheckResult = Result<String, CheckFailure>;

/// A check: its name in the output, and what it runs on a new town.
pub(super) type Check = (&'static str, fn(&Sandbox) -> CheckResult);

/// All checks on the rehearsed configuration, in the order of the rule. `mod.rs` adds [`charter`] and [`fallback`].
pub(super) static CHECKLIST: [Check; 10] = [
    ("spawn", spawn),
    ("setneed", setneed),
    ("force_chat", force_chat),
    ("arrange_meet", arrange_meet),
    ("exit requested", exit_requested),
    ("exit approved", exit_approved),
    ("exit deferred", exit_deferred),
    ("narration", narration),
    ("privacy", privacy),
    ("perturbations off", perturbations_off),
];

fn two_residents(sandbox: &Sandbox) -> Result<[Agent; 2], CheckFailure> {
    let agents = sandbox.view()?.0.agents;
    let count = agents.len();
    let pair: Option<[Agent; 2]> = agents.into_iter().take(2).collect::<Vec<_>>().try_into().ok();
    pair.ok_or_else(|| CheckFailure::new("at least two residents", format!("{count}")))
}

fn field<'a>(event: &'a Event, name: &str) -> Option<&'a str> {
    event.fields.get(name).and_then(serde_json::Value::as_str)
}

fn spawn(sandbox: &Sandbox) -> CheckResult {
    let before = sandbox.view()?.0.agents.len();
    sandbox.run_command("spawn")?;
    let after = sandbox.next_snapshot()?.agents.len();
    ensure(
        after == before + 1,
        format!("{} in the next message", count(before as u64 + 1, "resident")),
        format!("{after}"),
    )?;
    Ok(format!("{}, then {after}", count(before as u64, "resident")))
}

fn setneed(sandbox: &Sandbox) -> CheckResult {
    let [agent, _] = two_residents(sandbox)?;
    sandbox.run_command(&format!("setneed {} hunger 0.5", agent.id))?;
    let view = sandbox.next_snapshot()?;
    let needs = view.agents.iter().find(|it| it.id == agent.id).map(|it| it.needs.clone()).unwrap_or_default();
    let hunger = needs.iter().find(|need| need.name == "hunger").map_or(f64::NAN, |need| need.value);
    ensure((hunger - 0.5).abs() < 1e-6, format!("hunger of {} to be 0.5", agent.name), format!("{hunger}"))?;
    Ok(format!("hunger of {} is {hunger}", agent.name))
}

fn force_chat(sandbox: &Sandbox) -> CheckResult {
    let [one, other] = two_residents(sandbox)?;
    let talks = |view: &Snapshot| view.events.iter().filter(|it| it.event.starts_with("chat_")).count();
    let before = talks(&sandbox.view()?.0);
    sandbox.run_command(&format!("force_chat {} {}", one.id, other.id))?;
    let view = sandbox.next_snapshot()?;
    let seen = talks(&view);
    ensure(seen == before + 1, "one more chat in the next message", format!("{}", seen - before.min(seen)))?;
    let how = view.events.iter().rev().find(|it| it.event.starts_with("chat_")).map_or("", |it| it.event.as_str());
    Ok(format!("{} and {}: {how}", one.name, other.name))
}

fn arrange_meet(sandbox: &Sandbox) -> CheckResult {
    let [one, other] = two_residents(sandbox)?;
    let view = sandbox.view()?.0;
    let tables = |kind: &str| kind == "park" || kind == "cafe";
    let place = view.map.places.iter().find(|place| tables(&place.kind)).map(|place| place.name.clone());
    let place = place.ok_or_else(|| CheckFailure::new("a park or a cafe", "neither"))?;
    sandbox.run_command(&format!("arrange_meet {} {} {place}", one.id, other.id))?;
    let pair = [Some(&*one.id), Some(&*other.id)];
    for ticks in 1..=view.clock.ticks_per_day {
        sandbox.run(1)?;
        let now = sandbox.view()?.0;
        let met = |event: &&Event| event.event == "met" && pair.contains(&field(event, "agent"));
        if now.events.iter().rev().find(met).is_some_and(|event| pair.contains(&field(event, "other"))) {
            return Ok(format!(
                "{} and {} met at {place}, {} after the command",
                one.name,
                other.name,
                count(ticks, "tick")
            ));
        }
    }
    Err(CheckFailure::new(format!("{} and {} to meet at {place} within a day", one.name, other.name), "no meeting"))
}

/// Queues an exit and checks that the next snapshot shows it.
fn queue_exit(sandbox: &Sandbox) -> Result<Agent, CheckFailure> {
    let [agent, _] = two_residents(sandbox)?;
    sandbox.run_command(&format!("employment_exit request {}", agent.id))?;
    let view = sandbox.next_snapshot()?;
    let pending = &view.employment.pending;
    ensure(pending.contains(&agent.id), format!("{} in the exit queue", agent.id), format!("{pending:?}"))?;
    let marked = view.jobs.get(&agent.id).is_some_and(|job| job.exit_pending);
    ensure(marked, format!("exit_pending in the job of {}", agent.id), "not set")?;
    Ok(agent)
}

fn exit_requested(sandbox: &Sandbox) -> CheckResult {
    let agent = queue_exit(sandbox)?;
    let count = sandbox.next_snapshot()?.employment.pending_count;
    Ok(format!("{} is queued, pending_count {count}", agent.name))
}

fn exit_approved(sandbox: &Sandbox) -> CheckResult {
    let agent = queue_exit(sandbox)?;
    let exits = sandbox.view()?.0.employment.exits_today;
    sandbox.run_command(&format!("employment_exit approve {} --reason rehearsal", agent.id))?;
    let view = sandbox.next_snapshot()?;
    let announced =
        |event: &Event| event.event == "employment_exit_manual_request" && field(event, "agent") == Some(&agent.id);
    ensure(view.events.iter().any(announced), "employment_exit_manual_request in the next message", "no such event")?;
    sandbox.run(1)?;
    let view = sandbox.next_snapshot()?;
    let gone = !view.jobs.contains_key(&agent.id) && !view.employment.pending.contains(&agent.id);
    ensure(gone, format!("{} to leave on the next tick", agent.id), "still present")?;
    let now = view.employment.exits_today;
    ensure(now > exits, format!("more than {exits} exits today"), format!("{now}"))?;
    Ok(format!("{} left on the next tick, exits_today {now}", agent.name))
}

fn exit_deferred(sandbox: &Sandbox) -> CheckResult {
    let agent = queue_exit(sandbox)?;
    sandbox.run_command(&format!("employment_exit defer {} --reason rehearsal", agent.id))?;
    let view = sandbox.next_snapshot()?;
    ensure(!view.employment.pending.contains(&agent.id), format!("{} to leave the queue", agent.id), "still pending")?;
    sandbox.run(2)?;
    let stays = sandbox.next_snapshot()?.jobs.get(&agent.id).is_some_and(|job| !job.exit_pending);
    ensure(stays, format!("{} in town and not queued", agent.id), "absent, or queued again")?;
    Ok(format!("{} stays, pending_count {}", agent.name, view.employment.pending_count))
}

/// Number of narrations of the newest tick.
fn narration_count(view: &Snapshot) -> usize {
    view.narrations.iter().filter(|it| it.tick == view.tick).count()
}

fn narration(sandbox: &Sandbox) -> CheckResult {
    let [one, other] = two_residents(sandbox)?;
    sandbox.run_command("narration off")?;
    let before = narration_count(&*sandbox.next_snapshot()?);
    sandbox.run_command(&format!("employment_exit request {}", one.id))?;
    ensure(narration_count(&*sandbox.next_snapshot()?) == before, "no narration after `narration off`", "one")?;
    sandbox.run_command("narration on")?;
    sandbox.run_command(&format!("employment_exit request {}", other.id))?;
    ensure(narration_count(&*sandbox.next_snapshot()?) > before, "a narration after `narration on`", "none")?;
    sandbox.run_command("narration limit 0")?;
    // Waits until every cooldown is over, so that only the limit suppresses narrations.
    let limits = &sandbox.config().telemetry.narration;
    let cooldown = limits.category_cooldown_ticks.values().copied().fold(limits.global_cooldown_ticks, u32::max);
    sandbox.run(u64::from(cooldown) + 1)?;
    let before = narration_count(&*sandbox.next_snapshot()?);
    sandbox.run_command("spawn")?;
    ensure(narration_count(&*sandbox.next_snapshot()?) == before, "no narration of a spawn with limit 0", "one")?;
    sandbox.run_command("narration limit 10000")?;
    sandbox.run_command("spawn")?;
    ensure(
        narration_count(&*sandbox.next_snapshot()?) > before,
        "a spawn is narrated when the limit is 10,000",
        "none",
    )?;
    Ok("off, on, limit 0 and limit 10000 apply from the next message".into())
}

fn privacy(sandbox: &Sandbox) -> CheckResult {
    let ids = |view: &Snapshot| -> Vec<String> {
        let agents = view.agents.iter().flat_map(|agent| [agent.id.clone(), agent.name.clone()]);
        agents.chain(view.jobs.keys().cloned()).collect()
    };
    let plain = ids(&*sandbox.next_snapshot()?);
    let hidden = sandbox.config().telemetry.privacy.enabled;
    let word = |hidden: bool| if hidden { "on" } else { "off" };
    sandbox.run_command(&format!("privacy {}", word(!hidden)))?;
    let view = sandbox.next_snapshot()?;
    let other = ids(&view);
    let same = other.iter().find(|id| plain.contains(id));
    ensure(same.is_none(), "no id or name kept in the next message", format!("{same:?}"))?;
    let [agent, _] = two_residents(sandbox)?;
    sandbox.run_command(&format!("setmoney {} 4.5", agent.id))?;
    sandbox.run_command(&format!("privacy {}", word(hidden)))?;
    ensure(ids(&*sandbox.next_snapshot()?) == plain, "the original ids and names in the next message", "others")?;
    let count = view.agents.len();
    Ok(format!(
        "{} and {}: {count} residents under other names in the next message, and commands accept them",
        word(!hidden),
        word(hidden)
    ))
}

fn perturbations_off(sandbox: &Sandbox) -> CheckResult {
    if sandbox.next_snapshot()?.perturbation_events.by_themselves {
        sandbox.run_command("perturbations off")?;
    }
    ensure(
        !sandbox.next_snapshot()?.perturbation_events.by_themselves,
        "no scheduled perturbations in the next message",
        "still scheduled",
    )?;
    Ok("perturbations are not scheduled".into())
}

/// Checks the charter targets after a number of days.
pub(super) fn charter(sandbox: &Sandbox, days: u64) -> CheckResult {
    let day = u64::from(sandbox.config().time.ticks_per_day);
    sandbox.run(days * day)?;
    let kpis: Vec<_> = sandbox.next_snapshot()?.kpis.iter().filter(|kpi| kpi.charter).cloned().collect();
    let seen: Vec<String> = kpis
        .iter()
        .map(|kpi| {
            let value = kpi.value.map_or_else(|| "not enough data".into(), |value| format_kpi(value, &kpi.unit));
            format!("{} {value}", kpi.title)
        })
        .collect();
    let targets: Vec<String> = kpis.iter().map(|kpi| format!("{} {}", kpi.title, kpi.target)).collect();
    let met = !kpis.is_empty() && kpis.iter().all(|kpi| kpi.verdict == "met");
    ensure(met, format!("after {} {}", count(days, "day"), targets.join(", ")), seen.join(", "))?;
    Ok(format!("after {} {}", count(days, "day"), seen.join(", ")))
}

/// Checks that the fallback runs for a day without perturbations.
pub(super) fn fallback(sandbox: &Sandbox) -> CheckResult {
    let config = sandbox.config().config_id.clone();
    let off = !sandbox.next_snapshot()?.perturbation_events.by_themselves;
    ensure(off, format!("{config} without scheduled perturbations"), "they are scheduled")?;
    sandbox.run(u64::from(sandbox.config().time.ticks_per_day))?;
    let view = sandbox.next_snapshot()?;
    let begun = view.counters.get("perturbation_began").copied().unwrap_or(0);
    ensure(begun == 0, "no perturbation within a day", format!("{begun}"))?;
    ensure(view.health.status == "ok", "a healthy shard", view.health.problems.join("; "))?;
    Ok(format!("{config} ran for a day: {}, no perturbations", count(view.agents.len() as u64, "resident")))
}
