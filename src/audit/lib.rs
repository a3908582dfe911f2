//! The audit log: a tamper-evident hash chain of every console command, including refused ones.
//!
//! `logs/console/<run_id>-NNNN.jsonl` holds one JSON object per line with the hash of the line before; `<run_id>.head` names
//! the last durable line. Rule: "Audit log", "Idempotent retries".
//!
//! A shard opens its run with [`Log::open`], ends each intent in [`Opened::pending`] (as `recovered` if the journal holds it,
//! else as `abort`), asks the [`IdempotencyIndex`] before it runs a mutating command, and appends [`Record`]s. Every intent must
//! end with an `outcome`, `recovered` or `abort` record. A `rejected` record ends nothing, because a refused retry carries the
//! id of the command it retries.
//!
//! The chain cannot show that a whole run was removed with its head, or that lines and head were both rolled back to an earlier
//! state. Copies of `.head` kept elsewhere show those.

mod chain;
mod export;
mod idempotency;
mod log_files;
mod newest;
mod record;
mod recovery;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub use export::{Exported, Filter, Format, Redact, export};
pub use idempotency::{IdempotencyIndex, Lookup, WINDOW, fingerprint};
pub use log_files::records;
pub use newest::{Cursor, Page, Selection, newest};
pub use record::{GENESIS, MAX_RESULT, Record, Stage, VERSION, bounded};
pub use verify::{Finding, OpenIntentRow, Report, RunReport, Verdict, verify};
pub use writer::{AuditError, Clock, Log, Opened, Options, Written};
