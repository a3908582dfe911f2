//! A standard output that cannot be written: every command says so, with an exit status that is not that of bad input.

use std::fs::OpenOptions;
use std::path::Path;

use crate::kit::{command, repository, temp_home, text};
use tempfile::TempDir;

/// Exit status and messages of a command whose standard output is a full disk.
fn on_full_disk(home: &Path, line: &str) -> (Option<i32>, String) {
    let full = OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let output = command(home, line.split_whitespace()).stdout(full).output().expect("the program starts");
    (output.status.code(), text(&output.stderr))
}

#[track_caller]
fn says_that_output_is_lost(home: &Path, line: &str) -> String {
    let (status, said) = on_full_disk(home, line);
    assert_eq!(status, Some(3), "townlet {line}\n{said}");
    assert!(said.contains("standard output") && said.contains("No space left"), "townlet {line}\n{said}");
    said
}

/// A home with one short run with a command, and the run's id.
fn home_with_a_run() -> (TempDir, String) {
    let home = temp_home();
    std::fs::write(home.path().join("s.jsonl"), "{\"command\":\"price meal 0.5\"}\n").expect("a script");
    let line = "--headless --tick-limit 250 --script s.jsonl";
    let output = command(home.path(), line.split(' ')).output().expect("the program starts");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let head = std::fs::read_dir(home.path().join("logs/console")).expect("a log").flatten();
    let head = head.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|it| it == "head"));
    let run = head.expect("a head").file_stem().expect("a name").to_string_lossy().into_owned();
    (home, run)
}

#[test]
fn a_headless_run_is_saved_and_says_where_when_its_report_is_lost() {
    for line in ["--headless --json --tick-limit 50", "--headless --tick-limit 50 --script s.jsonl"] {
        let home = temp_home();
        std::fs::write(
            home.path().join("s.jsonl"),
            "{\"command\":\"kpi\"}\n{\"tick\":9,\"command\":\"price meal 0.5\"}\n",
        )
        .expect("a script");
        let said = says_that_output_is_lost(home.path(), line);
        assert!(said.contains("stopped at tick 50; snapshot"), "{said}");
        let snapshot = said.split("snapshot ").nth(1).expect("a path").lines().next().expect("a line");
        assert!(home.path().join(snapshot).is_file(), "{snapshot}: {said}");
        let resumed =
            command(home.path(), ["--headless", "--resume", "--tick-limit", "60"]).output().expect("it starts");
        assert!(resumed.status.success(), "{line}: {}", text(&resumed.stderr));
    }
}

#[test]
fn every_command_that_only_prints_says_that_its_output_is_lost() {
    let (home, run) = home_with_a_run();
    let path = home.path();
    for line in [
        "--help",
        "--version",
        "help serve",
        "config show",
        "config check a.yaml",
        "config schema",
        "config diff a.yaml b.yaml",
        "config import old.yaml",
        "config import old.yaml --out new.yaml",
        "audit verify logs/console",
        "audit verify logs/console --json",
        "audit tail",
        "audit export",
        "snapshot list",
        "policy list",
        "token list",
        "incident list",
        "incident bundle --output bundle.tar.zst",
        "completions bash",
        "telemetry check payload.json",
        "preflight",
    ] {
        for (name, content) in [("a.yaml", "seed: 1\n"), ("b.yaml", "seed: 2\n"), ("payload.json", "{}")] {
            std::fs::write(path.join(name), content).expect("a file");
        }
        std::fs::copy(repository("tests/import/hybrid.yaml"), path.join("old.yaml")).expect("a file");
        says_that_output_is_lost(path, line);
    }
    says_that_output_is_lost(path, &format!("replay {run}"));
    // A file that cannot be written is no bad input either.
    let (status, said) = on_full_disk(path, "audit export --out new/export.jsonl");
    assert_eq!(status, Some(2), "the folder does not exist: {said}");
}

#[test]
fn a_token_that_cannot_be_shown_is_not_left_in_the_store() {
    let home = temp_home();
    let said = says_that_output_is_lost(home.path(), "token new --role admin");
    assert!(said.contains("it was revoked"), "{said}");
    let listed = command(home.path(), ["token", "list", "--json"]).output().expect("the program starts");
    assert_eq!(text(&listed.stdout).trim(), "[]");
}
