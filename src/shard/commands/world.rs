//! Stepping in on the town: prices, utilities, and settings that may change while it runs.

use townlet_town::Command;
use townlet_town::affordances::ITEMS;
use townlet_town::perturbations;

use crate::command_table::{Args, Kind, REASON, Row, Run, arg};
use townlet_wire::{ErrorBody, Role};

const SWITCH: &[&str] = &["on", "off"];

pub(crate) static PRICE: Row = Row {
    name: "price",
    args: &[arg("item", Kind::Choice(&["meal", "groceries"])), arg("value", Kind::Decimal(0.0, 100.0))],
    role: Role::Admin,
    destructive: false,
    help: "sets what an item costs, in meals",
    run: Run::Town(|_, args| {
        let item = ITEMS.iter().position(|row| row.1 == args.text("item")).unwrap_or_default() as u8;
        Ok(Command::SetPrice { item, value: args.decimal("value") })
    }),
};

pub(crate) static RELOAD_CONFIG: Row = Row {
    name: "reload_config",
    args: &[REASON],
    role: Role::Admin,
    destructive: false,
    help: "reads the shard's files again: all changes are taken, or none",
    run: Run::Reload,
};

pub(crate) static BLACKOUT: Row = Row {
    name: "blackout",
    args: &[arg("switch", Kind::Choice(SWITCH))],
    role: Role::Admin,
    destructive: false,
    help: "power off or on: stoves stop, exits are suppressed until it is back",
    run: Run::Town(|_, args| perturb("blackout", args)),
};

pub(crate) static OUTAGE: Row = Row {
    name: "outage",
    args: &[arg("switch", Kind::Choice(SWITCH))],
    role: Role::Admin,
    destructive: false,
    help: "water off or on: showers stop, exits are suppressed until it is back",
    run: Run::Town(|_, args| perturb("outage", args)),
};

pub(crate) static TOGGLE_MORTALITY: Row = Row {
    name: "toggle_mortality",
    args: &[arg("switch", Kind::Choice(SWITCH))],
    role: Role::Admin,
    destructive: false,
    help: "whether residents collapse from hunger",
    run: Run::Town(|_, args| Ok(Command::Mortality(is_on(args)))),
};

pub(crate) static SET_EXIT_CAP: Row = Row {
    name: "set_exit_cap",
    args: &[arg("exits", Kind::Integer(0, 1_000))],
    role: Role::Admin,
    destructive: false,
    help: "employment exits a day",
    run: Run::Town(|_, args| Ok(Command::ExitCap(args.number("exits").unwrap_or_default() as u32))),
};

pub(crate) static SET_SPAWN_DELAY: Row = Row {
    name: "set_spawn_delay",
    args: &[arg("least", Kind::Integer(0, 100_000)), arg("most", Kind::Integer(0, 100_000))],
    role: Role::Admin,
    destructive: false,
    help: "ticks between an exit and the newcomer's arrival, least and most",
    run: Run::Town(|_, args| {
        let ticks = |name| args.number(name).unwrap_or_default() as u32;
        Ok(Command::SpawnDelay(ticks("least"), ticks("most")))
    }),
};

pub(crate) static SET_FEATURE: Row = Row {
    name: "set_feature",
    args: &[arg("feature", Kind::Choice(&["queue_fairness"])), arg("switch", Kind::Choice(SWITCH))],
    role: Role::Admin,
    destructive: false,
    help: "switches a system of the town",
    run: Run::Town(|_, args| Ok(Command::QueueFairness(is_on(args)))),
};

fn is_on(args: &Args) -> bool {
    args.text("switch") == "on"
}

fn perturb(name: &str, args: &Args) -> Result<Command, ErrorBody> {
    let kind = perturbations::kind(name).unwrap_or_default();
    Ok(Command::Perturb { kind, on: is_on(args) })
}
