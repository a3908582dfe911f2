//! The interface over a live town: what an operator does in a shift, and what must hold when the terminal misbehaves.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use townlet_audit::{Record, Stage, verify};

use super::pty_session::{BINARY, WatchedSource, log_of, repository};

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
fn backlog(home: &Path, size: (u16, u16)) -> WatchedSource {
    let config = repository("configs/scenarios/employment_backlog.yaml");
    let (config, folder) = (config.display().to_string(), home.display().to_string());
    let arguments = ["run", "--config", &config, "--home", &folder, "--speed", "max", "--paused"];
    let mut seat = WatchedSource::start(home, size, &arguments, &[]);
    seat.shows("PAUSED");
    seat.command(&format!("step {BACKLOG_TICKS}"));
    seat.shows("tick 3,500");
    seat.settle();
    seat.until("a backlog", |screen| names(screen).len() >= 5);
    seat
}

fn snapshots(home: &Path) -> Vec<PathBuf> {
    let runs = std::fs::read_dir(home.join("snapshots/auto")).expect("snapshots");
    let files = runs.flat_map(|run| std::fs::read_dir(run.expect("a run").path()).expect("its snapshots"));
    files.map(|file| file.expect("a file").path()).collect()
}

/// Ended as it should: the terminal given back, status 0, a last snapshot, a whole audit log.
#[track_caller]
fn assert_clean_exit(seat: &mut WatchedSource, home: &Path) {
    seat.terminal_restored();
    assert_eq!(seat.ended(), 0, "{}", seat.text());
    assert!(seat.text().contains("stopped at tick"), "{}", seat.text());
    assert!(!snapshots(home).is_empty());
    let report = verify(&home.join("logs/console")).expect("the audit log is read");
    assert!(report.passed(), "{:?}", report.findings().map(ToString::to_string).collect::<Vec<_>>());
}

/// A shift at the exit queue, from the first look to the last key.
fn a_shift(size: (u16, u16)) {
    let home = tempfile::tempdir().unwrap();
    let mut seat = backlog(home.path(), size);
    let before = names(seat.screen());

    // A viewer changes nothing and is told how to.
    seat.press("j");
    seat.until("the second row", |screen| queue(screen).get(1).is_some_and(|row| row.selected));
    assert!(seat.text().contains("VIEWER"));
    seat.press("a");
    seat.shows(":escalate");
    assert!(!seat.text().contains("cancel"));
    assert_eq!(names(seat.screen()), before);

    seat.command("escalate");
    seat.shows("Become admin");
    seat.press("exits of today\r");
    seat.shows("you are admin now");
    assert!(seat.text().contains("ADMIN"));

    // Cancel is focused: enter alone does nothing.
    seat.press("a");
    seat.shows("▸ cancel ◂");
    assert!(seat.text().contains(&format!("{} leaves town on the next tick", before[1])), "{}", seat.text());
    seat.press("\r");
    seat.hides("cancel");
    assert_eq!(names(seat.screen()), before);

    seat.press("a");
    seat.shows("▸ cancel ◂");
    seat.press(RIGHT);
    seat.shows("▸ approve ◂");
    seat.press("\r");
    seat.shows("logged");
    assert!(names(seat.screen()).contains(&before[1]), "it leaves on the next tick, not at once");
    seat.press(".");
    seat.until("a row less", |screen| !names(screen).contains(&before[1]));

    the_audit_screen_shows(&mut seat, "employment_exit approve", &format!("agent={}", before[1].to_lowercase()));
    let log = log_of(home.path());
    let approved: Vec<&Record> = log.iter().filter(|record| record.command == "employment_exit approve").collect();
    let stages: Vec<Stage> = approved.iter().map(|record| record.stage).collect();
    assert_eq!(stages, [Stage::Intent, Stage::Outcome], "what the viewer pressed is not in the log");
    assert_eq!(approved[0].cmd_id, approved[1].cmd_id);

    // Deferring one asks nothing; deferring several does, and each is a command of its own.
    seat.settle();
    let left = names(seat.screen());
    seat.press("g");
    seat.until("the first row", |screen| queue(screen).first().is_some_and(|row| row.selected));
    seat.press("d");
    seat.until("the first to stay", |screen| !names(screen).contains(&left[0]));
    seat.settle();
    let left = names(seat.screen());
    seat.press("g  ");
    seat.until("two marks", |screen| queue(screen).iter().filter(|row| row.marked).count() == 2);
    seat.press("d");
    seat.shows("▸ cancel ◂");
    seat.press(RIGHT);
    seat.shows("▸ defer 2 ◂");
    seat.press("\r");
    seat.until("two more to stay", |screen| !names(screen).iter().any(|name| left[..2].contains(name)));

    seat.press("q");
    assert_clean_exit(&mut seat, home.path());
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
fn the_audit_screen_shows(seat: &mut WatchedSource, command: &str, argument: &str) {
    seat.press("6");
    seat.shows("written and chained");
    let selected = |screen: &vt100::Screen, command: &str| {
        screen.contents().lines().any(|line| line.contains('▸') && line.contains(command))
    };
    // The step after it may come in while one looks; one above it is the command.
    seat.until("the step, newest and selected", |screen| selected(screen, "step"));
    seat.press("k");
    seat.until("the command, selected", |screen| selected(screen, command));
    seat.press("\r");
    seat.until("intent and outcome", |screen| {
        let text = screen.contents();
        let labels = ["command ", "cmd_id ", "intent ", "outcome "];
        text.contains(argument) && labels.iter().all(|label| text.contains(&format!("┃{label}")))
    });
    assert_eq!(seat.text().matches("┃cmd_id ").count(), 1);
    seat.press("1");
    seat.shows("pending ");
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
    let mut seat = WatchedSource::start(home.path(), SMALL, &[], &[]);
    seat.shows("Employment");
    seat.press("q");
    assert_clean_exit(&mut seat, home.path());
}

#[test]
fn signals_to_end_end_it_well() {
    for signal in ["TERM", "HUP", "INT", "QUIT"] {
        let home = tempfile::tempdir().unwrap();
        let mut seat = WatchedSource::start(home.path(), SMALL, &["--speed", "max"], &[]);
        seat.shows("Employment");
        seat.signal(signal);
        assert_clean_exit(&mut seat, home.path());
    }
}

#[test]
fn suspended_and_continued() {
    let home = tempfile::tempdir().unwrap();
    let mut seat = WatchedSource::start(home.path(), LARGE, &["--speed", "max"], &[]);
    seat.shows("Employment");
    for _ in 0..3 {
        seat.press("\u{1a}");
        seat.terminal_restored();
        seat.stopped();
        seat.signal("CONT");
        seat.until("the screen again", |screen| screen.alternate_screen() && screen.contents().contains("Employment"));
    }
    seat.press("q");
    assert_clean_exit(&mut seat, home.path());
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
        let mut seat = WatchedSource::start(home.path(), LARGE, &["--speed", "max"], environment);
        seat.shows("Employment");
        for (key, text) in [("2", "Map"), ("3", "Agents"), ("6", "Audit log"), ("1", "Employment")] {
            seat.press(key);
            seat.until(text, |screen| screen.contents().contains(text));
        }
        seat.settle();
        seat.press("q");
        assert_clean_exit(&mut seat, home.path());
        assert_eq!(colours(&seat.written).is_empty(), plain, "{:?}", colours(&seat.written).first());
    }
}

#[test]
fn a_terminal_too_small_says_so_and_a_storm_of_sizes_is_weathered() {
    let home = tempfile::tempdir().unwrap();
    let mut seat = WatchedSource::start(home.path(), (50, 10), &["--speed", "max"], &[]);
    seat.shows("50 × 10 is too small");
    for round in 0..60_u16 {
        seat.resize((1 + round * 37 % 220, 1 + round * 23 % 70));
    }
    seat.resize((1, 1));
    seat.resize(LARGE);
    seat.until("every pane", |screen| {
        let text = screen.contents();
        ["Employment", "Stability", "Queues", "Alerts", "Console"].iter().all(|pane| text.contains(pane))
            && text.lines().count() >= 39
    });
    seat.press("q");
    assert_clean_exit(&mut seat, home.path());
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
    let mut first = WatchedSource::start(home.path(), SMALL, &[], &[]);
    first.shows("Employment");
    let mut second = WatchedSource::start(home.path(), SMALL, &[], &[]);
    assert_eq!(second.ended(), 2);
    assert!(second.text().contains("is running in this home already"), "{}", second.text());
    first.press("q");
    assert_clean_exit(&mut first, home.path());
}
