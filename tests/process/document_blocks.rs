//! Runs every block of `docs/RUNBOOK.md` and `docs/TOUR.md`, in the order of the page, each page in one temporary folder.
//!
//! In a `console` block, a line `$ …` is a command for a shell, `> …` continues it, `[status N]` is its exit status when that is
//! not 0, and every other line must be printed in this order; `…` stands for any text. A command that ends with `&` serves a
//! shard; all of a page are served on one port, one after the other, as a reader does. A `terminal` block starts the program in a terminal, and the table after it lists keys and what the
//! screen then shows.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::channel;

use super::pty_session::PtySession;
use crate::kit::{BINARY, TIMEOUT, repository, temp_home, wait_until};

/// The address at which both pages serve a shard.
const ADDRESS: &str = "127.0.0.1:7420";

/// Columns and rows of the terminal.
const SIZE: (u16, u16) = (120, 40);

/// A command of a page.
#[derive(Debug, Default)]
struct Step {
    page: &'static str,
    /// Its line in the page, from 1.
    number: usize,
    command: String,
    /// Expected lines of output.
    lines: Vec<String>,
    /// Expected exit status.
    status: i32,
    /// Keys and texts of a command that runs in a terminal.
    screen: Option<Vec<Row>>,
}

/// A row of the table after a `terminal` block: keys to press, then texts that the screen must show.
type Row = (Vec<String>, Vec<String>);

/// The commands of all `console` and `terminal` blocks.
fn steps(page: &'static str, text: &str) -> Vec<Step> {
    let (mut steps, mut fence): (Vec<Step>, Option<&str>) = (Vec::new(), None);
    for (number, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix("```") {
            assert!(matches!(name, "" | "console" | "terminal" | "sh" | "text"), "{page}:{}: {line}", number + 1);
            fence = (!name.is_empty()).then_some(name);
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| matches!(fence, Some("console" | "terminal")))
        {
            let screen = (fence == Some("terminal")).then(Vec::new);
            steps.push(Step { page, number: number + 1, command: command.into(), screen, ..Step::default() });
        } else if fence == Some("console") {
            let step = steps.last_mut().expect("a block begins with a command");
            if let Some(more) = line.strip_prefix("> ") {
                step.command = format!("{}\n{more}", step.command);
            } else if let Some(status) = line.strip_prefix("[status ") {
                step.status = status.trim_end_matches(']').parse().expect("a status");
            } else {
                step.lines.push(line.trim().into());
            }
        } else if let Some(rows) = steps.last_mut().and_then(|step| step.screen.as_mut()) {
            let cells: Vec<&str> = line.split('|').collect();
            if fence.is_none() && line.starts_with('|') && !line.starts_with("|-") && !line.starts_with("| keys") {
                rows.push((quoted(cells[1]), quoted(cells[2])));
            }
        }
    }
    steps
}

/// The texts in backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The bytes of a key by its name in a page; any other text is typed as it is.
fn key(name: &str) -> &str {
    match name {
        "enter" => "\r",
        "esc" => "\u{1b}",
        "tab" => "\t",
        "down" => "\u{1b}[B",
        "up" => "\u{1b}[A",
        "right" => "\u{1b}[C",
        "left" => "\u{1b}[D",
        "home" => "\u{1b}[H",
        text => text,
    }
}

/// Whether a printed line matches a line of a page.
fn matches_line(line: &str, shown: &str) -> bool {
    let mut pieces: VecDeque<&str> = shown.split('…').map(str::trim).collect();
    let (line, first) = (line.trim(), pieces.pop_front().unwrap_or_default());
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let last = pieces.pop_back();
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

/// The first line of a page that was not printed after the lines before it.
fn first_missing<'a>(output: &str, shown: &'a [String]) -> Option<&'a str> {
    let mut printed = output.lines();
    let missing = |shown: &&String| !printed.any(|line| matches_line(line, shown));
    shown.iter().filter(|line| *line != "…").find(missing).map(String::as_str)
}

/// A served shard; killed when the test fails.
struct Served {
    child: Child,
    // Kept open until the shard has printed its last line.
    _out: BufReader<ChildStdout>,
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A shell in a home folder, with the shard that a page serves in the background.
struct Shell<'a> {
    home: &'a Path,
    /// In place of [`ADDRESS`].
    address: String,
    /// Shell functions that the page has defined.
    functions: String,
    served: Option<Served>,
}

impl Shell<'_> {
    fn command(&self, line: &str) -> Command {
        let program = Path::new(BINARY).parent().expect("a folder");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("sh");
        command.arg("-c").arg(self.with_address(&format!("{}{line}", self.functions))).current_dir(self.home);
        command.env_clear().env("PATH", format!("{}:{path}", program.display())).env("HOME", self.home);
        command.env("towns", repository("configs")).stdin(Stdio::null());
        command
    }

    /// A text of the page with the real address of the served shard.
    fn with_address(&self, text: &str) -> String {
        text.replace(ADDRESS, &self.address)
    }

    fn run(&mut self, step: &Step) {
        if let Some(rows) = &step.screen {
            self.run_screen(step, rows);
        } else if step.command.contains("() {") {
            self.functions.push_str(&step.command);
            self.functions.push('\n');
        } else if let Some(line) = step.command.strip_suffix(" &") {
            self.serve(step, line);
        } else if let Some(signal) = step.command.strip_prefix("kill ").and_then(|line| line.strip_suffix("%1; wait")) {
            self.end(step, signal);
        } else {
            let output = self.run_with_timeout(step);
            let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            let printed = printed.replace(&self.address, ADDRESS);
            assert_eq!(output.status.code(), Some(step.status), "{step}\n{printed}");
            assert_printed(step, &printed);
        }
    }

    /// Runs a command to its end; one that does not end is killed with its children.
    fn run_with_timeout(&self, step: &Step) -> Output {
        let mut shell = self.command(&step.command);
        let child = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().expect("a shell");
        let (pid, (sender, ended)) = (child.id(), channel());
        std::thread::spawn(move || sender.send(child.wait_with_output()));
        let Ok(output) = ended.recv_timeout(TIMEOUT) else {
            drop(self.command(&format!("kill -KILL -- -{pid}")).status());
            panic!("{step}: it does not end");
        };
        output.expect("its output can be read")
    }

    /// Serves a shard and waits until it prints its address.
    fn serve(&mut self, step: &Step, line: &str) {
        assert!(self.served.is_none(), "{step}: the shard before still runs");
        let mut child = self.command(&format!("exec {line} 2>&1")).stdout(Stdio::piped()).spawn().expect("a shell");
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut printed = String::new();
        while !printed.contains(" is served at http://") {
            let read = out.read_line(&mut printed).expect("it can be read");
            assert!(read > 0, "{step}: it ended\n{printed}");
        }
        assert_printed(step, &printed.replace(&self.address, ADDRESS));
        self.served = Some(Served { child, _out: out });
    }

    /// Ends the served shard with a signal; without one it must end with status 0.
    fn end(&mut self, step: &Step, signal: &str) {
        let mut served = self.served.take().unwrap_or_else(|| panic!("{step}: nothing is served"));
        let line = format!("kill {signal} {}", served.child.id());
        assert!(self.command(&line).status().expect("a shell").success(), "{step}");
        wait_until("the end of the served shard", || served.child.try_wait().expect("its status").is_some());
        let status = served.child.wait().expect("its status");
        assert_eq!(status.success(), signal.trim().is_empty(), "{step}: {status}");
    }

    /// Runs the program in a terminal through the keys of a table.
    fn run_screen(&self, step: &Step, rows: &[Row]) {
        let line = self.with_address(&step.command).replace('"', "");
        let line = line.replace("$towns", &repository("configs").display().to_string());
        let args: Vec<&str> = line.split_whitespace().skip(1).collect();
        let mut session = PtySession::start(self.home, SIZE, &args, &[]);
        assert!(!rows.is_empty(), "{step}: no table follows");
        let mut shown: &[String] = &[];
        for (keys, texts) in rows {
            for (place, name) in keys.iter().enumerate() {
                if place > 0 && keys[place - 1] == ":" {
                    session.shows("tab complete");
                }
                let before = session.text();
                session.press(key(name));
                if name == "esc" {
                    // A key right behind it would be read as one with Alt. What stood on the screen goes with the window.
                    let gone = |text: &str| text != before && !shown.iter().any(|part| text.contains(part.as_str()));
                    session.until("what escape closes", |screen| gone(&screen.contents()));
                }
            }
            for text in texts {
                session.shows(text);
            }
            shown = texts;
        }
        assert_eq!(session.ended(), 0, "{step}\n{}", session.text());
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "docs/{}:{}: {}", self.page, self.number, self.command)
    }
}

#[track_caller]
fn assert_printed(step: &Step, printed: &str) {
    if let Some(line) = first_missing(printed, &step.lines) {
        panic!("{step}\nnot printed in its turn: {line}\n{printed}");
    }
}

/// A free address of this machine, outside the ports that the system gives to clients.
fn free_address() -> String {
    // Each page of this process begins elsewhere.
    static PAGES: AtomicU16 = AtomicU16::new(0);
    let first = 12_000 + (std::process::id() % 10_000) as u16 + 100 * PAGES.fetch_add(1, Ordering::Relaxed);
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    format!("127.0.0.1:{}", (first..first.saturating_add(1_000)).find(free).expect("a free port"))
}

/// Runs a page, which must have at least so many commands.
fn run_page(page: &'static str, least: usize) {
    let home = temp_home();
    let steps = steps(page, &std::fs::read_to_string(repository("docs").join(page)).expect("the page"));
    assert!(steps.len() >= least, "{} commands", steps.len());
    let mut shell = Shell { home: home.path(), address: free_address(), functions: String::new(), served: None };
    for step in &steps {
        shell.run(step);
    }
    assert!(shell.served.is_none(), "{page} ends what it serves");
}

#[test]
fn runbook_blocks_print_what_the_page_shows() {
    run_page("RUNBOOK.md", 50);
}

#[test]
fn tour_blocks_print_and_draw_what_the_page_shows() {
    run_page("TOUR.md", 25);
}

#[test]
fn missing_and_changed_lines_are_found() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for (output, shown, missing) in [
        ("one\ntwo", "one\ntwo", None),
        ("one\ntwo", "two\none", Some("one")),
        ("run 17 ended", "run … ended", None),
        ("run 17 ended badly", "run … ended", Some("run … ended")),
        ("run 17 ended badly", "run … ended…", None),
        ("a run 17", "run …", Some("run …")),
        ("  indented  2", "indented  2", None),
        ("", "…", None),
    ] {
        assert_eq!(first_missing(output, &lines(shown)), missing, "{output:?} {shown:?}");
    }
}

#[test]
fn steps_are_read_from_console_and_terminal_blocks() {
    let page = "```sh\n$ no\n```\n```console\n$ cat > x <<'END'\n> body\n> END\nshown\n$ false\n[status 1]\n```\n```terminal\n\
                $ townlet\n```\n\n| keys | screen | why |\n|---|---|---|\n| `:` `kpi` `enter` | `met`, `missed` | x |\n";
    let steps = steps("TEST.md", page);
    let read: Vec<_> = steps.iter().map(|it| (&*it.command, it.lines.len(), it.status, it.number)).collect();
    assert_eq!(read, [("cat > x <<'END'\nbody\nEND", 1, 0, 5), ("false", 0, 1, 9), ("townlet", 0, 0, 13)]);
    let words = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    assert_eq!(steps[2].screen, Some(vec![(words(&[":", "kpi", "enter"]), words(&["met", "missed"]))]));
    assert!(steps[0].screen.is_none());
}
