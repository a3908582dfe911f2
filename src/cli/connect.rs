//! Shards that other commands connect to: by address, or by a name from the user's config; with a token that stands neither
//! on the command line nor in an address.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use super::user_config::Settings;
use townlet_source::remote::{Client, Target};
use townlet_wire::line::nearest;
use townlet_wire::text::escape;

/// The variable a token may be given in.
const VARIABLE: &str = "TOWNLET_TOKEN";

/// Which shard, and who one is there.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct ConnectArgs {
    /// The shard: an address, such as `http://127.0.0.1:7420`, or a name from `shards` in the user's config
    #[arg(long, value_name = "URL")]
    pub(super) connect: Vec<String>,
    /// File with the token to come with, readable by its owner alone; else the variable `TOWNLET_TOKEN`
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The one authority the shard's certificate may come from, in PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// A shard that can be connected to.
pub(super) struct Place {
    /// As the operator calls it.
    pub(super) name: Option<String>,
    /// Its colour by name.
    pub(super) colour: Option<String>,
    /// Ready to ask.
    pub(super) client: Client,
}

impl ConnectArgs {
    /// Every shard that was asked for; without any, those of the user's config.
    ///
    /// # Errors
    /// What is wrong with one of them, by name.
    pub(super) fn places(&self, settings: &Settings) -> Result<Vec<Place>> {
        let asked: Vec<String> = if self.connect.is_empty() {
            settings.shards.iter().flatten().map(|shard| shard.name.clone()).collect()
        } else {
            self.connect.clone()
        };
        if asked.is_empty() {
            bail!(
                "no shard to connect to: give `--connect http://127.0.0.1:7420`, or list `shards` in the user's config."
            );
        }
        asked.iter().map(|name| self.place(name, settings)).collect()
    }

    /// The one shard that was asked for.
    ///
    /// # Errors
    /// What is wrong with it, or that there are several.
    pub(super) fn single_target(&self, settings: &Settings) -> Result<Place> {
        let mut places = self.places(settings)?;
        match (places.pop(), places.is_empty()) {
            (Some(place), true) => Ok(place),
            _ => bail!("one shard at a time: give one `--connect`."),
        }
    }

    fn place(&self, asked: &str, settings: &Settings) -> Result<Place> {
        let known = settings.shards.iter().flatten().find(|shard| shard.name == asked);
        if known.is_none() && !asked.contains("://") {
            let names = settings.shards.iter().flatten().map(|shard| shard.name.as_str());
            let hint = nearest(asked, names).map_or_else(
                || "An address begins with http:// or https://.".to_owned(),
                |near| format!("Did you mean `{near}`?"),
            );
            bail!("there is no shard `{}` in the user's config. {hint}", escape(asked));
        }
        let url = known.map_or(asked, |shard| &shard.url).to_owned();
        let token_file = self.token_file.as_deref().or(known.and_then(|shard| shard.token_file.as_deref()));
        let ca = self.ca.clone().or_else(|| known.and_then(|shard| shard.ca.clone()));
        let token = match token_file {
            Some(file) => Some(token_of(file)?),
            None => std::env::var(VARIABLE).ok().filter(|token| !token.trim().is_empty()),
        };
        let client = Client::new(&Target { url, token, ca }).map_err(|why| anyhow!("--connect {why}"))?;
        Ok(Place {
            name: known.map(|shard| shard.name.clone()),
            colour: known.and_then(|shard| shard.colour.clone()),
            client,
        })
    }
}

/// The token in a file that nobody else can read.
fn token_of(file: &Path) -> Result<String> {
    let name = escape(&file.display().to_string());
    let found = std::fs::metadata(file).with_context(|| format!("--token-file {name}"))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if found.permissions().mode() & 0o077 != 0 {
            bail!("--token-file {name}: others can read it; `chmod 600` it, and revoke the token if they did.");
        }
    }
    if !found.is_file() || found.len() > 1_024 {
        bail!("--token-file {name}: it holds more than a token.");
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("--token-file {name}"))?;
    let token = text.trim();
    if !token.starts_with("twn_") || token.contains(char::is_whitespace) {
        bail!("--token-file {name}: it holds no token; `townlet token new > FILE` writes one.");
    }
    Ok(token.to_owned())
}

/// A runtime for a program that asks a few things and waits for each.
///
/// # Errors
/// What the system says.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("the network cannot be used")
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
            token_of(&file).map_err(|why| why.to_string())
        };
        assert_eq!(with("twn_a_b\n", 0o600), Ok("twn_a_b".into()));
        assert!(with("twn_a_b\n", 0o640).unwrap_err().contains("others can read it"));
        assert!(with("secret", 0o600).unwrap_err().contains("no token"));
        assert!(with(&"x".repeat(2_000), 0o600).unwrap_err().contains("more than a token"));
        assert!(token_of(folder.path()).is_err());
    }
}
