//! What is left when something goes wrong: the bundle of a killed shard, taken by another process; of a panic; of a tick that
//! hangs. The last two need `--features failpoints`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use townlet_shard::Home;
use townlet_shard::incident::{Kind, kept};

use super::headless::{Batch, SCRIPT, replay, write_script};
use super::pty_session::BINARY;

/// Planted where no bundle may carry it from.
const CANARIES: [&str; 3] = ["canary-in-the-config", "canary-in-the-environment", "twn_c4n4ry_00ffee00ffee00ff"];

/// Unpacks a bundle beside its home; the folder it makes.
fn unpacked(bundle: &Path, into: &Path) -> PathBuf {
    let tar = zstd::stream::decode_all(std::fs::File::open(bundle).expect("the bundle")).expect("it unpacks");
    tar::Archive::new(&*tar).unpack(into).expect("it is an archive");
    let mut folders = std::fs::read_dir(into).expect("its folder").map(|entry| entry.expect("an entry").path());
    folders.next().expect("one folder")
}

fn every_file(folder: &Path, see: &mut impl FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            every_file(&path, see);
        } else {
            see(&path, &std::fs::read(&path).expect("a file"));
        }
    }
}

fn run(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(BINARY);
    command.args(args).current_dir(folder).env_clear().env("HOME", folder).env("API_TOKEN", CANARIES[1]);
    let output = command.output().expect("the program runs");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn json(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(name)).expect(name)).expect(name)
}

#[test]
fn another_process_takes_a_killed_shards_bundle_and_its_replay_reaches_the_last_digest() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let lines: Vec<_> = (0..8).map(|n| (Some(n * 40), format!("setmoney ada {n}.5"), format!("id-{n}"))).collect();
    write_script(home, &lines);
    let config = format!("# {}\nconsole_auth: {{ token_file: ops/{}.json }}\n", CANARIES[0], CANARIES[0]);
    std::fs::write(home.join("town.yaml"), config).unwrap();
    std::fs::create_dir_all(home.join("logs")).unwrap();
    std::fs::write(home.join("logs/townlet.log"), format!("2026-01-01T00:00:00Z  service  {}\n", CANARIES[2])).unwrap();
    let args = ["--config", "town.yaml", "--script", SCRIPT, "--tick-limit", "1000000000"];
    let mut batch = Batch::start(home, &args, &[("API_TOKEN", CANARIES[1]), ("TOWNLET_TEST", "shown")]);
    while batch.answer().is_some_and(|answer| answer.cmd_id != "id-7") {}
    batch.kill();
    let (status, said) = run(home, &["incident", "bundle", "--json", "--output", "b.tar.zst"]);
    assert_eq!(status, Some(0), "{said}");
    let made: Value = serde_json::from_str(&said).unwrap();
    let expected = replay(home);
    assert!(expected.tick >= 280);
    assert_eq!(made["replay"], serde_json::json!([expected.tick, expected.digest]));
    assert!(!home.join("ops/incidents").exists(), "with --output nothing else is written");

    let into = tempfile::tempdir().unwrap();
    let folder = unpacked(&home.join("b.tar.zst"), into.path());
    let (status, said) = run(&folder, &["replay", "replay.tlj"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(&format!("tick {}  {}", expected.tick, expected.digest)), "{said}");
    let (status, said) = run(&folder, &["audit", "verify", "logs/console"]);
    assert_eq!(status, Some(0), "{said}");
    every_file(&folder, &mut |path, bytes| {
        for canary in CANARIES {
            let found = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
            assert!(!found, "{}: holds {canary}", path.display());
        }
    });
    let lacking = made["lacking"].to_string();
    assert!(lacking.contains("crash report") && lacking.contains("health.json"), "{lacking}");
    assert!(json(&folder, "manifest.json")["items"].as_array().unwrap().len() > 10);
    assert_eq!(json(&folder, "audit.json")["passed"], true);
    let summary = std::fs::read_to_string(folder.join("SUMMARY.md")).unwrap();
    assert!(summary.contains(&expected.digest) && summary.contains("id-7") | summary.contains("setmoney"), "{summary}");
}

#[test]
fn a_bundle_of_a_run_that_was_reloaded_replays_under_both_texts_and_holds_no_secret_of_either() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let affordances = include_str!("../../configs/affordances.yaml");
    let config = format!("console_auth: {{ token_file: ops/{}.json }}\n", CANARIES[0]);
    std::fs::write(home.join("town.yaml"), config).unwrap();
    std::fs::write(home.join("affordances.yaml"), affordances).unwrap();
    let file = ["--config", "town.yaml", "--tick-limit"];
    Batch::start(home, &[&file[..], &["120"]].concat(), &[]).end();
    std::fs::write(home.join("affordances.yaml"), affordances.replacen("duration: 20", "duration: 9", 1)).unwrap();
    write_script(
        home,
        &[(Some(150), "reload_config".into(), "id-0".into()), (Some(190), "spawn".into(), "id-1".into())],
    );
    let args = [&file[..], &["1000000000", "--resume", "--script", SCRIPT]].concat();
    let mut batch = Batch::start(home, &args, &[]);
    while batch.answer().is_some_and(|answer| answer.cmd_id != "id-1") {}
    batch.kill();
    let (status, said) = run(home, &["incident", "bundle", "--json", "--output", "b.tar.zst"]);
    assert_eq!(status, Some(0), "{said}");
    let (made, expected): (Value, _) = (serde_json::from_str(&said).unwrap(), replay(home));
    assert_eq!(made["replay"], serde_json::json!([expected.tick, expected.digest]));
    let into = tempfile::tempdir().unwrap();
    let folder = unpacked(&home.join("b.tar.zst"), into.path());
    let (status, said) = run(&folder, &["replay", "replay.tlj"]);
    assert_eq!((status, said.contains("ran under a reloaded configuration")), (Some(0), true), "{said}");
    assert!(said.contains(&format!("tick {}  {}", expected.tick, expected.digest)), "{said}");
    let told = std::fs::read_to_string(folder.join("config/affordances-affordances.yaml")).expect("the texts");
    assert!(told.contains("duration: 9\n"), "the texts are those it ran under last");
    every_file(&folder, &mut |path, bytes| {
        let found = bytes.windows(CANARIES[0].len()).any(|window| window == CANARIES[0].as_bytes());
        assert!(!found, "{}: holds {}", path.display(), CANARIES[0]);
    });
}

#[test]
fn whatever_is_missing_the_rest_is_taken() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let (status, said) = run(home, &["incident", "bundle"]);
    assert_eq!((status, said.contains("runs there: none")), (Some(2), true), "{said}");
    Batch::start(home, &["--tick-limit", "300"], &[]).end();
    let damaged = |file: &Path| std::fs::write(file, b"damaged").unwrap();
    for folder in ["logs/journal", "logs/console", "snapshots"] {
        every_file(&home.join(folder), &mut |path, _| damaged(path));
        let (status, said) = run(home, &["incident", "bundle", "--home", "."]);
        assert_eq!(status, Some(0), "{folder}: {said}");
        assert!(said.contains("not in it"), "{said}");
    }
    let kept = kept(&Home::new(home));
    assert_eq!(kept.len(), 3);
    assert!(kept.iter().all(|it| it.kind == Kind::Asked && it.replay.is_none()), "{kept:?}");
    let (status, said) = run(home, &["incident", "list"]);
    assert_eq!((status, said.matches("ops/asked").count()), (Some(0), 3), "{said}");
}

#[test]
fn without_a_journal_the_texts_the_seed_and_the_state_are_those_of_a_whole_snapshot() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let config = format!("console_auth: {{ token_file: ops/{}.json }}\n", CANARIES[0]);
    std::fs::write(home.join("town.yaml"), config).unwrap();
    let args = ["--config", "town.yaml", "--seed", "4711", "--tick-limit", "300"];
    Batch::start(home, &args, &[]).end();
    let run_id = Home::new(home).runs("harbour").remove(0);
    std::fs::remove_dir_all(home.join("logs/journal")).unwrap();
    // One newer that is damaged is passed over.
    std::fs::write(home.join("snapshots/auto").join(&run_id).join("000000000999.tls"), b"damaged").unwrap();
    let (status, said) = run(home, &["incident", "bundle", "--json", "--output", "b.tar.zst"]);
    assert_eq!(status, Some(0), "{said}");
    let made: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&made["shard"], &made["replay"]), (&"harbour".into(), &Value::Null), "{made}");
    let into = tempfile::tempdir().unwrap();
    let folder = unpacked(&home.join("b.tar.zst"), into.path());
    assert_eq!(json(&folder, "telemetry.json")["tick"], 300);
    let config = std::fs::read_to_string(folder.join("config/effective.yaml")).unwrap();
    assert!(config.contains("seed: 4711") && !config.contains(CANARIES[0]), "{config}");
    let summary = std::fs::read_to_string(folder.join("SUMMARY.md")).unwrap();
    let snapshot = format!("snapshots/auto/{run_id}/000000000300.tls");
    for words in [
        &*format!("texts, seed and shard are those of {snapshot}"),
        &*format!("the state is that of {snapshot}"),
        "| seed | 4711 |",
        "000000000999.tls",
    ] {
        assert!(summary.contains(words), "{words}: {summary}");
    }
}

#[test]
fn the_release_pointer_and_its_manifests_are_taken_wherever_the_configuration_keeps_them() {
    for folder in ["releases", "../releases"] {
        let home = tempfile::tempdir().unwrap();
        let home = &home.path().join("home");
        std::fs::create_dir(home).unwrap();
        let bundle = |name: &str| {
            let (status, said) = run(home, &["incident", "bundle", "--json", "--output", name]);
            assert_eq!(status, Some(0), "{said}");
            let into = tempfile::tempdir().unwrap();
            let made: Value = serde_json::from_str(&said).unwrap();
            (unpacked(&home.join(name), into.path()), made["lacking"].to_string(), into)
        };
        let setting = format!("policy.release_dir={folder}");
        let args = ["--set", &setting, "--set", "policy.release=scripted", "--tick-limit"];
        Batch::start(home, &[&args[..], &["50"]].concat(), &[]).end();
        let (_, lacking, _into) = bundle("before.tar.zst");
        assert!(lacking.contains("harbour.release.json: there is none") && lacking.contains("manifests"), "{lacking}");
        write_script(home, &[(Some(60), "policy_swap shipped --reason drill".into(), "swap-1".into())]);
        Batch::start(home, &[&args[..], &["100", "--resume", "--script", SCRIPT]].concat(), &[]).end();
        let (unpacked, lacking, _into) = bundle("after.tar.zst");
        assert!(!lacking.contains("release"), "{lacking}");
        let (mut pointers, mut manifests) = (Vec::new(), Vec::new());
        every_file(&unpacked, &mut |path, bytes| {
            let of = |path: &Path| path.strip_prefix(&unpacked).unwrap().to_owned();
            match path.file_name().unwrap().to_str() {
                Some("harbour.release.json") => pointers.push((of(path), bytes.to_vec())),
                Some("manifest.json") if path.parent() != Some(&*unpacked) => manifests.push(of(path)),
                _ => {}
            }
        });
        let [(place, bytes)] = pointers.as_slice() else { panic!("{pointers:?}") };
        assert_eq!(*bytes, std::fs::read(home.join(folder).join("harbour.release.json")).unwrap());
        assert!(place.starts_with(if folder.starts_with("..") { "elsewhere" } else { folder }), "{place:?}");
        assert!(manifests.len() == 1 && manifests[0].starts_with("snapshots/release"), "{manifests:?}");
    }
}

/// Bytes that no packer makes smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length / 8).flat_map(|_| word()).collect()
}

#[test]
fn a_bundle_of_very_much_is_no_larger_than_it_may_be_and_says_what_it_left_out() {
    const MIB: usize = 1024 * 1024;
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    Batch::start(home, &["--tick-limit", "300"], &[]).end();
    let expected = replay(home);
    let journal = std::fs::read_dir(home.join("logs/journal")).unwrap().next().unwrap().unwrap().path();
    let (whole, noise) = (std::fs::read(&journal).unwrap(), noise(70 * MIB));
    // As a journal that was torn far from its end; one fits just so, one does not.
    for (length, fits) in [(59 * MIB, true), (70 * MIB, false)] {
        std::fs::write(&journal, [&whole, &noise[..length]].concat()).unwrap();
        let output = format!("{length}.tar.zst");
        let (status, said) = run(home, &["incident", "bundle", "--json", "--output", &output]);
        assert_eq!(status, Some(0), "{said}");
        let made: Value = serde_json::from_str(&said).unwrap();
        let size = std::fs::metadata(home.join(&output)).unwrap().len();
        assert!(size <= 64 * MIB as u64 && made["bytes"] == size, "{said}");
        let into = tempfile::tempdir().unwrap();
        let folder = unpacked(&home.join(&output), into.path());
        let name = format!("logs/journal/{}", journal.file_name().unwrap().to_string_lossy());
        let left_out = |value: &Value| value.as_array().unwrap().iter().any(|it| it["item"] == name.as_str());
        assert_eq!((folder.join(&name).exists(), left_out(&json(&folder, "manifest.json")["lacking"])), (fits, !fits));
        assert_eq!(std::fs::read_to_string(folder.join("SUMMARY.md")).unwrap().contains("too large"), !fits);
        let (status, said) = run(&folder, &["replay", "replay.tlj"]);
        assert!(status == Some(0) && said.contains(&expected.digest), "{said}");
    }
}

#[cfg(feature = "failpoints")]
mod broken {
    use super::super::headless::{goes_on, verified};
    use super::super::pty_session::WatchedSource;
    use super::*;

    fn only(home: &Path, kind: Kind) -> (townlet_shard::incident::Incident, PathBuf) {
        let mut kept = kept(&Home::new(home));
        kept.retain(|it| it.kind == kind);
        assert_eq!(kept.len(), 1, "{kept:?}");
        let it = kept.remove(0);
        let folder = home.join("ops/incidents").join(&it.id);
        (it, folder)
    }

    #[test]
    fn a_panic_leaves_a_bundle_and_says_how_to_go_on() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        write_script(home, &[(Some(50), "setmoney ada 3.5".into(), "id-0".into())]);
        let args = ["--script", SCRIPT, "--tick-limit", "300"];
        let ended = Batch::start(home, &args, &[("FAILPOINTS", "engine_tick=120*off->panic")]).end();
        assert_eq!(ended.status, Some(3), "{}", ended.said);
        let (it, note) = only(home, Kind::Crash);
        for words in ["the town's thread broke off: failpoint engine_tick", "bundle.tar.zst", "--resume harbour-"] {
            assert!(ended.said.contains(words), "{words}: {}", ended.said);
        }
        let expected = replay(home);
        assert_eq!(it.replay, Some((expected.tick, expected.digest.clone())));
        let into = tempfile::tempdir().unwrap();
        let folder = unpacked(&home.join(&it.bundle), into.path());
        let crash = json(&folder, "crash.json");
        assert_eq!((&crash["thread"], &crash["tick"]), (&"town".into(), &120.into()), "{crash}");
        assert_eq!(crash["last_command"]["cmd_id"], "id-0");
        assert!(crash["phase"].as_str().unwrap().contains("beginning the tick"));
        assert!(crash["backtrace"].as_str().unwrap().contains("Engine"), "{crash}");
        assert!(folder.join("health.json").exists() && json(&folder, "environment.json")["FAILPOINTS"].is_string());
        let note = std::fs::read_to_string(note.join("note.md")).unwrap();
        assert!(note.contains("# ops/crash") && note.contains("| incident | ops/crash"), "{note}");
        let (status, said) = run(&folder, &["replay", "replay.tlj"]);
        assert!(status == Some(0) && said.contains(&expected.digest), "{said}");

        // The same again is a line in the note, not another bundle.
        let args = ["--resume", "--tick-limit", "300"];
        let ended = Batch::start(home, &args, &[("FAILPOINTS", "engine_tick=panic")]).end();
        assert_eq!(ended.status, Some(3), "{}", ended.said);
        let (_, folder) = only(home, Kind::Crash);
        let note = std::fs::read_to_string(folder.join("note.md")).unwrap();
        assert!(note.lines().last().is_some_and(|line| line.starts_with("- 20")), "{note}");
    }

    #[test]
    fn a_thread_that_breaks_off_is_told_and_the_town_goes_on() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let points = [("FAILPOINTS", "journal_write=5*off->panic")];
        let mut pty = WatchedSource::start(home, (120, 40), &["--speed", "100x"], &points);
        pty.shows("the thread `journal` broke off");
        pty.press("q");
        pty.terminal_restored();
        pty.ended();
        let (it, _) = only(home, Kind::Crash);
        assert!(it.headline.contains("journal_write"), "{it:?}");
        let log = std::fs::read_to_string(home.join("logs/townlet.log")).unwrap();
        assert!(log.contains("the thread `journal` broke off"), "{log}");
    }

    #[test]
    fn a_screen_that_breaks_off_gives_the_terminal_back_saves_the_town_and_leaves_a_bundle() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let points = [("FAILPOINTS", "screen_draw=30*off->panic")];
        let mut pty = WatchedSource::start(home, (120, 40), &["--speed", "100x"], &points);
        pty.until("the screen", vt100::Screen::alternate_screen);
        pty.terminal_restored();
        assert_eq!(pty.ended(), 3);
        for words in ["failpoint screen_draw", "the screen broke off at tick", "the town was saved", "--resume"] {
            assert!(pty.text().contains(words), "{words}: {}", pty.text());
        }
        let (it, folder) = only(home, Kind::Crash);
        assert!(it.headline.contains("screen_draw"), "{it:?}");
        let note = std::fs::read_to_string(folder.join("note.md")).unwrap();
        assert!(note.contains("| thread | main |"), "{note}");
        let into = tempfile::tempdir().unwrap();
        let crash = json(&unpacked(&home.join(&it.bundle), into.path()), "crash.json");
        assert!(crash["backtrace"].as_str().unwrap().contains("draw"), "{crash}");
        goes_on(home);
    }

    #[test]
    fn a_tick_that_hangs_is_noticed_captured_and_named_and_the_town_recovers() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let points = [("FAILPOINTS", "engine_tick=300*off->1*sleep(9000)->off")];
        let mut pty = WatchedSource::start(home, (120, 40), &["--speed", "100x"], &points);
        pty.shows("tick 300 hangs for more than 3 s");
        pty.hides("hangs for more than 3 s");
        pty.press("q");
        pty.terminal_restored();
        assert_eq!(pty.ended(), 0, "{}", pty.text());
        let (it, folder) = only(home, Kind::Hang);
        assert!(it.headline.contains("tick 300") && it.headline.contains("beginning the tick"), "{it:?}");
        let note = std::fs::read_to_string(folder.join("note.md")).unwrap();
        assert!(note.contains("ops/hang") && note.contains("degraded; tick 300 hangs"), "{note}");
        let into = tempfile::tempdir().unwrap();
        let telemetry = json(&unpacked(&home.join(&it.bundle), into.path()), "telemetry.json");
        assert_eq!(telemetry["alerts"][0]["name"], "tick_hung");
        let log = std::fs::read_to_string(home.join("logs/townlet.log")).unwrap();
        assert!(log.contains("tick 300 hangs") && log.contains("the tick has ended"), "{log}");
    }

    #[test]
    fn a_canary_whose_tick_hung_is_taken_back_and_the_hang_is_counted_once() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        write_script(home, &[(Some(20), "policy_swap shipped --reason drill".into(), "swap-1".into())]);
        let settings = ["policy.release=scripted", "stability.promotion.auto_rollback=critical"];
        let args = ["--set", settings[0], "--set", settings[1], "--script", SCRIPT, "--tick-limit", "5000", "--json"];
        let points = [("FAILPOINTS", "engine_tick=200*off->1*sleep(5000)->off")];
        let ended = Batch::start(home, &args, &points).end();
        assert_eq!(ended.status, Some(0), "{}{}", ended.out, ended.said);
        let report: Value = serde_json::from_str(&ended.out).expect("a report");
        assert_eq!(report["alerts_raised"]["tick_hung"], 1, "{report}");
        let rows = std::fs::read_to_string(home.join("ops/rollouts.md")).unwrap();
        assert!(rows.contains("by itself, on tick_hung"), "{rows}");
        only(home, Kind::Hang);
        only(home, Kind::Rollback);
        verified(home);
        replay(home);
    }
}
