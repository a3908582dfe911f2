//! `townlet whatif`, and questions about a running town: the same question has the same answer from both and on any number of threads,
//! the town is not changed, and what cannot be answered is refused before anything is written.
//!
//! Rule: "What if".

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use townlet_shard::Options;
use townlet_wire::whatif::WhatIfAnswer;
use townlet_wire::{Request, Status};

use crate::kit::{
    TestShard, audit_log, command, default_sources, files_below, options, refusal, temp_home, text, townlet, wait_until,
};

/// A run of 1,300 ticks by the scripted policy with an exit in review, and its id.
fn ran() -> (TempDir, String) {
    let home = temp_home();
    let live = TestShard::new(home.path());
    live.run(900);
    live.expect_ok("employment_exit request finn");
    live.run(400);
    let run = live.shard.run_id.clone();
    live.shard.stop().expect("it is saved");
    (home, run)
}

/// What stands in `ops/whatif`, name and content.
fn pages(home: &Path) -> BTreeMap<PathBuf, String> {
    let files = files_below(&home.join("ops/whatif")).into_iter();
    files.map(|path| (path.clone(), std::fs::read_to_string(path).expect("text"))).collect()
}

/// Runs `townlet whatif` with this last argument, which may have blanks.
fn whatif(home: &Path, line: &str, last: &[&str]) -> std::process::Output {
    let words = ["whatif"].into_iter().chain(line.split_whitespace()).chain(last.iter().copied());
    command(home, words).output().expect("the program starts")
}

const SMALL: &str = "--at 1000 --samples 4 --days 1";

#[test]
fn the_same_question_has_the_same_bytes_on_any_number_of_threads() {
    let (home, run) = ran();
    let home = home.path();
    let alternatives =
        ["--command", "approve finn", "--set", "employment.daily_exit_cap=1", "--alternative", "defer finn"];
    let mut found = Vec::new();
    for threads in [1, 2, 2] {
        let output = whatif(home, &format!("{run} {SMALL} --threads {threads}"), &alternatives);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let said = text(&output.stdout);
        assert!(said.contains("town score") && said.contains("4 samples of 1 day"), "{said}");
        found.push((said, pages(home)));
        assert_eq!(found[0], found[found.len() - 1]);
    }
    let (_, pages) = &found[0];
    assert_eq!(pages.len(), 2);
    let (json, page) = (pages.values().next().unwrap(), pages.values().next_back().unwrap());
    let answer: WhatIfAnswer = serde_json::from_str(json).expect("an answer");
    let replayed = crate::kit::json(home, &format!("replay {run} --every 1000 --json"));
    assert_eq!((answer.tick, json!(answer.digest)), (1_000, replayed["digests"][0]["digest"].clone()));
    let texts: Vec<&str> = answer.alternatives.iter().map(|it| it.alternative.as_str()).collect();
    assert_eq!(texts, ["set employment.daily_exit_cap=1; employment_exit approve finn", "employment_exit defer finn"]);
    for part in
        ["## Alternative 1: ", "| town score | ", "- day 2, 00:00, finn: ", &answer.digest, "    townlet whatif"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    // The command on the page asks the same.
    let repeat = answer.repeat.strip_prefix("townlet ").expect("a command line");
    let words = shell_words(repeat);
    let output = command(home, words.iter().map(String::as_str).chain(["--json"])).output().expect("it starts");
    assert_eq!(serde_json::from_slice::<WhatIfAnswer>(&output.stdout).expect("JSON"), answer);
    assert_eq!(&self::pages(home), pages);
}

/// Words of a line in which single quotes keep blanks.
fn shell_words(line: &str) -> Vec<String> {
    line.split('\'').enumerate().fold(Vec::new(), |mut words, (place, part)| {
        if place % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
        words
    })
}

#[test]
fn a_shard_answers_as_the_command_line_does_and_its_town_goes_on_as_without() {
    let (asked, quiet) = (temp_home(), temp_home());
    let [live, other] = [asked.path(), quiet.path()].map(|home| {
        let options = Options { held: true, ..options(home, true) };
        TestShard::from_handle(townlet_shard::start(default_sources(&[]), 7, options).expect("it starts"))
    });
    for live in [&live, &other] {
        live.run(1_000);
    }
    let line =
        "whatif set kpis.attendance=0.5; kill ada | policy scripted; arrange_meet ada hugo cafe --samples 4 --days 1";
    let request = Request { cmd_id: Some("ask-1".into()), ..Request::line(line) };
    let answer = live.ask(live.viewer, request.clone());
    assert_eq!(answer.status, Status::Ok, "{answer:?}");
    let id = answer.result.as_ref().unwrap()["id"].as_str().unwrap().to_owned();
    for live in [&live, &other] {
        live.run(500);
    }
    wait_until("an answer", || status(&live, &id)["state"] == "done");
    let again = live.ask(live.viewer, request);
    assert_eq!((again.replayed, &again.result), (true, &answer.result));
    assert_eq!(live.digest(), other.digest());
    let kept = pages(asked.path());
    live.shard.stop().expect("it is saved");
    let records = audit_log(asked.path());
    let stages: Vec<&str> = records.iter().filter(|it| it.command == "whatif").map(|it| it.stage.word()).collect();
    assert_eq!(stages, ["intent", "outcome", "rejected"], "asked once, and a retry");
    // From the journal of the same run.
    let answer: WhatIfAnswer = serde_json::from_str(kept.values().next().unwrap()).expect("an answer");
    assert_eq!(answer.tick, 1_000);
    for path in kept.keys() {
        std::fs::remove_file(path).expect("the page");
    }
    let words = shell_words(answer.repeat.strip_prefix("townlet ").expect("a command line"));
    let output = command(asked.path(), words.iter().map(String::as_str)).output().expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(pages(asked.path()), kept);
}

fn status(live: &TestShard, id: &str) -> Value {
    live.result(&format!("whatif_status {id}"))["question"].clone()
}

#[test]
fn what_cannot_be_answered_is_refused_and_nothing_is_written() {
    let (home, run) = ran();
    let home = home.path();
    for (line, last, parts) in [
        (&*run, &[][..], &["an alternative is missing", "approve finn"][..]),
        (&*run, &["--command", "approve nobody"], &["alternative 1, `approve nobody`", "no resident `nobody`"]),
        (
            &*run,
            &["--alternative", "defer finn", "--alternative", "aprove finn"],
            &["alternative 2", "no command `aprove`"],
        ),
        (&*run, &["--command", "approve ada"], &["alternative 1", "ada"]),
        (&*run, &["--command", "pause"], &["`pause` does not change the town"]),
        (&*run, &["--alternative", ";"], &["it does nothing"]),
        (&*run, &["--set", "employment.grace_tiks=3"], &["employment.grace_tiks is not a setting", "did you mean"]),
        (&*run, &["--set", "world.population=9"], &["world.population 8 -> 9", "the town was built with it"]),
        (&*run, &["--set", "seed"], &["`set seed` has no `=`"]),
        (&*run, &["--policy", "nothing"], &["no policy `nothing`"]),
        ("harbour-1", &["--command", "spawn"], &["unknown run `harbour-1`", "The newest run is"]),
    ] {
        let output = whatif(home, line, last);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line} {last:?}: {said}");
        for part in parts {
            assert!(said.contains(part), "{line} {last:?}: {part}: {said}");
        }
    }
    for (line, part) in [
        (format!("whatif {run} --command spawn --at 1301"), "the recording has the ticks 0 to 1,300"),
        (format!("whatif {run} --command spawn --samples 1"), "2..=10000"),
        (format!("whatif {run} --command spawn --days 0"), "1..=100"),
    ] {
        let output = townlet(home, &line);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(text(&output.stderr).contains(part), "{line}: {}", text(&output.stderr));
    }
    assert!(!home.join("ops/whatif").exists());
}

#[test]
#[cfg(target_os = "linux")]
fn an_interrupt_ends_a_question_and_leaves_nothing() {
    let (home, run) = ran();
    let line = format!("whatif {run} --samples 10000 --days 100 --command spawn");
    let mut child = command(home.path(), line.split_whitespace()).spawn().expect("the program starts");
    // Signals that are caught, as a mask; SIGINT is the second.
    let caught = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0").trim().to_owned();
        u64::from_str_radix(&mask, 16).unwrap_or_default() & 2 != 0
    };
    wait_until("a handler", caught);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(!home.path().join("ops/whatif").exists());
}

#[test]
fn questions_have_limits_and_end_with_the_shard() {
    let home = temp_home();
    let settings = [("whatif.viewer_days", "8"), ("whatif.waiting", "1")];
    let live = TestShard::from_handle(
        townlet_shard::start(default_sources(&settings), 7, options(home.path(), true)).expect("it starts"),
    );
    let viewer = |line: &str| live.ask(live.viewer, Request::line(line));
    let refused = viewer("whatif spawn --samples 3 --days 2");
    assert_eq!(refusal(&refused), "E_FORBIDDEN");
    assert!(refused.error.unwrap().message.contains("are 12 days; a viewer may ask for 8 at once"));
    let small = viewer("whatif spawn --samples 2 --days 2").result.expect("it is within the limit");
    wait_until("an answer", || status(&live, small["id"].as_str().unwrap())["state"] == "done");
    let long = live.result("whatif spawn --samples 10000 --days 10");
    live.expect_ok("whatif kill ada");
    wait_until("its turn", || status(&live, long["id"].as_str().unwrap())["state"] == "running");
    assert_eq!(live.refused("whatif kill finn"), "E_CONFLICT", "one is answered and one waits");
    live.shard.stop().expect("it ends although questions are open");
    assert_eq!(pages(home.path()).len(), 2, "the page of the viewer's question, as text and as JSON");
}
