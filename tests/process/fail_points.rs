//! Every named fail point of the program: the thread that reaches it panics, the process aborts there, or the disk fails there.
//!
//! In each case the process ends with a message or continues, a resumed run holds everything acknowledged, nothing is applied
//! twice, and the logs agree. Needs `--features failpoints`. `TOWNLET_SOAK=1` reaches each point at twenty instants, and at four in
//! the town of 1,000 residents, where only some points are reached without it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Mutex;

use townlet_shard::publish::archive;

use super::fail_point_table::{POINTS, ReachedBy};
use super::headless::{Batch, Ended, SCRIPT, ScriptAnswer, audited, replay, verified, write_script};
use super::kill::{once_each, send, send_again, token};
use super::pty_session::PtySession;
use super::server::Server;
use crate::kit::{TestTown, config_text, has_journal, in_each_town, soak};

in_each_town! {
    panic_in_the_tick_ends_a_batch_with_a_message,
    panic_in_a_writer_answers_every_command,
    abort_at_every_point_loses_nothing_acknowledged,
}

/// Commands in a script.
const COMMANDS: u64 = 12;
const LIMIT: &str = "300";

/// The fail points that are reached in one of these ways.
pub(crate) fn reached_by(by: &'static [ReachedBy]) -> impl Iterator<Item = &'static str> {
    POINTS.iter().filter(move |row| by.contains(&row.1)).map(|row| row.0)
}

/// How often a point is passed before it fails: these, or up to twenty times in a soak; once and up to four times in a large town.
fn passes(town: TestTown, few: &[u32]) -> Vec<u32> {
    match town {
        TestTown::Default if soak() => (0..20).collect(),
        TestTown::Default => few.to_vec(),
        TestTown::Thousand if soak() => (0..4).collect(),
        TestTown::Thousand => vec![1],
    }
}

#[test]
fn every_fail_point_of_the_code_is_in_the_table() {
    let mut found = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the sources").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
                for before in ["fail_point!(\"", "point(\""] {
                    let names = text.split(before).skip(1).filter_map(|rest| rest.split('"').next());
                    found.extend(names.map(str::to_owned));
                }
            }
        }
    }
    let known: BTreeSet<String> = POINTS.iter().map(|row| row.0.to_owned()).collect();
    assert_eq!(found, known);
}

fn script(home: &Path, ticks: bool) -> Vec<String> {
    let line = |number: u64| {
        let command = match number % 4 {
            0 => format!("setmoney ada {number}.5"),
            1 => format!("set_exit_cap {number}"),
            2 => String::from("spawn"),
            _ => format!("employment_exit request {}", ["ben", "cleo", "hugo"][number as usize / 4]),
        };
        (ticks.then_some(number * 9), command, format!("id-{number}"))
    };
    let lines: Vec<_> = (0..COMMANDS).map(line).collect();
    write_script(home, &lines);
    lines.into_iter().map(|(_, _, cmd_id)| cmd_id).collect()
}

/// Starts the town, or resumes it if there is a run, up to a tick with the commands of the script.
fn run(town: TestTown, home: &Path, environment: &[(&str, &str)]) -> Ended {
    let which = if has_journal(home) { &["--resume"] } else { town.args() };
    Batch::start(home, &[&["--script", SCRIPT, "--tick-limit", LIMIT], which].concat(), environment).end()
}

fn acknowledged(ended: &Ended) -> BTreeSet<String> {
    ended.answers.iter().filter(|answer| answer.ok).map(|answer| answer.cmd_id.clone()).collect()
}

/// Asserts that a crashed run, when resumed, keeps every acknowledged command and applies the others once.
#[track_caller]
fn assert_resume_completes(what: &str, town: TestTown, home: &Path, before: &Ended) {
    let known = acknowledged(before);
    let ids = script(home, false);
    assert!(has_journal(home) || known.is_empty(), "{what}");
    let after = run(town, home, &[]);
    assert_eq!(after.status, Some(0), "{what}: {}{}", after.out, after.said);
    assert_eq!(acknowledged(&after).len(), ids.len(), "{what}: {}", after.out);
    for answer in &after.answers {
        assert!(answer.replayed || !known.contains(&answer.cmd_id), "{what}: applied twice: {}", answer.text);
    }
    let replayed = replay(home);
    assert_eq!(replayed.ids, ids, "{what}: each once, in order");
    assert_eq!(replayed.digest, after.digest(), "{what}");
    assert_eq!(audited(home).len(), ids.len(), "{what}");
    let ops = std::fs::read_to_string(home.join("ops/employment.md")).expect("the operators' log");
    for cmd_id in ["id-3", "id-7", "id-11"] {
        let rows = ops.lines().filter(|line| line.ends_with(&format!("| {cmd_id} |"))).count();
        assert_eq!(rows, 1, "{what}: {cmd_id} in the operators' log");
    }
}

fn panic_in_the_tick_ends_a_batch_with_a_message(town: TestTown) {
    for point in reached_by(&[ReachedBy::TownThread]).step_by(town.stride()) {
        let home = tempfile::tempdir().unwrap();
        script(home.path(), true);
        let points = format!("{point}=4*off->panic");
        let ended = run(town, home.path(), &[("FAILPOINTS", &points)]);
        assert_eq!(ended.status, Some(3), "{point}: {}{}", ended.out, ended.said);
        assert!(ended.said.contains("the town's thread crashed: failpoint"), "{point}: {}", ended.said);
        assert_resume_completes(point, town, home.path(), &ended);
    }
}

#[test]
fn panic_in_the_tick_restores_the_terminal() {
    let home = tempfile::tempdir().unwrap();
    let points = [("FAILPOINTS", "engine_tick=300*off->panic")];
    let mut pty = PtySession::start(home.path(), (80, 24), &["--speed", "100x"], &points);
    pty.until("the screen", vt100::Screen::alternate_screen);
    pty.terminal_restored();
    assert_eq!(pty.ended(), 3);
    assert!(pty.text().contains("the town's thread crashed: failpoint engine_tick"), "{}", pty.text());
    let ended = Batch::start(home.path(), &["--resume", "--tick-limit", LIMIT], &[]).end();
    assert_eq!(ended.status, Some(0), "{}", ended.said);
    assert_eq!(replay(home.path()).digest, ended.digest());
}

fn panic_in_a_writer_answers_every_command(town: TestTown) {
    for point in reached_by(&[ReachedBy::RequiredWriter]).step_by(town.stride()) {
        // How often a run passes the point; a higher number is reduced to that.
        let mut often = u32::MAX;
        for number in passes(town, &[0, 1, 4]) {
            loop {
                let passed = number % often;
                let what = format!("{point} after {passed}");
                let home = tempfile::tempdir().unwrap();
                script(home.path(), true);
                let points = format!("{point}={passed}*off->panic");
                let ended = run(town, home.path(), &[("FAILPOINTS", &points)]);
                if ended.said.contains("panicked") {
                    assert_ne!(ended.status, Some(0), "{what}: {}{}", ended.out, ended.said);
                    safe_after_errors(&what, town, home.path(), &ended);
                    break;
                }
                assert!(passed > 0, "{what} was never met");
                often = passed;
            }
        }
    }
}

fn abort_at_every_point_loses_nothing_acknowledged(town: TestTown) {
    let mut died = 0;
    let points = reached_by(&[ReachedBy::TownThread, ReachedBy::RequiredWriter, ReachedBy::OptionalWriter]);
    for point in points.step_by(town.stride()) {
        // How often a run passes the point; a higher number is reduced to that.
        let mut often = u32::MAX;
        for number in passes(town, &[0, 1, 2, 7]) {
            loop {
                let passed = number % often;
                let what = format!("{point} after {passed}");
                let home = tempfile::tempdir().unwrap();
                script(home.path(), true);
                let points = format!("{point}={passed}*off->panic");
                let ended = run(town, home.path(), &[("FAILPOINTS", &points), ("FAILPOINTS_ABORT", "1")]);
                assert!(ended.status.is_none() || passed > 0, "{what} was never met");
                verified(home.path());
                assert_resume_completes(&what, town, home.path(), &ended);
                if ended.status.is_none() {
                    died += 1;
                    break;
                }
                often = passed;
            }
        }
    }
    println!("{town:?}: dead on the spot {died} times");
}

/// Commands after which a point must have been reached.
const LONG: usize = 2_000;

/// Asserts that the archive of the raw stream holds what was written before the crash: `passed` messages when it crashed at a
/// message, `passed` whole files when it crashed at a new file. Only the last file may be incomplete.
#[track_caller]
fn archived(what: &str, home: &Path, point: &str, passed: u64) {
    let mut files: Vec<_> = std::fs::read_dir(home.join("logs/telemetry"))
        .map(|files| files.map(|file| file.expect("a file").path()).collect())
        .unwrap_or_default();
    files.sort();
    let found: Vec<_> = files.iter().map(|file| archive::verify(file).expect("it opens")).collect();
    let at_a_message = point == "archive_write";
    let written = if at_a_message { found.iter().map(|it| it.messages).sum() } else { found.len() as u64 };
    assert_eq!(written, passed, "{what}: {found:?}");
    let whole = found.len() - usize::from(at_a_message);
    for (number, it) in found.iter().enumerate() {
        assert!(number >= whole || it.damage.is_none(), "{what}: {found:?}");
        let next = format!("message {}: ", it.messages + 1);
        assert!(it.messages == 0 || it.damage.iter().all(|why| why.starts_with(&next)), "{what}: {found:?}");
    }
}

#[test]
fn abort_while_the_raw_stream_is_archived() {
    for point in reached_by(&[ReachedBy::Test("process::fail_points")]) {
        for passed in passes(TestTown::Default, &[0, 2]) {
            let what = format!("{point} after {passed}");
            let home = tempfile::tempdir().unwrap();
            let (home, ledger) = (home.path(), Mutex::default());
            let (token, points) = (token(home), format!("{point}={passed}*off->panic"));
            let listen = ["--listen", "127.0.0.1:0", "--speed", "100x"];
            let server = Server::start_in(home, &listen, &[("FAILPOINTS", &points), ("FAILPOINTS_ABORT", "1")]);
            let mut stream = TcpStream::connect(server.address()).expect("it listens");
            write!(stream, "GET /v1/telemetry/stream HTTP/1.1\r\nhost: x\r\n\r\n").expect("it listens");
            let reader = std::thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()));
            let command = |number: usize| match number % 3 {
                0 => "telemetry_mode aggregate".to_owned(),
                // One archive file for all messages, or several.
                2 if point == "archive_open" => "telemetry_mode full".to_owned(),
                _ => format!("setmoney ada {number}.5"),
            };
            let mut numbers = 0..LONG;
            let alive = |number| send(server.address(), &token, (&format!("id-{number}"), &command(number)), &ledger);
            assert!(numbers.any(|number| alive(number).is_none()), "{what} was never met");
            server.died();
            drop(reader.join());
            verified(home);
            archived(&what, home, point, u64::from(passed));
            let server = Server::start(home, &[&listen[..], &["--resume"]].concat());
            send_again(server.address(), &token, &ledger);
            server.terminate();
            once_each(home, ledger.into_inner().unwrap());
        }
    }
}

/// A run whose affordance file changes before it is resumed, and which crashes during the reload.
#[test]
fn reload_is_atomic_under_a_crash() {
    let affordances = &config_text("affordances.yaml");
    let lines = |tick| {
        let line = |tick, command: &str| (tick, command.to_owned(), command.split(' ').next().unwrap().to_owned());
        [line(tick, "reload_config"), line(tick, "setmoney ada 3")]
    };
    let file = ["--config", "town.yaml", "--tick-limit"];
    for point in
        ["before_apply", "after_apply", "before_ack", "journal_write", "journal_sync", "audit_write", "audit_sync"]
    {
        for (passed, abort) in [(0, "0"), (0, "1"), (2, "1")] {
            let what = format!("{point} after {passed}");
            let home = tempfile::tempdir().unwrap();
            std::fs::write(home.path().join("town.yaml"), "policy: { release: scripted }\n").unwrap();
            std::fs::write(home.path().join("affordances.yaml"), affordances).unwrap();
            let first = Batch::start(home.path(), &[&file[..], &["120"]].concat(), &[]).end();
            assert_eq!(first.status, Some(0), "{what}: {}", first.said);
            std::fs::write(
                home.path().join("affordances.yaml"),
                affordances.replacen("duration: 20", "duration: 9", 1),
            )
            .unwrap();
            write_script(home.path(), &lines(Some(150)));
            let args = [&file[..], &[LIMIT, "--resume", "--script", SCRIPT]].concat();
            let points = format!("{point}={passed}*off->panic");
            let mut environment = vec![("FAILPOINTS", points.as_str())];
            environment.extend((abort == "1").then_some(("FAILPOINTS_ABORT", "1")));
            let died = Batch::start(home.path(), &args, &environment).end();
            let known = acknowledged(&died);
            write_script(home.path(), &lines(None));
            let after = Batch::start(home.path(), &args, &[]).end();
            assert_eq!(after.status, Some(0), "{what}: {}{}", after.out, after.said);
            assert_eq!(acknowledged(&after).len(), 2, "{what}: {}", after.out);
            for answer in &after.answers {
                assert!(answer.replayed || !known.contains(&answer.cmd_id), "{what}: applied twice: {}", answer.text);
            }
            // The current file does not matter to a replay or a further restart.
            std::fs::write(home.path().join("affordances.yaml"), affordances).unwrap();
            let replayed = replay(home.path());
            assert_eq!(replayed.ids, ["reload_config", "setmoney"], "{what}: each once");
            assert_eq!(replayed.digest, after.digest(), "{what}");
            assert_eq!(audited(home.path()).len(), 2, "{what}");
            let last = Batch::start(home.path(), &["--resume", "--tick-limit", LIMIT], &[]).end();
            assert_eq!(last.digest(), after.digest(), "{what}: {}", last.said);
        }
    }
}

/// Asserts that after disk errors no id is twice in the journal, acknowledged commands are answered as replayed, and the resumed
/// town equals the replayed journal.
#[track_caller]
fn safe_after_errors(what: &str, town: TestTown, home: &Path, before: &Ended) {
    let known = acknowledged(before);
    script(home, false);
    assert!(has_journal(home) || known.is_empty(), "{what}");
    let after = run(town, home, &[]);
    assert_eq!(after.status, Some(0), "{what}: {}{}", after.out, after.said);
    assert_eq!(after.answers.len() as u64, COMMANDS, "{what}");
    for answer in &after.answers {
        assert!(!known.contains(&answer.cmd_id) || (answer.ok && answer.replayed), "{what}: {}", answer.text);
        assert!(answer.ok || was_applied(answer), "{what}: {}", answer.text);
        // A command that was applied but not durable is kept only when the town could be saved.
        let kept = |earlier: &&ScriptAnswer| {
            earlier.cmd_id == answer.cmd_id && was_applied(earlier) && before.status == Some(0)
        };
        assert!(
            !before.answers.iter().any(|earlier| kept(&earlier)) || answer.replayed,
            "{what}: applied twice: {}",
            answer.text
        );
    }
    let replayed = replay(home);
    let once: BTreeSet<&String> = replayed.ids.iter().collect();
    assert_eq!(once.len(), replayed.ids.len(), "{what}: {:?}", replayed.ids);
    assert_eq!(replayed.digest, after.digest(), "{what}");
    audited(home);
}

/// The one refusal that reports an applied command.
fn was_applied(answer: &ScriptAnswer) -> bool {
    !answer.ok && answer.text.contains("E_AUDIT_UNAVAILABLE") && answer.text.contains("it was applied")
}

#[test]
fn disk_errors_never_acknowledge_falsely() {
    let town = TestTown::Default;
    for point in
        reached_by(&[ReachedBy::RequiredWriter, ReachedBy::OptionalWriter]).filter(|point| *point != "journal_create")
    {
        for (passed, times) in [(1, "1*return->off"), (3, "1*return->off"), (4, "2*return->off"), (4, "return")] {
            // The audit log begins with a line of its own; a run that cannot write that one does not start.
            let opening = if point.starts_with("audit") { 2 } else { 0 };
            let what = format!("{point}={}*off->{times}", passed + opening);
            let home = tempfile::tempdir().unwrap();
            script(home.path(), true);
            let ended = run(town, home.path(), &[("FAILPOINTS", &what)]);
            assert!(matches!(ended.status, Some(0 | 3)), "{what}: {}{}", ended.out, ended.said);
            assert_eq!(ended.answers.len() as u64, COMMANDS, "{what}: every command is answered");
            for answer in ended.answers.iter().filter(|answer| !answer.ok) {
                assert!(answer.text.contains("E_AUDIT_UNAVAILABLE"), "{what}: {}", answer.text);
            }
            safe_after_errors(&what, town, home.path(), &ended);
        }
    }
}

#[test]
fn commands_are_accepted_again_after_a_disk_error() {
    for point in ["journal_write", "journal_sync", "audit_write", "audit_sync"] {
        let home = tempfile::tempdir().unwrap();
        // Paused, so that both journal faults happen at one tick.
        let points = format!("{point}=6*off->2*return->off");
        let mut pty = PtySession::start(
            home.path(),
            (120, 40),
            &["--paused", "--screen", "operations"],
            &[("FAILPOINTS", &points)],
        );
        pty.shows("PAUSED");
        pty.command("escalate --reason test");
        pty.shows("you are admin now");
        let mut answers = Vec::new();
        for number in 0..30 {
            pty.command(&format!("set_exit_cap {number}"));
            let foot = |screen: &vt100::Screen| screen.contents().lines().rev().take(2).collect::<String>();
            pty.until("an answer", |screen| foot(screen).contains(['✓', '✗']));
            answers.push(foot(pty.screen()).contains('✓'));
            // The shard retries every second and removes the banner.
            let banner = |screen: &vt100::Screen| screen.contents().lines().any(|line| line.starts_with(" ‼"));
            pty.until("a writable log", |screen| !banner(screen));
        }
        assert!(answers.contains(&false), "{point} was never met");
        assert_eq!(answers.last(), Some(&true), "{point}: {answers:?}");
        pty.press("q");
        pty.terminal_restored();
        assert_eq!(pty.ended(), 0, "{point}: {}", pty.text());
        let ended = Batch::start(home.path(), &["--resume", "--tick-limit", LIMIT], &[]).end();
        assert_eq!(ended.status, Some(0), "{point}: {}", ended.said);
        assert_eq!(replay(home.path()).digest, ended.digest(), "{point}");
        audited(home.path());
    }
}
