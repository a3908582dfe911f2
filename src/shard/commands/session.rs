//! The session's own role, and what leaves the shard: narration, names and the stream.

use townlet_wire::Role;

use crate::arguments::{Integer, NarrationSwitch, Reason};
use crate::command_table::{Row, error, row};
use crate::operation::ShardAction;
use crate::publish::Mode;

/// Settings that hold after a restart, although no file has them: they are read from the audit log.
pub(crate) static PERSISTENT: [&Row; 3] = [&NARRATION, &PRIVACY, &TELEMETRY_MODE];

row! {
    ESCALATE = "escalate", Viewer, "takes the admin role; asks for the admin token if one is configured, otherwise for a reason";
    Session(reason: Reason) => Role::Admin
}

row! { VIEWER = "viewer", Viewer, "returns to the viewer role"; Session() => Role::Viewer }

row! {
    NARRATION = "narration", Admin,
    "sets narration on, off, or to a maximum per window, from the next message on";
    Shard(switch: NarrationSwitch, number: Option<Integer<0, 10_000>>) => match (switch.0, number) {
        (2, Some(limit)) => ShardAction::NarrationLimit(limit.0 as u32),
        (2, None) => return Err(error("E_INVALID_ARG", "`limit` needs a number.", "For example: `narration limit 5`.")),
        (_, Some(_)) => {
            return Err(error("E_INVALID_ARG", "only `limit` takes a number.", "For example: `narration limit 5`."));
        }
        (switch, None) => ShardAction::Narration(switch == 0),
    }
}

row! {
    PRIVACY = "privacy", Admin,
    "replaces names and ids of residents by keyed hashes in all output; commands accept them; the audit log stays plain";
    Shard(switch: bool) => ShardAction::Privacy(switch)
}

row! {
    TELEMETRY_MODE = "telemetry_mode", Admin,
    "publishes every message (full), merged messages with the raw stream archived (aggregate), or chooses by backlog (auto)";
    Shard(mode: Mode) => ShardAction::TelemetryMode(mode)
}
