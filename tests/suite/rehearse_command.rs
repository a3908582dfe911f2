//! `townlet rehearse`: it passes on the shipped towns, reports each missed point, and leaves no files behind.

use std::path::Path;
use std::process::Output;

use crate::kit::{command, repository};
use serde_json::Value;

fn rehearse(home: &Path, args: &[&str]) -> Output {
    let args = std::iter::once("rehearse").chain(args.iter().copied());
    command(home, args).env("TMPDIR", home).output().expect("the program starts")
}

fn left(home: &Path) -> usize {
    std::fs::read_dir(home).expect("the folder").count()
}

fn config(name: &str) -> String {
    repository("configs").join(name).display().to_string()
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Names of the missed points.
fn missed(report: &Value) -> Vec<&str> {
    let points = report["points"].as_array().expect("points").iter();
    points.filter(|point| point["passed"] == false).map(|point| point["point"].as_str().expect("a name")).collect()
}

#[test]
fn checklist_passes_on_shipped_towns_and_leaves_no_files() {
    for args in [vec![], vec!["--config".to_owned(), config("scenarios/price_spike.yaml")]] {
        let home = tempfile::tempdir().expect("a folder");
        let output = rehearse(home.path(), &args.iter().map(String::as_str).collect::<Vec<_>>());
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
        for point in ["spawn", "setneed", "force_chat", "arrange_meet", "exit approved", "exit deferred"] {
            assert!(said.lines().any(|line| line.starts_with(&format!("✓ {point}"))), "{point}: {said}");
        }
        assert!(said.contains("all 12 checks passed"), "{said}");
        assert_eq!(left(home.path()), 0, "the throw-away towns are gone, and nothing else was written");
    }
}

#[test]
fn checklist_passes_under_privacy() {
    let home = tempfile::tempdir().expect("a folder");
    let output = rehearse(home.path(), &["--json", "--set", "telemetry.privacy.enabled=true"]);
    assert_eq!((output.status.code(), missed(&report(&output)).len()), (Some(0), 0), "{output:?}");
}

#[test]
fn missed_points_report_expected_and_seen_values() {
    let home = tempfile::tempdir().expect("a folder");
    let shocked = config("default.yaml");
    // Two days are too few for a tenure of three, and perturbations start by themselves in the default town.
    let args = ["--json", "--days", "2", "--fallback", &shocked];
    let output = rehearse(home.path(), &args);
    let missing_points = report(&output);
    assert_eq!(
        (output.status.code(), missed(&missing_points)),
        (Some(1), vec!["charter", "fallback"]),
        "{missing_points}"
    );
    let charter = &missing_points["points"].as_array().expect("points")[10];
    assert!(charter["expected"].as_str().expect("text").contains("tenure ≥ 3 days"), "{charter}");
    assert!(charter["seen"].as_str().expect("text").contains("tenure"), "{charter}");
    // A single resident cannot chat or meet.
    let alone = rehearse(home.path(), &["--days", "2", "--set", "world.population=1"]);
    let said = String::from_utf8_lossy(&alone.stdout);
    assert_eq!(alone.status.code(), Some(1), "{said}");
    assert!(said.contains("✗ force_chat") && said.contains("expected at least two residents, found 1"), "{said}");
    assert!(said.contains("checks failed: ") && said.contains("✓ spawn"), "{said}");
    assert_eq!(left(home.path()), 0);
}

#[test]
fn invalid_input_is_refused_before_a_town_starts() {
    let home = tempfile::tempdir().expect("a folder");
    for (args, words) in [
        (["--config", "none.yaml"], "none.yaml: no such file"),
        (["--fallback", "none.yaml"], "none.yaml: no such file"),
        (["--set", "policy.release=0123456789abcdef"], "policy.release: `0123456789abcdef`"),
        (["--days", "0"], "--days"),
    ] {
        let output = rehearse(home.path(), &args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), said.contains(words)), (Some(2), true), "{args:?}: {said}");
        assert!(output.stdout.is_empty());
    }
}
