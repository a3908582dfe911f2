//! Options that select a remote shard by URL or by a name from the user's configuration.
//!
//! The token comes from a file or from `TOWNLET_TOKEN`, never from the command line or the URL.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::output;
use super::user_config::UserConfig;
use townlet_source::remote::{Client, ExpectedShard, Target};
use townlet_wire::SCHEMA_VERSION;
use townlet_wire::command_line::nearest;
use townlet_wire::escape;
use townlet_wire::service::is_newer;

/// Environment variable with the token.
const TOKEN_VARIABLE: &str = "TOWNLET_TOKEN";

/// Options that select a shard and a token.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct ConnectArgs {
    /// URL of the shard, such as `http://127.0.0.1:7420`, or a name from `shards` in the user configuration
    #[arg(long, value_name = "URL")]
    pub(super) connect: Vec<String>,
    /// File with the access token, readable only by its owner [default: the variable `TOWNLET_TOKEN`]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Trust only this certificate authority (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

pub(super) struct ShardTarget {
    /// Name in the user configuration.
    pub(super) name: Option<String>,
    /// Colour by name.
    pub(super) colour: Option<String>,
    pub(super) client: Client,
}

impl ConnectArgs {
    /// A shard by its URL, with the token of the environment.
    pub(super) fn to(url: &str) -> Self {
        Self { connect: vec![url.to_owned()], ..Self::default() }
    }

    /// The requested shards; without `--connect`, those of the user configuration.
    pub(super) fn targets(&self, user: &UserConfig) -> Result<Vec<ShardTarget>> {
        let requested: Vec<String> = if self.connect.is_empty() {
            user.shards.iter().flatten().map(|shard| shard.name.clone()).collect()
        } else {
            self.connect.clone()
        };
        ensure!(
            !requested.is_empty(),
            "no shard selected. Pass `--connect http://127.0.0.1:7420`, or list `shards` in the user configuration."
        );
        requested.iter().map(|name| self.target(name, user)).collect()
    }

    pub(super) fn single_target(&self, user: &UserConfig) -> Result<ShardTarget> {
        let mut targets = self.targets(user)?;
        match (targets.pop(), targets.is_empty()) {
            (Some(target), true) => Ok(target),
            _ => bail!("several shards selected. Pass one `--connect`."),
        }
    }

    fn target(&self, requested: &str, user: &UserConfig) -> Result<ShardTarget> {
        let known = user.shards.iter().flatten().find(|shard| shard.name == requested);
        if known.is_none() && !requested.contains("://") {
            let names = user.shards.iter().flatten().map(|shard| shard.name.as_str());
            let hint = nearest(requested, names).map_or_else(
                || "A URL begins with http:// or https://.".to_owned(),
                |near| format!("Did you mean `{near}`?"),
            );
            bail!("unknown shard `{}`. {hint}", escape(requested));
        }
        let url = known.map_or(requested, |shard| &shard.url).to_owned();
        // A file is named by who asked for it: an option, or a row of the user's configuration.
        let configured = |key: &str| {
            let file = super::user_config::path().unwrap_or_default();
            format!("{}: shards: {key} of `{}`:", file.display(), escape(requested))
        };
        let token = match (&self.token_file, known.and_then(|shard| shard.token_file.as_deref())) {
            (Some(file), _) => Some(read_token("--token-file", file)?),
            (None, Some(file)) => Some(read_token(&configured("token_file"), file)?),
            (None, None) => std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.trim().is_empty()),
        };
        let ca = self.ca.clone().or_else(|| known.and_then(|shard| shard.ca.clone()));
        // An address stands for the shards of a port, a name for one shard.
        let expected = known
            .map_or(ExpectedShard::Any, |known| known.shard.clone().map_or(ExpectedShard::Known, ExpectedShard::Named));
        let ca_name = ca.as_ref().map(|ca| ca.display().to_string());
        let client = Client::new(&Target { url, token, ca, expected }).map_err(|why| {
            let option = match (ca_name.is_some_and(|name| why.starts_with(&name)), self.ca.is_some()) {
                (true, true) => "--ca".to_owned(),
                (true, false) => configured("ca"),
                (false, _) => "--connect".to_owned(),
            };
            anyhow!("{option} {why}")
        })?;
        Ok(ShardTarget {
            name: known.map(|shard| shard.name.clone()),
            colour: known.and_then(|shard| shard.colour.clone()),
            client,
        })
    }
}

/// Reads a token from a file that only its owner can read; `option` named it.
fn read_token(option: &str, file: &Path) -> Result<String> {
    let text = read_secret(file).map_err(|why| anyhow!("{option} {why}"))?;
    ensure!(
        text.starts_with("twn_") && !text.contains(char::is_whitespace),
        "{option} {}: contains no token. Create one with `townlet token create --role ROLE > FILE`.",
        escape(&file.display().to_string())
    );
    Ok(text)
}

/// Reads a secret of one line from a small file that only its owner can read. An error begins with the file.
pub(super) fn read_secret(file: &Path) -> Result<String> {
    let name = escape(&file.display().to_string());
    let found = std::fs::metadata(file).map_err(|error| output::read_error(file, &error))?;
    ensure!(found.is_file(), "{name}: not a regular file.");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let shared = found.permissions().mode() & 0o077;
        ensure!(
            shared == 0,
            "{name}: readable by other users. Run `chmod 600` on it, and revoke the token if it may have leaked."
        );
    }
    ensure!(found.len() <= 1_024, "{name}: not a token file.");
    let text = townlet_files::read_to_string(file).map_err(|why| anyhow!("{name}: {why}"))?;
    let secret = text.trim();
    ensure!(!secret.is_empty(), "{name}: contains no token.");
    Ok(secret.to_owned())
}

/// A single-threaded runtime.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("cannot start the network runtime")
}

/// Warns that a shard has a newer schema than this program.
pub(super) fn warn_if_newer(version: &str) {
    if is_newer(version) {
        output::stderr!(
            "warning: the shard uses schema {}, newer than {SCHEMA_VERSION}. Read-only until this program is upgraded.",
            escape(version)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_token_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let with = |text: &str, mode| {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            read_token("--token-file", &file).map_err(|why| why.to_string())
        };
        assert_eq!(with("twn_a_b\n", 0o600), Ok("twn_a_b".into()));
        assert!(with("twn_a_b\n", 0o640).unwrap_err().contains("readable by other users"));
        assert!(with("secret", 0o600).unwrap_err().contains("contains no token"));
        assert!(with(&"x".repeat(2_000), 0o600).unwrap_err().contains("not a token file"));
        let why = read_token("--token-file", folder.path()).unwrap_err().to_string();
        assert!(why.ends_with(": not a regular file."), "{why}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_what_named_it() {
        let target = |args: ConnectArgs, row: &str| {
            let user = super::super::user_config::parse(Path::new("config.yaml"), &format!("shards: [{{ {row} }}]"));
            args.target("one", &user.unwrap()).map(|_| ()).unwrap_err().to_string()
        };
        let missing = || Some(PathBuf::from("/no/file"));
        let none = ConnectArgs::default;
        let row = |key: &str| format!("name: one, url: 'https://127.0.0.1:1', {key}: /no/file");
        let why = target(none(), &row("token_file"));
        assert!(why.contains("config.yaml: shards: token_file of `one`: /no/file: "), "{why}");
        let why = target(none(), &row("ca"));
        assert!(why.contains("config.yaml: shards: ca of `one`: /no/file: "), "{why}");
        let why = target(ConnectArgs { token_file: missing(), ..none() }, &row("token_file"));
        assert!(why.starts_with("--token-file /no/file: "), "{why}");
        let why = target(ConnectArgs { ca: missing(), ..none() }, &row("ca"));
        assert!(why.starts_with("--ca /no/file: "), "{why}");
    }
}
