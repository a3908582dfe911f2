//! A past run looked at: at every tick the town is the one that lived, in whatever order one looks, and nothing is changed by it.
//!
//! Rules: "Journal", "Layers".

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::kit::{TestShard, temp_home};
use townlet_shard::journal::Segments;
use townlet_shard::recorded_run::RecordedRun;
use townlet_shard::{Home, incident};
use townlet_source::{Link, Recorded, Source, SourceEvent};
use townlet_wire::{Answer, Request, Snapshot, Status};

/// Longest a notice is waited for before a test says that it never came.
const TIMEOUT: Duration = Duration::from_mins(2);

/// What stands in a home, name and content.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            found.append(&mut files(&entry.path()));
        } else {
            found.insert(entry.path(), std::fs::read(entry.path()).unwrap());
        }
    }
    found
}

/// What a view says of the town, and nothing of the shard around it.
fn town(view: &Snapshot) -> serde_json::Value {
    let mut all = serde_json::to_value(view).unwrap();
    let around =
        ["clock", "transport", "health", "audit", "alerts", "alerts_raised", "promotion", "learning", "narrations"];
    all.as_object_mut().unwrap().retain(|name, _| !around.contains(&name.as_str()));
    all
}

/// A run that stopped, with commands between its ticks; its journal, and digest and view of some of its ticks.
fn lived(home: &Path) -> (Vec<PathBuf>, Vec<(u64, String, Snapshot)>) {
    let live = TestShard::new(home);
    let mut seen = Vec::new();
    for tick in [0, 1, 150, 151, 2_000, 4_999] {
        live.run(tick - live.view().tick);
        if tick == 150 {
            live.expect_ok("setmoney ada 9.5");
            live.expect_ok("employment_exit request hugo --reason drill");
        }
        let (view, digest) = live.shard.view().expect("the shard lives");
        seen.push((tick, digest, view));
    }
    live.expect_ok("price meal 1.25");
    let run = live.shard.run_id.clone();
    live.shard.stop().expect("it is saved");
    (Home::new(home).journal_files(&run), seen)
}

#[test]
fn every_tick_is_the_one_that_was_lived_in_whatever_order_one_looks() {
    let home = temp_home();
    let (journal, seen) = lived(home.path());
    let before = files(home.path());
    let mut recording =
        RecordedRun::open(&Home::new(home.path()), Segments::open(&journal).unwrap()).expect("it is whole");
    assert_eq!(recording.ticks(), (0, 0, 4_999));
    let order = [5, 0, 3, 2, 4, 1, 2, 5, 1, 0, 4];
    for (tick, digest, view) in order.into_iter().map(|place| &seen[place]) {
        recording.seek(*tick).expect("journal and town agree");
        // The price was set at the last tick, which is looked at with what was done there.
        if *tick != 4_999 {
            assert_eq!(&recording.digest(), digest, "tick {tick}");
            let (ours, theirs) = (town(&recording.view("paused")), town(view));
            for (name, was) in theirs.as_object().unwrap() {
                assert_eq!(&ours[name], was, "{name} of tick {tick}");
            }
        }
        assert_eq!(recording.ticks().1, *tick);
    }
    recording.seek(u64::MAX).unwrap();
    let last = recording.view("paused");
    assert_eq!((last.tick, last.prices["meal"]), (4_999, 1.25));
    let commands: Vec<&str> = last.audit.records.iter().map(|row| row.command.as_str()).collect();
    assert!(commands.contains(&"setmoney") && commands.contains(&"price"), "{commands:?}");
    recording.seek(149).unwrap();
    let records = recording.view("paused").audit.records;
    assert!(records.iter().all(|row| row.stage == "begin"), "what came later is not known yet: {records:?}");
    assert_eq!(files(home.path()), before);
}

/// A recording in a source's place, and what it delivers.
fn watched(home: &Path) -> (Recorded, Receiver<SourceEvent>) {
    let (journal, _) = lived(home);
    let mut recording = RecordedRun::open(&Home::new(home), Segments::open(&journal).unwrap()).expect("it is whole");
    recording.seek(u64::MAX).expect("journal and town agree");
    let mut source = Recorded::new(recording, Vec::new());
    let (send, notices) = channel();
    source.start(Box::new(move |notice| drop(send.send(notice))));
    (source, notices)
}

#[track_caller]
fn until<T>(notices: &Receiver<SourceEvent>, what: &str, wanted: impl Fn(SourceEvent) -> Option<T>) -> T {
    loop {
        let notice = notices.recv_timeout(TIMEOUT).unwrap_or_else(|why| panic!("{what}: {why}"));
        if let Some(found) = wanted(notice) {
            return found;
        }
    }
}

#[track_caller]
fn asked(source: &mut Recorded, notices: &Receiver<SourceEvent>, request: Request) -> (Answer, Arc<Snapshot>) {
    let cmd_id = source.send(request);
    let answer = until(notices, "an answer", |notice| match notice {
        SourceEvent::Answer(answer) if answer.cmd_id == cmd_id => Some(answer),
        _ => None,
    });
    let view = until(notices, "a view", |notice| if let SourceEvent::View(view) = notice { Some(view) } else { None });
    (answer, view)
}

#[test]
fn a_recording_is_looked_at_and_nothing_can_be_done_to_it() {
    let home = temp_home();
    let (mut source, notices) = watched(home.path());
    let before = files(home.path());
    assert_eq!(source.hello().link, Link::Recorded);
    let mut ask = |line: &str| asked(&mut source, &notices, Request::line(line));
    for (line, tick) in [
        ("goto 1,500", 1_500),
        ("goto -100", 1_400),
        ("goto +50", 1_450),
        ("step", 1_451),
        ("step 9", 1_460),
        ("goto 99999", 4_999),
        ("goto -99999", 0),
    ] {
        let (answer, view) = ask(line);
        assert_eq!((answer.status, view.tick, view.clock.speed.as_str()), (Status::Ok, tick, "paused"), "{line}");
    }
    for (line, code) in [
        ("goto", "E_FORBIDDEN"),
        ("goto noon", "E_INVALID_ARG"),
        ("speed 3x", "E_INVALID_ARG"),
        ("setmoney ada 3", "E_FORBIDDEN"),
        ("employment_exit approve hugo", "E_FORBIDDEN"),
    ] {
        let (answer, view) = ask(line);
        let error = answer.error.unwrap_or_else(|| panic!("{line} was taken"));
        assert_eq!((error.code.as_str(), view.tick), (code, 0), "{line}");
        assert!(!error.message.is_empty() && !error.hint.is_empty());
    }
    let (answer, view) = asked(&mut source, &notices, Request { dry_run: true, ..Request::line("goto 700") });
    assert_eq!((answer.status, view.tick), (Status::DryRun, 0), "a preview moves nothing");
    // Played to its end it stops there.
    let (answer, _) = asked(&mut source, &notices, Request::line("speed max"));
    assert_eq!(answer.status, Status::Ok);
    let stopped = until(&notices, "the end", |notice| match notice {
        SourceEvent::View(view) if view.clock.speed == "paused" => Some(view.tick),
        _ => None,
    });
    assert_eq!(stopped, 4_999);
    for line in ["resume", "step", "step 50"] {
        let (answer, _) = asked(&mut source, &notices, Request::line(line));
        assert!(answer.summary().contains("ends at tick 4,999"), "{line}: {}", answer.summary());
    }
    let (answer, _) = asked(&mut source, &notices, Request::line("goto 99999"));
    assert!(answer.summary().contains("tick 4,999, the end of the recording"), "{}", answer.summary());
    assert!(source.close().contains("nothing was changed"));
    assert_eq!(files(home.path()), before);
}

#[test]
fn a_recording_says_what_is_wrong_with_its_audit_log() {
    let home = temp_home();
    let (journal, _) = lived(home.path());
    let state = || {
        let mut recording = RecordedRun::open(&Home::new(home.path()), Segments::open(&journal).unwrap()).unwrap();
        recording.seek(u64::MAX).unwrap();
        recording.view("paused").audit.state
    };
    assert_eq!(state(), "ok");
    let logs = home.path().join("logs/console");
    let segment = std::fs::read_dir(&logs).unwrap().flatten().map(|entry| entry.path());
    let segment = segment.into_iter().find(|path| path.extension().is_some_and(|it| it == "jsonl")).expect("a segment");
    let whole = std::fs::read_to_string(&segment).unwrap();
    std::fs::write(&segment, whole.replacen("\"number\":1", "\"number\":7", 1)).unwrap();
    assert_eq!(state(), "1 line of the audit log is damaged and left out");
    std::fs::write(&segment, whole.replace("drill", "a real case")).unwrap();
    assert_eq!(state(), "2 lines of the audit log are damaged and left out");
    std::fs::remove_dir_all(&logs).unwrap();
    assert_eq!(state(), "the run has no audit log here");
}

#[test]
fn a_bundle_shows_the_audit_log_of_its_run_without_its_home() {
    let home = temp_home();
    let (journal, _) = lived(home.path());
    let (home_of_run, elsewhere) = (Home::new(home.path()), temp_home());
    let mut whole = RecordedRun::open(&home_of_run, Segments::open(&journal).unwrap()).expect("it is whole");
    let run = whole.run_id().to_owned();
    let path = elsewhere.path().join("a.tar.zst");
    incident::take(&home_of_run, &run, "snapshots", Some(&path)).expect("it is made");
    let segments = incident::replay_journal(&path).expect("it has a replay");
    let mut recording = RecordedRun::open_bundle(&Home::new(elsewhere.path()), segments, &path).expect("it is whole");
    for tick in [0, 150, 4_999] {
        whole.seek(tick).expect("journal and town agree");
        recording.seek(tick).expect("journal and town agree");
        let audit = recording.view("paused").audit;
        assert_eq!(audit, whole.view("paused").audit, "tick {tick}");
        let done = |command: &str| audit.records.iter().any(|row| row.command == command && row.stage == "outcome");
        assert_eq!([done("setmoney"), done("price")], [tick >= 150, tick >= 4_999], "tick {tick}: {audit:#?}");
        assert_eq!(audit.state, "ok");
    }
    // A segment by itself belongs to no bundle and no home.
    let alone = elsewhere.path().join(journal[0].file_name().unwrap());
    std::fs::copy(&journal[0], &alone).unwrap();
    let segments = Segments::open(&[alone]).unwrap();
    let recording = RecordedRun::open(&Home::new(elsewhere.path()), segments).expect("it is whole");
    assert_eq!(recording.view("paused").audit.state, "the run has no audit log here");
}
