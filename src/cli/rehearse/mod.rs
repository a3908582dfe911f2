//! `townlet rehearse`: the checklist before a demonstration, check on throw-away towns, a line a point.
//!
//! Owns which towns are made and the telling; the points stand in `points`. Nothing is written into the home it is given:
//! only the release is read there. Rule: "Demonstration rehearsal".

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
use townlet_wire::text::escape;

/// The shipped fallback.
const FALLBACK: (&str, &str) = ("configs/fallback.yaml", include_str!("../../../configs/fallback.yaml"));

/// `townlet rehearse`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// The folder whose release drives the towns; nothing is written there
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// The configuration to go on with when something is unstable; without one the shipped fallback
    #[arg(long, value_name = "FILE")]
    fallback: Option<PathBuf>,
    /// Days after which the charter's targets are looked at
    #[arg(long, value_name = "DAYS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    days: u64,
    /// For a program: one JSON object
    #[arg(long)]
    json: bool,
}

/// Texts with who drives their towns.
struct DemoTown {
    texts: ConfigSources,
    driver: Driver,
}

impl DemoTown {
    fn new(texts: ConfigSources, home: &std::path::Path) -> Result<Self> {
        let rules = Rules::new(texts.sources.clone())?;
        let driver = PolicyCatalog::of(home, &rules.config.policy).released(&rules)?;
        Ok(Self { texts, driver })
    }

    /// Tries something on a new town.
    fn run(&self, check: impl FnOnce(&Sandbox) -> CheckResult) -> CheckResult {
        let sandbox = Sandbox::open(self.texts.sources.clone(), self.texts.loaded.config.seed, self.driver.clone());
        check(&sandbox.map_err(|why| CheckFailure::new("a town starts", format!("{why:#}")))?)
    }
}

/// Runs the checklist.
///
/// # Errors
/// A configuration or a release that is wrong, before any town starts.
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
    let mut report = Report { json: args.json, rows: Vec::new(), missed: Vec::new() };
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
    missed: Vec<&'static str>,
}

impl Report {
    /// A line as soon as its point has been check.
    fn add(&mut self, name: &'static str, found: CheckResult) -> Result<()> {
        let (sign, text, row) = match found {
            Ok(seen) => ('✓', seen.clone(), json!({ "point": name, "passed": true, "seen": seen })),
            Err(CheckFailure { expected, seen }) => {
                self.missed.push(name);
                let row = json!({ "point": name, "passed": false, "expected": expected, "seen": seen });
                ('✗', format!("expected: {expected}; seen: {seen}"), row)
            }
        };
        self.rows.push(row);
        if self.json { Ok(()) } else { output::line(&format!("{sign} {name:<18} {}", escape(&text))) }
    }

    fn finish(self, town: &DemoTown) -> Result<ExitCode> {
        let (config, policy) = (&town.texts.loaded.config.config_id, town.driver.id());
        let (all, held) = (self.rows.len(), self.rows.len() - self.missed.len());
        if self.json {
            output::json(&json!({
                "config_id": config, "policy": policy, "passed": self.missed.is_empty(), "points": self.rows,
            }))?;
        } else if self.missed.is_empty() {
            output::line(&format!("all {all} points hold: {config}, driven by {policy}"))?;
        } else {
            let missed = self.missed.join(", ");
            output::line(&format!("{held} of {all} points hold: {config}, driven by {policy}. Missed: {missed}"))?;
        }
        Ok(if self.missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_CHECK_FAILED) })
    }
}
