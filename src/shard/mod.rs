//! The shard: a running town with its console, journal, audit log and telemetry.
//!
//! Owns threads, clocks and files; the town's rules stand in `townlet-town`. Must not know screens or servers: they reach a
//! shard through a [`Handle`]. Rule: the operating guide.

mod commands;
mod deeds;
mod disk;
mod dispatch;
mod driver;
mod engine;
pub mod home;
mod intake;
pub mod journal;
pub mod names;
pub mod policies;
mod promotion;
pub mod publish;
pub mod recover;
mod settle;
mod table;
mod telemetry;
#[cfg(test)]
mod tests;
pub mod tokens;

pub use driver::Driver;
pub use engine::Speed;
pub use home::Home;
pub use intake::{Visitor, is_id};
pub use promotion::PointerError;
pub use table::specs;

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use thiserror::Error;
use townlet_town::config::Config;
use townlet_town::{Rules, Sources, Town};

use crate::audit::{self, Stage};
use crate::wire::telemetry::Transport;
use crate::wire::{Answer, Position, Request, Session, Snapshot, Status};
use dispatch::{Asked, Asker};
use engine::{Engine, Message, Parts};
use journal::{Base, Header, Journal};
use telemetry::Around;

/// How a shard is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where its files go.
    pub home: Home,
    /// Paused, and how fast otherwise.
    pub paused: bool,
    /// How fast.
    pub speed: Speed,
    /// Do not tick before [`Handle::run_to`] says how far.
    pub held: bool,
    /// Claim the shard's name in this home; batch runs do without, so that they can run side by side.
    pub claim: bool,
    /// Who drives the residents.
    pub driver: Driver,
    /// Where admin tokens are stored, when the configuration asks for them.
    pub token_file: Option<std::path::PathBuf>,
}

/// Why a shard did not start.
#[derive(Debug, Error)]
pub enum ShardError {
    /// Somebody else has the name.
    #[error("{0}")]
    Claimed(String),
    /// The texts make no town.
    #[error(transparent)]
    Rules(#[from] townlet_town::RulesError),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] audit::AuditError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] journal::JournalError),
    /// A run that cannot be resumed.
    #[error("{0}")]
    Resume(String),
    /// The release.
    #[error(transparent)]
    Policy(#[from] policies::PolicyError),
}

/// A running shard. Dropping it stops it.
pub struct Handle {
    sender: Sender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
    ticker: Arc<AtomicU64>,
    sessions: AtomicU64,
    /// How it ended, once it was asked to.
    stopped: OnceLock<Result<String, String>>,
    /// This run.
    pub run_id: String,
    /// The effective configuration.
    pub config: Config,
    /// What an operator should know about how it came up, a line each.
    pub notes: Vec<String>,
    home: Home,
    _claim: Option<home::Claim>,
}

/// A new town from its texts.
///
/// # Errors
/// See [`ShardError`]; then nothing runs.
pub fn start(sources: Sources, seed: u64, options: Options) -> Result<Handle, ShardError> {
    let rules = Arc::new(Rules::new(sources.clone())?);
    let shard = rules.config.shard.clone();
    let claim = claim(&options, &shard)?;
    let run_id = home::new_run_id(&shard);
    let town = Town::new(rules, seed);
    let header = header(&run_id, &options.driver, sources, Base::Seed(seed), &shard);
    let journal = Journal::create(&options.home.journal(&run_id, 0), &header)?;
    let opened = audit::Log::open(audit::Options::new(options.home.console(), &run_id, &shard))?;
    launch(town, header, journal, opened, options, claim, Vec::new())
}

/// A run that can be resumed, and what it was started with.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its name.
    pub run_id: String,
    /// Its effective configuration.
    pub config: Config,
    /// What its town is made of.
    pub sources: Sources,
}

/// Finds the newest run of a shard, or the one named. Only looks.
///
/// # Errors
/// What is missing or damaged, by file.
pub fn recorded(home: &Home, shard: &str, run_id: Option<&str>) -> Result<Recorded, ShardError> {
    let runs = home.runs(shard);
    let folder = home.journals().display().to_string();
    let run_id = run_id
        .map(str::to_owned)
        .or_else(|| runs.last().cloned())
        .ok_or_else(|| ShardError::Resume(format!("no run of `{shard}` in {folder}; start one without `--resume`.")))?;
    let Some(newest) = home.journals_of(&run_id).pop() else {
        let runs = if runs.is_empty() { "none".to_owned() } else { table::listed(&runs) };
        return Err(ShardError::Resume(format!("no run `{run_id}` in {folder}; runs of `{shard}`: {runs}.")));
    };
    let log = home.console().join(format!("{run_id}-0001.jsonl"));
    // A run that died before its log was made has no commands either, and can go on.
    if !log.exists() && holds_commands(home, &run_id)? {
        return Err(ShardError::Resume(format!(
            "{}: the audit log of this run is missing; put it back. Without it, commands could be applied twice.",
            log.display()
        )));
    }
    let header = journal::read(&newest)?.header;
    let config =
        Config::from_canonical(&header.sources.config).map_err(|error| ShardError::Resume(error.to_string()))?;
    Ok(Recorded { run_id, config, sources: header.sources })
}

fn holds_commands(home: &Home, run_id: &str) -> Result<bool, ShardError> {
    for file in home.journals_of(run_id) {
        if journal::read(&file)?.entries.iter().any(|entry| matches!(entry, journal::Entry::Command { .. })) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A recorded run, where it stopped.
///
/// # Errors
/// See [`ShardError`]; then nothing runs.
pub fn resume(recorded: &Recorded, options: Options) -> Result<Handle, ShardError> {
    let Recorded { run_id, config, .. } = recorded;
    let shard = &config.shard;
    let claim = claim(&options, shard)?;
    // The log is opened first: its lock keeps a second process from cutting the journal.
    let opened = audit::Log::open(audit::Options::new(options.home.console(), run_id, shard))?;
    let rebuilt = recover::rebuild(&options.home, &config.snapshot.root, run_id).map_err(ShardError::Resume)?;
    let journal = Journal::reopen(&rebuilt.journal.0, rebuilt.journal.1)?;
    let mut notes = rebuilt.notes;
    let mut done = rebuilt.commands;
    done.extend(promotion::carried_out(options.home.folder(), rebuilt.town.rules(), run_id));
    let opened = complete(opened, &options.home, shard, &done, &mut notes)?;
    launch(rebuilt.town, rebuilt.header, journal, opened, options, claim, notes)
}

fn claim(options: &Options, shard: &str) -> Result<Option<home::Claim>, ShardError> {
    options.claim.then(|| options.home.claim(shard)).transpose().map_err(ShardError::Claimed)
}

fn header(run_id: &str, driver: &Driver, sources: Sources, base: Base, shard: &str) -> Header {
    let (run_id, shard, policy) = (run_id.to_owned(), shard.to_owned(), driver.id().to_owned());
    Header { version: journal::VERSION, run_id, shard, sources, policy, base }
}

/// Ends every intent that a crash left open: `recovered` when the journal holds it, `abort` when not.
fn complete(
    opened: audit::Opened,
    home: &Home,
    shard: &str,
    commands: &std::collections::BTreeMap<(String, String), u64>,
    notes: &mut Vec<String>,
) -> Result<audit::Opened, ShardError> {
    let audit::Opened { log, pending, mut index } = opened;
    for intent in pending {
        let mut entry = intent.entry;
        if let Some(tick) = commands.get(&(entry.issuer.clone(), entry.cmd_id.clone())) {
            (entry.stage, entry.status, entry.tick) = (Stage::Recovered, Some(Status::Ok), *tick);
            let summary = "applied before the crash; the journal holds it.";
            entry.result = Some(serde_json::json!({ "summary": summary }));
            notes.push(format!("{} ({}) was applied before the crash.", entry.command, entry.cmd_id));
            index.done(&entry.issuer.clone(), &recovered(&entry));
            let decision = disk::Decision::of(shard, *tick, &entry.issuer, &entry.command, &entry.args, &entry.cmd_id);
            if let Some(why) = decision.and_then(|it| disk::log_decision(&home.employment_log(), &it).err()) {
                notes.push(format!("the operators' log could not be written: {why}"));
            }
        } else {
            (entry.stage, entry.status) = (Stage::Abort, Some(Status::Error));
            notes.push(format!("{} ({}) was not applied; it may be sent again.", entry.command, entry.cmd_id));
            index.abort(&entry.issuer, &entry.cmd_id);
        }
        log.append_and_wait(entry, true)?;
    }
    Ok(audit::Opened { log, pending: Vec::new(), index })
}

fn recovered(entry: &audit::Entry) -> Answer {
    Answer {
        cmd_id: entry.cmd_id.clone(),
        command: entry.command.clone(),
        status: Status::Ok,
        tick: entry.tick,
        result: entry.result.clone(),
        error: None,
        replayed: false,
        audit: String::new(),
    }
}

fn launch(
    town: Town,
    mut header: Header,
    journal: Journal,
    opened: audit::Opened,
    options: Options,
    claim: Option<home::Claim>,
    mut notes: Vec<String>,
) -> Result<Handle, ShardError> {
    let config = town.rules().config.clone();
    let (run_id, home) = (header.run_id.clone(), options.home.clone());
    let promotion::Opened { releases, driver, notes: told } =
        promotion::Releases::open(&home, town.rules(), options.driver, &run_id, town.tick())?;
    notes.extend(told);
    if header.policy != driver.id() {
        let before = std::mem::replace(&mut header.policy, driver.id().to_owned());
        notes.push(format!("the policy was {before}; from tick {} on it is {}.", town.tick(), driver.id()));
    }
    let around = Around {
        shard: header.shard.clone(),
        run_id: run_id.clone(),
        policy: driver.policy(),
        // Until the publisher says otherwise.
        transport: Transport { mode: "full".into(), ..Transport::default() },
        driver,
        names: names::Names::open(&options.home, &header.shard, config.telemetry.privacy.enabled)
            .map_err(ShardError::Resume)?,
        ..Around::default()
    };
    let (sender, inbox) = channel();
    let ticker = Arc::new(AtomicU64::new(0));
    let parts = Parts {
        town,
        around,
        log: opened.log,
        index: opened.index,
        journal,
        header,
        releases,
        home: options.home,
        snapshot_root: config.snapshot.root.clone(),
        pace: (options.paused, options.speed),
        held: options.held,
    };
    let mut engine = Engine::new(parts, sender.clone(), Arc::clone(&ticker));
    if let Some(path) = &options.token_file {
        engine.desk.tokens = Some(tokens::Tokens::load(path).map_err(ShardError::Resume)?);
    }
    engine.tell_story();
    let thread = std::thread::Builder::new()
        .name("town".into())
        .spawn(move || engine.run(&inbox))
        .map_err(|error| ShardError::Resume(error.to_string()))?;
    let thread = Mutex::new(Some(thread));
    let (sessions, stopped) = (AtomicU64::new(1), OnceLock::new());
    Ok(Handle { sender, thread, ticker, sessions, stopped, run_id, config, notes, home, _claim: claim })
}

impl Handle {
    /// Opens a session; `notify` hears when its role changes.
    pub fn open(&self, session: Session, notify: impl Fn(Session) + Send + 'static) -> u64 {
        let id = self.sessions.fetch_add(1, Ordering::Relaxed);
        self.send(Message::Open(id, session, Box::new(notify)));
        id
    }

    /// Sends a request; `done` hears the answer on another thread.
    pub fn ask(&self, session: u64, request: Request, done: impl FnOnce(Answer) + Send + 'static) {
        self.send(Message::Ask(Box::new(Asked { from: Asker::Session(session), request, done: Box::new(done) })));
    }

    /// Sends a request of somebody from afar, who needs no session; `done` hears the answer on another thread.
    pub fn ask_from_afar(&self, visitor: Visitor, request: Request, done: impl FnOnce(Answer) + Send + 'static) {
        self.send(Message::Ask(Box::new(Asked { from: Asker::Visitor(visitor), request, done: Box::new(done) })));
    }

    /// Sends a request and waits; `None` when the shard has ended.
    pub fn ask_and_wait(&self, session: u64, request: Request) -> Option<Answer> {
        let (sender, receiver) = channel();
        self.ask(session, request, move |answer| drop(sender.send(answer)));
        receiver.recv().ok()
    }

    /// Offers a checkpoint of the shadows as the next candidate, as a training beside the town does.
    pub fn offer(&self, checkpoint: &str) {
        let id = checkpoint.to_owned();
        self.send(Message::Then(Box::new(move |engine| engine.candidate(id))));
    }

    /// Every published snapshot, at most twenty a second, on the town's thread: be quick.
    pub fn subscribe(&self, subscriber: impl Fn(Arc<Snapshot>) + Send + 'static) {
        self.send(Message::Subscribe(Box::new(subscriber)));
    }

    /// Every message from the whole state on, or from where a reader left off, in a bounded queue of its own. `notify` is
    /// called on the publisher's thread when there is something to take: be quick.
    pub fn stream(&self, resume: Option<Position>, notify: impl Fn() + Send + Sync + 'static) -> publish::Stream {
        let (asked, stream) = publish::stream(resume, notify);
        self.send(Message::Stream(asked));
        stream
    }

    /// The state as it is now, and the town's digest; `None` when the shard has ended.
    pub fn view(&self) -> Option<(Snapshot, String)> {
        let (sender, view) = channel();
        self.send(Message::View(sender));
        view.recv().ok()
    }

    /// The tick the town has reached.
    pub fn tick(&self) -> u64 {
        self.ticker.load(Ordering::Relaxed)
    }

    /// Runs up to a tick and no further. Asks `go_on` ten times a second; when it says no, stops where the town is.
    /// Answers with the tick reached; `None` when the shard has ended.
    pub fn run_to(&self, tick: u64, mut go_on: impl FnMut(u64) -> bool) -> Option<u64> {
        let (sender, reached) = channel();
        self.send(Message::RunTo(tick, sender));
        loop {
            match reached.recv_timeout(Duration::from_millis(100)) {
                Ok(tick) => return Some(tick),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) if go_on(self.tick()) => {}
                Err(RecvTimeoutError::Timeout) => return self.halt(),
            }
        }
    }

    fn halt(&self) -> Option<u64> {
        let (sender, halted) = channel();
        self.send(Message::Halt(sender));
        halted.recv().ok()
    }

    /// Takes a last snapshot and ends. Answers with the snapshot's path; asked again, with the same.
    ///
    /// # Errors
    /// What could not be written, or that the town's thread broke off and why; the shard has ended all the same.
    pub fn stop(&self) -> Result<String, String> {
        self.stopped.get_or_init(|| self.end()).clone()
    }

    fn end(&self) -> Result<String, String> {
        let (sender, stopped): (_, Receiver<Result<String, String>>) = channel();
        self.send(Message::Stop(sender));
        let result = stopped.recv().unwrap_or_else(|_| Err("the town's thread has ended already".into()));
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        match thread.map(JoinHandle::join) {
            Some(Err(panic)) => Err(format!("the town's thread broke off: {}", said(panic.as_ref()))),
            _ => result,
        }
    }

    /// Whether the town's thread has ended.
    pub fn is_over(&self) -> bool {
        self.thread.lock().map_or(true, |thread| thread.as_ref().is_none_or(JoinHandle::is_finished))
    }

    /// What residents are called outside: in telemetry, narration, answers and exports.
    pub fn names(&self) -> names::Names {
        self.view_names().unwrap_or_default()
    }

    fn view_names(&self) -> Option<names::Names> {
        let (sender, names) = channel();
        self.send(Message::Names(sender));
        names.recv().ok()
    }

    /// The folder its files are in.
    pub fn home(&self) -> &Home {
        &self.home
    }

    fn send(&self, message: Message) {
        // A shard that has ended answers nobody; whoever waits hears that its sender is gone.
        drop(self.sender.send(message));
    }
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it gave no reason")
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.is_over() {
            drop(self.stop());
        }
    }
}
