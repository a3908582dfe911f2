//! The user's configuration: theme, mouse, keys and known shards, from `townlet/config.yaml` in the user's configuration folder.

use std::collections::BTreeMap;
use std::path::PathBuf;

use etcetera::BaseStrategy;
use serde::Deserialize;
use townlet_town::config::parse_typed;

use townlet_tui::keymap::Keymap;

/// Content of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UserConfig {
    /// `dark`, `light`, `high-contrast`, `colour-blind`.
    pub(super) theme: Option<String>,
    /// Capture the mouse.
    pub(super) mouse: Option<bool>,
    /// Keep the last screen in the scrollback on exit.
    pub(super) keep_screen: Option<bool>,
    /// Keys by action.
    pub(super) keys: BTreeMap<String, String>,
    /// Shards by name, in the order of the fleet screen.
    pub(super) shards: Vec<Shard>,
}

/// A remote shard.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shard {
    /// Name for `--connect`.
    pub(super) name: String,
    /// URL of its service.
    pub(super) url: String,
    /// File with the access token.
    pub(super) token_file: Option<PathBuf>,
    /// Trust only this certificate authority (PEM).
    pub(super) ca: Option<PathBuf>,
    /// Colour of its badge: `red`, `yellow`, `green`, `blue`, `magenta` or `cyan`.
    pub(super) colour: Option<String>,
}

/// Path of the file.
pub(super) fn path() -> Option<PathBuf> {
    Some(etcetera::choose_base_strategy().ok()?.config_dir().join("townlet").join("config.yaml"))
}

/// Reads the file; a missing file is empty.
pub(super) fn load() -> anyhow::Result<UserConfig> {
    let Some(path) = path() else { return Ok(UserConfig::default()) };
    match townlet_files::read_to_string(&path) {
        Ok(text) if text.trim().is_empty() => Ok(UserConfig::default()),
        Ok(text) => Ok(parse_typed(&path.display().to_string(), &text)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(UserConfig::default()),
        Err(error) => Err(anyhow::anyhow!("{}: {error}", path.display())),
    }
}

impl UserConfig {
    /// The default keys with the user's changes.
    pub(super) fn keymap(&self) -> anyhow::Result<Keymap> {
        Keymap::remapped(&self.keys).map_err(|errors| {
            let file = path().map_or_else(|| "the user configuration".to_owned(), |path| path.display().to_string());
            anyhow::anyhow!("{file}: keys:\n  {}", errors.join("\n  "))
        })
    }
}
