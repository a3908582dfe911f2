//! `townlet completions`: what a shell needs to complete this program's command line.
//!
//! Made from the command line's own definition; nothing is listed here.

use std::process::ExitCode;

use anyhow::Result;
use clap_complete::Shell;

use super::output;

/// `townlet completions`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// For which shell
    shell: Shell,
}

/// Runs it.
///
/// # Errors
/// When standard output cannot be written.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "townlet", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
