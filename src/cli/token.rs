//! `townlet token`: makes, lists and revokes the tokens that open a shard's console.
//!
//! Owns the default place of the store. How a token is made, stored and compared stands in `shard::tokens`. A token is
//! shown once, on standard output, and never taken from the command line. Rule: "Roles and identity".

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;
use serde_json::json;
use townlet_town::config::Config;

use super::output;
use super::run::token_file;
use townlet_shard::tokens::TokenStore;
use townlet_wire::Role;
use townlet_wire::line::nearest;
use townlet_wire::text::escape;

/// `townlet token`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Subcommand,
    /// The shard's home, whose store is ops/tokens.json
    #[arg(long, global = true, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// Another token store (`console_auth.token_file` of the shard's configuration)
    #[arg(long, global = true, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(clap::Subcommand, Debug)]
enum Subcommand {
    /// Makes a token and prints it this once
    New {
        /// What it makes its holder
        #[arg(long)]
        role: RoleName,
    },
    /// Lists the tokens, without their secrets
    List {
        /// For a program: a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Forgets a token
    Revoke {
        /// The part between `twn_` and the secret, as `token list` shows it
        id: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    /// May change the town and the shard
    Admin,
    /// Looks; changes nothing
    Viewer,
}

/// Runs it.
///
/// # Errors
/// What is wrong with the store or the request.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let file = args.file.clone().unwrap_or_else(|| token_file(&args.home, &Config::default()));
    if std::fs::symlink_metadata(&file).is_ok_and(|found| !found.is_file()) {
        bail!("{}: it is not an ordinary file; nothing was changed. Name one, or a name that is free.", file.display());
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

/// Changes the store under a lock, so that of two changes at once none is lost.
fn change<T>(file: &Path, edit: impl FnOnce(&mut TokenStore) -> Result<T>) -> Result<T> {
    let lock = file.with_extension("lock");
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let held = OpenOptions::new().write(true).create(true).truncate(false).open(&lock);
    let held = held.with_context(|| lock.display().to_string())?;
    held.lock().with_context(|| lock.display().to_string())?;
    let mut tokens = load(file)?;
    let done = edit(&mut tokens)?;
    tokens.save(file).map_err(|why| anyhow!(why))?;
    Ok(done)
}

fn create(file: &Path, role: RoleName) -> Result<()> {
    let role = match role {
        RoleName::Admin => Role::Admin,
        RoleName::Viewer => Role::Viewer,
    };
    let token = change(file, |tokens| tokens.make(role).map_err(|why| anyhow!(why)))?;
    output::line(&token)?;
    output::stderr!("A token for {}; it is not shown again. Its hash is in {}.", role.word(), file.display());
    Ok(())
}

fn list(file: &Path, json: bool) -> Result<()> {
    let tokens = load(file)?;
    if json {
        let row = |token: &townlet_shard::tokens::StoredToken| json!({ "id": token.id, "role": token.role, "created": token.created });
        return output::json(&tokens.stored().iter().map(row).collect());
    }
    if tokens.stored().is_empty() {
        return output::line(&format!("No token in {}; `townlet token new` makes one.", file.display()));
    }
    let mut rows = vec![["id", "role", "created"].map(String::from)];
    rows.extend(
        tokens.stored().iter().map(|token| [token.id.clone(), token.role.word().into(), token.created.clone()]),
    );
    output::print(&output::columns(&rows))
}

fn revoke(file: &Path, id: &str) -> Result<()> {
    // Whoever pastes a whole token by mistake must not find it in the message again.
    let id = id.strip_prefix("twn_").unwrap_or(id);
    let id = id.split('_').next().unwrap_or_default();
    let tokens = load(file)?;
    if !tokens.stored().iter().any(|token| token.id == id) {
        let ids: Vec<&str> = tokens.stored().iter().map(|token| token.id.as_str()).collect();
        let hint = match (nearest(id, ids.iter().copied()), ids.is_empty()) {
            (Some(near), _) => format!("Did you mean `{near}`?"),
            (None, true) => "It holds no token.".into(),
            (None, false) => format!("It holds: {}.", ids.join(", ")),
        };
        bail!("there is no token `{}` in {}. {hint}", escape(id), file.display());
    }
    change(file, |tokens| Ok(tokens.revoke(id)))?;
    output::line(&format!(
        "Revoked {id}. A served shard takes it no more; one on screen reads the store when it is started."
    ))
}
