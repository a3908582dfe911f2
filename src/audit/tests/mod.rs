//! The log as a whole, on a real disk: what is shared by its tests. One file a question.

mod disk_faults;
mod disturbance;
mod export;
mod newest;
mod recovery;
mod seals;
mod tamper;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value, json};

use super::*;
use townlet_wire::{Role, Session, Status};

const MINUTE: i64 = 60_000;
/// 2027-01-15T08:00:00Z, in milliseconds.
const START: i64 = 1_800_000_000_000;

/// Options whose clock moves a minute with every record.
fn options(dir: &Path, run_id: &str) -> Options {
    let next = AtomicI64::new(START);
    Options {
        clock: Box::new(move || {
            jiff::Timestamp::from_millisecond(next.fetch_add(MINUTE, Ordering::Relaxed)).expect("a time")
        }),
        retry: std::time::Duration::ZERO,
        ..Options::new(dir, run_id, "harbour")
    }
}

fn open(dir: &Path) -> Opened {
    Log::open(options(dir, "r")).expect("the log opens")
}

fn session(issuer: &str) -> Session {
    Session { issuer: issuer.into(), role: Role::Admin, transport: "local".into(), owner: true }
}

fn intent(cmd_id: &str) -> Record {
    let mut entry = Record::of(&session("tui:ada"), cmd_id, "setmoney", json!({ "agent": "ada", "amount": "12.5" }));
    entry.config_id = "default".into();
    entry.tick = 40;
    entry.digest_before = Some("00ff".into());
    entry
}

fn outcome(cmd_id: &str) -> Record {
    Record {
        stage: Stage::Outcome,
        status: Some(Status::Ok),
        result: Some(json!({ "summary": "Ada has 12.5.", "wallet": 0.1 + 0.2 })),
        digest_after: Some("ff00".into()),
        ..intent(cmd_id)
    }
}

/// A finished log of `commands` commands, two records each.
fn finished(dir: &Path, commands: usize, segment_bytes: u64) {
    let log = Log::open(Options { segment_bytes, ..options(dir, "r") }).expect("the log opens").log;
    for number in 0..commands {
        let id = format!("id-{number}");
        log.append_and_wait(intent(&id), true).expect("written");
        log.append_and_wait(outcome(&id), true).expect("written");
    }
}

#[test]
fn the_row_of_a_replay_says_so() {
    let row = |result: Value| Record { stage: Stage::Rejected, result: Some(result), ..intent("again") }.row().stage;
    assert_eq!(row(json!({ "replayed": true })), "replayed");
    assert_eq!(row(Value::Null), "rejected");
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).expect("a folder").map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

fn lines(path: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).expect("a segment");
    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn said(report: &Report) -> Vec<String> {
    report.findings().map(ToString::to_string).collect()
}

/// Fails unless something is wrong, and a finding names the file and one of the lines.
fn assert_named(dir: &Path, file: &str, expected: &[u64], what: &str) -> Report {
    let report = verify(dir).expect("readable");
    let named = report.findings().any(|finding| finding.file == file && expected.contains(&finding.line));
    assert!(named, "{what}: {file}:{expected:?} is not named by {:?}", said(&report));
    report
}

fn assert_whole(dir: &Path) -> Report {
    let report = verify(dir).expect("readable");
    assert!(report.passed(), "{:?}", said(&report));
    report
}

fn args_of(records: &[Record], stage: Stage) -> Vec<Value> {
    records.iter().filter(|record| record.stage == stage).map(|record| record.args.clone()).collect()
}

fn read(dir: &Path) -> Vec<Record> {
    let mut all = Vec::new();
    records(dir, |_, _, record| {
        all.push(record.expect("a good line"));
        Ok(())
    })
    .expect("readable");
    all
}
