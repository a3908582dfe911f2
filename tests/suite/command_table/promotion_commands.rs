//! Cases of the commands about candidates, the release and its rollback.

use super::town_commands::{AGAIN, BAD, Case, NONE, case, text, with};
use crate::kit::{TestShard, temp_home};

/// The cases, in the order of the table.
pub(crate) static CASES: &[Case] = &[
    case("promotion_status", &[], "promotion_status", &[], status),
    case(
        "promotion_candidate",
        &[],
        "promotion_candidate shipped",
        &[
            ("promotion_candidate", BAD),
            ("promotion_candidate nobody", NONE),
            ("promotion_candidate ../shipped", NONE),
            ("promotion_candidate scripted", AGAIN),
        ],
        candidate,
    ),
    Case {
        live: TestShard::with_eligible_candidate,
        ..case(
            "promote_policy",
            &[],
            "promote_policy shipped",
            &[("promote_policy", BAD), ("promote_policy nobody", NONE), ("promote_policy scripted", AGAIN)],
            promote,
        )
    },
    case(
        "rollback_policy",
        &["policy_swap shipped"],
        "rollback_policy --reason drill",
        &[("rollback_policy --to", BAD), ("rollback_policy --to 20200101-000000-000", NONE)],
        rollback,
    ),
    case(
        "policy_swap",
        &[],
        "policy_swap shipped --reason drill",
        &[("policy_swap", BAD), ("policy_swap nobody", NONE), ("policy_swap scripted", AGAIN)],
        swap,
    ),
    case(
        "promotion_hold",
        &[],
        "promotion_hold on --reason fair",
        &[("promotion_hold", BAD), ("promotion_hold maybe", BAD), ("promotion_hold off", AGAIN)],
        hold,
    ),
];

fn status() {
    with(|live| {
        let result = live.result("promotion_status");
        assert_eq!((text(&result["promotion"], "state"), text(&result["promotion"], "release")), ("idle", "scripted"));
        live.expect_ok("policy_swap shipped");
        let result = live.result("promotion_status");
        assert_eq!(text(&result["promotion"], "previous"), "scripted");
        assert_eq!(result["snapshots"].as_array().map(Vec::len), Some(1));
    });
}

fn candidate() {
    with(|live| {
        live.expect_ok("promotion_candidate shipped");
        let promotion = live.view().promotion;
        assert_eq!(promotion.state, "evaluating");
        assert!(promotion.candidate.is_some() && !promotion.blockers.is_empty());
        assert_eq!(live.refused("promotion_candidate shipped"), AGAIN);
    });
}

fn promote() {
    with(|live| {
        live.expect_ok("promotion_candidate shipped");
        let answer = live.line("promote_policy shipped");
        assert!(answer.error.expect("it is refused").message.contains("0 of 2 consecutive green windows"));
    });
    let home = temp_home();
    let live = TestShard::with_eligible_candidate(home.path());
    live.expect_ok("promote_policy shipped");
    let view = live.view();
    assert_eq!((&*view.promotion.state, view.promotion.previous.as_deref()), ("canary", Some("scripted")));
    assert_eq!((&view.policy.id, &*view.policy.kind), (&view.promotion.release, "network"));
}

fn rollback() {
    with(|live| {
        assert_eq!(live.refused("rollback_policy"), AGAIN);
        live.expect_ok("policy_swap shipped");
        let saved = live.result("promotion_status")["snapshots"][0].as_str().expect("it was saved").to_owned();
        live.expect_ok("rollback_policy --reason drill");
        let view = live.view();
        assert_eq!((&*view.policy.id, &*view.promotion.state), ("scripted", "rolled_back"));
        live.expect_ok("policy_swap shipped");
        live.expect_ok(&format!("rollback_policy --to {saved}"));
        assert_eq!(live.view().policy.id, "scripted");
    });
}

fn swap() {
    with(|live| {
        live.expect_ok("policy_swap shipped --reason drill");
        let view = live.view();
        assert_eq!((&*view.policy.kind, &*view.promotion.state), ("network", "canary"));
        assert!(view.promotion.history.iter().any(|step| step.why.contains("forced: drill")));
    });
}

fn hold() {
    with(|live| {
        live.expect_ok("promotion_hold on --reason fair");
        assert_eq!(live.view().promotion.state, "held");
        assert_eq!(live.refused("promotion_candidate shipped"), AGAIN);
        live.expect_ok("promotion_hold off");
        assert_eq!(live.view().promotion.state, "idle");
    });
}
