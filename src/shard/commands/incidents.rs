//! Incident bundles on demand, and alerts that an operator has seen.

use crate::arguments::{Flag, Reason};
use crate::command_table::row;
use crate::operation::ShardAction;

row! {
    INCIDENT = "incident", Admin, "writes an incident bundle and a note to ops/incidents while the town continues";
    Shard(reason: Reason) => ShardAction::Incident(reason.0.unwrap_or_default())
}

row! {
    ALERT_ACK = "alert_ack", Admin,
    "marks an active alert as seen by you (with `--seen`, only while it says this), which quiets its banner until it is raised again";
    Shard(alert: String, seen: Flag<String>, reason: Reason) => ShardAction::Acknowledge(alert, seen.0)
}
