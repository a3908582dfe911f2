//! `townlet train sweep`: its trials and rungs, kills, interrupts and refusals.
//!
//! Small trainings of a few updates; how well they learn is not tested here. Rule: "Sweep".

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::kit::{self, command, files_below, temp_home, text, wait_until};

/// A rollout has 6,400 resident-ticks, so the rungs are 1, 2 and 4 updates.
const SEARCH: &str = "
trials: 4
min_steps: 6000
max_steps: 25000
reduction_factor: 2
seed: 3
settings:
  - { key: ppo.learning_rate, log_uniform: [0.0001, 0.01] }
  - { key: ppo.num_epochs, integers: [1, 3] }
";

const SMALL: &str = "--set training.replicas=4 --set training.rollout_ticks=200 --set training.horizon_days=1 \
                     --set training.hidden_units=16 --set ppo.mini_batch_size=64 --set training.checkpoint_updates=1 \
                     --set training.evaluation.towns=2 --set training.evaluation.days=1";

/// A home with a search file.
fn home(search: &str) -> tempfile::TempDir {
    let home = temp_home();
    std::fs::write(home.path().join("sweep.yaml"), search).expect("it can be written");
    home
}

/// The report without the names of the sweep and its files.
fn without_names(mut report: Value) -> Value {
    for key in ["sweep", "folder", "plot", "policy"] {
        let value = report[key].take();
        assert!(value.is_string(), "{key}");
    }
    report
}

fn sweep_folder(home: &Path) -> Option<PathBuf> {
    Some(std::fs::read_dir(home.join("snapshots/sweep")).ok()?.next()?.expect("an entry").path())
}

/// The first row of each trial.
fn first_rows(home: &Path) -> Vec<String> {
    let files = files_below(home).into_iter().filter(|path| path.ends_with("rows.jsonl"));
    files
        .map(|path| std::fs::read_to_string(path).expect("rows").lines().next().unwrap_or_default().to_owned())
        .collect()
}

/// Trials that were measured so far, rung by rung.
fn measured(home: &Path) -> usize {
    let state = sweep_folder(home).and_then(|folder| std::fs::read(folder.join("sweep.json")).ok());
    let state = state.map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).expect("it is never half-written"));
    let results = |trial: &Value| trial["results"].as_array().map_or(0, Vec::len);
    state["trials"].as_array().map_or(0, |trials| trials.iter().map(results).sum())
}

#[test]
fn better_trials_go_on_and_the_same_seed_gives_the_same_sweep() {
    let one = home(SEARCH);
    let report = kit::json(one.path(), &format!("train sweep sweep.yaml {SMALL} --json"));
    assert_eq!((&report["end"], &report["rungs"]), (&"complete".into(), &json!([6_000, 12_000, 24_000, 25_000])));
    let trials = report["trials"].as_array().expect("the trials");
    let rungs = |trial: &Value| trial["results"].as_array().expect("results").len();
    assert_eq!(trials.iter().map(rungs).collect::<Vec<_>>(), [4, 2, 1, 1]);
    let score = |trial: &Value, rung: usize| trial["results"][rung]["evaluation"]["score"].as_f64().expect("a score");
    assert!(score(&trials[0], 1) >= score(&trials[1], 1), "the better one went on from rung 1");
    let dropped = trials[2..].iter().map(|trial| score(trial, 0)).fold(f64::MIN, f64::max);
    assert!(trials[..2].iter().all(|trial| score(trial, 0) >= dropped), "the better half went on from rung 0");
    for trial in trials {
        let settings = trial["settings"].as_object().expect("settings");
        assert_eq!(settings.len(), if trial["trial"] == 0 { 0 } else { 2 }, "trial 0 is the configuration as it is");
        assert!(trial["results"][0]["steps"].as_u64() >= Some(6_000));
    }
    assert_eq!(report["note"], "Scores on selection seeds: not a claim");
    // The measurement is that of `townlet eval` on selection seeds.
    let best = report["policy"].as_str().expect("a path");
    let (_, id) = best.trim_end_matches(".safetensors").rsplit_once('/').expect("a folder");
    for policy in [id, best] {
        let line = format!("eval --policy {policy} --seeds selection:2 --days 1 --choice sampled --json");
        let mean = &kit::json(one.path(), &line)["score"]["mean"];
        assert_eq!(*mean, trials[0]["results"][3]["evaluation"]["score"], "{policy}");
    }
    let listed = kit::json(one.path(), "policy list --json");
    let row = listed.as_array().expect("rows").iter().find(|row| row["id"] == id).expect("the best policy");
    assert_eq!(row["kind"], "sweep");
    let svg = std::fs::read_to_string(one.path().join(report["plot"].as_str().expect("a path"))).expect("the plot");
    assert_eq!(svg.matches("<polyline").count(), 4);
    // Training states remain only for the trial that went furthest.
    let states = files_below(one.path()).into_iter().filter(|path| path.extension().is_some_and(|it| it == "training"));
    let best_folder = format!("trial-{:03}", trials[0]["trial"].as_u64().expect("a number"));
    assert!(states.into_iter().all(|path| path.to_string_lossy().contains(&best_folder)));

    let other = home(SEARCH);
    let again = kit::json(other.path(), &format!("train sweep sweep.yaml {SMALL} --json --threads 1"));
    assert_eq!(without_names(again), without_names(report));
    let seeded = home(&SEARCH.replace("seed: 3", "seed: 4").replace("trials: 4", "trials: 2"));
    let seeded = kit::json(seeded.path(), &format!("train sweep sweep.yaml {SMALL} --json"));
    let drawn = |report: &Value| {
        let trials = report["trials"].as_array().expect("trials").clone();
        trials.into_iter().find(|trial| trial["trial"] == 1).expect("trial 1")["settings"].clone()
    };
    assert_ne!(drawn(&seeded), drawn(&kit::json(other.path(), "train sweep --resume --json")));
}

#[test]
fn killed_sweep_resumes_to_the_same_result() {
    let whole = home(SEARCH);
    let expected = kit::json(whole.path(), &format!("train sweep sweep.yaml {SMALL} --json"));
    let cut = home(SEARCH);
    let mut line = format!("train sweep sweep.yaml {SMALL} --json");
    for results in [0, 1, 4, 5] {
        let mut child = command(cut.path(), line.split_whitespace()).stdout(Stdio::null()).spawn().expect("it starts");
        wait_until("a training state and some results", || {
            assert_eq!(child.try_wait().expect("a child"), None, "it ended before it could be killed");
            let states =
                files_below(cut.path()).into_iter().any(|path| path.extension().is_some_and(|it| it == "training"));
            states && measured(cut.path()) >= results
        });
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        line = "train sweep --resume --json".into();
    }
    let before = first_rows(cut.path());
    assert_eq!(without_names(kit::json(cut.path(), &line)), without_names(expected));
    // Rows hold the time that they took, so a trial that had begun again would have others.
    assert_eq!(before.len(), 4, "every trial has begun");
    assert_eq!(first_rows(cut.path()), before, "every trial goes on where it stopped");
}

#[cfg(unix)]
#[test]
fn interrupted_sweep_says_how_to_continue_and_one_process_runs_it() {
    let home = home(&SEARCH.replace("25000", "100000000").replace("6000", "100000000"));
    let line = format!("train sweep sweep.yaml {SMALL}");
    let mut child = command(home.path(), line.split_whitespace()).spawn().expect("it starts");
    wait_until("a training state", || {
        assert_eq!(child.try_wait().expect("a child"), None, "it ended before it could be stopped");
        files_below(home.path()).into_iter().any(|path| path.extension().is_some_and(|it| it == "training"))
    });
    let second = kit::townlet(home.path(), "train sweep --resume");
    assert_eq!(second.status.code(), Some(2));
    assert!(text(&second.stderr).contains("another process runs this sweep"), "{}", text(&second.stderr));
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
    let output = child.wait_with_output().expect("it ends");
    let (said, name) = (text(&output.stdout), sweep_folder(home.path()).expect("a sweep"));
    assert_eq!(output.status.code(), Some(130), "{said}");
    let name = name.file_name().expect("a name").to_string_lossy();
    assert!(said.contains(&format!("Continue with `townlet train sweep --resume {name}`")), "{said}");
}

#[test]
fn diverged_trials_rank_last_and_the_sweep_goes_on() {
    let search = "
trials: 3
min_steps: 50000
max_steps: 50000
settings:
  - { key: ppo.learning_rate, choices: [1.0] }
";
    let home = home(search);
    let output = kit::townlet(home.path(), &format!("train sweep sweep.yaml {SMALL} --json"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let trials = report["trials"].as_array().expect("the trials");
    assert_eq!((&trials[0]["trial"], &report["best"]), (&0.into(), &0.into()));
    assert!(trials[1..].iter().all(|trial| trial["diverged"].is_string()), "{trials:?}");
    assert!(text(&output.stderr).contains("trial-001 diverged"), "{}", text(&output.stderr));
    let table = text(&kit::townlet(home.path(), "train sweep --resume").stdout);
    for part in ["rank", "ppo.learning_rate", "as configured", "diverged", "not a claim", "The best trial is 0"] {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
    let folder = sweep_folder(home.path()).expect("a sweep");
    kit::fail_writes_of(&folder.join("scores.svg"));
    let lost = kit::townlet(home.path(), "train sweep --resume");
    assert_eq!(lost.status.code(), Some(3), "{}", text(&lost.stderr));
    assert!(text(&lost.stdout).contains("The best trial is 0") && text(&lost.stderr).contains("The command ran"));
    // A sweep that began later, when the clock had been set back.
    let later = "harbour-20010101-000000-000aaa";
    let copy = folder.with_file_name(later);
    std::fs::create_dir(&copy).expect("it can be made");
    std::fs::copy(folder.join("sweep.json"), copy.join("sweep.json")).expect("it can be copied");
    let list = home.path().join("logs/runs");
    let listed = std::fs::read_to_string(&list).expect("the sweep is listed");
    std::fs::write(&list, format!("{listed}{later}\n")).expect("it can be written");
    assert_eq!(kit::json(home.path(), "train sweep --resume --json")["sweep"], later);
}

#[test]
fn a_sweep_that_needs_too_much_memory_is_refused_with_the_sum_of_its_largest_trial() {
    let settings = "
  - { key: training.replicas, choices: [4096, 5] }
  - { key: training.rollout_ticks, choices: [100000, 200] }
";
    let search = SEARCH.split("  - ").next().expect("the beginning").trim_end().to_owned() + settings;
    let home = home(&search.replace("trials: 4", "trials: 20"));
    let refused = |args: &str| {
        let output = kit::townlet(home.path(), &format!("train sweep {args}"));
        let message = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{message}");
        for part in ["trial-", "the training needs about ", "4096 towns × 100000 ticks", " are available"] {
            assert!(message.contains(part), "{part:?} is not in\n{message}");
        }
    };
    refused("sweep.yaml");
    assert_eq!(files_below(home.path()), [home.path().join("sweep.yaml")]);
    // Resumed on a smaller machine: the sweep was begun with settings that fit.
    let small = SEARCH.replace("25000", "6000").replace("trials: 4", "trials: 2");
    std::fs::write(home.path().join("sweep.yaml"), small).expect("it can be written");
    kit::json(home.path(), &format!("train sweep sweep.yaml {SMALL} --json"));
    let path = sweep_folder(home.path()).expect("a sweep").join("sweep.json");
    let text = std::fs::read_to_string(&path).expect("its state");
    let mut state: Value = serde_json::from_str(&text).expect("JSON");
    let config = state["trials"][1]["config"].as_str().expect("the configuration as text").to_owned();
    let huge = config.replace("training.replicas: 4\n", "training.replicas: 4096\n");
    let huge = huge.replace("training.rollout_ticks: 200\n", "training.rollout_ticks: 100000\n");
    state["trials"][1]["config"] = huge.into();
    std::fs::write(&path, state.to_string()).expect("it can be written");
    kit::json(home.path(), "train sweep --resume --json");
    state["trials"][1]["results"] = json!([]);
    std::fs::write(&path, state.to_string()).expect("it can be written");
    refused("--resume");
}

#[test]
fn invalid_sweeps_are_refused_and_leave_nothing_behind() {
    for (from, to, args, says) in [
        ("ppo.num_epochs", "ppo.num_epoch", "sweep.yaml", &["sweep.yaml:9", "`ppo.num_epochs`"][..]),
        ("integers: [1, 3]", "integers: [1, 101]", "sweep.yaml", &["ppo.num_epochs", "out of range", "from 1 to 100"]),
        ("log_uniform", "loguniform", "sweep.yaml", &["sweep.yaml:8", "`log_uniform`"]),
        ("seed: 3", "seed: 3\nwarm_start: somebody", "sweep.yaml", &["warm_start", "`somebody`"]),
        ("", "", "none.yaml", &["none.yaml", "no such file"]),
        ("", "", "", &["FILE"]),
        ("", "", "--resume", &["no sweep in", "townlet train sweep FILE"]),
        ("", "", "--resume nobody", &["no sweep `nobody`"]),
        ("", "", "--resume --set seed=3", &["--resume", "--set"]),
        ("", "", "sweep.yaml --set ppo.num_epoch=3", &["ppo.num_epoch"]),
    ] {
        let home = home(&SEARCH.replacen(from, to, 1));
        let output = kit::townlet(home.path(), &format!("train sweep {args}"));
        let message = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{to} {args}\n{message}");
        for part in says {
            assert!(message.contains(part), "{to} {args}: {part:?} is not in\n{message}");
        }
        assert_eq!(files_below(home.path()), [home.path().join("sweep.yaml")], "{to} {args}");
    }
}
