//! What the commands about employment exits do: the queue, decisions, the cap, and approvals that are taken back.

use townlet_wire::{Request, Role};

use super::town_commands::{AGAIN, count, text, with};
use crate::kit::{TestShard, temp_home, test_session};

pub(crate) fn employment_status() {
    with(|live| {
        assert_eq!(live.result("employment_status")["pending_count"], 0);
        live.expect_ok("employment_exit request ada");
        let mut result = live.result("employment_status");
        assert!(text(&result, "summary").starts_with("1 pending (limit "));
        result.as_object_mut().unwrap().remove("summary");
        assert_eq!(result, serde_json::to_value(live.view().employment).unwrap());
        assert_eq!(result["pending"], serde_json::json!(["ada"]));
    });
}

pub(crate) fn exit_review() {
    with(|live| {
        assert_eq!(live.result("employment_exit review")["queue"], serde_json::json!([]));
        live.expect_ok("employment_exit request ada");
        live.run(10);
        let queue = &live.result("employment_exit review")["queue"];
        assert_eq!((text(&queue[0], "agent"), text(&queue[0], "reason")), ("ada", "operator_request"));
        assert_eq!((queue[0]["waiting_ticks"].as_u64(), queue[0]["approved"].as_bool()), (Some(10), Some(false)));
    });
}

pub(crate) fn exit_request() {
    with(|live| {
        assert!(live.view().employment.pending.is_empty());
        live.expect_ok("employment_exit request ada");
        let view = live.view();
        assert_eq!(view.employment.pending, ["ada"]);
        assert!(view.jobs["ada"].exit_pending && count(&view, "employment_exit_pending") == 1);
        assert_eq!(live.refused("employment_exit request ada"), AGAIN);
    });
}

/// Stops the shard and reads its operators' log.
fn decisions(live: &TestShard) -> String {
    live.shard.stop().expect("it stops");
    std::fs::read_to_string(live.shard.home().employment_log()).expect("the log is there")
}

pub(crate) fn exit_approve() {
    with(|live| {
        live.expect_ok("employment_exit request ada");
        let answer = live.expect_ok("employment_exit approve ada --reason \"moved | away\"");
        let view = live.view();
        assert!(view.employment.queue[0].approved && count(&view, "employment_exit_manual_request") == 1);
        assert_eq!(live.refused("employment_exit approve ada"), AGAIN);
        live.run(1);
        let view = live.view();
        assert!(live.agent("ada").is_none() && view.employment.pending.is_empty());
        assert_eq!((view.employment.exits_today, count(&view, "employment_exit_processed")), (1, 1));
        let log = decisions(live);
        let row = log.lines().find(|line| line.contains(&answer.cmd_id)).expect("the decision is written down");
        assert!(row.contains("| test:admin | approve | ada | moved \\| away |"), "{row}");
    });
}

pub(crate) fn exit_defer() {
    with(|live| {
        live.expect_ok("employment_exit request ada");
        let answer = live.expect_ok("employment_exit defer ada");
        let view = live.view();
        assert!(view.employment.pending.is_empty() && !view.jobs["ada"].exit_pending);
        assert_eq!(count(&view, "employment_exit_deferred"), 1);
        live.run(2);
        assert!(live.agent("ada").is_some());
        assert!(decisions(live).contains(&format!("| defer | ada |  | {} |", answer.cmd_id)));
    });
}

pub(crate) fn set_exit_cap() {
    with(|live| {
        assert_ne!(live.view().employment.daily_exit_cap, 5);
        let answer = live.expect_ok("set_exit_cap 5");
        assert_eq!(live.view().employment.daily_exit_cap, 5);
        // The limit on exits of all causes is 2, so a higher employment cap has less effect.
        assert!(answer.summary().contains("`lifecycle.max_exits_per_day`"), "{}", answer.summary());
        let answer = live.expect_ok("set_exit_cap 1");
        assert!(!answer.summary().contains("max_exits_per_day"), "{}", answer.summary());
        // The alert counts the exits of the day and those who are not approved.
        live.expect_ok("set_exit_cap 0");
        live.expect_ok("employment_exit request ada");
        live.run(1);
        let alert = live.view().alerts.into_iter().find(|alert| alert.name == "exit_cap_reached").expect("it stands");
        assert_eq!(alert.message, "exit cap reached: 0 exits today, limit 0; 1 resident waits.");
        // The limit on exits of all causes is named when it holds them.
        live.expect_ok("set_exit_cap 5");
        live.expect_ok("kill ben");
        live.expect_ok("kill cleo");
        live.run(1);
        let view = live.view();
        assert_eq!((view.employment.all_exits_today, view.employment.all_exits_cap), (2, Some(2)));
        let alert = view.alerts.into_iter().find(|alert| alert.name == "exit_cap_reached").expect("it stands");
        assert_eq!(alert.message, "exit cap reached: 2 exits of all causes today, limit 2; 1 resident waits.");
        let status = live.expect_ok("employment_status");
        let held = "0 of 5 exits today. The limit on exits of all causes is reached: 2 exits today, limit 2.";
        assert!(status.summary().ends_with(held), "{}", status.summary());
    });
}

#[test]
fn a_deferral_says_whose_approval_it_takes_back() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    let other = live.shard.open(test_session("test:other", Role::Admin, false), |_| {});
    let plain = "Ada stays; the entry is removed and 0 absences are forgiven.";
    live.expect_ok("employment_exit request ada");
    assert_eq!(live.expect_ok("employment_exit defer ada").summary(), plain);
    live.expect_ok("employment_exit request ada");
    live.expect_ok("employment_exit approve ada");
    let line = "employment_exit defer ada";
    let preview = live.ask(other, Request { dry_run: true, ..Request::line(line) });
    let answer = live.ask(other, Request::line(line));
    let said = "Ada stays; the approval is taken back, the entry is removed and 0 absences are forgiven. It was the approval of \
                test:admin.";
    assert_eq!((preview.summary().as_str(), answer.summary().as_str()), (said, said));
    // The approval before counts no longer.
    live.expect_ok("employment_exit request ada");
    assert_eq!(live.expect_ok(line).summary(), plain);
    live.shard.stop().expect("it is saved");
    let mut issuers = Vec::new();
    let read = townlet_audit::records(&home.path().join("logs/console"), |_, _, record| {
        let record = record.expect("the log is whole");
        if record.result.as_ref().is_some_and(|result| result["summary"] == said) {
            issuers.push(record.issuer);
        }
        Ok(())
    });
    read.expect("it is read");
    assert_eq!(issuers, ["test:other"]);
}
