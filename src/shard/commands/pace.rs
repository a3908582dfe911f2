//! The pace of a local town, which belongs to its owner whatever the role.

use crate::command_table::{Kind, Row, Run, ShardAction, arg, optional};
use crate::engine::Speed;
use townlet_wire::Role;

pub(crate) static SPEED: Row = Row {
    name: "speed",
    args: &[arg("rate", Kind::Choice(&["1x", "10x", "100x", "max"]))],
    role: Role::Admin,
    destructive: false,
    help: "how fast the town runs",
    run: Run::Pace(|_, args| Ok(ShardAction::Speed(Speed::named(args.text("rate")).unwrap_or_default()))),
};

pub(crate) static PAUSE: Row = Row {
    name: "pause",
    args: &[],
    role: Role::Admin,
    destructive: false,
    help: "no more ticks until resumed; commands still apply",
    run: Run::Pace(|_, _| Ok(ShardAction::Pause)),
};

pub(crate) static RESUME: Row = Row {
    name: "resume",
    args: &[],
    role: Role::Admin,
    destructive: false,
    help: "ticks again at the last speed",
    run: Run::Pace(|_, _| Ok(ShardAction::Resume)),
};

pub(crate) static STEP: Row = Row {
    name: "step",
    args: &[optional("ticks", Kind::Integer(1, 10_000))],
    role: Role::Admin,
    destructive: false,
    help: "so many ticks (1), then paused",
    run: Run::Pace(|_, args| Ok(ShardAction::Step(args.number("ticks").unwrap_or(1) as u64))),
};
