//! The contract between a running town and its clients: messages, requests, answers, versions.
//!
//! Owns names and shapes only. Must not know the town, the shard or the terminal: everything here can be written by one
//! program and read by another. Rule: "Telemetry" and "Command table".

pub mod audit_tail;
pub mod command;
pub mod command_line;
mod diff;
mod escape;
pub mod field_change;
pub mod history;
mod json_length;
pub mod json_text;
pub mod learning;
pub mod perturbations;
pub mod renamed;
mod resident_rows;
pub mod residents;
pub mod schema_check;
mod secrets;
pub mod service;
mod sorted_json;
pub mod sse;
pub mod stream;
pub mod telemetry;
#[cfg(test)]
mod tests;
pub mod whatif;
mod whole_number;

pub use command::{Answer, ArgKind, ArgSpec, CommandSpec, Effect, ErrorBody, Request, Role, Session, Status, allowed};
pub use escape::{escape, escape_output, is_unsafe};
pub use json_length::json_length;
pub use secrets::{REDACTED, TOKEN_PREFIX, find_token, holds_token, redact_tokens};
pub use stream::{Body, Envelope, Mirror, Position, sha256};
pub use telemetry::{Diff, Snapshot};
pub use townlet_text::{count, hex, thousands};

/// Version of the telemetry and command contract. In 0.x a step of the middle number is a breaking change.
pub const SCHEMA_VERSION: &str = "0.2.0";
