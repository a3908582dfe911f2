//! Collects the items of a bundle, most useful first, from a shard's files and from what a running shard knows.
//!
//! Items are independent: one that is missing, damaged or too large is listed with its reason. Rule: "Incidents".

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use townlet_town::config::{Config, diff};
use townlet_town::{Sources, Town, snapshot};

use super::bundle::Bundle;
use super::panics::panic_message;
use super::redaction::SecretRedactor;
use super::replay::{Replay, replay};
use super::{IncidentTrigger, system_info};
use crate::home::Home;
use crate::journal::{self, FrameReader};
use crate::promotion;
use crate::snapshots;
use crate::telemetry::{self, ShardStatus};
use townlet_audit::Verdict;
use townlet_wire::count;
use townlet_wire::telemetry::{AuditTail, Policy};
use townlet_wire::{SCHEMA_VERSION, Snapshot};

/// Most residents whose details are in the last telemetry.
const MAX_DETAILED: usize = 1_000;
/// Maximum bytes taken from the end of a log.
const MAX_LOG_BYTES: u64 = 2 * 1024 * 1024;
/// Maximum size of a small file in bytes.
const MAX_SMALL_FILE_BYTES: u64 = 512 * 1024;
pub(super) const REPLAY: &str = "replay.tlj";

#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) home: Home,
    pub(crate) id: String,
    /// `snapshot.root` of its configuration.
    pub(crate) root: String,
}

/// A bundle in progress, with the data for its summary.
pub(super) struct BundleContents {
    pub(super) bundle: Bundle,
    /// The shard's name, from the journal.
    pub(super) shard: String,
    /// The policy at the start of the journal.
    policy: String,
    /// The texts the town was built from.
    pub(super) sources: Option<Sources>,
    /// When to stop reading and replaying.
    deadline: Instant,
    pub(super) replay: Option<Replay>,
    /// The last snapshot for observers: the shard's, or made from the end of the replay.
    pub(super) view: Option<Arc<Snapshot>>,
    pub(super) seed: Option<u64>,
    /// The newest intact snapshot with its name, if no journal can be read.
    fallback: Option<(String, Town)>,
    /// Facts that come from other files than the journal, a sentence each.
    pub(super) origins: Vec<String>,
    /// Result of the audit log's verification, one sentence.
    pub(super) audit: String,
}

type Get = fn(&mut BundleContents, &Run, &IncidentTrigger) -> Result<(), String>;

const ITEMS: [(&str, Get); 13] = [
    ("versions.json", versions),
    ("crash report", crash),
    ("configuration", configuration),
    (REPLAY, add_replay),
    ("last telemetry", last_telemetry),
    ("system facts", system_facts),
    ("audit log", audit_log),
    ("logs", logs),
    ("standard output and error", process_output),
    ("notes", notes),
    ("release pointer", releases),
    ("snapshot", newest_snapshot),
    ("journal", journals),
];

/// Collects all items. Reading and replaying journals may take `timeout` in total.
pub(super) fn collect(run: &Run, trigger: &IncidentTrigger, timeout: Duration) -> BundleContents {
    let deadline = Instant::now() + timeout;
    let frames = run.home.journal_files(&run.id).iter().rev().find_map(|file| FrameReader::open(file).ok());
    let (header, whole) = frames.map(|frames| frames.header_at_end(deadline)).unzip();
    let fallback = if header.is_none() { newest_whole(run) } else { None };
    let of_snapshot = || fallback.as_ref().map(|(_, town)| town.rules().sources.clone());
    let sources = header.as_ref().map(|header| header.sources.clone()).or_else(of_snapshot);
    let config = sources.as_ref().map(|sources| sources.config.clone());
    let note = |(name, _): &(String, Town)| format!("no journal can be read; texts, seed and shard come from {name}.");
    let shard = header.as_ref().map(|header| header.shard.clone());
    let mut all = BundleContents {
        bundle: Bundle::without(SecretRedactor::known(config.as_ref())),
        shard: shard.or_else(|| config.as_ref().map(|config| config.shard.clone())).unwrap_or_default(),
        policy: header.map_or_else(String::new, |header| header.policy),
        sources,
        deadline,
        replay: None,
        view: trigger.view.clone(),
        seed: fallback.as_ref().map(|(_, town)| town.state().seed).or(config.map(|config| config.seed)),
        origins: fallback.iter().map(note).collect(),
        fallback,
        audit: String::from("the audit log could not be read"),
    };
    if whole == Some(false) {
        let why = "the time limit was reached before the end of the journal; later reloads may be missing";
        all.bundle.add_missing("configuration at the end", why);
    }
    for (item, get) in ITEMS {
        // A damaged file may make its reader panic; the other items are still collected.
        let got = catch_unwind(AssertUnwindSafe(|| get(&mut all, run, trigger)));
        let got = got.unwrap_or_else(|panic| Err(format!("reading it crashed: {}", panic_message(panic.as_ref()))));
        if let Err(why) = got {
            all.bundle.add_missing(item, why);
        }
    }
    for (name, bytes) in &trigger.attachments {
        all.bundle.text(name, bytes);
    }
    all
}

fn versions(all: &mut BundleContents, run: &Run, trigger: &IncidentTrigger) -> Result<(), String> {
    all.bundle.json(
        "versions.json",
        &json!({
            "townlet": env!("CARGO_PKG_VERSION"),
            "telemetry": SCHEMA_VERSION,
            "journal": journal::VERSION,
            "snapshot": snapshot::VERSION,
            "audit": townlet_audit::VERSION,
            "run_id": run.id,
            "made_by": if trigger.now.is_some() || trigger.fault.is_some() { "the shard itself" } else { "another process" },
        }),
    );
    Ok(())
}

fn crash(all: &mut BundleContents, run: &Run, trigger: &IncidentTrigger) -> Result<(), String> {
    let fault = trigger.fault.clone().or_else(|| super::latest_fault(&run.home, &run.id));
    let fault = fault.ok_or("there is none: no thread panicked and no tick hung, or the process was killed")?;
    all.bundle.json("crash.json", &fault);
    Ok(())
}

fn configuration(all: &mut BundleContents, _: &Run, _: &IncidentTrigger) -> Result<(), String> {
    let sources = all
        .sources
        .clone()
        .ok_or("neither a journal nor a snapshot of the run can be read, and they hold the texts")?;
    all.bundle.text("config/effective.yaml", sources.config.canonical().as_bytes());
    for (key, (name, text)) in
        [("plan", &sources.plan), ("affordances", &sources.affordances), ("perturbations", &sources.perturbations)]
    {
        let name = Path::new(name).file_name().unwrap_or_default().to_string_lossy();
        all.bundle.text(format!("config/{key}-{name}"), text.as_bytes());
    }
    let rows = diff(&Config::shipped(), &sources.config);
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "(missing)".into());
    let rows = rows.iter().map(|row| format!("{}: {} -> {}\n", row.key, value(&row.left), value(&row.right)));
    let mut text = String::from("# Settings that differ from the default: KEY: default -> here\n");
    text.extend(rows);
    all.bundle.text("config/difference.txt", text.as_bytes());
    Ok(())
}

fn add_replay(all: &mut BundleContents, run: &Run, _: &IncidentTrigger) -> Result<(), String> {
    let mut found = replay(&run.home, &run.root, &run.id, &all.bundle.secrets, all.deadline)?;
    all.seed = found.town.as_ref().map(|town| town.state().seed).or(all.seed);
    if all.bundle.bytes(REPLAY, std::mem::take(&mut found.bytes), found.redacted) {
        all.replay = Some(found);
    }
    Ok(())
}

fn last_telemetry(all: &mut BundleContents, run: &Run, trigger: &IncidentTrigger) -> Result<(), String> {
    if all.view.is_none() {
        let played = all.replay.as_ref().and_then(|replay| replay.town.as_ref());
        let snapshot = if played.is_none() { all.fallback.take().or_else(|| newest_whole(run)) } else { None };
        let note = |(name, _): &(String, Town)| format!("no replay reached its end; the state comes from {name}.");
        all.origins.extend(snapshot.iter().map(note));
        let town = played.or(snapshot.as_ref().map(|(_, town)| town));
        let town = town.ok_or("the shard left none, and there is no replay or snapshot to make one from")?;
        let policy = Policy { id: all.policy.clone(), ..Policy::default() };
        let status = ShardStatus { shard: all.shard.clone(), run_id: run.id.clone(), policy, ..ShardStatus::default() };
        all.view = Some(Arc::new(telemetry::snapshot(town.rules(), town.state(), None, &status, AuditTail::default())));
    }
    let view = all.view.clone().ok_or("there is none")?;
    if trigger.view.is_some() {
        all.bundle.json("health.json", &view.health);
    } else {
        let why = "only the running shard knew it; the last telemetry was rebuilt from files";
        all.bundle.add_missing("health.json", why);
    }
    if view.agents.len() <= MAX_DETAILED {
        all.bundle.json("telemetry.json", &*view);
    } else if all.bundle.text("telemetry.json", view.without_details().to_json().as_bytes()) {
        let why = format!("the town has more than {MAX_DETAILED} residents; a replay has them");
        all.bundle.add_missing("details and ties of residents in telemetry.json", why);
    }
    Ok(())
}

fn system_facts(all: &mut BundleContents, _: &Run, _: &IncidentTrigger) -> Result<(), String> {
    all.bundle.json("system.json", &system_info::facts());
    all.bundle.json("environment.json", &system_info::environment());
    Ok(())
}

fn audit_log(all: &mut BundleContents, run: &Run, _: &IncidentTrigger) -> Result<(), String> {
    let folder = run.home.console();
    let report = townlet_audit::verify(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let found = report.runs.iter().find(|found| found.run_id == run.id);
    let found = found.ok_or_else(|| format!("{}: it contains nothing of this run", folder.display()))?;
    let holds = |verdict: Verdict| !found.findings.iter().any(|finding| finding.verdict == verdict);
    let passed = found.findings.is_empty();
    all.audit = if passed {
        format!(
            "intact: {}, the last is number {}, {}",
            count(found.records, "record"),
            found.seq,
            count(found.open.len() as u64, "open intent")
        )
    } else {
        format!("NOT intact: {}, see audit.json", count(found.findings.len() as u64, "finding"))
    };
    let verdicts = json!({
        "integrity": holds(Verdict::Integrity),
        "continuity": holds(Verdict::Continuity),
        "completeness": holds(Verdict::Completeness),
    });
    all.bundle.json("audit.json", &json!({ "passed": passed, "verdicts": verdicts, "run": found }));
    let prefix = format!("{}-", run.id);
    let head = format!("{}.head", run.id);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .map_err(|error| error.to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name == head || name.strip_prefix(&prefix).is_some_and(|rest| rest.len() < 24)
        })
        .collect();
    // Newest first: if there is not enough room, the oldest are left out.
    files.sort();
    for file in files.iter().rev() {
        whole(&mut all.bundle, &run.home, file, u64::MAX);
    }
    Ok(())
}

fn logs(all: &mut BundleContents, run: &Run, _: &IncidentTrigger) -> Result<(), String> {
    add_log(all, run, &run.home.log())
}

/// What the process printed to standard output and standard error.
fn process_output(all: &mut BundleContents, run: &Run, _: &IncidentTrigger) -> Result<(), String> {
    add_log(all, run, &run.home.output(&run.id))
}

/// The end of a log and of the file before it.
fn add_log(all: &mut BundleContents, run: &Run, log: &Path) -> Result<(), String> {
    let older = log.with_extension("log.1");
    for file in [log, &older].into_iter().filter(|file| file.exists()) {
        let bytes = end_of(file).map_err(|error| format!("{}: {error}", file.display()))?;
        all.bundle.text(inside(&run.home, file), &bytes);
    }
    if log.exists() { Ok(()) } else { Err(format!("{}: there is none", log.display())) }
}

fn notes(all: &mut BundleContents, run: &Run, _: &IncidentTrigger) -> Result<(), String> {
    let folder = run.home.folder();
    for name in ["ops/employment.md", "ops/rollouts.md"] {
        let file = folder.join(name);
        if file.exists() {
            let bytes = end_of(&file).map_err(|error| format!("{name}: {error}"))?;
            all.bundle.text(name, &bytes);
        }
    }
    if !folder.join("ops/rollouts.md").exists() {
        all.bundle
            .add_missing("promotion history", "ops/rollouts.md: nothing was promoted or rolled back in this home");
    }
    Ok(())
}

/// The release pointer and the manifests of release changes.
fn releases(all: &mut BundleContents, run: &Run, _: &IncidentTrigger) -> Result<(), String> {
    let sources = all.sources.as_ref().ok_or("the configuration, which names the folder, is unknown")?;
    let (pointer, manifests) = promotion::files(run.home.folder(), &sources.config);
    if pointer.exists() {
        whole(&mut all.bundle, &run.home, &pointer, MAX_SMALL_FILE_BYTES);
    } else {
        let why = format!("{}: there is none; the release is that of the configuration", pointer.display());
        all.bundle.add_missing("release pointer", why);
    }
    if manifests.is_empty() {
        all.bundle.add_missing("release manifests", "no release of this home was changed");
    }
    // Newest first: if there is not enough room, the oldest are left out.
    for manifest in manifests.iter().rev() {
        whole(&mut all.bundle, &run.home, manifest, MAX_SMALL_FILE_BYTES);
    }
    Ok(())
}

fn newest_snapshot(all: &mut BundleContents, run: &Run, _: &IncidentTrigger) -> Result<(), String> {
    let folder = run.home.snapshots(&run.root, &run.id);
    let mut why = format!("{}: there is none", folder.display());
    for file in snapshots::list(&folder).iter().rev() {
        match snapshots::read(file) {
            Ok(found) => {
                let clean = all.bundle.secrets.town(&found.town);
                let redacted = clean.is_some();
                // Saved again, because a secret inside the packed bytes would not be found.
                let bytes = snapshot::save(&clean.unwrap_or(found.town));
                all.bundle.bytes(inside(&run.home, file), bytes, redacted);
                return Ok(());
            }
            // A damaged snapshot is listed as missing.
            Err(damage) => {
                why = format!("{}: {damage}", file.display());
                all.bundle.add_missing(inside(&run.home, file), format!("{damage}; the one before it is used"));
            }
        }
    }
    Err(why)
}

/// The newest segments of the journal, as many as fit.
fn journals(all: &mut BundleContents, run: &Run, _: &IncidentTrigger) -> Result<(), String> {
    let files = run.home.journal_files(&run.id);
    let size = |file: &PathBuf| std::fs::metadata(file).map_or(0, |found| found.len());
    let mut left = files.as_slice();
    while let Some((file, older)) = left.split_last() {
        // The newest is tried in any case, so that its absence has a reason of its own.
        if left.len() < files.len() && !all.bundle.has_room(size(file)) {
            let (segments, bytes) = (left.len(), left.iter().map(size).sum::<u64>());
            let why = format!("{segments} earlier segments of {bytes} bytes would make the bundle too large");
            all.bundle.add_missing("earlier journal", why);
            break;
        }
        whole(&mut all.bundle, &run.home, file, u64::MAX);
        left = older;
    }
    let oldest = files.first().and_then(|file| FrameReader::open(file).ok()).map(|frames| frames.header.place);
    if let Some(place) = oldest.filter(|place| place.sequence > 1) {
        let why = format!("retention removed it, or it was lost; segment {} begins there", place.sequence);
        all.bundle.add_missing(format!("journal before tick {}", place.tick), why);
    }
    if files.is_empty() { Err(format!("{}: there is none", run.home.journals().display())) } else { Ok(()) }
}

/// The newest intact snapshot with its name. A snapshot whose reader panics counts as damaged.
fn newest_whole(run: &Run) -> Option<(String, Town)> {
    let files = snapshots::list(&run.home.snapshots(&run.root, &run.id));
    let whole = |file: &PathBuf| {
        let found = catch_unwind(AssertUnwindSafe(|| snapshots::read(file))).ok()?.ok()?;
        Some((inside(&run.home, file), found.town))
    };
    files.iter().rev().find_map(whole)
}

/// Adds a file under its path in the home folder, if it fits.
fn whole(bundle: &mut Bundle, home: &Home, file: &Path, most: u64) {
    let name = inside(home, file);
    let size = match std::fs::metadata(file) {
        Ok(found) => found.len(),
        Err(error) => return bundle.add_missing(name, error.to_string()),
    };
    if size > most || !bundle.has_room(size) {
        return bundle.add_missing(name, format!("its {size} bytes would make the bundle too large"));
    }
    let text = file.extension().is_some_and(|found| found != "tlj" && found != "tls");
    match std::fs::read(file) {
        Ok(bytes) if text => drop(bundle.text(name, &bytes)),
        Ok(bytes) => drop(bundle.bytes(name, bytes, false)),
        Err(error) => bundle.add_missing(name, error.to_string()),
    }
}

fn end_of(file: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let mut opened = std::fs::File::open(file)?;
    let size = opened.metadata()?.len();
    opened.seek(SeekFrom::Start(size.saturating_sub(MAX_LOG_BYTES)))?;
    let mut bytes = Vec::new();
    opened.take(MAX_LOG_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The name in the bundle: the path below the home, or a path below `elsewhere/` for files outside the home.
fn inside(home: &Home, file: &Path) -> String {
    let below = file.strip_prefix(home.folder()).ok();
    let below = below.filter(|path| path.components().all(|part| is_name(&part)));
    let elsewhere = || Path::new("elsewhere").join(file.components().filter(is_name).collect::<PathBuf>());
    below.map_or_else(elsewhere, Path::to_owned).to_string_lossy().replace('\\', "/")
}

fn is_name(part: &Component<'_>) -> bool {
    matches!(part, Component::Normal(_))
}
