//! The audit log: every command that reached the console, refused ones too, in a chain that shows every change to it.
//!
//! One JSON object a line in `logs/console/<run_id>-NNNN.jsonl`, each holding the hash of the line before, and
//! `<run_id>.head` beside it naming the last durable line. Knows the wire; knows nothing of towns or shards.
//! Rule: "Audit log", "Idempotent retries".
//!
//! A shard opens its run with [`Log::open`], closes the [`OpenIntent`] intents it is given (as `recovered` when the journal
//! holds them, as `abort` when not), asks the [`IdempotencyIndex`] before it runs a mutating command, and appends [`Entry`]s.
//! Every intent must be ended by an `outcome`, `recovered` or `abort`; a `rejected` ends nothing, because a refused
//! retry carries the id of the command it retries. `townlet audit` uses [`verify`], [`export`] and [`newest`].
//!
//! What the chain cannot show: the removal of a whole run with its head, or lines and head put back together to an
//! earlier moment. Copies of `.head` kept elsewhere show those.

mod chain;
mod export;
mod idempotency;
mod log_files;
mod record;
mod recovery;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub use export::{Exported, Filter, Format, Redact, export, newest};
pub use idempotency::{IdempotencyIndex, Lookup, WINDOW, fingerprint};
pub use log_files::records;
pub use record::{Entry, GENESIS, MAX_RESULT, Record, Stage, VERSION, bounded};
pub use recovery::OpenIntent;
pub use verify::{Finding, OpenIntentRow, Report, RunReport, Verdict, verify};
pub use writer::{AuditError, Clock, Log, Opened, Options, State, Written};
