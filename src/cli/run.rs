//! `townlet run`, and `townlet` alone: a town in the terminal, or in batch.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use clap::ValueEnum;
use townlet_town::Rules;
use townlet_town::config::{Config, Difference, Layer};

use super::config_sources::{self, ConfigSources};
use super::{ConfigArgs, EXIT_FAILED, EXIT_INTERRUPTED, headless, output, serve, user_config};
use townlet_shard::policies::{PolicyCatalog, SCRIPTED};
use townlet_shard::training::TrainingSpec;
use townlet_shard::{Driver, Handle, Home, Options, Recorded, Speed};
use townlet_source::Local;
use townlet_tui::pane::Screen;
use townlet_tui::terminal;
use townlet_tui::theme::Theme;
use townlet_tui::{TerminalSession, WatchedSource};
use townlet_wire::{Role, SCHEMA_VERSION};

const SCRIPT_HELP: &str =
    r#"Commands at ticks, as JSON lines: {"tick": 120, "command": "employment_exit approve ada"}"#;

/// How to run a town.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// Folder for logs, snapshots and ops notes
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) home: PathBuf,
    /// In batch: no screen, as fast as it goes
    #[arg(long, conflicts_with_all = ["screen", "theme", "no_mouse", "keep_screen"])]
    pub(super) headless: bool,
    /// Seed of all chance, instead of the configuration's
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Goes on where the shard's newest run, or the one named, stopped
    #[arg(long, value_name = "RUN", num_args = 0..=1, default_missing_value = "")]
    pub(super) resume: Option<String>,
    /// Trains a shadow of the policy beside the town, on replicas of it; goes on from the newest training that fits
    #[arg(long)]
    pub(super) train: bool,
    /// Ends the batch when the town is at this tick
    #[arg(long, value_name = "TICK", requires = "headless", conflicts_with = "days", help_heading = "Batch")]
    pub(super) tick_limit: Option<u64>,
    /// Ends the batch after so many more days (10 unless told otherwise)
    #[arg(long, value_name = "DAYS", requires = "headless", help_heading = "Batch", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(super) days: Option<u64>,
    #[arg(long, value_name = "FILE", requires = "headless", help_heading = "Batch", help = SCRIPT_HELP)]
    pub(super) script: Option<PathBuf>,
    /// Role of the script
    #[arg(long, value_enum, default_value = "admin", requires = "script", help_heading = "Batch")]
    pub(super) role: RoleArg,
    /// The summary as one JSON object on standard output
    #[arg(long, requires = "headless", help_heading = "Batch")]
    pub(super) json: bool,
    /// Exit status 1 when a KPI is missed, a critical alert stands, or a scripted command failed
    #[arg(long, requires = "headless", help_heading = "Batch")]
    pub(super) strict: bool,
    /// Writes this run's audit log to a file as JSON lines
    #[arg(long, value_name = "FILE", requires = "headless", help_heading = "Batch")]
    pub(super) export_audit: Option<PathBuf>,
    /// How fast the town runs
    #[arg(long, value_enum, default_value = "1x", conflicts_with = "headless", help_heading = "Terminal")]
    pub(super) speed: SpeedArg,
    /// Opens paused
    #[arg(long, conflicts_with = "headless", help_heading = "Terminal")]
    pub(super) paused: bool,
    #[command(flatten)]
    pub(super) screen: ScreenArgs,
    /// Serves the town over the network as well, such as `--listen 127.0.0.1:7420`
    #[arg(long, value_name = "ADDR", conflicts_with = "headless", help_heading = "Service")]
    pub(super) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(super) tls: TlsArgs,
}

/// How the screen is to be.
#[derive(clap::Args, Clone, Debug)]
#[group(id = "screen_options")]
pub(super) struct ScreenArgs {
    /// First screen
    #[arg(long, value_enum, default_value = "operations", help_heading = "Terminal")]
    pub(super) screen: ScreenArg,
    /// Colours; `NO_COLOR` is honoured whatever the theme
    #[arg(long, value_parser = Theme::NAMES, help_heading = "Terminal")]
    pub(super) theme: Option<String>,
    /// Leaves the mouse to the terminal
    #[arg(long, help_heading = "Terminal")]
    pub(super) no_mouse: bool,
    /// Leaves the last screen in the scrollback on quitting
    #[arg(long, help_heading = "Terminal")]
    pub(super) keep_screen: bool,
}

/// What proves to clients which shard this is.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct TlsArgs {
    /// Certificate chain in PEM; read again when it changes and on SIGHUP
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = "Service")]
    pub(super) tls_cert: Option<PathBuf>,
    /// Its private key in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "Service")]
    pub(super) tls_key: Option<PathBuf>,
}

/// A role on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum RoleArg {
    /// Looks; changes nothing
    Viewer,
    /// May change the town
    Admin,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Viewer => Self::Viewer,
            RoleArg::Admin => Self::Admin,
        }
    }
}

/// A speed on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum SpeedArg {
    #[value(name = "1x")]
    X1,
    #[value(name = "10x")]
    X10,
    #[value(name = "100x")]
    X100,
    Max,
}

impl From<SpeedArg> for Speed {
    fn from(speed: SpeedArg) -> Self {
        match speed {
            SpeedArg::X1 => Self::X1,
            SpeedArg::X10 => Self::X10,
            SpeedArg::X100 => Self::X100,
            SpeedArg::Max => Self::Max,
        }
    }
}

/// A screen on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ScreenArg {
    Operations,
    Town,
    Agents,
    Learning,
    Metrics,
    Audit,
    Economy,
}

impl From<ScreenArg> for Screen {
    fn from(screen: ScreenArg) -> Self {
        match screen {
            ScreenArg::Operations => Self::Operations,
            ScreenArg::Town => Self::Town,
            ScreenArg::Agents => Self::Agents,
            ScreenArg::Learning => Self::Learning,
            ScreenArg::Metrics => Self::Metrics,
            ScreenArg::Audit => Self::Audit,
            ScreenArg::Economy => Self::Economy,
        }
    }
}

/// Runs a town.
///
/// # Errors
/// Bad input, before anything is written.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let flags = args.seed.map(|seed| ("seed".to_owned(), seed.to_string())).into_iter().collect();
    let texts = config_sources::load(&args.config, flags)?;
    if args.headless {
        return headless::run(args, texts);
    }
    output::needs_terminal("use `--headless` for a batch run.")?;
    screen(args, texts)
}

/// A shard as it is asked for on the command line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) config: &'a ConfigArgs,
    pub(super) home: &'a Path,
    /// The run to go on with; empty for the newest.
    pub(super) resume: Option<&'a str>,
    pub(super) paused: bool,
    pub(super) speed: Speed,
    /// In batch: it waits to be told how far, and claims no name.
    pub(super) batch: bool,
    /// With a training beside it.
    pub(super) train: bool,
}

impl Args {
    /// The shard these arguments ask for.
    pub(super) fn wanted(&self) -> Wanted<'_> {
        Wanted {
            config: &self.config,
            home: &self.home,
            resume: self.resume.as_deref(),
            paused: self.paused,
            speed: if self.headless { Speed::Max } else { self.speed.into() },
            batch: self.headless,
            train: self.train,
        }
    }
}

/// Starts or resumes a shard.
///
/// # Errors
/// Why it cannot be.
pub(super) fn launch(wanted: Wanted<'_>, texts: ConfigSources) -> anyhow::Result<Handle> {
    let config = &texts.loaded.config;
    let mut options = Options {
        home: Home::new(wanted.home),
        paused: wanted.paused,
        speed: wanted.speed,
        held: wanted.batch,
        claim: !wanted.batch,
        driver: Driver::default(),
        training: None,
        token_file: config.console_auth.enabled.then(|| token_file(wanted.home, config)),
        reloader: texts.reloader.clone(),
    };
    let Some(run) = wanted.resume else {
        let rules = Rules::new(texts.sources.clone())?;
        options.driver = PolicyCatalog::of(wanted.home, &rules.config.policy).released(&rules)?;
        options.training = recipe(wanted, &rules, options.driver.id())?;
        return Ok(townlet_shard::start(texts.sources, config.seed, options)?);
    };
    let named = (!run.is_empty()).then(|| run.to_owned());
    let newest = options.home.runs(&config.shard).pop();
    // A batch that ran since, such as a smoke run, is not what the shard stopped at.
    let watched = || options.home.claimed(&config.shard).filter(|_| !wanted.batch);
    let run = named.clone().or_else(watched);
    let recorded = townlet_shard::recorded(&options.home, &config.shard, run.as_deref(), &config.snapshot.root)?;
    same_settings(wanted, &texts, &recorded)?;
    let rules = Rules::new(recorded.sources.clone())?;
    options.driver = PolicyCatalog::of(wanted.home, &rules.config.policy).released(&rules)?;
    options.training = recipe(wanted, &rules, options.driver.id())?;
    let mut shard = townlet_shard::resume(&recorded, options)?;
    if let Some(newest) = newest.filter(|newest| named.is_none() && *newest != recorded.run_id) {
        shard.notes.push(format!("the batch {newest} ran later; `--resume {newest}` goes on with that."));
    }
    Ok(shard)
}

/// What a training beside the town is made from, when one is wanted.
fn recipe(wanted: Wanted<'_>, rules: &Rules, release: &str) -> anyhow::Result<Option<TrainingSpec>> {
    if !wanted.train {
        return Ok(None);
    }
    let policies = PolicyCatalog::of(wanted.home, &rules.config.policy);
    policies.apart().map_err(|why| anyhow!("{why} Give policy.shadow_dir a folder of its own."))?;
    let release = (release != SCRIPTED).then(|| policies.checkpoint(release)).transpose()?;
    let recipe = TrainingSpec::new(&rules.sources, release);
    Ok(Some(recipe.context("--train: this town's settings and those it would be taught with do not go together")?))
}

/// A resumed run keeps the configuration it was started with: refuses whatever was asked for and differs.
fn same_settings(wanted: Wanted<'_>, texts: &ConfigSources, recorded: &Recorded) -> anyhow::Result<()> {
    let differs = townlet_town::config::diff(&recorded.config, &texts.loaded.config);
    let asked = |key: &str| {
        let row = texts.loaded.settings.iter().find(|row| row.key == key);
        wanted.config.config.is_some() || row.is_some_and(|row| row.layer != Layer::Default)
    };
    let differs: Vec<Difference> = differs.into_iter().filter(|it| asked(&it.key)).collect();
    if differs.is_empty() {
        return Ok(());
    }
    // What was reloaded last is what it runs under, even where its journal lost that.
    let reloaded = || townlet_shard::reloaded(&Home::new(wanted.home), &recorded.run_id).ok().flatten();
    if differs.iter().all(|it| it.hot) && reloaded() == Some(texts.sources.digest()) {
        return Ok(());
    }
    let keys: Vec<String> = differs.into_iter().map(|it| it.key).collect();
    bail!(
        "{} was started with another configuration: {} {}. Resume it as it was, without `--config`, `--seed`, `--set` \
         and TOWNLET__ variables, or start anew without `--resume`. What a running town takes, `reload_config` gives it.",
        recorded.run_id,
        keys.join(", "),
        if keys.len() == 1 { "differs" } else { "differ" }
    )
}

/// The token store, relative to the shard's home.
pub(super) fn token_file(home: &Path, config: &Config) -> PathBuf {
    home.join(&config.console_auth.token_file)
}

/// How the screen is to be: what was asked for here, else what the user's config says.
///
/// # Errors
/// What is wrong with either.
pub(super) fn screen_options(
    args: &ScreenArgs,
    settings: &user_config::Settings,
) -> anyhow::Result<townlet_tui::Options> {
    let theme = args.theme.clone().or_else(|| settings.theme.clone()).unwrap_or_else(|| "dark".into());
    let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let theme = Theme::named(&theme, colour)
        .with_context(|| format!("theme: there is no `{theme}`; there are {}.", Theme::NAMES.join(", ")))?;
    Ok(townlet_tui::Options {
        theme,
        mouse: !args.no_mouse && settings.mouse.unwrap_or(true),
        keymap: settings.keymap()?,
        history: terminal::history_file(),
        screen: args.screen.into(),
        keep_last_screen: args.keep_screen || settings.keep_screen.unwrap_or(false),
    })
}

fn screen(args: &Args, texts: ConfigSources) -> anyhow::Result<ExitCode> {
    let options = screen_options(&args.screen, &user_config::load()?)?;
    let warnings = texts.loaded.warnings.clone();
    let requires_token = texts.loaded.config.console_auth.enabled;
    let door = args.listen.map(|listen| serve::door(listen, &args.tls)).transpose()?;
    let mut session = TerminalSession::open(options).context("the terminal failed")?;
    let verb = if args.resume.is_some() { "Resuming" } else { "Starting" };
    let message = format!("{verb} shard {}: town, policy, journal", texts.loaded.config.shard);
    let loading = args.clone();
    let loaded = session.load(&message, move || launch(loading.wanted(), texts)).context("the terminal failed")?;
    let Some(shard) = loaded else { return Ok(ExitCode::from(EXIT_INTERRUPTED)) };
    let shard = Arc::new(shard?);
    let facts = facts(&shard, &args.config);
    let server = door.map(|door| serve::serve(door, &shard, &args.config, false)).transpose()?;
    let notes = shard.notes.clone();
    let source = Local::new(Arc::clone(&shard), issuer(), requires_token, facts);
    // A screen that breaks off takes the town along, but saved.
    let looked = catch_unwind(AssertUnwindSafe(|| session.run(vec![WatchedSource::new(source)])));
    let Ok(looked) = looked else {
        drop(server);
        let saved = shard.stop().map_or_else(
            |why| format!("not everything could be saved: {why}"),
            |path| format!("the town was saved: {path}."),
        );
        output::stderr!(
            "townlet: the screen broke off at tick {}; {saved} `townlet run --resume` goes on.",
            shard.tick()
        );
        return Ok(ExitCode::from(EXIT_FAILED));
    };
    let last = looked.context("the terminal failed")?;
    drop(server);
    for note in notes.iter().chain(&warnings) {
        output::stderr!("{note}");
    }
    if shard.stop().is_err() {
        output::stderr!("townlet: {last}");
        return Ok(ExitCode::from(EXIT_FAILED));
    }
    output::line(&last)?;
    Ok(ExitCode::SUCCESS)
}

/// Label → version or path, for the help screen.
pub(super) fn facts(shard: &Handle, config: &ConfigArgs) -> Vec<(String, String)> {
    let home = shard.home();
    let config_name = config.config.as_ref().map_or_else(|| "embedded".into(), |path| path.display().to_string());
    vec![
        ("townlet".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("schema".to_owned(), SCHEMA_VERSION.to_owned()),
        ("run".to_owned(), shard.run_id.clone()),
        ("config".to_owned(), format!("{} ({config_name})", shard.config.config_id)),
        ("audit".to_owned(), home.console().display().to_string()),
        ("journal".to_owned(), home.journals().display().to_string()),
        ("snapshots".to_owned(), home.snapshots(&shard.config.snapshot.root, &shard.run_id).display().to_string()),
        ("screens".to_owned(), home.folder().join("ops/screens").display().to_string()),
        ("decisions".to_owned(), home.employment_log().display().to_string()),
    ]
}

/// Who sits here, for the log.
fn issuer() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("USERNAME")).unwrap_or_default();
    let user: String = user.chars().filter(|character| character.is_alphanumeric()).take(32).collect();
    if user.is_empty() { "tui".into() } else { format!("tui:{user}") }
}
