//! `townlet train --seeds`: the same bits as single trainings, kills, interrupts, refusals and the report.
//!
//! Small trainings of a few updates; how well they learn is not tested here. Rule: "Several seeds".

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::kit::{self, command, files_below, temp_home, text, wait_until};

/// An evaluation after every other update, and a checkpoint after each.
const SMALL: &str = "--set training.replicas=4 --set training.rollout_ticks=200 --set training.horizon_days=1 \
                     --set training.hidden_units=16 --set ppo.mini_batch_size=64 --set training.checkpoint_updates=1 \
                     --set training.evaluation.every_steps=12000 --set training.evaluation.towns=2 \
                     --set training.evaluation.days=1";

/// The report without the names of the runs.
fn without_names(mut report: Value) -> Value {
    assert!(report["seeds"].take().is_string() && report["trainings"].is_array());
    for training in report["trainings"].as_array_mut().expect("the trainings") {
        assert!(training["run"].take().is_string());
    }
    report
}

fn with_ending(home: &Path, ending: &str) -> Vec<PathBuf> {
    files_below(home).into_iter().filter(|path| path.to_string_lossy().ends_with(ending)).collect()
}

/// Starts trainings and waits until the second one has a checkpoint.
fn begun(home: &Path, line: &str) -> std::process::Child {
    let mut child = command(home, line.split_whitespace()).spawn().expect("it starts");
    wait_until("rows of the second seed", || {
        assert_eq!(child.try_wait().expect("a child"), None, "it ended before it could be stopped");
        with_ending(home, "-seed-8.jsonl")
            .iter()
            .any(|path| std::fs::read_to_string(path).is_ok_and(|it| it.contains('\n')))
    });
    child
}

/// The rows of the training with this seed.
fn rows(home: &Path, seed: u64) -> String {
    let paths = with_ending(home, &format!("-seed-{seed}.jsonl"));
    paths.first().map(|path| std::fs::read_to_string(path).expect("the rows")).unwrap_or_default()
}

#[test]
fn each_seed_has_the_bits_of_its_own_training_and_the_aggregate_is_their_mean() {
    let home = temp_home();
    let line = format!("train --seed 7 --seeds 3 --steps 25000 {SMALL} --plot --json");
    let report = kit::json(home.path(), &line);
    assert_eq!(report["end"], "schedule complete");
    assert!(report["note"].as_str().expect("a note").contains("not a claim"));
    let trainings = report["trainings"].as_array().expect("the trainings");
    let seeds: Vec<u64> = trainings.iter().map(|training| training["seed"].as_u64().expect("a seed")).collect();
    assert_eq!(seeds, [7, 8, 9]);
    let single = temp_home();
    let alone = kit::json(single.path(), &format!("train --seed 8 --steps 25000 {SMALL} --json --threads 1"));
    assert_eq!(trainings[1]["checkpoint"], alone["checkpoint"], "the same bytes");
    assert_eq!(trainings[1]["best"]["evaluation"], alone["best"]["evaluation"]);
    let scores: Vec<f64> =
        trainings.iter().map(|it| it["best"]["evaluation"]["score"].as_f64().expect("a score")).collect();
    let score = &report["aggregate"]["score"];
    let mean = score["mean"].as_f64().expect("a mean");
    assert!((mean - scores.iter().sum::<f64>() / 3.0).abs() < 1e-12);
    let (low, high) = (score["interval"][0].as_f64().unwrap(), score["interval"][1].as_f64().unwrap());
    assert!(low <= mean && mean <= high && low < high, "{score}");
    assert_eq!(report["aggregate"]["self_sufficiency"]["trainings"], 3);
    for training in trainings {
        assert!(home.path().join(training["best"]["policy"].as_str().expect("a path")).is_file());
        assert_eq!(with_ending(home.path(), &format!("{}.jsonl", training["run"].as_str().expect("a name"))).len(), 1);
    }
    let svg = std::fs::read_to_string(home.path().join(report["plot"].as_str().expect("a path"))).expect("the plot");
    assert!(svg.contains("held-out score") && svg.contains("<polygon"), "a curve with a band");
    // Complete trainings are only read again.
    let again = kit::json(home.path(), "train --resume --plot --json");
    assert_eq!(again, report);
    kit::fail_writes_of(&home.path().join(report["plot"].as_str().expect("a path")));
    let lost = kit::townlet(home.path(), "train --resume --plot");
    assert_eq!(lost.status.code(), Some(3), "{}", text(&lost.stderr));
    assert!(text(&lost.stdout).contains("interquartile mean") && text(&lost.stderr).contains("The command ran"));
    let said = text(&kit::townlet(home.path(), "train --resume").stdout);
    for part in ["seed", "best at", "interquartile mean", "95 % interval", "not a claim", "schedule complete"] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
}

#[test]
fn killed_trainings_resume_to_the_same_report() {
    let (whole, cut) = (temp_home(), temp_home());
    let line = format!("train --seed 7 --seeds 3 --steps 60000 {SMALL} --json");
    let expected = kit::json(whole.path(), &line);
    let mut child = begun(cut.path(), &line);
    wait_until("a checkpoint of the second seed, which its second row follows", || {
        assert_eq!(child.try_wait().expect("a child"), None, "it ended before it could be killed");
        rows(cut.path(), 8).lines().count() >= 2
    });
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    let before = [7, 8].map(|seed| rows(cut.path(), seed));
    assert_eq!(without_names(kit::json(cut.path(), "train --resume --json")), without_names(expected));
    // Rows hold the time that they took, so a training that had begun again would have others.
    let after = [7, 8].map(|seed| rows(cut.path(), seed));
    assert_eq!(after[0], before[0], "the first training was complete");
    assert_eq!(after[1].lines().next(), before[1].lines().next(), "the second one goes on after its checkpoint");
}

#[cfg(unix)]
#[test]
fn interrupt_stops_all_and_says_how_to_continue() {
    let home = temp_home();
    let line = format!("train --seed 7 --seeds 3 --steps 60000 {SMALL}");
    let child = begun(home.path(), &line);
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
    let output = child.wait_with_output().expect("it ends");
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{said}\n{}", text(&output.stderr));
    let plan = with_ending(home.path(), ".seeds.json").remove(0);
    let name = plan.file_name().expect("a name").to_string_lossy().replace(".seeds.json", "");
    assert!(said.contains(&format!("Continue with `townlet train --resume {name}`")), "{said}");
    assert!(said.contains("interrupted") && said.contains("not started"), "{said}");
    assert!(with_ending(home.path(), "-seed-9.jsonl").is_empty(), "the third did not begin");
    for (args, says) in [
        (format!("--resume {name} --seeds 4"), "has 3 seeds"),
        (format!("--resume {name} --set ppo.num_epochs=2"), "without `--config` and `--set`"),
        ("--resume nobody --seeds 3".into(), "there is no"),
    ] {
        let refused = kit::townlet(home.path(), &format!("train {args}"));
        let message = text(&refused.stderr);
        assert_eq!((refused.status.code(), refused.stdout.len()), (Some(2), 0), "{args}\n{message}");
        assert!(message.contains(says), "{args}: {says:?} is not in\n{message}");
    }
    let again = kit::json(home.path(), &format!("train --resume {name} --json"));
    let ends = again["trainings"].as_array().expect("the trainings").iter().map(|training| training["end"].clone());
    assert_eq!(ends.collect::<Vec<_>>(), vec![Value::from("schedule complete"); 3]);
}

#[test]
fn diverged_seeds_do_not_stop_the_others_and_invalid_arguments_leave_nothing_behind() {
    let home = temp_home();
    let line = format!("train --seeds 2 --steps 200000 {SMALL} --set ppo.learning_rate=1 --json");
    let output = kit::townlet(home.path(), &line);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let ends: Vec<&Value> = report["trainings"].as_array().expect("both").iter().map(|it| &it["end"]).collect();
    assert_eq!(ends, ["diverged", "diverged"]);
    for (args, says) in [
        ("--seeds 1", "2..=1000"),
        ("--seeds 2 --seed 9007199254740991", "seed is 9007199254740992, out of range"),
        ("--seeds 2 --set training.replicas=0", "training.replicas"),
        ("--seeds 2 --resume", "no"),
    ] {
        let home = temp_home();
        let mut child = command(home.path(), format!("train {args}").split_whitespace());
        let output = child.stdin(Stdio::null()).output().expect("it runs");
        let message = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args}\n{message}");
        assert!(message.contains(says), "{args}: {says:?} is not in\n{message}");
        assert_eq!(files_below(home.path()), Vec::<PathBuf>::new(), "{args}");
    }
}
