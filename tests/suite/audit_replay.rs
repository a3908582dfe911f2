//! `townlet audit verify --replay` against an attacker who has the folder and the source: every forgery is written so that the
//! chain, the head and the journal's checksums hold, and the replay finds it all the same. Rule: "Audit log".

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use townlet_audit::{GENESIS, Record, Stage, verify};
use townlet_shard::Home;
use townlet_shard::cross_check::{CrossCheck, cross_check};
use townlet_shard::journal::{self, Entry, Journal};
use townlet_town::{Command, snapshot};
use townlet_wire::{Request, sha256};

use crate::kit::{
    TestShard, TestTown, copy_folder, default_sources, in_each_town, journal_files, options, temp_home, text, townlet,
};

/// A stopped run with commands of each kind, and its id.
fn lived() -> (tempfile::TempDir, String) {
    let home = temp_home();
    let live = TestShard::new(home.path());
    for (until, commands) in [
        (40, &["setmoney ada 5", "narration off", "kpi"][..]),
        (130, &["price meal 1.25", "employment_exit request hugo --reason \"late again\"", "snapshot save"]),
        (260, &["spawn", "setmoney ada 9.5", "setmoney nobody 1", "privacy on"]),
    ] {
        live.run(until - live.view().tick);
        for line in commands {
            live.line(line);
        }
    }
    live.run(140);
    let run = live.shard.run_id.clone();
    live.shard.stop().expect("it is saved");
    (home, run)
}

fn log_of(home: &Path, run: &str) -> PathBuf {
    home.join(format!("logs/console/{run}-0001.jsonl"))
}

fn records(home: &Path, run: &str) -> Vec<Record> {
    let log = std::fs::read_to_string(log_of(home, run)).expect("the log");
    log.lines().map(|line| Record::parse(format!("{line}\n").as_bytes()).expect("a record")).collect()
}

/// Writes the log anew, with a chain and a head that hold.
fn write_log(home: &Path, run: &str, records: Vec<Record>) {
    let (mut log, mut prev) = (String::new(), GENESIS.to_owned());
    let mut seq = 0;
    for record in records {
        seq += 1;
        let mut record = Record { seq, prev: prev.clone(), hash: GENESIS.to_owned(), ..record };
        let line = record.line();
        record.hash = sha256(line.rsplit_once(",\"hash\":").expect("its hash").0.as_bytes());
        prev.clone_from(&record.hash);
        log.push_str(&record.line());
    }
    let file = log_of(home, run);
    let name = file.file_name().expect("a name").to_string_lossy().into_owned();
    std::fs::write(&file, log).expect("it is written");
    let head = std::fs::read_to_string(home.join(format!("logs/console/{run}.head"))).expect("the head");
    let mut head: Value = serde_json::from_str(&head).expect("a head");
    (head["file"], head["seq"], head["hash"]) = (name.into(), seq.into(), prev.into());
    // The canonical order of its keys.
    let line = format!(
        "{{\"v\":{},\"run_id\":{},\"file\":{},\"seq\":{},\"hash\":{}}}\n",
        head["v"], head["run_id"], head["file"], head["seq"], head["hash"]
    );
    std::fs::write(home.join(format!("logs/console/{run}.head")), line).expect("it is written");
}

/// Writes the journal anew, with frames and checksums that hold.
fn write_journal(home: &Path, edit: impl Fn(&mut Vec<Entry>)) {
    let file = journal_files(home).remove(0);
    let read = journal::read(&file).expect("the journal");
    let mut entries: Vec<Entry> = read.entries.iter().collect();
    edit(&mut entries);
    std::fs::remove_file(&file).expect("it is there");
    let journal = Journal::create(&file, &read.header).expect("it is written");
    for entry in entries {
        journal.append(entry);
    }
    journal.flush().expect("it is written");
}

fn edit_log(home: &Path, run: &str, edit: impl Fn(&mut Vec<Record>)) {
    let mut all = records(home, run);
    edit(&mut all);
    write_log(home, run, all);
}

fn each(records: &mut [Record], command: &str, edit: impl Fn(&mut Record)) {
    records.iter_mut().filter(|record| record.command == command).for_each(edit);
}

fn outcome(records: &mut [Record], command: &str, edit: impl Fn(&mut Record)) {
    records.iter_mut().filter(|it| it.command == command && it.stage == Stage::Outcome).for_each(edit);
}

fn checked(home: &Path, run: &str) -> CrossCheck {
    let home = Home::new(home);
    cross_check(&home, &home.console(), run, |_, _| {}).expect("the log is read")
}

/// A forgery: its name, and what it does to the folder of a run.
type Forgery = (&'static str, fn(&Path, &str), &'static str);

fn is_command(entry: &Entry) -> bool {
    matches!(entry, Entry::Command { .. })
}

/// Forgeries that a replay finds, with a part of what it says.
const FOUND: &[Forgery] = &[
    (
        "an argument in the audit log",
        |home, run| edit_log(home, run, |all| each(all, "price", |it| it.args["value"] = json!("1.5"))),
        "`price` with its arguments is not what the journal holds",
    ),
    (
        "an argument of an outcome alone",
        |home, run| edit_log(home, run, |all| outcome(all, "price", |it| it.args["value"] = json!("1.5"))),
        "are not those of its intent",
    ),
    (
        "the command in the audit log",
        |home, run| edit_log(home, run, |all| each(all, "spawn", |it| it.command = "blackout".into())),
        "is no command",
    ),
    (
        "the tick in the audit log",
        |home, run| edit_log(home, run, |all| outcome(all, "price", |it| it.tick = 200)),
        "its tick is 200, the journal says 130",
    ),
    (
        "the configuration in the audit log",
        |home, run| edit_log(home, run, |all| outcome(all, "price", |it| it.config_id = "other".into())),
        "its `config_id` is `other`, the town's `town-v1`",
    ),
    (
        "a digest in the audit log",
        |home, run| {
            edit_log(home, run, |all| outcome(all, "price", |it| it.digest_after = it.digest_before.clone()));
        },
        "the digest after it is",
    ),
    (
        "the digests of a command that changes no town",
        |home, run| {
            edit_log(home, run, |all| {
                outcome(all, "narration", |it| {
                    (it.digest_before, it.digest_after) = (Some("0".repeat(32)), Some("0".repeat(32)));
                });
            });
        },
        "the town has another digest at tick 40",
    ),
    (
        "digests removed",
        |home, run| edit_log(home, run, |all| outcome(all, "price", |it| it.digest_after = None)),
        "it has no digest after it",
    ),
    (
        "the answer in the audit log",
        |home, run| {
            edit_log(home, run, |all| outcome(all, "spawn", |it| it.result = Some(json!({ "summary": "no." }))));
        },
        "its answer is not",
    ),
    (
        "an outcome that says refused",
        |home, run| {
            edit_log(home, run, |all| {
                outcome(all, "spawn", |it| {
                    it.status = Some(townlet_wire::Status::Error);
                    it.digest_after = it.digest_before.clone();
                });
            });
        },
        "the audit log says that it was refused",
    ),
    (
        "a command removed from the audit log",
        |home, run| edit_log(home, run, |all| all.retain(|it| it.command != "spawn")),
        "was applied before tick 260, and the audit log does not hold it",
    ),
    (
        "an outcome removed from the audit log",
        |home, run| edit_log(home, run, |all| all.retain(|it| it.command != "spawn" || it.stage != Stage::Outcome)),
        "its outcome is missing",
    ),
    (
        "an intent removed from the audit log",
        |home, run| edit_log(home, run, |all| all.retain(|it| it.command != "spawn" || it.stage != Stage::Intent)),
        "an outcome without an intent",
    ),
    (
        "a command invented in the audit log",
        |home, run| {
            edit_log(home, run, |all| {
                let mut more: Vec<Record> = all.iter().filter(|it| it.command == "spawn").cloned().collect();
                let ts = all.last().expect("a record").ts.clone();
                for it in &mut more {
                    (it.cmd_id, it.ts) = ("invented".into(), ts.clone());
                }
                all.extend(more);
            });
        },
        "the journal does not hold it",
    ),
    (
        "the issuer in the audit log",
        |home, run| edit_log(home, run, |all| each(all, "spawn", |it| it.issuer = "test:other".into())),
        "the journal does not hold it",
    ),
    (
        "the end of the audit log removed",
        |home, run| edit_log(home, run, |all| all.truncate(all.len() / 2)),
        "and the audit log does not hold it",
    ),
    (
        "a command removed from the journal",
        |home, _| {
            write_journal(home, |entries| {
                let last = entries.iter().rposition(is_command).expect("a command");
                entries.remove(last);
            });
        },
        "tick 300: the digest is",
    ),
    (
        "the last command removed from the journal, with everything behind it",
        |home, _| {
            write_journal(home, |entries| {
                let last = entries.iter().rposition(is_command).expect("a command");
                entries.truncate(last);
            });
        },
        "the journal does not hold it",
    ),
    (
        "an argument in the journal",
        |home, _| {
            write_journal(home, |entries| {
                let last = entries.iter().rposition(is_command).expect("a command");
                let Entry::Command { command: Command::SetMoney { value, .. }, .. } = &mut entries[last] else {
                    panic!("the last command sets money")
                };
                *value = townlet_town::Micro::whole(90);
            });
        },
        "the digest after it is",
    ),
    (
        "an argument in audit log and journal, so that later digests do not fit",
        |home, run| {
            edit_log(home, run, |all| each(all, "price", |it| it.args["value"] = json!("1.5")));
            write_journal(home, |entries| {
                for entry in entries {
                    if let Entry::Command { command: Command::SetPrice { value, .. }, .. } = entry {
                        *value = townlet_town::Micro(1_500_000);
                    }
                }
            });
        },
        "the digest after it is",
    ),
    (
        "a command invented in the journal",
        |home, _| {
            write_journal(home, |entries| {
                let Some(Entry::Command { index, tick, .. }) = entries.iter().rev().find(|it| is_command(it)) else {
                    panic!("there is a command")
                };
                let (index, tick, cmd_id, issuer) = (index + 1, *tick, "x".into(), "town".into());
                let place = entries.iter().rposition(is_command).expect("a command") + 1;
                let command = Command::ExitCap(7);
                entries.truncate(place);
                entries.push(Entry::Command { index, tick, cmd_id, issuer, command });
            });
        },
        "`x` of town (ExitCap(7)) was applied before tick 260, and the audit log does not hold it",
    ),
    (
        "a snapshot replaced",
        |home, run| {
            let file = home.join(format!("snapshots/auto/{run}/000000000130.tls"));
            let mut town = snapshot::load(&std::fs::read(&file).expect("the snapshot")).expect("a town");
            town.apply(&Command::ExitCap(7)).expect("it is taken");
            std::fs::write(file, snapshot::save(&town)).expect("it is written");
        },
        "it is not the town of tick 130; it was replaced or changed",
    ),
    (
        "a snapshot under another name",
        |home, run| {
            let folder = home.join(format!("snapshots/auto/{run}"));
            std::fs::rename(folder.join("000000000130.tls"), folder.join("000000000900.tls")).expect("it is there");
        },
        "it holds the town of tick 130",
    ),
    (
        "the journal removed",
        |home, _| std::fs::remove_file(journal_files(home).remove(0)).expect("it is there"),
        "the journal of this run is missing",
    ),
];

#[test]
fn an_honest_run_passes_and_says_what_is_not_covered() {
    let (home, run) = lived();
    let check = checked(home.path(), &run);
    assert_eq!((&check.findings, &check.notes), (&Vec::new(), &Vec::new()));
    assert_eq!((check.ticks, check.commands, check.digests), ([0, 400], 5, 16));
    assert_eq!((check.journal_digests, check.snapshots), (4, 2));
    assert_eq!(
        json!(check.not_covered),
        json!({ "reads and changes of the pace": 1, "refused commands and repeated requests": 1 })
    );
}

#[test]
fn every_forgery_that_the_chain_does_not_show_is_found_by_the_replay() {
    let (original, run) = lived();
    for (what, forge, part) in FOUND {
        let home = temp_home();
        copy_folder(original.path(), home.path());
        forge(home.path(), &run);
        let passed = verify(&home.path().join("logs/console")).expect("the log").passed();
        assert!(passed, "{what}: the chain was made to hold");
        let check = checked(home.path(), &run);
        let said: Vec<String> =
            check.findings.iter().map(|it| format!("{}:{}: {}", it.file, it.line, it.message)).collect();
        assert!(said.iter().any(|it| it.contains(part)), "{what}: {said:#?}");
    }
}

/// What both logs say alike and the town does not know.
#[test]
fn an_issuer_changed_in_both_logs_is_not_found_by_a_replay() {
    let (home, run) = lived();
    edit_log(home.path(), &run, |all| each(all, "spawn", |it| it.issuer = "test:other".into()));
    write_journal(home.path(), |entries| {
        for entry in entries {
            if let Entry::Command { issuer, command: Command::Spawn, .. } = entry {
                *issuer = "test:other".into();
            }
        }
    });
    assert_eq!(checked(home.path(), &run).findings, []);
}

#[test]
fn the_command_line_reports_by_file_and_line_and_exits_with_1() {
    let (home, run) = lived();
    let verify = |more: &str| townlet(home.path(), &format!("audit verify logs/console --replay {more}"));
    let output = verify("");
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains(&format!("replay of {run}: passed: ticks 0 to 400, 5 commands")), "{said}");
    assert!(said.contains("not covered: 1 refused commands") && said.contains("not covered: issuers"), "{said}");
    edit_log(home.path(), &run, |all| outcome(all, "price", |it| it.tick = 200));
    let output = verify("");
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let line = 1 + records(home.path(), &run)
        .iter()
        .position(|it| it.command == "price" && it.stage == Stage::Outcome)
        .expect("the outcome");
    assert!(said.contains(&format!("{run}-0001.jsonl:{line}: `price` (")), "{said}");
    let output = verify("--json");
    assert_eq!(output.status.code(), Some(1));
    let rows: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&rows[0]["passed"], &rows[0]["report"]["runs"][0]["findings"]), (&json!(false), &json!([])));
    assert_eq!(rows[0]["replay"][0]["findings"][0]["line"], json!(line));
    // A copy of the log elsewhere needs the home with the journals.
    let elsewhere = temp_home();
    copy_folder(&home.path().join("logs/console"), elsewhere.path());
    let copy = elsewhere.path().display().to_string();
    let output = townlet(home.path(), &format!("audit verify {copy} --replay"));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--home DIR"), "{}", text(&output.stderr));
    let output = townlet(home.path(), &format!("audit verify {copy} --replay --home ."));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
}

in_each_town! { a_crash_and_a_restart_are_no_disagreement }

fn a_crash_and_a_restart_are_no_disagreement(town: TestTown) {
    let home = temp_home();
    let live = TestShard::in_town(home.path(), town);
    live.run(105);
    live.expect_ok("setmoney ada 5");
    // The journal does not hold these ticks yet, and the digests of a command that changes no town are of one of them.
    live.run(50);
    live.expect_ok("narration off");
    let crashed = temp_home();
    copy_folder(home.path(), crashed.path());
    let check = checked(crashed.path(), &live.shard.run_id);
    assert_eq!(check.findings, []);
    // The last ticks are lost.
    write_journal(crashed.path(), |entries| {
        let last = entries.iter().rposition(is_command).expect("a command");
        entries.truncate(last + 1);
    });
    let resumed = TestShard::resumed(crashed.path());
    resumed.expect_ok("setmoney ada 6");
    resumed.run(200);
    resumed.expect_ok("setmoney ada 7");
    let run = resumed.shard.run_id.clone();
    resumed.shard.stop().expect("it is saved");
    let check = checked(crashed.path(), &run);
    assert_eq!(check.findings, [], "{check:?}");
    assert_eq!(check.commands, 3);
}

/// A restart compares every segment that is there. Digests of those before the newest are known where the journal has one.
#[test]
fn a_resume_refuses_a_log_that_says_otherwise_than_journal_and_town() {
    let forgeries: &[Forgery] = &[
        (
            "an argument",
            |home, run| edit_log(home, run, |all| each(all, "price", |it| it.args["value"] = json!("1.5"))),
            "`price` with its arguments is not what the journal holds",
        ),
        (
            "the tick",
            |home, run| edit_log(home, run, |all| outcome(all, "price", |it| it.tick = 200)),
            "its tick is 200, the journal says 100",
        ),
        (
            "the digest behind a digest of the journal",
            |home, run| {
                edit_log(home, run, |all| outcome(all, "price", |it| it.digest_before = it.digest_after.clone()));
            },
            "the digest before it is",
        ),
        (
            "the digest between two commands",
            |home, run| {
                edit_log(home, run, |all| outcome(all, "price", |it| it.digest_after = it.digest_before.clone()));
            },
            "the digest",
        ),
        (
            "an outcome that says refused",
            |home, run| {
                edit_log(home, run, |all| outcome(all, "price", |it| it.status = Some(townlet_wire::Status::Error)));
            },
            "the audit log does not",
        ),
        (
            "a command removed",
            |home, run| edit_log(home, run, |all| all.retain(|it| it.command != "price")),
            "its end is missing",
        ),
    ];
    for (segment_bytes, later) in [("8388608", 0), ("4096", 300)] {
        let running = temp_home();
        let sources = default_sources(&[("journal.segment_bytes", segment_bytes)]);
        let started = townlet_shard::start(sources, 7, options(running.path(), true)).expect("the shard starts");
        let live = TestShard::from_handle(started);
        live.run(100);
        live.expect_ok("price meal 1.25");
        live.expect_ok("setmoney ada 5");
        // Commands fill segments however fast the ticks go by.
        for amount in 0..later {
            live.expect_ok(&format!("setmoney ben {amount}"));
            live.run(2);
        }
        let run = live.shard.run_id.clone();
        live.shard.stop().expect("it is saved");
        assert_eq!(journal_files(running.path()).len() > 2, later > 0);
        for (what, forge, part) in forgeries {
            let home = temp_home();
            copy_folder(running.path(), home.path());
            forge(home.path(), &run);
            let options = options(home.path(), true);
            let recorded =
                townlet_shard::find_run(&options.home, "harbour", None, "snapshots").expect("there is a run");
            let why = townlet_shard::resume(&recorded, options).err();
            let why = why.unwrap_or_else(|| panic!("{segment_bytes}, {what}: it went on")).to_string();
            assert!(why.contains(part), "{segment_bytes}, {what}: {why}");
        }
        let resumed = TestShard::resumed(running.path());
        let again = Request { cmd_id: Some("other".into()), ..Request::line("price meal 1.5") };
        assert!(resumed.ask(resumed.admin, again).error.is_none());
    }
}

#[test]
fn a_segment_that_cannot_be_read_is_noted_and_the_run_goes_on() {
    let home = temp_home();
    let sources = default_sources(&[("journal.segment_bytes", "4096")]);
    let started = townlet_shard::start(sources, 7, options(home.path(), true)).expect("the shard starts");
    let live = TestShard::from_handle(started);
    live.expect_ok("price meal 1.25");
    live.run(12_000);
    live.shard.stop().expect("it is saved");
    let first = journal_files(home.path()).remove(0);
    let mut bytes = std::fs::read(&first).expect("a segment");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&first, bytes).expect("it is written");
    let resumed = TestShard::resumed(home.path());
    let notes = &resumed.shard.notes;
    assert!(notes.iter().any(|note| note.contains("Its commands were not compared")), "{notes:?}");
}
