//! A temporary town for `preflight` and `rehearse`. It advances only on request and has an admin session.
//!
//! Every command first runs as a dry run, which must not change the town. Effects are checked on the next snapshot that
//! observers receive.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;
use townlet_town::Sources;

use townlet_shard::{Driver, Handle, Home, Options};
use townlet_wire::{Answer, Request, Role, Session, Snapshot, Status};

/// Time limit for the next snapshot.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A failed expectation.
#[derive(Debug)]
pub(super) struct CheckFailure {
    pub(super) expected: String,
    /// The actual state.
    pub(super) seen: String,
}

impl CheckFailure {
    /// A failed expectation.
    pub(super) fn new(expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { expected: expected.into(), seen: seen.into() }
    }
}

pub(super) fn ensure(holds: bool, expected: impl Into<String>, seen: impl Into<String>) -> Result<(), CheckFailure> {
    if holds { Ok(()) } else { Err(CheckFailure::new(expected, seen)) }
}

/// A running temporary town.
pub(super) struct Sandbox {
    shard: Handle,
    session: u64,
    // Dropped last, because the shard writes while it stops.
    _home: TempDir,
}

impl Sandbox {
    /// Starts a new town.
    pub(super) fn open(sources: Sources, seed: u64, driver: Driver) -> Result<Self> {
        let home = tempfile::tempdir().context("cannot create a temporary folder")?;
        let options = Options { driver, ..Options::held(Home::new(home.path())) };
        let shard = townlet_shard::start(sources, seed, options)?;
        let admin = Session { issuer: "rehearsal".into(), role: Role::Admin, transport: "local".into(), owner: true };
        let session = shard.open(admin, |_| {});
        Ok(Self { shard, session, _home: home })
    }

    pub(super) fn config(&self) -> &townlet_town::config::Config {
        &self.shard.config
    }

    /// The current state and digest.
    pub(super) fn view(&self) -> Result<(Snapshot, String), CheckFailure> {
        self.shard.view().ok_or_else(|| self.stopped())
    }

    /// The next snapshot that observers receive.
    pub(super) fn next_snapshot(&self) -> Result<Arc<Snapshot>, CheckFailure> {
        let (sender, messages) = channel();
        self.shard.subscribe(move |view| drop(sender.send(view)));
        messages
            .recv_timeout(TIMEOUT)
            .map_err(|_| CheckFailure::new("a message to observers", "none within ten seconds"))
    }

    /// Advances the town.
    pub(super) fn run(&self, ticks: u64) -> Result<(), CheckFailure> {
        let until = self.shard.tick() + ticks;
        let reached = self.shard.run_to(until, |_| true);
        if reached == Some(until) { Ok(()) } else { Err(self.stopped()) }
    }

    /// Runs a command, first as a dry run.
    pub(super) fn run_command(&self, line: &str) -> Result<Answer, CheckFailure> {
        let before = self.view()?.1;
        self.ask(line, true)?;
        ensure(self.view()?.1 == before, format!("a dry run of `{line}` without effect"), "the town's digest changed")?;
        self.ask(line, false)
    }

    fn ask(&self, line: &str, dry_run: bool) -> Result<Answer, CheckFailure> {
        let request = Request { dry_run, ..Request::line(line) };
        let answer = self.shard.ask_and_wait(self.session, request).ok_or_else(|| self.stopped())?;
        let (wanted, word) = if dry_run { (Status::DryRun, "as a dry run ") } else { (Status::Ok, "") };
        ensure(answer.status == wanted, format!("`{line}` {word}to succeed"), answer.summary())?;
        Ok(answer)
    }

    fn stopped(&self) -> CheckFailure {
        let why = self.shard.stop().err().unwrap_or_else(|| "the shard has ended".into());
        CheckFailure::new("a running town", why)
    }
}
