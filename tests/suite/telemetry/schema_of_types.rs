//! Makes the JSON Schemas of telemetry from the types: a snapshot, and a message of the stream. Fields with a default are
//! optional, all others required. Rule: "Telemetry".

use schemars::{JsonSchema, schema_for};
use serde_json::{Value, json};
use townlet_wire::{Envelope, SCHEMA_VERSION, Snapshot};

/// Of a snapshot, which `telemetry_snapshot` answers with: `docs/schema/telemetry-<version>.json`.
pub(super) fn snapshot() -> Value {
    of::<Snapshot>("telemetry", "A snapshot of a Townlet shard")
}

/// Of a message of the stream: `docs/schema/stream-<version>.json`.
pub(super) fn stream() -> Value {
    of::<Envelope>("stream", "A message of a Townlet shard's telemetry stream")
}

fn of<T: JsonSchema>(name: &str, title: &str) -> Value {
    let mut schema = schema_for!(T).to_value();
    plain(&mut schema);
    schema["$id"] = json!(format!("https://townlet.example/schema/{name}-{SCHEMA_VERSION}.json"));
    schema["title"] = json!(title);
    schema
}

/// Removes `default`, which describes readers and not values.
fn plain(schema: &mut Value) {
    match schema {
        Value::Object(entries) => {
            entries.shift_remove("default");
            entries.values_mut().for_each(plain);
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        _ => {}
    }
}
