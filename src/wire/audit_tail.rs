//! Telemetry of the audit log: its newest records and its state. Part of the snapshot.

#![allow(missing_docs, reason = "the names are the documentation; units stand where a name does not say them")]

use serde::{Deserialize, Serialize};

use super::diff::with_diff;
use super::field_change::Rows;

with_diff! {
    /// The newest records of the audit log, and its state.
    #[serde(default)]
    pub struct AuditTail {
        /// Newest last, bounded.
        pub records: Vec<AuditRow> => Rows<AuditRow>,
        /// `ok`, or what is wrong.
        pub state: String,
        pub file: String,
        pub seq: u64,
        pub head: String,
    }

    /// What changed at the end of the audit log.
    pub struct AuditDiff;
}

/// One line of the audit log as a screen shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct AuditRow {
    pub seq: u64,
    /// RFC 3339, UTC.
    pub ts: String,
    pub cmd_id: String,
    pub issuer: String,
    pub role: String,
    pub transport: String,
    pub command: String,
    pub args: serde_json::Value,
    pub reason: Option<String>,
    /// `intent`, `outcome`, `rejected`, `replayed` (a retry got the first answer), `abort`, `recovered`, `rotate`.
    pub stage: String,
    /// `ok`, `error`, `dry_run`; empty for an intent.
    pub status: String,
    /// `CODE sentence`; empty when there is none.
    pub error: String,
    pub tick: u64,
    pub digest_before: String,
    pub digest_after: String,
    pub hash: String,
}
