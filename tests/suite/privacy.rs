//! With privacy on, no name or id of a resident leaves the shard by any channel, and commands accept hashed ids.
//!
//! Every word that leaves is looked up among the names that a town can give. Screens show only what their source gives them, so the
//! source is what is read here. Rule: "Privacy mode".

use std::path::Path;

use crate::kit::{TestShard, backlog_sources, options, temp_home, text, townlet};
use townlet_town::names;
use townlet_wire::Snapshot;

/// Every word of a text that is a resident's name or id.
fn leaks(text: &str) -> Vec<&str> {
    let words = text.split(|character: char| !character.is_alphanumeric());
    words.filter(|word| names::resident(word).is_some()).collect()
}

#[track_caller]
fn silent(what: &str, text: &str) {
    assert_eq!(leaks(text), Vec::<&str>::new(), "{what}: {text}");
}

fn hidden(home: &Path) -> TestShard {
    let settings = [("telemetry.privacy.enabled", "true"), ("lifecycle.exit_cooldown_ticks", "20")];
    TestShard::from_handle(
        townlet_shard::start(backlog_sources(&settings), 7, options(home, true)).expect("the shard starts"),
    )
}

/// Command lines about two residents, valid and invalid.
fn lines(one: &str, other: &str) -> Vec<String> {
    let about = [
        "explain ONE",
        "relationship_detail ONE OTHER",
        "relationship_summary",
        "social_events",
        "rivalry_dump",
        "conflict_status",
        "employment_status",
        "employment_exit review",
        "employment_exit request ONE",
        "employment_exit approve ONE --reason \"ONE asked OTHER\"",
        "employment_exit defer OTHER",
        "set_rel ONE OTHER trust 0.5",
        "force_chat ONE OTHER",
        "arrange_meet ONE OTHER park",
        "setneed ONE hunger 0.01",
        "setmoney ONE 4.5",
        "teleport ONE park",
        "possess ONE wait",
        "release ONE",
        "release ONE",
        "kill OTHER",
        "kill OTHER",
        "ONE",
        "explain",
        "perturbation_queue",
        "queue_inspect shower_1",
        "debug queues",
        "affordance_status",
        "telemetry_snapshot",
        "health_status",
        "kpi",
    ];
    about.iter().map(|line| line.replace("ONE", one).replace("OTHER", other)).collect()
}

fn as_json(view: &Snapshot) -> String {
    serde_json::to_string(view).expect("plain data")
}

#[test]
fn telemetry_and_answers_contain_no_names() {
    let folder = temp_home();
    let live = hidden(folder.path());
    let views = live.watch();
    live.expect_ok("toggle_mortality off");
    let (mut done, mut starving) = (0, false);
    for round in 0..12 {
        live.run(250);
        let view = live.view();
        let [one, other] = [0, 1].map(|place| view.agents[place].id.clone());
        let mut all = lines(&one, &other);
        // Names typed from memory.
        all.extend(["explain ada", "kill Ben --reason \"Cleo knows\"", "setmoney dov 1", "eva"].map(str::to_owned));
        for line in all {
            let answer = live.line(&line);
            done += usize::from(answer.error.is_none());
            silent(&line, &serde_json::to_string(&answer).expect("plain data"));
        }
        // A resident that may not eat starves, and an alert names them.
        for line in ["possess WHO wait", "setneed WHO hunger 0"] {
            live.expect_ok(&line.replace("WHO", &view.agents[2].id));
        }
        live.run(35);
        let view = live.view();
        starving |= view.alerts.iter().any(|alert| alert.name == "starvation");
        silent(&format!("round {round}"), &as_json(&view));
    }
    drop(live.shard.stop());
    for view in views.try_iter() {
        silent("published", &as_json(&view));
    }
    let last = live_story(folder.path());
    assert!(done > 200, "{done} commands were done");
    assert!(starving, "somebody starves, so that an alert has somebody to name");
    assert!(!leaks(&last).is_empty(), "the audit log stays plain, so this test can see names");
}

/// The text of the audit log on disk.
fn live_story(home: &Path) -> String {
    let files = std::fs::read_dir(home.join("logs/console")).expect("there is a log");
    let files = files.map(|file| file.expect("it can be listed").path());
    files.filter_map(|file| std::fs::read_to_string(file).ok()).collect()
}

#[test]
fn commands_accept_hashed_ids() {
    let folder = temp_home();
    let live = hidden(folder.path());
    live.run(5);
    let id = live.view().agents[3].id.clone();
    assert!(names::resident(&id).is_none(), "{id}");
    live.expect_ok(&format!("setmoney {id} 7.25"));
    assert_eq!(live.view().jobs[&id].wallet.to_bits(), 7.25_f64.to_bits());
    live.expect_ok(&format!("kill {}", id.to_uppercase()));
    live.run(1);
    assert!(live.agent(&id).is_none());
    live.expect_ok("privacy off");
    let plain = live.view().agents[0].id.clone();
    assert!(names::resident(&plain).is_some(), "{plain}");
    live.expect_ok("privacy on");
    silent("switched on", &as_json(&live.view()));
}

#[test]
fn batch_reports_and_exports_contain_no_names() {
    let folder = temp_home();
    let run = |line: &str| {
        let output = townlet(folder.path(), line);
        (text(&output.stdout), text(&output.stderr))
    };
    let script = [
        (300, "setneed ada hunger 0"),
        (300, "employment_exit request ben"),
        (301, "employment_exit approve ben --reason 'Cleo said so'"),
        (302, "kill ben"),
        (700, "explain dov"),
    ];
    let script = script.map(|(tick, line)| {
        let line = line.replace('\'', "\"");
        serde_json::json!({ "tick": tick, "command": line, "cmd_id": format!("eva-{tick}-{}", line.len()) }).to_string()
    });
    std::fs::write(folder.path().join("orders.jsonl"), script.join("\n")).expect("it can be written");
    let hidden = "--headless --set telemetry.privacy.enabled=true --days 2 --script orders.jsonl";
    for (how, sentinel) in [("--json", "starving"), ("--export-audit out.jsonl", "digest")] {
        let (out, said) = run(&format!("{hidden} {how}"));
        assert!(out.contains(sentinel) || out.contains("counters"), "{out}{said}");
        silent("the report", &out);
        silent("what is said beside", &said);
    }
    let exported = std::fs::read_to_string(folder.path().join("out.jsonl")).expect("it was exported");
    assert!(exported.contains("\"redacted\":true") && exported.contains("employment_exit approve"), "{exported}");
    silent("the export of a batch", &exported);
    for format in ["jsonl", "csv"] {
        let (plain, _) = run(&format!("audit export --format {format}"));
        assert!(leaks(&plain).len() > 5, "without it names are there: {plain}");
        assert!(!plain.contains("\\u000d"), "the end of a line is no text: {plain}");
        let (redacted, said) = run(&format!("audit export --redact --format {format}"));
        assert!(redacted.contains("redacted") && redacted.contains("employment_exit approve"), "{redacted}{said}");
        silent("an export", &redacted);
    }
}
