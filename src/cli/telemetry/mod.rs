//! `townlet telemetry`: payloads held to their published schema, and archives of the raw stream.

mod archive;
mod check;

use std::process::ExitCode;

use anyhow::Result;

/// `townlet telemetry`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// Holds payloads to the published schema of their version, each mistake with its path
    Check(check::Args),
    /// Verifies and shows archives of the raw stream
    Archive(archive::Args),
}

/// Runs it.
///
/// # Errors
/// Input that cannot be read.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    match &args.what {
        What::Check(args) => check::run(args),
        What::Archive(args) => archive::run(args),
    }
}
