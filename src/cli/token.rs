//! `townlet token`: creates, lists and revokes access tokens. Rule: "Roles and identity".
//!
//! A token is printed once and never read from the command line. `townlet_shard::tokens` generates and stores tokens.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::json;
use townlet_town::config::Config;

use super::run::{ROLES, token_file};
use super::{one_of, output};
use townlet_shard::tokens::TokenStore;
use townlet_wire::Role;
use townlet_wire::command_line::nearest;
use townlet_wire::escape;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Subcommand,
    /// Home folder of the shard, with the token store ops/tokens.json
    #[arg(long, global = true, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// Token store, if the configuration sets `console_auth.token_file`
    #[arg(long, global = true, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(clap::Subcommand, Debug)]
enum Subcommand {
    /// Create a token and print it once
    New {
        /// Role: `admin` may change the town and the shard, `viewer` is read-only
        #[arg(long, value_parser = one_of(&ROLES))]
        role: Role,
    },
    /// List the tokens without their secrets
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token
    Revoke {
        /// Token id from `token list`, the part between `twn_` and the secret
        id: String,
    },
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let file = args.file.clone().unwrap_or_else(|| token_file(&args.home, &Config::default()));
    if std::fs::symlink_metadata(&file).is_ok_and(|found| !found.is_file()) {
        bail!("{}: not a regular file; nothing was changed. Name a regular file or a new file.", file.display());
    }
    match &args.command {
        Subcommand::New { role } => create(&file, *role)?,
        Subcommand::List { json } => list(&file, *json)?,
        Subcommand::Revoke { id } => revoke(&file, id)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn load(file: &Path) -> Result<TokenStore> {
    TokenStore::load(file).map_err(|why| anyhow!(why))
}

/// Edits the store under a lock, so that concurrent edits are not lost.
fn change<T>(file: &Path, edit: impl FnOnce(&mut TokenStore) -> Result<T>) -> Result<T> {
    let lock = file.with_extension("lock");
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let held = townlet_files::open_own(&lock, OpenOptions::new().write(true).create(true).truncate(false));
    let held = held.with_context(|| lock.display().to_string())?;
    held.lock().with_context(|| lock.display().to_string())?;
    let mut tokens = load(file)?;
    let done = edit(&mut tokens)?;
    tokens.save(file).map_err(|why| anyhow!(why))?;
    Ok(done)
}

fn create(file: &Path, role: Role) -> Result<()> {
    let token = change(file, |tokens| tokens.create(role).map_err(|why| anyhow!(why)))?;
    // A secret that nobody has seen is of no use and must not stay valid.
    let printed = output::line(&token);
    if printed.is_err() || output::stdout_closed() {
        let id = token.strip_prefix("twn_").and_then(|rest| rest.split('_').next()).unwrap_or_default();
        change(file, |tokens| Ok(tokens.revoke(id)))?;
        output::stderr!("townlet: the token could not be shown, so it was revoked.");
        return printed;
    }
    output::stderr!("New {} token; it is not shown again. Its hash is stored in {}.", role.word(), file.display());
    Ok(())
}

fn list(file: &Path, json: bool) -> Result<()> {
    let tokens = load(file)?;
    if json {
        let row = |token: &townlet_shard::tokens::StoredToken| json!({ "id": token.id, "role": token.role, "created": token.created });
        return output::json(&tokens.stored().iter().map(row).collect());
    }
    if tokens.stored().is_empty() {
        return output::line(&format!("No tokens in {}. Create one with `townlet token new`.", file.display()));
    }
    let mut rows = vec![["id", "role", "created"].map(String::from)];
    rows.extend(
        tokens.stored().iter().map(|token| [token.id.clone(), token.role.word().into(), token.created.clone()]),
    );
    output::print(&output::columns(&rows))
}

fn revoke(file: &Path, id: &str) -> Result<()> {
    // The argument may be a whole token by mistake. The secret must not appear in the message.
    let id = id.strip_prefix("twn_").unwrap_or(id);
    let id = id.split('_').next().unwrap_or_default();
    let tokens = load(file)?;
    if !tokens.stored().iter().any(|token| token.id == id) {
        let ids: Vec<&str> = tokens.stored().iter().map(|token| token.id.as_str()).collect();
        let hint = match (nearest(id, ids.iter().copied()), ids.is_empty()) {
            (Some(near), _) => format!("Did you mean `{near}`?"),
            (None, true) => "The store contains no tokens.".into(),
            (None, false) => format!("Known ids: {}.", ids.join(", ")),
        };
        bail!("unknown token `{}` in {}. {hint}", escape(id), file.display());
    }
    change(file, |tokens| Ok(tokens.revoke(id)))?;
    output::line(&format!(
        "Revoked {id}. A served shard refuses it at once; a shard in a local terminal reads the store at its next start."
    ))
}
