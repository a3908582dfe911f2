//! What goes into a bundle, item by item, the most telling first: from a shard's files, and from what the shard itself
//! still knew.
//!
//! Each item is got by itself: one that is missing, damaged or too large is named with its reason, and the next one is
//! tried. Changes nothing. Rule: "Incidents".

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use townlet_town::config::{Config, diff};
use townlet_town::{Sources, Town, snapshot};

use super::bundle::Bundle;
use super::panics::said;
use super::redaction::SecretRedactor;
use super::replay::{Replay, replay};
use super::{IncidentTrigger, system_info};
use crate::home::Home;
use crate::journal::{self, FrameReader};
use crate::promotion;
use crate::snapshots;
use crate::telemetry::{self, ShardStatus};
use townlet_audit::Verdict;
use townlet_wire::telemetry::{AuditTail, Policy};
use townlet_wire::{SCHEMA_VERSION, Snapshot};

/// Most bytes taken of a log's end.
const MAX_LOG_BYTES: u64 = 2 * 1024 * 1024;
/// Most bytes of a small file.
const MAX_SMALL_FILE_BYTES: u64 = 512 * 1024;
/// The replay's name.
pub(super) const REPLAY: &str = "replay.tlj";

/// A run by its files.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Where they are.
    pub(crate) home: Home,
    /// The run.
    pub(crate) id: String,
    /// `snapshot.root` of its configuration.
    pub(crate) root: String,
}

/// A bundle in the making, and what its summary will need.
pub(super) struct BundleContents {
    pub(super) bundle: Bundle,
    /// The shard's name, as its journal has it.
    pub(super) shard: String,
    /// The policy that chose when the journal began.
    policy: String,
    /// What the town was made from.
    pub(super) sources: Option<Sources>,
    /// When to read and play no longer.
    late: Instant,
    pub(super) replay: Option<Replay>,
    /// The last state: the shard's own, or the one that the replay led to.
    pub(super) view: Option<Arc<Snapshot>>,
    pub(super) seed: Option<u64>,
    /// The newest whole snapshot, with its name, when the journal does not say what the town was made from.
    fallback: Option<(String, Town)>,
    /// What is known of the town from elsewhere than the journal, and from where, a sentence each.
    pub(super) origins: Vec<String>,
    /// In a sentence.
    pub(super) audit: String,
}

type Get = fn(&mut BundleContents, &Run, &IncidentTrigger) -> Result<(), String>;

/// THE list of items.
const ITEMS: [(&str, Get); 12] = [
    ("versions.json", versions),
    ("crash report", crash),
    ("configuration", configuration),
    (REPLAY, the_replay),
    ("last telemetry", last_telemetry),
    ("system facts", system_facts),
    ("audit log", audit_log),
    ("logs", logs),
    ("notes", notes),
    ("release pointer", releases),
    ("snapshot", newest_snapshot),
    ("journal", journals),
];

/// Gets everything there is. What has to read or play a whole journal has so long for it, all in all.
pub(super) fn gather(run: &Run, occasion: &IncidentTrigger, patience: Duration) -> BundleContents {
    let late = Instant::now() + patience;
    let frames = run.home.journal_files(&run.id).iter().rev().find_map(|file| FrameReader::open(file).ok());
    let (header, whole) = frames.map(|frames| frames.header_at_the_end(late)).unzip();
    let fallback = if header.is_none() { newest_whole(run) } else { None };
    let of_snapshot = || fallback.as_ref().map(|(_, town)| town.rules().sources.clone());
    let sources = header.as_ref().map(|header| header.sources.clone()).or_else(of_snapshot);
    let config = sources.as_ref().map(|sources| sources.config.clone());
    let told =
        |(name, _): &(String, Town)| format!("no journal can be read: texts, seed and shard are those of {name}.");
    let shard = header.as_ref().map(|header| header.shard.clone());
    let mut all = BundleContents {
        bundle: Bundle::without(SecretRedactor::known(config.as_ref())),
        shard: shard.or_else(|| config.as_ref().map(|config| config.shard.clone())).unwrap_or_default(),
        policy: header.map_or_else(String::new, |header| header.policy),
        sources,
        late,
        replay: None,
        view: occasion.view.clone(),
        seed: fallback.as_ref().map(|(_, town)| town.state().seed).or(config.map(|config| config.seed)),
        origins: fallback.iter().map(told).collect(),
        fallback,
        audit: String::from("the audit log could not be read"),
    };
    if whole == Some(false) {
        let why = "reading the journal to its end takes too long; texts of a later reload are not there";
        all.bundle.lacks("configuration at the end", why);
    }
    for (item, get) in ITEMS {
        // Whatever a damaged file does to its reader, the next item is got all the same.
        let got = catch_unwind(AssertUnwindSafe(|| get(&mut all, run, occasion)));
        let got = got.unwrap_or_else(|panic| Err(format!("its reader broke off: {}", said(panic.as_ref()))));
        if let Err(why) = got {
            all.bundle.lacks(item, why);
        }
    }
    for (name, bytes) in &occasion.attachments {
        all.bundle.text(name, bytes);
    }
    all
}

fn versions(all: &mut BundleContents, run: &Run, occasion: &IncidentTrigger) -> Result<(), String> {
    all.bundle.json(
        "versions.json",
        &json!({
            "townlet": env!("CARGO_PKG_VERSION"),
            "telemetry": SCHEMA_VERSION,
            "journal": journal::VERSION,
            "snapshot": snapshot::VERSION,
            "audit": townlet_audit::VERSION,
            "run_id": run.id,
            "made_by": if occasion.now.is_some() || occasion.fault.is_some() { "the shard itself" } else { "another process" },
        }),
    );
    Ok(())
}

fn crash(all: &mut BundleContents, run: &Run, occasion: &IncidentTrigger) -> Result<(), String> {
    let fault = occasion.fault.clone().or_else(|| super::latest_fault(&run.home, &run.id));
    let fault = fault.ok_or("there is none: no thread panicked and no tick hung, or the process was killed")?;
    all.bundle.json("crash.json", &fault);
    Ok(())
}

fn configuration(all: &mut BundleContents, _: &Run, _: &IncidentTrigger) -> Result<(), String> {
    let sources = all
        .sources
        .clone()
        .ok_or("neither a journal nor a snapshot of the run can be read, and the texts stand there")?;
    all.bundle.text("config/effective.yaml", sources.config.canonical().as_bytes());
    for (key, (name, text)) in
        [("plan", &sources.plan), ("affordances", &sources.affordances), ("perturbations", &sources.perturbations)]
    {
        let name = Path::new(name).file_name().unwrap_or_default().to_string_lossy();
        all.bundle.text(format!("config/{key}-{name}"), text.as_bytes());
    }
    let rows = diff(&Config::shipped(), &sources.config);
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "(not there)".into());
    let rows = rows.iter().map(|row| format!("{}: {} -> {}\n", row.key, value(&row.left), value(&row.right)));
    let mut text = String::from("# Settings that differ from the default: KEY: default -> here\n");
    text.extend(rows);
    all.bundle.text("config/difference.txt", text.as_bytes());
    Ok(())
}

fn the_replay(all: &mut BundleContents, run: &Run, _: &IncidentTrigger) -> Result<(), String> {
    let mut found = replay(&run.home, &run.root, &run.id, all.bundle.secrets(), all.late)?;
    all.seed = found.town.as_ref().map(|town| town.state().seed).or(all.seed);
    if all.bundle.bytes(REPLAY, std::mem::take(&mut found.bytes), found.redacted) {
        all.replay = Some(found);
    }
    Ok(())
}

fn last_telemetry(all: &mut BundleContents, run: &Run, occasion: &IncidentTrigger) -> Result<(), String> {
    if all.view.is_none() {
        let played = all.replay.as_ref().and_then(|replay| replay.town.as_ref());
        let snapshot = if played.is_none() { all.fallback.take().or_else(|| newest_whole(run)) } else { None };
        let told =
            |(name, _): &(String, Town)| format!("no replay was played to its end: the state is that of {name}.");
        all.origins.extend(snapshot.iter().map(told));
        let town = played.or(snapshot.as_ref().map(|(_, town)| town));
        let town = town.ok_or("the shard left none, and neither a replay nor a snapshot is there to make one from")?;
        let policy = Policy { id: all.policy.clone(), ..Policy::default() };
        let status = ShardStatus { shard: all.shard.clone(), run_id: run.id.clone(), policy, ..ShardStatus::default() };
        all.view = Some(Arc::new(telemetry::snapshot(town, &status, AuditTail::default())));
    }
    let view = all.view.clone().ok_or("there is none")?;
    if occasion.view.is_some() {
        all.bundle.json("health.json", &view.health);
    } else {
        let why = "it was known to the shard alone; the last telemetry was made anew from files";
        all.bundle.lacks("health.json", why);
    }
    all.bundle.json("telemetry.json", &*view);
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
    let found = found.ok_or_else(|| format!("{}: it holds nothing of this run", folder.display()))?;
    let holds = |verdict: Verdict| !found.findings.iter().any(|finding| finding.verdict == verdict);
    let passed = found.findings.is_empty();
    all.audit = if passed {
        format!("whole: {} records, the last is number {}, {} open intents", found.records, found.seq, found.open.len())
    } else {
        format!("NOT whole: {} findings, see audit.json", found.findings.len())
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
    // The newest segment first: when there is no room for all, the oldest stay out.
    files.sort();
    for file in files.iter().rev() {
        whole(&mut all.bundle, &run.home, file, u64::MAX);
    }
    Ok(())
}

fn logs(all: &mut BundleContents, run: &Run, _: &IncidentTrigger) -> Result<(), String> {
    let log = run.home.log();
    let older = log.with_extension("log.1");
    for file in [&log, &older].into_iter().filter(|file| file.exists()) {
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
        all.bundle.lacks("promotion history", "ops/rollouts.md: nothing was promoted or rolled back in this home");
    }
    Ok(())
}

/// Which policy is released, and how it came to be.
fn releases(all: &mut BundleContents, run: &Run, _: &IncidentTrigger) -> Result<(), String> {
    let sources = all.sources.as_ref().ok_or("no configuration is known, and it names the folder")?;
    let (pointer, manifests) = promotion::files(run.home.folder(), &sources.config);
    if pointer.exists() {
        whole(&mut all.bundle, &run.home, &pointer, MAX_SMALL_FILE_BYTES);
    } else {
        let why = format!("{}: there is none; the release is that of the configuration", pointer.display());
        all.bundle.lacks("release pointer", why);
    }
    if manifests.is_empty() {
        all.bundle.lacks("release manifests", "no release of this home was changed");
    }
    // The newest first: when there is no room for all, the oldest stay out.
    for manifest in manifests.iter().rev() {
        whole(&mut all.bundle, &run.home, manifest, MAX_SMALL_FILE_BYTES);
    }
    Ok(())
}

fn newest_snapshot(all: &mut BundleContents, run: &Run, _: &IncidentTrigger) -> Result<(), String> {
    let folder = run.home.snapshots(&run.root, &run.id);
    let mut why = format!("{}: there is none", folder.display());
    for file in snapshots::of(&folder).iter().rev() {
        match snapshots::read(file) {
            Ok(found) => {
                let clean = all.bundle.secrets().town(&found.town);
                let redacted = clean.is_some();
                // Packed anew: bytes of a version before would be read all the same, and a packed secret is not seen.
                let bytes = snapshot::save(&clean.unwrap_or(found.town));
                all.bundle.bytes(inside(&run.home, file), bytes, redacted);
                return Ok(());
            }
            // The damaged one is evidence as well.
            Err(damage) => {
                why = format!("{}: {damage}", file.display());
                all.bundle.lacks(inside(&run.home, file), format!("{damage}; the one before it is taken"));
            }
        }
    }
    Err(why)
}

fn journals(all: &mut BundleContents, run: &Run, _: &IncidentTrigger) -> Result<(), String> {
    let files = run.home.journal_files(&run.id);
    for file in files.iter().rev() {
        whole(&mut all.bundle, &run.home, file, u64::MAX);
    }
    if files.is_empty() { Err(format!("{}: there is none", run.home.journals().display())) } else { Ok(()) }
}

/// The newest snapshot that is whole, with its name. One that breaks its reader is as good as damaged.
fn newest_whole(run: &Run) -> Option<(String, Town)> {
    let files = snapshots::of(&run.home.snapshots(&run.root, &run.id));
    let whole = |file: &PathBuf| {
        let found = catch_unwind(AssertUnwindSafe(|| snapshots::read(file))).ok()?.ok()?;
        Some((inside(&run.home, file), found.town))
    };
    files.iter().rev().find_map(whole)
}

/// A file under the name it has in the home folder, if it fits.
fn whole(bundle: &mut Bundle, home: &Home, file: &Path, most: u64) {
    let name = inside(home, file);
    let size = match std::fs::metadata(file) {
        Ok(found) => found.len(),
        Err(error) => return bundle.lacks(name, error.to_string()),
    };
    if size > most || !bundle.has_room(size) {
        return bundle.lacks(name, format!("its {size} bytes would make the bundle too large"));
    }
    let text = file.extension().is_some_and(|found| found != "tlj" && found != "tls");
    match std::fs::read(file) {
        Ok(bytes) if text => drop(bundle.text(name, &bytes)),
        Ok(bytes) => drop(bundle.bytes(name, bytes, false)),
        Err(error) => bundle.lacks(name, error.to_string()),
    }
}

/// A log's end.
fn end_of(file: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let mut opened = std::fs::File::open(file)?;
    let size = opened.metadata()?.len();
    opened.seek(SeekFrom::Start(size.saturating_sub(MAX_LOG_BYTES)))?;
    let mut bytes = Vec::new();
    opened.take(MAX_LOG_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The name in the bundle: the path below the home. What the configuration keeps elsewhere has a folder of its own there, as no
/// archive leads out of itself.
fn inside(home: &Home, file: &Path) -> String {
    let below = file.strip_prefix(home.folder()).ok();
    let below = below.filter(|path| path.components().all(|part| is_name(&part)));
    let elsewhere = || Path::new("elsewhere").join(file.components().filter(is_name).collect::<PathBuf>());
    below.map_or_else(elsewhere, Path::to_owned).to_string_lossy().replace('\\', "/")
}

fn is_name(part: &Component<'_>) -> bool {
    matches!(part, Component::Normal(_))
}
