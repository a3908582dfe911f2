//! `townlet serve` as a process: started on a free port, read line by line, signalled, killed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use super::pty_session::{BINARY, TIMEOUT};

/// `townlet serve` with its lines.
pub(crate) struct Server {
    child: Child,
    lines: Receiver<String>,
    url: String,
    said: tempfile::NamedTempFile,
}

impl Server {
    #[track_caller]
    pub(crate) fn start(home: &Path, args: &[&str]) -> Self {
        Self::start_in(home, args, &[])
    }

    /// With these variables around it.
    #[track_caller]
    pub(crate) fn start_in(home: &Path, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let said = tempfile::NamedTempFile::new().expect("a file");
        let mut child = Command::new(BINARY)
            .arg("serve")
            .args(args)
            .current_dir(home)
            .env_clear()
            .env("HOME", home)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(said.reopen().expect("the file"))
            .spawn()
            .expect("the program starts");
        let out = child.stdout.take().expect("its output");
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let mut server = Self { child, lines, url: String::new(), said };
        let line = server.line();
        line.rsplit(' ').next().expect("an address").clone_into(&mut server.url);
        assert!(server.url.starts_with("http://127.0.0.1:"), "{line}");
        server
    }

    #[track_caller]
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(TIMEOUT).expect("a line")
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The id of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("its status");
    }

    /// It has died of a signal by itself.
    #[cfg(feature = "failpoints")]
    #[track_caller]
    pub(crate) fn died(mut self) {
        assert_eq!(self.child.wait().expect("its status").code(), None);
    }

    /// Has a shell run this with its id as `$1`.
    #[track_caller]
    pub(crate) fn signal(&self, line: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("sh").args(["-c", line, "sh", &id]).status().expect("a shell runs").success());
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.said.path()).expect("what it said")
    }

    /// What it ended with, and what it said on the way.
    #[cfg(feature = "failpoints")]
    #[track_caller]
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        // Its lines end when it does, and not before.
        let over = std::sync::mpsc::RecvTimeoutError::Disconnected;
        while self.lines.recv_timeout(TIMEOUT).map_err(|end| assert_eq!(end, over)).is_ok() {}
        let status = self.child.wait().expect("its status").code();
        (status, self.said())
    }

    /// Asked to stop, it saves the town.
    #[track_caller]
    pub(crate) fn terminate(mut self) {
        self.signal("kill -TERM $1");
        let line = self.line();
        assert!(line.contains("stopped at tick") && line.contains("snapshot"), "{line}");
        assert_eq!(self.child.wait().expect("its status").code(), Some(0), "{}", self.said());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that failed leaves nothing running.
        drop(self.child.kill());
    }
}
