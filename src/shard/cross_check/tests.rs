//! A window of the log that holds few ticks gives the same result as one that holds all.

use std::sync::mpsc::channel;

use townlet_town::Sources;
use townlet_wire::{Request, Role, Session};

use super::*;
use crate::Options;

#[test]
fn a_small_window_of_the_log_finds_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::new(folder.path());
    let sources = Sources::default_town(&[]).expect("it holds");
    let shard = crate::start(sources, 7, Options::held(home.clone())).expect("it starts");
    let (issuer, transport) = ("test".into(), "local".into());
    let session = shard.open(Session { issuer, role: Role::Admin, transport, owner: false }, |_| {});
    for round in 0..40 {
        for line in [format!("setmoney ada {round}"), "narration off".into(), "narration on".into(), "kpi".into()] {
            let (sender, answer) = channel();
            shard.ask(session, Request::line(&line), move |answer| drop(sender.send(answer)));
            assert!(answer.recv().expect("an answer").error.is_none(), "{line}");
        }
        assert_eq!(shard.run_to(17 * (round + 1), |_| true), Some(17 * (round + 1)));
    }
    let run = shard.run_id.clone();
    shard.stop().expect("it is saved");
    let check = |bytes| check(&home, &home.console(), &run, bytes, |_, _| {}).expect("the log is read");
    let whole = check(WINDOW_BYTES);
    assert_eq!((&whole.findings, whole.commands, whole.digests), (&Vec::new(), 40, 240));
    assert_eq!((whole.ticks, whole.snapshots), ([0, 680], 1));
    for bytes in [1, 3_000, 20_000] {
        assert_eq!(check(bytes), whole, "{bytes}");
    }
}
