//! `townlet train` and its policies: interrupted, resumed, released, damaged and refused.
//!
//! Runs the program on a small network and a few towns; how well it learns is not tested here. Rule: "Checkpoints".

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::kit::{self, command, files_below, json, shipped_policy, temp_home, wait_until};
use townlet_learn::checkpoint::{Checkpoint, Registry};
use townlet_learn::{Choice, NetworkPolicy};
use townlet_shard::Driver;
use townlet_town::Rules;

/// A small training with a checkpoint every other update.
const SMALL: &str = "train --seed 3 --set training.replicas=5 --set training.rollout_ticks=200 --set training.horizon_days=1 \
                     --set training.hidden_units=16 --set ppo.mini_batch_size=64 --set training.checkpoint_updates=2";

fn townlet(home: &Path, line: &str) -> (Option<i32>, String, String) {
    ended(kit::townlet(home, line))
}

fn ended(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Files of the shadow folder with this extension.
fn shadows(home: &Path, ending: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(home.join("snapshots/shadow")).into_iter().flatten().flatten();
    files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|found| found == ending)).collect()
}

/// Starts a long training, waits for a training state of its own, and sends a signal.
fn stopped(home: &Path, line: &str, signal: &str) -> (Option<i32>, String, String) {
    let states = || files_below(home).into_iter().filter(|path| path.extension().is_some_and(|it| it == "training"));
    let before: Vec<PathBuf> = states().collect();
    let mut child = command(home, line.split_whitespace()).spawn().expect("the program starts");
    wait_until("a training that can be resumed", || {
        assert_eq!(child.try_wait().expect("it can be asked"), None, "it ended before it could be stopped");
        states().any(|state| !before.contains(&state))
    });
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
    ended(child.wait_with_output().expect("it ends"))
}

#[test]
fn ctrl_c_saves_and_prints_how_to_resume() {
    let home = temp_home();
    let (code, out, said) = stopped(home.path(), &format!("{SMALL} --steps 100000000 --plot --home elsewhere"), "-INT");
    assert_eq!(code, Some(130), "{said}");
    let resume =
        out.split("Continue with `townlet ").nth(1).and_then(|rest| rest.split('`').next()).expect("how to go on");
    let svg = out.lines().find_map(|line| line.strip_prefix("curves ")).expect("where the curves are").trim();
    assert!(std::fs::read_to_string(home.path().join(svg)).expect("curves").starts_with("<svg"));
    let again = json(home.path(), &format!("{resume} --minutes 0.001 --json"));
    assert_eq!(again["end"], "time limit reached");
    assert!(again["row"]["update"].as_u64() >= Some(2));
}

#[test]
fn the_best_checkpoint_by_held_out_score_is_named_by_every_command() {
    let home = temp_home();
    let evaluated = "--set training.evaluation.every_steps=10000 --set training.evaluation.towns=2 \
                     --set training.evaluation.days=1 --set training.checkpoint_updates=1";
    let report = json(home.path(), &format!("{SMALL} --steps 60000 --json {evaluated}"));
    let best = report["best"]["checkpoint"].as_str().expect("an evaluation");
    assert!(home.path().join(report["best"]["policy"].as_str().expect("a path")).is_file());
    let listed = json(home.path(), "policy list --json");
    let listed = listed.as_array().expect("a list");
    let marked: Vec<&Value> =
        listed.iter().filter(|row| row["best"] == true && row["kind"] == "shadow").map(|row| &row["id"]).collect();
    assert_eq!(marked, [best], "one of the {} checkpoints", listed.len());
    let inspected = json(home.path(), &format!("policy inspect {best} --json"));
    assert_eq!(inspected["meta"]["evaluation"], report["best"]["evaluation"]);
    let (_, text, _) = townlet(home.path(), &format!("policy inspect {best}"));
    let row = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    assert!(row("held-out score").contains("on 2 towns of 1 day, seeds from 2251799813685248"), "{text}");
    assert!(row("best so far").contains("this one"), "{text}");
    let (_, text, _) = townlet(home.path(), "train --resume --plot");
    let mut lines = text.lines().skip_while(|line| !line.starts_with("best "));
    let [path, verdict] = [lines.next(), lines.next()].map(Option::unwrap_or_default);
    assert!(path.ends_with(&format!("{best}.safetensors")), "{text}");
    assert!(
        verdict.contains(" on 2 held-out towns of 1 day after ") && verdict.contains("not to be shipped"),
        "{text}"
    );
    assert!(text.lines().any(|line| line.starts_with("held-out score ")), "a curve: {text}");
}

#[test]
fn a_resume_continues_the_training_that_began_last_whatever_the_clock_said() {
    let home = temp_home();
    let trained = |steps| json(home.path(), &format!("{SMALL} --steps {steps} --json"))["run"].clone();
    let [first, second] = [8_000, 20_000].map(trained);
    let resumed = || json(home.path(), "train --resume --json")["run"].clone();
    assert_eq!(resumed(), second);
    let list = home.path().join("logs/runs");
    let name = |run: &Value| run.as_str().expect("a name").to_owned();
    let listed = std::fs::read_to_string(&list).expect("the trainings are listed");
    let listed: Vec<&str> = listed.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(listed, [name(&first), name(&second)]);
    // The clock was set back before the training that now counts as the second.
    std::fs::write(&list, format!("{}\n{}\n", name(&second), name(&first))).expect("it can be written");
    assert_eq!(resumed(), first);
    // Earlier builds wrote no list, and their trainings come before those that are in it.
    std::fs::remove_file(&list).expect("it can be removed");
    assert_eq!(resumed(), second);
    std::fs::write(&list, format!("{}\n", name(&first))).expect("it can be written");
    assert_eq!(resumed(), first);
}

#[test]
fn a_picture_that_is_lost_does_not_hide_the_result() {
    let home = temp_home();
    let report = json(home.path(), &format!("{SMALL} --steps 8000 --plot --json"));
    let (svg, id) = (report["plot"].as_str().expect("a path"), report["checkpoint"].as_str().expect("an id"));
    kit::fail_writes_of(&home.path().join(svg));
    let (code, out, said) = townlet(home.path(), "train --resume --plot");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains(svg) && said.contains("directory") && said.contains("The command ran"), "{said}");
    assert!(out.contains(id) && out.contains("schedule complete") && !out.contains("curves "), "{out}");
    let (code, out, _) = townlet(home.path(), "train --resume --plot --json");
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &report["checkpoint"], &report["plot"]), (Some(3), &id.into(), &Value::Null));
}

#[test]
fn a_training_starts_from_a_checkpoint_or_imitates_it_and_says_so() {
    let home = temp_home();
    let first = json(home.path(), &format!("{SMALL} --steps 10000 --json"));
    let id = first["checkpoint"].as_str().expect("an id");
    let meta = |report: &Value| {
        let id = report["checkpoint"].as_str().expect("an id");
        json(home.path(), &format!("policy inspect {id} --json"))["meta"].clone()
    };
    let staged = meta(&json(home.path(), &format!("{SMALL} --steps 9000 --json --from {id}")));
    assert_eq!((&staged["parent"], &staged["started_from"]), (&Value::from(id), &Value::from(id)));
    assert_eq!((&staged["warm_start"], &staged["imitated"]), (&Value::Bool(false), &Value::Null));
    assert!(staged["steps"].as_u64() < Some(20_000), "its steps are counted anew: {staged}");
    let other = "--set training.hidden_units=24 --set training.warm_start_rollouts=1";
    let taught = meta(&json(home.path(), &format!("{SMALL} --steps 9000 --json --warm-start {id} {other}")));
    assert_eq!((&taught["parent"], &taught["imitated"]), (&Value::Null, &Value::from(id)));
    assert_eq!(taught["started_from"], Value::Null);
}

#[test]
fn a_training_beside_a_town_that_needs_too_much_memory_is_refused_before_anything_is_written() {
    let home = temp_home();
    let huge = "--set training.replicas=4096 --set training.rollout_ticks=100000";
    let (code, out, said) = townlet(home.path(), &format!("--headless --train --tick-limit 9 {huge}"));
    assert_eq!((code, out.as_str()), (Some(2), ""), "{said}");
    assert!(said.contains("--train") && said.contains("4096 towns × 100000 ticks"), "{said}");
    assert!(std::fs::read_dir(home.path()).expect("a folder").next().is_none(), "something was written");
}

/// Records in a `TFRecord` file: a length, its checksum, the content, its checksum.
fn records(path: &Path) -> usize {
    let bytes = std::fs::read(path).expect("an event file");
    let (mut at, mut count) = (0, 0);
    while at < bytes.len() {
        at += 16 + u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes")) as usize;
        count += 1;
    }
    assert_eq!(at, bytes.len(), "the last record is complete");
    count
}

#[test]
fn event_files_hold_a_record_per_update_and_a_resumed_training_starts_another() {
    let home = temp_home();
    let line = format!("{SMALL} --steps 100000000 --tensorboard events");
    let (code, out, said) = stopped(home.path(), &line, "-TERM");
    assert_eq!(code, Some(130), "{said}");
    let first = home.path().join(out.lines().find_map(|line| line.strip_prefix("events ")).expect("a path").trim());
    let resumed = json(home.path(), "train --resume --minutes 0.0001 --json --tensorboard events");
    let updates = resumed["row"]["update"].as_u64().expect("a number") as usize;
    assert_eq!(records(&first), 1 + updates, "the version and the rows");
    let second = home.path().join(resumed["tensorboard"].as_str().expect("a path"));
    assert_eq!((records(&second), first.parent()), (2, second.parent()), "the version and what to drop");
    assert!(first < second, "TensorBoard reads them in this order");
    std::fs::write(home.path().join("file"), "").expect("it can be written");
    let (code, _, said) = townlet(home.path(), &format!("{SMALL} --tensorboard file"));
    assert!(code == Some(2) && said.contains("--tensorboard file"), "{said}");
}

#[test]
fn released_checkpoint_drives_a_town_and_damaged_ones_are_refused() {
    let home = temp_home();
    let report = json(home.path(), &format!("{SMALL} --steps 20000 --json"));
    let id = report["checkpoint"].as_str().expect("an id");
    let run = format!("--headless --tick-limit 200 --json --set policy.release={id}");
    let refused = |line: &str, parts: &[&str]| {
        let (code, out, said) = townlet(home.path(), line);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{said}");
        for part in parts {
            assert!(said.contains(part), "{part} is not in\n{said}");
        }
        assert!(!home.path().join("logs/journal").exists(), "nothing was written");
    };
    refused(&run, &[id, "shadow", "to release it"]);
    let shadow = home.path().join(report["policy"].as_str().expect("a path"));
    let released = home.path().join(format!("snapshots/rel/{id}.safetensors"));
    std::fs::create_dir_all(released.parent().expect("a folder")).expect("it can be made");
    let bytes = std::fs::read(&shadow).expect("a checkpoint");
    std::fs::write(&released, &bytes[..bytes.len() - 5]).expect("it can be written");
    refused(&run, &[id, "truncated"]);
    let mut altered = bytes.clone();
    *altered.last_mut().expect("bytes") ^= 1;
    std::fs::write(&released, &altered).expect("it can be written");
    refused(&run, &[id, "was altered"]);
    std::fs::write(&released, &bytes).expect("it can be written");
    refused(&format!("{run} --set features.systems.observations=full"), &[id, "observations", "`compact`", "`full`"]);
    refused("--headless --tick-limit 9 --set policy.release=nobody", &["`nobody`", "shipped, scripted"]);
    assert_eq!(json(home.path(), &run)["policy"], id);
    // `eval` finds it by its id as well.
    let judged = json(home.path(), &format!("eval --policy {id} --seeds 2 --days 1 --choice greedy --json"));
    assert_eq!((&judged["policy"], &judged["against"]["policy"]), (&format!("{id} greedy").into(), &"scripted".into()));
}

#[test]
fn running_town_does_not_need_its_checkpoint_file() {
    let home = temp_home();
    let (sources, registry) = (kit::default_sources(&[]), Registry::new(home.path().join("snapshots/rel")));
    let mut shipped = shipped_policy();
    shipped.meta.seed += 1;
    let (id, bytes) = Checkpoint::encode(&shipped.meta, &shipped.weights, &shipped.normalizer);
    let file = registry.path(&id);
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("it can be made");
    std::fs::write(&file, bytes).expect("it can be written");
    let rules = Rules::new(sources.clone()).expect("a town");
    let network = NetworkPolicy::new(&registry.load(&id).expect("it is whole"), &rules, Choice::default());
    let driver = Driver::Network(Box::new(network.expect("it fits")));
    let town = townlet_shard::start(sources, 7, townlet_shard::Options { driver, ..kit::options(home.path(), true) })
        .expect("it starts");
    assert_eq!(town.run_to(20, |_| true), Some(20));
    std::fs::write(&file, "nothing of use").expect("it can be written");
    assert_eq!(town.run_to(60, |_| true), Some(60));
    assert_eq!(town.view().expect("it runs").0.policy.id, id);
    town.stop().expect("it is saved");
}

#[test]
fn shipped_policy_drives_the_default_town_and_replay_needs_no_policy() {
    let home = temp_home();
    let shipped = json(home.path(), "policy inspect shipped --json");
    assert_eq!(shipped["refused_here"], Value::Null);
    let first = json(home.path(), "--headless --tick-limit 600 --json");
    assert_eq!(first["policy"], shipped["id"]);
    let run = first["run_id"].as_str().expect("a run");
    let replayed = json(home.path(), &format!("replay {run} --json"));
    assert_eq!((&replayed["digest"], &replayed["disagreement"]), (&first["digest"], &Value::Null));
    // Resumed, the run equals one that never stopped.
    let second = json(home.path(), "--headless --resume --tick-limit 1200 --json");
    let apart = temp_home();
    let whole = json(apart.path(), "--headless --tick-limit 1200 --json");
    assert_eq!(second["digest"], whole["digest"]);
    assert_eq!(json(home.path(), &format!("replay {run} --json"))["digest"], whole["digest"]);
    let scripted = json(apart.path(), "--headless --tick-limit 1200 --json --set policy.release=scripted");
    assert_eq!(scripted["policy"], "scripted");
    assert_ne!(scripted["digest"], whole["digest"]);
}

#[test]
fn telemetry_names_the_policy_and_its_top_options() {
    let home = temp_home();
    let sources = kit::default_sources(&[]);
    let shipped = shipped_policy();
    let rules = Rules::new(sources.clone()).expect("a town");
    let network = NetworkPolicy::new(&shipped, &rules, Choice::default()).expect("it fits");
    let options =
        townlet_shard::Options { driver: Driver::Network(Box::new(network)), ..kit::options(home.path(), true) };
    let town = townlet_shard::start(sources, 7, options).expect("it starts");
    assert_eq!(town.run_to(50, |_| true), Some(50));
    let (view, _) = town.view().expect("it runs");
    assert_eq!((view.policy.id.as_str(), view.policy.kind.as_str()), (shipped.id.as_str(), "network"));
    assert!(!view.agents.is_empty());
    for agent in &view.agents {
        let top: Vec<f64> = agent.top_options.iter().map(|top| top.probability).collect();
        assert!(top.len() == 3 && top[0] > 0.0 && top.is_sorted_by(|a, b| a >= b), "{top:?}");
        assert!(top.iter().sum::<f64>() < 1.001 && agent.value.expect("a value").is_finite());
    }
    town.stop().expect("it is saved");
    // Resuming with another policy is noted.
    let recorded =
        townlet_shard::find_run(&townlet_shard::Home::new(home.path()), "harbour", None, "snapshots").expect("the run");
    let town = townlet_shard::resume(&recorded, kit::options(home.path(), true)).expect("it goes on");
    let report = format!("the policy was {}; from tick 50 on it is scripted.", shipped.id);
    assert!(town.notes.contains(&report), "{:?}", town.notes);
    let (view, _) = town.view().expect("it runs");
    assert_eq!(view.policy.id, "scripted");
    assert!(view.agents.iter().all(|agent| agent.top_options.is_empty() && agent.value.is_none()));
    town.stop().expect("it is saved");
}

#[test]
fn training_continues_while_the_disk_fails_and_writes_everything_later() {
    use std::io::{BufRead, BufReader};
    let home = temp_home();
    // Files take the place of its folders.
    let blocked = ["snapshots/shadow", "logs/training"].map(|folder| home.path().join(folder));
    for path in &blocked {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
        std::fs::write(path, b"").expect("it can be written");
    }
    let line = format!("{SMALL} --steps 1000000000");
    let mut child = command(home.path(), line.split_whitespace())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut said = BufReader::new(child.stderr.take().expect("its messages")).lines().map_while(Result::ok);
    let refused = said.find(|line| line.contains("logs/training")).expect("it says what the disk refuses");
    assert!(refused.contains("The training continues"), "{refused}");
    for path in &blocked {
        std::fs::remove_file(path).expect("it can be removed");
    }
    assert!(said.any(|line| line.contains("rows and checkpoints can be written again")));
    let signal = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("a signal");
    assert!(signal.success());
    assert_eq!(child.wait().expect("its status").code(), Some(130));
    assert!(!shadows(home.path(), "training").is_empty());
    let rows = std::fs::read_dir(home.path().join("logs/training")).expect("rows").flatten().next().expect("a file");
    let text = std::fs::read_to_string(rows.path()).expect("text");
    let updates: Vec<u64> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a row")["update"].as_u64().expect("a number"))
        .collect();
    assert_eq!(updates, (1..=updates.len() as u64).collect::<Vec<_>>(), "none is missing, none stands twice");
    // After a resume there are two states. When the newest is damaged, the one before it is resumed, with a note.
    assert_eq!(stopped(home.path(), "train --resume", "-INT").0, Some(130));
    let newest =
        shadows(home.path(), "training").into_iter().max_by_key(|path| path.metadata().unwrap().modified().unwrap());
    let newest = newest.expect("a training");
    std::fs::write(&newest, b"townlet-train-2\ncut").expect("it can be written");
    let (code, _, said) = townlet(home.path(), "train --resume --minutes 0.0001");
    let id = newest.file_stem().unwrap().to_str().unwrap();
    assert!(code == Some(0) && said.contains(id) && said.contains("Skipped"), "{said}");
}
