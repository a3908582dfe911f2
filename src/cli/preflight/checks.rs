//! The preflight checks. To add one, add a row to [`CHECKS`]. Towns run in a sandbox. Rule: "Promotion preflight".

use std::process::{Command, Stdio};

use townlet_learn::checkpoint::Checkpoint;
use townlet_learn::{Choice, NetworkPolicy};
use townlet_town::observations::layout;

use super::PreflightContext;
use crate::cli::output;
use crate::cli::sandbox::{CheckFailure, Sandbox};
use townlet_shard::policies::canonical_existing;
use townlet_shard::{Driver, snapshots};

/// Length of the smoke run, in ticks.
const SMOKE_TICKS: u64 = 1_000;
/// Required disk space: twenty incident bundles of 64 MiB, plus logs and snapshots.
const MIN_FREE_BYTES: u64 = 2 << 30;

/// A failed check.
pub(super) struct Problem {
    /// What the check found.
    pub(super) seen: String,
    /// How to fix it.
    pub(super) to_do: String,
}

/// What the check found.
type CheckResult = Result<String, Problem>;

/// A check: its name in the output, and what it runs.
pub(super) type Check = (&'static str, fn(&PreflightContext) -> CheckResult);

/// All checks, in the order of the rule.
pub(super) static CHECKS: [Check; 9] = [
    ("config_id", config_id),
    ("observations", observations),
    ("release", release),
    ("candidate", candidate),
    ("folders", folders),
    ("disk", disk),
    ("audit log", audit_log),
    ("smoke run", smoke_run),
    ("stability", stability),
];

/// The checks of the source repository, run with `--source`.
pub(super) static SOURCE: Check = ("source", source);

fn problem(seen: impl Into<String>, to_do: impl Into<String>) -> Problem {
    Problem { seen: seen.into(), to_do: to_do.into() }
}

/// Compares a value of release, shadow and candidate.
fn compare(
    context: &PreflightContext,
    what: &str,
    town: String,
    of: fn(&Checkpoint) -> String,
    shadow: Option<String>,
) -> CheckResult {
    let candidate = context.candidate.as_ref().and_then(|found| found.as_ref().ok()).map(of);
    let others = [("the shadow configuration", shadow), ("the candidate", candidate)];
    let others: Vec<_> = others.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    match others.iter().find(|(_, value)| *value != town) {
        None => Ok(others.iter().fold(town, |text, (name, _)| format!("{text}, same in {name}"))),
        Some((name, value)) => Err(problem(
            format!("{town} in the release configuration, {value} in {name}."),
            format!("Use the same {what} for training and release."),
        )),
    }
}

fn config_id(context: &PreflightContext) -> CheckResult {
    let shadow = context.shadow.as_ref().map(|input| input.loaded.config.config_id.clone());
    let town = context.rules.config.config_id.clone();
    compare(context, "config_id", town, |candidate| candidate.meta.config_id.clone(), shadow)
}

fn observations(context: &PreflightContext) -> CheckResult {
    let text = |name: &str, hash: &str| format!("{name} ({hash})");
    let of = |config: &townlet_town::config::Config| {
        let layout = layout(config.features.systems.observations);
        text(layout.name, &layout.hash)
    };
    let shadow = context.shadow.as_ref().map(|input| of(&input.loaded.config));
    let seen = |candidate: &Checkpoint| format!("{} ({})", candidate.meta.observations, candidate.meta.layout_hash);
    compare(context, "features.systems.observations", of(&context.rules.config), seen, shadow)
}

fn released(context: &PreflightContext) -> Result<Driver, Problem> {
    context.policies.released(&context.rules).map_err(|why| {
        let to_do = "Run `townlet policy list`. The release pointer is in policy.release_dir.";
        problem(why.to_string(), to_do)
    })
}

fn release(context: &PreflightContext) -> CheckResult {
    let driver = released(context)?;
    Ok(format!("{} is intact and fits the town", driver.id()))
}

fn candidate(context: &PreflightContext) -> CheckResult {
    let to_do = "List other candidates with `townlet policy list`, or train this one again.";
    match &context.candidate {
        Some(Err(why)) => Err(problem(why, to_do)),
        Some(Ok(found)) => {
            found.fits(&context.rules).map_err(|why| problem(why.to_string(), to_do))?;
            Ok(format!("{} is intact; options and observations match the town", found.id))
        }
        None => {
            let registry = &context.policies.shadow;
            let ids = registry.ids();
            let damaged: Vec<String> =
                ids.iter().filter_map(|id| registry.load(id).err()).map(|why| why.to_string()).collect();
            if damaged.is_empty() {
                return Ok(format!("no candidate given; shadow checkpoints: {}, all intact", ids.len()));
            }
            Err(problem(damaged.join("; "), "Move them out of policy.shadow_dir."))
        }
    }
}

fn folders(context: &PreflightContext) -> CheckResult {
    let (release, shadow) = (context.policies.release.folder(), context.policies.shadow.folder());
    let both = format!("{} and {}", release.display(), shadow.display());
    if let Err(why) = context.policies.check_folders_differ() {
        return Err(problem(why, "Set policy.shadow_dir to another folder."));
    }
    let home = &context.home;
    let written = [release.to_path_buf(), shadow.to_path_buf(), home.console(), home.journals(), home.incidents()];
    for folder in &written {
        if let Err(why) = tempfile::tempfile_in(canonical_existing(folder)) {
            let seen = format!("{} is not writable: {why}.", folder.display());
            return Err(problem(seen, "Make it writable for the user that runs the shard."));
        }
    }
    Ok(format!("{both} are separate and writable"))
}

fn disk(context: &PreflightContext) -> CheckResult {
    let folder = canonical_existing(context.home.folder());
    match townlet_files::free_bytes(&folder) {
        None => Ok("unknown free space on this system".into()),
        Some(free) if free >= MIN_FREE_BYTES => Ok(format!("{} free", output::bytes(free))),
        Some(free) => {
            let (free, required) = (output::bytes(free), output::bytes(MIN_FREE_BYTES));
            let seen = format!("{free} free at {}; {required} required.", folder.display());
            Err(problem(seen, "Free disk space, or move the home folder."))
        }
    }
}

fn audit_log(context: &PreflightContext) -> CheckResult {
    let folder = context.home.console();
    if !folder.exists() {
        return Ok("none yet".into());
    }
    let to_do = format!("Run `townlet audit verify {}`, and do not change the folder.", folder.display());
    let report =
        townlet_audit::verify(&folder).map_err(|why| problem(format!("{}: {why}.", folder.display()), &*to_do))?;
    match report.findings().next() {
        Some(finding) => Err(problem(format!("{finding}"), to_do)),
        None => Ok(format!("{} runs, every line intact", report.runs.len())),
    }
}

fn sandbox(context: &PreflightContext, driver: Driver) -> Result<Sandbox, Problem> {
    let (sources, seed) = (context.release.sources.clone(), context.rules.config.seed);
    let to_do = "Reproduce it with `townlet run --headless --tick-limit 1000`.";
    Sandbox::open(sources, seed, driver).map_err(|why| problem(format!("the town does not start: {why:#}."), to_do))
}

impl From<CheckFailure> for Problem {
    fn from(CheckFailure { expected, seen }: CheckFailure) -> Self {
        problem(format!("expected {expected}, found {seen}."), "Find the cause before a promotion.")
    }
}

fn smoke_run(context: &PreflightContext) -> CheckResult {
    let mut drivers = vec![released(context)?];
    if let Some(Ok(candidate)) = &context.candidate {
        let to_do = "Choose a candidate that fits the town.";
        let policy = NetworkPolicy::new(candidate, &context.rules, Choice::default());
        drivers.push(Driver::Network(Box::new(policy.map_err(|why| problem(why.to_string(), to_do))?)));
    }
    let mut runs = Vec::new();
    for driver in drivers {
        let id = driver.id().to_owned();
        let sandbox = sandbox(context, driver)?;
        sandbox.run(SMOKE_TICKS)?;
        let view = sandbox.view()?.0;
        if view.health.status != "ok" || view.agents.is_empty() {
            let seen = format!("after {SMOKE_TICKS} ticks with {id}: {}", view.health.problems.join("; "));
            return Err(problem(seen, "Find the cause before a promotion."));
        }
        runs.push(format!("{} residents with {id}", view.agents.len()));
    }
    Ok(format!("{SMOKE_TICKS} ticks: {}", runs.join(", ")))
}

/// The name of a town and its stability windows by number, oldest first; `None` is inconclusive.
type RecentWindows = (String, Vec<(u64, Option<bool>)>);

/// Windows from the newest snapshot of the newest run. Without one, of a sandbox town that runs one window longer than
/// required, because new residents are late on their first day.
fn recent_windows(context: &PreflightContext) -> Result<RecentWindows, Problem> {
    let config = &context.rules.config;
    if let Some(run) = context.home.runs(&config.shard).pop()
        && let Some(file) = snapshots::list(&context.home.snapshots(&config.snapshot.root, &run)).pop()
    {
        let to_do = "Run `townlet snapshot validate` to find the last intact one.";
        let found = snapshots::read(&file).map_err(|why| problem(format!("{}: {why}", file.display()), to_do))?;
        let closed = found.town.state().stability.closed.iter();
        return Ok((run, closed.map(|window| (window.number, window.green)).collect()));
    }
    let sandbox = sandbox(context, released(context)?)?;
    let required = u64::from(config.stability.promotion.required_passes);
    sandbox.run(u64::from(config.stability.window_ticks) * (required + 1))?;
    let view = sandbox.view()?.0;
    let green = |verdict: &str| match verdict {
        "green" => Some(true),
        "red" => Some(false),
        _ => None,
    };
    let windows = view.stability.windows.iter().map(|window| (window.number, green(&window.verdict))).collect();
    Ok(("a sandbox town".into(), windows))
}

fn stability(context: &PreflightContext) -> CheckResult {
    let (town, windows) = recent_windows(context)?;
    let required = context.rules.config.stability.promotion.required_passes as usize;
    // Inconclusive windows are skipped.
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
    let to_do = format!(
        "{required} consecutive green windows are required. Let the town run; the Stability pane shows each check."
    );
    Err(problem(format!("{seen}."), to_do))
}

fn source(context: &PreflightContext) -> CheckResult {
    let Some(script) = &context.script else { return Ok("not requested".into()) };
    let to_do = format!("Run {} and fix what it reports.", script.display());
    let run = Command::new(script).stdin(Stdio::null()).output();
    let output = run.map_err(|why| problem(format!("{}: {why}.", script.display()), &*to_do))?;
    if output.status.success() {
        return Ok(format!("{} passed", script.display()));
    }
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no output").trim();
    Err(problem(format!("{} ended with {}: {last}.", script.display(), output.status), to_do))
}
