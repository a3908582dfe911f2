//! `townlet telemetry check`: valid and invalid payloads, messages and files.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use townlet_shard::publish::StreamItem;

use super::schema::{golden, root};
use crate::kit::{TIMEOUT, TestShard, command, temp_home};

fn townlet(arguments: &[&str]) -> Output {
    command(Path::new("."), arguments.iter().copied()).output().expect("the program runs")
}

fn check(path: &Path) -> (i32, String) {
    let output = townlet(&["telemetry", "check", path.to_str().unwrap()]);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), text)
}

fn fixed() -> Value {
    golden().into_iter().find(|(name, _)| name == "fixed-names.json").unwrap().1
}

#[test]
fn published_payloads_pass_as_a_folder() {
    let folder = root().join("tests/golden/telemetry-0.2.0");
    let (status, text) = check(&folder);
    assert_eq!((status, text.lines().count()), (0, golden().len()), "{text}");
    assert!(text.lines().all(|line| line.ends_with(": snapshot 0.2.0: valid")), "{text}");
}

/// A snapshot of schema 0.2.0 as another producer writes it: residents' jobs, the economy's stock and the employment queue.
fn of_another_producer() -> Value {
    let job = json!({
        "job_id": "grocer", "on_shift": false, "wallet": 0.2, "lateness_counter": 0, "wages_earned": 0, "meals_cooked": 0,
        "meals_consumed": 2, "basket_cost": 0.62, "shift_state": "pre_shift", "attendance_ratio": 0.0,
        "late_ticks_today": 0, "absent_shifts_7d": 0, "wages_withheld": 0.0, "exit_pending": false,
    });
    let employment = json!({
        "pending": [], "pending_count": 0, "exits_today": 0, "daily_exit_cap": 2, "queue_limit": 8, "review_window": 1440,
    });
    json!({
        "schema_version": "0.2.0",
        "jobs": { "rosa": job.clone(), "emil": job },
        "economy": { "bed_1": { "type": "bed", "stock": { "sleep_slots": 1 } }, "shower_1": { "type": "shower", "stock": {} } },
        "employment": employment,
        "events": [{ "event": "affordance_fail", "tick": 30, "agent_id": "rosa", "reason": "insufficient_stock" }],
    })
}

#[test]
fn another_producer_needs_only_the_common_names() {
    let home = temp_home();
    let path = home.path().join("payload.json");
    let check_with = |value: &Value, flags: &[&str]| {
        std::fs::write(&path, value.to_string()).unwrap();
        let output = townlet(&[&["telemetry", "check", path.to_str().unwrap()], flags].concat());
        (output.status.code().unwrap(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (status, text) = check_with(&of_another_producer(), &[]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains(" valid, without ") && text.contains("--strict-own"), "{text}");
    let (status, text) = check_with(&of_another_producer(), &["--strict-own"]);
    assert_eq!(status, 1, "{text}");
    for missing in ["$.kpis: is missing", "$.jobs.rosa.tenure_days: is missing"] {
        assert!(text.contains(missing), "{missing}\n{text}");
    }
    // Its own common names and every type still count.
    let cases: [(Change<'_>, &str); 7] = [
        (&|it| drop(it.as_object_mut().unwrap().shift_remove("economy")), "$.economy: is missing"),
        (&|it| it["jobs"]["rosa"] = json!({}), "$.jobs.rosa.wages_withheld: is missing"),
        (&|it| it["employment"] = json!({}), "$.employment.review_window: is missing"),
        (&|it| it["economy"]["bed_1"] = json!({ "type": "bed" }), "$.economy.bed_1.stock: is missing"),
        (&|it| it["events"][0] = json!({ "event": "x" }), "$.events[0].tick: is missing"),
        (&|it| it["tick"] = json!("soon"), "$.tick: expected integer, found string"),
        (&|it| it["jobs"]["emil"]["tenure_days"] = json!("long"), "$.jobs.emil.tenure_days: expected"),
    ];
    for (change, says) in cases {
        let mut payload = of_another_producer();
        change(&mut payload);
        let (status, text) = check_with(&payload, &[]);
        assert!(status == 1 && text.contains(says), "{says}\n{text}");
    }
    // What this program writes has all of its names.
    let (status, text) = check_with(&fixed(), &["--strict-own"]);
    assert_eq!(status, 0, "{text}");
}

type Change<'a> = &'a dyn Fn(&mut Value);

#[test]
fn mistakes_are_reported_with_their_path() {
    let home = temp_home();
    let path = home.path().join("payload.json");
    let tell = |change: &dyn Fn(&mut Value)| {
        let mut payload = fixed();
        change(&mut payload);
        std::fs::write(&path, payload.to_string()).unwrap();
        check(&path)
    };
    let gone = |value: &mut Value, name: &str| drop(value.as_object_mut().unwrap().shift_remove(name));
    let cases: [(Change<'_>, &str); 9] = [
        (&|it| gone(it, "employment"), "$.employment: is missing"),
        (&|it| gone(&mut it["jobs"]["ada"], "wallet"), "$.jobs.ada.wallet: is missing"),
        (&|it| it["jobs"]["ada"]["wallet"] = json!("much"), "$.jobs.ada.wallet: expected number, found string"),
        (&|it| it["employment"]["pending"] = json!([1]), "$.employment.pending[0]: expected string, found number"),
        (&|it| it["tick"] = json!(-1), "$.tick: -1 is below the minimum of 0"),
        (&|it| it["schema_version"] = json!("0.3.0"), "$.schema_version: \"0.3.0\" is not a known version"),
        (&|it| gone(it, "schema_version"), "$.schema_version: is missing"),
        (&|it| *it = json!([]), "$.schema_version: is missing"),
        (
            &|it| {
                let events = it.as_object_mut().unwrap().shift_remove("perturbation_events").unwrap_or_default();
                it["shocks"] = events;
            },
            "$: `shocks` is now `perturbation_events`",
        ),
    ];
    for (change, says) in cases {
        let (status, text) = tell(change);
        assert_eq!(status, 1, "{text}");
        assert!(text.contains(says), "{says}\n{text}");
    }
}

#[test]
fn unreadable_files_do_not_hide_the_results_of_others() {
    let home = temp_home();
    let (good, bad) = (home.path().join("a.json"), home.path().join("b.json"));
    std::fs::write(&good, fixed().to_string()).unwrap();
    std::fs::write(&bad, "{\"tick\": ").unwrap();
    let (status, text) = check(home.path());
    assert_eq!(status, 2);
    assert!(text.contains("a.json: snapshot 0.2.0: valid") && text.contains("b.json: invalid JSON"), "{text}");
    assert_eq!(check(&home.path().join("none.json")).0, 2);
    let empty = home.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert_eq!(check(&empty).0, 2);
}

#[test]
fn states_and_messages_of_a_running_town_pass() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    let stream = live.shard.stream(None, || {});
    let folder = home.path().join("payloads");
    std::fs::create_dir(&folder).unwrap();
    let mut files = Vec::new();
    for ticks in [0_u64, 40, 900, 1_500] {
        live.run(ticks);
        let file = folder.join(format!("{ticks}.json"));
        std::fs::write(&file, serde_json::to_string(&live.view()).unwrap()).unwrap();
        files.push(file);
    }
    let mut messages = String::new();
    let mut tick = 0;
    while tick < 2_440 {
        let StreamItem::Message(message) = stream.next(TIMEOUT) else { panic!("no message of tick 2440") };
        let value: Value = serde_json::from_str(&message.text).unwrap();
        tick = value["tick"].as_u64().unwrap();
        messages.push_str(&message.text);
        messages.push('\n');
    }
    files.push(folder.join("stream.jsonl"));
    std::fs::write(files.last().unwrap(), &messages).unwrap();
    let named: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
    let output = townlet(&[&["telemetry", "check"][..], &named].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(messages.lines().count() > 1 && text.lines().count() == 4 + messages.lines().count(), "{text}");
    assert!(text.lines().all(|line| line.ends_with(" 0.2.0: valid")), "{text}");
}

#[test]
fn json_report_has_paths_and_verdicts() {
    let home = temp_home();
    let path = home.path().join("payload.jsonl");
    let mut wrong = fixed();
    wrong["day"] = json!(null);
    let answer = json!({ "cmd_id": "1", "command": "telemetry_snapshot", "status": "ok", "result": fixed() });
    std::fs::write(&path, format!("{}\n\n{wrong}\n{answer}\n", fixed())).unwrap();
    let output = townlet(&["telemetry", "check", "--json", path.to_str().unwrap()]);
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let passed: Vec<&Value> = rows.as_array().unwrap().iter().map(|row| &row["passed"]).collect();
    assert_eq!((output.status.code(), passed), (Some(1), vec![&json!(true), &json!(false), &json!(true)]));
    assert_eq!(rows[1]["mistakes"][0]["path"], "$.day");
    assert_eq!(rows[2]["kind"], "answer");
}

#[test]
fn stream_messages_are_checked_against_their_schema() {
    let home = temp_home();
    let path = home.path().join("message.json");
    let message = |kind: &str, payload: Value| {
        json!({
            "schema_version": "0.2.0", "config_id": "a", "shard": "b", "epoch": 1, "seq": 2, "prev_seq": 1, "tick": 3,
            "kind": kind, "payload": payload,
        })
    };
    let mut wrong = fixed();
    wrong["day"] = json!("two");
    let cases = [
        (message("snapshot", fixed()), 0, "message 0.2.0: valid"),
        (message("diff", json!({ "tick": 4, "kpis": { "remove": ["a"] } })), 0, "valid"),
        (message("snapshot", wrong), 1, "$.payload.day: "),
        (message("diff", json!({ "tick": "four" })), 1, "$.payload.tick: "),
        (message("gossip", json!({})), 1, "$: matches none of the allowed forms ($.kind: expected \"snapshot\""),
    ];
    for (value, expected, says) in cases {
        std::fs::write(&path, value.to_string()).unwrap();
        let (status, text) = check(&path);
        assert!(status == expected && text.contains(says), "{says}\n{text}");
    }
}

#[test]
fn a_snapshot_of_a_thousand_residents_passes() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    live.run(500);
    let mut state = serde_json::to_value(live.view()).unwrap();
    let agents: Vec<Value> = state["agents"].as_array().unwrap().iter().cycle().take(1_000).cloned().collect();
    let job = state["jobs"].as_object().unwrap().values().next().unwrap().clone();
    let jobs = (0..1_000).map(|number| (format!("resident-{number}"), job.clone())).collect();
    (state["agents"], state["jobs"]) = (agents.into(), Value::Object(jobs));
    let file = home.path().join("large.json");
    std::fs::write(&file, state.to_string()).unwrap();
    let (status, text) = check(&file);
    assert_eq!(status, 0, "{text}");
}

#[test]
fn a_large_payload_takes_no_memory_beside_its_text() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    live.run(500);
    let mut state = serde_json::to_value(live.view()).unwrap();
    let agents: Vec<Value> = state["agents"].as_array().unwrap().iter().cycle().take(2_000).cloned().collect();
    state["agents"] = agents.into();
    let text = state.to_string();
    let mut found = None;
    let cost = allocation_counter::measure(|| found = townlet::cli::foreign_files::payloads(&text).ok());
    assert_eq!(found, Some(0));
    assert!(text.len() > 2_000_000 && cost.bytes_max < 1_500_000, "{} of {}", cost.bytes_max, text.len());
}

#[test]
fn a_long_report_is_printed_whole() {
    let home = temp_home();
    let path = home.path().join("payloads.jsonl");
    let line = json!({ "schema_version": "0.1.0", "é": "\u{202e}" }).to_string();
    std::fs::write(&path, format!("{line}\n").repeat(2_000)).unwrap();
    let output = townlet(&["telemetry", "check", "--json", path.to_str().unwrap()]);
    assert!(output.status.code() == Some(1) && output.stdout.len() > 300_000, "{}", output.stdout.len());
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows.len(), 2_000);
    assert!(rows.iter().all(|row| row["mistakes"][0]["path"] == "$.schema_version"), "{}", rows[0]);
    let last = rows.last().map(|row| row["file"].as_str().unwrap().to_owned());
    assert!(last.is_some_and(|name| name.ends_with("payloads.jsonl:2000")));
}
