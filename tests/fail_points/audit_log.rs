//! The audit log under injected I/O errors, and under death at each of its durable steps.
//!
//! Run with `cargo test --features failpoints`. Fail points belong to a whole process, so these tests have their own.

use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::kit::TIMEOUT;
use serde_json::json;
use townlet_audit::{Entry, Log, Options, Record, Stage, records, verify};
use townlet_wire::{Role, Session};

fn open(dir: &Path, segment_bytes: u64) -> Log {
    let options = Options { segment_bytes, retry: Duration::ZERO, ..Options::new(dir, "r", "harbour") };
    Log::open(options).expect("the log opens").log
}

fn entry(cmd_id: &str) -> Entry {
    let session = Session { issuer: "tui:ada".into(), role: Role::Admin, transport: "local".into(), owner: true };
    Entry::of(&session, cmd_id, "setmoney", json!({ "agent": "ada", "amount": "1" }))
}

fn read_verified(dir: &Path) -> Vec<Record> {
    let report = verify(dir).expect("readable");
    assert!(report.passed(), "{:?}", report.findings().map(ToString::to_string).collect::<Vec<_>>());
    let mut all = Vec::new();
    records(dir, |_, _, record| {
        // A dead writer's last, unfinished line is no record.
        all.extend(record);
        Ok(())
    })
    .expect("readable");
    all
}

/// Fails once at `point` after an acknowledged command and an unsynced read, then goes on in a further segment, with these.
fn assert_continues_in_next_segment(point: &str, kept: &[&str]) {
    let scenario = fail::FailScenario::setup();
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), 1 << 20);
    log.append_and_wait(entry("held"), true).unwrap();
    log.flush().unwrap();
    log.append_and_wait(Entry { stage: Stage::Outcome, ..entry("read") }, false).unwrap();
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
fn a_failed_write() {
    assert_continues_in_next_segment("audit_write", &["held", "read"]);
}

#[test]
fn a_write_that_fails_half_way() {
    assert_continues_in_next_segment("audit_torn", &["held", "read"]);
}

#[test]
fn a_failed_sync() {
    assert_continues_in_next_segment("audit_sync", &["held"]);
}

#[test]
fn what_nobody_waited_for_is_missed_too_when_it_is_cut_off() {
    let scenario = fail::FailScenario::setup();
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), 1 << 20);
    let ((synced, syncs), (named, heads)) = (channel(), channel());
    fail::cfg_callback("audit_sync", move || synced.send(()).unwrap_or_default()).unwrap();
    fail::cfg_callback("audit_head", move || named.send(()).unwrap_or_default()).unwrap();
    let began = Instant::now();
    for number in 0..300 {
        let refused = Entry { stage: Stage::Rejected, ..entry(&format!("id-{number}")) };
        log.append_and_wait(refused, false).unwrap();
    }
    let took = began.elapsed().as_secs() as usize;
    assert!(syncs.try_iter().count() <= took, "no line of these is synced for itself");
    heads.recv_timeout(TIMEOUT).expect("a head, with nobody asking for it");
    // In place before its writer takes anything else; beyond it is this line alone, unless they took long.
    log.append_and_wait(entry("after"), false).unwrap();
    let head = std::fs::read_to_string(dir.path().join("r.head")).unwrap();
    assert!(took > 0 || head.contains(r#""seq":300,"#), "{head}");
    std::fs::write(dir.path().join("r-0001.jsonl"), "").unwrap();
    assert!(!verify(dir.path()).expect("readable").passed());
    drop(log);
    scenario.teardown();
}

#[test]
fn a_disk_that_fills_up_and_then_refuses_a_sync_too_keeps_what_was_acknowledged() {
    let scenario = fail::FailScenario::setup();
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), 1 << 20);
    log.append_and_wait(entry("held"), true).unwrap();
    log.append_and_wait(Entry { stage: Stage::Outcome, ..entry("read") }, false).unwrap();
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
fn a_disk_that_stays_full_leaves_nothing_behind() {
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
fn a_failed_rotation_and_a_failed_head() {
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

/// How often a point is passed before it is met for good, and the commands after which it was met in any case.
fn passes() -> u32 {
    if std::env::var("TOWNLET_SOAK").is_ok_and(|value| value == "1") { 20 } else { 6 }
}

fn commands() -> u32 {
    passes() * 8
}

const FOLDER: &str = "TOWNLET_AUDIT_FAULT_DIR";

/// The process that dies. Does nothing when it is not asked to by [`no_death_loses_what_was_acknowledged`].
#[test]
fn crash_child_process() {
    let Ok(dir) = std::env::var(FOLDER) else {
        return;
    };
    let _scenario = fail::FailScenario::setup();
    let log = open(Path::new(&dir), 2_000);
    for number in 0..commands() {
        let id = format!("id-{number}");
        log.append_and_wait(entry(&id), true).expect("written");
        // One write call, so that a death cannot cut it in two.
        eprintln!("acknowledged {id}");
        if number % 5 == 4 {
            log.flush().expect("the head");
        }
    }
}

#[test]
fn no_death_loses_what_was_acknowledged() {
    // Logs opened here pass no point of another test.
    let _scenario = fail::FailScenario::setup();
    let me = std::env::current_exe().unwrap();
    for point in ["audit_write", "audit_torn", "audit_sync", "audit_head", "audit_rotate"] {
        for passed in 0..passes() {
            let dir = tempfile::tempdir().unwrap();
            let child = Command::new(&me)
                .args(["--exact", "dying_child", "--nocapture"])
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
                // It died before its first head was in place, and had told nobody anything.
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
