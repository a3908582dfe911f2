//! The contract of a shard's service besides messages: paths, headers, sessions, and the comparison of schema versions. Rule:
//! "HTTP service".

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::whole_number;
use super::{CommandSpec, ErrorBody, SCHEMA_VERSION, Session};

/// The header with the schema version of its sender, in requests and responses.
pub const SCHEMA_HEADER: &str = "townlet-schema";
/// `GET`: liveness and health.
pub const HEALTH: &str = "/v1/health";
/// `GET`: whether it takes commands.
pub const READY: &str = "/v1/ready";
/// `GET`: the snapshot.
pub const SNAPSHOT: &str = "/v1/telemetry/snapshot";
/// `GET`: the snapshot and its changes, as server-sent events.
pub const STREAM: &str = "/v1/telemetry/stream";
/// `POST`: what a stream looks at from now on.
pub const VIEW: &str = "/v1/telemetry/view";
/// `GET`: the ticks of the run that can be shown, and the marks among them.
pub const HISTORY: &str = "/v1/history";
/// `GET`: the snapshot at a past tick, which is the last part of the path.
pub const PAST: &str = "/v1/telemetry/at/{tick}";
/// `POST`: a command.
pub const CONSOLE: &str = "/v1/console";
/// `POST`: a question about the running town; `GET`: how far questions are.
pub const WHAT_IF: &str = "/v1/whatif";
/// `GET`: the command table and the caller's session.
pub const COMMANDS: &str = "/v1/commands";
/// `GET`: the newest records of the audit log.
pub const AUDIT: &str = "/v1/audit";
/// `GET`: the newest durable line of the audit log, or another one, as a signed note.
pub const CHECKPOINT: &str = "/v1/audit/checkpoint";
/// The header of a checkpoint with the public key of its shard.
pub const CHECKPOINT_KEY_HEADER: &str = "townlet-checkpoint-key";
/// `GET`: Prometheus metrics.
pub const METRICS: &str = "/metrics";
/// `GET`: this service as an `OpenAPI` document.
pub const OPENAPI: &str = "/openapi.json";

/// The first answer of a shard to a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServiceInfo {
    /// The shard's name.
    pub shard: String,
    /// Its run. Empty when the shard does not know the field `run_id` of a request.
    #[serde(default)]
    pub run_id: String,
    /// Its schema version.
    pub schema_version: String,
    /// The client's session: id and role of its token, or a viewer.
    pub session: Session,
    /// The command table.
    pub commands: Vec<CommandSpec>,
    /// Label → version or path on the shard's machine, for the help screen.
    pub facts: Vec<(String, String)>,
    /// What a message of the stream would carry now as `sent_ms`; 0 for shards that do not say so.
    #[serde(default)]
    pub sent_ms: u64,
    /// The shard's clock in milliseconds since 1970; 0 for shards that do not know the field `expires_ms` of a request.
    #[serde(default)]
    pub now_ms: u64,
}

/// The body of every refusal that is not an answer to a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Refusal {
    /// The error.
    pub error: ErrorBody,
}

/// The body of a request that says what a stream looks at from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ViewRequest {
    /// The id that the stream was opened with, as `?view=`.
    pub view: String,
    /// What it looks at.
    pub focus: Focus,
}

/// The residents that a stream looks at: their rows are as new as each message, those of others at most five seconds older.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Focus {
    /// Ids, at most 1,000.
    pub residents: BTreeSet<String>,
    /// Ids of objects whose queues are shown, at most 1,000.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub objects: BTreeSet<String>,
    /// A part of the map: everybody in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area: Option<Area>,
}

/// A rectangle of tiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Area {
    /// The first column.
    #[serde(deserialize_with = "whole_number::required")]
    pub x: u64,
    /// The first row.
    #[serde(deserialize_with = "whole_number::required")]
    pub y: u64,
    /// Columns.
    #[serde(deserialize_with = "whole_number::required")]
    pub width: u64,
    /// Rows.
    #[serde(deserialize_with = "whole_number::required")]
    pub height: u64,
}

impl Area {
    /// Whether a tile lies in it.
    pub fn contains(&self, x: u64, y: u64) -> bool {
        let within = |at: u64, first: u64, size: u64| at.checked_sub(first).is_some_and(|offset| offset < size);
        within(x, self.x, self.width) && within(y, self.y, self.height)
    }
}

/// Most residents that a focus names.
pub const MAX_LOOKED_AT: usize = 1_000;
/// Messages a second that a screen asks for.
pub const SCREEN_RATE: u32 = 10;
/// Residents whose rows every message to a stream with a view has at least, whether or not it looks at them.
pub const ROWS_AT_ONCE: usize = 256;

/// Major and minor number: in 0.x a step of the middle number is a breaking change, the last one never is. A number is its
/// count of digits and the digits, which have the order of numbers of any size.
fn step(version: &str) -> Option<[(usize, &str); 2]> {
    let mut numbers = version.trim().split('.').map(|number| {
        let digits = number.trim_start_matches('0');
        let valid = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        valid.then_some((digits.len(), digits))
    });
    Some([numbers.next()??, numbers.next()??])
}

/// Whether a schema is newer than this program's.
pub fn is_newer(theirs: &str) -> bool {
    step(theirs) > step(SCHEMA_VERSION)
}

/// Whether a schema is older than this program's; one that cannot be read is.
pub fn is_older(theirs: &str) -> bool {
    step(theirs) < step(SCHEMA_VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number_and_the_last_one_does_not_count() {
        for (version, older, newer) in [
            ("0.1.9", true, false),
            ("0.2.0", false, false),
            ("0.2.17", false, false),
            ("0.3.0", false, true),
            ("0.10.0", false, true),
            ("1.0.0", false, true),
            ("99999999999999999999.1.2", false, true),
            ("0.00000000000000000000001.2", true, false),
            ("0..2", true, false),
            ("", true, false),
            ("new", true, false),
        ] {
            assert_eq!((is_older(version), is_newer(version)), (older, newer), "{version}");
        }
    }

    #[test]
    fn an_area_is_read_from_whole_numbers_however_they_are_written() {
        let read = |x: &str| {
            let text = format!(r#"{{"x":{x},"y":0,"width":1,"height":1}}"#);
            serde_json::from_str::<Area>(&text).map(|area| area.x)
        };
        assert_eq!([read("7").unwrap(), read("2477.0").unwrap(), read("2e3").unwrap()], [7, 2_477, 2_000]);
        assert_eq!([read("18446744073709551615").unwrap(), read("1e30").unwrap()], [u64::MAX; 2]);
        for refused in ["-1", "0.5", "\"7\"", "null", "-2.0"] {
            assert!(read(refused).is_err(), "{refused}");
        }
    }
}
