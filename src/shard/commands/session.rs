//! The session's own role, and what leaves the shard: narration, names and the stream.

use townlet_wire::Role;

use crate::arguments::{Integer, NarrationSwitch, Reason};
use crate::command_table::{Row, error, row};
use crate::operation::ShardAction;
use crate::publish::Mode;

/// Settings that hold after a restart, although no file has them: they are read from the audit log.
pub(crate) static PERSISTENT: [&Row; 3] = [&NARRATION, &PRIVACY, &TELEMETRY_MODE];

row! {
    ESCALATE = "escalate", Viewer, "become admin: asks for the admin token where one is configured, else for a reason";
    Session(reason: Reason) => Role::Admin
}

row! { VIEWER = "viewer", Viewer, "become viewer again"; Session() => Role::Viewer }

row! {
    NARRATION = "narration", Admin,
    "sentences about the town: on, off, or at most so many a window; effective on the next message";
    Shard(switch: NarrationSwitch, number: Option<Integer<0, 10_000>>) => match (switch.0, number) {
        (2, Some(limit)) => ShardAction::NarrationLimit(limit.0 as u32),
        (2, None) => return Err(error("E_INVALID_ARG", "a limit needs a number.", "Such as `narration limit 5`.")),
        (_, Some(_)) => {
            return Err(error("E_INVALID_ARG", "only a limit takes a number.", "Such as `narration limit 5`."));
        }
        (switch, None) => ShardAction::Narration(switch == 0),
    }
}

row! {
    PRIVACY = "privacy", Admin,
    "names and ids of residents leave as keyed hashes, which commands take too; the audit log stays plain";
    Shard(switch: bool) => ShardAction::Privacy(switch)
}

row! {
    TELEMETRY_MODE = "telemetry_mode", Admin,
    "telemetry message by message, merged with the raw stream archived, or as the backlog asks (auto)";
    Shard(mode: Mode) => ShardAction::TelemetryMode(mode)
}
