//! `townlet rehearse`: runs the demonstration checklist on temporary towns. Rule: "Demonstration rehearsal".
//!
//! Reads the release from the home folder and writes nothing there.

mod checklist;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use townlet_town::Rules;

use super::ConfigArgs;
use super::config_sources::{self, ConfigSources};
use super::output::{self, CheckReport};
use super::sandbox::{CheckFailure, Sandbox};
use checklist::{CHECKLIST, CheckResult};
use townlet_shard::Driver;
use townlet_shard::policies::PolicyCatalog;

const FALLBACK: (&str, &str) = ("configs/fallback.yaml", include_str!("../../../configs/fallback.yaml"));

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Home folder whose release controls the towns; read-only
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// Fallback configuration for unstable demonstrations [default: built in]
    #[arg(long, value_name = "FILE")]
    fallback: Option<PathBuf>,
    /// Days after which the charter targets are checked
    #[arg(long, value_name = "DAYS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    days: u64,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// A configuration with its policy.
struct DemoTown {
    input: ConfigSources,
    driver: Driver,
}

impl DemoTown {
    fn new(input: ConfigSources, home: &std::path::Path) -> Result<Self> {
        let rules = Rules::new(input.sources.clone())?;
        let driver = PolicyCatalog::of(home, &rules.config.policy).released(&rules)?;
        Ok(Self { input, driver })
    }

    /// Runs a check on a new town.
    fn run(&self, check: impl FnOnce(&Sandbox) -> CheckResult) -> CheckResult {
        let sandbox = Sandbox::open(self.input.sources.clone(), self.input.loaded.config.seed, self.driver.clone());
        check(&sandbox.map_err(|why| CheckFailure::new("the town to start", format!("{why:#}")))?)
    }
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    output::require_home(&args.home)?;
    let town = DemoTown::new(config_sources::load(&args.config, Vec::new())?, &args.home)?;
    let fallback = match &args.fallback {
        Some(file) => {
            let config = ConfigArgs { config: Some(file.clone()), settings: Vec::new() };
            config_sources::load(&config, Vec::new())?
        }
        None => config_sources::shipped(FALLBACK.0, FALLBACK.1)?,
    };
    let fallback = DemoTown::new(fallback, &args.home)?;
    let mut report = CheckReport::new(args.json, 18);
    let mut add = |name, result: CheckResult| {
        let (passed, text, row) = match result {
            Ok(seen) => (true, seen.clone(), json!({ "point": name, "passed": true, "seen": seen })),
            Err(CheckFailure { expected, seen }) => {
                let row = json!({ "point": name, "passed": false, "expected": expected, "seen": seen });
                (false, format!("expected {expected}, found {seen}"), row)
            }
        };
        report.add(name, passed, &text, row)
    };
    for (name, check) in CHECKLIST {
        add(name, town.run(check))?;
    }
    add("charter", town.run(|sandbox| checklist::charter(sandbox, args.days)))?;
    add("fallback", fallback.run(checklist::fallback))?;
    let (config, policy) = (&town.input.loaded.config.config_id, town.driver.id());
    let document = json!({ "config_id": config, "policy": policy });
    report.finish(&format!(" ({config} with policy {policy})"), document, "points")
}
