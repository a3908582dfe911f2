//! The command line: one file per subcommand, and the mapping of errors to exit statuses.
//!
//! Exit status: 0 success, 1 a check failed, 2 invalid input, 3 the town stopped with an error, could not be saved or was
//! not reached, or the output could not be written, 130 interrupted.

mod audit;
mod audit_checkpoint;
mod audit_replay;
mod audit_seal;
mod audit_tail;
mod bench;
mod completions;
mod config;
mod config_sources;
mod connect;
mod console;
mod eval;
mod exposure;
pub mod foreign_files;
mod headless;
mod incident;
mod observe;
mod output;
mod policy;
mod preflight;
pub mod reference_docs;
mod rehearse;
mod replay;
mod resumed_config;
mod run;
mod sandbox;
mod script;
mod security;
mod serve;
mod snapshot;
mod telemetry;
mod token;
mod train;
mod tune;
mod user_config;
mod whatif;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, CommandFactory, Parser, Subcommand};
use townlet_wire::escape;

/// Run, watch and operate towns of learning agents.
///
/// Without a subcommand, townlet runs the built-in default town in the terminal.
#[derive(Parser, Debug)]
#[command(name = "townlet", version, about, max_term_width = 100, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    run: run::Args,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run a town in the terminal, or without one with `--headless`
    Run(run::Args),
    /// Run a town without a screen and serve it over the network
    Serve(serve::Args),
    /// Open the terminal interface on one or more shards over the network
    Observe(observe::Args),
    /// Send commands to a shard over the network
    Console(console::Args),
    /// Check, show and compare configurations
    #[command(subcommand)]
    Config(config::Subcommand),
    /// Verify, seal, show and export the audit log
    #[command(subcommand)]
    Audit(audit::Subcommand),
    /// Replay a run from its journal and verify every digest
    Replay(replay::Args),
    /// Ask what would have come of something at a tick of a run
    #[command(name = "whatif")]
    WhatIf(whatif::Args),
    /// Check the preconditions of a promotion
    Preflight(preflight::Args),
    /// Run the demonstration checklist on temporary towns
    Rehearse(rehearse::Args),
    /// Bundle the evidence of a run, also of a crashed shard; list incidents
    #[command(subcommand)]
    Incident(incident::Subcommand),
    /// List, show and validate snapshots
    #[command(subcommand)]
    Snapshot(snapshot::Subcommand),
    /// Follow telemetry, validate payloads and read telemetry archives
    #[command(subcommand)]
    Telemetry(telemetry::Subcommand),
    /// Create, rotate, list and revoke access tokens
    Token(token::Args),
    /// Check permissions, tokens, keys and exposure of a shard
    #[command(subcommand)]
    Security(security::Subcommand),
    /// Evaluate a policy over many towns
    Eval(eval::Args),
    /// List and inspect trained policies
    #[command(subcommand)]
    Policy(policy::Subcommand),
    /// Train a policy
    Train(train::Args),
    /// Search better thresholds for the scripted policy
    Tune(tune::Args),
    /// Measure the performance of this machine
    Bench(bench::Args),
    /// Print a shell completion script
    Completions(completions::Args),
}

/// Options that select a configuration.
#[derive(Args, Clone, Debug, Default)]
pub struct ConfigArgs {
    /// Configuration file [default: built in]
    #[arg(long, value_name = "FILE")]
    pub config: Option<std::path::PathBuf>,
    /// Override a setting, such as `--set employment.daily_exit_cap=3`; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_setting)]
    pub settings: Vec<(String, String)>,
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, such as seed=7")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// The definition of the command line, for completions and tests.
pub fn command() -> clap::Command {
    Cli::command()
}

const EXIT_CHECK_FAILED: u8 = 1;
const EXIT_BAD_INPUT: u8 = 2;
/// The town stopped with an error, could not be saved or was not reached, or the output could not be written.
const EXIT_FAILED: u8 = 3;
const EXIT_INTERRUPTED: u8 = 130;

/// Maximum length of a line of an error message, in characters.
const MAX_LINE_CHARS: usize = 400;

/// A message with escaped control characters and bounded lines, because it may quote input.
fn printable(message: &str) -> String {
    let line = |line: &str| {
        let safe = escape(line);
        match safe.char_indices().nth(MAX_LINE_CHARS) {
            Some((end, _)) => format!("{} …", &safe[..end]),
            None => safe,
        }
    };
    message.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// A parser for one of a fixed set of names.
fn one_of<T: Copy + Send + Sync + 'static>(rows: &'static [(&'static str, T)]) -> impl TypedValueParser<Value = T> {
    let value = |name: String| rows.iter().find(|row| row.0 == name).map(|row| row.1);
    PossibleValuesParser::new(rows.iter().map(|row| row.0)).try_map(move |name| value(name).ok_or("unknown name"))
}

/// Parses the command line, runs the subcommand, and maps errors to a message and an exit status.
pub fn main() -> ExitCode {
    // Reads the environment variable FAILPOINTS.
    #[cfg(feature = "failpoints")]
    let _scenario = fail::FailScenario::setup();
    // Makes a panicking fail point end the process at once, as `kill -9` does.
    #[cfg(feature = "failpoints")]
    if std::env::var_os("FAILPOINTS_ABORT").is_some() {
        std::panic::set_hook(Box::new(|_| std::process::abort()));
    }
    // Handles SIGXFSZ, so that a file size limit is a write error and does not kill the process.
    #[cfg(target_os = "linux")]
    drop(signal_hook::flag::register(rustix::process::Signal::XFSZ.as_raw(), Arc::default()));
    let definition = Cli::command();
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(console) = definition.find_subcommand("console") {
        arguments = console::options_first(arguments, console);
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(message) => return print_usage(&message),
    };
    let result = match cli.command {
        None => run::run(&cli.run),
        Some(Command::Run(args)) => run::run(&args),
        Some(Command::Serve(args)) => serve::run(&args),
        Some(Command::Observe(args)) => observe::run(&args),
        Some(Command::Console(args)) => console::run(&args),
        Some(Command::Config(args)) => config::run(&args),
        Some(Command::Audit(args)) => audit::run(&args),
        Some(Command::Replay(args)) => replay::run(&args),
        Some(Command::WhatIf(args)) => whatif::run(&args),
        Some(Command::Preflight(args)) => preflight::run(&args),
        Some(Command::Rehearse(args)) => rehearse::run(&args),
        Some(Command::Incident(args)) => incident::run(&args),
        Some(Command::Snapshot(args)) => snapshot::run(&args),
        Some(Command::Telemetry(args)) => telemetry::run(&args),
        Some(Command::Token(args)) => token::run(&args),
        Some(Command::Security(args)) => security::run(&args),
        Some(Command::Eval(args)) => eval::run(&args),
        Some(Command::Policy(args)) => policy::run(&args),
        Some(Command::Train(args)) => train::run(&args),
        Some(Command::Tune(args)) => tune::run(&args),
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Completions(args)) => completions::run(&args),
    };
    result.unwrap_or_else(|error| {
        // One line per cause, without a backtrace.
        output::stderr!("townlet: {}", printable(&error.to_string()));
        for cause in error.chain().skip(1) {
            output::stderr!("  {}", printable(&cause.to_string()));
        }
        let ran = error.downcast_ref::<output::OutputLost>().is_some();
        ExitCode::from(if ran { EXIT_FAILED } else { EXIT_BAD_INPUT })
    })
}

/// Prints a help text, the version, or the mistake in the arguments. A mistake quotes the arguments, so it is escaped.
fn print_usage(message: &clap::Error) -> ExitCode {
    let printed = if message.use_stderr() {
        output::print_error(message.render().to_string().trim_end());
        Ok(())
    } else {
        message.print()
    };
    match printed {
        Err(error) if !message.use_stderr() && error.kind() != std::io::ErrorKind::BrokenPipe => {
            output::stderr!("townlet: standard output: {error}");
            ExitCode::from(EXIT_FAILED)
        }
        _ => u8::try_from(message.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from),
    }
}
