//! Changes of one resident, and arrivals.

use townlet_town::ids::Tile;
use townlet_town::options::OptionKind;
use townlet_town::plan::Plan;
use townlet_town::{Command, ResidentId};
use townlet_wire::ErrorBody;

use crate::arguments::{Decimal, Location, Need};
use crate::command_table::{error, near_hint, row};

row! { SPAWN = "spawn", Admin, "adds a newcomer now"; Town() => Command::Spawn }

row! {
    TELEPORT = "teleport", Admin, "moves a resident to a place or an object; it releases what it holds";
    Town(agent: ResidentId, place: Location) in plan => Command::Teleport { who: agent, tile: tile(plan, &place.0)? }
}

row! {
    SETNEED = "setneed", Admin, "sets a need's level, 1 is satisfied";
    Town(agent: ResidentId, need: Need, value: Decimal<0, 1_000>)
        => Command::SetNeed { who: agent, need: need.0 as u8, value: value.0 }
}

row! {
    SETMONEY = "setmoney", Admin, "sets the money of a resident, in meals";
    Town(agent: ResidentId, value: Decimal<0, 1_000_000_000>) => Command::SetMoney { who: agent, value: value.0 }
}

row! {
    POSSESS = "possess", Admin, "controls a resident: it keeps the option until released";
    Town(agent: ResidentId, option: Option<OptionKind>)
        => Command::Possess { who: agent, option: option.unwrap_or(OptionKind::Wait) }
}

row! {
    RELEASE = "release", Admin, "returns a possessed resident to the policy";
    Town(agent: ResidentId) => Command::Release { who: agent }
}

row! {
    KILL = "kill", Destructive, "removes a resident from the town at once, regardless of caps and cooldowns";
    Town(agent: ResidentId) => Command::Kill { who: agent }
}

/// The tile of an object, or the first one of a place that residents can stand on.
fn tile(plan: &Plan, name: &str) -> Result<Tile, ErrorBody> {
    let object = plan.objects().find(|(_, object)| object.name == name).map(|(_, object)| object.tile);
    let place = || plan.places().find(|(_, place)| place.name == name).and_then(|(id, _)| plan.floor_of(id).next());
    object.or_else(place).ok_or_else(|| {
        let objects = plan.objects.iter().map(|object| object.name.as_str());
        let hint = near_hint(name, place_names(plan).chain(objects), place_list(plan));
        error("E_NOT_FOUND", format!("there is no place or object `{name}`."), hint)
    })
}

pub(super) fn place_names(plan: &Plan) -> impl Iterator<Item = &str> {
    plan.places.iter().map(|place| place.name.as_str())
}

pub(super) fn place_list(plan: &Plan) -> String {
    format!("Places: {}.", place_names(plan).collect::<Vec<_>>().join(", "))
}
