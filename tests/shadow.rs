//! The training beside a town (`--train`): on a live shard, and in the program itself, stopped, killed and gone on with.
//!
//! Trains a small network on a few towns; how well it learns is not asked here. Rule: "Shadow training".

#![cfg(unix)]

mod live;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use live::{FILE, Live, SMALL, filed, home, options, read, sources, wait_for};
use serde_json::Value;
use townlet_learn::checkpoint::{Checkpoint, Registry, Saved};
use townlet_learn::{Choice, NetworkPolicy};
use townlet_shard::Options;
use townlet_shard::training::TrainingSpec;
use townlet_town::Rules;
use townlet_wire::Snapshot;

/// The shadow folder of a home.
fn registry(home: &Path) -> Registry {
    Registry::new(home.join("snapshots/shadow"))
}

#[track_caller]
fn newest(home: &Path) -> Saved {
    registry(home).newest_training().expect("a training that can be gone on with")
}

/// The rows of a home's only training.
#[track_caller]
fn rows(home: &Path) -> Vec<Value> {
    let files = std::fs::read_dir(home.join("logs/training")).into_iter().flatten().flatten();
    let files: Vec<_> = files.map(|file| file.path()).collect();
    assert!(files.len() < 2, "{files:?}");
    let text = files.first().map(|file| std::fs::read_to_string(file).expect("rows")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a row a line")).collect()
}

/// What stands in the rows' files; the last line may be on its way.
fn rows_so_far(home: &Path) -> String {
    let files = std::fs::read_dir(home.join("logs/training")).into_iter().flatten().flatten();
    files.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default()).collect()
}

/// The updates of a home's only training, which must follow one another from the first; how many.
#[track_caller]
fn updates(home: &Path) -> u64 {
    let found: Vec<u64> = rows(home).iter().map(|row| row["update"].as_u64().expect("a number")).collect();
    assert!(found.iter().copied().eq(1..=found.len() as u64), "{found:?}");
    found.len() as u64
}

/// A held town with a small training and these settings.
fn training(home: &Path, settings: &[(&str, &str)]) -> Live {
    let sources = sources(false, &[SMALL, settings].concat());
    let training = Some(TrainingSpec::new(&sources, None).expect("they go together"));
    Live::around(
        townlet_shard::start(sources, 7, Options { training, ..options(home, true) }).expect("the shard starts"),
    )
}

fn update(view: &Snapshot) -> u64 {
    view.learning.history.last().map_or(0, |row| row.update)
}

#[track_caller]
fn wait_for_state(live: &Live, state: &str) -> Arc<Snapshot> {
    wait_for(&live.watch(), state, |view| view.learning.state == state)
}

#[test]
fn the_town_lives_the_same_with_a_training_beside_it() {
    let (alone, beside) = (home(), home());
    let plain = townlet_shard::start(sources(false, SMALL), 7, options(alone.path(), true)).expect("the shard starts");
    let (alone, beside) = (Live::around(plain), training(beside.path(), &[]));
    assert_eq!(alone.view().learning.state, "off");
    let views = beside.watch();
    for round in 1..=3 {
        wait_for(&views, "an update", |view| update(view) >= round);
        for live in [&alone, &beside] {
            live.run(500);
            live.done("setneed ada hunger 0.5");
        }
        assert_eq!(beside.digest(), alone.digest(), "round {round}");
    }
}

#[test]
fn a_training_goes_on_under_what_was_reloaded() {
    let home = home();
    let small: String = SMALL
        .iter()
        .map(|(key, value)| {
            key.split_once('.').map_or_else(String::new, |(section, name)| format!("{section}.{name}: {value}\n"))
        })
        .collect();
    let section = |name: &str| {
        let rows = small.lines().filter_map(|line| line.strip_prefix(&format!("{name}.")));
        format!("{name}: {{ {} }}\n", rows.collect::<Vec<_>>().join(", "))
    };
    let file = format!("policy: {{ release: scripted }}\n{}{}", section("training"), section("ppo"));
    std::fs::write(home.path().join(FILE), &file).unwrap();
    let start = || {
        let sources = read(home.path()).expect("the file holds").sources;
        let training = Some(TrainingSpec::new(&sources, None).expect("they go together"));
        Live::around(
            townlet_shard::start(sources, 7, Options { training, ..filed(home.path()) }).expect("the shard starts"),
        )
    };
    let live = start();
    let views = live.watch();
    wait_for(&views, "a checkpoint", |view| view.learning.checkpoint.is_some());
    live.done("training pause");
    wait_for_state(&live, "paused");
    let clip = |saved: &Saved| {
        let text = saved.sources.config.canonical();
        text.lines().find_map(|line| line.strip_prefix("rewards.clip.clip_per_tick: ")).map(str::to_owned)
    };
    assert_eq!(clip(&newest(home.path())).as_deref(), Some("1"), "the recipe's");
    let before = (newest(home.path()).run, update(&live.view()));
    let lower = "rewards: { clip: { clip_per_tick: 0.05 } }\n";
    std::fs::write(home.path().join(FILE), format!("{file}{lower}")).unwrap();
    live.done("reload_config");
    live.done("training resume");
    wait_for(&views, "two further checkpoints", |view| update(view) >= before.1 + 5);
    live.shard.stop().expect("everything is saved");
    let saved = newest(home.path());
    assert_eq!((clip(&saved).as_deref(), &saved.run), (Some("0.05"), &before.0), "the same training goes on");
    // Whoever starts with what differs in such settings alone goes on with it, too.
    std::fs::write(home.path().join(FILE), file.clone()).unwrap();
    let live = start();
    let seen = wait_for(&live.watch(), "the training", |view| !view.learning.run.is_empty());
    assert_eq!(seen.learning.run, before.0);
    live.shard.stop().expect("everything is saved");
    assert!(updates(home.path()) > before.1);
}

#[test]
fn stopping_saves_and_the_next_shard_goes_on_as_if_nothing_had_happened() {
    let (whole, cut) = (home(), home());
    // No checkpoint but those of stopping and of the end.
    let steps = [("training.total_steps", "64000"), ("training.checkpoint_updates", "1000000")];
    let (uncut, first) = (training(whole.path(), &steps), training(cut.path(), &steps));
    wait_for(&first.watch(), "an update", |view| update(view) > 0);
    first.shard.stop().expect("everything is saved");
    let (saved, written) = (newest(cut.path()), updates(cut.path()));
    assert_eq!(saved.progress.updates, written, "a checkpoint of the last row");
    let second = training(cut.path(), &steps);
    let [there, here] = [&uncut, &second].map(|live| wait_for_state(live, "finished"));
    assert_eq!(here.learning.run, saved.run);
    assert_eq!(here.learning.history[..written as usize].last().map(|row| row.update), Some(written), "rows of before");
    let load = |home: &Path, view: &Snapshot| {
        let id = view.learning.checkpoint.clone().expect("a checkpoint");
        registry(home).load(&id).expect("it is whole")
    };
    let [there, here] = [load(whole.path(), &there), load(cut.path(), &here)];
    assert_eq!((here.weights, here.normalizer), (there.weights, there.normalizer), "the same bits");
    assert_eq!(updates(cut.path()), updates(whole.path()), "none twice");
    // Finished, it says so, and the next shard has nothing left to learn.
    assert_eq!(second.refused("training pause"), "E_CONFLICT");
    second.shard.stop().expect("everything is saved");
    let third = training(cut.path(), &steps);
    wait_for_state(&third, "finished");
    assert_eq!(updates(cut.path()), updates(whole.path()));
    // Taught otherwise it is another training.
    third.shard.stop().expect("everything is saved");
    let other = training(cut.path(), &[("training.total_steps", "64001")]);
    let view = wait_for(&other.watch(), "an update", |view| update(view) > 0);
    assert_ne!(view.learning.run, saved.run);
}

#[test]
fn a_candidate_fits_the_town_and_comes_from_its_release() {
    let home = home();
    let shipped = Checkpoint::embedded(include_bytes!("../configs/policies/shipped.safetensors")).expect("it is whole");
    let settings = [SMALL, &[("training.hidden_units", "128")]].concat();
    let sources = sources(false, &settings);
    let training = Some(TrainingSpec::new(&sources, Some(shipped.clone())).expect("they go together"));
    let options = Options { training, ..options(home.path(), true) };
    let live = Live::around(townlet_shard::start(sources.clone(), 7, options).expect("the shard starts"));
    let view = wait_for(&live.watch(), "a checkpoint", |view| view.learning.checkpoint.is_some());
    let id = view.learning.checkpoint.clone().expect("just seen");
    let candidate = registry(home.path()).load(&id).expect("it is whole");
    let (mut first, parent) = (candidate.clone(), |it: &Checkpoint| it.meta.parent.clone().expect("a parent"));
    while first.meta.updates > 2 {
        first = registry(home.path()).load(&parent(&first)).expect("it is whole");
    }
    assert_eq!(parent(&first), shipped.id);
    let rules = Rules::new(sources).expect("a town");
    NetworkPolicy::new(&candidate, &rules, Choice::default()).expect("it drives this town");
}

#[test]
fn a_training_that_explodes_is_told_and_leaves_the_town_and_the_last_good_checkpoint() {
    let home = home();
    let live = training(home.path(), &[("ppo.learning_rate", "0.3"), ("training.checkpoint_updates", "1")]);
    let view = wait_for_state(&live, "diverged");
    assert!(view.learning.detail.contains("became"), "{}", view.learning.detail);
    let alert = view.alerts.iter().find(|alert| alert.name == "training_diverged").expect("an alert");
    assert_eq!((alert.severity.as_str(), alert.message.contains(&view.learning.detail)), ("warning", true));
    assert_eq!(view.alerts_raised.get("training_diverged"), Some(&1));
    live.run(200);
    assert_eq!(live.refused("training resume"), "E_CONFLICT");
    if let Some(id) = &view.learning.checkpoint {
        registry(home.path()).load(id).expect("it is whole");
    }
    live.shard.stop().expect("the town is saved");
}

#[test]
fn a_disk_that_fails_is_told_and_tried_again() {
    let home = home();
    let place = home.path().join("logs/training");
    std::fs::create_dir_all(home.path().join("logs")).expect("a folder");
    std::fs::write(&place, "in the way").expect("a file");
    let live = training(home.path(), &[]);
    let view = wait_for_state(&live, "failed");
    assert!(view.learning.detail.contains("logs/training"), "{}", view.learning.detail);
    assert!(view.alerts.iter().any(|alert| alert.name == "training_failed" && alert.severity == "warning"));
    live.run(100);
    std::fs::remove_file(&place).expect("it goes");
    let view = wait_for(&live.watch(), "an update", |view| update(view) > 0);
    assert_eq!((view.learning.state.as_str(), view.alerts.len()), ("training", 0));
    live.shard.stop().expect("everything is saved");
    assert_eq!(newest(home.path()).progress.updates, updates(home.path()));
}

#[test]
fn a_training_is_gone_on_with_by_one_shard_at_a_time() {
    let home = home();
    let first = training(home.path(), &[]);
    let view = wait_for(&first.watch(), "a checkpoint", |view| view.learning.checkpoint.is_some());
    let second = training(home.path(), &[]);
    let other = wait_for(&second.watch(), "an update", |view| update(view) > 0);
    assert_ne!(other.learning.run, view.learning.run);
}

// ---- the program itself -----------------------------------------------------------------------------------------

fn townlet(home: &Path, line: &str, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_townlet"));
    command.args(line.split_whitespace()).current_dir(home).env("XDG_CONFIG_HOME", home.join("config"));
    for (key, value) in SMALL.iter().chain(settings) {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts it, waits until `there` is so, sends a signal, and waits for its end.
#[track_caller]
fn stopped(mut command: Command, signal: &str, mut there: impl FnMut() -> bool) -> (Option<i32>, String) {
    let mut child = command.spawn().expect("the program starts");
    while !there() {
        assert_eq!(child.try_wait().expect("it can be asked"), None, "it ended before it could be stopped");
        std::thread::yield_now();
    }
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

#[test]
fn a_batch_and_a_service_train_and_save_when_they_are_told_to_end() {
    for (line, code) in [("run --headless --train --days 1000000", 130), ("serve --train --listen 127.0.0.1:0", 0)] {
        let home = home();
        let seldom = [("training.checkpoint_updates", "1000000")];
        let begun = || rows_so_far(home.path()).contains('\n');
        let (ended, said) = stopped(townlet(home.path(), line, &seldom), "-TERM", begun);
        assert_eq!(ended, Some(code), "{line}: {said}");
        let saved = newest(home.path());
        assert_eq!(saved.progress.updates, updates(home.path()), "{line}: a checkpoint of the last row");
        registry(home.path()).load(&saved.policy).expect("it is whole");
    }
}

#[test]
fn an_update_that_would_take_minutes_is_cut_off() {
    let home = home();
    let endless = [("training.rollout_ticks", "100000"), ("training.replicas", "64")];
    let begun = || home.path().join("logs/journal").exists();
    let command = townlet(home.path(), "run --headless --train --days 1000000", &endless);
    let (ended, said) = stopped(command, "-TERM", begun);
    assert_eq!(ended, Some(130), "{said}");
    assert!(rows(home.path()).is_empty() && registry(home.path()).ids().is_empty(), "nothing was learned");
}

#[test]
fn killed_on_the_spot_it_goes_on_from_its_last_checkpoint() {
    let home = home();
    let line = "run --headless --train --days 1000000";
    let (ended, said) = stopped(townlet(home.path(), line, &[]), "-KILL", || {
        registry(home.path()).newest_training().is_some_and(|saved| saved.progress.updates >= 4)
    });
    assert_eq!(ended, None, "{said}");
    let before = newest(home.path());
    let line = format!("{line} --resume");
    let (ended, said) = stopped(townlet(home.path(), &line, &[]), "-TERM", || {
        registry(home.path()).newest_training().is_some_and(|saved| saved.progress.updates > before.progress.updates)
    });
    assert_eq!(ended, Some(130), "{said}");
    let after = newest(home.path());
    assert_eq!((after.run, after.progress.updates), (before.run, updates(home.path())));
}

#[test]
fn what_does_not_go_together_is_refused_before_anything_is_written() {
    let home = home();
    // A bonus that this town's rewards outweigh and those it would be taught with do not.
    let odd = [("needs.decay_rates.hunger", "0.0002"), ("rewards.homeostasis_scale", "1")];
    let ended = townlet(home.path(), "run --headless --train", &odd).output().expect("the program runs");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains("--train") && said.contains("punctuality_bonus"), "{said}");
    assert!(std::fs::read_dir(home.path()).expect("a folder").next().is_none(), "something was written");
}
