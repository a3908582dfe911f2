//! The session's own role, and what leaves the shard: sentences and names. Who may become what is decided here and nowhere else; the answer is audited.

use crate::command_table::{Kind, REASON, Row, Run, ShardAction, arg, error, optional};
use crate::publish::Mode;
use townlet_wire::Role;

/// What stays said when a run is resumed: no file and no town holds it, only the audit log.
pub(crate) static PERSISTENT: [&Row; 3] = [&NARRATION, &PRIVACY, &TELEMETRY_MODE];

pub(crate) static ESCALATE: Row = Row {
    name: "escalate",
    args: &[REASON],
    role: Role::Viewer,
    destructive: false,
    help: "become admin: asks for the admin token where one is configured, else for a reason",
    run: Run::Shard(|_, _| Ok(ShardAction::Role(Role::Admin))),
};

pub(crate) static VIEWER: Row = Row {
    name: "viewer",
    args: &[],
    role: Role::Viewer,
    destructive: false,
    help: "become viewer again",
    run: Run::Shard(|_, _| Ok(ShardAction::Role(Role::Viewer))),
};

pub(crate) static NARRATION: Row = Row {
    name: "narration",
    args: &[arg("switch", Kind::Choice(&["on", "off", "limit"])), optional("number", Kind::Integer(0, 10_000))],
    role: Role::Admin,
    destructive: false,
    help: "sentences about the town: on, off, or at most so many a window; effective on the next message",
    run: Run::Shard(|_, args| match (args.text("switch"), args.number("number")) {
        ("limit", Some(limit)) => Ok(ShardAction::Narration(None, Some(limit as u32))),
        ("limit", None) => Err(error("E_INVALID_ARG", "a limit needs a number.", "Such as `narration limit 5`.")),
        (_, Some(_)) => Err(error("E_INVALID_ARG", "only a limit takes a number.", "Such as `narration limit 5`.")),
        (switch, None) => Ok(ShardAction::Narration(Some(switch == "on"), None)),
    }),
};

pub(crate) static PRIVACY: Row = Row {
    name: "privacy",
    args: &[arg("switch", Kind::Choice(&["on", "off"]))],
    role: Role::Admin,
    destructive: false,
    help: "names and ids of residents leave as keyed hashes, which commands take too; the audit log stays plain",
    run: Run::Shard(|_, args| Ok(ShardAction::Privacy(args.text("switch") == "on"))),
};

pub(crate) static TELEMETRY_MODE: Row = Row {
    name: "telemetry_mode",
    args: &[arg("mode", Kind::Choice(&["full", "aggregate", "auto"]))],
    role: Role::Admin,
    destructive: false,
    help: "telemetry message by message, merged with the raw stream archived, or as the backlog asks (auto)",
    run: Run::Shard(|_, args| {
        Ok(ShardAction::TelemetryMode(match args.text("mode") {
            "full" => Mode::Full,
            "aggregate" => Mode::Aggregate,
            _ => Mode::Auto,
        }))
    }),
};
