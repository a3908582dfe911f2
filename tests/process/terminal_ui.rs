//! The interface over a live town: what an operator does in a shift, and what must hold when the terminal misbehaves.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use townlet_audit::{Record, Stage, verify};

use super::pty_session::{BINARY, PtySession, log_of, repository};

const LARGE: (u16, u16) = (120, 40);
const SMALL: (u16, u16) = (80, 24);
const RIGHT: &str = "\u{1b}[C";

/// A row of the exit queue as it stands on the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    selected: bool,
    marked: bool,
    name: String,
}

/// The exit queue on the screen.
fn queue(screen: &vt100::Screen) -> Vec<Row> {
    let text = screen.contents();
    let cells = text.lines().filter_map(|line| line.split('┃').nth(1));
    let rows = cells.skip_while(|cell| !cell.trim_start().starts_with("agent ")).skip(1);
    rows.map_while(|cell| {
        let sign: String = cell.chars().take(2).collect();
        let name = cell.chars().skip(2).collect::<String>().split_whitespace().next()?.to_owned();
        Some(Row { selected: sign.contains('▸'), marked: sign.contains('✓'), name })
    })
    .collect()
}

fn names(screen: &vt100::Screen) -> Vec<String> {
    queue(screen).into_iter().map(|row| row.name).collect()
}

/// Ticks after which the scenario's queue is longest, on its own seed.
const BACKLOG_TICKS: u32 = 3_500;

/// The scenario with a backlog, paused where the queue is long.
#[track_caller]
fn backlog(home: &Path, size: (u16, u16)) -> PtySession {
    let config = repository("configs/scenarios/employment_backlog.yaml");
    let (config, folder) = (config.display().to_string(), home.display().to_string());
    let arguments = ["run", "--config", &config, "--home", &folder, "--speed", "max", "--paused"];
    let mut pty = PtySession::start(home, size, &arguments, &[]);
    pty.shows("PAUSED");
    pty.command(&format!("step {BACKLOG_TICKS}"));
    pty.shows("tick 3,500");
    pty.wait_until_still();
    pty.until("a backlog", |screen| names(screen).len() >= 5);
    pty
}

fn snapshots(home: &Path) -> Vec<PathBuf> {
    let runs = std::fs::read_dir(home.join("snapshots/auto")).expect("snapshots");
    let files = runs.flat_map(|run| std::fs::read_dir(run.expect("a run").path()).expect("its snapshots"));
    files.map(|file| file.expect("a file").path()).collect()
}

/// Ended as it should: the terminal given back, status 0, a last snapshot, a whole audit log.
#[track_caller]
fn assert_clean_exit(pty: &mut PtySession, home: &Path) {
    pty.terminal_restored();
    assert_eq!(pty.ended(), 0, "{}", pty.text());
    assert!(pty.text().contains("stopped at tick"), "{}", pty.text());
    assert!(!snapshots(home).is_empty());
    let report = verify(&home.join("logs/console")).expect("the audit log is read");
    assert!(report.passed(), "{:?}", report.findings().map(ToString::to_string).collect::<Vec<_>>());
}

/// A shift at the exit queue, from the first look to the last key.
fn a_shift(size: (u16, u16)) {
    let home = tempfile::tempdir().unwrap();
    let mut pty = backlog(home.path(), size);
    let before = names(pty.screen());

    // A viewer changes nothing and is told how to.
    pty.press("j");
    pty.until("the second row", |screen| queue(screen).get(1).is_some_and(|row| row.selected));
    assert!(pty.text().contains("VIEWER"));
    pty.press("a");
    pty.shows(":escalate");
    assert!(!pty.text().contains("cancel"));
    assert_eq!(names(pty.screen()), before);

    pty.command("escalate");
    pty.shows("Become admin");
    pty.press("exits of today\r");
    pty.shows("you are admin now");
    assert!(pty.text().contains("ADMIN"));

    // Cancel is focused: enter alone does nothing.
    pty.press("a");
    pty.shows("▸ cancel ◂");
    assert!(pty.text().contains(&format!("{} leaves town on the next tick", before[1])), "{}", pty.text());
    pty.press("\r");
    pty.shows("cancelled; nothing was sent");
    assert_eq!(names(pty.screen()), before);

    pty.press("a");
    pty.shows("▸ cancel ◂");
    pty.press(RIGHT);
    pty.shows("▸ approve ◂");
    pty.press("\r");
    pty.shows("logged");
    assert!(names(pty.screen()).contains(&before[1]), "it leaves on the next tick, not at once");
    pty.press(".");
    pty.until("a row less", |screen| !names(screen).contains(&before[1]));

    the_audit_screen_shows(&mut pty, "employment_exit approve", &format!("agent={}", before[1].to_lowercase()));
    let log = log_of(home.path());
    let approved: Vec<&Record> = log.iter().filter(|record| record.command == "employment_exit approve").collect();
    let stages: Vec<Stage> = approved.iter().map(|record| record.stage).collect();
    assert_eq!(stages, [Stage::Intent, Stage::Outcome], "what the viewer pressed is not in the log");
    assert_eq!(approved[0].cmd_id, approved[1].cmd_id);

    // Deferring one asks for the reason alone; deferring several asks, and each is a command of its own.
    pty.wait_until_still();
    let left = names(pty.screen());
    pty.press("g");
    pty.until("the first row", |screen| queue(screen).first().is_some_and(|row| row.selected));
    pty.press("d");
    pty.shows("Defer exit");
    pty.press("moves nearer\r");
    pty.until("the first to stay", |screen| !names(screen).contains(&left[0]));
    pty.wait_until_still();
    let left = names(pty.screen());
    pty.press("g  ");
    pty.until("two marks", |screen| queue(screen).iter().filter(|row| row.marked).count() == 2);
    pty.press("d");
    pty.shows("▸ cancel ◂");
    pty.press(RIGHT);
    pty.shows("▸ defer 2 ◂");
    pty.press("\r");
    pty.until("two more to stay", |screen| !names(screen).iter().any(|name| left[..2].contains(name)));

    pty.press("q");
    assert_clean_exit(&mut pty, home.path());
    let log = log_of(home.path());
    let deferred = |stage| {
        let fits = move |record: &&Record| record.command == "employment_exit defer" && record.stage == stage;
        log.iter().filter(fits).map(|record| record.cmd_id.clone()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(deferred(Stage::Intent).len(), 3);
    assert_eq!(deferred(Stage::Intent), deferred(Stage::Outcome));
    let decisions = std::fs::read_to_string(home.path().join("ops/employment.md")).expect("the operators' log");
    for record in log.iter().filter(|record| record.command.starts_with("employment_exit")) {
        assert_eq!(decisions.matches(&record.cmd_id).count(), 1, "{decisions}");
    }
}

/// The newest command is a step; above it this one, then its record.
#[track_caller]
fn the_audit_screen_shows(pty: &mut PtySession, command: &str, argument: &str) {
    pty.press("6");
    pty.shows("written and chained");
    let selected = |screen: &vt100::Screen, command: &str| {
        screen.contents().lines().any(|line| line.contains('▸') && line.contains(command))
    };
    // The step after it may come in while one looks; one above it is the command.
    pty.until("the step, newest and selected", |screen| selected(screen, "step"));
    pty.press("k");
    pty.until("the command, selected", |screen| selected(screen, command));
    pty.press("\r");
    pty.until("intent and outcome", |screen| {
        let text = screen.contents();
        let labels = ["command ", "cmd_id ", "intent ", "outcome "];
        // Each once: a frame may be read in two parts.
        text.contains(argument) && labels.iter().all(|label| text.matches(&format!("┃{label}")).count() == 1)
    });
    pty.press("1");
    pty.shows("pending ");
}

#[test]
fn a_shift_at_120x40() {
    a_shift(LARGE);
}

#[test]
fn a_shift_at_80x24() {
    a_shift(SMALL);
}

#[test]
fn bare_it_opens_the_embedded_town() {
    let home = tempfile::tempdir().unwrap();
    let mut pty = PtySession::start(home.path(), SMALL, &[], &[]);
    pty.shows("Employment");
    pty.press("q");
    assert_clean_exit(&mut pty, home.path());
}

#[test]
fn signals_to_end_end_it_well() {
    for signal in ["TERM", "HUP", "INT", "QUIT"] {
        let home = tempfile::tempdir().unwrap();
        let mut pty = PtySession::start(home.path(), SMALL, &["--speed", "max"], &[]);
        pty.shows("Employment");
        pty.signal(signal);
        assert_clean_exit(&mut pty, home.path());
    }
}

#[test]
fn a_closed_window_ends_it_well_and_is_no_incident() {
    for args in [&["--speed", "max"][..], &["--speed", "max", "--keep-screen"]] {
        let home = tempfile::tempdir().unwrap();
        let mut pty = PtySession::start(home.path(), SMALL, args, &[]);
        pty.shows("Employment");
        assert_eq!(pty.closed(), 0, "{args:?}");
        assert!(!home.path().join("ops/incidents").exists(), "{args:?}");
        assert!(!snapshots(home.path()).is_empty(), "{args:?}");
        let log = std::fs::read_to_string(home.path().join("logs/townlet.log")).unwrap_or_default();
        assert!(!log.contains("panicked") && !log.contains("crashed"), "{log}");
    }
}

/// The shell and the system both send SIGHUP when a window is closed, at any time.
#[test]
fn repeated_hang_ups_do_not_interrupt_the_close() {
    let home = tempfile::tempdir().unwrap();
    let mut pty = PtySession::start(home.path(), SMALL, &["--speed", "max"], &[]);
    pty.shows("Employment");
    assert_eq!(pty.hung_up_until_ended(), 0);
    assert!(!snapshots(home.path()).is_empty());
}

#[test]
fn suspended_and_continued() {
    let home = tempfile::tempdir().unwrap();
    let mut pty = PtySession::start(home.path(), LARGE, &["--speed", "max"], &[]);
    pty.shows("Employment");
    for _ in 0..3 {
        pty.press("\u{1a}");
        pty.terminal_restored();
        pty.stopped();
        pty.signal("CONT");
        pty.until("the screen again", |screen| screen.alternate_screen() && screen.contents().contains("Employment"));
    }
    pty.press("q");
    assert_clean_exit(&mut pty, home.path());
}

/// The parameters of every SGR sequence (`ESC [ … m`) that names a colour.
fn colours(written: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(written);
    let sequences = text.split("\u{1b}[").skip(1).filter_map(|rest| {
        let end = rest.find(|character: char| !matches!(character, '0'..=';'))?;
        rest[end..].starts_with('m').then(|| rest[..end].to_owned())
    });
    let coloured = |code: &str| matches!(code.parse::<u32>(), Ok(30..=38 | 40..=48 | 90..=107));
    sequences.filter(|codes| codes.split([';', ':']).any(coloured)).collect()
}

#[test]
fn no_color_is_honoured_everywhere() {
    let home = tempfile::tempdir().unwrap();
    for (environment, plain) in [(&[("NO_COLOR", "1")][..], true), (&[], false)] {
        let mut pty = PtySession::start(home.path(), LARGE, &["--speed", "max"], environment);
        pty.shows("Employment");
        for (key, text) in [("2", "Map"), ("3", "Agents"), ("6", "Audit log"), ("1", "Employment")] {
            pty.press(key);
            pty.until(text, |screen| screen.contents().contains(text));
        }
        pty.wait_until_still();
        pty.press("q");
        assert_clean_exit(&mut pty, home.path());
        assert_eq!(colours(&pty.written).is_empty(), plain, "{:?}", colours(&pty.written).first());
    }
}

#[test]
fn a_terminal_too_small_says_so_and_a_storm_of_sizes_is_weathered() {
    let home = tempfile::tempdir().unwrap();
    let mut pty = PtySession::start(home.path(), (50, 10), &["--speed", "max"], &[]);
    pty.shows("50 × 10 is too small");
    for round in 0..60_u16 {
        pty.resize((1 + round * 37 % 220, 1 + round * 23 % 70));
    }
    pty.resize((1, 1));
    pty.resize(LARGE);
    pty.until("every pane", |screen| {
        let text = screen.contents();
        ["Employment", "Stability", "Queues", "Alerts", "Console"].iter().all(|pane| text.contains(pane))
            && text.lines().count() >= 39
    });
    pty.press("q");
    assert_clean_exit(&mut pty, home.path());
}

#[test]
fn without_a_terminal_it_says_what_to_use() {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(BINARY)
        .args(["run", "--home"])
        .arg(home.path())
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--headless"), "{said}");
    assert!(output.stdout.is_empty());
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "nothing was written");
}

#[test]
fn the_same_shard_twice_in_a_home_is_refused_by_name() {
    let home = tempfile::tempdir().unwrap();
    let mut first = PtySession::start(home.path(), SMALL, &[], &[]);
    first.shows("Employment");
    let mut second = PtySession::start(home.path(), SMALL, &[], &[]);
    assert_eq!(second.ended(), 2);
    assert!(second.text().contains("is running in this home already"), "{}", second.text());
    first.press("q");
    assert_clean_exit(&mut first, home.path());
}
