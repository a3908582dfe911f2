//! `townlet preflight`: checks the preconditions of a promotion and says how to fix failures.
//!
//! Changes nothing in the home folder. Rule: "Promotion preflight".

mod checks;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::json;
use townlet_learn::checkpoint::Checkpoint;
use townlet_town::Rules;

use super::ConfigArgs;
use super::config_sources::{self, ConfigSources};
use super::output::{self, CheckReport};
use checks::{CHECKS, Problem, SOURCE};
use townlet_shard::Home;
use townlet_shard::policies::{PolicyCatalog, PolicyError, SCRIPTED};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Configuration of the release; same as `--config`
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    release: Option<PathBuf>,
    /// Configuration of the shadow training [default: trained beside the town]
    #[arg(long, visible_alias = "shadow", value_name = "FILE")]
    shadow_config: Option<PathBuf>,
    /// Checkpoint to promote, an id from `townlet policy list`
    #[arg(long, value_name = "ID")]
    candidate: Option<String>,
    /// Home folder of the shard
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// Also run the checks of the source repository in DIR, `.ci/run`; takes minutes
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// Input of the checks.
struct PreflightContext {
    home: Home,
    release: ConfigSources,
    rules: Rules,
    /// Configuration of the shadow training, if separate.
    shadow: Option<ConfigSources>,
    policies: PolicyCatalog,
    /// The checkpoint to promote, or the reason why it cannot be read.
    candidate: Option<Result<Checkpoint, String>>,
    /// Script with the checks of the source repository.
    script: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    output::require_home(&args.home)?;
    let config = ConfigArgs { config: args.release.clone().or(args.config.config.clone()), ..args.config.clone() };
    let release = config_sources::load(&config, Vec::new())?;
    let shadow = args.shadow_config.clone().map(|file| {
        let config = ConfigArgs { config: Some(file), settings: Vec::new() };
        config_sources::load(&config, Vec::new())
    });
    let shadow = shadow.transpose()?;
    let mut folders = release.loaded.config.policy.clone();
    if let Some(shadow) = &shadow {
        folders.shadow_dir.clone_from(&shadow.loaded.config.policy.shadow_dir);
    }
    let policies = PolicyCatalog::of(&args.home, &folders);
    let candidate = match args.candidate.as_deref() {
        None => None,
        Some(SCRIPTED) => {
            bail!("--candidate {SCRIPTED}: not a checkpoint. Name a checkpoint from `townlet policy list`.")
        }
        Some(name) => match policies.checkpoint(name) {
            Err(why @ PolicyError::Unknown { .. }) => return Err(why.into()),
            found => Some(found.map_err(|why| why.to_string())),
        },
    };
    let script = args.source.as_ref().map(|folder| folder.join(".ci/run"));
    if let Some(script) = script.as_ref().filter(|script| !script.is_file()) {
        bail!("--source: no such file: {}. Name the folder of the repository.", script.display());
    }
    let rules = Rules::new(release.sources.clone())?;
    let context = PreflightContext { home: Home::new(&args.home), release, rules, shadow, policies, candidate, script };
    let mut report = CheckReport::new(args.json, 13);
    for (name, check) in CHECKS.iter().chain(args.source.is_some().then_some(&SOURCE)) {
        let (passed, seen, to_do) = match check(&context) {
            Ok(seen) => (true, seen, None),
            Err(Problem { seen, to_do }) => (false, seen, Some(to_do)),
        };
        let text = to_do.as_ref().map_or_else(|| seen.clone(), |to_do| format!("{seen} {to_do}"));
        let row = json!({ "check": name, "passed": passed, "seen": seen, "to_do": to_do });
        report.add(name, passed, &text, row)?;
    }
    report.finish("", json!({}), "checks")
}
