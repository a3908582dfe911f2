//! Incident bundles: of a killed shard, taken by another process; of a panic; of a hung tick.
//!
//! The last two need `--features failpoints`.

use std::path::{Path, PathBuf};

use serde_json::Value;
use townlet_learn::prng::Prng;
use townlet_shard::Home;
use townlet_shard::incident::{Kind, kept};

use super::headless::{Batch, SCRIPT, replay, write_script};
use crate::kit::{TestTown, command, config_text, in_each_town};

/// Secrets in places from which no bundle may take them.
const CANARIES: [&str; 3] = ["canary-in-the-config", "canary-in-the-environment", "twn_c4n4ry_00ffee00ffee00ff"];

/// Unpacks a bundle; the folder it makes.
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
    let output =
        command(folder, args.iter().copied()).env("API_TOKEN", CANARIES[1]).output().expect("the program runs");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn json(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(name)).expect(name)).expect(name)
}

in_each_town! { bundle_of_a_killed_shard_replays_to_the_last_digest }

fn bundle_of_a_killed_shard_replays_to_the_last_digest(town: TestTown) {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let lines: Vec<_> = (0..8).map(|n| (Some(n * 40), format!("setmoney ada {n}.5"), format!("id-{n}"))).collect();
    write_script(home, &lines);
    let [canary, ..] = CANARIES;
    let config = format!("# {canary}\nconsole_auth: {{ token_file: ops/{canary}.json }}\n{}", town.yaml());
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
    let missing = made["missing"].to_string();
    assert!(missing.contains("crash report") && missing.contains("health.json"), "{missing}");
    assert!(json(&folder, "manifest.json")["items"].as_array().unwrap().len() > 10);
    assert_eq!(json(&folder, "audit.json")["passed"], true);
    let summary = std::fs::read_to_string(folder.join("SUMMARY.md")).unwrap();
    assert!(summary.contains(&expected.digest) && summary.contains("setmoney"), "{summary}");
}

#[test]
fn bundle_of_a_reloaded_run_replays_and_holds_no_secrets() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let affordances = &config_text("affordances.yaml");
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
    assert_eq!((status, said.contains("configuration reloaded at tick")), (Some(0), true), "{said}");
    assert!(said.contains(&format!("tick {}  {}", expected.tick, expected.digest)), "{said}");
    let affordances_used =
        std::fs::read_to_string(folder.join("config/affordances-affordances.yaml")).expect("the texts");
    assert!(affordances_used.contains("duration: 9\n"), "the texts are those it ran under last");
    every_file(&folder, &mut |path, bytes| {
        let found = bytes.windows(CANARIES[0].len()).any(|window| window == CANARIES[0].as_bytes());
        assert!(!found, "{}: holds {}", path.display(), CANARIES[0]);
    });
}

#[test]
fn bundle_contains_what_is_left_of_a_damaged_home() {
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
        assert!(said.contains("missing: "), "{said}");
    }
    let kept = kept(&Home::new(home));
    assert_eq!(kept.len(), 3);
    assert!(kept.iter().all(|it| it.kind == Kind::Requested && it.replay.is_none()), "{kept:?}");
    let (status, said) = run(home, &["incident", "list"]);
    assert_eq!((status, said.matches("ops/requested").count()), (Some(0), 3), "{said}");
}

#[test]
fn bundle_without_a_journal_uses_a_whole_snapshot() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let config = format!("console_auth: {{ token_file: ops/{}.json }}\n", CANARIES[0]);
    std::fs::write(home.join("town.yaml"), config).unwrap();
    let args = ["--config", "town.yaml", "--seed", "4711", "--tick-limit", "300"];
    Batch::start(home, &args, &[]).end();
    let run_id = Home::new(home).runs("harbour").remove(0);
    std::fs::remove_dir_all(home.join("logs/journal")).unwrap();
    // A newer, damaged snapshot is skipped.
    std::fs::write(home.join("snapshots/auto").join(&run_id).join("000000000999.tls"), b"damaged").unwrap();
    let (status, said) = run(home, &["incident", "bundle", "--json", "--output", "b.tar.zst"]);
    assert_eq!(status, Some(0), "{said}");
    let made: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&made["shard"], &made["replay"]), (&"harbour".into(), &Value::Null), "{made}");
    let into = tempfile::tempdir().unwrap();
    let folder = unpacked(&home.join("b.tar.zst"), into.path());
    assert_eq!(json(&folder, "telemetry.json")["tick"], 300);
    let printed = std::fs::read_to_string(folder.join(format!("logs/output/{run_id}.log"))).unwrap();
    assert!(printed.contains("Z  out  ") && printed.contains("tick 300"), "what the dead process printed: {printed}");
    let config = std::fs::read_to_string(folder.join("config/effective.yaml")).unwrap();
    assert!(config.contains("seed: 4711") && !config.contains(CANARIES[0]), "{config}");
    let summary = std::fs::read_to_string(folder.join("SUMMARY.md")).unwrap();
    let snapshot = format!("snapshots/auto/{run_id}/000000000300.tls");
    for words in [
        &*format!("texts, seed and shard come from {snapshot}"),
        &*format!("the state comes from {snapshot}"),
        "| seed | 4711 |",
        "000000000999.tls",
    ] {
        assert!(summary.contains(words), "{words}: {summary}");
    }
}

#[test]
fn bundle_contains_release_pointer_and_manifests() {
    for folder in ["releases", "../releases"] {
        let home = tempfile::tempdir().unwrap();
        let home = &home.path().join("home");
        std::fs::create_dir(home).unwrap();
        let bundle = |name: &str| {
            let (status, said) = run(home, &["incident", "bundle", "--json", "--output", name]);
            assert_eq!(status, Some(0), "{said}");
            let into = tempfile::tempdir().unwrap();
            let made: Value = serde_json::from_str(&said).unwrap();
            (unpacked(&home.join(name), into.path()), made["missing"].to_string(), into)
        };
        let setting = format!("policy.release_dir={folder}");
        let args = ["--set", &setting, "--set", "policy.release=scripted", "--tick-limit"];
        Batch::start(home, &[&args[..], &["50"]].concat(), &[]).end();
        let (_, missing, _into) = bundle("before.tar.zst");
        assert!(missing.contains("harbour.release.json: there is none") && missing.contains("manifests"), "{missing}");
        write_script(home, &[(Some(60), "policy_swap shipped --reason drill".into(), "swap-1".into())]);
        Batch::start(home, &[&args[..], &["100", "--resume", "--script", SCRIPT]].concat(), &[]).end();
        let (unpacked, missing, _into) = bundle("after.tar.zst");
        assert!(!missing.contains("release"), "{missing}");
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

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut prng = Prng::from_state(7);
    (0..length / 8).flat_map(|_| prng.next_u64().to_le_bytes()).collect()
}

#[test]
fn bundle_size_is_limited_and_omissions_are_listed() {
    const MIB: usize = 1024 * 1024;
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    Batch::start(home, &["--tick-limit", "300"], &[]).end();
    let expected = replay(home);
    let journal = std::fs::read_dir(home.join("logs/journal")).unwrap().next().unwrap().unwrap().path();
    let (whole, noise) = (std::fs::read(&journal).unwrap(), noise(70 * MIB));
    // A journal with a long torn end; one just fits, one does not.
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
        assert_eq!((folder.join(&name).exists(), left_out(&json(&folder, "manifest.json")["missing"])), (fits, !fits));
        assert_eq!(std::fs::read_to_string(folder.join("SUMMARY.md")).unwrap().contains("too large"), !fits);
        let (status, said) = run(&folder, &["replay", "replay.tlj"]);
        assert!(status == Some(0) && said.contains(&expected.digest), "{said}");
    }
}

#[cfg(feature = "failpoints")]
mod broken {
    use super::super::headless::{goes_on, verified};
    use super::super::pty_session::PtySession;
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
    fn panic_leaves_a_bundle_and_a_hint_to_resume() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        write_script(home, &[(Some(50), "setmoney ada 3.5".into(), "id-0".into())]);
        let args = ["--script", SCRIPT, "--tick-limit", "300"];
        let ended = Batch::start(home, &args, &[("FAILPOINTS", "engine_tick=120*off->panic")]).end();
        assert_eq!(ended.status, Some(3), "{}", ended.said);
        let (it, note) = only(home, Kind::Crash);
        for words in ["the town's thread crashed: failpoint engine_tick", "bundle.tar.zst", "--resume harbour-"] {
            assert!(ended.said.contains(words), "{words}: {}", ended.said);
        }
        let expected = replay(home);
        assert_eq!(it.replay, Some((expected.tick, expected.digest.clone())));
        let into = tempfile::tempdir().unwrap();
        let folder = unpacked(&home.join(&it.bundle), into.path());
        let crash = json(&folder, "crash.json");
        assert_eq!((&crash["thread"], &crash["tick"]), (&"town".into(), &120.into()), "{crash}");
        assert_eq!(crash["last_command"]["cmd_id"], "id-0");
        assert!(crash["phase"].as_str().unwrap().contains("starting the tick"));
        assert!(crash["backtrace"].as_str().unwrap().contains("Engine"), "{crash}");
        assert!(folder.join("health.json").exists() && json(&folder, "environment.json")["FAILPOINTS"].is_string());
        let note = std::fs::read_to_string(note.join("note.md")).unwrap();
        assert!(note.contains("# ops/crash") && note.contains("| incident | ops/crash"), "{note}");
        let (status, said) = run(&folder, &["replay", "replay.tlj"]);
        assert!(status == Some(0) && said.contains(&expected.digest), "{said}");

        // The same panic again is a line in the note, not another bundle.
        let args = ["--resume", "--tick-limit", "300"];
        let ended = Batch::start(home, &args, &[("FAILPOINTS", "engine_tick=panic")]).end();
        assert_eq!(ended.status, Some(3), "{}", ended.said);
        let (_, folder) = only(home, Kind::Crash);
        let note = std::fs::read_to_string(folder.join("note.md")).unwrap();
        assert!(note.lines().last().is_some_and(|line| line.starts_with("- 20")), "{note}");
    }

    #[test]
    fn panic_in_a_writer_thread_is_shown_and_the_town_continues() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let points = [("FAILPOINTS", "journal_write=5*off->panic")];
        let mut pty = PtySession::start(home, (120, 40), &["--speed", "100x"], &points);
        pty.shows("the thread `journal` crashed");
        pty.shows("the journal cannot be written");
        pty.press("q");
        pty.shows("Quit without saving?");
        pty.press("\t\r");
        pty.terminal_restored();
        assert_eq!(pty.ended(), 3, "{}", pty.text());
        let (it, _) = only(home, Kind::Crash);
        assert!(it.headline.contains("journal_write"), "{it:?}");
        let log = std::fs::read_to_string(home.join("logs/townlet.log")).unwrap();
        assert!(log.contains("the thread `journal` crashed"), "{log}");
    }

    #[test]
    fn panic_in_the_screen_restores_the_terminal_and_saves_the_town() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let points = [("FAILPOINTS", "screen_draw=30*off->panic")];
        let mut pty = PtySession::start(home, (120, 40), &["--speed", "100x"], &points);
        pty.until("the screen", vt100::Screen::alternate_screen);
        pty.terminal_restored();
        assert_eq!(pty.ended(), 3);
        for words in ["failpoint screen_draw", "the interface crashed at tick", "the town was saved", "--resume"] {
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
    fn hung_tick_is_captured_and_the_town_recovers() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let points = [("FAILPOINTS", "engine_tick=300*off->1*sleep(9000)->off")];
        let mut pty = PtySession::start(home, (120, 40), &["--speed", "100x"], &points);
        pty.shows("tick 300 has been hanging for more than 3 s");
        pty.hides("hanging for more than 3 s");
        pty.press("q");
        pty.terminal_restored();
        assert_eq!(pty.ended(), 0, "{}", pty.text());
        let (it, folder) = only(home, Kind::Hang);
        assert!(it.headline.contains("tick 300") && it.headline.contains("starting the tick"), "{it:?}");
        let note = std::fs::read_to_string(folder.join("note.md")).unwrap();
        assert!(note.contains("ops/hang") && note.contains("degraded; tick 300 has been hanging"), "{note}");
        let into = tempfile::tempdir().unwrap();
        let telemetry = json(&unpacked(&home.join(&it.bundle), into.path()), "telemetry.json");
        assert_eq!(telemetry["alerts"][0]["name"], "tick_hung");
        let log = std::fs::read_to_string(home.join("logs/townlet.log")).unwrap();
        assert!(log.contains("tick 300 has been hanging") && log.contains("the tick has ended"), "{log}");
    }

    #[test]
    fn hung_tick_rolls_a_canary_back_once() {
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
        assert!(rows.contains("automatically, on tick_hung"), "{rows}");
        only(home, Kind::Hang);
        only(home, Kind::Rollback);
        verified(home);
        replay(home);
    }
}
