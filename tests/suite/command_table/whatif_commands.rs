//! Cases of the commands that ask what would come of something.

use serde_json::Value;

use super::town_commands::{AGAIN, BAD, NONE, text, with};
use crate::kit::{TestShard, refusal, wait_until};
use townlet_wire::Request;

/// A question that takes long.
pub(super) const LONG: &str = "whatif spawn --samples 10000 --days 10";

pub(super) const WRONG: &[(&str, &str)] = &[
    ("whatif", BAD),
    ("whatif --samples 2", BAD),
    ("whatif spawn --samples 1", BAD),
    ("whatif spawn --days 101", BAD),
    ("whatif spawn | ", BAD),
    ("whatif spawn | | spawn", BAD),
    ("whatif approve", BAD),
    ("whatif approve nobody", NONE),
    ("whatif approve ada", NONE),
    ("whatif spwan", "E_UNKNOWN_COMMAND"),
    ("whatif pause", BAD),
    ("whatif reload_config", BAD),
    ("whatif whatif spawn", BAD),
    ("whatif set seed", BAD),
    ("whatif set employment.daily_exit_kap=1", BAD),
    ("whatif set employment.daily_exit_cap=many", BAD),
    ("whatif set world.population=9", AGAIN),
    ("whatif set perturbations.file=other.yaml", AGAIN),
    ("whatif policy", BAD),
    ("whatif policy scripted; policy shipped", BAD),
    ("whatif policy nothing", NONE),
    ("whatif spawn --samples 10000 --days 11", "E_FORBIDDEN"),
];

/// The question with this id.
fn question(live: &TestShard, id: &str) -> Value {
    live.result(&format!("whatif_status {id}"))["question"].clone()
}

/// Waits until a question is in this state.
#[track_caller]
fn wait_for_state(live: &TestShard, id: &str, state: &str) {
    wait_until(state, || text(&question(live, id), "state") == state);
}

pub(super) fn whatif() {
    with(|live| {
        live.expect_ok("employment_exit request ada");
        let before = live.digest();
        let line = "whatif approve ada | set employment.daily_exit_cap=0; spawn --samples 4 --days 1";
        let id = text(&live.result(line), "id").to_owned();
        wait_for_state(live, &id, "done");
        let done = question(live, &id);
        let answer = &done["answer"];
        assert_eq!((text(&done, "issuer"), done["samples_done"].as_u64()), ("test:admin", Some(4)));
        assert_eq!((text(answer, "digest"), answer["tick"].as_u64()), (&*before, Some(0)));
        assert_eq!(answer["alternatives"][0]["alternative"], "employment_exit approve ada");
        assert_eq!(answer["alternatives"][1]["alternative"], "set employment.daily_exit_cap=0; spawn");
        assert_eq!(answer["alternatives"][0]["partings"][0]["agent"], "ada");
        assert_eq!(text(&done, "page"), format!("ops/whatif/{id}.md"));
        assert_eq!(live.digest(), before, "the town is not changed");
        // The same question about the same town.
        let again = live.result(line);
        assert_eq!((text(&again, "id"), text(&again, "state")), (&*id, "done"));
        live.run(1);
        assert_ne!(text(&live.result(line), "id"), id);
    });
}

pub(super) fn whatif_status() {
    with(|live| {
        assert!(text(&live.result("whatif_status"), "summary").contains("nothing was asked yet"));
        let first = text(&live.result(LONG), "id").to_owned();
        let second = live.result("whatif kill ada --samples 2 --days 1");
        assert_eq!((text(&second, "state"), second["ahead"].as_u64()), ("waiting", Some(1)));
        let listed = live.result("whatif_status");
        let ids: Vec<&str> = listed["questions"].as_array().unwrap().iter().map(|row| text(row, "id")).collect();
        assert_eq!(ids, [&*first, text(&second, "id")]);
        live.expect_ok(&format!("whatif_cancel {first}"));
        wait_for_state(live, text(&second, "id"), "done");
        assert!(
            question(live, text(&second, "id"))["answer"]["alternatives"][0]["figures"].as_array().unwrap().len() > 5
        );
    });
}

pub(super) fn whatif_cancel() {
    with(|live| {
        let running = text(&live.result(LONG), "id").to_owned();
        let waiting = text(&live.result("whatif kill ada"), "id").to_owned();
        // A viewer may cancel only its own.
        assert_eq!(refusal(&live.ask(live.viewer, Request::line("whatif_cancel"))), NONE);
        let theirs = Request::line(format!("whatif_cancel {waiting}"));
        assert_eq!(refusal(&live.ask(live.viewer, theirs)), "E_FORBIDDEN");
        live.ask(live.viewer, Request::line("whatif kill hugo"));
        let own = live.ask(live.viewer, Request::line("whatif_cancel")).result.expect("it is theirs");
        assert_eq!(text(&question(live, text(&own, "id")), "state"), "cancelled");
        live.expect_ok("whatif_cancel");
        assert_eq!(text(&question(live, &waiting), "state"), "cancelled", "the newest");
        assert_eq!(live.refused(&format!("whatif_cancel {waiting}")), AGAIN);
        live.expect_ok(&format!("whatif_cancel {running}"));
        wait_for_state(live, &running, "cancelled");
        assert!(!live.shard.home().what_if().exists(), "no page of a question without an answer");
    });
}
