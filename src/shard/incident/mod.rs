//! Incidents: what is kept when something goes wrong, so that nobody has to be there. A bundle of everything that explains
//! it, and a note for the operators, under `ops/incidents/<id>/`.
//!
//! Owns names, when one is made by itself, and how many are kept. What goes in stands in `gather`, who notices in `watchdog`
//! and `panics`. Whatever a shard does by itself and wants kept, such as a rollback, goes through `Engine::incident` with an
//! `IncidentTrigger` whose sections the note shows. Rule: "Incidents".

mod bundle;
mod collect;
mod diagnostics;
mod note;
mod panics;
mod redaction;
mod replay;
mod system_info;
#[cfg(test)]
mod tests;
mod timeline;
mod watchdog;

pub(super) use collect::Run;
pub(super) use diagnostics::{Diagnostics, Given, Phase, TOWN, Watched};
pub(super) use panics::{register_thread, said};
pub(super) use watchdog::{Watchdog, hanging};

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::home::{Home, replace};
use super::journal::{FrameReader, Journal};
use super::log::Log;
use super::table::listed;
use diagnostics::Fault;
use townlet_wire::Snapshot;

/// Bundles kept; of an older incident the note alone stays.
const KEPT: usize = 20;
/// For so long a run's further incident of one kind is a line in the note of the first.
const QUIET: Duration = Duration::from_mins(10);
/// Bundles made without being asked for in that time, of all runs in a home.
const MAX_AUTOMATIC: usize = 6;
/// How long reading and playing a journal may take for a bundle.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Lines that a note grows by.
const MAX_REPEAT_LINES: usize = 50;
/// A bundle's name in its incident's folder.
const BUNDLE: &str = "bundle.tar.zst";
/// What is known of an incident, for programs.
const RECORD: &str = "incident.json";

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A thread panicked.
    Crash,
    /// A tick did not end.
    Hang,
    /// A release was taken back, by hand or by itself.
    Rollback,
    /// Somebody asked.
    Asked,
}

impl Kind {
    /// As part of an id.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Rollback => "rollback",
            Self::Asked => "asked",
        }
    }

    /// The tag of its note, such as `ops/crash`.
    pub fn tag(self) -> String {
        format!("ops/{}", self.word())
    }
}

/// What a shard that lives can say of itself.
#[derive(Clone, Debug)]
pub(super) struct Now {
    /// Ticks behind it; the journal has been told of all of them.
    pub(super) tick: u64,
    /// Its digest then.
    pub(super) digest: String,
}

/// Why a bundle is made, and what only the shard knew.
#[derive(Clone, Debug)]
pub(super) struct IncidentTrigger {
    pub(super) kind: Kind,
    /// In a sentence.
    pub(super) headline: String,
    /// Who asked for it, and why.
    pub(super) asked: Option<(String, String)>,
    /// The town, where it can still be asked.
    pub(super) now: Option<Now>,
    /// The last state.
    pub(super) view: Option<Arc<Snapshot>>,
    /// The panic or the hang.
    pub(super) fault: Option<Fault>,
    /// Further sections of the note, in Markdown.
    pub(super) sections: String,
    /// Further items, by name: text.
    pub(super) attachments: Vec<(String, Vec<u8>)>,
}

impl IncidentTrigger {
    /// Something of this kind, in a sentence.
    pub(super) fn new(kind: Kind, headline: impl Into<String>) -> Self {
        Self {
            kind,
            headline: headline.into(),
            asked: None,
            now: None,
            view: None,
            fault: None,
            sections: String::new(),
            attachments: Vec::new(),
        }
    }
}

/// An incident as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Incident {
    /// Time and kind: later ones sort later.
    pub id: String,
    /// What happened.
    pub kind: Kind,
    /// RFC 3339, UTC.
    pub ts: String,
    /// The run.
    pub run_id: String,
    /// The shard.
    pub shard: String,
    /// In a sentence.
    pub headline: String,
    /// The bundle; relative to the home when it is inside.
    pub bundle: String,
    /// Bytes of it.
    pub bytes: u64,
    /// The tick that its replay leads to, and the digest there.
    pub replay: Option<(u64, String)>,
    /// What it could not get, `item: why`.
    pub lacking: Vec<String>,
    /// Whether somebody asked for it, or for what it tells of.
    #[serde(default)]
    asked: bool,
    /// The panic or the hang.
    #[serde(default)]
    fault: Option<Fault>,
}

/// The newest panic or hang of a run that was kept.
fn latest_fault(home: &Home, run_id: &str) -> Option<Fault> {
    let of_run = |incident: &Incident| incident.run_id == run_id;
    kept(home).into_iter().rev().filter(of_run).find_map(|incident| incident.fault)
}

/// Every incident of a home, oldest first.
pub fn kept(home: &Home) -> Vec<Incident> {
    folders(home).iter().filter_map(|folder| record(folder).ok()).collect()
}

/// Folders of incidents whose record cannot be read, and why; their notes and bundles may be whole.
pub fn unread(home: &Home) -> Vec<(PathBuf, String)> {
    folders(home).into_iter().filter_map(|folder| record(&folder).err().map(|why| (folder, why))).collect()
}

/// By name, which is by time.
fn folders(home: &Home) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(home.incidents()).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn record(folder: &Path) -> Result<Incident, String> {
    let bytes = townlet_files::read(&folder.join(RECORD)).map_err(|why| format!("{RECORD}: {why}"))?;
    serde_json::from_slice(&bytes).map_err(|why| format!("{RECORD}: {why}"))
}

/// A run that a bundle can be made of, by name, by its shard, or the newest of all. Only looks, and needs no file whole.
///
/// # Errors
/// What there is instead.
pub fn find(home: &Home, shard: Option<&str>, run_id: Option<&str>) -> Result<(String, String), String> {
    let known = home.all_runs();
    let newest = |run: &&String| shard.is_none_or(|shard| home.runs(shard).contains(run));
    let run_id = match run_id {
        Some(run_id) => known.iter().find(|run| *run == run_id).cloned(),
        None => known.iter().rev().find(newest).cloned(),
    };
    let Some(run_id) = run_id else {
        let what = shard.map_or_else(|| "no such run".to_owned(), |shard| format!("no run of `{shard}`"));
        let runs = if known.is_empty() { "none".to_owned() } else { listed(&known) };
        return Err(format!("{what} in {}; runs there: {runs}.", home.journals().display()));
    };
    let header = home.journal_files(&run_id).iter().rev().find_map(|file| Some(FrameReader::open(file).ok()?.header));
    Ok((run_id, header.map_or_else(|| "snapshots".to_owned(), |header| header.sources.config.snapshot.root)))
}

/// Makes a bundle of a run from its files alone, whether its shard lives or not. Into `output`, or into the home, with a
/// note.
///
/// # Errors
/// What the disk says.
pub fn take(home: &Home, run_id: &str, root: &str, output: Option<&Path>) -> Result<Incident, String> {
    let run = Run { home: home.clone(), id: run_id.to_owned(), root: root.to_owned() };
    let headline = format!("a bundle of {run_id} was asked for from the command line");
    write(&run, &new_id(Kind::Asked), &IncidentTrigger::new(Kind::Asked, headline), output)
}

fn new_id(kind: Kind) -> String {
    let now = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    format!("{}{:03}-{}", now.strftime("%Y%m%d-%H%M%S"), now.millisecond(), kind.word())
}

fn write(run: &Run, id: &str, occasion: &IncidentTrigger, output: Option<&Path>) -> Result<Incident, String> {
    let folder = run.home.incidents().join(id);
    let path = output.map_or_else(|| folder.join(BUNDLE), Path::to_owned);
    let say = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let mut all = collect::gather(run, occasion, TIMEOUT);
    let mut incident = Incident {
        id: id.to_owned(),
        kind: occasion.kind,
        ts: Timestamp::now().to_string(),
        run_id: run.id.clone(),
        shard: all.shard.clone(),
        headline: occasion.headline.clone(),
        bundle: path.strip_prefix(run.home.folder()).unwrap_or(&path).display().to_string(),
        bytes: 0,
        replay: note::target(&all, occasion),
        lacking: Vec::new(),
        asked: occasion.kind == Kind::Asked || occasion.asked.is_some(),
        fault: occasion.fault.clone(),
    };
    let moments = note::moments(run, &all, occasion, &incident);
    all.bundle.text("timeline.md", timeline::table(&moments, usize::MAX).as_bytes());
    incident.lacking = all.bundle.lacking().iter().map(|lack| format!("{}: {}", lack.item, lack.why)).collect();
    let summary = note::summary(&all, occasion, &incident, &moments);
    let note = note::note(&all, occasion, &incident, &moments);
    incident.bytes = all.bundle.pack(&path, id, &summary).map_err(|error| say(&path, error))?;
    if output.is_none() {
        let record = serde_json::to_vec_pretty(&incident).map_err(|error| error.to_string())?;
        for (name, bytes) in [("note.md", note.as_bytes()), (RECORD, &record)] {
            let path = folder.join(name);
            replace(&path, bytes).map_err(|error| say(&path, error))?;
        }
        forget(&run.home);
    }
    Ok(incident)
}

/// Removes the oldest bundles; their notes stay.
fn forget(home: &Home) {
    let kept = kept(home);
    let with_bundle: Vec<PathBuf> = kept
        .iter()
        .map(|incident| home.incidents().join(&incident.id).join(BUNDLE))
        .filter(|path| path.exists())
        .collect();
    for path in with_bundle.iter().take(with_bundle.len().saturating_sub(KEPT)) {
        // One that stays costs space, not safety.
        drop(std::fs::remove_file(path));
    }
}

/// Makes the bundles of one shard, one at a time, on a thread of their own.
pub(super) struct IncidentRecorder {
    run: Run,
    diagnostics: Arc<Diagnostics>,
    journal: std::sync::Weak<Journal>,
    audit: std::sync::Weak<townlet_audit::Log>,
    log: Log,
    at_work: Mutex<Option<JoinHandle<()>>>,
}

impl IncidentRecorder {
    /// For a run.
    pub(super) fn new(
        run: Run,
        diagnostics: Arc<Diagnostics>,
        journal: &Arc<Journal>,
        audit: &Arc<townlet_audit::Log>,
        log: Log,
    ) -> Self {
        panics::watch(&diagnostics);
        let (journal, audit) = (Arc::downgrade(journal), Arc::downgrade(audit));
        Self { run, diagnostics, journal, audit, log, at_work: Mutex::new(None) }
    }

    /// What it writes about.
    pub(super) const fn log(&self) -> &Log {
        &self.log
    }

    /// Begins a bundle, behind the one that is being made. Answers with its path.
    ///
    /// # Errors
    /// That no thread can be had.
    pub(super) fn start(self: &Arc<Self>, occasion: IncidentTrigger) -> Result<PathBuf, String> {
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        let before = at_work.take();
        let id = new_id(occasion.kind);
        let path = self.run.home.incidents().join(&id).join(BUNDLE);
        let this = Arc::clone(self);
        let work = move || {
            drop(before.map(JoinHandle::join));
            drop(this.make(&id, &occasion));
        };
        let thread = std::thread::Builder::new().name("incident".into()).spawn(work);
        *at_work = Some(thread.map_err(|error| format!("no thread can be had: {error}."))?);
        Ok(path)
    }

    /// Makes a bundle of what happened by itself, unless there was enough of it lately.
    pub(super) fn notice(self: &Arc<Self>, occasion: IncidentTrigger) {
        self.log.say(&occasion.headline);
        if !self.is_news(&occasion) {
            return;
        }
        if let Err(why) = self.start(occasion) {
            self.log.say(&format!("no incident bundle: {why}"));
        }
    }

    /// The same, here and now, for a thread that has nothing else to do any more. Answers with its path.
    fn notice_and_wait(&self, occasion: &IncidentTrigger) -> Option<PathBuf> {
        self.log.say(&occasion.headline);
        self.finish();
        self.is_news(occasion).then_some(())?;
        let incident = self.make(&new_id(occasion.kind), occasion).ok()?;
        Some(self.run.home.folder().join(incident.bundle))
    }

    /// The town's thread broke off, and this is what is left of it: its bundle is made here and now, where there is nothing
    /// else to do any more. Answers with its path.
    pub(super) fn record_town_crash(&self, said: &str) -> Option<PathBuf> {
        let (fault, view) = (self.diagnostics.town_fault(), self.diagnostics.view());
        let occasion = IncidentTrigger {
            view,
            fault,
            ..IncidentTrigger::new(Kind::Crash, format!("the town's thread broke off: {said}"))
        };
        self.notice_and_wait(&occasion)
    }

    /// Waits for what was begun.
    pub(super) fn finish(&self) {
        let thread = self.at_work.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A panic of its own was told by the panic itself.
        drop(thread.map(JoinHandle::join));
    }

    fn make(&self, id: &str, occasion: &IncidentTrigger) -> Result<Incident, String> {
        panics::ignore_thread_panics();
        // What the shard knows is in its files then; a disk that refuses has been told by its writer.
        drop(self.journal.upgrade().map(|journal| journal.flush()));
        drop(self.audit.upgrade().map(|audit| audit.flush()));
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| write(&self.run, id, occasion, None)));
        let made = made.unwrap_or_else(|panic| Err(format!("its maker broke off: {}", said(panic.as_ref()))));
        match &made {
            Ok(incident) => self.log.say(&format!("incident bundle {}, {} bytes", incident.bundle, incident.bytes)),
            Err(why) => self.log.say(&format!("the incident bundle could not be written: {why}")),
        }
        self.diagnostics.filed(made.as_ref().err().cloned());
        made
    }

    /// Whether a bundle is worth its space: not the same again and again, and not too many of any. What is no news is a
    /// line in the note of the one before.
    fn is_news(&self, occasion: &IncidentTrigger) -> bool {
        let since = Timestamp::now() - QUIET;
        let mut lately = kept(&self.run.home);
        lately.retain(|incident| !incident.asked && incident.ts.parse::<Timestamp>().is_ok_and(|ts| ts > since));
        let same = |incident: &&Incident| incident.kind == occasion.kind && incident.run_id == self.run.id;
        if let Some(same) = lately.iter().rev().find(same) {
            let note = self.run.home.incidents().join(&same.id).join("note.md");
            if let Err(why) = note::again(&note, &occasion.headline) {
                self.log.say(&format!("{}: {why}", note.display()));
            }
            return false;
        }
        if lately.len() >= MAX_AUTOMATIC {
            self.log.say("no incident bundle: there were too many lately.");
        }
        lately.len() < MAX_AUTOMATIC
    }
}
