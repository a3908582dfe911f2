//! `townlet telemetry`: follows the telemetry of a shard, validates payloads and reads archives.

mod archive;
mod check;
mod remote;

use std::process::ExitCode;

use anyhow::Result;
pub(super) use check::try_check;

#[derive(clap::Subcommand, Debug)]
pub(super) enum Subcommand {
    /// Print the state of a shard as a JSON object
    Snapshot(remote::SnapshotArgs),
    /// Follow a shard, one line per message, until interrupted
    Tail(remote::TailArgs),
    /// Validate payloads against the published schema of their version
    Check(check::Args),
    /// Verify and print archives of the telemetry stream
    #[command(subcommand)]
    Archive(archive::Subcommand),
}

pub(super) fn run(command: &Subcommand) -> Result<ExitCode> {
    match command {
        Subcommand::Snapshot(args) => remote::snapshot(args),
        Subcommand::Tail(args) => remote::tail(args),
        Subcommand::Check(args) => check::run(args),
        Subcommand::Archive(args) => archive::run(args),
    }
}
