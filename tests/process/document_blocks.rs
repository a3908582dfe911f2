//! Every block of `docs/RUNBOOK.md`, run by a shell in one throw-away home, in the order of the page.
//!
//! A line `$ …` is a command, `> …` goes on with it, `[status N]` says how it ends when not with 0, everything else is a line it
//! must print, in this order, with `…` for whatever differs. What ends with `&` is a shard that is served: it gets a free port.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

/// Where the page says that shards are served.
const PLACE: &str = "127.0.0.1:7420";
/// Longest a command may take.
const TIMEOUT: Duration = Duration::from_mins(5);

/// A command of the page, and what it must come to.
#[derive(Debug, Default)]
struct Step {
    number: usize,
    command: String,
    lines: Vec<String>,
    status: i32,
}

/// The commands of all blocks tagged `console`.
fn steps(page: &str) -> Vec<Step> {
    let (mut steps, mut inside): (Vec<Step>, bool) = (Vec::new(), false);
    for (number, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if inside && let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { number: number + 1, command: command.into(), ..Step::default() });
        } else if inside {
            let step = steps.last_mut().expect("a block begins with a command");
            if let Some(more) = line.strip_prefix("> ") {
                step.command = format!("{}\n{more}", step.command);
            } else if let Some(status) = line.strip_prefix("[status ") {
                step.status = status.trim_end_matches(']').parse().expect("a status");
            } else {
                step.lines.push(line.trim().into());
            }
        }
    }
    steps
}

/// Whether a line is as the page has it.
fn fits(line: &str, shown: &str) -> bool {
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

/// The first line of the page that was not printed in its turn.
fn lacking<'a>(output: &str, shown: &'a [String]) -> Option<&'a str> {
    let mut printed = output.lines();
    shown.iter().filter(|line| *line != "…").find(|shown| !printed.any(|line| fits(line, shown))).map(String::as_str)
}

/// A shard that is served; killed when the test breaks off.
struct Served {
    child: Child,
    place: String,
    // Held open: the shard still has its last line to say.
    _out: BufReader<ChildStdout>,
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The operator's terminal.
struct Terminal<'a> {
    home: &'a Path,
    /// Shell functions made so far.
    prelude: String,
    served: Option<Served>,
}

impl Terminal<'_> {
    fn shell(&self, line: &str) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_townlet")).parent().expect("a folder");
        let path = std::env::var("PATH").unwrap_or_default();
        let place = self.served.as_ref().map_or(PLACE, |served| &served.place);
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{}{line}", self.prelude).replace(PLACE, place)).current_dir(self.home);
        command.env("PATH", format!("{}:{path}", program.display())).env("HOME", self.home).stdin(Stdio::null());
        for name in ["TOWNLET_TOKEN", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "RUST_BACKTRACE"] {
            command.env_remove(name);
        }
        command.env("towns", Path::new(env!("CARGO_MANIFEST_DIR")).join("configs"));
        command
    }

    fn run(&mut self, step: &Step) {
        if step.command.contains("() {") {
            self.prelude.push_str(&step.command);
            self.prelude.push('\n');
        } else if let Some(line) = step.command.strip_suffix(" &") {
            self.serve(step, line);
        } else if let Some(signal) = step.command.strip_prefix("kill ").and_then(|line| line.strip_suffix("%1")) {
            self.end(step, signal);
        } else {
            let output = self.run_with_timeout(step);
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            let said = self.served.as_ref().map_or_else(|| said.clone(), |it| said.replace(&it.place, PLACE));
            assert_eq!(output.status.code(), Some(step.status), "{step}\n{said}");
            holds(step, &said);
        }
    }

    /// Runs a command to its end, which must come.
    fn run_with_timeout(&self, step: &Step) -> Output {
        let mut shell = self.shell(&step.command);
        let child = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("there is a shell");
        let (pid, (sender, ended)) = (child.id(), channel());
        std::thread::spawn(move || sender.send(child.wait_with_output()));
        ended.recv_timeout(TIMEOUT).map_or_else(
            |_| {
                drop(self.shell(&format!("kill {pid}")).status());
                panic!("{step}: it does not end");
            },
            |output| output.expect("it can be read"),
        )
    }

    /// Starts what is to be served, on a free port, and waits until it says where.
    fn serve(&mut self, step: &Step, line: &str) {
        assert!(self.served.is_none(), "{step}: the one before still runs");
        let line = line.replace(PLACE, "127.0.0.1:0");
        let mut child =
            self.shell(&format!("exec {line} 2>&1")).stdout(Stdio::piped()).spawn().expect("there is a shell");
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut said = String::new();
        while !said.contains(" is served at http://") {
            let read = out.read_line(&mut said).expect("it can be read");
            assert!(read > 0, "{step}: it ended\n{said}");
        }
        let place = said.trim().rsplit('/').next().expect("a place").to_owned();
        holds(step, &said.replace(&place, PLACE));
        self.served = Some(Served { child, place, _out: out });
    }

    /// Ends it, well or by force.
    fn end(&mut self, step: &Step, signal: &str) {
        let mut served = self.served.take().unwrap_or_else(|| panic!("{step}: nothing is served"));
        let line = format!("kill {signal} {}", served.child.id());
        assert!(self.shell(&line).status().expect("there is a shell").success(), "{step}");
        let ended = served.child.wait().expect("it ends");
        assert!(!signal.trim().is_empty() || ended.success(), "{step}: {ended}");
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "docs/RUNBOOK.md:{}: {}", self.number, self.command)
    }
}

#[track_caller]
fn holds(step: &Step, said: &str) {
    if let Some(line) = lacking(said, &step.lines) {
        panic!("{step}\nnot printed in its turn: {line}\n{said}");
    }
}

#[test]
fn every_block_does_what_the_page_says() {
    let home = tempfile::tempdir().expect("a folder");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/RUNBOOK.md");
    let steps = steps(&std::fs::read_to_string(page).expect("there is a runbook"));
    assert!(steps.len() > 50, "{} commands", steps.len());
    let mut terminal = Terminal { home: home.path(), prelude: String::new(), served: None };
    for step in &steps {
        terminal.run(step);
    }
    assert!(terminal.served.is_none(), "the page ends what it begins");
}

#[test]
fn a_line_that_is_not_printed_is_missed() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for (output, shown, lacks) in [
        ("one\ntwo", "one\ntwo", None),
        ("one\ntwo", "two\none", Some("one")),
        ("run 17 ended", "run … ended", None),
        ("run 17 ended badly", "run … ended", Some("run … ended")),
        ("run 17 ended badly", "run … ended…", None),
        ("a run 17", "run …", Some("run …")),
        ("  indented  2", "indented  2", None),
        ("", "…", None),
    ] {
        assert_eq!(lacking(output, &lines(shown)), lacks, "{output:?} {shown:?}");
    }
}

#[test]
fn a_page_is_read_by_its_blocks() {
    let page = "```sh\n$ no\n```\n```console\n$ cat > x <<'END'\n> body\n> END\nshown\n$ false\n[status 1]\n```\n";
    let steps = steps(page);
    let read: Vec<_> = steps.iter().map(|it| (&*it.command, it.lines.len(), it.status, it.number)).collect();
    assert_eq!(read, [("cat > x <<'END'\nbody\nEND", 1, 0, 5), ("false", 0, 1, 9)]);
}
