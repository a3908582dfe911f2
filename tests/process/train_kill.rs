//! `townlet train` under `kill -9`, with a step size that diverges, and with invalid arguments.
//!
//! A small training of a few seconds; how well it learns is not tested here.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::kit::{BINARY, wait_until};
use townlet_learn::checkpoint::Registry;

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

/// Complete rows of a home's only training, while it runs.
fn rows_written(home: &Path) -> usize {
    let files = std::fs::read_dir(home.join("logs/training")).into_iter().flatten().flatten();
    let texts = files.filter_map(|file| std::fs::read_to_string(file.path()).ok());
    texts.map(|text| text.matches('\n').count()).sum()
}

/// Sends SIGTERM to a process that has not been waited for.
fn terminate(child: &Child) {
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
}

#[test]
fn training_stopped_in_the_middle_of_many_updates_ends_with_the_same_weights() {
    let (whole, cut) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let steps = ["--steps", "150000", "--json"];
    let expected = report(&ended(train(whole.path(), &steps, SMALL)));
    let (mut stops, mut args, mut settings) = (0, steps.to_vec(), SMALL);
    let last = loop {
        let before = rows_written(cut.path());
        let mut command = train(cut.path(), &args, settings);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program runs");
        wait_until("an update", || rows_written(cut.path()) > before || child.try_wait().expect("a child").is_some());
        if child.try_wait().expect("a child").is_none() {
            terminate(&child);
        }
        let output = child.wait_with_output().expect("it ends");
        if output.status.code() == Some(0) {
            break report(&output);
        }
        assert_eq!((output.status.code(), report(&output)["end"].as_str()), (Some(130), Some("interrupted")));
        (stops, args, settings) = (stops + 1, vec!["--resume", "--json"], &[]);
    };
    assert!(stops >= 2, "it was stopped {stops} times");
    assert_eq!(rows(cut.path()), rows(whole.path()), "the same rows, none twice");
    let checkpoint = |home: &Path, report: &Value| {
        let registry = Registry::new(home.join("snapshots/shadow"));
        registry.load(report["checkpoint"].as_str().expect("an id")).expect("it is whole")
    };
    let [cut, whole] = [checkpoint(cut.path(), &last), checkpoint(whole.path(), &expected)];
    // Their parents differ, because each stop made a checkpoint.
    assert_eq!((cut.weights, cut.normalizer), (whole.weights, whole.normalizer));
}

/// Seconds of processor time that a process has used.
fn processor_seconds(child: &Child) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // utime and stime, in hundredths.
    fields.get(11..13).into_iter().flatten().filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

#[test]
fn training_stops_in_the_middle_of_work_that_takes_many_minutes() {
    let update: &[&str] =
        &["training.replicas=64", "training.hidden_units=1024", "ppo.num_epochs=100", "ppo.mini_batch_size=1000000"];
    let evaluation: &[&str] = &[
        "training.replicas=4",
        "training.evaluation.every_steps=1",
        "training.evaluation.towns=1000",
        "training.evaluation.days=100",
    ];
    let warm_start: &[&str] = &["training.warm_start_rollouts=10000"];
    for (args, settings, by_clock) in [
        (&["--json"][..], update, false),
        (&["--json"], evaluation, false),
        (&["--json", "--warm-start", "scripted"], warm_start, false),
        (&["--json", "--minutes", "0.05"], update, true),
        (&["--json", "--minutes", "0.05"], evaluation, true),
    ] {
        let home = tempfile::tempdir().expect("a folder");
        let mut command = train(home.path(), args, settings);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
        if !by_clock {
            wait_until("it to be at work", || {
                assert_eq!(child.try_wait().expect("a child"), None, "{settings:?} ended by itself");
                processor_seconds(&child) > 4.0
            });
            terminate(&child);
        }
        wait_until("it to stop", || child.try_wait().expect("a child").is_some());
        let output = child.wait_with_output().expect("it ended");
        let report = report(&output);
        let expected = if by_clock { (Some(0), "time limit reached") } else { (Some(130), "interrupted") };
        assert_eq!((output.status.code(), report["end"].as_str().expect("an end")), expected, "{settings:?}");
        if args.contains(&"--warm-start") {
            assert_eq!(report["checkpoint"], Value::Null);
            assert!(std::fs::read_dir(home.path()).expect("a folder").next().is_none(), "it left something behind");
            continue;
        }
        // The update was dropped, and the checkpoint from before it is complete.
        let registry = Registry::new(home.path().join("snapshots/shadow"));
        let saved = registry.training(report["checkpoint"].as_str().expect("an id")).expect("it is whole");
        assert_eq!((saved.progress.updates, saved.progress.steps), (0, 0), "{settings:?}");
    }
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
    let huge = ["training.replicas=4096", "training.rollout_ticks=100000", "training.hidden_units=1024"];
    refused(&[], &huge, "decisions: 4096 towns × 100000 ticks × 8 residents");
    refused(&[], &huge, "Reduce `training.replicas`, `training.rollout_ticks` or `training.hidden_units`.");
    refused(&["--from", "somebody"], &[], "there is no policy `somebody`");
    refused(&["--from", "scripted"], &[], "`--warm-start scripted` imitates it");
    refused(&["--from", "shipped", "--warm-start", "scripted"], &[], "--warm-start");
    refused(&["--from", "shipped"], &["training.hidden_units=16"], "`--warm-start` works with any network");
    refused(&[], &["training.replicas=0"], "training.replicas");
    refused(&[], &["policy.shadow_dir=snapshots/rel"], "policy.shadow_dir");
}
