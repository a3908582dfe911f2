//! Telemetry as others read it: the published schemas and payloads, `telemetry check`, and the stream of a living town.
//!
//! `UPDATE_DOCS=1 cargo test --test telemetry` writes `docs/schema` anew. A published version's payloads in
//! `tests/golden` are never changed.

mod check;
#[path = "../live/mod.rs"]
mod live;
mod schema;
mod stream;
