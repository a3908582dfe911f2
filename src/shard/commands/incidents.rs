//! Incident bundles on demand.

use crate::arguments::Reason;
use crate::command_table::row;
use crate::operation::ShardAction;

row! {
    INCIDENT = "incident", Admin, "writes an incident bundle and a note to ops/incidents while the town continues";
    Shard(reason: Reason) => ShardAction::Incident(reason.0.unwrap_or_default())
}
