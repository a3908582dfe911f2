//! The imperative shell: the terminal, the threads, the signals and the few files of the interface.
//!
//! Everything decided is decided in [`App`]; here it is done. The terminal is given back exactly once, whatever ends us.
//! Rule: "Terminal behaviour".

use std::io::{self, Write, stdout};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossterm::cursor::Show;
use crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture, Event};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{event, execute};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Modifier, Style};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGSTOP, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;

use super::app::{App, AppOptions, Message, Task};
use super::console::input_history;
use super::fleet::{Fleet, ShardLabel};
use super::keymap::Keymap;
use super::pane::Screen;
use super::screenshot;
use super::theme::Theme;
use townlet_source::{Link, Source, SourceEvent, SourceInfo};
use townlet_wire::Snapshot;

/// The shortest time from one picture to the next: 30 a second.
const FRAME: Duration = Duration::from_millis(33);

/// How the interface is to be.
#[derive(Debug)]
pub struct Options {
    /// Colours and signs; made with `NO_COLOR` in mind.
    pub theme: Theme,
    /// Whether the mouse is taken; without it the terminal's own selection works.
    pub mouse: bool,
    /// Keys in force.
    pub keymap: Keymap,
    /// The file of console lines typed before; `None` keeps them in memory.
    pub history: Option<PathBuf>,
    /// The first screen.
    pub screen: Screen,
    /// Leave the last screen in the scrollback on quitting.
    pub keep_last_screen: bool,
}

/// A source with what the operator calls it.
pub struct WatchedSource {
    source: Box<dyn Source>,
    label: Option<ShardLabel>,
}

impl WatchedSource {
    /// A source under its own name.
    pub fn new(source: impl Source + 'static) -> Self {
        Self { source: Box::new(source), label: None }
    }

    /// Under this name and in this colour.
    #[must_use]
    pub fn labelled(self, name: Option<String>, style: Option<Style>) -> Self {
        let style = style.unwrap_or_else(|| Style::new().add_modifier(Modifier::BOLD));
        Self { label: name.map(|name| ShardLabel { name, style }), ..self }
    }
}

/// Where console lines are kept unless the operator says otherwise: the user's state folder.
pub fn history_file() -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    let strategy = etcetera::choose_base_strategy().ok()?;
    let folder = strategy.state_dir().unwrap_or_else(|| strategy.data_dir());
    Some(folder.join("townlet").join("console_history"))
}

/// Something that wakes the shell.
enum ShellEvent {
    Event(Event),
    /// Of the source at this index.
    SourceEvent(usize, Box<SourceEvent>),
    /// A newer view is in this source's latest.
    View(usize),
    Suspend,
    /// The screen may be spoilt: draw all of it.
    Repaint,
    Quit,
}

/// Whether the terminal is ours now. A static, because a panic hook has nothing else to go by.
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

/// Gives the terminal back, if it is ours. Errors are of no use any more: there may be no terminal.
fn restore_terminal() {
    if TERMINAL_TAKEN.swap(false, Ordering::SeqCst) {
        let _ = execute!(stdout(), DisableMouseCapture, DisableBracketedPaste, LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// Gives the terminal back when it goes out of scope, however that happens.
struct TerminalGuard;

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        restore_terminal();
    }
}

/// Watches and commands towns until the operator leaves. Returns the sources' lines of farewell.
///
/// One thread stays behind, waiting for a key that will not come; it ends with the process.
///
/// # Errors
/// When the terminal cannot be used. The sources have been closed all the same.
pub fn run(mut sources: Vec<WatchedSource>, options: Options) -> io::Result<String> {
    let (send, inbox) = channel();
    let hook = watch_panics(send.clone());
    let held = TerminalGuard;
    let keep = options.keep_last_screen;
    let left = Arc::new(AtomicBool::new(false));
    let result = take_terminal(options.mouse).and_then(|()| {
        spawn_input_threads(&send, &left)?;
        let indexed = sources.iter_mut().enumerate();
        let latest_views =
            indexed.map(|(index, watched)| start_source(index, watched.source.as_mut(), send.clone())).collect();
        drop(send);
        let mut shell = Shell::new(&mut sources, options, latest_views)?;
        shell.run_loop(&inbox)?;
        Ok(shell.last)
    });
    drop(held);
    left.store(true, Ordering::SeqCst);
    std::panic::set_hook(Box::new(move |info| hook(info)));
    if let (Ok(Some(last)), true) = (&result, keep) {
        let _ = stdout().write_all(screenshot::text(last).as_bytes());
    }
    let farewells: Vec<String> = sources.iter_mut().map(|watched| watched.source.close()).collect();
    result.map(|_| farewells.join("\n"))
}

type Hook = Arc<dyn Fn(&std::panic::PanicHookInfo<'_>) + Send + Sync>;

/// Gives the terminal back before a panic of this thread is told; after one of another thread, draws the screen again.
/// Returns the hook there was.
fn watch_panics(send: Sender<ShellEvent>) -> Hook {
    let before: Hook = Arc::from(std::panic::take_hook());
    let ours = thread::current().id();
    let told = Arc::clone(&before);
    std::panic::set_hook(Box::new(move |info| {
        if thread::current().id() == ours {
            restore_terminal();
        }
        told(info);
        let _ = send.send(ShellEvent::Repaint);
    }));
    before
}

/// Starts the threads that wait for keys and for signals. Once `left`, signals do again what they do by default: a source
/// that takes long to close can still be interrupted.
fn spawn_input_threads(send: &Sender<ShellEvent>, left: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in [SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGTSTP] {
        signal_hook::flag::register_conditional_default(signal, Arc::clone(left))?;
    }
    // Begins to hear of new sizes now, not when the thread first runs: one that came before would be lost.
    event::poll(Duration::ZERO)?;
    let keys = send.clone();
    thread::Builder::new().name("keys".into()).spawn(move || {
        while let Ok(event) = event::read() {
            if keys.send(ShellEvent::Event(event)).is_err() {
                return;
            }
        }
        let _ = keys.send(ShellEvent::Quit);
    })?;
    let mut signals = Signals::new([SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGCONT])?;
    let sender = send.clone();
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

/// The newest view of a source, not yet taken.
type LatestView = Arc<Mutex<Option<Arc<Snapshot>>>>;

/// Lets a source deliver. Views go through a latest in which the latest wins, so a suspended screen hoards none.
fn start_source(index: usize, source: &mut dyn Source, send: Sender<ShellEvent>) -> LatestView {
    let latest = LatestView::default();
    let filled = Arc::clone(&latest);
    source.start(Box::new(move |notice| {
        let event = match notice {
            SourceEvent::View(view) => {
                let old = filled.lock().unwrap_or_else(PoisonError::into_inner).replace(view);
                if old.is_some() {
                    return;
                }
                ShellEvent::View(index)
            }
            other => ShellEvent::SourceEvent(index, Box::new(other)),
        };
        // Nobody listens any more when this fails; the source is told by `close`.
        let _ = send.send(event);
    }));
    latest
}

struct Shell<'a> {
    sources: &'a mut [WatchedSource],
    /// Whether what is watched is in this process.
    local: bool,
    options: Options,
    latest_views: Vec<LatestView>,
    terminal: Terminal<CrosstermBackend<io::Stdout>>,
    fleet: Fleet,
    /// Where screens are saved.
    screens: PathBuf,
    /// The last picture, when it may be asked for.
    last: Option<Buffer>,
    dirty: bool,
    quit: bool,
}

impl<'a> Shell<'a> {
    fn new(sources: &'a mut [WatchedSource], options: Options, latest_views: Vec<LatestView>) -> io::Result<Self> {
        let console_history = options.history.as_deref().map_or_else(Vec::new, read_lines);
        let fleet = sources.len() > 1;
        let hellos: Vec<SourceInfo> = sources.iter().map(|watched| watched.source.hello()).collect();
        let local = hellos.iter().all(|hello| matches!(hello.link, Link::Local | Link::Recorded));
        let screens = hellos
            .first()
            .filter(|_| local)
            .map_or_else(|| screenshot::folder(&[]), |hello| screenshot::folder(&hello.facts));
        let apps = hellos.into_iter().zip(sources.iter()).map(|(hello, watched)| {
            let setup = AppOptions {
                theme: options.theme,
                keymap: options.keymap.clone(),
                screen: options.screen,
                console_history: console_history.clone(),
                label: watched.label.clone(),
                fleet,
            };
            App::new(hello, setup)
        });
        let fleet = Fleet::new(apps.collect(), options.keymap.clone(), options.theme);
        let terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
        Ok(Self {
            sources,
            local,
            options,
            latest_views,
            terminal,
            fleet,
            screens,
            last: None,
            dirty: true,
            quit: false,
        })
    }

    /// Until somebody leaves: takes what is there, then draws if anything changed, at most every [`FRAME`].
    fn run_loop(&mut self, inbox: &Receiver<ShellEvent>) -> io::Result<()> {
        let mut drawn: Option<Instant> = None;
        while !self.quit {
            if let Ok(event) = inbox.try_recv() {
                self.handle(event)?;
                continue;
            }
            if !self.dirty {
                match inbox.recv() {
                    Ok(event) => self.handle(event)?,
                    Err(_) => return Ok(()),
                }
                continue;
            }
            let early = drawn.map_or(Duration::ZERO, |drawn| FRAME.saturating_sub(drawn.elapsed()));
            if early.is_zero() {
                self.draw()?;
                drawn = Some(Instant::now());
                continue;
            }
            match inbox.recv_timeout(early) {
                Ok(event) => self.handle(event)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
        Ok(())
    }

    fn draw(&mut self) -> io::Result<()> {
        let fleet = &mut self.fleet;
        let picture = self.terminal.draw(|frame| fleet.draw(frame))?;
        if self.options.keep_last_screen {
            self.last = Some(picture.buffer.clone());
        }
        self.dirty = false;
        Ok(())
    }

    fn handle(&mut self, event: ShellEvent) -> io::Result<()> {
        let message = match event {
            ShellEvent::Event(Event::Key(key)) => Message::Key(key),
            ShellEvent::Event(Event::Mouse(mouse)) => {
                if matches!(mouse.kind, event::MouseEventKind::Moved | event::MouseEventKind::Up(_)) {
                    return Ok(());
                }
                Message::Mouse(mouse)
            }
            ShellEvent::Event(Event::Paste(text)) => Message::Paste(text),
            ShellEvent::Event(Event::Resize(..)) => {
                self.dirty = true;
                return Ok(());
            }
            ShellEvent::Event(_) => return Ok(()),
            // A town in this process that has ended leaves nothing to look at; why is told when it is closed.
            ShellEvent::SourceEvent(_, notice) if self.local && matches!(*notice, SourceEvent::Ended(_)) => {
                self.quit = true;
                return Ok(());
            }
            ShellEvent::SourceEvent(index, notice) => return self.deliver(index, *notice),
            ShellEvent::View(index) => {
                let view = self.latest_views[index].lock().unwrap_or_else(PoisonError::into_inner).take();
                let Some(view) = view else { return Ok(()) };
                return self.deliver(index, SourceEvent::View(view));
            }
            ShellEvent::Suspend => return self.suspend(),
            ShellEvent::Repaint => {
                take_terminal(self.options.mouse)?;
                return self.redraw_all();
            }
            ShellEvent::Quit => {
                self.quit = true;
                return Ok(());
            }
        };
        self.update(message)
    }

    fn deliver(&mut self, index: usize, notice: SourceEvent) -> io::Result<()> {
        self.dirty = true;
        let tasks = self.fleet.deliver(index, Message::SourceEvent(notice));
        self.carry_out(tasks)
    }

    /// Tells whoever is on screen, and does what it asks for.
    fn update(&mut self, message: Message) -> io::Result<()> {
        self.dirty = true;
        let tasks = self.fleet.update(message);
        self.carry_out(tasks)
    }

    fn carry_out(&mut self, tasks: Vec<(usize, Task)>) -> io::Result<()> {
        for (index, task) in tasks {
            match task {
                Task::Send(request, purpose) => {
                    let cmd_id = self.sources[index].source.send(request);
                    self.fleet.deliver(index, Message::Sent(cmd_id, purpose));
                }
                // The fleet has taken it already.
                Task::ShowFleet => {}
                Task::Copy(text) => {
                    write!(stdout(), "\x1b]52;c;{}\x07", base64(text.as_bytes()))?;
                    stdout().flush()?;
                }
                Task::Save(tick) => {
                    let said = self.save(tick);
                    self.fleet.update(Message::Status(said));
                }
                Task::Remember(line) => {
                    if let Some(Err(error)) = self.options.history.as_deref().map(|file| append(file, &line)) {
                        self.fleet.update(Message::Status(format!("the line is not kept for next time: {error}")));
                    }
                }
                Task::Suspend => self.suspend()?,
                Task::Quit => self.quit = true,
            }
        }
        Ok(())
    }

    fn suspend(&mut self) -> io::Result<()> {
        restore_terminal();
        signal_hook::low_level::raise(SIGSTOP)?;
        take_terminal(self.options.mouse)?;
        self.redraw_all()
    }

    /// Draws every cell next time. `Terminal::clear` would ask the terminal where its cursor is, and the answer would go
    /// to the thread that reads keys.
    fn redraw_all(&mut self) -> io::Result<()> {
        self.dirty = true;
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }

    fn save(&mut self, tick: u64) -> String {
        let fleet = &mut self.fleet;
        let picture = match self.terminal.draw(|frame| fleet.draw(frame)) {
            Ok(picture) => picture.buffer.clone(),
            Err(error) => return format!("the screen was not saved: {error}"),
        };
        let svg = screenshot::svg(&picture, self.options.theme.name == "light");
        match write_screen(&self.screens, tick, &screenshot::text(&picture), &svg) {
            Ok(file) => format!("saved {} and .svg", file.display()),
            Err(error) => format!("the screen was not saved in {}: {error}", self.screens.display()),
        }
    }
}

/// Writes text and picture under the first name of this tick that is free, so that nothing is replaced. The text's file.
fn write_screen(folder: &Path, tick: u64, text: &str, svg: &str) -> io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let mut count = 1_u32;
    loop {
        let file = folder.join(screenshot::name(tick, count));
        match std::fs::File::create_new(&file) {
            Ok(mut created) => {
                created.write_all(text.as_bytes())?;
                std::fs::write(file.with_extension("svg"), svg)?;
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => count += 1,
            Err(error) => return Err(error),
        }
    }
}

/// The lines of the history file; a missing or unreadable one has none.
pub fn read_lines(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(input_history::MAX_LINES)..].iter().map(|line| (*line).to_owned()).collect()
}

/// Writes a line to the history file, which only its owner can read.
///
/// # Errors
/// What the system says.
pub fn append(file: &Path, line: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    writeln!(options.open(file)?, "{line}")
}

/// Base64, as OSC 52 wants what goes to the clipboard.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for index in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * index)) as usize & 63] as char;
            text.push(if index <= three.len() { letter } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_standard_one() {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn two_screens_of_one_tick_are_two_files() {
        let folder = tempfile::tempdir().unwrap();
        let screens = folder.path().join("runs/screens");
        let first = write_screen(&screens, 3_402, "one", "<svg/>").unwrap();
        let second = write_screen(&screens, 3_402, "two", "<svg/>").unwrap();
        assert_eq!(first, screens.join("townlet-screen-3402-1.txt"));
        assert_eq!(second, screens.join("townlet-screen-3402-2.txt"));
        assert_eq!(std::fs::read_to_string(first).unwrap(), "one");
        assert_eq!(std::fs::read_to_string(second.with_extension("svg")).unwrap(), "<svg/>");
    }

    #[test]
    fn lines_typed_are_had_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state/history");
        assert!(read_lines(&file).is_empty());
        append(&file, "kpi").unwrap();
        append(&file, "employment_status").unwrap();
        assert_eq!(read_lines(&file), ["kpi", "employment_status"]);
    }
}
