//! Owns the terminal and the input and signal threads. `event_loop` does the rest.
//!
//! The terminal is restored exactly once, however the process ends.
//! Rule: "Terminal behaviour".

use std::io::{self, Write, stdout};
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossterm::cursor::Show;
use crossterm::event::Event;
use crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{event, execute};
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::style::{Modifier, Style};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGSTOP, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;

use super::app::is_suspend;
use super::capabilities::Capabilities;
use super::event_loop::{Shell, start_source};
use super::fleet::ShardLabel;
use super::format::{count, seconds};
use super::keymap::{Action, Key, Keymap};
use super::pane::{Screen, draw_empty};
use super::screenshot;
use super::settings::{SaveSettings, Settings};
use super::webhook::{LAST_WAIT, Webhook, WebhookReport};
use townlet_source::{Source, SourceEvent};

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
    /// File of the bookmarks; `None` keeps them in memory.
    pub bookmarks: Option<PathBuf>,
    /// Screen to open first.
    pub screen: Screen,
    /// Whether to leave the last screen in the scrollback on exit.
    pub keep_last_screen: bool,
}

/// A source with the operator's name and colour for it.
pub struct WatchedSource {
    pub(super) source: Box<dyn Source>,
    pub(super) label: Option<ShardLabel>,
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
pub(super) enum ShellEvent {
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
    pub(super) options: Options,
    /// Not dropped: its drop prints to standard error when the cursor cannot be shown, which panics when the window was
    /// closed. [`restore_terminal`] shows the cursor.
    pub(super) terminal: ManuallyDrop<Terminal<CrosstermBackend<io::Stdout>>>,
    pub(super) inbox: Receiver<ShellEvent>,
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
        let views =
            indexed.map(|(index, watched)| start_source(index, watched.source.as_mut(), self.sender.clone())).collect();
        let mut shell = Shell::new(&mut self, &mut sources, views, webhook);
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

    pub(super) fn suspend(&mut self) -> io::Result<()> {
        restore_terminal();
        signal_hook::low_level::raise(SIGSTOP)?;
        self.retake()
    }

    /// Takes the terminal again and redraws every cell with the next frame. `Terminal::clear` would ask the terminal for its
    /// cursor position, and the input thread would receive the answer.
    pub(super) fn retake(&mut self) -> io::Result<()> {
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
