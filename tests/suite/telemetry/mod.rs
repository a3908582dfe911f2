//! Telemetry as other programs read it: the published schemas and payloads, `telemetry check`, and the stream of a running town.
//!
//! `UPDATE_DOCS=1 cargo test --test suite telemetry` writes `docs/schema` again. A published version's payloads in
//! `tests/golden` are never changed.

mod check_command;
mod objects;
mod schema;
mod schema_of_types;
mod stream;
