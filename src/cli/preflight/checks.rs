//! The checks before a promotion: each looks at one thing and says what it saw, and what to do when that is wrong.
//!
//! A row of [`CHECKS`] is a check; a new one needs nothing else. What is tried is tried on a throw-away town. Rule:
//! "Promotion preflight".

use std::path::Path;
use std::process::{Command, Stdio};

use townlet_learn::checkpoint::Checkpoint;
use townlet_learn::{Choice, NetworkPolicy};
use townlet_town::observations::layout;

use super::PreflightContext;
use crate::cli::output;
use crate::cli::sandbox::{CheckFailure, Stage};
use townlet_shard::policies::canonical_existing;
use townlet_shard::{Driver, snapshots};

/// Ticks of a smoke run.
const SMOKE: u64 = 1_000;
/// Room a shard should have: twenty incident bundles of 64 MiB, and its logs and snapshots.
const ROOM: u64 = 2 << 30;

/// What is wrong, and what to do about it.
pub(super) struct Fault {
    /// What was seen.
    pub(super) seen: String,
    /// What to do.
    pub(super) to_do: String,
}

/// What was seen.
type Found = Result<String, Fault>;

/// A check.
pub(super) struct Check {
    /// What it is called.
    pub(super) name: &'static str,
    /// Looks.
    pub(super) run: fn(&PreflightContext) -> Found,
}

const fn check(name: &'static str, run: fn(&PreflightContext) -> Found) -> Check {
    Check { name, run }
}

/// In the order of the handbook.
pub(super) static CHECKS: [Check; 9] = [
    check("config_id", config_id),
    check("observations", observations),
    check("release", release),
    check("candidate", candidate),
    check("folders", folders),
    check("disk", disk),
    check("audit log", audit_log),
    check("smoke run", smoke_run),
    check("stability", stability),
];

/// The repository's own checks, which are asked for.
pub(super) static SOURCE: Check = check("source", source);

fn fault(seen: impl Into<String>, to_do: impl Into<String>) -> Fault {
    Fault { seen: seen.into(), to_do: to_do.into() }
}

/// That release, shadow and candidate say the same.
fn same(
    flight: &PreflightContext,
    what: &str,
    town: String,
    of: fn(&Checkpoint) -> String,
    shadow: Option<String>,
) -> Found {
    let candidate = flight.candidate.as_ref().and_then(|found| found.as_ref().ok()).map(of);
    let others = [("the shadow's configuration", shadow), ("the candidate", candidate)];
    let others: Vec<_> = others.into_iter().filter_map(|(who, value)| Some((who, value?))).collect();
    match others.iter().find(|(_, value)| *value != town) {
        None => Ok(others.iter().fold(town, |text, (who, _)| format!("{text}, as {who}"))),
        Some((who, value)) => Err(fault(
            format!("{town} in the release's configuration, {value} in {who}."),
            format!("Train with the same {what} as the release, or release with that of the shadow."),
        )),
    }
}

fn config_id(flight: &PreflightContext) -> Found {
    let shadow = flight.shadow.as_ref().map(|texts| texts.loaded.config.config_id.clone());
    let town = flight.rules.config.config_id.clone();
    same(flight, "config_id", town, |candidate| candidate.meta.config_id.clone(), shadow)
}

fn observations(flight: &PreflightContext) -> Found {
    let text = |name: &str, hash: &str| format!("{name} ({hash})");
    let of = |config: &townlet_town::config::Config| {
        let layout = layout(config.features.systems.observations);
        text(layout.name, &layout.hash)
    };
    let shadow = flight.shadow.as_ref().map(|texts| of(&texts.loaded.config));
    let seen = |candidate: &Checkpoint| format!("{} ({})", candidate.meta.observations, candidate.meta.layout_hash);
    same(flight, "features.systems.observations", of(&flight.rules.config), seen, shadow)
}

fn released(flight: &PreflightContext) -> Result<Driver, Fault> {
    flight.policies.released(&flight.rules).map_err(|why| {
        let to_do = "`townlet policy list` shows what there is; the release pointer stands in policy.release_dir.";
        fault(why.to_string(), to_do)
    })
}

fn release(flight: &PreflightContext) -> Found {
    let driver = released(flight)?;
    Ok(format!("{} drives the town, whole and made for it", driver.id()))
}

fn candidate(flight: &PreflightContext) -> Found {
    let to_do = "Take another, or train it again; `townlet policy list` shows what there is.";
    match &flight.candidate {
        Some(Err(why)) => Err(fault(why, to_do)),
        Some(Ok(found)) => {
            found.fits(&flight.rules).map_err(|why| fault(why.to_string(), to_do))?;
            Ok(format!("{} is whole, its options and observations are the town's", found.id))
        }
        None => {
            let registry = &flight.policies.shadow;
            let ids = registry.ids();
            let damaged: Vec<String> =
                ids.iter().filter_map(|id| registry.load(id).err()).map(|why| why.to_string()).collect();
            if damaged.is_empty() {
                return Ok(format!("none named; {} shadows, all whole", ids.len()));
            }
            Err(fault(damaged.join("; "), "Move them out of policy.shadow_dir."))
        }
    }
}

fn folders(flight: &PreflightContext) -> Found {
    let (release, shadow) = (flight.policies.release.folder(), flight.policies.shadow.folder());
    let both = format!("{} and {}", release.display(), shadow.display());
    if let Err(why) = flight.policies.check_folders_differ() {
        return Err(fault(why, "Give policy.shadow_dir a folder of its own."));
    }
    let home = &flight.home;
    let written = [release.to_path_buf(), shadow.to_path_buf(), home.console(), home.journals(), home.incidents()];
    for folder in &written {
        if let Err(why) = tempfile::tempfile_in(canonical_existing(folder)) {
            let seen = format!("{} cannot be written to: {why}.", folder.display());
            return Err(fault(seen, "Make it a folder that belongs to whoever runs the shard."));
        }
    }
    Ok(format!("{both} are two, and can be written to"))
}

/// Bytes that may still be written beside a path; `None` where the system does not tell.
#[cfg(target_os = "linux")]
fn room(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(target_os = "linux"))]
fn room(_: &Path) -> Option<u64> {
    None
}

fn disk(flight: &PreflightContext) -> Found {
    let folder = canonical_existing(flight.home.folder());
    match room(&folder) {
        None => Ok("this system does not tell how much room there is".into()),
        Some(free) if free >= ROOM => Ok(format!("{} free", output::bytes(free))),
        Some(free) => Err(fault(
            format!("{} free at {}; {} are wanted.", output::bytes(free), folder.display(), output::bytes(ROOM)),
            "Make room, or move the home.",
        )),
    }
}

fn audit_log(flight: &PreflightContext) -> Found {
    let folder = flight.home.console();
    if !folder.exists() {
        return Ok("none yet".into());
    }
    let to_do = format!("`townlet audit verify {}` says more; keep the folder as it is.", folder.display());
    let report =
        townlet_audit::verify(&folder).map_err(|why| fault(format!("{}: {why}.", folder.display()), &*to_do))?;
    match report.findings().next() {
        Some(finding) => Err(fault(format!("{finding}"), to_do)),
        None => Ok(format!("{} runs, every line as it was written", report.runs.len())),
    }
}

fn stage(flight: &PreflightContext, driver: Driver) -> Result<Stage, Fault> {
    let (sources, seed) = (flight.release.sources.clone(), flight.rules.config.seed);
    let to_do = "`townlet run --headless --tick-limit 1000` shows the same.";
    Stage::open(sources, seed, driver).map_err(|why| fault(format!("the town does not start: {why:#}."), to_do))
}

impl From<CheckFailure> for Fault {
    fn from(CheckFailure { expected, seen }: CheckFailure) -> Self {
        fault(format!("{seen}, instead of: {expected}."), "Look for the cause before anything is promoted.")
    }
}

fn smoke_run(flight: &PreflightContext) -> Found {
    let mut drivers = vec![released(flight)?];
    if let Some(Ok(candidate)) = &flight.candidate {
        let to_do = "Take a candidate that fits the town.";
        let policy = NetworkPolicy::new(candidate, &flight.rules, Choice::default());
        drivers.push(Driver::Network(Box::new(policy.map_err(|why| fault(why.to_string(), to_do))?)));
    }
    let mut told = Vec::new();
    for driver in drivers {
        let id = driver.id().to_owned();
        let stage = stage(flight, driver)?;
        stage.run(SMOKE)?;
        let view = stage.now()?.0;
        if view.health.status != "ok" || view.agents.is_empty() {
            let seen = format!("after {SMOKE} ticks under {id}: {}", view.health.problems.join("; "));
            return Err(fault(seen, "Look for the cause before anything is promoted."));
        }
        told.push(format!("{} residents under {id}", view.agents.len()));
    }
    Ok(format!("{SMOKE} ticks: {}", told.join(", ")))
}

/// A town's windows by number, oldest first; `None` is inconclusive.
struct Watched {
    town: String,
    windows: Vec<(u64, Option<bool>)>,
}

/// The windows in the newest snapshot of the shard's newest run, else those of a throw-away town a window longer than asked
/// for, as newcomers are late on their first day.
fn watched(flight: &PreflightContext) -> Result<Watched, Fault> {
    let config = &flight.rules.config;
    if let Some(run) = flight.home.runs(&config.shard).pop()
        && let Some(file) = snapshots::list(&flight.home.snapshots(&config.snapshot.root, &run)).pop()
    {
        let to_do = "`townlet snapshot validate` offers the good one before it.";
        let found = snapshots::read(&file).map_err(|why| fault(format!("{}: {why}", file.display()), to_do))?;
        let closed = found.town.state().stability.closed.iter();
        return Ok(Watched { town: run, windows: closed.map(|window| (window.number, window.green)).collect() });
    }
    let stage = stage(flight, released(flight)?)?;
    let required = u64::from(config.stability.promotion.required_passes);
    stage.run(u64::from(config.stability.window_ticks) * (required + 1))?;
    let view = stage.now()?.0;
    let green = |verdict: &str| match verdict {
        "green" => Some(true),
        "red" => Some(false),
        _ => None,
    };
    let windows = view.stability.windows.iter().map(|window| (window.number, green(&window.verdict))).collect();
    Ok(Watched { town: "a throw-away town".into(), windows })
}

fn stability(flight: &PreflightContext) -> Found {
    let Watched { town, windows } = watched(flight)?;
    let required = flight.rules.config.stability.promotion.required_passes as usize;
    // Windows that tell nothing neither count nor break a row.
    let conclusive: Vec<_> = windows.iter().filter_map(|(number, green)| Some((number, (*green)?))).collect();
    let newest = &conclusive[conclusive.len().saturating_sub(required)..];
    let listed = |windows: &[(&u64, bool)]| {
        let row = |(number, green): &(&u64, bool)| format!("{number} {}", if *green { "green" } else { "red" });
        windows.iter().map(row).collect::<Vec<_>>().join(", ")
    };
    let seen = format!("{town}: windows {}", if newest.is_empty() { "none yet".into() } else { listed(newest) });
    if newest.len() == required && newest.iter().all(|(_, green)| *green) {
        return Ok(seen);
    }
    let to_do =
        format!("It takes {required} green ones in a row: let the town run on; the Stability pane shows each check.");
    Err(fault(format!("{seen}."), to_do))
}

fn source(flight: &PreflightContext) -> Found {
    let Some(script) = &flight.script else { return Ok("not asked for".into()) };
    let to_do = format!("Run {} and mend what it names.", script.display());
    let run = Command::new(script).stdin(Stdio::null()).output();
    let output = run.map_err(|why| fault(format!("{}: {why}.", script.display()), &*to_do))?;
    if output.status.success() {
        return Ok(format!("{} passed", script.display()));
    }
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing was said").trim();
    Err(fault(format!("{} ended with {}: {last}.", script.display(), output.status), to_do))
}
