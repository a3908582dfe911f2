//! How residents stand to each other: what operators look at, and the two things they can do about it.

use serde_json::{Value, json};
use townlet_town::state::ASPECTS;
use townlet_town::ties;
use townlet_town::{Command, ResidentId, names};

use crate::table::{Args, Kind, Look, Reply, Row, Run, arg, error};
use crate::telemetry;
use townlet_wire::telemetry::Tie;
use townlet_wire::{ErrorBody, Role};

const ASPECT_NAMES: &[&str] = &["trust", "familiarity", "rivalry"];
/// Kinds of event that are about two people.
const SOCIAL: [&str; 9] = [
    "chat_done",
    "chat_failed",
    "shared_meal",
    "argument",
    "polite_queue",
    "jumped_queue",
    "conflict_avoided",
    "helped_late",
    "shift_taken",
];

const fn looks(name: &'static str, help: &'static str, run: fn(&Look<'_>, &Args) -> Reply) -> Row {
    Row { name, args: &[], role: Role::Viewer, destructive: false, help, run: Run::Read(run) }
}

pub(crate) static SUMMARY: Row =
    looks("relationship_summary", "ties by number and kind, and each resident's best friend and rival", summary);
pub(crate) static DETAIL: Row = Row {
    args: &[arg("agent", Kind::Agent)],
    ..looks("relationship_detail", "a resident's personality and every tie, both ways", detail)
};
pub(crate) static RIVALRIES: Row = looks("rivalry_dump", "every tie with rivalry, worst first", rivalries);
pub(crate) static CONFLICT: Row =
    looks("conflict_status", "queue conflicts, quarrels and avoided rivals of today and of seven days", conflict);
pub(crate) static EVENTS: Row = looks("social_events", "the newest talks, meals, quarrels and favours", social_events);

pub(crate) static SET_REL: Row = Row {
    name: "set_rel",
    args: &[
        arg("agent", Kind::Agent),
        arg("other", Kind::Agent),
        arg("aspect", Kind::Choice(ASPECT_NAMES)),
        arg("value", Kind::Decimal(-1.0, 1.0)),
    ],
    role: Role::Admin,
    destructive: false,
    help: "sets how a resident stands to another, one way",
    run: Run::Town(|look, args| {
        let aspect = ASPECTS.iter().position(|name| *name == args.text("aspect")).unwrap_or_default() as u8;
        let value = args.decimal("value");
        both(look, args, |who, other| Command::SetRel { who, other, aspect, value })
    }),
};

pub(crate) static FORCE_CHAT: Row = Row {
    name: "force_chat",
    args: &[arg("agent", Kind::Agent), arg("other", Kind::Agent)],
    role: Role::Admin,
    destructive: false,
    help: "two residents talk now; their luck decides how it goes",
    run: Run::Town(|look, args| both(look, args, |who, other| Command::ForceChat { who, other })),
};

/// A command on two residents.
fn both(
    look: &Look<'_>,
    args: &Args,
    command: impl FnOnce(ResidentId, ResidentId) -> Command,
) -> Result<Command, ErrorBody> {
    let agents = &look.town.state().agents;
    Ok(command(
        agents.resident[look.resident(args.text("agent"))?],
        agents.resident[look.resident(args.text("other"))?],
    ))
}

/// Every tie, or that the town keeps none.
fn all(look: &Look<'_>) -> Result<Vec<Tie>, ErrorBody> {
    if ties::enabled(look.town.rules()) {
        return Ok(telemetry::relationships(look.town.rules(), look.town.state()).ties);
    }
    Err(error("E_CONFLICT", "this town keeps no ties.", "features.stages.relationships is OFF."))
}

fn summary(look: &Look<'_>, _: &Args) -> Reply {
    let all = all(look)?;
    let strong = ties::STRONG.to_f64();
    let count = |test: &dyn Fn(&&Tie) -> bool| all.iter().filter(test).count();
    let state = look.town.state();
    let residents: Vec<Value> = state
        .agents
        .present
        .iter()
        .map(|agent| telemetry::agent_id(state, *agent))
        .map(|id| {
            let own = || all.iter().filter(|tie| tie.agent == id);
            let friend = own().filter(|tie| tie.trust > 0.0).max_by(|a, b| a.trust.total_cmp(&b.trust));
            let rival = own().filter(|tie| tie.rivalry > 0.0).max_by(|a, b| a.rivalry.total_cmp(&b.rivalry));
            json!({
                "ties": own().count(),
                "friend": friend.map(|tie| tie.other.clone()),
                "rival": rival.map(|tie| tie.other.clone()),
                "agent": id,
            })
        })
        .collect();
    Ok(json!({
        "summary": format!(
            "{} ties: {} of trust, {} of mistrust, {} of rivalry over {strong}.",
            all.len(),
            count(&|tie| tie.trust > strong),
            count(&|tie| tie.trust < -strong),
            count(&|tie| tie.rivalry > strong),
        ),
        "residents": residents,
    }))
}

fn detail(look: &Look<'_>, args: &Args) -> Reply {
    let agent = look.agent(args)?;
    let all = all(look)?;
    let state = look.town.state();
    let id = telemetry::agent_id(state, agent);
    let (own, towards): (Vec<&Tie>, Vec<&Tie>) =
        (all.iter().filter(|tie| tie.agent == id).collect(), all.iter().filter(|tie| tie.other == id).collect());
    let name = names::name(state.agents.resident[agent]);
    Ok(json!({
        "summary": format!("{name} has {} ties; {} others have one to {name}.", own.len(), towards.len()),
        "personality": telemetry::personality(state, agent),
        "ties": own,
        "towards": towards,
    }))
}

fn rivalries(look: &Look<'_>, _: &Args) -> Reply {
    let mut ties: Vec<Tie> = all(look)?.into_iter().filter(|tie| tie.rivalry > 0.0).collect();
    ties.sort_by(|a, b| b.rivalry.total_cmp(&a.rivalry));
    let threshold = look.town.rules().config.conflict.rivalry.avoid_threshold.to_f64();
    let avoiding = ties.iter().filter(|tie| tie.rivalry >= threshold).count();
    let summary =
        format!("{} rivalries, {avoiding} at or over {threshold}, where people avoid each other.", ties.len());
    Ok(json!({ "summary": summary, "rivalries": ties, "avoid_threshold": threshold }))
}

fn conflict(look: &Look<'_>, _: &Args) -> Reply {
    let days = &look.town.state().days;
    let today = days.days[0];
    let week = |what: fn(&townlet_town::state::Counters) -> u32| days.days.iter().map(what).sum::<u32>();
    let summary = format!(
        "today: {} queue conflicts, {} quarrels, {} rivals avoided; in {} days: {}, {}, {}.",
        today.queue_conflicts,
        today.quarrels,
        today.avoided,
        days.begun,
        week(|day| day.queue_conflicts),
        week(|day| day.quarrels),
        week(|day| day.avoided),
    );
    Ok(json!({
        "summary": summary,
        "today": today,
        "conflict": telemetry::conflict(look.town.rules(), look.town.state()),
    }))
}

fn social_events(look: &Look<'_>, _: &Args) -> Reply {
    let events: Vec<_> = look.status.story.events().filter(|event| SOCIAL.contains(&event.event.as_str())).collect();
    Ok(json!({ "summary": format!("{} among the newest events.", events.len()), "events": events }))
}
