//! `townlet run`: starts or resumes a town, in the terminal or headless.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use townlet_town::Rules;
use townlet_town::config::Config;

use super::config_sources::{self, ConfigSources};
use super::{ConfigArgs, EXIT_FAILED, EXIT_INTERRUPTED, headless, one_of, output, resumed_config, serve, user_config};
use townlet_shard::policies::{PolicyCatalog, SCRIPTED};
use townlet_shard::training::{TrainingSpec, check_memory};
use townlet_shard::{Driver, Handle, Home, Options, Speed};
use townlet_source::Local;
use townlet_tui::capabilities::{Capabilities, Colours};
use townlet_tui::files;
use townlet_tui::format::count;
use townlet_tui::pane::Screen;
use townlet_tui::settings::Settings;
use townlet_tui::theme::Theme;
use townlet_tui::{TerminalSession, WatchedSource};
use townlet_wire::{Role, SCHEMA_VERSION};

const SCRIPT_HELP: &str =
    r#"Run commands at given ticks, from JSON lines: {"tick": 120, "command": "employment_exit approve ada"}"#;

/// Options that start or resume a shard.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct LaunchArgs {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// Folder for logs, snapshots and ops notes
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) home: PathBuf,
    /// Random seed; overrides the configuration
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Resume RUN, or the shard's newest run
    #[arg(long, value_name = "RUN", num_args = 0..=1, default_missing_value = "")]
    pub(super) resume: Option<String>,
    /// Do not resume with the run's own configuration when the given one differs or cannot be read
    #[arg(long, requires = "resume")]
    pub(super) strict_config: bool,
    /// Train a shadow policy while the town runs; continues the newest training that fits
    #[arg(long)]
    pub(super) train: bool,
}

impl LaunchArgs {
    /// Checks the home, then loads the configuration and the files that it names; when they cannot be used, the one stored in the run that is resumed.
    pub(super) fn load(&self) -> anyhow::Result<ConfigSources> {
        output::require_usable_home(&self.home, self.resume.is_some())?;
        let loaded = config_sources::load(&self.config, self.flags());
        if self.resume.is_none() || self.strict_config {
            return loaded;
        }
        loaded.or_else(|error| resumed_config::stored(self, error))
    }

    /// Settings that other flags than `--set` make.
    pub(super) fn flags(&self) -> Vec<(String, String)> {
        self.seed.map(|seed| ("seed".to_owned(), seed.to_string())).into_iter().collect()
    }
}

/// `townlet run`, and `townlet` without a subcommand.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) launch: LaunchArgs,
    /// Run without a screen, at full speed
    #[arg(long, conflicts_with_all = ["screen", "theme", "no_mouse", "keep_screen"])]
    pub(super) headless: bool,
    /// Stop at this tick
    #[arg(long, value_name = "TICK", requires = "headless", conflicts_with = "days", help_heading = "Headless")]
    pub(super) tick_limit: Option<u64>,
    /// Stop after this many days [default: 10]
    #[arg(long, value_name = "DAYS", requires = "headless", help_heading = "Headless", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(super) days: Option<u64>,
    #[arg(long, value_name = "FILE", requires = "headless", help_heading = "Headless", help = SCRIPT_HELP)]
    pub(super) script: Option<PathBuf>,
    /// Role of the script
    #[arg(long, value_parser = one_of(&ROLES), default_value = "admin", requires = "script", help_heading = "Headless")]
    pub(super) role: Role,
    /// Print the summary as a JSON object
    #[arg(long, requires = "headless", help_heading = "Headless")]
    pub(super) json: bool,
    /// Exit with status 1 if a KPI is missed, a critical alert is raised or a scripted command failed
    #[arg(long, requires = "headless", help_heading = "Headless")]
    pub(super) strict: bool,
    /// Write the audit log of this run to a file as JSON lines
    #[arg(long, value_name = "FILE", requires = "headless", help_heading = "Headless")]
    pub(super) export_audit: Option<PathBuf>,
    /// Initial speed
    #[arg(long, value_parser = one_of(&SPEEDS), default_value = "1x", conflicts_with = "headless", help_heading = "Terminal")]
    pub(super) speed: Speed,
    /// Start paused
    #[arg(long, conflicts_with = "headless", help_heading = "Terminal")]
    pub(super) paused: bool,
    #[command(flatten)]
    pub(super) screen: ScreenArgs,
    /// Also serve the town over the network, such as `--listen 127.0.0.1:7420`
    #[arg(long, value_name = "ADDR", conflicts_with = "headless", help_heading = "Service")]
    pub(super) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(super) tls: TlsArgs,
}

/// Options of the terminal interface.
#[derive(clap::Args, Clone, Debug)]
#[group(id = "screen_options")]
pub(super) struct ScreenArgs {
    /// Initial screen
    #[arg(long, value_parser = one_of(&SCREENS), default_value = "operations", help_heading = "Terminal")]
    pub(super) screen: Screen,
    /// Colour theme; `NO_COLOR` disables colours in every theme
    #[arg(long, value_parser = Theme::NAMES, help_heading = "Terminal")]
    pub(super) theme: Option<String>,
    /// Do not capture the mouse
    #[arg(long, help_heading = "Terminal")]
    pub(super) no_mouse: bool,
    /// Keep the last screen in the scrollback on exit
    #[arg(long, help_heading = "Terminal")]
    pub(super) keep_screen: bool,
}

/// TLS certificate of the service.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct TlsArgs {
    /// Certificate chain in PEM; reloaded when it changes, and by `serve` on SIGHUP
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = "Service")]
    pub(super) tls_cert: Option<PathBuf>,
    /// Private key of the certificate in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "Service")]
    pub(super) tls_key: Option<PathBuf>,
}

pub(super) static ROLES: [(&str, Role); 2] = [("viewer", Role::Viewer), ("admin", Role::Admin)];

pub(super) static SPEEDS: [(&str, Speed); 4] =
    [("1x", Speed::X1), ("10x", Speed::X10), ("100x", Speed::X100), ("max", Speed::Max)];

static SCREENS: [(&str, Screen); 7] = [
    ("operations", Screen::Operations),
    ("town", Screen::Town),
    ("agents", Screen::Agents),
    ("learning", Screen::Learning),
    ("metrics", Screen::Metrics),
    ("audit", Screen::Audit),
    ("economy", Screen::Economy),
];

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let sources = args.launch.load()?;
    if args.headless {
        return headless::run(args, sources);
    }
    output::require_terminal("pass `--headless` to run without one.")?;
    run_screen(args, sources)
}

/// How the town of a shard advances.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) speed: Speed,
    pub(super) paused: bool,
    /// The town advances only on request and does not become the shard's resumable run.
    pub(super) headless: bool,
}

/// Starts or resumes a shard.
pub(super) fn launch(args: &LaunchArgs, pace: Pace, input: ConfigSources) -> anyhow::Result<Handle> {
    let config = &input.loaded.config;
    let mut options = Options {
        home: Home::new(&args.home),
        paused: pace.paused,
        speed: pace.speed,
        held: pace.headless,
        claim: !pace.headless,
        driver: Driver::default(),
        training: None,
        token_file: config.console_auth.enabled.then(|| token_file(&args.home, config)),
        reloader: input.reloader.clone(),
    };
    let Some(run) = args.resume.as_deref() else {
        let rules = Arc::new(Rules::new(input.sources)?);
        options.driver = PolicyCatalog::of(&args.home, &rules.config.policy).released(&rules)?;
        options.training = training_spec(args, &rules, options.driver.id())?;
        let seed = config.seed;
        return Ok(keep_output(townlet_shard::start_with_rules(rules, seed, options)?, &args.home));
    };
    let named = (!run.is_empty()).then(|| run.to_owned());
    let newest = options.home.runs(&config.shard).pop();
    // A newer headless run, such as a smoke test, is not the run that the operator left.
    let claimed = || options.home.last_locked_run(&config.shard).filter(|_| !pace.headless);
    let run = named.clone().or_else(claimed);
    let recorded = townlet_shard::find_run(&options.home, &config.shard, run.as_deref(), &config.snapshot.root)?;
    if let Some(why) = resumed_config::difference(args, &input, &recorded)? {
        options.reloader = options.reloader.map(|reloader| reloader.not_in_force(why));
    }
    options.token_file = recorded.config.console_auth.enabled.then(|| token_file(&args.home, &recorded.config));
    let rules = Rules::new(recorded.sources.clone())?;
    options.driver = PolicyCatalog::of(&args.home, &rules.config.policy).released(&rules)?;
    options.training = training_spec(args, &rules, options.driver.id())?;
    let mut shard = townlet_shard::resume(&recorded, options)?;
    if let Some(newest) = newest.filter(|newest| named.is_none() && *newest != recorded.run_id) {
        shard.notes.push(format!("a newer headless run exists: resume it with `--resume {newest}`."));
    }
    Ok(keep_output(shard, &args.home))
}

/// Copies what this process prints to a file of the run.
fn keep_output(shard: Handle, home: &Path) -> Handle {
    townlet_shard::keep_output(Home::new(home).output(&shard.run_id));
    shard
}

/// The training that runs beside the town, with `--train`.
fn training_spec(args: &LaunchArgs, rules: &Rules, release: &str) -> anyhow::Result<Option<TrainingSpec>> {
    if !args.train {
        return Ok(None);
    }
    let policies = PolicyCatalog::of(&args.home, &rules.config.policy);
    policies.check_folders_differ().map_err(|why| anyhow!("{why} Set policy.shadow_dir to another folder."))?;
    let release = (release != SCRIPTED).then(|| policies.checkpoint(release)).transpose()?;
    let spec = TrainingSpec::new(&rules.sources, release)
        .context("--train: the configuration cannot be combined with the training configuration")?;
    check_memory(spec.rules()).context("--train")?;
    Ok(Some(spec))
}

/// The token store in a home folder.
pub(super) fn token_file(home: &Path, config: &Config) -> PathBuf {
    home.join(&config.console_auth.token_file)
}

/// Options of the terminal interface; flags override the user's configuration.
pub(super) fn screen_options(
    args: &ScreenArgs,
    user: &user_config::UserConfig,
) -> anyhow::Result<townlet_tui::Options> {
    let capabilities = Capabilities::detect().map_err(|why| {
        anyhow::anyhow!("{why}. Use `--headless` or `townlet console`, or set TERM to the terminal's name.")
    })?;
    let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let colour = colour && capabilities.colours != Colours::None;
    let theme = user.theme(args.theme.as_deref(), colour)?;
    let settings = user.settings(&theme)?;
    Ok(townlet_tui::Options {
        settings: Settings { mouse: settings.mouse && !args.no_mouse, ..settings },
        save_settings: Some(user_config::save),
        local_zone: jiff::tz::TimeZone::system(),
        hint_seen: files::hint_seen_file(),
        webhook: user.webhook()?,
        capabilities,
        keymap: user.keymap()?,
        history: files::history_file(),
        layouts: files::layouts_file(),
        bookmarks: files::bookmarks_file(),
        screen: args.screen,
        keep_last_screen: args.keep_screen || user.keep_screen.unwrap_or(false),
    })
}

fn run_screen(args: &Args, input: ConfigSources) -> anyhow::Result<ExitCode> {
    let options = screen_options(&args.screen, &user_config::load()?)?;
    let warnings = input.loaded.warnings.clone();
    let listener = args.listen.map(|listen| serve::bind(listen, &args.tls)).transpose()?;
    let pace = Pace { speed: args.speed, paused: args.paused, headless: false };
    let mut session = TerminalSession::open(options).context("the terminal failed")?;
    let verb = if args.launch.resume.is_some() { "Resuming" } else { "Starting" };
    let message = format!("{verb} shard {}: town, policy, journal", input.loaded.config.shard);
    let launch_args = args.launch.clone();
    let loaded = session.load(&message, move || launch(&launch_args, pace, input)).context("the terminal failed")?;
    let Some(shard) = loaded else { return Ok(ExitCode::from(EXIT_INTERRUPTED)) };
    let shard = Arc::new(shard?);
    let facts = shard_facts(&shard, &args.launch.config);
    let server = listener.map(|listener| serve::serve(listener, &shard, &args.launch.config, false)).transpose()?;
    let notes = shard.notes.clone();
    let requires_token = shard.config.console_auth.enabled;
    let mut source = Local::new(Arc::clone(&shard), issuer(), requires_token, facts);
    if let Some(mut server) = server {
        // Clients are told before the town stops.
        source = source.before_stop(move || server.stop());
    }
    // If the interface panics, the town is saved before the program exits.
    let result = catch_unwind(AssertUnwindSafe(|| session.run(vec![WatchedSource::new(source)])));
    let failed = match &result {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(format!("the terminal failed ({error})")),
        Err(_) => Some("the interface crashed".to_owned()),
    };
    if let Some(why) = failed {
        let saved = stop(&shard)
            .map_or_else(|why| format!("saving failed: {why}"), |path| format!("the town was saved in {path}."));
        output::stderr!(
            "townlet: {why} at tick {}; {saved} Resume with `townlet run{} --resume`.",
            shard.tick(),
            shard.home().option()
        );
        return Ok(ExitCode::from(EXIT_FAILED));
    }
    let last = result.ok().and_then(Result::ok).unwrap_or_default();
    for note in notes.iter().chain(&warnings) {
        output::stderr!("{note}");
    }
    if stop(&shard).is_err() {
        output::stderr!("townlet: {last}");
        return Ok(ExitCode::from(EXIT_FAILED));
    }
    output::notice(&last);
    Ok(ExitCode::SUCCESS)
}

/// Stops a shard, and says first if that has to wait for an incident bundle.
pub(super) fn stop(shard: &Handle) -> Result<String, String> {
    if shard.is_writing_incident() {
        output::stderr!("{}: an incident bundle is being written; it takes up to 20 s.", shard.run_id);
    }
    let stopped = shard.stop();
    match shard.incidents_given_up() {
        0 => {}
        some => output::stderr!(
            "{}: {} that waited were given up; `logs/townlet.log` names the first of them.",
            shard.run_id,
            count(some as u64, "requested incident bundle")
        ),
    }
    stopped
}

/// Labels with versions and paths, for the help screen.
pub(super) fn shard_facts(shard: &Handle, config: &ConfigArgs) -> Vec<(String, String)> {
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

/// The issuer of local commands in the audit log.
fn issuer() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("USERNAME")).unwrap_or_default();
    let user: String = user.chars().filter(|character| character.is_alphanumeric()).take(32).collect();
    if user.is_empty() { "tui".into() } else { format!("tui:{user}") }
}
