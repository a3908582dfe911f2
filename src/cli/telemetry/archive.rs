//! `townlet telemetry archive`: verifies and prints archives of the telemetry stream.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use crate::cli::{EXIT_CHECK_FAILED, output};
use townlet_shard::publish::archive;
use townlet_tui::format::count;
use townlet_wire::escape;

#[derive(clap::Subcommand, Debug)]
pub(in crate::cli) enum Subcommand {
    /// Check the sequence of messages and every digest
    Verify {
        /// Archive files, such as logs/telemetry/<run>-0001.jsonl.zst
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Print the messages as JSON objects, one per line
    Cat {
        /// Archive file
        file: PathBuf,
    },
}

pub(super) fn run(command: &Subcommand) -> Result<ExitCode> {
    match command {
        Subcommand::Verify { files, json } => verify(files, *json),
        Subcommand::Cat { file } => cat(file),
    }
}

fn verify(files: &[PathBuf], as_json: bool) -> Result<ExitCode> {
    let mut whole = true;
    let mut rows = Vec::new();
    for file in files {
        let found = archive::verify(file).map_err(|error| output::read_error(file, &error))?;
        whole &= found.damage.is_none();
        let name = escape(&file.display().to_string());
        if as_json {
            rows.push(json!({ "path": file.to_string_lossy(), "passed": found.damage.is_none(), "contents": found }));
            continue;
        }
        let ticks = found.ticks.map(|(first, last)| format!(", ticks {first} to {last}")).unwrap_or_default();
        let verdict = found.damage.map_or_else(|| "intact".into(), |why| format!("DAMAGED: {}", escape(&why)));
        let (messages, checked) = (count(found.messages, "message"), count(found.checked, "digest"));
        output::line(&format!("{name}: {messages}{ticks}, {checked} checked; {verdict}"))?;
    }
    if as_json {
        output::json(&rows.into())?;
    }
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(EXIT_CHECK_FAILED) })
}

fn cat(file: &Path) -> Result<ExitCode> {
    let mut printed = Ok(());
    let damage = archive::lines(file, |line| {
        printed = output::line(line);
        printed.as_ref().copied().map_err(ToString::to_string)
    });
    printed?;
    let damage = damage.map_err(|error| output::read_error(file, &error))?;
    let Some(why) = damage else { return Ok(ExitCode::SUCCESS) };
    output::stderr!("townlet: {}: {}", escape(&file.display().to_string()), escape(&why));
    Ok(ExitCode::from(EXIT_CHECK_FAILED))
}
