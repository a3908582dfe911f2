//! `townlet telemetry`: follows the telemetry of a shard, validates payloads and reads archives.

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
    /// Print the state of a shard as a JSON object
    Snapshot(remote::SnapshotArgs),
    /// Follow a shard, one line per message, until interrupted
    Tail(remote::TailArgs),
    /// Validate payloads against the published schema of their version
    Check(check::Args),
    /// Verify and print archives of the telemetry stream
    Archive(archive::Args),
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    match &args.command {
        Subcommand::Snapshot(args) => remote::snapshot(args),
        Subcommand::Tail(args) => remote::tail(args),
        Subcommand::Check(args) => check::run(args),
        Subcommand::Archive(args) => archive::run(args),
    }
}
