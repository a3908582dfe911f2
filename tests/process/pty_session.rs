//! Test harness: the binary in a pseudo-terminal. It waits by reading the output, never by sleeping.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use townlet_audit::{Record, records};

use super::kit::wait_until;

/// Nothing here takes this long; it only turns a hang into a failure.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(1);

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_townlet");

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Every record in a home's audit log.
#[track_caller]
pub(crate) fn log_of(home: &Path) -> Vec<Record> {
    let mut all = Vec::new();
    records(&home.join("logs/console"), |_, _, record| {
        all.extend(record);
        Ok(())
    })
    .expect("the audit log is read");
    all
}

/// A terminal with the program in it.
pub(crate) struct PtySession {
    /// `None` once the window is closed.
    master: Option<Box<dyn MasterPty + Send>>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    bytes: Receiver<Vec<u8>>,
    terminal: vt100::Parser,
    /// Everything the program has written.
    pub(crate) written: Vec<u8>,
}

const fn size((columns, rows): (u16, u16)) -> PtySize {
    PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }
}

fn cells(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).expect("a terminal has rows and columns")
}

impl PtySession {
    /// Starts the program in a terminal of `columns` by `rows`, with `home` as every folder it may know of. Its user has seen
    /// the first-run hint.
    pub(crate) fn start(home: &Path, cells_of: (u16, u16), args: &[&str], environment: &[(&str, &str)]) -> Self {
        let state = home.join("townlet");
        std::fs::create_dir_all(&state).expect("a folder");
        std::fs::write(state.join("hint_seen"), "").expect("a file");
        let pair = native_pty_system().openpty(size(cells_of)).expect("a pseudo-terminal");
        let mut command = CommandBuilder::new(BINARY);
        command.args(args);
        command.cwd(home);
        command.env_clear();
        for name in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"] {
            command.env(name, home);
        }
        command.env("USER", "ada");
        command.env("TERM", "xterm-256color");
        for (name, value) in environment {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).expect("the program starts");
        let keys = pair.master.take_writer().expect("keys");
        let mut reader = pair.master.try_clone_reader().expect("a screen");
        let (send, bytes) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 16_384];
            // Linux answers with an error once the other side is gone.
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if send.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let terminal = vt100::Parser::new(cells(cells_of.1), cells(cells_of.0), 2_000);
        Self { master: Some(pair.master), keys, child, bytes, terminal, written: Vec::new() }
    }

    /// The screen as it is by what was read.
    pub(crate) fn screen(&self) -> &vt100::Screen {
        self.terminal.screen()
    }

    /// The text on the screen.
    pub(crate) fn text(&self) -> String {
        self.terminal.screen().contents()
    }

    /// Reads until the screen is as wanted.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, wanted: impl Fn(&vt100::Screen) -> bool) {
        let late = Instant::now() + TIMEOUT;
        while !wanted(self.terminal.screen()) {
            match self.bytes.recv_timeout(late.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.take(&bytes),
                Err(why) => panic!("{what} did not come ({why}):\n{}", self.text()),
            }
        }
    }

    /// Reads until the screen shows a text.
    #[track_caller]
    pub(crate) fn shows(&mut self, text: &str) {
        self.until(text, |screen| screen.contents().contains(text));
    }

    /// Reads until the screen shows a text no longer.
    #[track_caller]
    pub(crate) fn hides(&mut self, text: &str) {
        self.until(&format!("a screen without {text}"), |screen| !screen.contents().contains(text));
    }

    /// Opens and closes the help: what was drawn before stands on the screen then, down to its last row.
    #[track_caller]
    pub(crate) fn wait_until_still(&mut self) {
        self.press("?");
        self.shows("to search");
        self.press("\u{1b}");
        self.hides("to search");
    }

    fn take(&mut self, bytes: &[u8]) {
        self.written.extend_from_slice(bytes);
        self.terminal.process(bytes);
        // Asked where its cursor is, a terminal says so.
        if bytes.windows(4).any(|asked| asked == b"\x1b[6n") {
            let (row, column) = self.terminal.screen().cursor_position();
            self.press(&format!("\u{1b}[{};{}R", row + 1, column + 1));
        }
    }

    /// Waits until the program is gone; its exit status.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> u32 {
        let late = Instant::now() + TIMEOUT;
        loop {
            match self.bytes.recv_timeout(late.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.take(&bytes),
                Err(RecvTimeoutError::Timeout) => panic!("it does not end:\n{}", self.text()),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().expect("its status").exit_code(),
            }
        }
    }

    /// Types.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("the program reads");
    }

    /// Opens the console line, types a command and sends it, which closes the line.
    #[track_caller]
    pub(crate) fn command(&mut self, line: &str) {
        self.press(":");
        self.shows("tab complete");
        self.press(&format!("{line}\r"));
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.process_id().expect("it runs").to_string();
        let kill = format!("kill -{name} {id}");
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell runs").success());
    }

    /// The program has been stopped by job control, as the system tells it; a signal to go on before that is lost.
    #[track_caller]
    pub(crate) fn stopped(&self) {
        let id = self.child.process_id().expect("it runs").to_string();
        let late = Instant::now() + TIMEOUT;
        loop {
            // The state stands behind the name in brackets; where there is no /proc, `ps` knows it.
            let state = if let Ok(stat) = std::fs::read_to_string(format!("/proc/{id}/stat")) {
                stat.rsplit(") ").next().unwrap_or_default().to_owned()
            } else {
                let output = Command::new("ps").args(["-o", "stat=", "-p", &id]).output().expect("ps runs").stdout;
                String::from_utf8_lossy(&output).trim_start().to_owned()
            };
            if state.starts_with('T') {
                return;
            }
            assert!(Instant::now() < late, "it does not stop");
        }
    }

    /// The window becomes another size.
    pub(crate) fn resize(&mut self, (columns, rows): (u16, u16)) {
        self.terminal.screen_mut().set_size(cells(rows), cells(columns));
        let master = self.master.as_ref().expect("an open window");
        master.resize(size((columns, rows))).expect("a window may be resized");
    }

    /// Sends SIGHUP again and again; the exit status of the program.
    #[track_caller]
    pub(crate) fn hung_up_until_ended(&mut self) -> u32 {
        let id = self.child.process_id().expect("it runs").to_string();
        let mut status = None;
        wait_until("the program ends", || {
            // Fails once the program has ended.
            let _ = Command::new("kill").args(["-HUP", &id]).stderr(Stdio::null()).status();
            status = self.child.try_wait().expect("its status");
            status.is_some()
        });
        status.expect("it has ended").exit_code()
    }

    /// Closes the window, as its user does with the mouse; the exit status of the program.
    #[track_caller]
    pub(crate) fn closed(&mut self) -> u32 {
        self.master = None;
        self.keys = Box::new(std::io::sink());
        // The thread that reads the screen ends with the next bytes.
        self.bytes = channel().1;
        let mut status = None;
        wait_until("the program ends", || {
            status = self.child.try_wait().expect("its status");
            status.is_some()
        });
        status.expect("it has ended").exit_code()
    }

    /// The terminal is as it was before: main screen, cursor, no mouse, no bracketed paste.
    #[track_caller]
    pub(crate) fn terminal_restored(&mut self) {
        self.until("the terminal", |screen| !screen.alternate_screen() && !screen.hide_cursor());
        let screen = self.terminal.screen();
        assert!(!screen.bracketed_paste());
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
    }
}

impl Drop for PtySession {
    fn drop(&mut self) {
        // A test that failed leaves nothing running.
        drop(self.child.kill());
    }
}
