//! `townlet telemetry`: a shard's telemetry for people and programs.

mod connect;

use std::process::ExitCode;

/// `townlet telemetry`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// Prints the state of a shard as one JSON object
    Snapshot(connect::SnapshotArgs),
    /// Follows a shard: a line for each message, until interrupted
    Tail(connect::TailArgs),
}

/// Runs it.
///
/// # Errors
/// Bad input, or a shard that is not reached.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.what {
        What::Snapshot(args) => connect::snapshot(args),
        What::Tail(args) => connect::tail(args),
    }
}
