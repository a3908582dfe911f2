//! The loop: one thread owns the town, ticks it at its pace, and between ticks does what it was asked.
//!
//! Owns time (the shell's, not the town's) and what is told to the loop. Who may ask for what stands in `dispatch`, what
//! is done by itself between ticks in `upkeep`. The loop never waits for the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::{Duration, Instant};

use fail::fail_point;
use townlet_town::{EventKind, Town};

use super::admission::{Asked, Desk, Told};
use super::disk_thread::{Decision, Disk};
use super::home::Home;
use super::incident::{Diagnostics, IncidentRecorder, Phase, Watched};
use super::journal::{DIGEST_TICKS, Header, Journal};
use super::maintenance::{JOURNAL_INTERVAL, RETRY_EVERY};
use super::pending_writes::NotDurable;
use super::promotion::Releases;
use super::publish::Publisher;
use super::reload::ConfigReloader;
use super::snapshots;
use super::subscribers::Subscribers;
use super::telemetry::{self, ShardStatus};
use super::training::{self, Training};
use townlet_wire::telemetry::Transport;
use townlet_wire::{Answer, Session, Snapshot};

/// How fast a town runs.
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

    pub fn row(self) -> &'static (Self, &'static str, u32) {
        SPEEDS.iter().find(|row| row.0 == self).unwrap_or(&SPEEDS[0])
    }
}

/// A town that fell behind by more than this does not run to catch up.
const CATCH_UP: Duration = Duration::from_millis(250);

/// What the loop can be told.
pub(super) enum Message {
    /// A command.
    Ask(Box<Asked>),
    /// An intent is durable, or could not be made so.
    Intent(u64, Result<townlet_audit::Written, townlet_audit::AuditError>),
    /// A command's outcome is in both logs, or could not be.
    Settled(u64, Result<townlet_audit::Written, NotDurable>),
    /// An outcome that was late is in the audit log, or still is not.
    LateOutcomeWritten(Box<(townlet_audit::Entry, Answer)>, bool),
    /// Somebody wants every published snapshot.
    Subscribe(Box<dyn Fn(Arc<Snapshot>) + Send>),
    /// Somebody wants every message.
    Stream(super::publish::Asked),
    /// How telemetry itself fares.
    Transport(Transport),
    /// A new session, and who hears what it is told.
    Open(u64, Session, Box<dyn Fn(Told) + Send>),
    /// Run up to this tick and no further, and tell when there.
    RunTo(u64, Sender<u64>),
    /// Run no further, and tell where.
    Halt(Sender<u64>),
    /// What waited for a file, or for somebody at work beside the loop, goes on here.
    Then(Box<dyn FnOnce(&mut Engine) + Send>),
    /// The operators' log was written, or could not be and lacks these.
    Noted(Result<(), (String, Vec<Decision>)>),
    /// A snapshot was written, or could not be.
    Saved(Result<u64, String>),
    /// The state as observers would see it now, and the town's digest.
    View(Sender<(Snapshot, String)>),
    /// How the training beside the town fares.
    Training(training::TrainerEvent),
    /// What residents are called outside.
    PrivacyFilter(Sender<super::privacy::PrivacyFilter>),
    /// Take a last snapshot and end; answered with where it is.
    Stop(Sender<Result<String, String>>),
}

/// The loop's own state.
pub(super) struct Engine {
    pub(super) town: Town,
    pub(super) status: ShardStatus,
    pub(super) log: Arc<townlet_audit::Log>,
    pub(super) journal: Arc<Journal>,
    pub(super) disk: Disk,
    pub(super) home: Home,
    pub(super) desk: Desk,
    pub(super) subscribers: Arc<Subscribers>,
    pub(super) releases: Releases,
    /// The training beside the town.
    pub(super) training: Option<Training>,
    /// How the files it was started from are read again.
    pub(super) reloader: Option<ConfigReloader>,
    /// What is left there outlives this thread.
    pub(super) diagnostics: Arc<Diagnostics>,
    pub(super) recorder: Arc<IncidentRecorder>,
    /// What the shard itself raised is not what was noted last.
    pub(super) unnoted: bool,
    /// Names are others than in the last state that the publisher got.
    pub(super) renamed: bool,
    pub(super) sender: Sender<Message>,
    pub(super) paused: bool,
    pub(super) speed: Speed,
    pub(super) steps_left: u64,
    pub(super) dirty: bool,
    /// Published for whoever wants only the tick.
    pub(super) ticker: Arc<AtomicU64>,
    pub(super) header: Header,
    pub(super) snapshot_root: String,
    hold: Option<(u64, Vec<Sender<u64>>)>,
    next_tick: Instant,
    pub(super) options: Vec<u8>,
    pub(super) unjournalled_from: u64,
    pub(super) journalled: Instant,
    /// Least time between two published states.
    pub(super) publish_interval: Duration,
    pub(super) published: Instant,
    pub(super) measured: (Instant, u64),
    pub(super) started: Instant,
    pub(super) saved: Instant,
    /// A snapshot is on its way to the disk.
    pub(super) saving: bool,
    pub(super) retried: Instant,
    /// When expired ids were last forgotten.
    pub(super) pruned: Option<Instant>,
    stopping: Option<Sender<Result<String, String>>>,
}

/// What an engine is made of.
pub(super) struct Parts {
    /// The town.
    pub town: Town,
    /// Facts about the shard.
    pub status: ShardStatus,
    /// The audit log.
    pub log: Arc<townlet_audit::Log>,
    /// Ids seen.
    pub index: townlet_audit::Index,
    /// The journal.
    pub journal: Arc<Journal>,
    /// Where others read what it is at.
    pub diagnostics: Arc<Diagnostics>,
    /// Makes incident bundles.
    pub recorder: Arc<IncidentRecorder>,
    /// The journal's header, for a further file.
    pub header: Header,
    /// What is known of the shard's releases.
    pub releases: Releases,
    /// The folder.
    pub home: Home,
    /// `snapshot.root`.
    pub snapshot_root: String,
    /// Whether it begins paused, and how fast.
    pub pace: (bool, Speed),
    /// Do not tick before told how far.
    pub held: bool,
}

impl Engine {
    /// Puts the parts together.
    pub(super) fn new(parts: Parts, sender: Sender<Message>, ticker: Arc<AtomicU64>) -> Self {
        let now = Instant::now();
        let tick = parts.town.tick();
        let telemetry = &parts.town.rules().config.telemetry;
        let publish_interval = Duration::from_secs(1) / telemetry.backpressure.max_messages_per_second.max(1);
        let to_self = sender.clone();
        let report = move |transport| drop(to_self.send(Message::Transport(transport)));
        let publisher = Publisher::start(telemetry, parts.home.archives(), &parts.status.run_id, report);
        ticker.store(tick, Ordering::Relaxed);
        parts.diagnostics.reached(tick);
        Self {
            town: parts.town,
            status: parts.status,
            log: parts.log,
            journal: parts.journal,
            disk: Disk::start(),
            home: parts.home,
            desk: Desk::new(parts.index),
            releases: parts.releases,
            subscribers: Arc::new(Subscribers::new(publisher)),
            training: None,
            reloader: None,
            diagnostics: parts.diagnostics,
            recorder: parts.recorder,
            unnoted: false,
            renamed: false,
            publish_interval,
            sender,
            paused: parts.pace.0,
            speed: parts.pace.1,
            steps_left: 0,
            dirty: true,
            ticker,
            header: parts.header,
            snapshot_root: parts.snapshot_root,
            hold: parts.held.then_some((tick, Vec::new())),
            next_tick: now,
            options: Vec::new(),
            unjournalled_from: tick,
            journalled: now,
            published: now.checked_sub(publish_interval).unwrap_or(now),
            measured: (now, tick),
            started: now,
            saved: now,
            saving: false,
            retried: now,
            pruned: None,
            stopping: None,
        }
    }

    /// Runs until stopped.
    pub(super) fn run(mut self, inbox: &Receiver<Message>) {
        self.refresh();
        self.resume_releases();
        self.show();
        loop {
            match self.next(inbox) {
                Ok(message) => {
                    self.diagnostics.enter(Phase::Answering);
                    self.handle(message);
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return self.end(),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.may_end() {
                return self.end();
            }
            let now = Instant::now();
            if self.may_tick() && now >= self.next_tick {
                self.tick(now);
            }
            self.diagnostics.enter(Phase::Housekeeping);
            self.housekeeping(now);
        }
    }

    /// The next message, or a timeout when it is time for something else.
    fn next(&self, inbox: &Receiver<Message>) -> Result<Message, RecvTimeoutError> {
        let wait = self.wait();
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
        let now = Instant::now();
        let mut wait = RETRY_EVERY;
        if self.may_end() {
            return Duration::ZERO;
        }
        if self.may_tick() {
            wait = wait.min(self.next_tick.saturating_duration_since(now));
        }
        if self.dirty && self.has_readers() {
            wait = wait.min((self.published + self.publish_interval).saturating_duration_since(now));
        }
        if let Some(due) = self.desk.next_overdue() {
            wait = wait.min(due.saturating_duration_since(now));
        }
        if self.unjournalled_from < self.town.tick() {
            wait = wait.min((self.journalled + JOURNAL_INTERVAL).saturating_duration_since(now));
        }
        wait
    }

    fn may_end(&self) -> bool {
        self.stopping.is_some() && self.desk.is_idle() && !self.releases.owes()
    }

    fn may_tick(&self) -> bool {
        let held = self.hold.as_ref().is_some_and(|(until, _)| self.town.tick() >= *until);
        self.stopping.is_none() && !held && (!self.paused || self.steps_left > 0)
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Ask(asked) => self.ask(*asked),
            Message::Intent(ticket, result) => self.intent(ticket, result),
            Message::Settled(ticket, result) => self.settled(ticket, result),
            Message::LateOutcomeWritten(late, logged) => self.late_outcome_written(late.0, late.1, logged),
            Message::Subscribe(subscriber) => {
                self.subscribers.subscribe(subscriber);
                self.dirty = true;
            }
            Message::Stream(asked) => {
                self.status.story.keep_all(true);
                self.subscribers.publisher.subscribe(asked);
                self.dirty = true;
            }
            Message::Transport(transport) => {
                let tick = self.town.tick();
                self.status.aggregating_since =
                    (transport.mode == "aggregate").then(|| self.status.aggregating_since.unwrap_or(tick));
                self.status.transport = transport;
                self.refresh();
                (self.dirty, self.unnoted) = (true, true);
            }
            Message::Open(id, session, notify) => self.desk.open(id, session, notify),
            Message::RunTo(until, told) => self.set_run_limit(until, told),
            Message::Halt(told) => self.set_run_limit(self.town.tick(), told),
            Message::Then(then) => then(self),
            Message::Noted(noted) => self.noted(noted),
            Message::Saved(saved) => self.snapshot_saved(saved),
            Message::View(told) => {
                self.refresh();
                self.note_own_alerts();
                let view = telemetry::snapshot(&self.town, &self.status, self.log.tail(200));
                drop(told.send((view, self.town.digest())));
            }
            Message::PrivacyFilter(told) => drop(told.send(self.status.names.clone())),
            Message::Training(news) => self.on_trainer_event(news),
            Message::Stop(told) => {
                self.training.iter().for_each(Training::stop);
                self.retry_release_file();
                self.stopping = Some(told);
            }
        }
    }

    fn set_run_limit(&mut self, until: u64, told: Sender<u64>) {
        self.hold = Some((until, vec![told]));
        self.next_tick = Instant::now();
        self.notify_run_to();
    }

    fn notify_run_to(&mut self) {
        let tick = self.town.tick();
        if let Some((until, told)) = &mut self.hold
            && tick >= *until
        {
            for told in told.drain(..) {
                // Who asked may have gone.
                let _ = told.send(tick);
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        self.diagnostics.enter(Phase::Beginning);
        fail_point!("engine_tick");
        self.town.step(&mut Watched { policy: &mut self.status.driver, diagnostics: &self.diagnostics });
        self.diagnostics.enter(Phase::Housekeeping);
        self.options.extend(self.town.decisions().map(|(_, option)| option.index() as u8));
        self.record_town_events();
        let tick = self.town.tick();
        self.ticker.store(tick, Ordering::Relaxed);
        self.diagnostics.reached(tick);
        self.dirty = true;
        self.steps_left = self.steps_left.saturating_sub(1);
        let factor = self.speed.row().2;
        if factor == 0 {
            self.next_tick = now;
        } else {
            self.status.lateness.note(now.saturating_duration_since(self.next_tick));
            let period = Duration::from_millis(u64::from(self.town.rules().config.time.tick_ms)) / factor;
            self.next_tick += period;
            if now > self.next_tick + CATCH_UP {
                self.next_tick = now + period;
            }
        }
        if tick.is_multiple_of(DIGEST_TICKS) {
            self.write_journal();
        }
        self.autosave(now);
        self.notify_run_to();
    }

    /// Takes the town's events into the story and notes which alerts stand.
    pub(super) fn record_town_events(&mut self) {
        let rules = Arc::clone(self.town.rules());
        for event in self.town.events() {
            self.status.story.tell(&rules, event);
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

    pub(super) fn next_tick_now(&mut self) {
        self.next_tick = Instant::now();
    }

    /// The last snapshot; everything asked for is done by now.
    fn end(mut self) {
        self.diagnostics.enter(Phase::Ending);
        // A fault that is over by now leaves nothing unsaid.
        if matches!(self.log.state(), townlet_audit::State::Unavailable(_)) {
            drop(self.log.reopen());
        }
        self.retry();
        self.write_journal();
        let journal = self.journal.flush();
        self.catch_up();
        let (folder, tick, bytes, retain) = self.packed();
        // Behind whatever the disk still has to do: an autosave of this tick writes the same file. Never ahead of a journal
        // that could not be written.
        let (sender, saved) = std::sync::mpsc::channel();
        self.disk.run(move || {
            drop(sender.send(journal.and_then(|()| snapshots::save(&folder, tick, &bytes, retain))));
        });
        let saved = saved.recv().unwrap_or_else(|_| Err("the disk's thread broke off".into()));
        let trained = self.training.take().map_or(Ok(()), Training::end);
        let log = self.log.flush().map_err(|error| error.to_string());
        if let Some(told) = self.stopping.take() {
            drop(told.send(log.and(trained).and(saved).map(|path| path.display().to_string())));
        }
    }
}
