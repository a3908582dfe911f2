//! `townlet completions`: shell completion scripts, generated from the definition of the command line.

use std::process::ExitCode;

use anyhow::Result;
use clap_complete::Shell;

use super::output;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Shell
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "townlet", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
