//! `townlet security check`: permissions, tokens, keys, seals, TLS and exposure of a shard, on one page.
//!
//! Reads only. Exit status 1 if something must be mended; with `--strict` warnings count, too. Rule: "Roles and identity".

mod checks;
mod folders;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use jiff::Timestamp;
use serde_json::json;
use townlet_town::config::Config;

use super::run::{TlsArgs, token_file};
use super::{ConfigArgs, EXIT_CHECK_FAILED, config_sources, output};
use townlet_shard::Home;
use townlet_wire::escape;

/// `townlet security`.
#[derive(clap::Subcommand, Debug)]
pub(super) enum Subcommand {
    /// Check permissions, tokens, keys, seals, TLS and exposure; exit with status 1 if something must be mended
    Check(CheckArgs),
}

#[derive(clap::Args, Debug)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Home folder of the shard
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// Address that the shard listens on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7420")]
    listen: SocketAddr,
    #[command(flatten)]
    tls: TlsArgs,
    /// Exit with status 1 also on warnings
    #[arg(long)]
    strict: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    Ok,
    Warning,
    Bad,
}

impl Severity {
    const fn sign(self) -> char {
        match self {
            Self::Ok => '✓',
            Self::Warning => '!',
            Self::Bad => '✗',
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

/// One line of the page.
#[derive(Clone, Debug)]
struct Finding {
    severity: Severity,
    /// What was checked.
    check: &'static str,
    /// The file, folder or setting.
    place: String,
    seen: String,
    /// How to mend it; empty when there is nothing to do.
    to_do: String,
}

impl Finding {
    fn new(severity: Severity, check: &'static str, place: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { severity, check, place: place.into(), seen: seen.into(), to_do: String::new() }
    }

    fn with_advice(self, to_do: impl Into<String>) -> Self {
        Self { to_do: to_do.into(), ..self }
    }

    /// `✗ token store   ops/tokens.json: other users can read it. Run …`.
    fn line(&self) -> String {
        let place = if self.place.is_empty() { String::new() } else { format!("{}: ", self.place) };
        let to_do = if self.to_do.is_empty() { String::new() } else { format!(" {}", self.to_do) };
        escape(&format!("{} {:<12} {place}{}{to_do}", self.severity.sign(), self.check, self.seen))
    }
}

/// What the checks look at.
struct CheckContext {
    home: Home,
    config: Config,
    tokens: PathBuf,
    listen: SocketAddr,
    tls: Option<(PathBuf, PathBuf)>,
    now: Timestamp,
}

pub(super) fn run(command: &Subcommand) -> Result<ExitCode> {
    let Subcommand::Check(args) = command;
    output::require_home(&args.home)?;
    let config = config_sources::load(&args.config, Vec::new())?.loaded.config;
    let context = CheckContext {
        home: Home::new(&args.home),
        tokens: token_file(&args.home, &config),
        config,
        listen: args.listen,
        tls: args.tls.tls_cert.clone().zip(args.tls.tls_key.clone()),
        now: Timestamp::now(),
    };
    let findings: Vec<Finding> = checks::CHECKS.iter().flat_map(|check| check(&context)).collect();
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (bad, warnings) = (count(Severity::Bad), count(Severity::Warning));
    let passed = bad == 0 && (warnings == 0 || !args.strict);
    if args.json {
        let rows = findings.iter().map(|it| {
            json!({
                "status": it.severity.word(), "check": it.check, "where": it.place, "seen": it.seen, "to_do": it.to_do,
            })
        });
        let rows: Vec<serde_json::Value> = rows.collect();
        output::json(&json!({ "passed": passed, "bad": bad, "warnings": warnings, "findings": rows }))?;
    } else {
        findings.iter().try_for_each(|finding| output::line(&finding.line()))?;
        let strict = if args.strict && bad == 0 && warnings > 0 { " (--strict)" } else { "" };
        output::line(&format!("{bad} to mend, {warnings} warnings, {} checks{strict}", findings.len()))?;
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::from(EXIT_CHECK_FAILED) })
}
