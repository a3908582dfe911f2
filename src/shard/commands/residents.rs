//! Stepping in on a resident, or bringing one.

use townlet_town::Command;
use townlet_town::needs::NEEDS;
use townlet_town::options::OptionKind;

use super::employment::on;
use crate::command_table::{Args, Kind, Look, Row, Run, arg, error, optional};
use townlet_wire::command_line::nearest;
use townlet_wire::{ErrorBody, Role};

const OPTION_NAMES: &[&str] = &["wait", "eat", "cook", "wash", "sleep", "work", "shop", "socialise", "go_home"];
const NEED_NAMES: &[&str] = &["hunger", "hygiene", "energy"];

pub(crate) static SPAWN: Row = Row {
    name: "spawn",
    args: &[],
    role: Role::Admin,
    destructive: false,
    help: "a newcomer arrives now",
    run: Run::Town(|_, _| Ok(Command::Spawn)),
};

pub(crate) static TELEPORT: Row = Row {
    name: "teleport",
    args: &[arg("agent", Kind::Agent), arg("place", Kind::Spot)],
    role: Role::Admin,
    destructive: false,
    help: "a resident stands at a place or an object; what it held is free",
    run: Run::Town(teleport),
};

pub(crate) static SETNEED: Row = Row {
    name: "setneed",
    args: &[arg("agent", Kind::Agent), arg("need", Kind::Choice(NEED_NAMES)), arg("value", Kind::Decimal(0.0, 1.0))],
    role: Role::Admin,
    destructive: false,
    help: "sets a need's level, 1 is satisfied",
    run: Run::Town(|look, args| {
        let need = NEEDS.iter().position(|need| need.name == args.text("need")).unwrap_or_default() as u8;
        on(look, args, |who| Command::SetNeed { who, need, value: args.decimal("value") })
    }),
};

pub(crate) static SETMONEY: Row = Row {
    name: "setmoney",
    args: &[arg("agent", Kind::Agent), arg("value", Kind::Decimal(0.0, 1_000_000.0))],
    role: Role::Admin,
    destructive: false,
    help: "sets what a resident's wallet holds, in meals",
    run: Run::Town(|look, args| on(look, args, |who| Command::SetMoney { who, value: args.decimal("value") })),
};

pub(crate) static POSSESS: Row = Row {
    name: "possess",
    args: &[arg("agent", Kind::Agent), optional("option", Kind::Choice(OPTION_NAMES))],
    role: Role::Admin,
    destructive: false,
    help: "drives a resident by hand: it keeps to the option until released",
    run: Run::Town(|look, args| {
        let option = args.get("option").and_then(OptionKind::named).unwrap_or(OptionKind::Wait);
        on(look, args, |who| Command::Possess { who, option })
    }),
};

pub(crate) static RELEASE: Row = Row {
    name: "release",
    args: &[arg("agent", Kind::Agent)],
    role: Role::Admin,
    destructive: false,
    help: "gives a possessed resident back to the policy",
    run: Run::Town(|look, args| on(look, args, |who| Command::Release { who })),
};

pub(crate) static KILL: Row = Row {
    name: "kill",
    args: &[arg("agent", Kind::Agent)],
    role: Role::Admin,
    destructive: true,
    help: "a resident leaves town at once, whatever caps and gaps say",
    run: Run::Town(|look, args| on(look, args, |who| Command::Kill { who })),
};

fn teleport(look: &Look<'_>, args: &Args) -> Result<Command, ErrorBody> {
    let plan = &look.town.rules().plan;
    let spot = args.text("place");
    let object = plan.objects().find(|(_, object)| object.name == spot).map(|(_, object)| object.tile);
    let place = || plan.places().find(|(_, place)| place.name == spot).and_then(|(id, _)| plan.floor_of(id).next());
    let Some(tile) = object.or_else(place) else {
        let names = plan.places.iter().map(|place| place.name.as_str());
        let names: Vec<&str> = names.chain(plan.objects.iter().map(|object| object.name.as_str())).collect();
        let near = nearest(spot, names.iter().copied());
        let hint = near.map_or_else(
            || {
                format!(
                    "Places: {}.",
                    plan.places.iter().map(|place| place.name.clone()).collect::<Vec<_>>().join(", ")
                )
            },
            |near| format!("Did you mean `{near}`?"),
        );
        return Err(error("E_NOT_FOUND", format!("there is no place or object `{spot}`."), hint));
    };
    on(look, args, |who| Command::Teleport { who, tile })
}
