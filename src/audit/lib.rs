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
//! The chain alone finds accidents. Three things are kept elsewhere and find forgeries: the verification key of the seals
//! (`seal`), checkpoints that others remember (`checkpoint`), and every run names the end of the run before it (`run_start`).

mod chain;
mod checkpoint;
mod error;
mod export;
mod idempotency;
mod log_files;
mod newest;
mod record;
mod recovery;
mod run_start;
mod seal;
mod seal_key;
mod sealer;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub use checkpoint::{Checkpoint, CheckpointKey, PublicKey, durable_line};
pub use export::{Exported, Filter, Format, Redact, export};
pub use idempotency::{IdempotencyIndex, Lookup, WINDOW, fingerprint};
pub use log_files::{file_records, records, run_of_file, run_records};
pub use newest::{Cursor, Page, Selection, newest};
pub use record::{GENESIS, MAX_RESULT, Record, Stage, VERSION, bounded};
pub use run_start::RunStart;
pub use seal::{Cause, Seal, VerificationKey};
pub use seal_key::{SealKeyStatus, seal_status, set_up};
pub use sealer::Sealing;
pub use verify::{Finding, OpenIntentRow, Proofs, Report, RunReport, Verdict, verify, verify_with};
pub use writer::{AuditError, Clock, Log, Opened, Options, SEAL_INTERVAL, Written};
