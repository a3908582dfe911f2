//! A disk that refuses: nobody is told what is not held, and the log goes on by itself.
//! Injected errors and deaths are in `tests/fail_points/audit_log.rs`: fail points belong to a whole process.

use super::*;

#[test]
fn a_segment_that_cannot_be_made_stops_the_log_until_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(Options { segment_bytes: 1, ..options(dir.path(), "r") }).unwrap().log;
    log.append_and_wait(intent("a"), true).unwrap();
    std::fs::create_dir(dir.path().join("r-0002.jsonl")).unwrap();
    for _ in 0..2 {
        let refused = log.append_and_wait(intent("b"), true).unwrap_err();
        assert_eq!(refused.body().code, "E_AUDIT_UNAVAILABLE");
    }
    assert!(log.trouble().is_some());
    assert!(log.reopen().is_err() && log.flush().is_err());
    assert_ne!(log.tail(9).state, "ok");
    std::fs::remove_dir(dir.path().join("r-0002.jsonl")).unwrap();
    let written = log.append_and_wait(intent("b"), true).expect("it goes on without being asked to");
    assert_eq!((written.file.as_str(), written.seq), ("r-0002.jsonl", 3));
    assert_eq!(log.trouble(), None);
    drop(log);
    assert_whole(dir.path());
}

#[test]
fn a_head_that_cannot_be_replaced_stops_the_log_until_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).log;
    std::fs::create_dir(dir.path().join("r.head.tmp")).unwrap();
    log.append_and_wait(intent("a"), true).expect("the line itself is durable");
    assert!(log.flush().is_err());
    assert!(log.trouble().is_some());
    std::fs::remove_dir(dir.path().join("r.head.tmp")).unwrap();
    log.reopen().expect("the head is replaced");
    assert_eq!(log.append_and_wait(intent("b"), true).unwrap().file, "r-0001.jsonl", "the segment never failed");
    drop(log);
    assert_eq!(assert_whole(dir.path()).runs[0].records, 2);
}

#[test]
fn a_failed_log_is_not_tried_with_every_append() {
    let dir = tempfile::tempdir().unwrap();
    let never = std::time::Duration::MAX;
    let log = Log::open(Options { segment_bytes: 1, retry: never, ..options(dir.path(), "r") }).unwrap().log;
    log.append_and_wait(intent("a"), true).unwrap();
    std::fs::create_dir(dir.path().join("r-0002.jsonl")).unwrap();
    assert!(log.append_and_wait(intent("b"), true).is_err());
    std::fs::remove_dir(dir.path().join("r-0002.jsonl")).unwrap();
    assert!(log.append_and_wait(intent("b"), true).is_err(), "not before the time has come");
    log.reopen().expect("unless it is asked for");
    assert_eq!(log.append_and_wait(intent("b"), true).unwrap().seq, 3);
    drop(log);
    assert_whole(dir.path());
}
