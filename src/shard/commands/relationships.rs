//! Ties between residents: what operators read about them, and the two changes they can make.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use townlet_town::ties;
use townlet_town::{Command, ResidentId, names};
use townlet_wire::ErrorBody;
use townlet_wire::count;
use townlet_wire::telemetry::{Event, Tie};

use crate::arguments::{Aspect, Decimal};
use crate::command_table::{Reply, error, part, row};
use crate::operation::ShardView;
use crate::telemetry;

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

row! {
    SUMMARY = "relationship_summary", Viewer,
    "shows the number of ties by kind, and each resident's best friend and rival";
    Read() => summary
}

row! {
    DETAIL = "relationship_detail", Viewer, "shows a resident's personality and its ties in both directions";
    Read(agent: ResidentId) => move |view| detail(view, agent)
}

row! { RIVALRIES = "rivalry_dump", Viewer, "lists ties with rivalry, strongest first"; Read() => rivalries }

row! {
    CONFLICT = "conflict_status", Viewer, "shows queue conflicts, quarrels and avoided rivals of today and of seven days";
    Read() => conflict
}

row! { EVENTS = "social_events", Viewer, "lists the newest talks, meals, quarrels and favours"; Read() => social_events }

row! {
    SET_REL = "set_rel", Admin, "sets the tie of one resident to another resident, in one direction only";
    Town(agent: ResidentId, other: ResidentId, aspect: Aspect, value: Decimal<-1_000, 1_000>)
        => Command::SetRel { who: agent, other, aspect: aspect.0 as u8, value: value.0 }
}

row! {
    FORCE_CHAT = "force_chat", Admin, "two residents talk now; the outcome is random";
    Town(agent: ResidentId, other: ResidentId) => Command::ForceChat { who: agent, other }
}

/// Every tie, or that the town keeps none.
fn all(view: &ShardView<'_>) -> Result<Vec<Tie>, ErrorBody> {
    if ties::enabled(view.town.rules()) {
        return Ok(telemetry::relationships(view.town.rules(), view.town.state()).ties);
    }
    Err(error("E_CONFLICT", "this town has no relationships.", "features.stages.relationships is OFF."))
}

fn summary(view: &ShardView<'_>) -> Reply {
    let all = all(view)?;
    let strong = ties::STRONG.to_f64();
    let how_many = |test: &dyn Fn(&&Tie) -> bool| all.iter().filter(test).count();
    let mut of_resident: BTreeMap<&str, Vec<&Tie>> = BTreeMap::new();
    for tie in &all {
        of_resident.entry(&tie.agent).or_default().push(tie);
    }
    let state = view.town.state();
    let residents: Vec<Value> = state
        .agents
        .present
        .iter()
        .map(|agent| telemetry::agent_id(state, *agent))
        .map(|id| {
            let own = || of_resident.get(id.as_str()).into_iter().flatten();
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
            "{}: {} of trust, {} of mistrust, {} of rivalry over {strong}.",
            count(all.len() as u64, "tie"),
            how_many(&|tie| tie.trust > strong),
            how_many(&|tie| tie.trust < -strong),
            how_many(&|tie| tie.rivalry > strong),
        ),
        "residents": part(&residents)?,
    }))
}

fn detail(view: &ShardView<'_>, resident: ResidentId) -> Reply {
    let agent = view.agent(resident)?;
    let all = all(view)?;
    let state = view.town.state();
    let id = telemetry::agent_id(state, agent);
    let (own, towards): (Vec<&Tie>, Vec<&Tie>) =
        (all.iter().filter(|tie| tie.agent == id).collect(), all.iter().filter(|tie| tie.other == id).collect());
    let name = names::name(state.agents.resident[agent]);
    Ok(json!({
        "summary": format!("{name}: outgoing ties {}, incoming ties {}.", own.len(), towards.len()),
        "personality": telemetry::personality(state, agent),
        "ties": own,
        "towards": towards,
    }))
}

fn rivalries(view: &ShardView<'_>) -> Reply {
    let mut ties: Vec<Tie> = all(view)?.into_iter().filter(|tie| tie.rivalry > 0.0).collect();
    ties.sort_by(|a, b| b.rivalry.total_cmp(&a.rivalry));
    let threshold = view.town.rules().config.conflict.rivalry.avoid_threshold.to_f64();
    let avoiding = ties.iter().filter(|tie| tie.rivalry >= threshold).count();
    let summary =
        format!("rivalries: {}, of them {avoiding} at or over {threshold}, where people avoid each other.", ties.len());
    Ok(json!({ "summary": summary, "rivalries": part(&ties)?, "avoid_threshold": threshold }))
}

fn conflict(view: &ShardView<'_>) -> Reply {
    let days = &view.town.state().days;
    let today = days.days[0];
    let week = |what: fn(&townlet_town::state::Counters) -> u32| days.days.iter().map(what).sum::<u32>();
    let summary = format!(
        "today: queue conflicts {}, quarrels {}, rivals avoided {}; in {}: {}, {}, {}.",
        today.queue_conflicts,
        today.quarrels,
        today.avoided,
        count(days.begun.into(), "day"),
        week(|day| day.queue_conflicts),
        week(|day| day.quarrels),
        week(|day| day.avoided),
    );
    Ok(json!({
        "summary": summary,
        "today": today,
        "conflict": part(&telemetry::conflict(view.town.rules(), view.town.state()))?,
    }))
}

fn social_events(view: &ShardView<'_>) -> Reply {
    let events = view.status.feed.events.iter().map(Arc::as_ref);
    let events: Vec<&Event> = events.filter(|event| SOCIAL.contains(&event.event.as_str())).collect();
    Ok(json!({ "summary": format!("{} among the newest events.", events.len()), "events": events }))
}
