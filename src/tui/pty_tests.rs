//! The interface through a real pseudo-terminal: keys and signals in, screen out, the terminal given back.
//!
//! The test program starts itself again as the child that runs the interface, so no other program is needed.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use super::fixtures::{done, hello, snapshot};
use super::keymap::Keymap;
use super::pane::Screen;
use super::terminal::{Options, WatchedSource, run};
use super::theme::Theme;
use townlet_source::{Source, SourceEvent, SourceInfo};
use townlet_wire::{Request, Role};

/// Set for the child.
const CHILD: &str = "TOWNLET_TEST_PTY_CHILD";
/// Nothing here takes this long; it only turns a hang into a failure.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A town that stands still and does what it is told.
#[derive(Default)]
struct StaticSource {
    deliver: Option<Box<dyn Fn(SourceEvent) + Send + Sync>>,
    /// Never done closing.
    hangs_on_close: bool,
}

impl Source for StaticSource {
    fn hello(&self) -> SourceInfo {
        hello(Role::Admin)
    }

    fn start(&mut self, deliver: Box<dyn Fn(SourceEvent) + Send + Sync>) {
        deliver(SourceEvent::View(Arc::new(snapshot())));
        self.deliver = Some(deliver);
    }

    fn send(&mut self, request: Request) -> String {
        assert!(request.command != "fall", "the floor is gone");
        self.hangs_on_close |= request.command == "linger";
        let answer = done("id-1", &request.command, "it is done");
        self.deliver.as_ref().expect("it was started")(SourceEvent::Answer(answer));
        "id-1".into()
    }

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

/// Not a test of its own: the program that the tests below look at.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let options = Options {
        theme: Theme::named("dark", true).unwrap(),
        mouse: true,
        keymap: Keymap::default(),
        history: None,
        screen: Screen::Operations,
        keep_last_screen: true,
    };
    let farewell = run(vec![WatchedSource::new(StaticSource::default())], options).unwrap();
    println!("{farewell}");
}

/// A terminal with the child in it.
struct PtySession {
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    bytes: Receiver<Vec<u8>>,
    terminal: vt100::Parser,
}

impl PtySession {
    fn open() -> Self {
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
        command.args(["--exact", "tui::pty_tests::child", "--nocapture"]);
        command.env(CHILD, "1");
        command.env("TERM", "xterm-256color");
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
        let mut pty =
            Self { master: pair.master, keys, child, bytes, terminal: vt100::Parser::new(cells(24), cells(80), 200) };
        pty.until("the first screen", |screen| screen.alternate_screen() && screen.contents().contains("Employment"));
        pty
    }

    /// Reads until the screen is as wanted.
    #[track_caller]
    fn until(&mut self, what: &str, wanted: impl Fn(&vt100::Screen) -> bool) {
        while !wanted(self.terminal.screen()) {
            match self.bytes.recv_timeout(TIMEOUT) {
                Ok(bytes) => self.terminal.process(&bytes),
                Err(why) => panic!("{what} did not come ({why}):\n{}", self.terminal.screen().contents()),
            }
        }
    }

    /// Waits until the child is gone; whether it ended well.
    #[track_caller]
    fn ended_well(&mut self) -> bool {
        loop {
            match self.bytes.recv_timeout(TIMEOUT) {
                Ok(bytes) => self.terminal.process(&bytes),
                Err(RecvTimeoutError::Timeout) => panic!("it does not end:\n{}", self.terminal.screen().contents()),
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

    /// The terminal is as it was before.
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
fn keys_work_and_q_gives_the_terminal_back() {
    let mut pty = PtySession::open();
    pty.press("d");
    pty.until("the answer", contains("it is done"));
    pty.press("U");
    pty.until("the queues", contains("┏ Queues"));
    pty.press("q");
    pty.until("the farewell", contains("the town is saved"));
    pty.terminal_restored();
    assert!(pty.ended_well());
}

#[test]
fn the_window_may_change_its_size() {
    let mut pty = PtySession::open();
    pty.terminal.screen_mut().set_size(cells(12), cells(40));
    pty.master.resize(PtySize { rows: 12, cols: 40, pixel_width: 0, pixel_height: 0 }).unwrap();
    pty.until("the complaint", contains("40 × 12 is too small"));
    pty.terminal.screen_mut().set_size(cells(40), cells(120));
    pty.master.resize(PtySize { rows: 40, cols: 120, pixel_width: 0, pixel_height: 0 }).unwrap();
    pty.until("all panes", contains("Alerts and story"));
    pty.press("q");
    pty.terminal_restored();
}

#[test]
fn a_signal_to_end_gives_the_terminal_back() {
    for signal in ["TERM", "HUP"] {
        let mut pty = PtySession::open();
        pty.signal(signal);
        pty.until("the farewell", contains("the town is saved"));
        pty.terminal_restored();
    }
}

#[test]
fn a_panic_gives_the_terminal_back_and_is_told() {
    let mut pty = PtySession::open();
    pty.press(":");
    pty.until("the console line", contains("tab completes"));
    pty.press("fall\r");
    pty.until("the panic", contains("the floor is gone"));
    pty.terminal_restored();
    assert!(!pty.ended_well());
}

#[test]
fn a_source_that_does_not_close_can_be_interrupted() {
    let mut pty = PtySession::open();
    pty.press(":");
    pty.until("the console line", contains("tab completes"));
    pty.press("linger\r");
    pty.until("the answer", contains("it is done"));
    pty.press("q\r");
    pty.until("the source", contains("still saving"));
    pty.terminal_restored();
    pty.signal("INT");
    assert!(!pty.ended_well());
}
