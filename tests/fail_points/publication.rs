//! What readers see of a command once it is answered, while the publisher is still at work on an older state.
//!
//! A fail point holds the publisher between the copy of a state and its snapshot. Rules: "Telemetry", "Privacy mode".

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::kit::{TIMEOUT, TestShard, temp_home, wait_until};
use fail::FailScenario;
use townlet_wire::{Request, Snapshot};

/// A publisher that is held at a state until this value is dropped.
struct HeldPublisher {
    _release: Sender<()>,
}

impl HeldPublisher {
    /// Waits until the publisher has a state from before anything that follows.
    fn with_a_state_of(live: &TestShard) -> Self {
        let (release, released) = channel::<()>();
        let (reach, reached) = channel();
        let released = Mutex::new(released);
        let hold = move || {
            let _ = reach.send(());
            let _ = released.lock().expect("no test fails here").recv();
        };
        fail::cfg_callback("publisher_build", hold).expect("it can be held");
        live.expect_ok("setmoney ada 1");
        reached.recv_timeout(TIMEOUT).expect("a state is published");
        Self { _release: release }
    }
}

fn next(views: &Receiver<Seen>) -> Seen {
    views.recv_timeout(TIMEOUT).expect("a state or an answer")
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    View { hidden: bool },
    Answer,
}

fn is_hidden(view: &Snapshot) -> bool {
    view.agents.iter().all(|agent| agent.id != "ada")
}

#[test]
fn names_from_before_privacy_are_shown_to_nobody_after_the_answer() {
    let _scenario = FailScenario::setup();
    let home = temp_home();
    let live = TestShard::paused(home.path());
    let (sender, seen) = channel();
    let to_view = sender.clone();
    live.shard.subscribe(move |view| drop(to_view.send(Seen::View { hidden: is_hidden(&view) })));
    assert_eq!(next(&seen), Seen::View { hidden: false });
    let held = HeldPublisher::with_a_state_of(&live);
    live.shard.ask(live.admin, Request::line("privacy on"), move |_| drop(sender.send(Seen::Answer)));
    let is_written = |view: &Snapshot| {
        let mut rows = view.audit.records.iter();
        is_hidden(view) && rows.any(|row| row.command == "privacy" && row.stage == "outcome")
    };
    wait_until("the command is done", || is_written(&live.view()));
    // An answer that waits for nothing else would be sent before this.
    live.view();
    drop(held);
    let before: Vec<_> = std::iter::from_fn(|| Some(next(&seen)).filter(|it| *it != Seen::Answer)).collect();
    assert!(before.contains(&Seen::View { hidden: false }), "the publisher had a state with names");
    assert_eq!(before.last(), Some(&Seen::View { hidden: true }), "the change is out with the answer");
    live.expect_ok("spawn");
    assert_eq!(next(&seen), Seen::View { hidden: true });
}

#[test]
fn a_new_subscriber_gets_no_state_from_before_its_subscription() {
    let _scenario = FailScenario::setup();
    let home = temp_home();
    let live = TestShard::paused(home.path());
    live.watch().recv_timeout(TIMEOUT).expect("a state");
    let held = HeldPublisher::with_a_state_of(&live);
    live.expect_ok("spawn");
    let (views, residents) = (live.watch(), live.view().agents.len());
    drop(held);
    let first = views.recv_timeout(TIMEOUT).expect("a state");
    assert_eq!(first.agents.len(), residents, "the state from before the spawn went to it");
}
