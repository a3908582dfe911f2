//! The user's configuration file: theme, mouse, keys and known shards, in `townlet/config.yaml` of the user's config folder.

use std::collections::BTreeMap;
use std::path::PathBuf;

use etcetera::BaseStrategy;
use townlet_town::config::{TextFormat, free, parse_file, text};

use townlet_tui::keymap::Keymap;
use townlet_tui::notification::{Desktop, Notifications, SEVERITIES};
use townlet_tui::pane::ReasonPrompt;

townlet_town::section! {
    /// The user's configuration.
    UserConfig {
        /// `dark`, `light`, `high-contrast`, `colour-blind`.
        theme: Option<String> = text(TextFormat::Label),
        /// Whether the mouse is used.
        mouse: Option<bool> = free(),
        /// Whether the last screen stays in the scrollback on quitting.
        keep_screen: Option<bool> = free(),
        /// The console and the keys that send commands.
        console: Option<Console> = free(),
        /// Keys by action.
        keys: Option<BTreeMap<String, String>> = text(TextFormat::Label),
        /// Notifications of alerts outside the screen.
        notify: Option<Notify> = free(),
        /// Shards that `townlet observe` knows by name, in the order of the fleet screen.
        shards: Option<Vec<Shard>> = free(),
    }

    /// How commands are sent.
    Console {
        /// When the reason of a command is asked for: `ask`, `optional`, `required`.
        reason: Option<String> = text(TextFormat::Label),
    }

    /// Notifications of alerts outside the screen.
    Notify {
        /// The least severity that is notified: `warning` or `critical`.
        from: String = text(TextFormat::Label),
        /// Whether the bell rings.
        bell: Option<bool> = free(),
        /// Message on the desktop: `osc9` or `osc777`, whichever the terminal understands.
        desktop: Option<String> = text(TextFormat::Label),
    }

    /// A remote shard.
    Shard {
        /// The operator's name for it.
        name: String = text(TextFormat::Label),
        /// Address of its service.
        url: String = text(TextFormat::Path),
        /// File with the token.
        token_file: Option<PathBuf> = text(TextFormat::Path),
        /// File with the only accepted certificate authority.
        ca: Option<PathBuf> = text(TextFormat::Path),
        /// `red`, `yellow`, `green`, `blue`, `magenta` or `cyan`, to tell shards apart.
        colour: Option<String> = text(TextFormat::Label),
    }
}

/// Path of the file.
pub(super) fn path() -> Option<PathBuf> {
    Some(etcetera::choose_base_strategy().ok()?.config_dir().join("townlet").join("config.yaml"))
}

/// Reads the file. A missing file counts as empty.
pub(super) fn load() -> anyhow::Result<UserConfig> {
    let path = path().unwrap_or_default();
    let text = match townlet_files::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        other => other.map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?,
    };
    Ok(parse_file(&path.display().to_string(), &text)?.0)
}

impl UserConfig {
    /// When the reason of a command is asked for.
    pub(super) fn reason_prompt(&self) -> anyhow::Result<ReasonPrompt> {
        let Some(name) = self.console.as_ref().and_then(|console| console.reason.as_deref()) else {
            return Ok(ReasonPrompt::default());
        };
        ReasonPrompt::named(name).ok_or_else(|| {
            let names = ReasonPrompt::NAMES.join(", ");
            anyhow::anyhow!("{}: console.reason: `{name}` is not one of {names}.", path().unwrap_or_default().display())
        })
    }

    /// What is notified outside the screen.
    pub(super) fn notifications(&self) -> anyhow::Result<Notifications> {
        let Some(notify) = &self.notify else { return Ok(Notifications::default()) };
        let file = || path().map_or_else(|| "the user's config".to_owned(), |path| path.display().to_string());
        let from = SEVERITIES.iter().position(|name| *name == notify.from);
        anyhow::ensure!(
            from.is_some(),
            "{}: notify.from: `{}` is not a severity. Use {}.",
            file(),
            notify.from,
            SEVERITIES.join(" or ")
        );
        let desktop = match notify.desktop.as_deref() {
            None => None,
            Some("osc9") => Some(Desktop::Osc9),
            Some("osc777") => Some(Desktop::Osc777),
            Some(other) => anyhow::bail!("{}: notify.desktop: `{other}` is unknown. Use osc9 or osc777.", file()),
        };
        Ok(Notifications { from, bell: notify.bell.unwrap_or(true), desktop })
    }

    /// The keymap with the user's keys.
    pub(super) fn keymap(&self) -> anyhow::Result<Keymap> {
        Keymap::remapped(self.keys.as_ref().unwrap_or(&BTreeMap::new())).map_err(|errors| {
            let file = path().map_or_else(|| "the user's config".to_owned(), |path| path.display().to_string());
            anyhow::anyhow!("{file}: keys:\n  {}", errors.join("\n  "))
        })
    }
}
