//! Files that somebody else changes between the write of a command and its acknowledgement: at the moment of the acknowledgement
//! both logs hold the command, or the answer says that they do not.
//!
//! The change is made at a fail point, and the home is copied at another one, just before the acknowledgement. The copy is what a
//! kill at this moment leaves. Rule: "Files that change under the program".

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use fail::FailScenario;
use townlet_audit::{Stage, records};
use townlet_shard::Home;
use townlet_shard::recovery::recover_run;
use townlet_wire::Status;

use crate::kit::{TestShard, copy_folder, open_segment, refusal, replace_folder, temp_home, wait_until};

/// The folder of a log, the ending of its segments, and its alert.
const LOGS: [(&str, &str, &str); 2] =
    [("logs/console", "jsonl", "audit_disturbed"), ("logs/journal", "tlj", "journal_disturbed")];

/// What somebody does to a file.
type Change = (&'static str, fn(&Path));

const CHANGES: [Change; 4] = [
    ("rm", |file| std::fs::remove_file(file).unwrap()),
    ("mv", |file| std::fs::rename(file, file.with_extension("moved")).unwrap()),
    ("truncate", |file| std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(0).unwrap()),
    ("folder replaced", |file| replace_folder(file.parent().unwrap())),
];

/// Calls `then` when a fail point is passed for the time of this number, from 0 on.
fn at(point: &'static str, number: usize, then: impl Fn() + Send + Sync + 'static) {
    let passed = AtomicUsize::new(0);
    fail::cfg_callback(point, move || {
        if passed.fetch_add(1, Ordering::SeqCst) == number {
            then();
        }
    })
    .expect("it can be set");
}

/// Asserts that both logs of this copy hold the command.
#[track_caller]
fn assert_holds(what: &str, live: &TestShard, died: &Path, cmd_id: &str) {
    let mut is_logged = false;
    records(&died.join("logs/console"), |_, _, record| {
        is_logged |= record.is_ok_and(|record| record.stage == Stage::Outcome && record.cmd_id == cmd_id);
        Ok(())
    })
    .unwrap();
    assert!(is_logged, "{what}: the audit log");
    let recovered = recover_run(&Home::new(died), "snapshots", &live.shard.run_id, None);
    let recovered = recovered.unwrap_or_else(|why| panic!("{what}: {why}"));
    assert_eq!(recovered.town.digest(), live.digest(), "{what}: the journal");
}

#[test]
fn a_change_before_the_check_is_mended_before_the_acknowledgement() {
    // The audit log is synced for the intent, then for the outcome; the journal for the command.
    for (point, number, (folder, ending, name)) in
        [("audit_check", 0, LOGS[0]), ("audit_check", 1, LOGS[0]), ("journal_check", 0, LOGS[1])]
    {
        for (what, change) in CHANGES {
            let what = format!("{what} of {folder} at {point} {number}");
            let scenario = FailScenario::setup();
            let (home, died) = (temp_home(), temp_home());
            let live = TestShard::new(home.path());
            live.run(5);
            live.expect_ok("setmoney ada 1");
            let file = open_segment(home.path(), folder, ending);
            at(point, number, move || change(&file));
            let (from, to) = (home.path().to_owned(), died.path().to_owned());
            at("before_ack", 0, move || copy_folder(&from, &to));
            let answer = live.expect_ok("setmoney ada 2");
            assert_holds(&what, &live, died.path(), &answer.cmd_id);
            wait_until(&format!("{what}: the alert"), || live.view().alerts.iter().any(|alert| alert.name == name));
            drop(live);
            scenario.teardown();
        }
    }
}

#[test]
fn a_log_that_is_changed_while_the_other_is_written_is_not_acknowledged() {
    // The check of the other log for the outcome.
    for ((folder, ending, name), check, number) in [(LOGS[0], "journal_check", 0), (LOGS[1], "audit_check", 1)] {
        for (what, change) in CHANGES {
            let what = format!("{what} of {folder} before {check}");
            let scenario = FailScenario::setup();
            let home = temp_home();
            let live = TestShard::new(home.path());
            live.run(5);
            live.expect_ok("setmoney ada 1");
            let file = open_segment(home.path(), folder, ending);
            // The other log waits until this one was found in place and was changed afterwards.
            let (changed, wait) = channel();
            let wait = Mutex::new(wait);
            at(check, number, move || wait.lock().unwrap().recv().expect("the first log is written"));
            at("one_log_written", 0, move || {
                change(&file);
                changed.send(()).expect("the other log waits");
            });
            let answer = live.line("setmoney ada 2");
            assert_eq!(refusal(&answer), "E_AUDIT_UNAVAILABLE", "{what}");
            let said = answer.error.expect("an error").message;
            assert!(
                said.contains("another program changed a log before the command was acknowledged"),
                "{what}: {said}"
            );
            wait_until(&format!("{what}: the alert"), || live.view().alerts.iter().any(|alert| alert.name == name));
            wait_until(&format!("{what}: a command is taken"), || live.line("setmoney ada 3").status == Status::Ok);
            drop(live);
            scenario.teardown();
        }
    }
}
