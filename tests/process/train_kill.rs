//! `townlet train` under `kill -9`, with a step size that diverges, and with invalid arguments.
//!
//! A small training of a few seconds; how well it learns is not tested here.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::kit::{BINARY, wait_until};

const SMALL: &[&str] = &[
    "features.systems.observations=compact",
    "training.replicas=4",
    "training.hidden_units=16",
    "training.checkpoint_updates=2",
    "ppo.mini_batch_size=64",
    "training.evaluation.every_steps=30000",
    "training.evaluation.towns=2",
    "training.evaluation.days=1",
];

fn train(home: &Path, args: &[&str], settings: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("train").arg("--home").arg(home).args(args).stdin(Stdio::null());
    for setting in settings {
        command.args(["--set", setting]);
    }
    command
}

fn ended(mut command: Command) -> Output {
    command.output().expect("the program runs")
}

fn report(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// The rows of a home's only training, without values of the clock.
fn rows(home: &Path) -> Vec<Value> {
    let files = std::fs::read_dir(home.join("logs/training")).expect("rows were written");
    let path =
        files.map(|file| file.expect("a file").path()).find(|path| path.extension().is_some_and(|it| it == "jsonl"));
    let text = std::fs::read_to_string(path.expect("one training")).expect("text");
    let clock = ["seconds", "steps_per_second", "rollout_share", "samples_per_second", "evaluation_seconds"];
    let row = |line: &str| {
        let mut row: Value = serde_json::from_str(line).expect("a row a line");
        for key in clock {
            row[key] = Value::Null;
        }
        row
    };
    text.lines().map(row).collect()
}

fn trainings(home: &Path) -> usize {
    let files = std::fs::read_dir(home.join("snapshots/shadow")).into_iter().flatten().flatten();
    files.filter(|file| file.path().extension().is_some_and(|it| it == "training")).count()
}

#[test]
fn killed_training_resumes_to_the_same_checkpoint() {
    let (whole, cut) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let args = ["--steps", "150000", "--json"];
    let expected = report(&ended(train(whole.path(), &args, SMALL)));
    let mut child = train(cut.path(), &args, SMALL).stdout(Stdio::null()).spawn().expect("the program runs");
    wait_until("two checkpoints", || {
        assert_eq!(child.try_wait().expect("a child"), None, "it ended before it could be killed");
        trainings(cut.path()) >= 2
    });
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    let resumed = ended(train(cut.path(), &["--resume", "--json"], &[]));
    assert_eq!(resumed.status.code(), Some(0));
    let resumed = report(&resumed);
    assert_eq!(resumed["checkpoint"], expected["checkpoint"], "the same bytes");
    assert!(expected["best"]["checkpoint"].is_string(), "{expected}");
    let best = |report: &Value| (report["best"]["checkpoint"].clone(), report["best"]["evaluation"].clone());
    assert_eq!(best(&resumed), best(&expected), "the same best");
    assert_eq!(rows(cut.path()), rows(whole.path()), "and the same rows, none twice");
}

#[test]
fn diverging_training_exits_with_status_1() {
    let home = tempfile::tempdir().expect("a folder");
    let output = ended(train(home.path(), &["--steps", "200000"], &[SMALL, &["ppo.learning_rate=1"]].concat()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("diverged: ") && said.contains("became") && said.contains("checkpoint"), "{said}");
}

#[test]
fn invalid_training_is_refused_with_status_2() {
    let home = tempfile::tempdir().expect("a folder");
    let refused = |args: &[&str], settings: &[&str], words: &str| {
        let output = ended(train(home.path(), args, settings));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(words), "{args:?}: {said}");
        assert!(std::fs::read_dir(home.path()).expect("a folder").next().is_none(), "{args:?} left something behind");
    };
    refused(&["--resume"], &[], "no training in");
    refused(&["--resume", "0123456789abcdef"], &[], "there is no checkpoint `0123456789abcdef`");
    refused(&["--steps", "0"], &[], "0 is not in 1..");
    refused(&["--minutes", "0"], &[], "above 0");
    refused(&["--warm-start", "somebody"], &[], "scripted");
    refused(&["--resume", "--seed", "3"], &[], "--seed");
    refused(&[], &["training.replicas=0"], "training.replicas");
    refused(&[], &["policy.shadow_dir=snapshots/rel"], "policy.shadow_dir");
}
