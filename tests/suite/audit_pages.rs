//! Earlier records of the audit log from a local shard and from a recorded run. Rule: "Audit log".

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use townlet_shard::journal::Segments;
use townlet_shard::recorded_run::RecordedRun;
use townlet_shard::{Handle, Home};
use townlet_source::{AuditPageRequest, Local, Recorded, Source, SourceEvent};
use townlet_wire::telemetry::AuditRow;
use townlet_wire::{Request, Role, Snapshot, Status};

use crate::kit::{TIMEOUT, default_sources, options, temp_home, test_session};

/// Records that a snapshot has.
const TAIL: usize = 200;

/// Runs commands as admin.
fn execute<'a>(shard: &Handle, lines: impl IntoIterator<Item = &'a str>) {
    let admin = shard.open(test_session("test:admin", Role::Admin, false), |_| {});
    for line in lines {
        let answer = shard.ask_and_wait(admin, Request::line(line)).expect("the shard answers");
        assert_eq!(answer.status, Status::Ok, "`{line}`: {answer:?}");
    }
}

/// A shard whose log is longer than what its snapshot has of it. The first command about Ada is among the earlier lines; with the
/// last one everything before it is written.
fn long_log(home: &Path) -> Handle {
    let shard = townlet_shard::start(default_sources(&[]), 7, options(home, true)).expect("the shard starts");
    execute(&shard, ["setmoney ada 3"]);
    execute(&shard, std::iter::repeat_n("employment_status", TAIL + 40));
    execute(&shard, ["setmoney ada 4"]);
    shard
}

fn started(source: &mut dyn Source) -> Receiver<SourceEvent> {
    let (send, notices) = channel();
    source.start(Box::new(move |notice| drop(send.send(notice))));
    notices
}

/// The page that ends before the oldest record of a snapshot.
fn page(source: &mut dyn Source, notices: &Receiver<SourceEvent>, view: &Snapshot) -> Result<Vec<AuditRow>, String> {
    let oldest = &view.audit.records[0];
    let request = AuditPageRequest { id: 7, run_id: view.run_id.clone(), seq: oldest.seq, ts: oldest.ts.clone() };
    source.load_audit_page(request);
    loop {
        let notice = notices.recv_timeout(TIMEOUT).expect("a page is delivered");
        if let SourceEvent::AuditPage { id: 7, records } = notice {
            return records;
        }
    }
}

/// The lines of a page follow each other up to `last`, from the first one of the log on.
#[track_caller]
fn is_whole(page: &[AuditRow], last: u64) {
    let seqs: Vec<u64> = page.iter().map(|row| row.seq).collect();
    assert_eq!(seqs, (1..=last).collect::<Vec<_>>());
}

#[test]
fn a_local_shard_gives_earlier_records_with_names_as_they_are_shown() {
    let home = temp_home();
    let shard = Arc::new(long_log(home.path()));
    let mut source = Local::new(Arc::clone(&shard), "tui:ada".into(), false, Vec::new());
    let notices = started(&mut source);
    let view = shard.view().expect("the shard runs").0;
    assert_eq!(view.audit.records.len(), TAIL);
    let plain = page(&mut source, &notices, &view).expect("the log can be read");
    is_whole(&plain, view.audit.records[0].seq - 1);
    let args = |page: &[AuditRow]| page.iter().find(|row| row.command == "setmoney").map(|row| row.args.to_string());
    assert!(args(&plain).is_some_and(|args| args.contains("ada")), "{:?}", args(&plain));
    execute(&shard, ["privacy on"]);
    let hidden = page(&mut source, &notices, &view).expect("the log can be read");
    is_whole(&hidden, view.audit.records[0].seq - 1);
    assert!(args(&hidden).is_some_and(|args| !args.contains("ada")), "{:?}", args(&hidden));
    let other = Snapshot { run_id: "harbour-20000101-000000-000000".into(), ..view };
    let why = page(&mut source, &notices, &other).expect_err("there is no such run");
    assert!(why.contains("has no lines of harbour-20000101-000000-000000 before line"), "{why}");
    source.close();
}

#[test]
fn a_recorded_run_gives_the_records_that_its_home_has() {
    let home = temp_home();
    let shard = long_log(home.path());
    let run_id = shard.run_id.clone();
    shard.stop().expect("it is saved");
    let place = Home::new(home.path());
    let segments = Segments::open(&place.journal_files(&run_id)).expect("there is a journal");
    let recording = RecordedRun::open(&place, segments).expect("it is whole");
    let view = recording.view("paused");
    assert_eq!(view.audit.records.len(), TAIL);
    let mut source = Recorded::new(recording, Vec::new());
    let notices = started(&mut source);
    is_whole(&page(&mut source, &notices, &view).expect("the log can be read"), view.audit.records[0].seq - 1);
    std::fs::remove_dir_all(place.console()).expect("it was there");
    let why = page(&mut source, &notices, &view).expect_err("the log is gone");
    assert!(why.contains("console"), "{why}");
    source.close();
}
