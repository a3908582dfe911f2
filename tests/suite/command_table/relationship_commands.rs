//! Cases of the commands about relationships.

use super::town_commands::{BAD, Case, NONE, case, text, with};
use crate::kit::{TestShard, temp_home};

/// The cases, in the order of the table.
pub(crate) static CASES: &[Case] = &[
    case("relationship_summary", &[], "relationship_summary", &[], summary),
    case(
        "relationship_detail",
        &[],
        "relationship_detail ada",
        &[("relationship_detail", BAD), ("relationship_detail nobody", NONE)],
        detail,
    ),
    case("rivalry_dump", &[], "rivalry_dump", &[], rivalries),
    case("conflict_status", &[], "conflict_status", &[], conflict),
    case("social_events", &[], "social_events", &[], social_events),
    case(
        "set_rel",
        &[],
        "set_rel ada ben trust 0.5",
        &[
            ("set_rel ada ben trust", BAD),
            ("set_rel ada ben love 0.5", BAD),
            ("set_rel ada ben trust 1.5", BAD),
            ("set_rel nobody ben trust 0.5", NONE),
            ("set_rel ada nobody trust 0.5", NONE),
        ],
        set_rel,
    ),
    case(
        "force_chat",
        &[],
        "force_chat ada ben",
        &[("force_chat ada", BAD), ("force_chat ada nobody", NONE), ("force_chat nobody ben", NONE)],
        force_chat,
    ),
];

/// Trust, familiarity and rivalry of the tie from `agent` to `other` in telemetry.
fn tie(live: &TestShard, agent: &str, other: &str) -> Option<(f64, f64, f64)> {
    let ties = live.view().relationships.ties;
    ties.iter()
        .find(|tie| tie.agent == agent && tie.other == other)
        .map(|tie| (tie.trust, tie.familiarity, tie.rivalry))
}

fn summary() {
    with(|live| {
        assert!(text(&live.result("relationship_summary"), "summary").starts_with("0 ties"));
        live.expect_ok("set_rel ada ben trust 0.6");
        live.expect_ok("set_rel ada cleo rivalry 0.6");
        let result = live.result("relationship_summary");
        assert_eq!(text(&result, "summary"), "2 ties: 1 of trust, 0 of mistrust, 1 of rivalry over 0.3.");
        let residents = result["residents"].as_array().unwrap();
        let ada = residents.iter().find(|it| text(it, "agent") == "ada").unwrap();
        assert_eq!((text(ada, "friend"), text(ada, "rival"), ada["ties"].as_u64()), ("ben", "cleo", Some(2)));
    });
}

fn detail() {
    with(|live| {
        live.expect_ok("set_rel ada ben trust 0.6");
        live.expect_ok("set_rel cleo ada rivalry 0.4");
        let result = live.result("relationship_detail Ada");
        assert_eq!(text(&result, "summary"), "Ada: outgoing ties 1, incoming ties 1.");
        assert_eq!((text(&result["ties"][0], "other"), text(&result["towards"][0], "agent")), ("ben", "cleo"));
        let seen = live.agent("ada").unwrap().personality;
        assert_eq!(result["personality"], serde_json::to_value(seen).unwrap());
    });
}

fn rivalries() {
    with(|live| {
        assert_eq!(live.result("rivalry_dump")["rivalries"], serde_json::json!([]));
        live.expect_ok("set_rel ada ben rivalry 0.4");
        live.expect_ok("set_rel ben cleo rivalry 0.9");
        let result = live.result("rivalry_dump");
        assert!(text(&result, "summary").starts_with("rivalries: 2, of them 1 at or over 0.7"), "{result}");
        assert_eq!(text(&result["rivalries"][0], "agent"), "ben");
    });
}

fn conflict() {
    with(|live| {
        assert!(text(&live.result("conflict_status"), "summary").starts_with("today: queue conflicts 0, quarrels 0"));
        live.run(990);
        let result = live.result("conflict_status");
        assert!(result["today"]["quarrels"].as_u64() > Some(0), "{result}");
        assert_eq!(result["conflict"], serde_json::to_value(live.view().conflict).unwrap());
    });
}

fn social_events() {
    with(|live| {
        assert_eq!(live.result("social_events")["events"], serde_json::json!([]));
        live.expect_ok("force_chat ada ben");
        let result = live.result("social_events");
        assert!(text(&result["events"][0], "event").starts_with("chat_"), "{result}");
    });
}

fn set_rel() {
    with(|live| {
        for (aspect, value) in [("trust", 0.5), ("familiarity", -0.25), ("rivalry", 1.0)] {
            live.expect_ok(&format!("set_rel ada ben {aspect} {value}"));
        }
        assert_eq!((tie(live, "ada", "ben"), tie(live, "ben", "ada")), (Some((0.5, -0.25, 1.0)), None));
        assert_eq!(live.refused("set_rel ada ada trust 0.5"), BAD);
    });
}

fn force_chat() {
    with(|live| {
        assert_eq!(tie(live, "ada", "ben"), None);
        live.expect_ok("force_chat ada ben");
        let view = live.view();
        assert_eq!(view.events.iter().filter(|it| it.event.starts_with("chat_")).count(), 1);
        assert!(tie(live, "ada", "ben").is_some() && tie(live, "ben", "ada").is_some());
        assert_eq!(live.refused("force_chat ada ada"), BAD);
    });
}

#[test]
fn an_unknown_resident_is_answered_with_a_command_that_lists_all() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    live.expect_ok("kill ada");
    for line in ["explain ada", "setmoney ada 3"] {
        let error = live.line(line).error.expect("a refusal");
        assert_eq!(error.code, "E_NOT_FOUND", "{line}");
        let named = error.hint.split('`').nth(1).unwrap_or_else(|| panic!("{line}: {error:?}"));
        let listed = live.result(named).to_string();
        for agent in live.view().agents {
            assert!(listed.contains(&format!("\"{}\"", agent.id)), "{line}: `{named}` omits {}: {listed}", agent.id);
        }
    }
}
