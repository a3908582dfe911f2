//! `townlet config import`: what it writes passes the program's own checks, and the report says what was lost.

use std::fmt::Write as _;
use std::path::Path;

use crate::kit::{json, repository, temp_home, text, townlet};
use serde_json::Value;
use tempfile::TempDir;

/// A home folder with `old.yaml`.
fn home(old: &str) -> TempDir {
    let home = temp_home();
    std::fs::write(home.path().join("old.yaml"), old).expect("a file");
    home
}

fn read(home: &Path, name: &str) -> String {
    std::fs::read_to_string(home.join(name)).expect("a file")
}

#[track_caller]
fn succeeds(home: &Path, line: &str) {
    let output = townlet(home, line);
    assert_eq!(output.status.code(), Some(0), "townlet {line}\n{}", text(&output.stderr));
}

/// The report as lines: outcome, key, note.
fn report(report: &Value) -> String {
    let row = |it: &Value| format!("{:>7}  {}  {}\n", word(it, "outcome"), word(it, "key"), word(it, "note"));
    let notes =
        report["notes"].as_array().expect("notes").iter().map(|note| format!("   note  {}\n", note.as_str().unwrap()));
    report["findings"].as_array().expect("findings").iter().map(row).chain(notes).collect()
}

fn word<'a>(finding: &'a Value, name: &str) -> &'a str {
    finding[name].as_str().expect("a text")
}

/// Imports the file, then uses the result: `with` is a configuration that names it.
fn imports(name: &str, with: &str) -> (TempDir, String) {
    let home = home(&std::fs::read_to_string(repository("tests/import").join(name)).expect("a file"));
    let found = json(home.path(), "config import old.yaml --out new.yaml --json");
    std::fs::write(home.path().join("town.yaml"), with).expect("a file");
    succeeds(home.path(), "config check town.yaml");
    succeeds(home.path(), "--headless --config town.yaml --tick-limit 300");
    (home, report(&found))
}

#[test]
fn a_perturbation_file_is_converted() {
    let (home, report) = imports("perturbations.yaml", "perturbations: { file: new.yaml }\n");
    insta::assert_snapshot!(report);
    let written = read(home.path(), "new.yaml");
    assert!(
        written.contains("talk_it_out") && !written.contains("nowhere") && !written.contains("rivals"),
        "{written}"
    );
}

#[test]
fn an_affordance_manifest_is_converted() {
    let (home, report) = imports("affordances.yaml", "affordances: { affordances_file: new.yaml }\n");
    insta::assert_snapshot!(report);
    let written = read(home.path(), "new.yaml");
    for part in ["duration: 25", "water: true", "duration: 12", "groceries: 1", "sit_at_table"] {
        assert!(written.contains(part), "{part}: {written}");
    }
}

#[test]
fn a_timeline_becomes_a_script_that_runs() {
    let home = home(&std::fs::read_to_string(repository("tests/import/timeline.yaml")).expect("a file"));
    let found = json(home.path(), "config import old.yaml --out new.jsonl --json");
    insta::assert_snapshot!(format!("{}{}", report(&found), read(home.path(), "new.jsonl")));
    succeeds(home.path(), "--headless --script new.jsonl --tick-limit 200");
}

#[test]
fn a_day_of_another_length_and_empty_sections_are_understood() {
    let (home, report) = imports("story.yaml", "");
    insta::assert_snapshot!(report);
    succeeds(home.path(), "config check new.yaml");
    let shown = json(home.path(), "config show --config new.yaml --json");
    let value = |key: &str| {
        let row = shown.as_array().expect("rows").iter().find(|row| row["key"] == key).expect("a row");
        row["value"].as_str().expect("a value").to_owned()
    };
    assert_eq!(value("time.ticks_per_day"), "1440");
    assert_eq!(value("needs.decay_rates.hunger"), "0.001");
    assert_eq!(value("needs.decay_rates.energy"), "0.000694");
    assert_eq!(value("economy.opening_hours.cafe"), "[144, 1296]");
    assert_eq!(value("conflict.rivalry.decay_per_hour"), "1");
    assert_eq!(value("perturbations.file"), "\"new.perturbations.yaml\"");
}

/// Events of every combination of values that the original accepts, and of some that it does not.
#[test]
fn what_is_written_is_never_refused() {
    let mut events = String::new();
    let mut count = 0;
    for target in ["top_rivals", "ada", "nobody", "any", "7", "null"] {
        for location in ["cafe", "park", "lighthouse", "null", "[1, 2]"] {
            for duration in ["[20, 30]", "25", "{ min: 5, max: 9 }", "[0, 0]", "[9, 5]"] {
                count += 1;
                writeln!(
                    events,
                    "    m{count}: {{ kind: arranged_meet, prob_per_day: 0.1, target: {target}, location: {location}, duration: {duration} }}"
                )
                .expect("a string");
            }
        }
    }
    for targets in ["[grocer]", "[cafe, meal]", "[lighthouse]", "[]", "null", "cafe"] {
        for magnitude in ["[1.1, 1.5]", "1.2", "{ min: 1 }", "[1.5, 1.1]", "null", "[1000, 2000]"] {
            for more in ["", ", utility: power", ", colour: red"] {
                count += 1;
                writeln!(
                    events,
                    "    p{count}: {{ kind: price_spike, duration: [5, 9], targets: {targets}, magnitude: {magnitude}{more} }}"
                )
                .expect("a string");
            }
        }
    }
    for sections in ["", "jobs: {}\nrewards: null\neconomy: { meal_cost: -1 }\ntime: { ticks_per_day: 99999999 }\n"] {
        for (old, with) in [
            (format!("config_id: x\n{sections}perturbations:\n  events:\n{events}"), ""),
            (format!("events:\n{events}"), "perturbations: { file: new.yaml }\n"),
        ] {
            let home = home(&old);
            succeeds(home.path(), "config import old.yaml --out new.yaml");
            std::fs::write(home.path().join("town.yaml"), with).expect("a file");
            let checked = if with.is_empty() { "new.yaml" } else { "town.yaml" };
            succeeds(home.path(), &format!("config check {checked}"));
        }
    }
}
