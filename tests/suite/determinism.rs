//! The same seed, configuration and script give the same digests in a second run, after a resume, in a replay, and in another
//! home, time zone and environment; in the default town and in one of 1,000 residents.
//!
//! Runs the program and compares the digests that its journals hold every 100 ticks. Rules: "Journal", "Tests".

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use crate::kit::{TestTown, command, in_each_town, soak};
use townlet_shard::Home;
use townlet_shard::journal::{self, Contents, Entry};
use townlet_shard::recovery::JournalReplayer;

/// The last tick of the script.
const SCRIPT_TICKS: u64 = 20_000;
const HALF: u64 = SCRIPT_TICKS / 2;

in_each_town! {
    digests_do_not_depend_on_home_time_zone_or_locale,
    resume_in_a_new_process_keeps_the_digests,
    resume_without_snapshots_keeps_the_digests,
    replay_keeps_the_digests,
    digests_depend_on_seed_and_commands,
    replay_detects_a_changed_command,
}

/// Ticks of a run.
fn ticks(town: TestTown) -> u64 {
    match town {
        TestTown::Default => SCRIPT_TICKS,
        TestTown::Thousand if soak() => 4_000,
        TestTown::Thousand => 800,
    }
}

/// Tick and line of every command; some of them are refused. In a shorter run they follow each other faster.
fn script(town: TestTown) -> Vec<(u64, String)> {
    let mut lines: Vec<(u64, String)> = Vec::new();
    for (at, line) in [
        (0, "setmoney ada 9.5"),
        (0, "employment_exit request hugo --reason \"a \\\"quoted\\\" | reason\""),
        (3, "employment_status"),
        (50, "employment_exit approve hugo"),
        (51, "employment_exit approve hugo"),
        (120, "price meal 0.7"),
        (250, "blackout on"),
        (260, "help"),
        (333, "blackout off"),
        (400, "possess ben work"),
        (410, "setneed ben hunger 0.1"),
        (777, "release ben"),
        (900, "set_exit_cap 1"),
        (1_000, "snapshot save"),
        (1_100, "employment_exit request cleo"),
        (1_300, "employment_exit defer cleo"),
        (2_000, "outage on"),
        (2_222, "outage off"),
        (2_500, "set_feature queue_fairness off"),
        (3_000, "kill dov"),
        (3_001, "spawn"),
        (3_500, "set_spawn_delay 1 9"),
        (4_000, "toggle_mortality off"),
        (4_500, "teleport ada park"),
        (HALF, "price meal 0.4"),
        (HALF, "spawn"),
        (10_050, "toggle_mortality on"),
        (11_000, "set_feature queue_fairness on"),
        (12_000, "employment_exit request ada"),
        (15_000, "kill wanda"),
        (15_500, "set_exit_cap 3"),
        (19_999, "setmoney ada 1"),
    ] {
        lines.push((at, line.to_owned()));
    }
    lines.extend((0..40).map(|n| (n * 491 + 17, format!("setneed ada energy 0.{:02}", n + 10))));
    lines.sort_by_key(|(at, _)| *at);
    for (at, _) in &mut lines {
        *at = *at * ticks(town) / SCRIPT_TICKS;
    }
    lines
}

fn write_script(path: &Path, lines: impl Iterator<Item = (u64, String)>) {
    let line = |(tick, command)| serde_json::json!({ "tick": tick, "command": command }).to_string() + "\n";
    std::fs::write(path, lines.map(line).collect::<String>()).expect("the script can be written");
}

/// Runs the program in a home up to a tick.
fn run(home: &Path, more: &[&str], script: impl Iterator<Item = (u64, String)>, until: u64, env: &[(&str, &str)]) {
    let file = home.join("script.jsonl");
    write_script(&file, script);
    let mut command = command(home, ["run", "--headless", "--json", "--set", "policy.release=scripted"]);
    command.args(more);
    command.args(["--tick-limit", &until.to_string()]);
    command.arg("--home").arg(home).arg("--script").arg(file).envs(env.iter().copied());
    let out = command.output().expect("the program starts");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let report: serde_json::Value = serde_json::from_slice(&out.stdout).expect("the report is JSON");
    assert_eq!(report["tick"], until);
}

/// The journal of a home's only run.
fn contents(home: &Path) -> Contents {
    let home = Home::new(home);
    let runs = home.runs("harbour");
    assert_eq!(runs.len(), 1);
    let files = home.journal_files(&runs[0]);
    assert_eq!(files.len(), 1);
    let contents = journal::read(&files[0]).expect("the journal can be read");
    assert_eq!(contents.torn, 0);
    contents
}

/// Tick → digest.
fn digests(town: TestTown, contents: &Contents) -> BTreeMap<u64, String> {
    let digest = |entry: Entry| match entry {
        Entry::Ticks { to, digest: Some(digest), .. } => Some((to, digest)),
        _ => None,
    };
    let digests: BTreeMap<u64, String> = contents.entries.iter().filter_map(digest).collect();
    let every: Vec<u64> = (1..=ticks(town) / journal::DIGEST_TICKS).map(|n| n * journal::DIGEST_TICKS).collect();
    assert_eq!(digests.keys().copied().collect::<Vec<_>>(), every);
    digests
}

/// The commands that took effect, with their ticks and without their random ids.
fn commands(contents: &Contents) -> Vec<String> {
    let command = |entry: Entry| match entry {
        Entry::Command { index, tick, issuer, command, .. } => Some(format!("{index} {tick} {issuer} {command:?}")),
        Entry::Reload { index, tick, issuer, .. } => Some(format!("{index} {tick} {issuer} reloads")),
        Entry::Ticks { .. } | Entry::Policy { .. } => None,
    };
    contents.entries.iter().filter_map(command).collect()
}

/// What two runs are compared by.
struct Lived {
    digests: BTreeMap<u64, String>,
    commands: Vec<String>,
}

/// The uninterrupted run of a town, made once for all tests.
fn straight(town: TestTown) -> &'static (Lived, Contents) {
    static RUNS: [OnceLock<(Lived, Contents)>; 2] = [OnceLock::new(), OnceLock::new()];
    RUNS[town as usize].get_or_init(|| {
        let home = tempfile::tempdir().unwrap();
        run(home.path(), town.args(), script(town).into_iter(), ticks(town), &[]);
        let contents = contents(home.path());
        let lived = Lived { digests: digests(town, &contents), commands: commands(&contents) };
        assert!(lived.commands.len() > 50, "the script has effects: {}", lived.commands.len());
        (lived, contents)
    })
}

#[track_caller]
fn same(town: TestTown, contents: &Contents) {
    let lived = &straight(town).0;
    let other = digests(town, contents);
    let parted = lived.digests.iter().find(|(tick, digest)| other.get(tick) != Some(digest));
    assert_eq!(parted, None, "the towns part there");
    assert_eq!(commands(contents), lived.commands);
}

fn digests_do_not_depend_on_home_time_zone_or_locale(town: TestTown) {
    let home = tempfile::tempdir().unwrap();
    let nested = home.path().join("a home/ünder another name");
    std::fs::create_dir_all(&nested).unwrap();
    let env = [("TZ", "Pacific/Chatham"), ("LANG", "tr_TR.UTF-8"), ("LC_ALL", "tr_TR.UTF-8"), ("RUST_BACKTRACE", "1")];
    run(&nested, &[town.args(), &["--seed", "7"]].concat(), script(town).into_iter(), ticks(town), &env);
    same(town, &contents(&nested));
}

/// A run that is stopped at its half, changed by `meanwhile`, and resumed.
fn resumed(town: TestTown, meanwhile: impl FnOnce(&Path)) -> Contents {
    let (home, half) = (tempfile::tempdir().unwrap(), ticks(town) / 2);
    let (before, after): (Vec<_>, Vec<_>) = script(town).into_iter().partition(|(at, _)| *at < half);
    run(home.path(), town.args(), before.into_iter(), half, &[]);
    meanwhile(home.path());
    run(home.path(), &["--resume"], after.into_iter(), ticks(town), &[]);
    contents(home.path())
}

fn resume_in_a_new_process_keeps_the_digests(town: TestTown) {
    same(town, &resumed(town, |_| {}));
}

fn resume_without_snapshots_keeps_the_digests(town: TestTown) {
    same(town, &resumed(town, |home| std::fs::remove_dir_all(home.join("snapshots")).unwrap()));
}

fn replay_keeps_the_digests(town: TestTown) {
    let (lived, contents) = straight(town);
    let mut player = JournalReplayer::from_header(&contents.header).expect("the header makes a town");
    let mut seen = BTreeMap::new();
    for entry in contents.entries.iter() {
        let each_tick = |town: &townlet_town::Town| {
            if town.tick().is_multiple_of(journal::DIGEST_TICKS) {
                seen.insert(town.tick(), town.digest());
            }
        };
        player.apply(&entry, each_tick).expect("the journal fits the town");
    }
    assert_eq!((player.town.tick(), player.checked), (ticks(town), ticks(town) / journal::DIGEST_TICKS));
    assert_eq!(seen, lived.digests);
}

fn digests_depend_on_seed_and_commands(town: TestTown) {
    let last = &straight(town).0.digests[&ticks(town)];
    for (seed, lines) in [("8", script(town)), ("7", Vec::new())] {
        let home = tempfile::tempdir().unwrap();
        run(home.path(), &[town.args(), &["--seed", seed]].concat(), lines.into_iter(), ticks(town), &[]);
        assert_ne!(digests(town, &contents(home.path()))[&ticks(town)], *last);
    }
}

fn replay_detects_a_changed_command(town: TestTown) {
    let contents = &straight(town).1;
    let mut player = JournalReplayer::from_header(&contents.header).expect("the header makes a town");
    let error = contents.entries.iter().find_map(|mut entry| {
        if let Entry::Command { command: townlet_town::Command::SetPrice { value, .. }, .. } = &mut entry {
            *value = townlet_town::Micro::whole(3);
        }
        player.apply(&entry, |_| {}).err()
    });
    assert!(error.expect("the digest is another").contains("the digest is"));
}
