//! Questions about the running town over HTTP: one is asked with a token and looked at until it is answered; names stay hidden.

use serde_json::{Value, json};
use townlet_wire::service::WHAT_IF;
use townlet_wire::whatif::{WhatIfProgress, WhatIfState};

use super::client::Served;
use crate::kit::wait_until;

fn question(alternatives: &[&str], cmd_id: &str) -> String {
    json!({ "alternatives": alternatives, "samples": 2, "days": 1, "cmd_id": cmd_id }).to_string()
}

/// Asks as a viewer and waits for the answer.
fn answered(served: &Served, body: &str) -> Value {
    let asked = served.post_to(WHAT_IF, &served.viewer(), body);
    assert_eq!(asked.status, 200, "{}", asked.body);
    let id = asked.json()["result"]["id"].as_str().expect("an id").to_owned();
    let mut shown = Value::Null;
    wait_until("an answer", || {
        shown = served.get(&format!("{WHAT_IF}?id={id}"), &served.viewer()).json()["result"]["question"].clone();
        shown["state"] == "done"
    });
    shown
}

#[test]
fn a_question_is_asked_once_and_looked_at_until_it_is_answered() {
    let served = Served::start();
    let before = served.digest();
    let body = question(&["kill ada", "spawn; set employment.daily_exit_cap=1"], "ask-1");
    let shown: WhatIfProgress = serde_json::from_value(answered(&served, &body)).expect("the published type");
    assert_eq!((shown.state, shown.samples_done, shown.answer.alternatives.len()), (WhatIfState::Done, 2, 2));
    assert!(shown.answer.alternatives.iter().all(|it| it.figures.len() > 5 && !it.partings.is_empty()));
    assert!(shown.issuer.starts_with("token:"), "{}", shown.issuer);
    let again = served.post_to(WHAT_IF, &served.viewer(), &body);
    assert_eq!((again.status, again.json()["replayed"].clone()), (200, json!(true)), "{}", again.body);
    let listed = served.get(WHAT_IF, "").json();
    assert_eq!(listed["result"]["questions"].as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(served.digest(), before);
    let stages: Vec<Value> =
        served.log().iter().filter(|it| it.command == "whatif").map(|it| json!(it.stage)).collect();
    assert_eq!(stages, ["intent", "outcome", "rejected"]);
}

#[test]
fn a_question_that_is_not_possible_is_refused() {
    let served = Served::start();
    let (viewer, asked) = (served.viewer(), question(&["kill ada"], "ask-1"));
    for (headers, body, status, code) in [
        ("", &*asked, 403, "E_FORBIDDEN"),
        (&*viewer, &json!({ "alternatives": ["kill ada"] }).to_string(), 400, "E_CMD_ID_REQUIRED"),
        (&*viewer, &question(&[], "ask-2"), 400, "E_INVALID_ARG"),
        (&*viewer, &question(&["kill nobody"], "ask-2"), 404, "E_NOT_FOUND"),
        (&*viewer, &question(&["speed max"], "ask-2"), 400, "E_INVALID_ARG"),
        (&*viewer, &question(&["set world.population=9"], "ask-2"), 409, "E_CONFLICT"),
        (&*viewer, r#"{"alternatives": ["kill ada"], "sample": 2}"#, 400, "E_INVALID_ARG"),
        (&*viewer, "[]", 400, "E_INVALID_ARG"),
    ] {
        let reply = served.post_to(WHAT_IF, headers, body);
        assert_eq!((reply.status, &*reply.code()), (status, code), "{body}: {}", reply.body);
    }
    let unknown = served.get(&format!("{WHAT_IF}?id=harbour-0-none"), "");
    assert_eq!((unknown.status, &*unknown.code()), (404, "E_NOT_FOUND"), "{}", unknown.body);
    let query = served.get(&format!("{WHAT_IF}?ids=x"), "");
    assert_eq!((query.status, &*query.code()), (400, "E_INVALID_ARG"), "{}", query.body);
    assert!(!served.home.path().join("ops/whatif").exists());
}

#[test]
fn answers_hide_names_while_privacy_is_on() {
    let served = Served::with_settings(&[("telemetry.privacy.enabled", "on")]);
    let ada = served.shard.names().pseudonym(townlet_town::ResidentId(0));
    let shown = answered(&served, &question(&[&format!("kill {ada}")], "ask-1"));
    let text = shown.to_string().to_lowercase();
    assert!(text.contains(&format!("kill {ada}")), "{text}");
    assert!(text.split(|letter: char| !letter.is_alphanumeric()).all(|word| word != "ada"), "{text}");
}
