//! The user's configuration file: theme, mouse, keys, notifications and known shards, in `townlet/config.yaml` of the user's
//! config folder.

mod yaml_edit;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use etcetera::BaseStrategy;
use townlet_town::config::{TextFormat, free, parse_file, text};

use super::connect::read_secret;
use townlet_tui::keymap::Keymap;
use townlet_tui::notification::{Desktop, Notifications, SEVERITIES};
use townlet_tui::pane::ReasonPrompt;
use townlet_tui::settings::{ChangedSettings, Settings};
use townlet_tui::theme::Theme;
use townlet_tui::wall_clock::Clock;
use townlet_tui::webhook::Webhook;
use townlet_wire::escape;

townlet_town::section! {
    /// The user's configuration.
    UserConfig {
        /// `dark`, `light`, `high-contrast`, `colour-blind`.
        theme: Option<String> = text(TextFormat::Label),
        /// Whether the mouse is used.
        mouse: Option<bool> = free(),
        /// Whether the last screen stays in the scrollback on quitting.
        keep_screen: Option<bool> = free(),
        /// Zone of the times on screen: `local` or `utc`.
        clock: Option<String> = text(TextFormat::Label),
        /// The console and the keys that send commands.
        console: Option<Console> = free(),
        /// Keys by action.
        keys: Option<BTreeMap<String, String>> = text(TextFormat::Label),
        /// Notifications of alerts outside the screen.
        notify: Option<Notify> = free(),
        /// Shards that `townlet observe` knows by name, in the order of the fleet screen.
        shards: Option<Vec<ShardRow>> = free(),
    }

    /// How commands are sent.
    Console {
        /// When the reason of a command is asked for: `ask`, `optional`, `required`.
        reason: Option<String> = text(TextFormat::Label),
    }

    /// Notifications of alerts outside the screen.
    Notify {
        /// The least severity for bell and desktop: `off`, `warning` or `critical`.
        from: Option<String> = text(TextFormat::Label),
        /// Whether the bell rings.
        bell: Option<bool> = free(),
        /// Message on the desktop: `off`, `osc9` or `osc777`, whichever the terminal understands.
        desktop: Option<String> = text(TextFormat::Label),
        /// Address that changes of alerts are posted to.
        webhook: Option<WebhookConfig> = free(),
    }

    /// Address that changes of alerts are posted to.
    WebhookConfig {
        /// Address, http or https.
        url: String = free(),
        /// The least severity: `warning` or `critical` (default).
        min_severity: Option<String> = text(TextFormat::Label),
        /// Further headers by name.
        headers: Option<BTreeMap<String, String>> = free(),
        /// Environment variable with a bearer token.
        token_env: Option<String> = text(TextFormat::Label),
        /// File with a bearer token, readable only by its owner.
        token_file: Option<PathBuf> = text(TextFormat::Path),
    }

    /// A remote shard.
    ShardRow {
        /// The operator's name for it.
        name: String = text(TextFormat::Label),
        /// Address of its service.
        url: String = text(TextFormat::Path),
        /// Name of the shard that must answer there. Without it, any that was seen there before.
        shard: Option<String> = text(TextFormat::Label),
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

/// The text of the file. A missing file counts as empty.
fn read(path: &Path) -> Result<String> {
    match townlet_files::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        other => other.map_err(|error| anyhow!("{}: {error}", path.display())),
    }
}

pub(super) fn parse(path: &Path, text: &str) -> Result<UserConfig> {
    let file = path.display().to_string();
    let user: UserConfig = parse_file(&file, text)?.0;
    let mut names = BTreeSet::new();
    for shard in user.shards.iter().flatten() {
        ensure!(names.insert(&shard.name), "{file}: shards: two have the name `{}`.", escape(&shard.name));
    }
    Ok(user)
}

/// Reads the file. A missing file counts as empty.
pub(super) fn load() -> Result<UserConfig> {
    let path = path().unwrap_or_default();
    parse(&path, &read(&path)?)
}

/// Reads a text as [`load`] does, and the settings and keys in it.
pub(super) fn try_read(text: &str) -> Result<()> {
    let user = parse(Path::new("config.yaml"), text)?;
    user.settings(&Theme::named("dark", true).expect("a theme"))?;
    user.keymap().map(drop)
}

/// Writes the settings that changed to the file. Other keys, their order and comments stay. Returns the path of the file.
pub(super) fn save(changed: &ChangedSettings) -> Result<PathBuf, String> {
    let path = path().ok_or("there is no home folder.")?;
    // A link, as dotfile managers make them, stays a link.
    let file = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
    let write = || -> Result<()> {
        let text = edited(&path, read(&file)?, changed)?;
        townlet_files::write_atomically(&file, text.as_bytes()).map_err(|error| anyhow!("{}: {error}", path.display()))
    };
    write().map_err(|error| error.to_string().lines().next().unwrap_or_default().to_owned())?;
    Ok(path)
}

/// The text of the file with changed settings.
fn edited(path: &Path, mut text: String, changed: &ChangedSettings) -> Result<String> {
    let before = values(&changed.before);
    let mut changes: Vec<_> = values(&changed.after).into_iter().filter(|value| !before.contains(value)).collect();
    // Bell and desktop mean nothing without a severity.
    if changes.iter().any(|(key, _)| key[0] == "notify") {
        changes.extend(values(&changed.after).into_iter().filter(|(key, _)| *key == ["notify", "from"]));
    }
    for (key, value) in changes {
        text =
            yaml_edit::set(&text, key, value).map_err(|why| anyhow!("{}: {}: {why}", path.display(), key.join(".")))?;
    }
    // What cannot be read again is not written.
    parse(path, &text)?.settings(&changed.after.theme)?;
    Ok(text)
}

/// Keys and values of settings, as the file has them.
fn values(settings: &Settings) -> [(&'static [&'static str], &'static str); 7] {
    let switch = |on: bool| if on { "true" } else { "false" };
    let notifications = settings.notifications;
    [
        (&["theme"], settings.theme.name),
        (&["mouse"], switch(settings.mouse)),
        (&["clock"], settings.clock.name()),
        (&["console", "reason"], settings.reason.name()),
        (&["notify", "from"], notifications.from.map_or("off", |from| SEVERITIES[from])),
        (&["notify", "bell"], switch(notifications.bell)),
        (&["notify", "desktop"], Desktop::name(notifications.desktop)),
    ]
}

/// A setting that has none of its values.
fn not_one_of(key: &str, value: &str, values: &[&str]) -> anyhow::Error {
    let file = path().unwrap_or_default();
    anyhow!("{}: {key}: `{value}` is not one of {}.", file.display(), values.join(", "))
}

impl UserConfig {
    /// What the settings window changes, with this theme.
    pub(super) fn settings(&self, theme: &Theme) -> Result<Settings> {
        let clock = match self.clock.as_deref() {
            None => Clock::default(),
            Some(name) => Clock::named(name).ok_or_else(|| not_one_of("clock", name, &Clock::NAMES))?,
        };
        let reason = match self.console.as_ref().and_then(|console| console.reason.as_deref()) {
            None => ReasonPrompt::default(),
            Some(name) => {
                ReasonPrompt::named(name).ok_or_else(|| not_one_of("console.reason", name, &ReasonPrompt::NAMES))?
            }
        };
        let notifications = self.notifications()?;
        Ok(Settings { theme: *theme, mouse: self.mouse.unwrap_or(true), reason, notifications, clock })
    }

    /// What is notified outside the screen.
    fn notifications(&self) -> Result<Notifications> {
        let Some(notify) = &self.notify else { return Ok(Notifications::default()) };
        let from = match notify.from.as_deref() {
            None | Some("off") => None,
            Some(name) => Some(severity("notify.from", name, &["off"])?),
        };
        if notify.from.is_none() && (notify.bell.is_some() || notify.desktop.is_some()) {
            let file = path().unwrap_or_default();
            bail!("{}: notify.from: it is missing. Use off, {}.", file.display(), SEVERITIES.join(" or "));
        }
        let desktop = match notify.desktop.as_deref() {
            None => None,
            Some(name) => Desktop::named(name).ok_or_else(|| not_one_of("notify.desktop", name, &Desktop::NAMES))?,
        };
        let webhook_from = match &notify.webhook {
            None => None,
            Some(WebhookConfig { min_severity: None, .. }) => Some(SEVERITIES.len() - 1),
            Some(WebhookConfig { min_severity: Some(name), .. }) => {
                Some(severity("notify.webhook.min_severity", name, &[])?)
            }
        };
        Ok(Notifications { from, bell: notify.bell.unwrap_or(true), desktop, webhook_from })
    }

    /// The webhook, checked; nothing is sent.
    pub(super) fn webhook(&self) -> Result<Option<Webhook>> {
        let Some(config) = self.notify.as_ref().and_then(|notify| notify.webhook.as_ref()) else { return Ok(None) };
        let file = path().unwrap_or_default();
        let key = |key: &str| format!("{}: notify.webhook.{key}", file.display());
        let token = match (&config.token_env, &config.token_file) {
            (Some(_), Some(_)) => bail!("{}: it excludes token_env. Use one of them.", key("token_file")),
            (Some(name), None) => {
                let token = std::env::var(name).ok().filter(|token| !token.trim().is_empty());
                Some(token.with_context(|| {
                    format!("{}: the variable `{name}` is not set. Set it to the token.", key("token_env"))
                })?)
            }
            (None, Some(path)) => Some(read_secret(path).map_err(|why| anyhow!("{}: {why}", key("token_file")))?),
            (None, None) => None,
        };
        let headers = config.headers.iter().flatten().map(|(name, value)| (name.as_str(), value.as_str()));
        let webhook = Webhook::new(&config.url, headers, token.as_deref().map(str::trim));
        webhook.map(Some).map_err(|invalid| anyhow!("{}: {}", key(invalid.key), invalid.message))
    }

    /// The theme: that of the flag, of the file, or the default.
    pub(super) fn theme(&self, flag: Option<&str>, colour: bool) -> Result<Theme> {
        let name = flag.or(self.theme.as_deref()).unwrap_or("dark");
        Theme::named(name, colour).ok_or_else(|| match flag {
            Some(_) => anyhow!("--theme: `{name}` is not one of {}.", Theme::NAMES.join(", ")),
            None => not_one_of("theme", name, &Theme::NAMES),
        })
    }

    /// The keymap with the user's keys.
    pub(super) fn keymap(&self) -> Result<Keymap> {
        Keymap::remapped(self.keys.as_ref().unwrap_or(&BTreeMap::new())).map_err(|errors| {
            let file = path().map_or_else(|| "the user's config".to_owned(), |path| path.display().to_string());
            anyhow!("{file}: keys:\n  {}", errors.join("\n  "))
        })
    }
}

/// The place of a severity. `others` are values that the key has besides.
fn severity(key: &str, name: &str, others: &[&str]) -> Result<usize> {
    let known = SEVERITIES.iter().position(|known| *known == name);
    known.ok_or_else(|| not_one_of(key, name, &[others, &SEVERITIES].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<Settings, String> {
        let user = parse(Path::new("config.yaml"), text).map_err(|error| error.to_string())?;
        user.settings(&Theme::named("dark", true).expect("a theme")).map_err(|error| error.to_string())
    }

    #[test]
    fn changed_settings_are_written_and_everything_else_stays() {
        let text = "# mine\nmouse: false # the terminal's\nkeys: { approve: f5 }\nconsole:\n  # asked\n  reason: ask\n";
        let before = settings(text).unwrap();
        let theme = Theme::named("light", true).unwrap();
        let mut after = Settings { theme, mouse: true, reason: ReasonPrompt::Required, clock: Clock::Utc, ..before };
        after.notifications.bell = false;
        let written = edited(Path::new("config.yaml"), text.to_owned(), &ChangedSettings { before, after }).unwrap();
        assert_eq!(
            written,
            "# mine\nmouse: true # the terminal's\nkeys: { approve: f5 }\nconsole:\n  # asked\n  reason: required\n\
             theme: light\nclock: utc\nnotify: { from: off, bell: false }\n"
        );
        assert_eq!(settings(&written).unwrap(), Settings { theme: before.theme, ..after });
        let back = ChangedSettings { before: after, after: Settings { theme, ..before } };
        let written = edited(Path::new("config.yaml"), written, &back).unwrap();
        assert_eq!(settings(&written).unwrap(), before);
    }

    #[test]
    fn a_name_stands_for_one_shard() {
        let row = |name: &str, port: u16| format!("{{ name: {name}, url: 'http://127.0.0.1:{port}' }}");
        let with = |names: [&str; 2]| settings(&format!("shards: [{}, {}]", row(names[0], 1), row(names[1], 2)));
        assert!(with(["one", "two"]).is_ok());
        assert_eq!(with(["one", "one"]), Err("config.yaml: shards: two have the name `one`.".to_owned()));
    }

    #[test]
    fn values_that_do_not_exist_are_refused_with_their_key() {
        for (text, why) in [
            ("clock: mars", "clock: `mars` is not one of local, utc."),
            ("notify: { from: info }", "notify.from: `info` is not one of off, warning, critical."),
            ("notify: { bell: true }", "notify.from: it is missing. Use off, warning or critical."),
            ("notify: { from: off, desktop: gnome }", "notify.desktop: `gnome` is not one of off, osc9, osc777."),
            (
                "notify: { webhook: { url: 'http://x', min_severity: all } }",
                "notify.webhook.min_severity: `all` is not",
            ),
        ] {
            let error = settings(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
