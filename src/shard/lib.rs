//! The shard: a running town with its console, journal, audit log and telemetry.
//!
//! Screens and servers reach a shard through a [`Handle`]. The rules of the town are in `townlet-town`. Rule: "Shards".

mod acknowledgements;
mod actions;
mod admission;
mod arguments;
mod audit_replay;
mod command_table;
mod commands;
pub mod cross_check;
mod disk_thread;
mod driver;
mod employment_log;
mod engine;
mod execution;
mod file_watch;
mod health;
pub mod history;
pub mod home;
pub mod incident;
pub mod journal;
mod journalled_command;
pub mod lateness;
mod log;
mod maintenance;
pub(crate) mod markdown;
mod markdown_log;
mod operation;
mod options;
mod pending_commands;
mod pending_writes;
pub mod policies;
pub mod privacy;
mod process_output;
mod promotion;
mod publication;
pub mod publish;
mod recorded_audit;
pub mod recorded_run;
pub mod recovery;
mod reload;
mod request_queue;
mod resume;
mod resume_check;
mod run_journal;
mod sessions;
mod snapshot_saver;
pub mod snapshots;
mod submission;
mod subscribers;
mod telemetry;
#[cfg(test)]
mod tests;
mod thread_priority;
mod tick_clock;
pub mod tokens;
pub mod training;
mod unsynced_records;
mod views;
pub mod whatif;

pub use command_table::specs;
pub use driver::Driver;
pub use engine::Speed;
pub use home::Home;
pub use log::Log;
pub use options::Options;
pub use process_output::{keep_output, note_output};
pub use promotion::{ReleasePointerError, safety_check};
pub use reload::{ConfigFiles, ConfigReloader};
pub use request_queue::Level;
pub use resume::{ResumableRun, find_run, last_reload_digest, resume};
pub use sessions::SessionEvent;
pub use submission::{RemoteCaller, UnrenderedAnswer, clock_ms, is_id, printable_line};
pub use townlet_town::config::{RateLimit, ServerLimits};

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use disk_thread::DiskThread;
use employment_log::OperatorLog;
use engine::{Engine, Message, Progress};
use file_watch::WatchedFiles;
use history::{KeyframeWriter, LiveHistory, MarkStore, MarkWriter};
use incident::{Diagnostics, IncidentRecorder, TOWN, Watchdog};
use journal::{Base, Header, Journal, SegmentPlace};
use lateness::{LateTicks, Lateness};
use maintenance::SpeedMeter;
use pending_commands::PendingCommands;
use publication::Publication;
use request_queue::RequestQueue;
use run_journal::RunJournal;
use sessions::SessionTable;
use snapshot_saver::SnapshotSaver;
use submission::{Caller, CommandReader, Submission, UnrenderedFn};
use subscribers::{LocalSubscribers, Subscribers};
use telemetry::ShardStatus;
use thiserror::Error;
use tick_clock::TickClock;
use townlet_town::config::Config;
use townlet_town::{Rules, Sources, Town};
use townlet_wire::telemetry::{Alert, Learning, Transport};
use townlet_wire::{Answer, ErrorBody, Request, Session, Snapshot};
use training::Training;
use unsynced_records::UnsyncedRecords;
use whatif::line::WhatIfLine;

/// How often a waiting caller checks whether the town's thread still answers.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// How long a stop waits for a tick that hangs.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a shard did not start.
#[derive(Debug, Error)]
pub enum ShardError {
    /// Another process holds the name.
    #[error("{0}")]
    Claimed(String),
    /// The configuration makes no town.
    #[error(transparent)]
    Rules(#[from] townlet_town::RulesError),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] townlet_audit::AuditError),
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
    thread: Mutex<Option<JoinHandle<Result<(), String>>>>,
    diagnostics: Arc<Diagnostics>,
    recorder: Arc<IncidentRecorder>,
    watchdog: Mutex<Option<Watchdog>>,
    progress: Progress,
    /// Since when messages of streams carry the time.
    stream_started: Instant,
    reader: CommandReader,
    requests: Arc<RequestQueue<Submission>>,
    sessions: AtomicU64,
    /// How it ended, once it was stopped.
    stopped: OnceLock<Result<String, String>>,
    /// This run.
    pub run_id: String,
    /// The effective configuration at the start; a reload changes only settings that no caller of this depends on.
    pub config: Config,
    /// Notes about the start for the operator, a line each.
    pub notes: Vec<String>,
    home: Home,
    past: LiveHistory,
    lateness: Arc<Lateness>,
    /// Ends with the town's thread.
    audit: Weak<townlet_audit::Log>,
    claim: Option<Arc<home::ShardLock>>,
}

/// A new town from its texts.
pub fn start(sources: Sources, seed: u64, options: Options) -> Result<Handle, ShardError> {
    start_with_rules(Arc::new(Rules::new(sources)?), seed, options)
}

/// A new town whose rules the caller has: in a large town they take long to compute and much memory.
pub fn start_with_rules(rules: Arc<Rules>, seed: u64, options: Options) -> Result<Handle, ShardError> {
    let sources = rules.sources.clone();
    let shard = rules.config.shard.clone();
    let run_id = home::new_run_id(&shard);
    let claim = claim(&options, &shard, &run_id)?;
    options.home.list_run(&run_id).map_err(|why| ShardError::Resume(why.to_string()))?;
    let town = Town::new(rules, seed);
    let policy = options.driver.id().to_owned();
    let (version, place, base) = (journal::VERSION, SegmentPlace::FIRST, Base::Seed(seed));
    let header = Header { version, run_id: run_id.clone(), shard: shard.clone(), place, sources, policy, base };
    let journal = Journal::create(&options.home.journal(&run_id, 0), &header)?;
    let opened = townlet_audit::Log::open(audit_options(&options.home, &run_id, &town.rules().config, 0))?;
    launch(town, header, journal, opened, options, claim, Vec::new())
}

fn claim(options: &Options, shard: &str, run_id: &str) -> Result<Option<Arc<home::ShardLock>>, ShardError> {
    let lock = options.claim.then(|| options.home.lock_shard(shard, run_id)).transpose();
    lock.map(|lock| lock.map(Arc::new)).map_err(ShardError::Claimed)
}

/// How the audit log of a run is opened at a tick: chained to the run before, sealed if the home has a sealing key.
fn audit_options(home: &Home, run_id: &str, config: &Config, tick: u64) -> townlet_audit::Options {
    let (number, after, config_id) = (home.run_number(run_id), home.run_before(run_id), config.config_id.clone());
    townlet_audit::Options {
        start: Some(townlet_audit::RunStart { number, after, config_id }),
        seal_key: Some(home.seal_key()),
        tick: Some(tick),
        ..townlet_audit::Options::new(home.console(), run_id, &config.shard)
    }
}

fn launch(
    town: Town,
    mut header: Header,
    journal: Journal,
    opened: townlet_audit::Opened,
    options: Options,
    claim: Option<Arc<home::ShardLock>>,
    mut notes: Vec<String>,
) -> Result<Handle, ShardError> {
    let config = town.rules().config.clone();
    let (run_id, home) = (header.run_id.clone(), options.home.clone());
    let promotion::Opened { releases, driver, notes: release_notes } =
        promotion::Releases::open(&home, town.rules(), options.driver, &run_id, town.tick())?;
    notes.extend(release_notes);
    if header.policy != driver.id() {
        let before = std::mem::replace(&mut header.policy, driver.id().to_owned());
        notes.push(format!("the policy was {before}; from tick {} on it is {}.", town.tick(), driver.id()));
    }
    notes.extend(incident::unfinished(&home, &run_id));
    let config_not_in_force = options.reloader.as_ref().and_then(|reloader| reloader.not_in_force.clone());
    notes.extend(config_not_in_force.clone());
    let status = ShardStatus {
        config_not_in_force,
        shard: header.shard.clone(),
        run_id: run_id.clone(),
        policy: driver.policy(),
        ranges: [driver.range(), Driver::Scripted.range()],
        // Until the publisher says otherwise.
        transport: Transport { mode: "full".into(), ..Transport::default() },
        names: privacy::PrivacyFilter::open(&options.home, &header.shard, config.telemetry.privacy.enabled)
            .map_err(ShardError::Resume)?,
        learning: Learning {
            state: if options.training.is_some() { "training" } else { "off" }.into(),
            ..Learning::default()
        },
        ..ShardStatus::default()
    };
    let (sender, inbox) = channel();
    let progress = Progress::default();
    progress.update(&town);
    let (log, journal, diagnostics) = (Arc::new(opened.log), Arc::new(journal), Arc::new(Diagnostics::default()));
    file_watch::watch_logs(&log, &journal, &sender);
    let run = incident::Run { home: home.clone(), id: run_id.clone(), root: config.snapshot.root.clone() };
    let own_log = Log::new(home.log(), "shard", false);
    if options.claim {
        own_log.write(&format!("{run_id} begins at tick {}", town.tick()));
        for note in &notes {
            own_log.write(note);
        }
    }
    let recorder = Arc::new(IncidentRecorder::new(run, Arc::clone(&diagnostics), &journal, &log, own_log));
    let tick = town.tick();
    diagnostics.reached(tick);
    log.note_tick(tick);
    let telemetry = &config.telemetry;
    let to_self = sender.clone();
    let report = move |transport| drop(to_self.send(Message::Transport(transport)));
    let local = Arc::new(LocalSubscribers::default());
    let shown = (Arc::clone(&diagnostics), Arc::clone(&local));
    let show = Arc::new(move |view: &Arc<Snapshot>| {
        shown.0.show(Arc::clone(view));
        shown.1.show(view);
    });
    let stream_started = Instant::now();
    let publisher = publish::Publisher::start(stream_started, telemetry, home.archives(), &run_id, show, report);
    let subscribers = Arc::new(Subscribers::new(local, publisher));
    let tokens = options.token_file.as_deref().map(tokens::TokenStore::load).transpose();
    let records = UnsyncedRecords::new(&log, sender.clone(), config.server.limits.audited_requests);
    let (requests, receiver) = RequestQueue::new();
    let reader = CommandReader {
        rules: Arc::clone(town.rules()),
        names: status.names.clone(),
        progress: progress.clone(),
        run_id: run_id.clone(),
        records: records.clone(),
    };
    let keyframes = KeyframeWriter::new(home.keyframes(&run_id), tick, recorder.log.clone());
    let marks = Arc::new(MarkStore::new(&home.keyframes(&run_id), tick));
    let past = LiveHistory::new(home.clone(), run_id.clone(), status.names.clone(), Arc::clone(&marks));
    let mut engine = Engine {
        clock: TickClock::new(options.paused, options.speed, options.held.then_some(tick)),
        sessions: SessionTable::new(tokens.map_err(ShardError::Resume)?),
        pending: PendingCommands::new(opened.index),
        journal: RunJournal::new(journal, header, tick, recorder.log.clone(), Arc::clone(&keyframes.store)),
        keyframes,
        marks: MarkWriter::new(marks),
        snapshots: SnapshotSaver::new(home.snapshots(&config.snapshot.root, &run_id)),
        operator_log: OperatorLog::new(home.employment_log()),
        publication: Publication::new(Arc::clone(&subscribers), telemetry),
        training: None,
        questions: WhatIfLine::new(home.clone()),
        reloader: options.reloader,
        disk: DiskThread::start(),
        files: WatchedFiles::new(claim.clone(), options.token_file.as_deref()),
        home: home.clone(),
        diagnostics: Arc::clone(&diagnostics),
        recorder: Arc::clone(&recorder),
        sender: sender.clone(),
        progress: progress.clone(),
        meter: SpeedMeter::new(tick),
        late_ticks: LateTicks::default(),
        own_alerts_changed: false,
        started: Instant::now(),
        retried: Instant::now(),
        stopping: None,
        town,
        driver,
        status,
        log,
        records,
        requests: receiver,
        releases,
    };
    engine.restore_session_commands(&opened.done);
    engine.restore_acknowledgements(&opened.done);
    engine.record_town_events();
    let (lateness, audit) = (Arc::clone(&engine.status.lateness), Arc::downgrade(&engine.log));
    let say = |error: std::io::Error| ShardError::Resume(error.to_string());
    let training = options.training.map(|spec| Training::start(spec, &home, sender.clone()));
    engine.training = training.transpose().map_err(say)?;
    let watchdog = Watchdog::start(Arc::clone(&diagnostics), Arc::clone(&recorder), Arc::downgrade(&subscribers));
    let watchdog = Mutex::new(Some(watchdog.map_err(say)?));
    let (theirs, resume_hint) = ((Arc::clone(&diagnostics), Arc::clone(&recorder)), resume_hint(&home, &run_id));
    let thread = std::thread::Builder::new()
        .name(TOWN.into())
        .spawn(move || run_town(engine, inbox, &theirs.0, &theirs.1, &resume_hint))
        .map_err(say)?;
    let thread = Mutex::new(Some(thread));
    let (sessions, stopped) = (AtomicU64::new(1), OnceLock::new());
    Ok(Handle {
        sender,
        thread,
        diagnostics,
        recorder,
        watchdog,
        progress,
        stream_started,
        reader,
        requests,
        sessions,
        stopped,
        run_id,
        config,
        notes,
        home,
        past,
        lateness,
        audit,
        claim,
    })
}

/// Runs the town's thread. A panic is recorded as an incident before it is reported.
fn run_town(
    engine: Engine,
    inbox: Receiver<Message>,
    diagnostics: &Arc<Diagnostics>,
    recorder: &IncidentRecorder,
    resume_hint: &str,
) -> Result<(), String> {
    incident::register_thread(diagnostics);
    // Engine and inbox are dropped afterwards, so that every waiting caller sees its channel close.
    let ended = catch_unwind(AssertUnwindSafe(move || engine.run(&inbox)));
    ended.map_err(|panic| {
        let said = incident::panic_message(panic.as_ref()).trim_end_matches('.').to_owned();
        let bundle = recorder.record_town_crash(&said);
        let bundle = bundle.map_or_else(
            || "No new incident bundle was made; logs/townlet.log says why.".to_owned(),
            |path| format!("The incident bundle is {}.", path.display()),
        );
        format!("the town's thread crashed: {said}. {bundle} {resume_hint}")
    })
}

/// How to resume a run that was interrupted.
fn resume_hint(home: &Home, run_id: &str) -> String {
    let home = home.option();
    format!("Resume it from its last journalled tick with `townlet run{home} --resume {run_id}`.")
}

impl Handle {
    /// Opens a session; `notify` is called when its role changes, and when a command waits for the disk.
    pub fn open(&self, session: Session, notify: impl Fn(SessionEvent) + Send + 'static) -> u64 {
        let id = self.sessions.fetch_add(1, Ordering::Relaxed);
        self.send(Message::Open(id, session, Box::new(notify)));
        id
    }

    /// Sends a request of a session. `done` gets the answer on another thread.
    pub fn ask(&self, session: u64, request: Request, done: impl FnOnce(Answer) + Send + 'static) {
        self.submit(Caller::Session(session), request, Box::new(move |answer| done(answer.render())));
    }

    /// Sends a request of a remote caller, which needs no session; `done` gets the answer on another thread. A request that is
    /// refused for what it says or for its role never reaches the town's thread; one for which the queue of its level has no
    /// room is refused with `E_RATE_LIMITED`.
    pub fn ask_remote(
        &self,
        caller: RemoteCaller,
        request: Request,
        done: impl FnOnce(UnrenderedAnswer) + Send + 'static,
    ) {
        self.submit(Caller::Remote(caller), request, Box::new(done));
    }

    fn submit(&self, caller: Caller, request: Request, done: UnrenderedFn) {
        let Some(submission) = self.reader.read(caller, request, done) else { return };
        match self.requests.push(submission.caller.level(), submission) {
            Ok(()) => self.send(Message::Submit),
            Err(submission) => {
                let hint = "Nothing was done. Send it again with the same cmd_id after the time in `Retry-After`.";
                self.reader.turn_away(
                    submission,
                    ErrorBody::new("E_RATE_LIMITED", "too many requests wait for the town.", hint),
                );
            }
        }
    }

    /// Sends a request and waits; `None` when the shard has ended.
    pub fn ask_and_wait(&self, session: u64, request: Request) -> Option<Answer> {
        let (sender, receiver) = channel();
        self.ask(session, request, move |answer| drop(sender.send(answer)));
        receiver.recv().ok()
    }

    /// Offers a checkpoint of the shadows as the next candidate, as a training beside the town does.
    pub fn offer(&self, checkpoint: &str) {
        self.send(Message::CandidateOffered(checkpoint.to_owned()));
    }

    /// Reports what is wrong with the tokens and keys of the service, in place of what was reported before. Critical alerts
    /// degrade the shard's health.
    pub fn report_credentials(&self, alerts: Vec<Alert>) {
        self.send(Message::Credentials(alerts));
    }

    /// The tick the town has reached.
    pub fn tick(&self) -> u64 {
        self.progress.tick.load(Ordering::Relaxed)
    }

    /// Commands answered so far that may have changed something. A view that is asked for after this number was read shows them.
    pub fn answered(&self) -> u64 {
        self.progress.answered.load(Ordering::Acquire)
    }

    /// How late its ticks have come so far, at paces at which they are due.
    pub fn lateness(&self) -> &Lateness {
        &self.lateness
    }

    /// Runs up to a tick and no further. Asks `go_on` ten times a second; when it says no, stops where the town is.
    /// Answers with the tick reached; `None` when the shard has ended.
    pub fn run_to(&self, tick: u64, mut go_on: impl FnMut(u64) -> bool) -> Option<u64> {
        let (sender, reached) = channel();
        self.send(Message::RunTo(tick, sender));
        loop {
            match reached.recv_timeout(CHECK_INTERVAL) {
                Ok(tick) => return Some(tick),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) if go_on(self.tick()) => {}
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        let (sender, halted) = channel();
        self.send(Message::RunTo(0, sender));
        halted.recv().ok()
    }

    /// Takes a last snapshot and ends, and returns the snapshot's path; the same when called again. The error says what could not
    /// be written, why the town's thread crashed, or that a tick hung for longer than the timeout. The shard has ended then too.
    pub fn stop(&self) -> Result<String, String> {
        self.stopped.get_or_init(|| self.end()).clone()
    }

    fn end(&self) -> Result<String, String> {
        self.recorder.give_up_requests();
        let (sender, stopped) = channel();
        self.send(Message::Stop(sender));
        let result = self.wait_for_stop(&stopped);
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        // A thread whose tick hangs is not waited for; it ends with the process.
        let ended = match (result, thread) {
            (None, _) => {
                let why = self.hung().unwrap_or_else(|| "a tick hung.".into());
                Err(format!("{why} It was not waited for any longer. {}", resume_hint(&self.home, &self.run_id)))
            }
            (Some(result), thread) => match thread.map(JoinHandle::join) {
                Some(Ok(Err(why))) => Err(why),
                Some(Err(panic)) => {
                    Err(format!("the town's thread crashed: {}", incident::panic_message(panic.as_ref())))
                }
                _ => result,
            },
        };
        // With it ends whatever bundle is still being made.
        drop(self.watchdog.lock().ok().and_then(|mut watchdog| watchdog.take()));
        if self.claim.is_some() {
            let why = ended.as_ref().err().map_or_else(String::new, |why| format!(": {why}"));
            self.recorder.log.write(&format!("{} ended at tick {}{why}", self.run_id, self.tick()));
        }
        ended
    }

    /// Number of requested incident bundles that were given up, because they had not begun when the shard was stopped.
    pub fn incidents_given_up(&self) -> usize {
        self.recorder.given_up()
    }

    /// Whether an incident bundle is being written. [`Handle::stop`] waits for it.
    pub fn is_writing_incident(&self) -> bool {
        self.recorder.is_busy()
    }

    /// How the town's thread ended; `None` when a tick hangs and goes on to.
    fn wait_for_stop(&self, stopped: &Receiver<Result<String, String>>) -> Option<Result<String, String>> {
        let asked = Instant::now();
        loop {
            match stopped.recv_timeout(CHECK_INTERVAL) {
                Ok(result) => return Some(result),
                Err(RecvTimeoutError::Disconnected) => return Some(Err("the town's thread has ended already".into())),
                Err(RecvTimeoutError::Timeout) if self.hung().is_some() && asked.elapsed() > STOP_TIMEOUT => {
                    return None;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// What is wrong, while a tick hangs: the town's thread answers nothing then.
    pub fn hung(&self) -> Option<String> {
        self.diagnostics.hung()
    }

    /// Whether the town's thread has ended.
    pub fn is_over(&self) -> bool {
        self.thread.lock().map_or(true, |thread| thread.as_ref().is_none_or(JoinHandle::is_finished))
    }

    /// What residents are called outside: in telemetry, narration, answers and exports. Its clones follow `privacy`.
    pub fn names(&self) -> privacy::PrivacyFilter {
        self.reader.names.clone()
    }

    /// Whether its audit log is sealed; unsealed when the shard has ended.
    pub fn audit_sealing(&self) -> townlet_audit::Sealing {
        self.audit.upgrade().map_or_else(Default::default, |log| log.sealing())
    }

    /// Seals the audit log now, if the home has a sealing key. Waits for the disk.
    pub fn seal_audit_log(&self) -> Result<(), townlet_audit::AuditError> {
        self.audit.upgrade().map_or(Ok(()), |log| log.seal())
    }

    /// The folder its files are in.
    pub fn home(&self) -> &Home {
        &self.home
    }

    fn send(&self, message: Message) {
        // A shard that has ended answers nothing; a waiting caller sees its channel close.
        drop(self.sender.send(message));
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.is_over() {
            drop(self.stop());
        }
    }
}
