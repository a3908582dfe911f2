//! Shocks from outside: what is under way and to come, and what an operator does about it.

use serde_json::json;
use townlet_town::ids::PlaceId;
use townlet_town::{Command, Micro};

use crate::command_table::{Arg, Args, Kind, Look, Reply, Row, Run, arg, error};
use crate::telemetry;
use townlet_wire::command_line::nearest;
use townlet_wire::{ErrorBody, Role};

const fn flag(name: &'static str, kind: Kind) -> Arg {
    Arg { name, kind, required: false, flag: true }
}

pub(crate) static QUEUE: Row = Row {
    name: "perturbation_queue",
    args: &[],
    role: Role::Viewer,
    destructive: false,
    help: "perturbations under way, expected today, and cooling down",
    run: Run::Read(queue),
};

pub(crate) static TRIGGER: Row = Row {
    name: "perturbation_trigger",
    args: &[
        arg("event", Kind::Text),
        flag("duration", Kind::Integer(1, 100_000)),
        flag("magnitude", Kind::Decimal(0.1, 10.0)),
    ],
    role: Role::Admin,
    destructive: false,
    help: "starts an event of the perturbation file now, whatever cooldowns say",
    run: Run::Town(|_, args| {
        let duration = args.number("duration").map(|ticks| ticks as u32);
        let magnitude: Option<Micro> = args.get("magnitude").map(|_| args.decimal("magnitude"));
        Ok(Command::Trigger { event: args.text("event").to_owned(), duration, magnitude })
    }),
};

pub(crate) static CANCEL: Row = Row {
    name: "perturbation_cancel",
    args: &[arg("event", Kind::Text)],
    role: Role::Admin,
    destructive: false,
    help: "ends an event that is under way, or keeps it from coming today",
    run: Run::Town(|_, args| Ok(Command::Cancel { event: args.text("event").to_owned() })),
};

pub(crate) static SWITCH: Row = Row {
    name: "perturbations",
    args: &[arg("switch", Kind::Choice(&["on", "off"]))],
    role: Role::Admin,
    destructive: false,
    help: "whether perturbations come by themselves; those under way end at their time",
    run: Run::Town(|_, args| Ok(Command::Perturbations(args.text("switch") == "on"))),
};

pub(crate) static ARRANGE_MEET: Row = Row {
    name: "arrange_meet",
    args: &[arg("agent", Kind::Agent), arg("other", Kind::Agent), arg("place", Kind::Spot)],
    role: Role::Admin,
    destructive: false,
    help: "two residents walk to a place and sit down together",
    run: Run::Town(|look, args| {
        let residents = &look.town.state().agents.resident;
        let who = residents[look.agent(args)?];
        let other = residents[look.resident(args.text("other"))?];
        Ok(Command::ArrangeMeet { who, other, place: place(look, args.text("place"))? })
    }),
};

fn queue(look: &Look<'_>, _: &Args) -> Reply {
    let rows = telemetry::perturbations(look.town.rules(), look.town.state());
    let count = |state: &str| rows.iter().filter(|row| row.state == state).count();
    let on = look.town.state().live_settings.perturbations;
    let summary = format!(
        "{} under way, {} expected today, {} cooling down; by themselves {}.",
        count("active"),
        count("pending"),
        count("cooldown"),
        if on { "on" } else { "off" }
    );
    let events: Vec<&str> =
        look.town.rules().perturbation_events.iter().map(|event_rule| event_rule.name.as_str()).collect();
    Ok(json!({ "summary": summary, "perturbations": rows, "events": events, "enabled": on }))
}

/// A place by its name, or the place an object stands in.
fn place(look: &Look<'_>, typed: &str) -> Result<PlaceId, ErrorBody> {
    let plan = &look.town.rules().plan;
    let object = plan.objects().find(|(_, object)| object.name == typed).map(|(_, object)| object.place);
    let place = plan.places().find(|(_, place)| place.name == typed).map(|(id, _)| id);
    place.or(object).ok_or_else(|| {
        let names: Vec<&str> = plan.places.iter().map(|place| place.name.as_str()).collect();
        let hint = nearest(typed, names.iter().copied())
            .map_or_else(|| format!("Places: {}.", names.join(", ")), |near| format!("Did you mean `{near}`?"));
        error("E_NOT_FOUND", format!("there is no place `{typed}`."), hint)
    })
}
