//! The audit log under injected I/O errors, and under a crash at each of its durable steps.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::kit::{copy_folder, soak, wait_until};
use serde_json::json;
use townlet_audit::{Log, Options, Record, Stage, records, verify};
use townlet_wire::{Role, Session};

fn open(dir: &Path, segment_bytes: u64) -> Log {
    let options = Options { segment_bytes, retry: Duration::ZERO, ..Options::new(dir, "r", "harbour") };
    Log::open(options).expect("the log opens").log
}

fn entry(cmd_id: &str) -> Record {
    let session = Session { issuer: "tui:ada".into(), role: Role::Admin, transport: "local".into(), owner: true };
    Record::of(&session, cmd_id, "setmoney", json!({ "agent": "ada", "amount": "1" }))
}

fn read_verified(dir: &Path) -> Vec<Record> {
    let report = verify(dir).expect("readable");
    assert!(report.passed(), "{:?}", report.findings().map(ToString::to_string).collect::<Vec<_>>());
    let mut all = Vec::new();
    records(dir, |_, _, record| {
        // The unfinished last line of a crashed writer is no record.
        all.extend(record);
        Ok(())
    })
    .expect("readable");
    all
}

/// Fails once at `point` after an acknowledged command and an unsynced read. The log continues in the next segment and keeps these records.
fn assert_continues_in_next_segment(point: &str, kept: &[&str]) {
    let scenario = fail::FailScenario::setup();
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), 1 << 20);
    log.append_and_wait(entry("held"), true).unwrap();
    log.flush().unwrap();
    log.append_and_wait(Record { stage: Stage::Outcome, ..entry("read") }, false).unwrap();
    fail::cfg(point, "1*return").unwrap();
    let refused = log.append_and_wait(entry("refused"), true).unwrap_err();
    assert!(refused.to_string().contains(point), "{refused}");
    let shown: Vec<String> = log.tail(9).records.into_iter().map(|row| row.cmd_id).collect();
    assert_eq!(shown, kept, "only what is held is shown");
    assert_ne!(log.tail(0).state, "ok");
    assert_eq!(log.append_and_wait(entry("again"), true).unwrap().file, "r-0002.jsonl");
    drop(log);
    scenario.teardown();
    let records = read_verified(dir.path());
    let ids: Vec<&str> = records.iter().map(|record| record.cmd_id.as_str()).collect();
    assert_eq!(ids, [kept, &["", "again"]].concat());
    let rotated = &records[kept.len()].args;
    assert!(rotated["cause"].as_str().unwrap().contains(point));
    assert_eq!(rotated["dropped"], if kept.len() == 1 { 2 } else { 0 });
}

#[test]
fn failed_write_continues_in_the_next_segment() {
    assert_continues_in_next_segment("audit_write", &["held", "read"]);
}

#[test]
fn torn_write_continues_in_the_next_segment() {
    assert_continues_in_next_segment("audit_torn", &["held", "read"]);
}

#[test]
fn failed_sync_continues_in_the_next_segment() {
    assert_continues_in_next_segment("audit_sync", &["held"]);
}

#[test]
fn unsynced_records_are_covered_by_the_next_head() {
    let scenario = fail::FailScenario::setup();
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), 1 << 20);
    let (synced, syncs) = channel();
    fail::cfg_callback("audit_sync", move || synced.send(()).unwrap_or_default()).unwrap();
    for number in 0..300 {
        let refused = Record { stage: Stage::Rejected, ..entry(&format!("id-{number}")) };
        log.append_and_wait(refused, false).unwrap();
    }
    // The writer syncs once a second at most, however long this took.
    assert!(syncs.try_iter().count() < 100, "a record that nobody waits for is not synced by itself");
    let head = || std::fs::read_to_string(dir.path().join("r.head")).unwrap_or_default();
    wait_until("a head that names the last record, without a request for it", || head().contains(r#""seq":300,"#));
    let copy = tempfile::tempdir().unwrap();
    copy_folder(dir.path(), copy.path());
    std::fs::write(copy.path().join("r-0001.jsonl"), "").unwrap();
    assert!(!verify(copy.path()).expect("readable").passed());
    drop(log);
    scenario.teardown();
}

#[test]
fn full_disk_and_failed_sync_keep_acknowledged_records() {
    let scenario = fail::FailScenario::setup();
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), 1 << 20);
    log.append_and_wait(entry("held"), true).unwrap();
    log.append_and_wait(Record { stage: Stage::Outcome, ..entry("read") }, false).unwrap();
    fail::cfg("audit_write", "1*return").unwrap();
    fail::cfg("audit_sync", "1*return").unwrap();
    for _ in 0..2 {
        assert!(log.append_and_wait(entry("refused"), true).is_err());
    }
    log.append_and_wait(entry("again"), true).unwrap();
    drop(log);
    scenario.teardown();
    let records = read_verified(dir.path());
    let ids: Vec<&str> = records.iter().map(|record| record.cmd_id.as_str()).collect();
    assert_eq!(ids, ["held", "", "again"]);
}

#[test]
fn full_disk_leaves_no_partial_segment() {
    let scenario = fail::FailScenario::setup();
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), 1 << 20);
    log.append_and_wait(entry("held"), true).unwrap();
    fail::cfg("audit_write", "return").unwrap();
    for _ in 0..5 {
        assert!(log.append_and_wait(entry("refused"), true).is_err());
        assert!(!dir.path().join("r-0002.jsonl").exists());
    }
    drop(log);
    scenario.teardown();
    assert_eq!(read_verified(dir.path()).len(), 1);
}

#[test]
fn failed_rotation_and_failed_head_are_retried() {
    let scenario = fail::FailScenario::setup();
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), 1);
    log.append_and_wait(entry("a"), true).unwrap();
    log.flush().unwrap();
    for point in ["audit_rotate", "audit_head"] {
        fail::cfg(point, "1*return").unwrap();
        assert!(log.append_and_wait(entry("b"), true).unwrap_err().to_string().contains(point));
        log.append_and_wait(entry("b"), true).expect("the next attempt goes on");
        log.flush().unwrap();
    }
    drop(log);
    scenario.teardown();
    let records = read_verified(dir.path());
    assert_eq!(records.iter().filter(|record| record.cmd_id == "b").count(), 2, "nothing refused was written");
}

#[test]
fn a_line_is_acknowledged_before_the_segment_that_says_what_was_changed() {
    let scenario = fail::FailScenario::setup();
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), 1 << 20);
    log.append_and_wait(entry("held"), true).unwrap();
    fail::cfg("audit_rotate", "1*return").unwrap();
    // While the line is written, so that no regular check comes before.
    let (segment, removed) = (dir.path().join("r-0001.jsonl"), AtomicBool::new(false));
    fail::cfg_callback("audit_check", move || {
        if !removed.swap(true, Ordering::SeqCst) {
            std::fs::remove_file(&segment).unwrap();
        }
    })
    .unwrap();
    assert_eq!(log.append_and_wait(entry("mended"), true).unwrap().file, "r-0001.jsonl");
    wait_until("the failure of the next segment", || log.trouble().is_some());
    assert_eq!(log.append_and_wait(entry("again"), true).unwrap().file, "r-0002.jsonl");
    drop(log);
    scenario.teardown();
    let records = read_verified(dir.path());
    let ids: Vec<&str> = records.iter().map(|record| record.cmd_id.as_str()).collect();
    assert_eq!(ids, ["held", "mended", "", "again"]);
    assert!(records[2].args["disturbed"].as_str().unwrap().contains("was removed or renamed"), "{}", records[2].args);
}

/// How often a point is passed before the crash; [`commands`] is enough to reach it that often.
fn passes() -> u32 {
    if soak() { 20 } else { 6 }
}

fn commands() -> u32 {
    passes() * 8
}

const FOLDER: &str = "TOWNLET_AUDIT_FAULT_DIR";

/// The work of the process that crashes: commands, each printed once it is acknowledged.
fn append_until_killed(folder: &Path) {
    let log = open(folder, 2_000);
    for number in 0..commands() {
        let id = format!("id-{number}");
        log.append_and_wait(entry(&id), true).expect("written");
        // One write call, so that a crash cannot split it.
        eprintln!("acknowledged {id}");
        if number % 5 == 4 {
            log.flush().expect("the head");
        }
    }
}

#[test]
fn crash_at_every_point_keeps_acknowledged_records() {
    // Logs opened here do not reach fail points of another test.
    let _scenario = fail::FailScenario::setup();
    // This test starts itself again as the process that crashes.
    if let Ok(folder) = std::env::var(FOLDER) {
        return append_until_killed(Path::new(&folder));
    }
    let me = std::env::current_exe().unwrap();
    for point in ["audit_write", "audit_torn", "audit_sync", "audit_head", "audit_rotate"] {
        for passed in 0..passes() {
            let dir = tempfile::tempdir().unwrap();
            let child = Command::new(&me)
                .args(["--exact", "audit_log::crash_at_every_point_keeps_acknowledged_records", "--nocapture"])
                .env(FOLDER, dir.path())
                .env("FAILPOINTS", format!("{point}={passed}*off->return(abort)"))
                .output()
                .unwrap();
            assert!(!child.status.success(), "{point} was never reached {passed} times");
            let said = String::from_utf8_lossy(&child.stderr).into_owned();
            let acknowledged: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("acknowledged ")).collect();
            if dir.path().join("r.head").exists() {
                let before = read_verified(dir.path()).len();
                drop(open(dir.path(), 2_000));
                assert!(read_verified(dir.path()).len() >= before);
            } else {
                // It crashed before its first head was written, and had acknowledged nothing.
                drop(open(dir.path(), 2_000));
            }
            let held = read_verified(dir.path());
            for id in &acknowledged {
                let times = held.iter().filter(|record| record.cmd_id == *id).count();
                assert_eq!(times, 1, "{point} after {passed}: {id}");
            }
        }
    }
}
