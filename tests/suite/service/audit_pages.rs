//! Earlier records of the audit log from a remote shard.

use townlet_source::{AuditPageRequest, Link, Remote, Source, SourceEvent};
use townlet_wire::{Request, Role};

use super::client::Served;
use super::{deliveries, until};
use crate::kit::test_session;

#[test]
fn a_remote_source_gives_earlier_records_of_the_run_or_says_why_not() {
    let mut served = Served::start();
    let session = served.shard.open(test_session("test:admin", Role::Admin, false), |_| {});
    // With the answer to the last one everything before it is written.
    for line in std::iter::repeat_n("employment_status", 240).chain(["setmoney ada 4"]) {
        served.shard.ask_and_wait(session, Request::line(line)).expect("the shard answers");
    }
    let mut source = Remote::new(served.client(Some(&served.viewer)));
    let notices = deliveries(&mut source);
    until(&notices, "a live connection", |notice| matches!(notice, SourceEvent::Link(Link::Live { .. })).then_some(()));
    let view = served.shard.view().expect("the shard runs").0;
    let oldest = &view.audit.records[0];
    assert!(oldest.seq > 40, "the snapshot has the end of the log");
    let request = AuditPageRequest { id: 1, run_id: view.run_id.clone(), seq: oldest.seq, ts: oldest.ts.clone() };
    let page = |source: &mut Remote, request: AuditPageRequest| {
        let wanted = request.id;
        source.load_audit_page(request);
        until(&notices, "a page", |notice| match notice {
            SourceEvent::AuditPage { id, records } if id == wanted => Some(records),
            _ => None,
        })
    };
    let rows = page(&mut source, request.clone()).expect("the shard has them");
    let seqs: Vec<u64> = rows.iter().map(|row| row.seq).collect();
    assert_eq!(seqs, (1..oldest.seq).collect::<Vec<_>>());
    let other = AuditPageRequest { id: 2, run_id: "another".into(), ..request.clone() };
    assert_eq!(page(&mut source, other), Ok(Vec::new()), "only lines of the run");
    // A shard refuses a query that it does not know.
    let refused = AuditPageRequest { id: 3, ts: "yesterday".into(), ..request.clone() };
    let why = page(&mut source, refused).expect_err("it is refused");
    assert!(why.contains("older than this program"), "{why}");
    let address = served.server.address().to_string();
    served.server.stop();
    let why = page(&mut source, AuditPageRequest { id: 4, ..request }).expect_err("nobody answers");
    assert!(why.contains(&address), "{why}");
    source.close();
}
