//! `townlet telemetry`: a shard's telemetry over the network, payloads held to their published schema, and archives of the raw
//! stream.

mod archive;
mod check;
mod remote;

use std::process::ExitCode;

use anyhow::Result;

/// `townlet telemetry`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Subcommand,
}

#[derive(clap::Subcommand, Debug)]
enum Subcommand {
    /// Prints the state of a shard as one JSON object
    Snapshot(remote::SnapshotArgs),
    /// Follows a shard: a line for each message, until interrupted
    Tail(remote::TailArgs),
    /// Holds payloads to the published schema of their version, each mistake with its path
    Check(check::Args),
    /// Verifies and shows archives of the raw stream
    Archive(archive::Args),
}

/// Runs it.
///
/// # Errors
/// Bad input, or a shard that is not reached.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    match &args.command {
        Subcommand::Snapshot(args) => remote::snapshot(args),
        Subcommand::Tail(args) => remote::tail(args),
        Subcommand::Check(args) => check::run(args),
        Subcommand::Archive(args) => archive::run(args),
    }
}
