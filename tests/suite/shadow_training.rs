//! Training beside a town (`--train`): on a live shard, and in the program, stopped, killed and resumed.
//!
//! Trains a small network on a few towns; how well it learns is not tested here. Rule: "Shadow training".

use std::num::NonZero;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::kit::{
    CONFIG_FILE, SMALL_TRAINING, TestShard, command, default_sources, options, options_with_reload, read_config,
    shipped_policy, temp_home, wait_for, wait_until,
};
use serde_json::Value;
use townlet_learn::checkpoint::{Checkpoint, Registry, TrainingState};
use townlet_learn::train::{Plan, Trainer};
use townlet_learn::{Choice, NetworkPolicy};
use townlet_shard::training::{TrainingSpec, newest_training};
use townlet_shard::{Home, Options};
use townlet_town::Rules;
use townlet_wire::Snapshot;

/// The shadow folder of a home.
fn registry(home: &Path) -> Registry {
    Registry::new(home.join("snapshots/shadow"))
}

#[track_caller]
fn newest(home: &Path) -> TrainingState {
    newest_training(&Home::new(home), &registry(home), |_| true).expect("a training that can be gone on with")
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

/// The text of the row files; the last line may be incomplete.
fn rows_so_far(home: &Path) -> String {
    let files = std::fs::read_dir(home.join("logs/training")).into_iter().flatten().flatten();
    files.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default()).collect()
}

/// The number of updates of a home's only training, which must be consecutive from 1.
#[track_caller]
fn updates(home: &Path) -> u64 {
    let found: Vec<u64> = rows(home).iter().map(|row| row["update"].as_u64().expect("a number")).collect();
    assert!(found.iter().copied().eq(1..=found.len() as u64), "{found:?}");
    found.len() as u64
}

/// A town with a small training and these settings.
fn training(home: &Path, settings: &[(&str, &str)]) -> TestShard {
    let sources = default_sources(&[SMALL_TRAINING, settings].concat());
    let training = Some(TrainingSpec::new(&sources, None).expect("they go together"));
    TestShard::from_handle(
        townlet_shard::start(sources, 7, Options { training, ..options(home, true) }).expect("the shard starts"),
    )
}

fn update(view: &Snapshot) -> u64 {
    view.learning.history.last().map_or(0, |row| row.update)
}

#[track_caller]
fn wait_for_state(live: &TestShard, state: &str) -> Arc<Snapshot> {
    wait_for(&live.watch(), state, |view| view.learning.state == state)
}

#[test]
fn training_does_not_change_the_towns_digests() {
    let (alone, beside) = (temp_home(), temp_home());
    let plain = townlet_shard::start(default_sources(SMALL_TRAINING), 7, options(alone.path(), true))
        .expect("the shard starts");
    let (alone, beside) = (TestShard::from_handle(plain), training(beside.path(), &[]));
    assert_eq!(alone.view().learning.state, "off");
    let views = beside.watch();
    for round in 1..=3 {
        wait_for(&views, "an update", |view| update(view) >= round);
        for live in [&alone, &beside] {
            live.run(500);
            live.expect_ok("setneed ada hunger 0.5");
        }
        assert_eq!(beside.digest(), alone.digest(), "round {round}");
    }
}

#[test]
fn training_continues_under_a_reloaded_configuration() {
    let home = temp_home();
    let small: String = SMALL_TRAINING
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
    std::fs::write(home.path().join(CONFIG_FILE), &file).unwrap();
    let start = || {
        let sources = read_config(home.path()).expect("the file holds").sources;
        let training = Some(TrainingSpec::new(&sources, None).expect("they go together"));
        TestShard::from_handle(
            townlet_shard::start(sources, 7, Options { training, ..options_with_reload(home.path()) })
                .expect("the shard starts"),
        )
    };
    let live = start();
    let views = live.watch();
    wait_for(&views, "a checkpoint", |view| view.learning.checkpoint.is_some());
    live.expect_ok("training pause");
    wait_for_state(&live, "paused");
    let clip = |saved: &TrainingState| {
        let text = saved.sources.config.canonical();
        text.lines().find_map(|line| line.strip_prefix("rewards.clip.clip_per_tick: ")).map(str::to_owned)
    };
    assert_eq!(clip(&newest(home.path())).as_deref(), Some("0.2"), "the town's own");
    let before = (newest(home.path()).run, update(&live.view()));
    let lower = "rewards: { clip: { clip_per_tick: 0.05 } }\n";
    std::fs::write(home.path().join(CONFIG_FILE), format!("{file}{lower}")).unwrap();
    live.expect_ok("reload_config");
    live.expect_ok("training resume");
    wait_for(&views, "two further checkpoints", |view| update(view) >= before.1 + 5);
    live.shard.stop().expect("everything is saved");
    let saved = newest(home.path());
    assert_eq!((clip(&saved).as_deref(), &saved.run), (Some("0.05"), &before.0), "the same training goes on");
    // A start that differs only in such settings continues the same training.
    std::fs::write(home.path().join(CONFIG_FILE), file.clone()).unwrap();
    let live = start();
    let seen = wait_for(&live.watch(), "the training", |view| !view.learning.run.is_empty());
    assert_eq!(seen.learning.run, before.0);
    live.shard.stop().expect("everything is saved");
    assert!(updates(home.path()) > before.1);
}

#[test]
fn stopped_training_resumes_with_the_same_weights() {
    let (whole, cut) = (temp_home(), temp_home());
    // Checkpoints only when stopped and at the end.
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
    // A finished training stays finished on the next shard.
    assert_eq!(second.refused("training pause"), "E_CONFLICT");
    second.shard.stop().expect("everything is saved");
    let third = training(cut.path(), &steps);
    wait_for_state(&third, "finished");
    assert_eq!(updates(cut.path()), updates(whole.path()));
    // Other settings make another training.
    third.shard.stop().expect("everything is saved");
    let other = training(cut.path(), &[("training.total_steps", "64001")]);
    let view = wait_for(&other.watch(), "an update", |view| update(view) > 0);
    assert_ne!(view.learning.run, saved.run);
}

#[test]
fn candidate_descends_from_the_release_and_fits_the_town() {
    let home = temp_home();
    let shipped = shipped_policy();
    let settings = [SMALL_TRAINING, &[("training.hidden_units", "128")]].concat();
    let sources = default_sources(&settings);
    let training = Some(TrainingSpec::new(&sources, Some(shipped.clone())).expect("they go together"));
    let options = Options { training, ..options(home.path(), true) };
    let live = TestShard::from_handle(townlet_shard::start(sources.clone(), 7, options).expect("the shard starts"));
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
fn diverged_training_raises_an_alert_and_keeps_earlier_checkpoints() {
    let home = temp_home();
    let sound = training(home.path(), &[]);
    let good = wait_for(&sound.watch(), "a checkpoint", |view| view.learning.checkpoint.is_some());
    let good = good.learning.checkpoint.clone().expect("just seen");
    sound.shard.stop().expect("everything is saved");
    let live = training(home.path(), &[("ppo.learning_rate", "1"), ("training.checkpoint_updates", "1")]);
    let view = wait_for_state(&live, "diverged");
    assert!(view.learning.detail.contains("became"), "{}", view.learning.detail);
    let alert = view.alerts.iter().find(|alert| alert.name == "training_diverged").expect("an alert");
    assert_eq!((alert.severity.as_str(), alert.message.contains(&view.learning.detail)), ("warning", true));
    assert_eq!(view.alerts_raised.get("training_diverged"), Some(&1));
    live.run(200);
    assert_eq!(live.refused("training resume"), "E_CONFLICT");
    let stored = registry(home.path()).ids();
    assert!(stored.contains(&good) && view.learning.checkpoint.iter().all(|id| stored.contains(id)), "{stored:?}");
    for id in stored {
        registry(home.path()).load(&id).expect("it is whole");
    }
    live.shard.stop().expect("the town is saved");
}

#[test]
fn failed_write_raises_an_alert_and_is_retried() {
    let home = temp_home();
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
fn two_shards_do_not_continue_one_training() {
    let home = temp_home();
    let first = training(home.path(), &[]);
    let view = wait_for(&first.watch(), "a checkpoint", |view| view.learning.checkpoint.is_some());
    let second = training(home.path(), &[]);
    let other = wait_for(&second.watch(), "an update", |view| update(view) > 0);
    assert_ne!(other.learning.run, view.learning.run);
}

// The program itself.

fn townlet(home: &Path, line: &str, settings: &[(&str, &str)]) -> Command {
    let mut command = command(home, line.split_whitespace());
    for (key, value) in SMALL_TRAINING.iter().chain(settings) {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    command
}

/// Starts a command, waits for the condition, sends a signal, and waits for the end.
#[track_caller]
fn stopped(mut command: Command, signal: &str, mut condition: impl FnMut() -> bool) -> (Option<i32>, String) {
    let mut child = command.spawn().expect("the program starts");
    wait_until("the state to stop it in", || {
        assert_eq!(child.try_wait().expect("it can be asked"), None, "it ended before it could be stopped");
        condition()
    });
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

#[test]
fn batch_and_service_save_their_training_on_sigterm() {
    for (line, code) in [("run --headless --train --days 1000000", 130), ("serve --train --listen 127.0.0.1:0", 0)] {
        let home = temp_home();
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
fn sigterm_interrupts_a_long_update() {
    let home = temp_home();
    let endless = [("training.rollout_ticks", "20000"), ("training.replicas", "16")];
    let begun = || home.path().join("logs/journal").exists();
    let command = townlet(home.path(), "run --headless --train --days 1000000", &endless);
    let (ended, said) = stopped(command, "-TERM", begun);
    assert_eq!(ended, Some(130), "{said}");
    assert!(rows(home.path()).is_empty() && registry(home.path()).ids().is_empty(), "nothing was learned");
}

#[test]
fn killed_training_resumes_from_its_last_checkpoint() {
    let home = temp_home();
    let line = "run --headless --train --days 1000000";
    let (ended, said) = stopped(townlet(home.path(), line, &[]), "-KILL", || {
        newest_training(&Home::new(home.path()), &registry(home.path()), |_| true)
            .is_some_and(|saved| saved.progress.updates >= 4)
    });
    assert_eq!(ended, None, "{said}");
    let before = newest(home.path());
    let line = format!("{line} --resume");
    let (ended, said) = stopped(townlet(home.path(), &line, &[]), "-TERM", || {
        newest_training(&Home::new(home.path()), &registry(home.path()), |_| true)
            .is_some_and(|saved| saved.progress.updates > before.progress.updates)
    });
    assert_eq!(ended, Some(130), "{said}");
    let after = newest(home.path());
    assert_eq!((&after.run, after.progress.updates), (&before.run, updates(home.path())));
    let listed = std::fs::read_to_string(home.path().join("logs/runs")).expect("runs are listed");
    assert_eq!(listed.lines().filter(|line| *line == after.run).count(), 1, "the training as well: {listed}");
}

#[test]
fn a_town_trains_with_its_own_rewards() {
    let home = temp_home();
    // A bonus that is valid for this town's rewards and not for the default ones.
    let odd = [("needs.decay_rates.hunger", "0.0002"), ("rewards.homeostasis_scale", "1")];
    let ended = townlet(home.path(), "run --headless --train --days 1", &odd).output().expect("the program runs");
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// Thousands of towns take a while to make, and a stop does not wait for them.
#[test]
fn a_training_that_stops_makes_no_further_towns() {
    let rules = Arc::new(Rules::new(default_sources(&[("training.replicas", "4096")])).expect("a town"));
    let plan = Plan { seed: 7, total_steps: 1_000, threads: NonZero::<usize>::MIN };
    let asked = AtomicUsize::new(0);
    let made = Trainer::new_while(&rules, plan, &|| asked.fetch_add(1, Ordering::Relaxed) < 3);
    assert!(made.is_none());
    assert_eq!(asked.into_inner(), 4, "three towns were made");
}
