//! The loop: one thread owns the town, ticks it when its clock says so, and handles messages between ticks.
//!
//! `Engine` owns the town and the parts of the shard; only what needs several of them at once is a method of it. The loop never
//! waits for the disk, and messages hold up a tick that is due for a millisecond at most.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use fail::fail_point;
use townlet_audit::{AuditError, Log, Record, Written};
use townlet_town::{EventKind, Town};
use townlet_wire::telemetry::{Alert, Transport};
use townlet_wire::{Answer, ErrorBody, Session, Snapshot};

use super::admission::Admission;
use super::disk_thread::DiskThread;
use super::driver::Driver;
use super::employment_log::{OperatorLog, RowsWritten};
use super::file_watch::{Finding, WatchedFiles};
use super::history::{KeyframeWriter, MarkWriter};
use super::home::Home;
use super::incident::{Diagnostics, IncidentRecorder, Phase, PhaseTracker};
use super::journal::DIGEST_TICKS;
use super::lateness::LateTicks;
use super::maintenance::{RETRY_EVERY, SpeedMeter};
use super::pending_commands::PendingCommands;
use super::pending_writes::NotDurable;
use super::policies::LoadedPolicy;
use super::promotion::{AfterLoad, Event as ReleaseEvent, ReleaseFileWritten, ReleasePromoted, Releases};
use super::publication::Publication;
use super::reload::ConfigReloader;
use super::request_queue::RequestReceiver;
use super::run_journal::RunJournal;
use super::sessions::{NotifyFn, SessionTable};
use super::snapshot_saver::SnapshotSaver;
use super::submission::Submission;
use super::telemetry::{self, CapturedState, ShardStatus};
use super::tick_clock::TickClock;
use super::training::{self, Training};
use super::unsynced_records::UnsyncedRecords;
use super::whatif::line::WhatIfLine;

/// How long messages may hold up a tick, or other work of the loop, that is due.
const MESSAGE_TIME: Duration = Duration::from_millis(1);

/// Audit records in a snapshot.
pub(super) const AUDIT_ROWS: usize = 200;

/// The speed of a town.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speed {
    /// A tick every `time.tick_ms`.
    #[default]
    X1,
    /// Ten times that.
    X10,
    /// A hundred times that.
    X100,
    /// As fast as it goes.
    Max,
}

/// Every speed with its name, slowest first.
pub(crate) const SPEEDS: [(Speed, &str, u32); 4] =
    [(Speed::X1, "1x", 1), (Speed::X10, "10x", 10), (Speed::X100, "100x", 100), (Speed::Max, "max", 0)];

impl Speed {
    /// The speed of a name.
    pub fn named(name: &str) -> Option<Self> {
        SPEEDS.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// Its row: its name, and how many times faster than `time.tick_ms` it is; 0 for no limit.
    pub fn row(self) -> &'static (Self, &'static str, u32) {
        SPEEDS.iter().find(|row| row.0 == self).unwrap_or(&SPEEDS[0])
    }
}

/// What the loop is sent.
pub(super) enum Message {
    /// A request waits in the queue.
    Submit,
    /// A reload whose files are read, or a question whose copies are made.
    Admit(Box<Admission>),
    /// A policy by the name it was asked for, and what goes on with it.
    PolicyLoaded(String, Result<LoadedPolicy, ErrorBody>, AfterLoad),
    /// An intent is durable, or could not be made so.
    Intent(u64, Result<Written, AuditError>),
    /// A command's outcome is in both logs, or could not be.
    Settled(u64, Result<Written, NotDurable>),
    /// A late outcome is in the audit log, or still is not.
    LateOutcomeWritten(Box<(Record, Answer)>, bool),
    /// An entry that nobody waits for is in the audit log.
    AuditWritten,
    /// Both policies of a change of release are saved and its file is flipped, or not.
    ReleasePromoted(Box<ReleasePromoted>),
    /// The release's file was written, or could not be.
    ReleaseFileWritten(Box<ReleaseFileWritten>),
    /// Rows of `ops/rollouts.md` were written, or could not be.
    RolloutsWritten(Result<(), String>),
    /// An automatic event of the promotion: new evidence about a candidate.
    ReleaseEvent(ReleaseEvent),
    /// A checkpoint is offered as the next candidate.
    CandidateOffered(String),
    Subscribe(Box<dyn Fn(Arc<Snapshot>) + Send>),
    Stream(super::publish::SubscribeRequest),
    Transport(Transport),
    Open(u64, Session, NotifyFn),
    /// Run up to this tick, or stop if it has passed; answered with the tick reached.
    RunTo(u64, Sender<u64>),
    OperatorLogWritten(RowsWritten),
    SnapshotSaved(Result<u64, String>),
    /// Asks for a copy of what a snapshot is made of. The thread that asked makes it.
    View(Sender<Box<CapturedState>>),
    /// The state of the training beside the town.
    Training(training::TrainerEvent),
    /// Somebody else has changed a file of the audit log or the journal.
    FilesDisturbed,
    /// What is wrong with the other files.
    FilesChecked(Vec<Finding>),
    /// Begin new segments, as after a signal.
    ReopenLogs,
    /// What the service found about its tokens and keys.
    Credentials(Vec<Alert>),
    /// Take a last snapshot and end; answered with its path.
    Stop(Sender<Result<String, String>>),
}

/// How far the town is, for other threads.
#[derive(Clone, Default)]
pub(super) struct Progress {
    /// Ticks lived.
    pub tick: Arc<AtomicU64>,
    /// Residents arrived so far.
    pub arrived: Arc<AtomicU64>,
    /// Commands answered so far that may have changed something.
    pub answered: Arc<AtomicU64>,
    /// States published so far, and the nanoseconds that this has taken.
    pub published: Arc<[AtomicU64; 2]>,
}

impl Progress {
    pub(super) fn update(&self, town: &Town) {
        self.tick.store(town.tick(), Ordering::Relaxed);
        self.arrived.store(u64::from(town.state().lifecycle.next_resident), Ordering::Relaxed);
    }

    /// A state was published.
    pub(super) fn note_published(&self, took: Duration) {
        self.published[0].fetch_add(1, Ordering::Relaxed);
        self.published[1].fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
    }

    /// A command is done and about to be answered.
    pub(super) fn note_answer(&self) {
        self.answered.fetch_add(1, Ordering::Release);
    }
}

/// The town and the parts of its shard.
pub(super) struct Engine {
    pub(super) town: Town,
    /// The policy that drives the residents.
    pub(super) driver: Driver,
    pub(super) status: ShardStatus,
    pub(super) clock: TickClock,
    pub(super) sessions: SessionTable,
    pub(super) pending: PendingCommands,
    pub(super) log: Arc<Log>,
    pub(super) records: UnsyncedRecords,
    pub(super) requests: RequestReceiver<Submission>,
    pub(super) journal: RunJournal,
    pub(super) snapshots: SnapshotSaver,
    pub(super) keyframes: KeyframeWriter,
    pub(super) marks: MarkWriter,
    pub(super) operator_log: OperatorLog,
    pub(super) publication: Publication,
    pub(super) releases: Releases,
    pub(super) training: Option<Training>,
    /// Questions about this town.
    pub(super) questions: WhatIfLine,
    /// Reads the files that the shard was started from.
    pub(super) reloader: Option<ConfigReloader>,
    pub(super) disk: DiskThread,
    pub(super) files: WatchedFiles,
    pub(super) home: Home,
    /// Outlives this thread.
    pub(super) diagnostics: Arc<Diagnostics>,
    pub(super) recorder: Arc<IncidentRecorder>,
    pub(super) sender: Sender<Message>,
    pub(super) progress: Progress,
    pub(super) meter: SpeedMeter,
    pub(super) late_ticks: LateTicks,
    /// The shard's own alerts are not those that were noted last.
    pub(super) own_alerts_changed: bool,
    pub(super) started: Instant,
    pub(super) retried: Instant,
    pub(super) stopping: Option<Sender<Result<String, String>>>,
}

impl Engine {
    pub(super) fn run(mut self, inbox: &Receiver<Message>) {
        self.refresh();
        self.resume_releases();
        self.show();
        // The start is no delay of the first tick.
        self.clock.start();
        // When messages began to hold up what is due.
        let mut holding: Option<Instant> = None;
        loop {
            let wait = self.wait();
            let held_up = holding.is_some_and(|since| since.elapsed() >= MESSAGE_TIME) && !self.may_end();
            if !held_up {
                match self.next(inbox, wait) {
                    Ok(message) => {
                        if wait.is_zero() {
                            holding.get_or_insert_with(Instant::now);
                        }
                        self.diagnostics.enter(Phase::Answering);
                        self.handle(message);
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return self.end(),
                    Err(RecvTimeoutError::Timeout) => {}
                }
            }
            holding = None;
            if self.may_end() {
                return self.end();
            }
            let now = Instant::now();
            if self.tick_due().is_some_and(|due| now >= due) {
                self.tick(now);
            }
            self.diagnostics.enter(Phase::Housekeeping);
            self.housekeeping(now);
        }
    }

    /// The next message, or a timeout when it is time for something else.
    fn next(&self, inbox: &Receiver<Message>, wait: Duration) -> Result<Message, RecvTimeoutError> {
        if wait.is_zero() {
            return inbox.try_recv().map_err(|error| match error {
                TryRecvError::Empty => RecvTimeoutError::Timeout,
                TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
            });
        }
        self.diagnostics.enter(Phase::Waiting);
        inbox.recv_timeout(wait)
    }

    fn wait(&self) -> Duration {
        if self.may_end() {
            return Duration::ZERO;
        }
        let due =
            [self.tick_due(), self.publication.due(), self.pending.next_overdue(), self.journal.due(self.town.tick())];
        // A moment and not a time from now on, so that frequent messages do not put it off.
        let regular = self.files.due().min(self.retried + RETRY_EVERY);
        let soonest = due.into_iter().flatten().fold(regular, Instant::min);
        soonest.saturating_duration_since(Instant::now())
    }

    fn may_end(&self) -> bool {
        self.stopping.is_some() && self.pending.is_empty() && !self.releases.owes()
    }

    fn tick_due(&self) -> Option<Instant> {
        self.clock.due(self.town.tick()).filter(|_| self.stopping.is_none())
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Submit => {
                if let Some(submission) = self.requests.pop() {
                    self.submit(submission);
                }
            }
            Message::Admit(admission) => self.admit(*admission),
            Message::PolicyLoaded(name, found, next) => self.policy_loaded(name, found, next),
            Message::Intent(number, result) => self.execute(number, result),
            Message::Settled(number, result) => self.settled(number, result),
            Message::LateOutcomeWritten(late, logged) => self.late_outcome_written(late.0, late.1, logged),
            Message::AuditWritten => self.publication.dirty = true,
            Message::ReleasePromoted(promoted) => self.release_promoted(*promoted),
            Message::ReleaseFileWritten(written) => self.release_file_written(*written),
            Message::RolloutsWritten(written) => self.rollouts_written(written),
            Message::ReleaseEvent(event) => self.advance(event),
            Message::CandidateOffered(id) => self.offer_candidate(id),
            Message::Subscribe(subscriber) => {
                self.publication.subscribers.subscribe(subscriber);
                self.publication.dirty = true;
            }
            Message::Stream(request) => {
                self.status.feed.keep_all(true);
                self.publication.subscribers.publisher.subscribe(request);
                self.publication.dirty = true;
            }
            Message::Transport(transport) => {
                let tick = self.town.tick();
                self.status.aggregating_since =
                    (transport.mode == "aggregate").then(|| self.status.aggregating_since.unwrap_or(tick));
                self.status.transport = transport;
                self.refresh();
                (self.publication.dirty, self.own_alerts_changed) = (true, true);
            }
            Message::Open(number, session, notify) => self.sessions.open(number, session, notify),
            Message::RunTo(limit, reached) => {
                let tick = self.town.tick();
                self.clock.run_to(limit.max(tick), reached);
                self.clock.notify_limit(tick);
            }
            Message::OperatorLogWritten(written) => {
                self.operator_log.written(written);
                self.refresh();
            }
            Message::SnapshotSaved(saved) => {
                self.snapshots.saved(&saved);
                self.status.health.last_snapshot_tick = saved.ok().or(self.status.health.last_snapshot_tick);
                self.refresh();
            }
            Message::View(view) => {
                self.refresh();
                self.note_own_alerts();
                drop(view.send(Box::new(self.captured())));
            }
            Message::Credentials(alerts) => self.credentials_checked(alerts),
            Message::Training(news) => self.on_trainer_event(news),
            Message::FilesDisturbed => self.files_disturbed(),
            Message::FilesChecked(found) => self.files_checked(found),
            Message::ReopenLogs => self.reopen_logs(),
            Message::Stop(stopped) => {
                self.training.iter().for_each(Training::stop);
                self.questions.stop();
                self.retry_release_file();
                self.stopping = Some(stopped);
            }
        }
    }

    /// A copy of all that a snapshot is built from.
    pub(super) fn captured(&self) -> CapturedState {
        CapturedState::new(&self.town, self.driver.decisions(), &self.status, self.log.tail(AUDIT_ROWS))
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let (rules, state, decisions) = (self.town.rules(), self.town.state(), self.driver.decisions());
        telemetry::snapshot(rules, state, decisions, &self.status, self.log.tail(AUDIT_ROWS))
    }

    /// Runs a job on the thread that reads and writes files; the loop is sent the message that `named` makes of its result.
    pub(super) fn on_disk<R: Send + 'static>(
        &self,
        job: impl FnOnce() -> R + Send + 'static,
        named: impl FnOnce(Result<R, String>) -> Message + Send + 'static,
    ) {
        let sender = self.sender.clone();
        self.disk.run(move || {
            let done = catch_unwind(AssertUnwindSafe(job));
            // The loop may have ended; then nobody waits.
            drop(sender.send(named(done.map_err(|_| "the disk thread crashed".to_owned()))));
        });
    }

    fn tick(&mut self, now: Instant) {
        self.diagnostics.enter(Phase::Starting);
        fail_point!("engine_tick");
        self.town.step(&mut PhaseTracker { policy: &mut self.driver, diagnostics: &self.diagnostics });
        self.diagnostics.enter(Phase::Housekeeping);
        self.journal.keep_options(&self.town);
        self.record_town_events();
        let tick = self.town.tick();
        self.log.note_tick(tick);
        self.progress.update(&self.town);
        self.diagnostics.reached(tick);
        self.publication.dirty = true;
        if let Some(late) = self.clock.ticked(now, self.town.rules().config.time.tick_ms) {
            self.status.lateness.note(late);
            if self.late_ticks.note(now, late, self.clock.period(self.town.rules().config.time.tick_ms)) {
                self.refresh();
            }
        }
        self.status.stepping = self.clock.stepping();
        if tick.is_multiple_of(DIGEST_TICKS) {
            self.write_journal();
            self.write_keyframe(now);
        }
        if self.snapshots.autosave_due(&self.town, now) {
            self.save_snapshot();
        }
        self.clock.notify_limit(tick);
    }

    /// Takes the town's events into the event feed and notes which alerts stand.
    pub(super) fn record_town_events(&mut self) {
        let rules = Arc::clone(self.town.rules());
        for event in self.town.events() {
            self.status.feed.record(&rules, event);
            if let Some(mark) = telemetry::mark(&rules, event) {
                self.marks.add(mark);
            }
        }
        if !self.town.events().is_empty() {
            let closed = self.town.events().iter().any(|event| matches!(event.kind, EventKind::WindowClosed { .. }));
            self.town.clear_events();
            self.note_alerts();
            if closed {
                self.window_closed();
            }
        }
    }

    /// The last snapshot; everything asked for is done by now.
    fn end(mut self) {
        self.diagnostics.enter(Phase::Ending);
        self.marks.write(&self.disk, Instant::now(), true);
        // A fault that is over by now leaves nothing unsaid.
        if self.log.trouble().is_some() {
            drop(self.log.reopen());
        }
        self.retry();
        self.write_journal();
        let mut journal = self.journal.writer.flush();
        if journal.is_err() {
            // Its file may have been lost a moment ago.
            self.retry();
            journal = self.journal.writer.flush();
        }
        self.write_late_outcomes();
        self.records.write_kept();
        self.records.finish();
        // Behind whatever the disk still has to do: an autosave of this tick writes the same file. Never ahead of a journal
        // that could not be written.
        let (sender, saved) = channel();
        let write = self.snapshots.writer(&self.town);
        self.disk.run(move || drop(sender.send(journal.and_then(|()| write()))));
        let saved = saved.recv().unwrap_or_else(|_| Err("the disk thread crashed".into()));
        let trained = self.training.take().map_or(Ok(()), Training::end);
        let log = self.log.flush().map_err(|error| error.to_string());
        if let Some(stopped) = self.stopping.take() {
            drop(stopped.send(log.and(trained).and(saved).map(|path| path.display().to_string())));
        }
    }
}
