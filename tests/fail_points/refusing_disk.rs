//! A disk that refuses writes, for each kind of file: the shard reports it, acknowledges nothing falsely, keeps running, and
//! writes everything once the disk accepts writes again.
//!
//! Rule: "Audit log", and the table of fail points in `tests/process/fail_point_table.rs`.

use crate::kit::{TestShard, refusal, temp_home, wait_for, wait_until};
use townlet_audit::verify;
use townlet_shard::{Home, incident};
use townlet_wire::{Request, Snapshot, Status};

/// A fail point, the problem that health reports, and whether commands are refused meanwhile.
const CASES: &[(&str, &str, bool)] = &[
    ("audit_write", "the audit log cannot be written", true),
    ("audit_torn", "the audit log cannot be written", true),
    ("audit_sync", "the audit log cannot be written", true),
    ("audit_head", "the audit log cannot be written", true),
    ("journal_write", "the journal cannot be written", true),
    ("journal_torn", "the journal cannot be written", true),
    ("journal_sync", "the journal cannot be written", true),
    ("snapshot_write", "the last snapshot could not be written", false),
    ("ops_write", "the operators' log could not be written", false),
    ("archive_open", "the archive of the raw stream cannot be written", false),
    ("archive_write", "the archive of the raw stream cannot be written", false),
];

/// Writes something of each kind; answers may be refusals.
fn write_all(live: &TestShard, round: u64) {
    live.line("snapshot save");
    live.line(&format!("employment_exit request {}", ["ben", "cleo", "hugo"][round as usize]));
    live.line("telemetry_mode auto");
    live.line("telemetry_mode aggregate");
}

#[test]
fn each_kind_of_file_degrades_and_recovers() {
    for (point, says, refuses) in CASES {
        let scenario = fail::FailScenario::setup();
        let home = temp_home();
        let live = TestShard::paused(home.path());
        let views = live.watch();
        let _stream = live.shard.stream(None, || {});
        live.expect_ok("resume");
        write_all(&live, 0);
        fail::cfg(*point, "return").unwrap();
        write_all(&live, 1);
        let seen = wait_for(&views, says, |view| view.health.problems.iter().any(|problem| problem.contains(says)));
        assert_eq!(seen.health.status, "degraded", "{point}");
        assert!(seen.alerts.iter().any(|alert| alert.message.contains(says)), "{point}: {:?}", seen.alerts);
        wait_for(&views, "the town going on", |view| view.tick > seen.tick + 100);
        let merged = wait_for(&views, "merged telemetry", |view| view.transport.mode == "aggregate");
        for own in ["shard_degraded", "telemetry_aggregating"] {
            assert!(merged.alerts_raised.contains_key(own), "{point}: {own}: {:?}", merged.alerts_raised);
        }
        let answer = live.line("setmoney ada 77");
        if *refuses {
            assert_eq!(refusal(&answer), "E_AUDIT_UNAVAILABLE", "{point}");
            let message = &answer.error.as_ref().unwrap().message;
            assert!(message.ends_with('.') && !message.ends_with(".."), "the hint follows: {message}");
        } else {
            assert_eq!(answer.status, Status::Ok, "{point}: {answer:?}");
        }
        // Paused, so that no tick and no autosave causes the retry.
        live.expect_ok("pause");
        fail::remove(*point);
        wait_for(&views, "a disk that is well", |view| view.health.status == "ok" && view.health.problems.is_empty());
        live.expect_ok("setmoney ada 78");
        live.expect_ok("snapshot save");
        live.expect_ok("snapshot list");
        live.shard.stop().unwrap_or_else(|why| panic!("{point}: {why}"));
        drop(live);
        scenario.teardown();
        whole(point, home.path());
    }
}

#[test]
fn changes_of_pace_are_logged_once_the_disk_accepts_writes_again() {
    let scenario = fail::FailScenario::setup();
    let home = temp_home();
    let live = TestShard::paused(home.path());
    let lines = || {
        let mut lines = Vec::new();
        townlet_audit::records(&home.path().join("logs/console"), |_, _, record| {
            if let Ok(record) = record
                && ["pause", "speed", "step"].contains(&&*record.command)
                && record.stage == townlet_audit::Stage::Outcome
            {
                lines.push(format!("{} {}", record.command, record.args).replace(['{', '}', '"'], ""));
            }
            Ok(())
        })
        .unwrap();
        lines
    };
    live.expect_ok("pause");
    // Nobody waits for such a record.
    wait_until("the record of the first pause", || lines() == ["pause "]);
    fail::cfg("audit_write", "return").unwrap();
    // The first one finds out that the log cannot be written.
    live.expect_ok("speed 10x");
    wait_until("a degraded shard", || live.view().health.status == "degraded");
    let said = live.result("pause");
    let summary = said["summary"].as_str().unwrap();
    assert!(summary.contains("It is not logged yet") && said["logged"] == false, "{said}");
    let request =
        |id: &str, line: &str| live.ask(live.admin, Request { cmd_id: Some(id.into()), ..Request::line(line) });
    let tick = live.view().tick;
    let first = request("once", "step 5");
    wait_until("five steps", || live.view().tick == tick + 5);
    let again = request("once", "step 5");
    assert_eq!((first.replayed, again.replayed, again.tick), (false, true, first.tick));
    assert_eq!(refusal(&request("once", "step 6")), "E_CMD_ID_REUSED");
    assert_eq!(lines(), ["pause "]);
    fail::remove("audit_write");
    let expected = ["pause ", "speed rate:10x", "pause ", "step ticks:5"];
    wait_until("all records", || lines() == expected);
    live.shard.stop().unwrap();
    drop(live);
    scenario.teardown();
    assert!(verify(&home.path().join("logs/console")).unwrap().passed());
}

#[test]
fn journal_tick_does_not_advance_while_the_journal_cannot_be_written() {
    let scenario = fail::FailScenario::setup();
    let home = temp_home();
    let live = TestShard::new(home.path());
    live.run(50);
    for point in ["journal_write", "journal_create"] {
        fail::cfg(point, "return").unwrap();
    }
    live.run(50);
    wait_until("a degraded shard", || live.view().health.status == "degraded");
    // The journal is written at every hundredth tick.
    live.run(100);
    let (tick, health) = (live.view().tick, live.view().health);
    assert!(tick == 200 && health.journal_tick <= 100, "{tick}: {health:?}");
    for point in ["journal_write", "journal_create"] {
        fail::remove(point);
    }
    wait_until("a journal that is well", || live.view().health.status == "ok");
    live.run(100);
    assert_eq!(live.view().health.journal_tick, 300);
    drop(live);
    scenario.teardown();
}

/// The final files: a valid log, snapshots, each acknowledged decision once.
fn whole(point: &str, home: &std::path::Path) {
    assert!(verify(&home.join("logs/console")).unwrap().passed(), "{point}");
    let live = TestShard::resumed(home);
    let list = live.result("snapshot list")["snapshots"].as_array().unwrap().len();
    assert!(list >= 2, "{point}: {list} snapshots");
    let ops = std::fs::read_to_string(home.join("ops/employment.md")).unwrap();
    let refuses = CASES.iter().any(|row| row.0 == point && row.2);
    let rows = ops.lines().filter(|line| line.contains("| request | cleo |")).count();
    assert!(rows == 1 || (refuses && rows == 0), "{point}: {ops}");
}

#[test]
fn reload_refused_by_the_journal_is_in_its_next_file() {
    let scenario = fail::FailScenario::setup();
    let home = temp_home();
    let live = TestShard::with_edited_file(home.path());
    live.run(120);
    live.expect_ok("setmoney ada 3");
    let before = live.view().texts_digest;
    fail::cfg("journal_write", "1*return->off").unwrap();
    let request = Request { cmd_id: Some("once".into()), ..Request::line("reload_config") };
    let seen = live.ask(live.admin, request.clone());
    assert_eq!(refusal(&seen), "E_AUDIT_UNAVAILABLE");
    assert!(seen.error.as_ref().unwrap().message.contains("it was applied at tick 120"));
    // Published states may be older than the answer.
    let well = || live.view().health.status == "ok" && live.view().health.problems.is_empty();
    wait_until("a journal that is well", well);
    let now = live.view();
    assert_ne!(now.texts_digest, before);
    live.run(50);
    live.expect_ok("setmoney ada 4");
    let digest = live.digest();
    let again = live.ask(live.admin, request);
    assert_eq!((again.replayed, again.error), (true, seen.error), "it is not done again");
    live.shard.stop().unwrap();
    drop(live);
    scenario.teardown();
    // The run resumes with the sources in the journal, although the file on disk differs.
    std::fs::remove_dir_all(home.path().join("snapshots")).unwrap();
    std::fs::write(home.path().join(crate::kit::CONFIG_FILE), "seed: 9\n").unwrap();
    let recorded =
        townlet_shard::find_run(&Home::new(home.path()), "harbour", None, "snapshots").expect("there is a run");
    assert_eq!(recorded.sources.digest(), now.texts_digest);
    let live = TestShard::resumed(home.path());
    assert_eq!((live.digest(), live.view().texts_digest), (digest, now.texts_digest.clone()));
}

#[test]
fn archive_continues_in_a_new_file_without_empty_ones() {
    let scenario = fail::FailScenario::setup();
    let home = temp_home();
    let live = TestShard::paused(home.path());
    let views = live.watch();
    let _stream = live.shard.stream(None, || {});
    live.expect_ok("resume");
    live.expect_ok("telemetry_mode aggregate");
    let first = wait_for(&views, "an archive", |view| view.transport.archive.is_some()).transport.archive.clone();
    fail::cfg("archive_write", "3*return").unwrap();
    let next = |view: &townlet_wire::Snapshot| view.transport.archive.is_some() && view.transport.archive != first;
    wait_for(&views, "a further archive", next);
    live.ask(live.admin, Request::line("telemetry_mode full"));
    wait_for(&views, "its end", |view| view.transport.archive.is_none());
    live.shard.stop().unwrap();
    drop(live);
    scenario.teardown();
    let files = std::fs::read_dir(home.path().join("logs/telemetry")).unwrap().count();
    assert_eq!(files, 2);
}

#[test]
fn unwritable_incident_is_an_alert_until_the_next_is_written() {
    let _scenario = fail::FailScenario::setup();
    let home = temp_home();
    let live = TestShard::new(home.path());
    let views = live.watch();
    live.run(120);
    let place = home.path().join("ops/incidents");
    std::fs::create_dir_all(home.path().join("ops")).unwrap();
    std::fs::write(&place, "in its place").unwrap();
    let alert = |view: &Snapshot| view.alerts.iter().find(|alert| alert.name == "incident_unwritten").cloned();
    live.expect_ok("incident --reason drill");
    let seen = wait_for(&views, "the alert", |view| alert(view).is_some());
    let raised = alert(&seen).unwrap();
    assert!(raised.severity == "critical" && raised.message.contains("ops/incidents"), "{raised:?}");
    assert!(raised.hint.contains("townlet incident bundle --output"), "{raised:?}");
    assert!(seen.health.status == "degraded" && seen.health.problems.contains(&raised.message), "{:?}", seen.health);
    live.run(50);
    let view = live.view();
    assert_eq!(alert(&view).map(|alert| alert.since_tick), Some(120), "it keeps its tick");
    assert_eq!(view.alerts_raised.get("incident_unwritten"), Some(&1));
    std::fs::remove_file(&place).unwrap();
    live.expect_ok("incident --reason drill");
    wait_for(&views, "the end of the alert", |view| alert(view).is_none() && view.health.status == "ok");
    live.shard.stop().unwrap();
    assert_eq!(incident::kept(&Home::new(home.path())).len(), 1);
}
