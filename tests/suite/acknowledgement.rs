//! Alerts that an operator has acknowledged: how long that holds, also over a crash. A crash is a copy of the home folder of a shard
//! that still runs. Rule: "Audit log".

use std::path::Path;

use crate::kit::{TestShard, copy_folder, refusal, temp_home};
use townlet_audit::verify;

#[test]
fn an_acknowledged_alert_stays_acknowledged_after_a_crash_until_it_has_ended() {
    let alert = |live: &TestShard| {
        let alert = live.view().alerts.into_iter().find(|alert| alert.name == "blackout").expect("it is active");
        (alert.acknowledged_by, alert.acknowledged_tick)
    };
    let crashed = |live: &TestShard, home: &Path| {
        let copy = temp_home();
        // An answered command is durable, and with it every line before it.
        live.expect_ok("setmoney ada 3");
        copy_folder(home, copy.path());
        copy
    };
    let home = temp_home();
    let live = TestShard::new(home.path());
    live.run(5);
    live.expect_ok("blackout on");
    live.expect_ok("alert_ack blackout --reason planned");
    let seen = (Some("test:admin".to_owned()), Some(5));
    assert_eq!(alert(&live), seen);
    let home = crashed(&live, home.path());
    let live = TestShard::resumed(home.path());
    assert_eq!(alert(&live), seen);
    live.run(1);
    assert_eq!(alert(&live), seen);
    // Raised again before the restart, it has to be acknowledged again.
    live.expect_ok("blackout off");
    live.run(1);
    assert!(live.view().alerts.is_empty());
    live.expect_ok("blackout on");
    live.run(1);
    assert_eq!(alert(&live), (None, None));
    let home = crashed(&live, home.path());
    let live = TestShard::resumed(home.path());
    assert_eq!(alert(&live), (None, None));
    live.expect_ok("alert_ack blackout");
    let again = (Some("test:admin".to_owned()), Some(8));
    assert_eq!(alert(&live), again);
    let home = crashed(&live, home.path());
    assert_eq!(alert(&TestShard::resumed(home.path())), again);
    assert!(verify(&home.path().join("logs/console")).unwrap().passed());
}

#[test]
fn an_acknowledgement_ends_when_the_alert_names_somebody_else() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    let alert = || live.view().alerts.iter().find(|alert| alert.name == "starvation").cloned().unwrap();
    live.expect_ok("toggle_mortality off");
    let starve = |id: &str| {
        live.expect_ok(&format!("possess {id} wait"));
        live.expect_ok(&format!("setneed {id} hunger 0"));
        live.run(45);
    };
    starve("ada");
    live.expect_ok("alert_ack starvation");
    live.run(1);
    assert_eq!(alert().acknowledged_by.as_deref(), Some("test:admin"));
    starve("ben");
    assert_eq!((alert().message.as_str(), alert().acknowledged_by), ("starving: Ada, Ben.", None));
    live.expect_ok("alert_ack starvation");
    assert_eq!(alert().acknowledged_by.as_deref(), Some("test:admin"));
}

#[test]
fn an_acknowledgement_ends_when_more_wait_than_were_seen() {
    let home = temp_home();
    let live = TestShard::from_file(home.path(), "employment: { exit_queue_limit: 1 }\n");
    let seen = || {
        let alert = live.view().alerts.into_iter().find(|alert| alert.name == "exit_queue_overflow").unwrap();
        (alert.message, alert.acknowledged_by.is_some())
    };
    let request = |id: &str| live.expect_ok(&format!("employment_exit request {id}"));
    request("ada");
    request("ben");
    live.expect_ok("alert_ack exit_queue_overflow");
    let says = |waiting: u64| format!("{waiting} residents wait in the exit queue; its limit is 1.");
    assert_eq!(seen(), (says(2), true));
    request("cleo");
    assert_eq!(seen(), (says(3), false));
    // A screen that is behind acknowledges nobody whom it does not show.
    let acknowledge = |waiting| live.line(&format!("alert_ack exit_queue_overflow --seen \"{}\"", says(waiting)));
    let late = acknowledge(2);
    assert_eq!(refusal(&late), "E_CONFLICT");
    assert!(late.summary().contains(&says(3)), "{late:?}");
    assert_eq!(seen(), (says(3), false));
    assert!(acknowledge(3).error.is_none());
    // Fewer are no news.
    live.expect_ok("employment_exit defer ben");
    assert_eq!(seen(), (says(2), true));
    request("ben");
    assert_eq!(seen(), (says(3), true));
}
