//! The first line of a run: its number in the home, and the head of the run before it.
//!
//! So the runs of a home are one chain: a run that is removed, renamed or cut is missed by the run after it.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::log_files::{Head, Lines, bytes_of, head_name, run_files};
use super::record::{GENESIS, Record, Stage};

/// How a new run begins.
#[derive(Clone, Debug)]
pub struct RunStart {
    /// Its number in the home, if the home knows it.
    pub number: Option<u64>,
    /// The newest run of the home that began before it.
    pub after: Option<String>,
    /// The `config_id` in force.
    pub config_id: String,
}

/// The arguments of a `begin` line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Begin {
    pub(crate) number: Option<u64>,
    /// `None` for the first run of a home.
    pub(crate) after: Option<RunEnd>,
}

/// The last durable line of a run; number 0 if it had none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunEnd {
    pub(crate) run_id: String,
    pub(crate) seq: u64,
    pub(crate) hash: String,
}

impl Begin {
    pub(crate) fn of_args(args: &Value) -> Option<Self> {
        serde_json::from_value(args.clone()).ok()
    }
}

/// The first line of a run.
pub(crate) fn begin_record(dir: &Path, start: &RunStart) -> io::Result<Record> {
    let after = start.after.as_deref().map(|run_id| durable_end(dir, run_id)).transpose()?;
    let begin = Begin { number: start.number, after };
    Ok(Record::own(Stage::Begin, &start.config_id, 0, serde_json::to_value(begin)?))
}

/// What the head of a run names; without a readable head, the last valid line.
fn durable_end(dir: &Path, run_id: &str) -> io::Result<RunEnd> {
    let run_id = run_id.to_owned();
    let head = bytes_of(&dir.join(head_name(&run_id)))?.and_then(|bytes| Head::parse(&bytes).ok());
    if let Some(head) = head {
        return Ok(RunEnd { run_id, seq: head.seq, hash: head.hash });
    }
    let mut end = RunEnd { run_id: run_id.clone(), seq: 0, hash: GENESIS.to_owned() };
    if let Some(name) = run_files(dir, &run_id)?.segments.values().next_back() {
        for line in Lines::open(&dir.join(name))? {
            if let Ok(record) = Record::parse(&line?.bytes) {
                (end.seq, end.hash) = (record.seq, record.hash);
            }
        }
    }
    Ok(end)
}
