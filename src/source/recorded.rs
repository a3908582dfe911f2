//! A source for a recorded run: read-only, starts paused, plays at any speed and seeks to any tick.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{AuditPageRequest, Deliver, Link, MAX_MARKS, Moved, Source, SourceEvent, SourceInfo, audit_pages};
use townlet_shard::history::{MarkSelection, PastError};
use townlet_shard::privacy::PrivacyFilter;
use townlet_shard::recorded_run::RecordedRun;
use townlet_shard::{Speed, specs};
use townlet_wire::command::{ArgKind, ArgSpec, Effect};
use townlet_wire::{Answer, CommandSpec, ErrorBody, Request, Role, Session, Status, thousands};

/// The speed that is shown while it does not play.
const PAUSED: &str = "paused";
const FRAME: Duration = Duration::from_millis(33);
/// Share of a frame spent on stepping at maximum speed.
const STEP_BUDGET: Duration = Duration::from_millis(25);
const MAX_SPEED_STEP: u64 = 500;
/// The transport of a recording's session.
pub const RECORDING: &str = "recording";
/// What can be done about a part of a run that cannot be shown.
const REPAIR_HINT: &str = "Other parts of the run can still be shown. Put back a copy of the file for this one.";
/// Commands of the shard's table that a recording supports.
const SUPPORTED_COMMANDS: [&str; 4] = ["pause", "resume", "step", "speed"];

/// What is asked of the playback.
enum Wish {
    Command(Request),
    Seek(u64),
    Live,
    Marks,
}

/// A recorded run.
pub struct Recorded {
    recording: Option<RecordedRun>,
    facts: Vec<(String, String)>,
    /// Folder of the audit log, and how its names are shown.
    audit: (PathBuf, PrivacyFilter),
    deliver: Option<Deliver>,
    inbox: Option<Sender<Wish>>,
    thread: Option<JoinHandle<String>>,
}

impl Recorded {
    /// Starts at the recording's current tick.
    pub fn new(recording: RecordedRun, facts: Vec<(String, String)>) -> Self {
        let audit = (recording.audit_folder().to_owned(), recording.names());
        Self { recording: Some(recording), facts, audit, deliver: None, inbox: None, thread: None }
    }
}

impl Source for Recorded {
    fn hello(&self) -> SourceInfo {
        let mut commands: Vec<CommandSpec> = specs();
        commands.retain(|spec| SUPPORTED_COMMANDS.contains(&spec.name.as_str()));
        for spec in &mut commands {
            spec.role = Role::Viewer;
            if spec.name == "pause" {
                spec.help = "pauses the playback".into();
            }
        }
        commands.push(goto());
        SourceInfo {
            commands,
            session: Session { issuer: "viewer".into(), role: Role::Viewer, transport: RECORDING.into(), owner: true },
            link: Link::Recorded,
            requires_token: false,
            facts: self.facts.clone(),
        }
    }

    fn start(&mut self, deliver: Box<dyn Fn(SourceEvent) + Send + Sync>) {
        let Some(recording) = self.recording.take() else { return };
        let (inbox, command) = channel();
        let deliver: Deliver = Arc::from(deliver);
        self.deliver = Some(Arc::clone(&deliver));
        let play =
            Playback { recording, deliver, speed: Speed::X1, paused: true, pending_ticks: 0.0, last: Instant::now() };
        let thread = std::thread::Builder::new().name("recording".into()).spawn(move || play.run(&command));
        self.thread = thread.ok();
        self.inbox = Some(inbox);
    }

    fn send(&mut self, mut request: Request) -> String {
        let cmd_id = request.cmd_id.get_or_insert_with(|| uuid::Uuid::now_v7().to_string()).clone();
        if let Some(inbox) = &self.inbox {
            // Fails only after the thread has delivered `Ended`.
            drop(inbox.send(Wish::Command(request)));
        }
        cmd_id
    }

    fn load_audit_page(&mut self, request: AuditPageRequest) {
        if let Some(deliver) = &self.deliver {
            let (folder, names) = self.audit.clone();
            audit_pages::load(folder, names, request, deliver);
        }
    }

    fn seek(&mut self, tick: u64) {
        if let Some(inbox) = &self.inbox {
            drop(inbox.send(Wish::Seek(tick)));
        }
    }

    fn live(&mut self) {
        if let Some(inbox) = &self.inbox {
            drop(inbox.send(Wish::Live));
        }
    }

    fn marks(&mut self) {
        if let Some(inbox) = &self.inbox {
            drop(inbox.send(Wish::Marks));
        }
    }

    fn close(&mut self) -> String {
        self.inbox = None;
        let summary = self.thread.take().and_then(|thread| thread.join().ok());
        summary.unwrap_or_else(|| "The recording was not opened.".into())
    }
}

/// The refusal of a part of the run that cannot be shown.
fn damaged(why: &str) -> ErrorBody {
    ErrorBody::new("E_DAMAGED", format!("{why}."), REPAIR_HINT)
}

/// The command that only recordings have.
fn goto() -> CommandSpec {
    CommandSpec {
        name: "goto".into(),
        args: vec![ArgSpec { name: "tick".into(), kind: ArgKind::Text, required: true, flag: false }],
        role: Role::Viewer,
        effect: Effect::Shard,
        mutating: false,
        destructive: false,
        help: "seek to a tick: `goto 5000`, or relative: `goto -100`, `goto +100`".into(),
    }
}

enum PlaybackCommand {
    Pause,
    Resume,
    Speed(Speed),
    Tick(u64),
}

struct Playback {
    recording: RecordedRun,
    deliver: Deliver,
    speed: Speed,
    paused: bool,
    /// Fraction of a tick that is due, and when it was computed.
    pending_ticks: f64,
    last: Instant,
}

impl Playback {
    /// Runs until the sender is dropped. Returns a closing line.
    fn run(mut self, inbox: &Receiver<Wish>) -> String {
        self.show();
        // What came after seeks of which only the last one counts.
        let mut next = None;
        loop {
            let command = if let Some(wish) = next.take() {
                Ok(wish)
            } else if self.paused {
                inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                inbox.recv_timeout(FRAME)
            };
            match command {
                Ok(Wish::Command(request)) => self.answer(&request),
                Ok(Wish::Live) => self.seek_end(),
                Ok(Wish::Marks) => {
                    let page = self.recording.page(&MarkSelection::newest(MAX_MARKS));
                    (self.deliver)(SourceEvent::Marks(Ok(Arc::new(page))));
                }
                Ok(Wish::Seek(mut tick)) => {
                    next = loop {
                        match inbox.try_recv() {
                            Ok(Wish::Seek(newer)) => tick = newer,
                            other => break other.ok(),
                        }
                    };
                    self.seek(tick);
                }
                Err(RecvTimeoutError::Timeout) => {
                    if let Err(why) = self.play() {
                        self.paused = true;
                        (self.deliver)(SourceEvent::Notice(format!("{why}.")));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.show();
        }
        format!("{} closed at tick {}; nothing was changed.", self.recording.run_id(), self.tick())
    }

    fn tick(&self) -> u64 {
        self.recording.ticks().1
    }

    fn show(&mut self) {
        for note in self.recording.take_notes() {
            (self.deliver)(SourceEvent::Notice(format!("{note}.")));
        }
        let speed = if self.paused { PAUSED } else { self.speed.row().1 };
        (self.deliver)(SourceEvent::View(Arc::new(self.recording.view(speed))));
    }

    /// Runs the ticks that are due.
    fn play(&mut self) -> Result<(), String> {
        let began = Instant::now();
        let elapsed = began.duration_since(self.last).as_secs_f64() * 1e3;
        self.last = began;
        if self.speed == Speed::Max {
            while began.elapsed() < STEP_BUDGET && self.tick() < self.recording.ticks().2 {
                self.recording.seek(self.tick() + MAX_SPEED_STEP)?;
            }
        } else {
            self.pending_ticks += elapsed * f64::from(self.speed.row().2) / self.recording.tick_ms().max(1) as f64;
            let due = self.pending_ticks.floor();
            self.pending_ticks -= due;
            self.recording.seek(self.tick() + due as u64)?;
        }
        self.paused = self.tick() == self.recording.ticks().2;
        Ok(())
    }

    /// Shows a tick, paused.
    fn seek(&mut self, tick: u64) {
        let (first, _, last) = self.recording.ticks();
        let sought = if (first..=last).contains(&tick) {
            self.recording.seek(tick).map_err(|why| damaged(&why))
        } else {
            let why = PastError::NoTick { tick, first, last };
            Err(ErrorBody::from(&why))
        };
        let moved = match sought {
            Ok(()) => {
                self.paused = true;
                Moved::Past(Arc::new(self.recording.view(PAUSED)))
            }
            Err(error) => Moved::Refused { tick, error },
        };
        (self.deliver)(SourceEvent::Moved(moved));
    }

    /// Shows the end of the recording, which is its present.
    fn seek_end(&mut self) {
        let last = self.recording.ticks().2;
        let moved = match self.recording.seek(last) {
            Ok(()) => Moved::Live,
            Err(why) => Moved::Refused { tick: last, error: damaged(&why) },
        };
        self.paused = true;
        (self.deliver)(SourceEvent::Moved(moved));
    }

    fn answer(&mut self, request: &Request) {
        let result = self.parse(&request.command).and_then(|command| {
            let summary = json!({ "summary": self.summary(&command) });
            if !request.dry_run {
                self.apply(&command).map_err(|why| damaged(&why))?;
            }
            Ok(summary)
        });
        let cmd_id = request.cmd_id.clone().unwrap_or_default();
        let mut answer = Answer::new(cmd_id, &request.command, self.tick(), result);
        if request.dry_run && answer.error.is_none() {
            answer.status = Status::DryRun;
        }
        (self.deliver)(SourceEvent::Answer(answer));
    }

    fn parse(&self, line: &str) -> Result<PlaybackCommand, ErrorBody> {
        let (first, now, last) = self.recording.ticks();
        let invalid = |message: String, hint: &str| ErrorBody::new("E_INVALID_ARG", message, hint);
        let mut words = line.split_whitespace();
        let (name, word) = (words.next().unwrap_or_default(), words.next());
        let number = |text: &str| text.replace([',', '_'], "").parse::<u64>().ok();
        Ok(match (name, word) {
            ("pause", None) => PlaybackCommand::Pause,
            ("resume" | "step", _) if now == last => {
                let why = format!("the recording ends at tick {}.", thousands(last));
                return Err(invalid(why, "Go back with `goto -1000`."));
            }
            ("resume", None) => PlaybackCommand::Resume,
            ("step", None) => PlaybackCommand::Tick(now + 1),
            ("step", Some(ticks)) => {
                let ticks = number(ticks)
                    .ok_or_else(|| invalid(format!("{ticks} is not a number of ticks."), "Example: `step 10`."))?;
                PlaybackCommand::Tick(now.saturating_add(ticks).min(last))
            }
            ("speed", Some(speed)) => {
                let hint = "Use 1x, 10x, 100x or max.";
                PlaybackCommand::Speed(
                    Speed::named(speed).ok_or_else(|| invalid(format!("{speed} is not a speed."), hint))?,
                )
            }
            ("goto", Some(tick)) => {
                let hint = "Use `goto 5000`, `goto -100` or `goto +100`.";
                let to = match tick.split_at(usize::from(tick.starts_with(['-', '+']))) {
                    ("-", back) => number(back).map(|back| now.saturating_sub(back)),
                    ("+", on) => number(on).map(|on| now.saturating_add(on)),
                    (_, tick) => number(tick),
                };
                PlaybackCommand::Tick(
                    to.ok_or_else(|| invalid(format!("{tick} is not a tick."), hint))?.clamp(first, last),
                )
            }
            _ => {
                let hint = "Use `pause`, `resume`, `step`, `speed` or `goto`.";
                return Err(ErrorBody::new("E_FORBIDDEN", "a recording answers only the commands of playback.", hint));
            }
        })
    }

    fn summary(&self, command: &PlaybackCommand) -> String {
        let (first, _, last) = self.recording.ticks();
        match command {
            PlaybackCommand::Pause => format!("paused at tick {}.", thousands(self.tick())),
            PlaybackCommand::Resume => format!("playing at {}.", self.speed.row().1),
            PlaybackCommand::Speed(speed) => format!("playing at {}.", speed.row().1),
            PlaybackCommand::Tick(tick) if *tick == last => {
                format!("tick {}, the end of the recording.", thousands(last))
            }
            PlaybackCommand::Tick(tick) if *tick == first => format!("tick {}, its beginning.", thousands(first)),
            PlaybackCommand::Tick(tick) => {
                format!("tick {} of {} to {}.", thousands(*tick), thousands(first), thousands(last))
            }
        }
    }

    fn apply(&mut self, command: &PlaybackCommand) -> Result<(), String> {
        (self.pending_ticks, self.last) = (0.0, Instant::now());
        match command {
            PlaybackCommand::Pause => self.paused = true,
            PlaybackCommand::Resume => self.paused = false,
            PlaybackCommand::Speed(speed) => {
                (self.speed, self.paused) = (*speed, self.tick() == self.recording.ticks().2);
            }
            PlaybackCommand::Tick(tick) => {
                self.paused = true;
                self.recording.seek(*tick)?;
            }
        }
        Ok(())
    }
}
