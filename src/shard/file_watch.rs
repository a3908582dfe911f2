//! Files that somebody else changes while the shard runs: what is checked, and the alerts about it.
//!
//! The writers of audit log and journal check their files themselves, before anything is acknowledged. The other files are checked
//! four times a second on the disk thread. What happened to a log stands as an alert until it is acknowledged; the others stand for as
//! long as the file is not as it was left. Rule: "Files that change under the program".

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use townlet_audit::Log;
use townlet_wire::telemetry::Alert;

use super::Handle;
use super::engine::{Engine, Message};
use super::home::ShardLock;
use super::journal::Journal;
use super::promotion::PointerOnDisk;

/// Alerts that stand until they are acknowledged.
const AUDIT: &str = "audit_disturbed";
const JOURNAL: &str = "journal_disturbed";

/// How often the files are checked.
const CHECK_EVERY: Duration = Duration::from_millis(250);

/// The files that are checked from time to time.
pub(super) struct WatchedFiles {
    lock: Option<Arc<ShardLock>>,
    tokens: Option<Arc<TokenFile>>,
    /// What is wrong with them: the alert's name, the message and the hint.
    found: Vec<Finding>,
    checking: bool,
    checked: Instant,
    /// What was written to the program's log.
    logged: Vec<String>,
}

/// An alert's name, its message and its hint.
pub(super) type Finding = (&'static str, String, String);

impl WatchedFiles {
    /// The lock of the shard's name, if it has one, and its store of tokens.
    pub(super) fn new(lock: Option<Arc<ShardLock>>, tokens: Option<&Path>) -> Self {
        let tokens = tokens.map(|path| Arc::new(TokenFile::new(path)));
        Self { lock, tokens, found: Vec::new(), checking: false, checked: Instant::now(), logged: Vec::new() }
    }

    /// When they are to be checked.
    pub(super) fn due(&self) -> Instant {
        self.checked + CHECK_EVERY
    }
}

/// The store of tokens. Whether its content is valid is checked by the service, which reads it.
struct TokenFile {
    path: PathBuf,
    /// Whether it had tokens at some time. A shard may have none.
    had_tokens: AtomicBool,
}

impl TokenFile {
    fn new(path: &Path) -> Self {
        let had_tokens = std::fs::metadata(path).is_ok_and(|found| found.len() > 0);
        Self { path: path.to_owned(), had_tokens: AtomicBool::new(had_tokens) }
    }

    fn finding(&self) -> Option<Finding> {
        let what = match std::fs::metadata(&self.path) {
            Ok(found) if found.len() > 0 => {
                self.had_tokens.store(true, Ordering::Relaxed);
                return None;
            }
            _ if !self.had_tokens.load(Ordering::Relaxed) => return None,
            Ok(_) => "is empty",
            Err(_) => "was removed",
        };
        let message = format!("the token store {} {what}: no token is valid.", self.path.display());
        let hint = "Put the file back, or create tokens with `townlet token create`.";
        Some(("tokens_disturbed", message, hint.to_owned()))
    }
}

/// Lets the engine know when somebody else has changed a log.
pub(super) fn watch_logs(log: &Log, journal: &Journal, sender: &Sender<Message>) {
    let disturbed = || {
        let sender = sender.clone();
        move || drop(sender.send(Message::FilesDisturbed))
    };
    log.on_disturbed(disturbed());
    journal.on_disturbed(disturbed());
}

impl Handle {
    /// Begins a new segment of the audit log and ends the alerts about changed logs, as after SIGHUP. Does not wait.
    pub fn reopen_logs(&self) {
        self.send(Message::ReopenLogs);
    }
}

impl Engine {
    /// Checks the files on the disk thread. A check that hangs is not repeated.
    pub(super) fn check_files(&mut self) {
        self.files.checked = Instant::now();
        if std::mem::replace(&mut self.files.checking, true) {
            return;
        }
        let (lock, tokens) = (self.files.lock.clone(), self.files.tokens.clone());
        let pointer = self.releases.pointer_on_disk(lock.is_some());
        let job = move || {
            let lock = lock.and_then(|lock| lock.keep().err());
            let lock = lock.map(|why| {
                let hint = "Stop the other process: two shards of one name write the same files.";
                ("lock_disturbed", why, hint.to_owned())
            });
            let tokens = tokens.as_deref().and_then(TokenFile::finding);
            lock.into_iter().chain(tokens).chain(pointer.as_ref().and_then(PointerOnDisk::finding)).collect()
        };
        self.on_disk(job, |found| Message::FilesChecked(found.unwrap_or_default()));
    }

    pub(super) fn files_checked(&mut self, found: Vec<Finding>) {
        self.files.checking = false;
        if self.files.found != found {
            self.files.found = found;
            self.refresh();
        }
    }

    /// Somebody else has changed a file of a log. Begins the next segment of a journal whose bytes are lost.
    pub(super) fn files_disturbed(&mut self) {
        self.retry();
    }

    /// Active alerts about files.
    pub(super) fn file_alerts(&self) -> Vec<Alert> {
        let since_tick = self.town.tick();
        let alert = |name: &str, severity: &str, message: String, hint: &str| {
            let (name, severity, hint) = (name.into(), severity.into(), hint.into());
            Alert { name, severity, since_tick, message, hint, ..Alert::default() }
        };
        let log = |name, folder: &str, what: String| {
            let hint = format!(
                "Keep other programs, such as logrotate, away from {folder}. `alert_ack {name}` or SIGHUP ends this alert."
            );
            alert(name, "critical", format!("somebody else changed {folder}: {what}."), &hint)
        };
        let audit = self.log.disturbed().map(|what| log(AUDIT, "logs/console", what));
        let journal = self.journal.writer.disturbed().map(|what| log(JOURNAL, "logs/journal", what));
        let others = self.files.found.iter().map(|(name, message, hint)| alert(name, "warning", message.clone(), hint));
        audit.into_iter().chain(journal).chain(others).collect()
    }

    /// Writes news about files to the program's log.
    pub(super) fn log_file_alerts(&mut self, alerts: &[Alert]) {
        let messages: Vec<String> = alerts.iter().map(|alert| format!("{}: {}", alert.name, alert.message)).collect();
        if messages == self.files.logged {
            return;
        }
        let news: Vec<String> =
            messages.iter().filter(|message| !self.files.logged.contains(message)).cloned().collect();
        self.files.logged = messages;
        let log = self.recorder.log.clone();
        self.disk.run(move || news.iter().for_each(|line| log.write(line)));
    }

    /// Ends an alert about a log that was acknowledged.
    pub(super) fn acknowledge_file_alert(&self, name: &str) {
        match name {
            AUDIT => self.log.acknowledge_disturbance(),
            JOURNAL => self.journal.writer.acknowledge_disturbance(),
            _ => {}
        }
    }

    /// Begins a segment of the audit log, and ends the alerts about the logs.
    pub(super) fn reopen_logs(&mut self) {
        self.log.begin_segment();
        for name in [AUDIT, JOURNAL] {
            self.acknowledge_file_alert(name);
        }
        self.refresh();
    }
}
