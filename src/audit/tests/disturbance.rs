//! Files that somebody else changes while the log is open: nothing acknowledged is in no file, and the log says what happened.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::*;

const SEGMENT: &str = "r-0001.jsonl";

fn segment(dir: &Path) -> PathBuf {
    dir.join(SEGMENT)
}

/// A change of the log's folder, and what the log says about it.
type Change = (&'static str, fn(&Path), &'static str);

const CHANGES: &[Change] = &[
    ("rm", |dir| std::fs::remove_file(segment(dir)).unwrap(), "was removed or renamed"),
    ("mv", |dir| std::fs::rename(segment(dir), dir.with_extension("moved")).unwrap(), "was removed or renamed"),
    (
        "truncate",
        |dir| OpenOptions::new().write(true).open(segment(dir)).unwrap().set_len(40).unwrap(),
        "was truncated",
    ),
    (
        "copytruncate",
        |dir| {
            std::fs::copy(segment(dir), dir.with_extension("copy")).unwrap();
            File::create(segment(dir)).unwrap();
        },
        "was truncated",
    ),
    (
        "mv and create",
        |dir| {
            std::fs::rename(segment(dir), dir.with_extension("moved")).unwrap();
            File::create(segment(dir)).unwrap();
        },
        "was replaced by another file",
    ),
    ("folder moved", |dir| std::fs::rename(dir, dir.with_extension("old")).unwrap(), "was removed or renamed"),
    (
        "folder replaced",
        |dir| {
            std::fs::rename(dir, dir.with_extension("old")).unwrap();
            std::fs::create_dir(dir).unwrap();
        },
        "was removed or renamed",
    ),
    ("folder removed", |dir| std::fs::remove_dir_all(dir).unwrap(), "was removed or renamed"),
    ("head removed", |dir| std::fs::remove_file(dir.join("r.head")).unwrap(), "r.head was removed or renamed"),
];

/// Commands that were acknowledged, in the order of the log.
fn commands(dir: &Path) -> Vec<String> {
    let all = read(dir).into_iter().filter(|record| record.stage == Stage::Intent);
    all.map(|record| record.cmd_id).collect()
}

#[test]
fn what_was_acknowledged_is_written_again_where_it_was() {
    for (what, change, said) in CHANGES {
        let home = tempfile::tempdir().unwrap();
        let dir = &home.path().join("console");
        let log = open(dir).log;
        log.append_and_wait(intent("a"), true).unwrap();
        log.append_and_wait(intent("b"), true).unwrap();
        log.flush().unwrap();
        change(dir);
        log.append_and_wait(intent("c"), true).unwrap();
        // A head is looked for when there is nothing to write.
        log.flush().unwrap();
        let disturbed = log.disturbed().unwrap_or_else(|| panic!("{what} was not noticed"));
        assert!(disturbed.contains(said) && disturbed.contains("written again"), "{what}: {disturbed}");
        assert_eq!(log.trouble(), None, "{what}");
        log.append_and_wait(intent("d"), true).unwrap();
        log.acknowledge_disturbance();
        assert_eq!(log.disturbed(), None);
        drop(log);
        let report = assert_whole(dir);
        let note = format!("r-0002.jsonl:1: {disturbed}.");
        assert!(report.runs[0].notes.contains(&note), "{what}: {:?}", report.runs[0].notes);
        assert_eq!(commands(dir), ["a", "b", "c", "d"], "{what}");
        assert_eq!(args_of(&read(dir), Stage::Rotate)[0]["cause"], "disturbed");
        assert_eq!(open(dir).pending.len(), 4, "{what}: the run goes on");
    }
}

#[test]
fn a_change_is_noticed_while_nothing_is_written() {
    for (what, change, _) in CHANGES {
        let home = tempfile::tempdir().unwrap();
        let dir = &home.path().join("console");
        let log = open(dir).log;
        let (sender, disturbed) = channel();
        log.on_disturbed(move || sender.send(()).unwrap());
        // The head is written a moment later, which may be in a folder that is missing.
        log.append_and_wait(intent("a"), true).unwrap();
        change(dir);
        disturbed.recv_timeout(Duration::from_mins(1)).unwrap_or_else(|_| panic!("{what} was not noticed"));
        log.append_and_wait(Record { stage: Stage::Rejected, ..intent("b") }, false).unwrap();
        assert_eq!(log.trouble(), None, "{what}");
        drop(log);
        assert_whole(dir);
        assert_eq!(commands(dir), ["a"], "{what}");
    }
}

#[test]
fn what_stands_in_place_of_a_segment_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).log;
    log.append_and_wait(intent("a"), true).unwrap();
    OpenOptions::new().append(true).open(segment(dir.path())).unwrap().write_all(b"a stranger's line\n").unwrap();
    log.append_and_wait(intent("b"), true).unwrap();
    let disturbed = log.disturbed().unwrap();
    assert!(disturbed.contains("was extended") && disturbed.contains("r-0001.jsonl.found"), "{disturbed}");
    drop(log);
    let found = std::fs::read_to_string(dir.path().join("r-0001.jsonl.found")).unwrap();
    assert!(found.contains("a stranger's line\n"));
    assert_eq!(commands(dir.path()), ["a", "b"]);
    // It is not part of the log, and nobody but an operator can say what it is.
    assert_named(dir.path(), "r-0001.jsonl.found", &[0], "a file that belongs to no run");
    std::fs::remove_file(dir.path().join("r-0001.jsonl.found")).unwrap();
    assert_whole(dir.path());
}

#[test]
fn a_log_that_cannot_be_written_again_acknowledges_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let log = open(dir).log;
    log.append_and_wait(intent("a"), true).unwrap();
    log.flush().unwrap();
    // In place of the temporary file.
    std::fs::create_dir(dir.join("r-0001.part")).unwrap();
    std::fs::remove_file(segment(dir)).unwrap();
    assert_eq!(log.append_and_wait(intent("refused"), true).unwrap_err().body().code, "E_AUDIT_UNAVAILABLE");
    assert!(log.trouble().is_some() && log.disturbed().unwrap().contains("cannot be written again"));
    std::fs::remove_dir(dir.join("r-0001.part")).unwrap();
    log.append_and_wait(intent("b"), true).expect("it goes on by itself");
    assert_eq!(log.trouble(), None);
    drop(log);
    assert_whole(dir);
    assert_eq!(commands(dir), ["a", "b"]);
}

#[test]
fn a_run_stays_locked_after_its_first_segment_was_removed() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).log;
    log.append_and_wait(intent("a"), true).unwrap();
    std::fs::remove_file(segment(dir.path())).unwrap();
    log.append_and_wait(intent("b"), true).unwrap();
    assert!(matches!(Log::open(options(dir.path(), "r")), Err(AuditError::Locked(_))));
    drop(log);
    drop(open(dir.path()));
}

#[test]
fn a_missing_closed_segment_is_reported_once_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).log;
    log.append_and_wait(intent("a"), true).unwrap();
    log.begin_segment();
    log.append_and_wait(intent("b"), true).unwrap();
    assert_eq!(args_of(&read(dir.path()), Stage::Rotate)[0]["cause"], "requested");
    std::fs::remove_file(segment(dir.path())).unwrap();
    log.flush().unwrap();
    assert!(log.disturbed().unwrap().contains("r-0001.jsonl was removed or renamed; put back a copy of it"));
    log.acknowledge_disturbance();
    log.append_and_wait(intent("c"), true).unwrap();
    log.flush().unwrap();
    assert_eq!(log.disturbed(), None, "it is said once");
    drop(log);
    let report = assert_named(dir.path(), SEGMENT, &[0], "a missing segment");
    assert!(report.runs[0].notes.iter().any(|note| note.contains("r-0003.jsonl:1: r-0001.jsonl was removed")));
}

#[test]
fn somebody_who_removes_the_segment_again_and_again_does_not_fill_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).log;
    log.append_and_wait(intent("a"), true).unwrap();
    for round in 0..20 {
        let newest = files(dir.path()).into_iter().rfind(|file| file.extension().unwrap() == "jsonl").unwrap();
        std::fs::remove_file(newest).unwrap();
        log.flush().unwrap();
        assert_eq!(files(dir.path()).len(), 3, "round {round}");
    }
    drop(log);
    assert_whole(dir.path());
}
