//! Incidents: a bundle of the shard as it is, on demand. What goes in stands in `shard::incident`.

use crate::command_table::{REASON, Row, Run, ShardAction};
use townlet_wire::Role;

pub(crate) static INCIDENT: Row = Row {
    name: "incident",
    args: &[REASON],
    role: Role::Admin,
    destructive: false,
    help: "writes an incident bundle and a note to ops/incidents while the town goes on",
    run: Run::Shard(|_, args| Ok(ShardAction::Incident(args.text("reason").to_owned()))),
};
