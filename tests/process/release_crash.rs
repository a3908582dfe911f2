//! A change of the release that crashes at each of its steps: after a restart there is exactly one release, and its history is
//! complete.
//!
//! Needs `--features failpoints`. Rule: "Stability, promotion, rollback".

use std::path::Path;

use serde_json::Value;

use super::fail_point_table::ReachedBy;
use super::fail_points::reached_by;
use super::headless::{Batch, Ended, SCRIPT, audited, replay, verified, write_script};
use crate::kit::{TestTown, in_each_town, soak};

in_each_town! { crash_at_every_step_of_a_release_leaves_one_release }

fn script(home: &Path, ticks: bool, instant: u64) {
    let line = |tick: u64, command: &str, id: &str| (ticks.then_some(tick), command.to_owned(), id.to_owned());
    let swap = line(20 + 5 * instant, "policy_swap shipped --reason drill", "swap-1");
    write_script(home, &[swap, line(150 + instant, "rollback_policy --reason drill", "back-1")]);
}

/// Runs up to a tick with the commands of the script.
fn run(home: &Path, which: &[&str], environment: &[(&str, &str)]) -> Ended {
    Batch::start(home, &[&["--script", SCRIPT, "--tick-limit", "300"], which].concat(), environment).end()
}

/// At how many ticks each point is reached.
fn instants(town: TestTown) -> u64 {
    match town {
        TestTown::Default if soak() => 20,
        TestTown::Thousand if soak() => 2,
        _ => 1,
    }
}

/// The release pointer, when there is one; it must be whole.
fn pointer(home: &Path) -> Option<Value> {
    let text = std::fs::read(home.join("snapshots/rel/harbour.release.json")).ok()?;
    Some(serde_json::from_slice(&text).expect("it is whole"))
}

fn crash_at_every_step_of_a_release_leaves_one_release(town: TestTown) {
    for (point, instant) in reached_by(&[ReachedBy::Test("process::release_crash")])
        .step_by(town.stride())
        .flat_map(|point| (0..instants(town)).map(move |at| (point, at)))
    {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        script(home, true, instant);
        let points = format!("{point}=panic");
        let fresh = [town.args(), &["--set", "policy.release=scripted"]].concat();
        let broken = run(home, &fresh, &[("FAILPOINTS", &points), ("FAILPOINTS_ABORT", "1")]);
        assert_eq!(broken.status, None, "{point} was never met: {}{}", broken.out, broken.said);
        verified(home);
        let made = pointer(home).filter(|pointer| !pointer["since"].is_null());
        let release = made.as_ref().map_or("scripted", |pointer| pointer["release"].as_str().unwrap()).to_owned();
        script(home, false, instant);
        let on = Batch::start(home, &["--resume", "--tick-limit", "200", "--json"], &[]).end();
        assert_eq!(on.status, Some(0), "{point}: {}{}", on.out, on.said);
        let report: Value = serde_json::from_str(&on.out).expect("a report");
        assert_eq!(report["policy"], release.as_str(), "{point}: the release's file decides");
        let after = run(home, &["--resume"], &[]);
        assert_eq!(after.status, Some(0), "{point}: {}{}", after.out, after.said);
        assert!(after.answers.iter().all(|answer| answer.ok), "{point}: {:?}", after.answers);
        let end = pointer(home).expect("there is a release");
        assert_eq!((&end["release"], &end["stage"]), (&"scripted".into(), &"rolled_back".into()), "{point}");
        let steps = end["steps"].as_array().expect("a history");
        let count =
            |to: &str, id: &str| steps.iter().filter(|it| it["to"] == to && it["origin"]["cmd_id"] == id).count();
        assert_eq!((count("canary", "swap-1"), count("rolled_back", "back-1")), (1, 1), "{point}: {steps:#?}");
        let changes = steps.iter().filter(|step| !step["replaced"].is_null()).count();
        let rollouts = std::fs::read_to_string(home.join("ops/rollouts.md")).expect("rows");
        let rows = rollouts.lines().filter(|line| line.starts_with("| harbour") && line.contains(" → ")).count();
        assert_eq!((changes, rows), (2, 2), "{point}: {rollouts}");
        assert_eq!(replay(home).digest, after.digest(), "{point}");
        audited(home);
    }
}
