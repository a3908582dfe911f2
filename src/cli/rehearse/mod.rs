//! `townlet rehearse`: runs the demonstration checklist on temporary towns. Rule: "Demonstration rehearsal".
//!
//! Reads the release from the home folder and writes nothing there.

mod checklist;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use townlet_town::Rules;

use super::config_sources::{self, ConfigSources};
use super::sandbox::{CheckFailure, Sandbox};
use super::{ConfigArgs, EXIT_CHECK_FAILED, output};
use checklist::{CHECKLIST, CheckResult};
use townlet_shard::Driver;
use townlet_shard::policies::PolicyCatalog;
use townlet_wire::escape;

/// The shipped fallback configuration.
const FALLBACK: (&str, &str) = ("configs/fallback.yaml", include_str!("../../../configs/fallback.yaml"));

/// `townlet rehearse`.
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

/// Runs the checklist.
///
/// # Errors
/// An invalid configuration or release; no town starts in that case.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let town = DemoTown::new(config_sources::load(&args.config, Vec::new())?, &args.home)?;
    let fallback = match &args.fallback {
        Some(file) => {
            let config = ConfigArgs { config: Some(file.clone()), settings: Vec::new() };
            config_sources::load(&config, Vec::new())?
        }
        None => config_sources::shipped(FALLBACK.0, FALLBACK.1)?,
    };
    let fallback = DemoTown::new(fallback, &args.home)?;
    let mut report = Report { json: args.json, rows: Vec::new(), failed: Vec::new() };
    for point in &CHECKLIST {
        report.add(point.name, town.run(point.check))?;
    }
    report.add("charter", town.run(|sandbox| checklist::charter(sandbox, args.days)))?;
    report.add("fallback", fallback.run(checklist::fallback))?;
    report.finish(&town)
}

struct Report {
    json: bool,
    rows: Vec<serde_json::Value>,
    failed: Vec<&'static str>,
}

impl Report {
    /// Prints a result at once.
    fn add(&mut self, name: &'static str, found: CheckResult) -> Result<()> {
        let (sign, text, row) = match found {
            Ok(seen) => ('✓', seen.clone(), json!({ "point": name, "passed": true, "seen": seen })),
            Err(CheckFailure { expected, seen }) => {
                self.failed.push(name);
                let row = json!({ "point": name, "passed": false, "expected": expected, "seen": seen });
                ('✗', format!("expected {expected}, found {seen}"), row)
            }
        };
        self.rows.push(row);
        if self.json { Ok(()) } else { output::line(&format!("{sign} {name:<18} {}", escape(&text))) }
    }

    fn finish(self, town: &DemoTown) -> Result<ExitCode> {
        let (config, policy) = (&town.input.loaded.config.config_id, town.driver.id());
        let (all, passed) = (self.rows.len(), self.rows.len() - self.failed.len());
        if self.json {
            output::json(&json!({
                "config_id": config, "policy": policy, "passed": self.failed.is_empty(), "points": self.rows,
            }))?;
        } else if self.failed.is_empty() {
            output::line(&format!("all {all} checks passed: {config} with policy {policy}"))?;
        } else {
            let failed = self.failed.join(", ");
            output::line(&format!("{passed} of {all} checks passed: {config} with policy {policy}. Failed: {failed}"))?;
        }
        Ok(if self.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_CHECK_FAILED) })
    }
}
