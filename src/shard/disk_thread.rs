//! The thread that writes and reads files for a shard, so that the tick loop never waits for the disk.
//!
//! Owns its order, and the operators' log. What cannot be written is told, never hidden.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use fail::fail_point;
use serde_json::Value;

type Job = Box<dyn FnOnce() + Send>;

/// The thread. Dropping it finishes what was asked for.
pub(super) struct Disk {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Disk {
    /// Starts it.
    pub(super) fn start() -> Self {
        let (jobs, inbox) = channel::<Job>();
        let thread = std::thread::Builder::new()
            .name("disk".into())
            // A job that panics has been told by the panic itself; those behind it are still to be done.
            .spawn(move || inbox.into_iter().for_each(|job| drop(catch_unwind(AssertUnwindSafe(job)))))
            .expect("a thread can be started");
        Self { jobs: Some(jobs), thread: Some(thread) }
    }

    /// Runs a job after those asked for before.
    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static) {
        if let Some(jobs) = &self.jobs {
            // The thread ends only with this value; a job that cannot be sent has nobody left to answer.
            drop(jobs.send(Box::new(job)));
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

const EMPLOYMENT_LOG_HEADER: &str = "# Employment exits: decisions

One row a decision, written by the program. The audit log in `logs/console` is the proof; this is for reading.

| when (UTC) | shard | tick | who | decision | resident | reason | cmd_id |
|---|---|---|---|---|---|---|---|
";

/// A row of `ops/employment.md`.
#[derive(Clone, Debug)]
pub(super) struct Decision {
    /// When it was acknowledged, as far as is known.
    pub when: jiff::Timestamp,
    /// The shard.
    pub shard: String,
    /// The tick it was applied at.
    pub tick: u64,
    /// The issuer.
    pub who: String,
    /// `approve` or `defer`.
    pub what: String,
    /// The resident's id.
    pub resident: String,
    /// What was typed behind `--reason`.
    pub reason: String,
    /// The command's id, by which the audit log finds it; one decision is not written twice.
    pub cmd_id: String,
}

impl Decision {
    /// The row of a command that was applied just now; `None` when it decides nothing about an exit.
    pub(super) fn of(shard: &str, tick: u64, who: &str, command: &str, args: &Value, cmd_id: &str) -> Option<Self> {
        let what = command.strip_prefix("employment_exit ").filter(|what| *what != "review")?.to_owned();
        let text = |name: &str| args.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (resident, reason, when) = (text("agent"), text("reason"), jiff::Timestamp::now());
        Some(Self { when, shard: shard.into(), tick, who: who.into(), what, resident, reason, cmd_id: cmd_id.into() })
    }

    /// Whether one of these lines is its row, whenever that was written.
    fn is_listed_in(&self, lines: &[&str]) -> bool {
        let head = format!("| {} | {} | {} |", cell(&self.shard), self.tick, cell(&self.who));
        let tail = format!("| {} |", self.cmd_id);
        lines.iter().any(|line| line.contains(&head) && line.ends_with(&tail))
    }

    fn row(&self) -> String {
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
            self.when.strftime("%Y-%m-%d %H:%M:%S"),
            cell(&self.shard),
            self.tick,
            cell(&self.who),
            self.what,
            self.resident,
            cell(&self.reason),
            self.cmd_id
        )
    }
}

fn cell(text: &str) -> String {
    townlet_wire::escape(text).replace('|', "\\|")
}

/// Appends those decisions that do not stand there yet, and says how many.
///
/// # Errors
/// The file and what the system says; some may stand there then.
pub(super) fn append_decisions(path: &Path, decisions: &[Decision]) -> Result<usize, String> {
    use std::io::Write;
    let say = |error: std::io::Error| format!("{}: {error}", path.display());
    if decisions.is_empty() {
        return Ok(0);
    }
    fail_point!("ops_write", |_| Err(format!("{}: fail point ops_write", path.display())));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(say)?;
    }
    townlet_files::require_regular(path).map_err(say)?;
    let known = std::fs::read_to_string(path).unwrap_or_default();
    let rows: Vec<&str> = known.lines().filter(|line| line.starts_with('|')).collect();
    let missing: Vec<&Decision> = decisions.iter().filter(|decision| !decision.is_listed_in(&rows)).collect();
    if missing.is_empty() {
        return Ok(0);
    }
    let begin = match known.as_str() {
        "" => EMPLOYMENT_LOG_HEADER,
        torn if !torn.ends_with('\n') => "\n",
        _ => "",
    };
    let text: String = std::iter::once(begin.to_owned()).chain(missing.iter().map(|it| it.row())).collect();
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).map_err(say)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).map_err(say)?;
    Ok(missing.len())
}
