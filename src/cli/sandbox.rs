//! A town to try things on: in a folder that goes with it, ticking only when told how far, with an admin at its console.
//!
//! Owns how things are tried: whatever changes the town is asked as a dry run first, which must change nothing, and what
//! is seen afterwards is what an observer is sent next. Which things are tried stand in `rehearse` and `preflight`.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;
use townlet_town::Sources;

use townlet_shard::{Driver, Handle, Home, Options, Speed};
use townlet_wire::{Answer, Request, Role, Session, Snapshot, Status};

/// Longest a message is waited for.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What would have been right, and what was seen instead.
#[derive(Debug)]
pub(super) struct CheckFailure {
    /// What would have been right.
    pub(super) expected: String,
    /// What was seen.
    pub(super) seen: String,
}

impl CheckFailure {
    /// A point that was missed.
    pub(super) fn new(expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { expected: expected.into(), seen: seen.into() }
    }
}

/// Goes on when it holds.
///
/// # Errors
/// The miss, when it does not.
pub(super) fn ensure(holds: bool, expected: impl Into<String>, seen: impl Into<String>) -> Result<(), CheckFailure> {
    if holds { Ok(()) } else { Err(CheckFailure::new(expected, seen)) }
}

/// A throw-away town.
pub(super) struct Sandbox {
    shard: Handle,
    session: u64,
    // Goes last: the shard still writes while it stops.
    _home: TempDir,
}

impl Sandbox {
    /// A new town of these texts.
    ///
    /// # Errors
    /// Why it does not start.
    pub(super) fn open(sources: Sources, seed: u64, driver: Driver) -> Result<Self> {
        let home = tempfile::tempdir().context("no folder can be made for the throw-away town")?;
        let options = Options {
            home: Home::new(home.path()),
            paused: false,
            speed: Speed::Max,
            held: true,
            claim: false,
            driver,
            training: None,
            token_file: None,
            reloader: None,
        };
        let shard = townlet_shard::start(sources, seed, options)?;
        let admin = Session { issuer: "rehearsal".into(), role: Role::Admin, transport: "local".into(), owner: true };
        let session = shard.open(admin, |_| {});
        Ok(Self { shard, session, _home: home })
    }

    /// The configuration it runs with.
    pub(super) fn config(&self) -> &townlet_town::config::Config {
        &self.shard.config
    }

    /// The state and the digest now.
    ///
    /// # Errors
    /// That the town broke off.
    pub(super) fn view(&self) -> Result<(Snapshot, String), CheckFailure> {
        self.shard.view().ok_or_else(|| self.stopped())
    }

    /// What an observer is sent next, from now on.
    ///
    /// # Errors
    /// That nothing comes.
    pub(super) fn next_snapshot(&self) -> Result<Arc<Snapshot>, CheckFailure> {
        let (sender, messages) = channel();
        self.shard.subscribe(move |view| drop(sender.send(view)));
        messages.recv_timeout(TIMEOUT).map_err(|_| CheckFailure::new("a message to observers", "none in ten seconds"))
    }

    /// Runs for so many ticks.
    ///
    /// # Errors
    /// That the town broke off.
    pub(super) fn run(&self, ticks: u64) -> Result<(), CheckFailure> {
        let until = self.shard.tick() + ticks;
        let reached = self.shard.run_to(until, |_| true);
        if reached == Some(until) { Ok(()) } else { Err(self.stopped()) }
    }

    /// Asks for a line as a dry run, which must leave the town as it is, and then for real.
    ///
    /// # Errors
    /// That either was refused, or that the dry run changed something.
    pub(super) fn run_command(&self, line: &str) -> Result<Answer, CheckFailure> {
        let before = self.view()?.1;
        self.ask(line, true)?;
        ensure(
            self.view()?.1 == before,
            format!("a dry run of `{line}` changes nothing"),
            "the town's digest changed",
        )?;
        self.ask(line, false)
    }

    fn ask(&self, line: &str, dry_run: bool) -> Result<Answer, CheckFailure> {
        let request = Request { dry_run, ..Request::line(line) };
        let answer = self.shard.ask_and_wait(self.session, request).ok_or_else(|| self.stopped())?;
        let (wanted, word) = if dry_run { (Status::DryRun, "as a dry run ") } else { (Status::Ok, "") };
        ensure(answer.status == wanted, format!("`{line}` {word}is done"), answer.summary())?;
        Ok(answer)
    }

    fn stopped(&self) -> CheckFailure {
        let why = self.shard.stop().err().unwrap_or_else(|| "the shard has ended".into());
        CheckFailure::new("the town goes on", why)
    }
}
