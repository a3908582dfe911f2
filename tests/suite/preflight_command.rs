//! `townlet preflight`: a new home passes, and each possible fault is named with a remedy and status 1.

use std::path::Path;
use std::process::Command;

use crate::kit::{repository, temp_home, townlet};
use serde_json::Value;
use townlet_learn::checkpoint::Registry;

fn config(name: &str) -> String {
    repository("configs").join(name).display().to_string()
}

fn names(home: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(home).expect("the folder").map(|entry| entry.expect("an entry").file_name());
    entries.map(|name| name.to_string_lossy().into_owned()).collect()
}

/// The checks that fail, each with what it found.
#[track_caller]
fn failing(home: &Path, line: &str) -> Vec<(String, String)> {
    let output = townlet(home, &format!("preflight --json {line}"));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let checks = report["checks"].as_array().expect("checks").iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let failed: Vec<_> = checks
        .filter(|check| check["passed"] == false)
        .map(|check| {
            assert!(!text(&check["to_do"]).is_empty(), "{check}: what is to be done?");
            (text(&check["check"]), text(&check["seen"]))
        })
        .collect();
    assert_eq!(output.status.code(), Some(i32::from(!failed.is_empty())), "{report}");
    failed
}

/// Asserts that only this check fails, with these words.
#[track_caller]
fn fails(home: &Path, line: &str, check: &str, says: &[&str]) {
    let failed = failing(home, line);
    assert_eq!(failed.iter().map(|it| &*it.0).collect::<Vec<_>>(), [check], "{line}: {failed:?}");
    for part in says {
        assert!(failed[0].1.contains(part), "{part:?} is not in {failed:?}");
    }
}

#[test]
fn new_home_passes_every_check_and_stays_empty() {
    let home = temp_home();
    let output = townlet(home.path(), "preflight --candidate shipped");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().filter(|line| line.starts_with('✓')).count(), 9, "{said}");
    assert!(said.contains("config_id") && said.contains("town-v1") && said.contains("all 9 checks passed"), "{said}");
    assert_eq!(names(home.path()), Vec::<String>::new());
}

#[test]
fn shadow_configuration_of_another_town_fails() {
    let home = temp_home();
    let place = home.path().join("other.yaml");
    std::fs::write(&place, "config_id: elsewhere\npolicy: { release: scripted }\n").expect("a file");
    fails(home.path(), "--shadow-config other.yaml", "config_id", &["town-v1", "elsewhere", "shadow"]);
    std::fs::write(&place, "features: { systems: { observations: full } }\npolicy: { release: scripted }\n")
        .expect("a file");
    fails(home.path(), "--shadow other.yaml", "observations", &["compact", "full", "shadow"]);
    // The shipped policy as candidate of a town with another id.
    let line = format!("--candidate shipped --config {}", config("fallback.yaml"));
    let failed = failing(home.path(), &line);
    let checks: Vec<&str> = failed.iter().map(|it| &*it.0).collect();
    assert_eq!(checks, ["config_id"], "{failed:?}");
    let output = townlet(home.path(), &format!("preflight {line}"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("✗ config_id") && said.contains("1 of 9 checks failed: config_id"), "{said}");
}

#[test]
fn damaged_checkpoints_fail() {
    let home = temp_home();
    let registry = Registry::new(home.path().join("snapshots/shadow"));
    let (id, bytes) = ("0123456789abcdef", include_bytes!("../../configs/policies/shipped.safetensors"));
    registry.store(id, &bytes[..bytes.len() / 2]).expect("it is stored");
    fails(home.path(), "", "candidate", &[id]);
    let failed = failing(home.path(), &format!("--candidate {id}"));
    assert!(failed.iter().any(|it| it.0 == "candidate" && it.1.contains(id)), "{failed:?}");
    let output = townlet(home.path(), "preflight --candidate nobody");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.contains("there is no policy `nobody`")), (Some(2), true), "{said}");
}

#[cfg(unix)]
#[test]
fn aliased_or_unwritable_folders_fail() {
    let home = temp_home();
    let snapshots = home.path().join("snapshots");
    std::fs::create_dir_all(snapshots.join("rel")).expect("a folder");
    std::os::unix::fs::symlink("rel", snapshots.join("shadow")).expect("a link");
    fails(home.path(), "", "folders", &["one folder"]);
    std::fs::remove_file(snapshots.join("shadow")).expect("the link goes");
    std::fs::write(home.path().join("ops"), "in the way").expect("a file");
    fails(home.path(), "", "folders", &["ops/incidents", "is not writable"]);
}

#[cfg(unix)]
#[test]
fn source_option_runs_the_repositorys_checks() {
    let home = temp_home();
    std::fs::create_dir_all(home.path().join("repository/.ci")).expect("a folder");
    let output = townlet(home.path(), "preflight --source repository");
    assert_eq!(output.status.code(), Some(2), "there is no script yet: {output:?}");
    // Written by another process, because a file that is still open here cannot be executed.
    let script = |ends: &str| {
        let line = format!("printf '#!/bin/sh\\n{ends}\\n' > repository/.ci/run && chmod +x repository/.ci/run");
        let written = Command::new("sh").arg("-c").arg(line).current_dir(home.path()).status();
        assert!(written.expect("there is a shell").success());
    };
    script("echo one test is red; exit 1");
    fails(home.path(), "--source repository", "source", &["repository/.ci/run", "one test is red"]);
    script("exit 0");
    assert_eq!(failing(home.path(), "--source repository"), []);
}

#[test]
fn altered_audit_log_and_red_stability_window_fail() {
    let home = temp_home();
    // An operator keeps a resident hungry, which is a starvation event and makes the window red.
    let hungry = |tick| format!("{{\"tick\": {tick}, \"command\": \"setneed ada hunger 0.05\"}}\n");
    let line = "{\"tick\": 5, \"command\": \"employment_status\"}\n".to_owned();
    std::fs::write(home.path().join("script.jsonl"), line + &(6..100).map(hungry).collect::<String>()).expect("a file");
    assert!(townlet(home.path(), "run --headless --tick-limit 1000 --script script.jsonl").status.success());
    fails(home.path(), "", "stability", &["harbour-", "windows 1 red"]);
    assert!(townlet(home.path(), "run --headless --resume --tick-limit 3000").status.success());
    assert_eq!(failing(home.path(), "--candidate shipped"), []);
    let folder = home.path().join("logs/console");
    let log = names(&folder).into_iter().find(|name| name.contains(".jsonl")).expect("a log");
    let text = std::fs::read_to_string(folder.join(&log)).expect("a log");
    std::fs::write(folder.join(&log), text.replace("employment_status", "employment_statue")).expect("a file");
    fails(home.path(), "", "audit log", &[&log]);
}
