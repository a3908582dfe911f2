//! What a person prefers, whatever the town: theme, mouse, keys. From `townlet/config.yaml` in the user's config folder.

use std::collections::BTreeMap;
use std::path::PathBuf;

use etcetera::BaseStrategy;
use serde::Deserialize;
use townlet_town::config::parse_typed;

use townlet_tui::keymap::Keymap;

/// The file's content.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UserConfig {
    /// `dark`, `light`, `high-contrast`, `colour-blind`.
    pub(super) theme: Option<String>,
    /// Whether the mouse is taken.
    pub(super) mouse: Option<bool>,
    /// Leave the last screen in the scrollback on quitting.
    pub(super) keep_screen: Option<bool>,
    /// Action → keys.
    pub(super) keys: BTreeMap<String, String>,
    /// Shards that `townlet observe` knows by name, in the order of the fleet screen.
    pub(super) shards: Vec<Shard>,
}

/// A shard somewhere else.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shard {
    /// As the operator calls it.
    pub(super) name: String,
    /// Where it is served.
    pub(super) url: String,
    /// Holds the token to come with.
    pub(super) token_file: Option<PathBuf>,
    /// The one authority its certificate may come from.
    pub(super) ca: Option<PathBuf>,
    /// `red`, `yellow`, `green`, `blue`, `magenta` or `cyan`, so that none is mistaken for another.
    pub(super) colour: Option<String>,
}

/// Where the file is.
pub(super) fn path() -> Option<PathBuf> {
    Some(etcetera::choose_base_strategy().ok()?.config_dir().join("townlet").join("config.yaml"))
}

/// Reads it; a file that is not there is an empty one.
///
/// # Errors
/// Where it is wrong and what would be right.
pub(super) fn load() -> anyhow::Result<UserConfig> {
    let Some(path) = path() else { return Ok(UserConfig::default()) };
    match townlet_files::text(&path) {
        Ok(text) if text.trim().is_empty() => Ok(UserConfig::default()),
        Ok(text) => Ok(parse_typed(&path.display().to_string(), &text)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(UserConfig::default()),
        Err(error) => Err(anyhow::anyhow!("{}: {error}", path.display())),
    }
}

impl UserConfig {
    /// The keys in force.
    ///
    /// # Errors
    /// Every key that is wrong or given twice, by name.
    pub(super) fn keymap(&self) -> anyhow::Result<Keymap> {
        Keymap::remapped(&self.keys).map_err(|errors| {
            let file = path().map_or_else(|| "the user's config".to_owned(), |path| path.display().to_string());
            anyhow::anyhow!("{file}: keys:\n  {}", errors.join("\n  "))
        })
    }
}
