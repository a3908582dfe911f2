//! The interface in a real pseudo-terminal: keys, signals, panics and loading, and that the terminal is restored.
//!
//! The test binary starts itself again as the child that runs the interface.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use jiff::tz::TimeZone;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use super::capabilities::Capabilities;
use super::fixtures::{done, hello, snapshot};
use super::keymap::Keymap;
use super::pane::{ReasonPrompt, Screen};
use super::settings::Settings;
use super::terminal::{Options, TerminalSession, WatchedSource};
use super::theme::Theme;
use townlet_source::{AuditPageRequest, Link, Source, SourceEvent, SourceInfo, UnconfirmedCommand};
use townlet_wire::{Request, Role};

/// Environment variable that tells the child how to load: `ready`, `silent`, `fails` or `hangs`.
const CHILD: &str = "TOWNLET_TEST_PTY_CHILD";
/// The child's file of the console history.
const HISTORY: &str = "TOWNLET_TEST_PTY_HISTORY";
/// Turns a hang into a failure; far longer than any step takes.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A town that does not move and accepts every command.
#[derive(Default)]
struct StaticSource {
    deliver: Option<Box<dyn Fn(SourceEvent) + Send + Sync>>,
    /// `close` never returns.
    hangs_on_close: bool,
    /// It has a command without an answer, and publishes a state again and again.
    is_silent: bool,
}

impl Source for StaticSource {
    fn hello(&self) -> SourceInfo {
        hello(Role::Admin)
    }

    fn start(&mut self, deliver: Box<dyn Fn(SourceEvent) + Send + Sync>) {
        deliver(SourceEvent::View(Arc::new(snapshot())));
        if !self.is_silent {
            self.deliver = Some(deliver);
            return;
        }
        let (url, why) = ("http://x".to_owned(), "connection refused".to_owned());
        let silent_seconds = Some(9);
        let link = Link::Reconnecting { url, in_seconds: 1, silent_seconds, denied: false, stopped: false, why };
        deliver(SourceEvent::Link(link));
        let command = UnconfirmedCommand {
            cmd_id: "id-7".into(),
            command: "price meal 5".into(),
            seconds: 9,
            retrying: true,
            maybe_received: false,
            expires_in: None,
            why: "connection refused".into(),
        };
        deliver(SourceEvent::Unconfirmed(vec![command]));
        std::thread::spawn(move || {
            let (_kept, never) = channel::<()>();
            while never.recv_timeout(Duration::from_millis(20)).is_err() {
                deliver(SourceEvent::View(Arc::new(snapshot())));
            }
        });
    }

    fn send(&mut self, request: Request) -> String {
        assert!(request.command != "panic", "the source failed");
        self.hangs_on_close |= request.command == "hang";
        let answer = done("id-1", &request.command, "command executed");
        self.deliver.as_ref().expect("the source was started")(SourceEvent::Answer(answer));
        "id-1".into()
    }

    fn load_audit_page(&mut self, _request: AuditPageRequest) {}

    fn close(&mut self) -> String {
        if self.hangs_on_close {
            println!("still saving");
            loop {
                std::thread::park();
            }
        }
        "the town is saved".into()
    }
}

/// The child process of the tests below; does nothing when run as a test.
#[test]
fn child() {
    let Ok(loading) = std::env::var(CHILD) else { return };
    let theme = Theme::named("dark", true).unwrap();
    let options = Options {
        settings: Settings { reason: ReasonPrompt::Optional, ..Settings::with_theme(theme) },
        save_settings: None,
        local_zone: TimeZone::UTC,
        hint_seen: None,
        webhook: None,
        capabilities: Capabilities::FULL,
        keymap: Keymap::default(),
        history: std::env::var_os(HISTORY).map(Into::into),
        layouts: None,
        bookmarks: None,
        screen: Screen::Operations,
        keep_last_screen: true,
    };
    let mut session = TerminalSession::open(options).unwrap();
    let load = move || match loading.as_str() {
        "ready" => StaticSource::default(),
        "silent" => StaticSource { is_silent: true, ..StaticSource::default() },
        "fails" => panic!("the town cannot be built"),
        _ => loop {
            std::thread::park();
        },
    };
    let Some(source) = session.load("Building the town", load).unwrap() else {
        drop(session);
        println!("cancelled");
        std::process::exit(3);
    };
    println!("{}", session.run(vec![WatchedSource::new(source)]).unwrap());
}

/// A pseudo-terminal that runs the child.
struct PtySession {
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    bytes: Receiver<Vec<u8>>,
    terminal: vt100::Parser,
}

impl PtySession {
    /// With the interface on screen.
    fn open() -> Self {
        let mut pty = Self::start("ready");
        pty.until("the first screen", |screen| screen.alternate_screen() && screen.contents().contains("Employment"));
        pty
    }

    fn start(loading: &str) -> Self {
        Self::start_with(loading, |_| {})
    }

    fn start_with(loading: &str, change: impl FnOnce(&mut CommandBuilder)) -> Self {
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
        command.args(["--exact", "pty_tests::child", "--nocapture"]);
        command.env(CHILD, loading);
        command.env("TERM", "xterm-256color");
        change(&mut command);
        let child = pair.slave.spawn_command(command).unwrap();
        let keys = pair.master.take_writer().unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (send, bytes) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if send.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { master: pair.master, keys, child, bytes, terminal: vt100::Parser::new(cells(24), cells(80), 200) }
    }

    /// Reads until `wanted` holds.
    #[track_caller]
    fn until(&mut self, what: &str, wanted: impl Fn(&vt100::Screen) -> bool) {
        while !wanted(self.terminal.screen()) {
            match self.bytes.recv_timeout(TIMEOUT) {
                Ok(bytes) => self.terminal.process(&bytes),
                Err(why) => panic!("{what} did not appear ({why}):\n{}", self.terminal.screen().contents()),
            }
        }
    }

    /// Waits until the child has exited. Returns whether its status is 0.
    #[track_caller]
    fn exited_successfully(&mut self) -> bool {
        loop {
            match self.bytes.recv_timeout(TIMEOUT) {
                Ok(bytes) => self.terminal.process(&bytes),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("the child does not exit:\n{}", self.terminal.screen().contents())
                }
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap().success(),
            }
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    fn signal(&self, name: &str) {
        let pid = self.child.process_id().unwrap().to_string();
        assert!(Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap().success());
    }

    /// Asserts that the terminal is in its initial state.
    #[track_caller]
    fn terminal_restored(&mut self) {
        self.until("the terminal", |screen| !screen.alternate_screen() && !screen.hide_cursor());
        let screen = self.terminal.screen();
        assert!(!screen.bracketed_paste());
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
    }
}

impl Drop for PtySession {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

const fn cells(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

fn contains(text: &'static str) -> impl Fn(&vt100::Screen) -> bool {
    move |screen| screen.contents().contains(text)
}

#[test]
fn keys_work_and_q_restores_the_terminal() {
    let mut pty = PtySession::open();
    pty.press("d");
    pty.until("the answer", contains("command executed"));
    pty.press("U");
    pty.until("the queues", contains("┏ Queues"));
    pty.press("q");
    pty.until("the closing line", contains("the town is saved"));
    pty.terminal_restored();
    assert!(pty.exited_successfully());
}

#[test]
fn the_screen_follows_window_size_changes() {
    let mut pty = PtySession::open();
    pty.terminal.screen_mut().set_size(cells(12), cells(40));
    pty.master.resize(PtySize { rows: 12, cols: 40, pixel_width: 0, pixel_height: 0 }).unwrap();
    pty.until("the size message", contains("40 × 12 is too small"));
    pty.terminal.screen_mut().set_size(cells(40), cells(120));
    pty.master.resize(PtySize { rows: 40, cols: 120, pixel_width: 0, pixel_height: 0 }).unwrap();
    pty.until("all panes", contains("Alerts and events"));
    pty.press("q");
    pty.terminal_restored();
}

#[test]
fn termination_signals_restore_the_terminal() {
    for signal in ["TERM", "HUP"] {
        let mut pty = PtySession::open();
        pty.signal(signal);
        pty.until("the closing line", contains("the town is saved"));
        pty.terminal_restored();
    }
}

#[test]
fn a_panic_restores_the_terminal_and_is_reported() {
    let mut pty = PtySession::open();
    pty.press(":");
    pty.until("the console line", contains("tab complete"));
    pty.press("panic\r");
    pty.until("the panic", contains("the source failed"));
    pty.terminal_restored();
    assert!(!pty.exited_successfully());
}

#[test]
fn a_source_that_hangs_on_close_can_be_interrupted() {
    let mut pty = PtySession::open();
    pty.press(":");
    pty.until("the console line", contains("tab complete"));
    pty.press("hang\r");
    pty.until("the answer", contains("command executed"));
    pty.press("q\r");
    pty.until("the source", contains("still saving"));
    pty.terminal_restored();
    pty.signal("INT");
    assert!(!pty.exited_successfully());
}

#[test]
fn loading_shows_a_message_and_does_not_echo_keys() {
    for (key, name) in [("q", "q"), ("\u{3}", "ctrl-c")] {
        let mut pty = PtySession::start("hangs");
        pty.until("the loading message", contains("Building the town"));
        pty.press("xyxy");
        pty.until("the elapsed time", contains("1 s ·"));
        assert!(!pty.terminal.screen().contents().contains('x'), "{}", pty.terminal.screen().contents());
        pty.press(key);
        pty.until(name, contains("cancelled"));
        pty.terminal_restored();
        assert!(!pty.exited_successfully());
    }
}

#[test]
fn termination_signals_cancel_loading() {
    let mut pty = PtySession::start("hangs");
    pty.until("the loading message", contains("Building the town"));
    pty.signal("TERM");
    pty.until("the exit", contains("cancelled"));
    pty.terminal_restored();
}

#[test]
fn a_panic_while_loading_restores_the_terminal() {
    let mut pty = PtySession::start("fails");
    pty.until("the panic", contains("the town cannot be built"));
    pty.terminal_restored();
    assert!(!pty.exited_successfully());
}

#[test]
fn a_terminal_that_goes_away_leaves_the_note_of_what_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("history");
    let mut pty = PtySession::start_with("silent", |command| {
        command.env(HISTORY, &history);
        // The loss is seen by the next frame alone, without a signal.
        command.set_controlling_tty(false);
    });
    pty.until("the unconfirmed command", |screen| screen.contents().contains("1 not confirmed"));
    let other = native_pty_system().openpty(PtySize::default()).unwrap();
    pty.master = other.master;
    pty.keys = Box::new(std::io::sink());
    pty.bytes = channel().1;
    assert!(!pty.child.wait().unwrap().success(), "the terminal is gone");
    assert_eq!(std::fs::read_to_string(history).unwrap(), "price meal 5 # given up id-7\n");
}
