//! Incidents: a bundle of diagnostic files and a note for operators under `ops/incidents/<id>/`.
//!
//! This module decides when a bundle is made automatically and how many are kept. `collect` fills bundles; `watchdog` and
//! `panics` detect hangs and crashes. Rule: "Incidents".

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

pub(super) use bundle::WINDOW_LOG;
pub use bundle::is_bundle;
pub(super) use collect::Run;
pub(super) use diagnostics::{AppliedCommand, Diagnostics, Phase, PhaseTracker, TOWN};
pub(super) use panics::{panic_message, register_thread};
pub(super) use watchdog::{Watchdog, hanging};

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use townlet_files::write_atomically;

use super::command_table::listed;
use super::home::Home;
use super::journal::{FrameReader, Journal, Segments};
use super::log::Log;
use diagnostics::Fault;
use townlet_wire::Snapshot;
use townlet_wire::renamed::refuse_old_names;

/// Maximum number of bundles; older incidents keep only their note.
const MAX_BUNDLES: usize = 20;
/// Within this time a further incident of the same kind and run becomes a line in the note of the first.
const REPEAT_WINDOW: Duration = Duration::from_mins(10);
/// Maximum number of automatic bundles within that time, over all runs of a home.
const MAX_AUTOMATIC: usize = 6;
/// Time limit for reading and replaying a journal for a bundle.
const TIMEOUT: Duration = Duration::from_secs(20);
const MAX_REPEAT_LINES: usize = 50;
const BUNDLE: &str = "bundle.tar.zst";
const RECORD: &str = "incident.json";
const NOTE: &str = "note.md";
/// The missing item of an incident whose bundle is still to be made.
const UNFINISHED: &str = "bundle: it is not finished";

townlet_wire::word_enum! {
    /// The kind of an incident.
    pub enum Kind {
        /// A thread panicked.
        Crash = "crash",
        /// A tick did not finish.
        Hang = "hang",
        /// A release was rolled back, by an operator or automatically.
        Rollback = "rollback",
        /// An operator requested a bundle.
        Requested = "requested",
    }
}

impl Kind {
    /// The tag of its note, such as `ops/crash`.
    pub fn tag(self) -> String {
        format!("ops/{}", self.word())
    }
}

#[derive(Clone, Debug)]
pub(super) struct LiveState {
    /// The tick; the journal has received all entries up to it.
    pub(super) tick: u64,
    pub(super) digest: String,
}

/// Why a bundle is made, with what only the shard knows.
#[derive(Clone, Debug)]
pub(super) struct IncidentTrigger {
    pub(super) kind: Kind,
    /// When it happened.
    pub(super) at: Timestamp,
    pub(super) headline: String,
    /// The issuer who requested it, and the reason.
    pub(super) requested_by: Option<(String, String)>,
    /// The town, if it is running.
    pub(super) now: Option<LiveState>,
    pub(super) view: Option<Arc<Snapshot>>,
    pub(super) fault: Option<Fault>,
    /// Additional sections of the note, in Markdown.
    pub(super) sections: String,
    pub(super) attachments: Vec<(String, Vec<u8>)>,
}

impl IncidentTrigger {
    pub(super) fn new(kind: Kind, headline: impl Into<String>) -> Self {
        Self {
            kind,
            at: Timestamp::now(),
            headline: headline.into(),
            requested_by: None,
            now: None,
            view: None,
            fault: None,
            sections: String::new(),
            attachments: Vec::new(),
        }
    }
}

/// An incident record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Incident {
    /// Time and kind; later incidents sort later.
    pub id: String,
    /// The kind.
    pub kind: Kind,
    /// When it happened, RFC 3339, UTC.
    pub ts: String,
    /// The run id.
    pub run_id: String,
    /// The shard.
    pub shard: String,
    /// One sentence.
    pub headline: String,
    /// Path of the bundle, relative to the home if it is inside.
    pub bundle: String,
    /// Size of the bundle in bytes.
    pub bytes: u64,
    /// The last tick of its replay, and the digest there.
    pub replay: Option<(u64, String)>,
    /// Items that are missing, as `item: why`.
    pub missing: Vec<String>,
    /// Whether an operator requested the bundle, or caused the incident.
    #[serde(default)]
    requested: bool,
    #[serde(default)]
    fault: Option<Fault>,
}

impl Incident {
    /// Whether its bundle was written. Until then, and when the shard ended before, there are only its note and its record.
    pub const fn is_finished(&self) -> bool {
        self.bytes > 0
    }
}

/// Sentences about incidents of a run whose bundles were not finished before its shard ended.
pub(super) fn unfinished(home: &Home, run_id: &str) -> Vec<String> {
    let bundle = format!("`townlet incident bundle{} --run {run_id}` makes one", home.option());
    let of_run = kept(home).into_iter().filter(|it| it.run_id == run_id && !it.is_finished());
    of_run
        .map(|it| format!("the incident {} has a note and no bundle, because the shard ended before; {bundle}.", it.id))
        .collect()
}

fn latest_fault(home: &Home, run_id: &str) -> Option<Fault> {
    let of_run = |incident: &Incident| incident.run_id == run_id;
    kept(home).into_iter().rev().filter(of_run).find_map(|incident| incident.fault)
}

/// All incidents of a home, oldest first.
pub fn kept(home: &Home) -> Vec<Incident> {
    folders(home).iter().filter_map(|folder| record(folder).ok()).collect()
}

/// Incident folders whose record cannot be read, and why; their notes and bundles may be intact.
pub fn unread(home: &Home) -> Vec<(PathBuf, String)> {
    folders(home).into_iter().filter_map(|folder| record(&folder).err().map(|why| (folder, why))).collect()
}

fn folders(home: &Home) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(home.incidents()).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn record(folder: &Path) -> Result<Incident, String> {
    let bytes = townlet_files::read(&folder.join(RECORD)).map_err(|why| format!("{RECORD}: {why}"))?;
    parse(&bytes).map_err(|why| format!("{RECORD}: {why}"))
}

fn parse(bytes: &[u8]) -> Result<Incident, String> {
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|why| why.to_string())?;
    refuse_old_names(&value, &[("lacking", "missing")])?;
    serde_json::from_slice(bytes).map_err(|why| why.to_string())
}

/// Finds the run for a bundle: by id, the newest of a shard, or the newest of all. Files of the run may be damaged. Returns the run
/// id and the snapshot root.
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

/// The journal in a bundle, which replays the end of its run.
pub fn replay_journal(bundle: &Path) -> Result<Segments, String> {
    let name = bundle.join(collect::REPLAY);
    let bytes = bundle::read_replay(bundle, collect::REPLAY).map_err(|why| format!("{}: {why}", bundle.display()))?;
    Segments::of_bytes(&name, bytes).map_err(|why| why.to_string())
}

/// Calls `visit` with the file name and the content of each segment of a run's audit log in a bundle.
pub(crate) fn audit_segments(
    bundle: &Path,
    run_id: &str,
    mut visit: impl FnMut(&str, &mut dyn std::io::Read) -> std::io::Result<()>,
) -> std::io::Result<()> {
    bundle::find_item(bundle, |path, _, content| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if townlet_audit::run_of_file(name) == Some(run_id) && path.parent() == Some(Path::new("logs/console")) {
            visit(name, content)?;
        }
        Ok(None::<()>)
    })
    .map(drop)
}

/// Makes a bundle of a run from its files, whether or not its shard is running. Writes it to `output`, or to the home with a note.
pub fn take(home: &Home, run_id: &str, root: &str, output: Option<&Path>) -> Result<Incident, String> {
    let run = Run { home: home.clone(), id: run_id.to_owned(), root: root.to_owned() };
    let headline = format!("a bundle of {run_id} was requested on the command line");
    write(&run, &new_id(Kind::Requested), &IncidentTrigger::new(Kind::Requested, headline), output)
}

fn new_id(kind: Kind) -> String {
    let now = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    format!("{}{:03}-{}", now.strftime("%Y%m%d-%H%M%S"), now.millisecond(), kind.word())
}

fn write(run: &Run, id: &str, trigger: &IncidentTrigger, output: Option<&Path>) -> Result<Incident, String> {
    let folder = run.home.incidents().join(id);
    let path = output.map_or_else(|| folder.join(BUNDLE), Path::to_owned);
    let say = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let mut all = collect::collect(run, trigger, TIMEOUT);
    let mut incident = Incident {
        id: id.to_owned(),
        kind: trigger.kind,
        ts: trigger.fault.as_ref().map_or_else(|| trigger.at.to_string(), |fault| fault.ts.clone()),
        run_id: run.id.clone(),
        shard: all.shard.clone(),
        headline: trigger.headline.clone(),
        bundle: path.strip_prefix(run.home.folder()).unwrap_or(&path).display().to_string(),
        bytes: 0,
        replay: note::target(&all, trigger),
        missing: Vec::new(),
        requested: trigger.kind == Kind::Requested || trigger.requested_by.is_some(),
        fault: trigger.fault.clone(),
    };
    let repetitions = std::fs::read_to_string(folder.join(NOTE)).ok();
    let repetitions = repetitions.as_deref().and_then(note::repetitions).unwrap_or_default();
    let entries = note::entries(run, &all, trigger, &incident);
    all.bundle.text("timeline.md", timeline::table(&entries, usize::MAX).as_bytes());
    incident.missing = all.bundle.missing.iter().map(|item| format!("{}: {}", item.item, item.why)).collect();
    let summary = note::summary(&all, trigger, &incident, &entries);
    let note = note::note(&all, trigger, &incident, &entries) + repetitions;
    incident.bytes = all.bundle.pack(&path, id, &summary).map_err(|error| say(&path, error))?;
    if output.is_none() {
        write_note(&folder, &incident, &note)?;
        remove_old_bundles(&run.home);
    }
    Ok(incident)
}

fn write_note(folder: &Path, incident: &Incident, note: &str) -> Result<(), String> {
    let record = serde_json::to_vec_pretty(incident).map_err(|error| error.to_string())?;
    for (name, bytes) in [(NOTE, note.as_bytes()), (RECORD, &record)] {
        let path = folder.join(name);
        write_atomically(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// Writes a note and a record of an incident before its bundle, which takes seconds, so that no crash loses the incident. `missing` says why
/// there is no bundle.
fn announce(run: &Run, id: &str, trigger: &IncidentTrigger, missing: String) -> Result<(), String> {
    let folder = run.home.incidents().join(id);
    let bundle = folder.join(BUNDLE);
    let incident = Incident {
        id: id.to_owned(),
        kind: trigger.kind,
        ts: trigger.fault.as_ref().map_or_else(|| trigger.at.to_string(), |fault| fault.ts.clone()),
        run_id: run.id.clone(),
        shard: trigger.view.as_ref().map_or_else(String::new, |view| view.shard.clone()),
        headline: trigger.headline.clone(),
        bundle: bundle.strip_prefix(run.home.folder()).unwrap_or(&bundle).display().to_string(),
        bytes: 0,
        replay: None,
        missing: vec![missing],
        requested: trigger.kind == Kind::Requested || trigger.requested_by.is_some(),
        fault: trigger.fault.clone(),
    };
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    write_note(&folder, &incident, &note::announcement(run, trigger, &incident))
}

/// Removes the oldest bundles and keeps their notes.
fn remove_old_bundles(home: &Home) {
    let kept = kept(home);
    let with_bundle: Vec<PathBuf> = kept
        .iter()
        .map(|incident| home.incidents().join(&incident.id).join(BUNDLE))
        .filter(|path| path.exists())
        .collect();
    for path in with_bundle.iter().take(with_bundle.len().saturating_sub(MAX_BUNDLES)) {
        // A bundle that cannot be removed only costs space.
        drop(std::fs::remove_file(path));
    }
}

/// Makes the bundles of one shard, one at a time, each on its own thread.
pub(super) struct IncidentRecorder {
    run: Run,
    diagnostics: Arc<Diagnostics>,
    journal: std::sync::Weak<Journal>,
    audit: std::sync::Weak<townlet_audit::Log>,
    pub(super) log: Log,
    in_progress: Mutex<Option<JoinHandle<()>>>,
    /// The shard stops: requested bundles that have not begun are given up.
    stopping: AtomicBool,
    /// How many were.
    given_up: AtomicUsize,
}

impl IncidentRecorder {
    pub(super) fn new(
        run: Run,
        diagnostics: Arc<Diagnostics>,
        journal: &Arc<Journal>,
        audit: &Arc<townlet_audit::Log>,
        log: Log,
    ) -> Self {
        panics::watch(&diagnostics);
        let (journal, audit) = (Arc::downgrade(journal), Arc::downgrade(audit));
        Self {
            run,
            diagnostics,
            journal,
            audit,
            log,
            in_progress: Mutex::new(None),
            stopping: AtomicBool::new(false),
            given_up: AtomicUsize::new(0),
        }
    }

    /// From now on, requested bundles that have not begun are given up. Those of crashes, hangs and rollbacks are still made:
    /// nobody can ask for them later, and there are few.
    pub(super) fn give_up_requests(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Number of requested bundles that were given up.
    pub(super) fn given_up(&self) -> usize {
        self.given_up.load(Ordering::Relaxed)
    }

    fn gives_up(&self, id: &str, trigger: &IncidentTrigger) -> bool {
        let gives_up = trigger.kind == Kind::Requested && self.stopping.load(Ordering::Relaxed);
        if gives_up {
            // It has nothing but what the log says now.
            drop(std::fs::remove_dir_all(self.run.home.incidents().join(id)));
            self.given_up.fetch_add(1, Ordering::Relaxed);
            let (home, run) = (self.run.home.option(), &self.run.id);
            self.log.write(&format!(
                "gave up the incident bundle {id}, because the shard stops ({}). `townlet incident bundle{home} --run {run}` makes one.",
                trigger.headline
            ));
        }
        gives_up
    }

    /// Starts a bundle after the one in progress. Returns its path, and a channel that ends once the incident has a note.
    pub(super) fn start(self: &Arc<Self>, trigger: IncidentTrigger) -> Result<(PathBuf, Receiver<()>), String> {
        let mut in_progress = self.in_progress.lock().unwrap_or_else(PoisonError::into_inner);
        let before = in_progress.take();
        let id = new_id(trigger.kind);
        let path = self.run.home.incidents().join(&id).join(BUNDLE);
        let this = Arc::clone(self);
        let (announcing, announced) = channel();
        let work = move || {
            this.announce(&id, &trigger);
            drop(announcing);
            drop(before.map(JoinHandle::join));
            if !this.gives_up(&id, &trigger) {
                drop(this.make(&id, &trigger));
            }
        };
        let thread = std::thread::Builder::new().name("incident".into()).spawn(work);
        *in_progress = Some(thread.map_err(|error| format!("no thread could be started: {error}."))?);
        Ok((path, announced))
    }

    /// A failure is that of the bundle, too, and reported then.
    fn announce(&self, id: &str, trigger: &IncidentTrigger) {
        drop(announce(&self.run, id, trigger, UNFINISHED.to_owned()));
    }

    /// Logs an incident and makes an automatic bundle, unless there were too many recently.
    pub(super) fn notice(self: &Arc<Self>, trigger: IncidentTrigger) {
        self.log.write(&trigger.headline);
        if !self.should_record(&trigger) {
            return;
        }
        if let Err(why) = self.start(trigger) {
            self.log.write(&format!("no incident bundle: {why}"));
        }
    }

    /// The same on the calling thread, which has nothing else to do. Returns the path.
    fn notice_and_wait(&self, trigger: &IncidentTrigger) -> Option<PathBuf> {
        self.log.write(&trigger.headline);
        self.finish();
        self.should_record(trigger).then_some(())?;
        let id = new_id(trigger.kind);
        self.announce(&id, trigger);
        let incident = self.make(&id, trigger).ok()?;
        Some(self.run.home.folder().join(incident.bundle))
    }

    /// Makes the bundle of a crash of the town's thread, on that thread. Returns the path.
    pub(super) fn record_town_crash(&self, message: &str) -> Option<PathBuf> {
        let (fault, view) = (self.diagnostics.town_fault(), self.diagnostics.view());
        let trigger = IncidentTrigger {
            view,
            fault,
            ..IncidentTrigger::new(Kind::Crash, format!("the town's thread crashed: {message}"))
        };
        self.notice_and_wait(&trigger)
    }

    /// Whether a bundle is being made.
    pub(super) fn is_busy(&self) -> bool {
        let in_progress = self.in_progress.lock().unwrap_or_else(PoisonError::into_inner);
        in_progress.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    pub(super) fn finish(&self) {
        let thread = self.in_progress.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The panic hook has reported a panic of that thread.
        drop(thread.map(JoinHandle::join));
    }

    fn make(&self, id: &str, trigger: &IncidentTrigger) -> Result<Incident, String> {
        panics::ignore_thread_panics();
        // Writes everything the shard knows to its files; their writers report failures.
        drop(self.journal.upgrade().map(|journal| journal.flush()));
        drop(self.audit.upgrade().map(|audit| audit.flush()));
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| write(&self.run, id, trigger, None)));
        let made = made.unwrap_or_else(|panic| Err(format!("making it crashed: {}", panic_message(panic.as_ref()))));
        match &made {
            Ok(incident) => self.log.write(&format!("incident bundle {}, {} bytes", incident.bundle, incident.bytes)),
            Err(why) => {
                self.log.write(&format!("the incident bundle could not be written: {why}"));
                drop(announce(&self.run, id, trigger, format!("bundle: {why}")));
            }
        }
        self.diagnostics.filed(made.as_ref().err().cloned());
        made
    }

    /// Whether an automatic bundle should be made. A repetition is added to the note of the earlier incident instead.
    fn should_record(&self, trigger: &IncidentTrigger) -> bool {
        let since = Timestamp::now() - REPEAT_WINDOW;
        let mut recent = kept(&self.run.home);
        recent.retain(|incident| !incident.requested && incident.ts.parse::<Timestamp>().is_ok_and(|ts| ts > since));
        let same = |incident: &&Incident| incident.kind == trigger.kind && incident.run_id == self.run.id;
        if let Some(same) = recent.iter().rev().find(same) {
            let note = self.run.home.incidents().join(&same.id).join(NOTE);
            if let Err(why) = note::add_repetition(&note, &trigger.headline) {
                self.log.write(&format!("{}: {why}", note.display()));
            }
            return false;
        }
        if recent.len() >= MAX_AUTOMATIC {
            self.log.write("no incident bundle: there were too many recently.");
        }
        recent.len() < MAX_AUTOMATIC
    }
}
