//! The thread that writes and reads files for a shard, so that the tick loop never waits for the disk.
//!
//! Owns snapshot files with their retention, and the operators' log. What cannot be written is told, never hidden.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use serde_json::Value;

use super::home::{replace, snapshot_files};

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

/// A snapshot's file name.
pub(super) fn snapshot_name(tick: u64) -> String {
    format!("{tick:012}.tls")
}

/// Writes a snapshot and removes the oldest beyond `retain`.
///
/// # Errors
/// The file and what the system says.
pub(super) fn save_snapshot(folder: &Path, tick: u64, bytes: &[u8], retain: usize) -> Result<PathBuf, String> {
    let path = folder.join(snapshot_name(tick));
    replace(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    let files = snapshot_files(folder);
    for old in files.iter().take(files.len().saturating_sub(retain.max(1))) {
        // An old snapshot that stays costs space, not safety.
        drop(std::fs::remove_file(old));
    }
    Ok(path)
}

const EMPLOYMENT_HEAD: &str = "# Employment exits: decisions

One row a decision, written by the program. The audit log in `logs/console` is the proof; this is for reading.

| when (UTC) | shard | tick | who | decision | resident | reason | cmd_id |
|---|---|---|---|---|---|---|---|
";

/// A row of `ops/employment.md`.
#[derive(Clone, Debug)]
pub(super) struct Decision {
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
    /// The row of a command that was applied; `None` when it decides nothing about an exit.
    pub(super) fn of(shard: &str, tick: u64, who: &str, command: &str, args: &Value, cmd_id: &str) -> Option<Self> {
        let what = command.strip_prefix("employment_exit ")?.to_owned();
        let text = |name: &str| args.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (resident, reason) = (text("agent"), text("reason"));
        Some(Self { shard: shard.into(), tick, who: who.into(), what, resident, reason, cmd_id: cmd_id.into() })
    }
}

/// Appends a decision.
///
/// # Errors
/// The file and what the system says.
pub(super) fn log_decision(path: &Path, decision: &Decision) -> Result<(), String> {
    use std::io::Write;
    let say = |error: std::io::Error| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(say)?;
    }
    let known = std::fs::read_to_string(path).unwrap_or_default();
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S");
    let cell = |text: &str| crate::wire::text::escape(text).replace('|', "\\|");
    let (head, tail) = (
        format!("| {} | {} | {} |", cell(&decision.shard), decision.tick, cell(&decision.who)),
        format!("| {} |", decision.cmd_id),
    );
    if known.lines().any(|line| line.contains(&head) && line.ends_with(&tail)) {
        return Ok(());
    }
    let row = format!(
        "| {now} | {} | {} | {} | {} | {} | {} | {} |\n",
        cell(&decision.shard),
        decision.tick,
        cell(&decision.who),
        decision.what,
        decision.resident,
        cell(&decision.reason),
        decision.cmd_id
    );
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).map_err(say)?;
    let text = if known.is_empty() { format!("{EMPLOYMENT_HEAD}{row}") } else { row };
    file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).map_err(say)
}
