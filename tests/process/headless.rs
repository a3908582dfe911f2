//! Runs of the program in batch, their answers and reports, and checks of the files they leave in a home.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use townlet_audit::{Stage, records, verify};
use townlet_shard::Home;
use townlet_shard::journal::{Entry, Segments};
use townlet_shard::recovery::JournalReplayer;
use townlet_wire::Status;

use crate::kit::BINARY;

/// The shard's name in the embedded configuration.
const SHARD: &str = "harbour";
/// The script's name in the home folder; it is the issuer, so a retry must keep it.
pub(crate) const SCRIPT: &str = "rounds.jsonl";

/// The printed answer of a script line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScriptAnswer {
    pub(crate) cmd_id: String,
    pub(crate) ok: bool,
    pub(crate) replayed: bool,
    pub(crate) text: String,
}

impl ScriptAnswer {
    /// `✓ tick 12  setmoney ada 3  … (replayed)  id`; `None` for any other line.
    fn read(line: &str) -> Option<Self> {
        let ok = line.starts_with("✓ tick ");
        // Rows of the report begin with the same signs.
        if !ok && !line.starts_with("✗ tick ") {
            return None;
        }
        let cmd_id = line.split_whitespace().next_back()?.to_owned();
        Some(Self { cmd_id, ok, replayed: line.contains(" (replayed)  "), text: line.to_owned() })
    }
}

/// How a batch ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    /// Answers not yet taken by [`Batch::answer`].
    pub(crate) answers: Vec<ScriptAnswer>,
    /// The rest of standard output.
    pub(crate) out: String,
    pub(crate) said: String,
}

impl Ended {
    /// The town's digest in the report.
    #[track_caller]
    pub(crate) fn digest(&self) -> &str {
        let line = self.out.lines().find_map(|line| line.trim_start().strip_prefix("digest "));
        line.unwrap_or_else(|| panic!("no report:\n{}\n{}", self.out, self.said)).trim()
    }

    /// The tick from which it resumed.
    #[track_caller]
    pub(crate) fn resumed_at(&self) -> u64 {
        let note = self.said.lines().find_map(|line| line.strip_prefix("resumed at tick "));
        let tick = note.and_then(|rest| rest.split(',').next()).and_then(|tick| tick.parse().ok());
        tick.unwrap_or_else(|| panic!("it does not say where it resumed:\n{}", self.said))
    }
}

/// A running batch.
pub(crate) struct Batch {
    child: Child,
    out: BufReader<ChildStdout>,
    started: Instant,
    answered: Option<Duration>,
}

impl Batch {
    /// `townlet run --headless --home HOME …`.
    pub(crate) fn start(home: &Path, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(BINARY);
        command.args(["run", "--headless", "--home"]).arg(home).args(args).current_dir(home);
        command.env_clear().env("HOME", home).env("RUST_BACKTRACE", "0").envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().expect("the program starts");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, out, started, answered: None }
    }

    /// The next answer; `None` when no more come.
    pub(crate) fn answer(&mut self) -> Option<ScriptAnswer> {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("its output is text");
        // A line cut off by a kill is no answer.
        line.ends_with('\n').then_some(())?;
        self.answered.get_or_insert(self.started.elapsed());
        ScriptAnswer::read(&line)
    }

    /// Time from the start to the first answer that was read.
    pub(crate) fn time_to_first_answer(&self) -> Option<Duration> {
        self.answered
    }

    /// Kills it with SIGKILL; its remaining output.
    pub(crate) fn kill(mut self) -> Ended {
        // It may have ended by itself.
        drop(self.child.kill());
        self.end()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        let (mut out, mut said) = (String::new(), String::new());
        self.out.read_to_string(&mut out).expect("its output is text");
        let mut stderr = self.child.stderr.take().expect("its messages");
        stderr.read_to_string(&mut said).expect("its messages are text");
        let status = self.child.wait().expect("its status").code();
        let whole = out.rfind('\n').map_or("", |end| &out[..end]);
        Ended { status, answers: whole.lines().filter_map(ScriptAnswer::read).collect(), out, said }
    }
}

/// Writes a script of commands with ids; a command without a tick runs at once.
pub(crate) fn write_script(home: &Path, lines: &[(Option<u64>, String, String)]) {
    let lines = lines.iter().map(|(tick, command, cmd_id)| {
        let mut line = serde_json::json!({ "command": command, "cmd_id": cmd_id });
        if let Some(tick) = tick {
            line["tick"] = (*tick).into();
        }
        format!("{line}\n")
    });
    std::fs::write(home.join(SCRIPT), lines.collect::<String>()).expect("a script is written");
}

/// The result of replaying a run's journal, in which every digest is equal.
pub(crate) struct Replayed {
    /// The ids of the commands, in order.
    pub(crate) ids: Vec<String>,
    pub(crate) tick: u64,
    pub(crate) digest: String,
}

/// Replays the only run of a home and compares every digest.
#[track_caller]
pub(crate) fn replay(home: &Path) -> Replayed {
    let home = Home::new(home);
    let runs = home.runs(SHARD);
    assert_eq!(runs.len(), 1, "{runs:?}");
    let mut ids = Vec::new();
    let mut player: Option<JournalReplayer> = None;
    for segment in Segments::of_run(&home, &runs[0]).unwrap_or_else(|error| panic!("{error}")).iter() {
        let (file, contents) = segment.unwrap_or_else(|error| panic!("{error}"));
        let mut at = match player.take() {
            Some(mut earlier) => {
                let begun = earlier.begin_segment(&contents.header);
                begun.unwrap_or_else(|why| panic!("{}: {why}", file.display()));
                earlier
            }
            None => JournalReplayer::from_header(&contents.header).unwrap_or_else(|why| panic!("{why}")),
        };
        for entry in contents.entries.iter() {
            at.apply(&entry, |_| {}).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
            match entry {
                Entry::Command { cmd_id, .. } | Entry::Policy { cmd_id, .. } | Entry::Reload { cmd_id, .. } => {
                    ids.push(cmd_id);
                }
                Entry::Ticks { from, to, .. } => assert!(to - from <= 100, "more than 100 ticks were held back"),
            }
        }
        player = Some(at);
    }
    let player = player.expect("a run has a journal");
    Replayed { ids, tick: player.town.tick(), digest: player.town.digest() }
}

/// Asserts that the run resumes where its journal ends.
#[cfg(feature = "failpoints")]
#[track_caller]
pub(crate) fn goes_on(home: &Path) {
    verified(home);
    let expected = replay(home);
    let limit = (expected.tick + 50).to_string();
    let ended = Batch::start(home, &["--resume", "--tick-limit", &limit], &[]).end();
    assert_eq!((ended.status, ended.resumed_at()), (Some(0), expected.tick), "{}", ended.said);
}

/// Asserts that the audit log verifies as the process left it.
#[track_caller]
pub(crate) fn verified(home: &Path) {
    let folder = home.join("logs/console");
    if folder.exists() {
        let report = verify(&folder).expect("the audit log is read");
        assert!(report.passed(), "{:?}", report.findings().map(ToString::to_string).collect::<Vec<_>>());
    }
}

/// Asserts that the audit log verifies, every command has ended, and each id succeeded at most once. Returns how often each did.
#[track_caller]
pub(crate) fn audited(home: &Path) -> BTreeMap<String, usize> {
    verified(home);
    let folder = home.join("logs/console");
    let (mut open, mut done) = (BTreeMap::<String, i32>::new(), BTreeMap::<String, usize>::new());
    records(&folder, |_, _, record| {
        let Ok(record) = record else { return Ok(()) };
        match record.stage {
            Stage::Intent => *open.entry(record.cmd_id.clone()).or_default() += 1,
            Stage::Outcome | Stage::Recovered | Stage::Abort if !record.cmd_id.is_empty() => {
                *open.entry(record.cmd_id.clone()).or_default() -= 1;
                if record.status == Some(Status::Ok) {
                    *done.entry(record.cmd_id.clone()).or_default() += 1;
                }
            }
            _ => {}
        }
        Ok(())
    })
    .expect("the audit log is read");
    assert!(open.values().all(|left| *left == 0), "{open:?}");
    assert!(done.values().all(|times| *times == 1), "{done:?}");
    done
}
