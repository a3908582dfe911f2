//! Perturbations: listing, starting, cancelling and scheduling them.

use serde_json::json;
use townlet_town::ids::PlaceId;
use townlet_town::plan::Plan;
use townlet_town::{Command, ResidentId};
use townlet_wire::ErrorBody;

use super::residents::{place_list, place_names};
use crate::arguments::{Decimal, Flag, Integer, Location};
use crate::command_table::{Reply, error, near_hint, row};
use crate::operation::ShardView;
use crate::telemetry;

row! { QUEUE = "perturbation_queue", Viewer, "lists perturbations that are active, expected today, or cooling down"; Read() => queue }

row! {
    TRIGGER = "perturbation_trigger", Admin, "starts an event of the perturbation file now, regardless of cooldowns";
    Town(event: String, duration: Flag<Integer<1, 100_000>>, magnitude: Flag<Decimal<100, 10_000>>)
        => Command::Trigger {
            event,
            duration: duration.0.map(|ticks| ticks.0 as u32),
            magnitude: magnitude.0.map(|factor| factor.0),
        }
}

row! {
    CANCEL = "perturbation_cancel", Admin, "ends an active event, or cancels one that is expected today";
    Town(event: String) => Command::Cancel { event }
}

row! {
    SWITCH = "perturbations", Admin, "whether perturbations start automatically; active ones end as planned";
    Town(switch: bool) => Command::Perturbations(switch)
}

row! {
    ARRANGE_MEET = "arrange_meet", Admin, "sends two residents to a place to sit down together";
    Town(agent: ResidentId, other: ResidentId, place: Location)
        in plan => Command::ArrangeMeet { who: agent, other, place: place_id(plan, &place.0)? }
}

fn queue(view: &ShardView<'_>) -> Reply {
    let rows = telemetry::perturbations(view.town.rules(), view.town.state());
    let count = |state: &str| rows.iter().filter(|row| row.state == state).count();
    let on = view.town.state().live_settings.perturbations;
    let summary = format!(
        "{} active, {} expected today, {} cooling down; automatic starts are {}.",
        count("active"),
        count("pending"),
        count("cooldown"),
        if on { "on" } else { "off" }
    );
    let events: Vec<&str> =
        view.town.rules().perturbation_events.iter().map(|event_rule| event_rule.name.as_str()).collect();
    Ok(json!({ "summary": summary, "perturbations": rows, "events": events, "enabled": on }))
}

/// A place by its name, or the place an object stands in.
fn place_id(plan: &Plan, name: &str) -> Result<PlaceId, ErrorBody> {
    let object = plan.objects().find(|(_, object)| object.name == name).map(|(_, object)| object.place);
    let place = plan.places().find(|(_, place)| place.name == name).map(|(id, _)| id);
    place.or(object).ok_or_else(|| {
        let hint = near_hint(name, place_names(plan), place_list(plan));
        error("E_NOT_FOUND", format!("there is no place `{name}`."), hint)
    })
}
