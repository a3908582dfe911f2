//! The imperative shell: owns the terminal and the input and signal threads, and does what [`App`] asks for.
//!
//! The terminal is restored exactly once, however the process ends. [`files`] writes the files.
//! Rule: "Terminal behaviour".

use std::io::{self, Write, stdout};
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use crossterm::cursor::Show;
use crossterm::event::Event;
use crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{event, execute};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Modifier, Style};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGSTOP, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;

use super::app::{App, AppOptions, Message, Task, is_suspend};
use super::capabilities::Capabilities;
use super::files;
use super::fleet::{Fleet, ShardLabel};
use super::format::{count, seconds};
use super::keymap::{Action, Key, Keymap};
use super::notification::AlertChange;
use super::pane::{Screen, draw_empty};
use super::screenshot;
use super::settings::{ChangedSettings, SaveSettings, Settings};
use super::webhook::{LAST_WAIT, Webhook, WebhookReport, WebhookSender};
use townlet_source::{Link, Source, SourceEvent, SourceInfo};
use townlet_wire::Snapshot;

/// The shortest time between two frames: 30 a second.
const FRAME: Duration = Duration::from_millis(33);
/// How often the loading screen updates its elapsed time.
const LOADING_FRAME: Duration = Duration::from_secs(1);
/// Name of the thread that builds what is loaded.
const LOADING_THREAD: &str = "loading";

/// Settings of the interface.
#[derive(Debug)]
pub struct Options {
    /// What the settings window changes.
    pub settings: Settings,
    /// Writes changed settings; `None` keeps them for the session.
    pub save_settings: Option<SaveSettings>,
    /// Zone of this machine.
    pub local_zone: TimeZone,
    /// File that notes that the first-run hint was seen; `None` shows no hint.
    pub hint_seen: Option<PathBuf>,
    /// Where changes of alerts are posted.
    pub webhook: Option<Webhook>,
    /// What the terminal can show.
    pub capabilities: Capabilities,
    /// Key bindings.
    pub keymap: Keymap,
    /// File of the console history; `None` keeps it in memory.
    pub history: Option<PathBuf>,
    /// File of the sizes of panes and the columns of tables; `None` keeps them in memory.
    pub layouts: Option<PathBuf>,
    /// Screen to open first.
    pub screen: Screen,
    /// Whether to leave the last screen in the scrollback on exit.
    pub keep_last_screen: bool,
}

/// A source with the operator's name and colour for it.
pub struct WatchedSource {
    source: Box<dyn Source>,
    label: Option<ShardLabel>,
}

impl WatchedSource {
    /// A source shown under its own name.
    pub fn new(source: impl Source + 'static) -> Self {
        Self { source: Box::new(source), label: None }
    }

    /// Sets the name and colour to show.
    #[must_use]
    pub fn labelled(self, name: Option<String>, style: Option<Style>) -> Self {
        let style = style.unwrap_or_else(|| Style::new().add_modifier(Modifier::BOLD));
        Self { label: name.map(|name| ShardLabel { name, style }), ..self }
    }
}

/// An event of the main loop.
enum ShellEvent {
    Input(Event),
    /// From the source with this index.
    SourceEvent(usize, Box<SourceEvent>),
    /// The source with this index has a newer view.
    View(usize),
    /// The loading thread has finished.
    Loaded,
    Webhook(WebhookReport),
    Suspend,
    /// Something else may have written to the terminal.
    Repaint,
    Quit,
}

/// Whether this process holds the terminal. Static, because the panic hook needs it.
static TERMINAL_TAKEN: AtomicBool = AtomicBool::new(false);

fn take_terminal(mouse: bool) -> io::Result<()> {
    TERMINAL_TAKEN.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste)?;
    if mouse {
        execute!(stdout(), EnableMouseCapture)?;
    }
    Ok(())
}

/// Restores the terminal if this process holds it. Errors are ignored: the terminal may be gone.
fn restore_terminal() {
    if TERMINAL_TAKEN.swap(false, Ordering::SeqCst) {
        let _ = execute!(stdout(), DisableMouseCapture, DisableBracketedPaste, LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// The error of a terminal that is gone, such as a closed window.
const EIO: i32 = 5;

/// Takes the loss of the terminal as a request to quit, because its hang-up signal may come later.
fn unless_gone<T>(result: io::Result<T>, quit: T) -> io::Result<T> {
    match result {
        Err(error) if error.raw_os_error() == Some(EIO) => Ok(quit),
        result => result,
    }
}

/// The terminal while the interface owns it: raw mode, alternate screen, input and signal threads. Dropping it restores the
/// terminal.
///
/// The input thread outlives the session: it waits for a key until the process ends.
pub struct TerminalSession {
    options: Options,
    /// Not dropped: its drop prints to standard error when the cursor cannot be shown, which panics when the window was
    /// closed. [`restore_terminal`] shows the cursor.
    terminal: ManuallyDrop<Terminal<CrosstermBackend<io::Stdout>>>,
    inbox: Receiver<ShellEvent>,
    sender: Sender<ShellEvent>,
    /// Set when the session ends. Signals but SIGHUP then have their default effect and interrupt a source that closes slowly.
    ended: Arc<AtomicBool>,
}

impl Drop for TerminalSession {
    fn drop(&mut self) {
        restore_terminal();
        // A frame that was drawn after a panic of the loading thread had restored the terminal has hidden the cursor again.
        let _ = execute!(stdout(), Show);
        self.ended.store(true, Ordering::SeqCst);
    }
}

impl TerminalSession {
    /// Takes over the terminal.
    pub fn open(options: Options) -> io::Result<Self> {
        let (sender, inbox) = channel();
        install_panic_hook(sender.clone());
        let terminal = ManuallyDrop::new(Terminal::new(CrosstermBackend::new(stdout()))?);
        let session = Self { options, terminal, inbox, sender, ended: Arc::default() };
        take_terminal(session.options.settings.mouse)?;
        spawn_input_threads(&session.sender, &session.ended)?;
        Ok(session)
    }

    /// Runs `build` on another thread and shows `message` until it returns. `None` when the operator quits first; `build`
    /// then runs until the process ends. Panics when `build` does.
    pub fn load<T: Send + 'static>(
        &mut self,
        message: &str,
        build: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Option<T>> {
        let sender = self.sender.clone();
        let loader = thread::Builder::new().name(LOADING_THREAD.into()).spawn(move || {
            let built = build();
            let _ = sender.send(ShellEvent::Loaded);
            built
        })?;
        if unless_gone(self.wait_for(&loader, message), false)? {
            loader.join().map_or_else(|panic| std::panic::resume_unwind(panic), |built| Ok(Some(built)))
        } else {
            Ok(None)
        }
    }

    /// Whether `loader` finished before the operator quit.
    fn wait_for<T>(&mut self, loader: &JoinHandle<T>, message: &str) -> io::Result<bool> {
        let started = Instant::now();
        loop {
            let elapsed = seconds(started.elapsed().as_secs() as f64);
            let hint = format!("{elapsed} · {} cancels", self.options.keymap.label(Action::Quit));
            let (theme, capabilities) = (&self.options.settings.theme, self.options.capabilities);
            self.terminal.draw(|frame| {
                draw_empty(frame, frame.area(), message, &hint, theme);
                capabilities.apply(frame.buffer_mut());
            })?;
            match self.inbox.recv_timeout(LOADING_FRAME) {
                Ok(ShellEvent::Loaded) => return Ok(true),
                Ok(ShellEvent::Quit) => return Ok(false),
                Ok(ShellEvent::Input(Event::Key(key))) => {
                    if is_suspend(key) {
                        self.suspend()?;
                    } else if self.options.keymap.action(Key::of(key)) == Some(Action::Quit) {
                        return Ok(false);
                    }
                }
                Ok(ShellEvent::Suspend) => self.suspend()?,
                Ok(ShellEvent::Repaint) if !loader.is_finished() => self.retake()?,
                _ => {}
            }
        }
    }

    /// Watches and commands the sources until the operator quits. Returns the sources' closing lines. The sources are closed
    /// in any case.
    pub fn run(mut self, mut sources: Vec<WatchedSource>) -> io::Result<String> {
        let sender = self.sender.clone();
        let report = move |report| drop(sender.send(ShellEvent::Webhook(report)));
        let webhook = self.options.webhook.take().map(|webhook| webhook.start(report)).transpose()?;
        let indexed = sources.iter_mut().enumerate();
        let latest_views =
            indexed.map(|(index, watched)| start_source(index, watched.source.as_mut(), self.sender.clone())).collect();
        let mut shell = Shell::new(&mut self, &mut sources, latest_views, webhook);
        let result = unless_gone(shell.run_loop(), ());
        let (last, webhook) = (shell.last.take(), shell.webhook.take());
        drop(self);
        if let (Ok(()), Some(last)) = (&result, last) {
            let _ = stdout().write_all(screenshot::text(&last).as_bytes());
        }
        let mut closing: Vec<String> = sources.iter_mut().map(|watched| watched.source.close()).collect();
        let lost = webhook.map_or(0, |webhook| webhook.close(LAST_WAIT));
        if lost > 0 {
            closing.push(format!("webhook: {} not delivered", count(lost, "notification")));
        }
        result.map(|()| closing.join("\n"))
    }

    fn suspend(&mut self) -> io::Result<()> {
        restore_terminal();
        signal_hook::low_level::raise(SIGSTOP)?;
        self.retake()
    }

    /// Takes the terminal again and redraws every cell with the next frame. `Terminal::clear` would ask the terminal for its
    /// cursor position, and the input thread would receive the answer.
    fn retake(&mut self) -> io::Result<()> {
        take_terminal(self.options.settings.mouse)?;
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }
}

/// Restores the terminal before a panic of this thread or the loading thread is reported. After a panic of any other thread,
/// repaints the screen.
fn install_panic_hook(sender: Sender<ShellEvent>) {
    let previous = std::panic::take_hook();
    let main = thread::current().id();
    std::panic::set_hook(Box::new(move |info| {
        let thread = thread::current();
        let loading = thread.name() == Some(LOADING_THREAD);
        if thread.id() == main || loading {
            restore_terminal();
        }
        previous(info);
        let _ = sender.send(if loading { ShellEvent::Loaded } else { ShellEvent::Repaint });
    }));
}

/// Starts the threads that read input and signals. Once `ended` is set, signals have their default effect. SIGHUP never has:
/// a closed window may send it after the session ended, and again from the shell, and the sources still have to close.
fn spawn_input_threads(sender: &Sender<ShellEvent>, ended: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in [SIGTERM, SIGINT, SIGQUIT, SIGTSTP] {
        signal_hook::flag::register_conditional_default(signal, Arc::clone(ended))?;
    }
    // Registers for resize events now: one that arrives before the thread runs would be lost.
    event::poll(Duration::ZERO)?;
    let input = sender.clone();
    thread::Builder::new().name("keys".into()).spawn(move || {
        while let Ok(event) = event::read() {
            if input.send(ShellEvent::Input(event)).is_err() {
                return;
            }
        }
        let _ = input.send(ShellEvent::Quit);
    })?;
    let mut signals = Signals::new([SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGCONT])?;
    let sender = sender.clone();
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            let event = match signal {
                SIGTSTP => ShellEvent::Suspend,
                SIGCONT => ShellEvent::Repaint,
                _ => ShellEvent::Quit,
            };
            if sender.send(event).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// The newest view of a source that the main loop has not taken yet.
type LatestView = Arc<Mutex<Option<Arc<Snapshot>>>>;

/// Starts a source. Views are passed through a slot that holds the newest only, so they do not pile up while suspended.
fn start_source(index: usize, source: &mut dyn Source, sender: Sender<ShellEvent>) -> LatestView {
    let latest = LatestView::default();
    let slot = Arc::clone(&latest);
    source.start(Box::new(move |event| {
        let event = match event {
            SourceEvent::View(view) => {
                let unread = slot.lock().unwrap_or_else(PoisonError::into_inner).replace(view);
                if unread.is_some() {
                    return;
                }
                ShellEvent::View(index)
            }
            other => ShellEvent::SourceEvent(index, Box::new(other)),
        };
        // Fails only after the session has ended; the source is closed then.
        let _ = sender.send(event);
    }));
    latest
}

/// The main loop of a session.
struct Shell<'a> {
    session: &'a mut TerminalSession,
    sources: &'a mut [WatchedSource],
    latest_views: Vec<LatestView>,
    webhook: Option<WebhookSender>,
    /// Whether every source is in this process.
    local: bool,
    fleet: Fleet,
    /// Folder of saved screens.
    screens: PathBuf,
    /// The last frame, when it is to be printed on exit.
    last: Option<Buffer>,
    dirty: bool,
    quit: bool,
}

impl<'a> Shell<'a> {
    fn new(
        session: &'a mut TerminalSession,
        sources: &'a mut [WatchedSource],
        latest_views: Vec<LatestView>,
        webhook: Option<WebhookSender>,
    ) -> Self {
        let options = &session.options;
        let console_history = options.history.as_deref().map_or_else(Vec::new, files::read_lines);
        let (layouts, damaged) = options.layouts.as_deref().map_or_else(Default::default, files::read_layouts);
        let infos: Vec<SourceInfo> = sources.iter().map(|watched| watched.source.hello()).collect();
        let local = infos.iter().all(|info| matches!(info.link, Link::Local | Link::Recorded));
        let facts = infos.first().filter(|_| local).map_or(&[][..], |info| &info.facts);
        let screens = screenshot::folder(facts);
        let hint = options.hint_seen.as_deref().is_some_and(|file| !file.exists());
        let apps = infos.into_iter().zip(sources.iter()).map(|(info, watched)| {
            let options = AppOptions {
                settings: options.settings,
                local_zone: options.local_zone.clone(),
                hint,
                keymap: options.keymap.clone(),
                screen: options.screen,
                console_history: console_history.clone(),
                label: watched.label.clone(),
                fleet: sources.len() > 1,
                layouts: layouts.clone(),
            };
            App::new(info, options)
        });
        let mut fleet = Fleet::new(apps.collect(), options.keymap.clone(), &options.settings);
        if let Some(said) = damaged {
            fleet.update(Message::Status(said));
        }
        Self { session, sources, latest_views, webhook, local, fleet, screens, last: None, dirty: true, quit: false }
    }

    /// Handles every pending event, then draws if anything changed, at most once per [`FRAME`], until the operator quits.
    fn run_loop(&mut self) -> io::Result<()> {
        let mut drawn: Option<Instant> = None;
        while !self.quit {
            let early = drawn.map_or(Duration::ZERO, |drawn| FRAME.saturating_sub(drawn.elapsed()));
            let event = if self.dirty {
                match self.session.inbox.recv_timeout(early) {
                    Err(RecvTimeoutError::Timeout) => None,
                    received => received.ok(),
                }
            } else {
                self.session.inbox.recv().ok()
            };
            if let Some(event) = event {
                self.handle(event)?;
            } else {
                self.draw()?;
                drawn = Some(Instant::now());
            }
        }
        let file = self.session.options.history.as_deref();
        for line in self.fleet.given_up_lines() {
            // The closing lines say it in any case.
            drop(file.map(|file| files::append(file, &line)));
        }
        Ok(())
    }

    fn draw(&mut self) -> io::Result<()> {
        let (fleet, capabilities) = (&mut self.fleet, self.session.options.capabilities);
        let frame = self.session.terminal.draw(|frame| {
            fleet.draw(frame);
            capabilities.apply(frame.buffer_mut());
        })?;
        if self.session.options.keep_last_screen {
            self.last = Some(frame.buffer.clone());
        }
        self.dirty = false;
        for (index, watched) in self.sources.iter_mut().enumerate() {
            watched.source.look_at(&self.fleet.focus(index));
        }
        Ok(())
    }

    fn handle(&mut self, event: ShellEvent) -> io::Result<()> {
        match event {
            ShellEvent::Input(Event::Key(key)) => return self.update(Message::Key(key)),
            ShellEvent::Input(Event::Mouse(mouse)) => {
                if !matches!(mouse.kind, event::MouseEventKind::Moved | event::MouseEventKind::Up(_)) {
                    return self.update(Message::Mouse(mouse));
                }
            }
            ShellEvent::Input(Event::Paste(text)) => return self.update(Message::Paste(text)),
            ShellEvent::Input(Event::Resize(..)) => self.dirty = true,
            ShellEvent::Input(_) | ShellEvent::Loaded => {}
            // A town of this process that has ended leaves nothing to show; closing the source reports the reason.
            ShellEvent::SourceEvent(_, event) if self.local && matches!(*event, SourceEvent::Ended(_)) => {
                self.quit = true;
            }
            ShellEvent::SourceEvent(index, event) => return self.deliver(index, *event),
            ShellEvent::View(index) => {
                let view = self.latest_views[index].lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(view) = view {
                    return self.deliver(index, SourceEvent::View(view));
                }
            }
            ShellEvent::Webhook(report) => self.show_webhook(report),
            ShellEvent::Suspend => return self.suspend(),
            ShellEvent::Repaint => {
                self.dirty = true;
                return self.session.retake();
            }
            ShellEvent::Quit => self.quit = true,
        }
        Ok(())
    }

    fn suspend(&mut self) -> io::Result<()> {
        self.dirty = true;
        self.session.suspend()
    }

    /// Passes an event of a source to its app.
    fn deliver(&mut self, index: usize, event: SourceEvent) -> io::Result<()> {
        self.dirty = true;
        let tasks = self.fleet.deliver(index, Message::SourceEvent(event));
        self.carry_out(tasks)
    }

    /// Passes a message to the fleet or the open app.
    fn update(&mut self, message: Message) -> io::Result<()> {
        self.dirty = true;
        let tasks = self.fleet.update(message);
        self.carry_out(tasks)
    }

    fn carry_out(&mut self, tasks: Vec<(usize, Task)>) -> io::Result<()> {
        for (index, task) in tasks {
            match task {
                Task::Send(request, purpose) => {
                    let cmd_id = self.sources[index].source.send(request.clone());
                    self.fleet.deliver(index, Message::Sent(cmd_id, request, purpose));
                }
                Task::Resend(cmd_id) => self.sources[index].source.resend(&cmd_id),
                Task::GiveUp(cmd_id) => self.sources[index].source.give_up(&cmd_id),
                // The fleet handles it.
                Task::ShowFleet => {}
                Task::Copy(text) => {
                    write!(stdout(), "\x1b]52;c;{}\x07", BASE64_STANDARD.encode(text))?;
                    stdout().flush()?;
                }
                Task::Save(tick) => {
                    let status = self.save(tick);
                    self.fleet.update(Message::Status(status));
                }
                Task::Notify(change) => self.notify(&change)?,
                Task::KeepSettings(changed) => self.keep_settings(&changed)?,
                Task::HintSeen => {
                    self.fleet.hide_hint();
                    let file = self.session.options.hint_seen.as_deref();
                    // The hint appears again when this cannot be noted.
                    drop(file.map(|file| files::append(file, "seen")));
                }
                Task::Export(exported) => {
                    let status = match files::write_exports(&self.screens, &exported) {
                        Ok(written) => format!("exported {written}"),
                        Err(error) => format!("cannot export to {}: {error}", self.screens.display()),
                    };
                    self.fleet.update(Message::Status(status));
                }
                Task::SaveLayouts(layouts) => {
                    let file = self.session.options.layouts.as_deref();
                    if let Some(Err(error)) = file.map(|file| files::write_layouts(file, &layouts)) {
                        let status = format!("cannot keep the sizes and columns: {error}");
                        self.fleet.update(Message::Status(status));
                    }
                }
                Task::Remember(line) => {
                    let file = self.session.options.history.as_deref();
                    if let Some(Err(error)) = file.map(|file| files::append(file, &line)) {
                        self.fleet.update(Message::Status(format!("cannot write the console history: {error}")));
                    }
                }
                Task::Suspend => self.suspend()?,
                Task::Quit => self.quit = true,
            }
        }
        Ok(())
    }

    /// Tells of a change of an alert: by bell and desktop message, and by the webhook.
    fn notify(&self, change: &AlertChange) -> io::Result<()> {
        let notifications = self.session.options.settings.notifications;
        if notifications.rings(change) {
            write!(stdout(), "{}", notifications.sequence(change))?;
            stdout().flush()?;
        }
        if let Some(webhook) = self.webhook.as_ref().filter(|_| notifications.posts(change)) {
            webhook.post(change.body(&Timestamp::now().round(Unit::Second).unwrap_or_default().to_string()));
        }
        Ok(())
    }

    fn show_webhook(&mut self, report: WebhookReport) {
        self.dirty = true;
        match report {
            WebhookReport::Failing(text) => self.fleet.set_webhook_trouble(Some(&text)),
            WebhookReport::Restored(lost) => {
                self.fleet.set_webhook_trouble(None);
                let lost = if lost > 0 { format!("; {} lost", count(lost, "notification")) } else { String::new() };
                self.fleet.update(Message::Status(format!("the webhook delivers again{lost}")));
            }
        }
    }

    /// Uses settings in every shard and on the terminal, and writes them to the user's configuration.
    fn keep_settings(&mut self, changed: &ChangedSettings) -> io::Result<()> {
        let options = &mut self.session.options;
        options.settings = changed.after;
        match (changed.before.mouse, changed.after.mouse) {
            (false, true) => execute!(stdout(), EnableMouseCapture)?,
            (true, false) => execute!(stdout(), DisableMouseCapture)?,
            _ => {}
        }
        self.fleet.apply_settings(&changed.after);
        let status = match options.save_settings.map(|save| save(changed)) {
            Some(Ok(file)) => format!("settings kept in {}", file.display()),
            Some(Err(why)) => format!("settings hold for this session only: {why}"),
            None => "settings hold for this session".to_owned(),
        };
        self.fleet.update(Message::Status(status));
        Ok(())
    }

    /// Saves the current screen as text and SVG. Returns the status to show.
    fn save(&mut self, tick: u64) -> String {
        let fleet = &mut self.fleet;
        let frame = match self.session.terminal.draw(|frame| fleet.draw(frame)) {
            Ok(frame) => frame.buffer.clone(),
            Err(error) => return format!("cannot draw the screen to save it: {error}"),
        };
        let svg = screenshot::svg(&frame, self.session.options.settings.theme.name == "light");
        match files::write_screen(&self.screens, tick, &screenshot::text(&frame), &svg) {
            Ok(file) => format!("saved {} and .svg", file.display()),
            Err(error) => format!("cannot save the screen in {}: {error}", self.screens.display()),
        }
    }
}
