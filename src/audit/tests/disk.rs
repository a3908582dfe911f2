//! A disk that refuses: nobody is told what is not held, and the log goes on by itself.

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
    assert!(matches!(log.state(), State::Unavailable(_)));
    assert!(log.reopen().is_err() && log.flush().is_err());
    assert_ne!(log.tail(9).state, "ok");
    std::fs::remove_dir(dir.path().join("r-0002.jsonl")).unwrap();
    let written = log.append_and_wait(intent("b"), true).expect("it goes on without being asked to");
    assert_eq!((written.file.as_str(), written.seq), ("r-0002.jsonl", 3));
    assert_eq!(log.state(), State::Ok);
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
    let slow = Options { retry: std::time::Duration::MAX, ..options(dir.path(), "slow") };
    assert!(matches!(log.state(), State::Unavailable(_)));
    drop(slow);
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
    assert_eq!(log.append_and_wait(intent("b"), true).unwrap().seq, 4, "with a segment of one line behind it");
    drop(log);
    assert_whole(dir.path());
}

#[cfg(feature = "failpoints")]
mod injected {
    use super::*;

    /// Fails once at `point` after an acknowledged command and an unsynced read, then goes on.
    fn fails_and_goes_on(point: &str, segment: &str) {
        let scenario = fail::FailScenario::setup();
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path()).log;
        log.append_and_wait(intent("held"), true).unwrap();
        log.flush().unwrap();
        log.append_and_wait(outcome("read"), false).unwrap();
        fail::cfg(point, "1*return").unwrap();
        let refused = log.append_and_wait(intent("refused"), true).unwrap_err();
        assert!(refused.to_string().contains(point), "{refused}");
        assert!(log.tail(9).records.iter().all(|row| row.cmd_id == "held"), "only what is held is shown");
        let again = log.append_and_wait(intent("again"), true).unwrap();
        assert_eq!(again.file, segment);
        drop(log);
        scenario.teardown();
        assert_whole(dir.path());
        let records = read(dir.path());
        assert!(records.iter().all(|record| record.cmd_id != "refused"));
        let rotated = args_of(&records, Stage::Rotate);
        assert!(rotated[0]["cause"].as_str().unwrap().contains(point));
    }

    #[test]
    fn a_failed_write() {
        fails_and_goes_on("audit_write", "r-0002.jsonl");
    }

    #[test]
    fn a_failed_sync() {
        fails_and_goes_on("audit_sync", "r-0002.jsonl");
    }

    #[test]
    fn a_disk_that_stays_full_leaves_nothing_behind() {
        let scenario = fail::FailScenario::setup();
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path()).log;
        log.append_and_wait(intent("held"), true).unwrap();
        fail::cfg("audit_write", "return").unwrap();
        for _ in 0..5 {
            assert!(log.append_and_wait(intent("refused"), true).is_err());
            assert!(!dir.path().join("r-0002.jsonl").exists());
        }
        drop(log);
        scenario.teardown();
        assert_eq!(assert_whole(dir.path()).runs[0].records, 1);
    }

    #[test]
    fn a_failed_head_and_a_failed_rotation() {
        let scenario = fail::FailScenario::setup();
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(Options { segment_bytes: 1, ..options(dir.path(), "r") }).unwrap().log;
        log.append_and_wait(intent("a"), true).unwrap();
        log.flush().unwrap();
        for point in ["audit_rotate", "audit_head"] {
            fail::cfg(point, "1*return").unwrap();
            assert!(log.append_and_wait(intent("b"), true).unwrap_err().to_string().contains(point));
            log.append_and_wait(intent("b"), true).expect("the next attempt goes on");
            log.flush().unwrap();
        }
        drop(log);
        scenario.teardown();
        assert_whole(dir.path());
    }
}
