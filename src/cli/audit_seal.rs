//! `townlet audit seal`: makes the sealing key of a home and shows its state. The verification key is shown once and stored nowhere.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, ensure};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde_json::json;

use super::output;
use townlet_audit::VerificationKey;
use townlet_shard::Home;
use townlet_tui::format::count;
use townlet_wire::escape;

/// Largest file with a verification key, in bytes.
const MAX_KEY_FILE: u64 = 4 * 1024;

#[derive(clap::Subcommand, Debug)]
pub(super) enum Subcommand {
    /// Make the sealing key of a home and show its verification key, once
    Setup {
        /// Home folder of the shard
        #[arg(long, value_name = "DIR", default_value = ".")]
        home: PathBuf,
        /// Make another key; lines sealed before need the old verification key
        #[arg(long)]
        replace: bool,
    },
    /// Show whether a home is sealed, and how many seals were made
    Status {
        /// Home folder of the shard
        #[arg(long, value_name = "DIR", default_value = ".")]
        home: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: &Subcommand) -> Result<ExitCode> {
    match command {
        Subcommand::Setup { home, replace } => set_up(home, *replace),
        Subcommand::Status { home, json } => status(home, *json),
    }
}

fn set_up(home: &Path, replace: bool) -> Result<ExitCode> {
    output::require_usable_home(home, false)?;
    let home = Home::new(home);
    let key = townlet_audit::set_up(&home.seal_key(), &home.console(), replace).map_err(|why| anyhow!(why))?;
    let text = key.to_string();
    let code = QrCode::new(&text).context("the verification key does not fit a QR code")?;
    let code = code.render::<Dense1x2>().build();
    let printed = output::line(&text);
    if printed.is_err() || output::stdout_closed() {
        output::stderr!(
            "townlet: the verification key could not be shown, and without it no seal can be proven. Run it again with `--replace`."
        );
        printed?;
        return Ok(ExitCode::from(super::EXIT_FAILED));
    }
    output::stderr!("{code}");
    output::stderr!("This is the verification key ({}). It is not shown again and is stored nowhere.", key.id());
    output::stderr!("Keep it off this machine: it proves the seals, and could forge them.");
    output::stderr!("Check the log with `townlet audit verify --key FILE`.");
    Ok(ExitCode::SUCCESS)
}

fn status(home: &Path, json: bool) -> Result<ExitCode> {
    output::require_home(home)?;
    let path = Home::new(home).seal_key();
    let status = townlet_audit::seal_status(&path).map_err(|why| anyhow!(why))?;
    if json {
        output::json(&json!({ "sealed": status.is_some(), "key": status }))?;
    } else {
        output::line(&status.map_or_else(
            || format!("not sealed: {} does not exist. `townlet audit seal setup` makes it.", path.display()),
            |it| {
                let pending = if it.pending > 0 { format!(", {} not in a log yet", it.pending) } else { String::new() };
                format!("sealed with the key {} of {}: {}{pending}", it.key_id, it.made, count(it.seals, "seal"))
            },
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A verification key, or the file that holds one.
pub(super) fn verification_key(text: &str) -> Result<VerificationKey> {
    let path = Path::new(text);
    if !path.exists() {
        // An argument that is no file is a key; it must not appear in a message.
        return VerificationKey::parse(text).map_err(|why| anyhow!("--key: neither a file nor a key: {why}"));
    }
    let content = output::read_text(path, MAX_KEY_FILE)?;
    let name = escape(text);
    ensure!(!content.trim().is_empty(), "--key {name}: the file is empty.");
    VerificationKey::parse(&content).map_err(|why| anyhow!("--key {name}: {why}"))
}
