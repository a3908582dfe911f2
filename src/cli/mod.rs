//! The command line: one file a subcommand, and the one place where errors become exit statuses.
//!
//! The only room that knows all the others. Exit status: 0 fine, 1 a check fell short, 2 bad input, 3 the
//! town broke off, could not be saved or was not reached, 130 interrupted.

mod audit;
mod audit_tail;
mod bench;
mod completions;
mod config;
mod config_sources;
mod connect;
mod console;
mod eval;
mod headless;
mod incident;
mod observe;
mod output;
mod policy;
mod preflight;
pub mod reference_docs;
mod rehearse;
mod replay;
mod run;
mod sandbox;
mod script;
mod serve;
mod snapshot;
mod telemetry;
mod token;
mod train;
mod user_config;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, CommandFactory, Parser, Subcommand};
use townlet_wire::text::escape;

/// Run, watch and operate towns of learning agents.
///
/// Without a subcommand the embedded default town opens in the terminal; with `--headless` it runs in batch.
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
    /// Runs a town: in the terminal, or in batch with `--headless`
    Run(run::Args),
    /// Runs a town without a screen and serves it to other programs
    Serve(serve::Args),
    /// Watches and operates one shard or several over the network
    Observe(observe::Args),
    /// Sends commands to a shard over the network
    Console(console::Args),
    /// Checks, shows and compares configurations
    Config(config::Args),
    /// Verifies, shows and exports the audit log
    Audit(audit::Args),
    /// Rebuilds a run from its journal and checks every digest
    Replay(replay::Args),
    /// Checks what must hold before a promotion, a line a check
    Preflight(preflight::Args),
    /// Tries the checklist before a demonstration on throw-away towns, a line a point
    Rehearse(rehearse::Args),
    /// Packs everything that explains what happened to a run, also of a dead shard; lists incidents
    Incident(incident::Args),
    /// Lists, shows and validates snapshots
    Snapshot(snapshot::Args),
    /// Reads a shard's telemetry; holds payloads to their schema, and reads archives of the raw stream
    Telemetry(telemetry::Args),
    /// Makes, lists and revokes tokens
    Token(token::Args),
    /// Runs a policy over many towns and tells how well they did
    Eval(eval::Args),
    /// Lists trained policies and shows what one is
    Policy(policy::Args),
    /// Trains a policy on a town, from nothing or from the scripted one
    Train(train::Args),
    /// Measures this machine against the speed table
    Bench(bench::Args),
    /// Prints what a shell needs to complete the command line
    Completions(completions::Args),
}

/// Which configuration.
#[derive(Args, Clone, Debug, Default)]
pub struct ConfigArgs {
    /// The shard's configuration file; without one the embedded default
    #[arg(long, value_name = "FILE")]
    pub config: Option<std::path::PathBuf>,
    /// Overrides one setting, such as `--set employment.daily_exit_cap=3`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_setting)]
    pub settings: Vec<(String, String)>,
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("it needs the form KEY=VALUE, such as seed=7")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// The whole command line as data, for completions, references and tests.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Exit status when a check fell short.
const EXIT_CHECK_FAILED: u8 = 1;
/// Exit status for bad input.
const EXIT_BAD_INPUT: u8 = 2;
/// Exit status when the town broke off or could not be saved.
const EXIT_FAILED: u8 = 3;
/// Exit status after ctrl-c.
const EXIT_INTERRUPTED: u8 = 130;

/// Longest line of a message, in characters: what was typed may be endless.
const MAX_LINE_CHARS: usize = 400;

/// A message as a terminal may have it: no escapes, no endless lines.
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

/// Parses, runs, and maps whatever went wrong to a message and a status.
pub fn main() -> ExitCode {
    // Read from the environment variable FAILPOINTS, for as long as the program runs.
    #[cfg(feature = "failpoints")]
    let _scenario = fail::FailScenario::setup();
    // A fail point that panics is death on the spot then, as by `kill -9`.
    #[cfg(feature = "failpoints")]
    if std::env::var_os("FAILPOINTS_ABORT").is_some() {
        std::panic::set_hook(Box::new(|_| std::process::abort()));
    }
    // A limit on the size of files is to whoever writes as a full disk is, and not the end of the program.
    #[cfg(target_os = "linux")]
    drop(signal_hook::flag::register(rustix::process::Signal::XFSZ.as_raw(), Arc::default()));
    let cli = Cli::parse();
    let result = match cli.command {
        None => run::run(&cli.run),
        Some(Command::Run(args)) => run::run(&args),
        Some(Command::Serve(args)) => serve::run(&args),
        Some(Command::Observe(args)) => observe::run(&args),
        Some(Command::Console(args)) => console::run(&args),
        Some(Command::Config(args)) => config::run(&args),
        Some(Command::Audit(args)) => audit::run(&args),
        Some(Command::Replay(args)) => replay::run(&args),
        Some(Command::Preflight(args)) => preflight::run(&args),
        Some(Command::Rehearse(args)) => rehearse::run(&args),
        Some(Command::Incident(args)) => incident::run(&args),
        Some(Command::Snapshot(args)) => snapshot::run(&args),
        Some(Command::Telemetry(args)) => telemetry::run(&args),
        Some(Command::Token(args)) => token::run(&args),
        Some(Command::Eval(args)) => eval::run(&args),
        Some(Command::Policy(args)) => policy::run(&args),
        Some(Command::Train(args)) => train::run(&args),
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Completions(args)) => completions::run(&args),
    };
    result.unwrap_or_else(|error| {
        // Causes stand behind their consequences on lines of their own; nobody sees a backtrace for what they typed.
        output::stderr!("townlet: {}", printable(&error.to_string()));
        for cause in error.chain().skip(1) {
            output::stderr!("  {}", printable(&cause.to_string()));
        }
        ExitCode::from(EXIT_BAD_INPUT)
    })
}
