//! `townlet serve`: a town without a screen, served over the network until it is told to stop.
//!
//! Owns signals and the lines on the terminal; the service itself is `server`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::run::{LaunchOptions, SpeedArg, TlsArgs, launch, shard_facts, token_file};
use super::{ConfigArgs, EXIT_FAILED, config_sources, output};
use townlet_server::{BoundListener, Server};
use townlet_shard::{Handle, Log};

/// How often it is result whether the town still runs.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// `townlet serve`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Folder for logs, snapshots and ops notes
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// Where it listens; port 0 takes a free one. Beyond loopback it takes TLS and tokens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7420", help_heading = "Service")]
    listen: SocketAddr,
    #[command(flatten)]
    tls: TlsArgs,
    /// Seed of all chance, instead of the configuration's
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Goes on where the shard's newest run, or the one named, stopped
    #[arg(long, value_name = "RUN", num_args = 0..=1, default_missing_value = "")]
    resume: Option<String>,
    /// Trains a shadow of the policy beside the town, on replicas of it; goes on from the newest training that fits
    #[arg(long)]
    train: bool,
    /// How fast the town runs
    #[arg(long, value_enum, default_value = "1x")]
    speed: SpeedArg,
    /// Begins paused
    #[arg(long)]
    paused: bool,
}

/// Serves a town.
///
/// # Errors
/// Bad input, before anything listens.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let flags = args.seed.map(|seed| ("seed".to_owned(), seed.to_string())).into_iter().collect();
    let texts = config_sources::load(&args.config, flags)?;
    let warnings = texts.loaded.warnings.clone();
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).context("signals")?;
    let launch_options = LaunchOptions {
        config: &args.config,
        home: &args.home,
        resume: args.resume.as_deref(),
        paused: args.paused,
        speed: args.speed.into(),
        batch: false,
        train: args.train,
    };
    let listener = bind(args.listen, &args.tls)?;
    let shard = Arc::new(launch(launch_options, texts)?);
    let mut server = serve(listener, &shard, &args.config, true)?;
    for note in warnings.iter().chain(&shard.notes) {
        output::stderr!("{note}");
    }
    output::line(&format!("{} is served at {}", shard.run_id, server.url()))?;
    let mut stopped = false;
    while !stopped && !shard.is_over() {
        for signal in signals.pending() {
            if signal == SIGHUP && args.tls.tls_cert.is_some() { server.reload() } else { stopped = true }
        }
        if !stopped {
            std::thread::sleep(POLL_INTERVAL);
        }
    }
    // Nobody new is let in while the last snapshot is taken; whoever waits for an answer still gets it.
    server.stop();
    match shard.stop() {
        Ok(path) => {
            output::line(&format!("{} stopped at tick {}; snapshot {path}", shard.run_id, shard.tick()))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(why) => {
            output::stderr!("townlet: {} at tick {}: not everything could be saved: {why}", shard.run_id, shard.tick());
            Ok(ExitCode::from(EXIT_FAILED))
        }
    }
}

/// Takes the place to listen at, before a town is started.
///
/// # Errors
/// What is wrong with it.
pub(super) fn bind(listen: SocketAddr, tls: &TlsArgs) -> Result<BoundListener> {
    let place = townlet_server::ListenOptions { listen, tls: tls.tls_cert.clone().zip(tls.tls_key.clone()) };
    townlet_server::bind(place).map_err(|why| anyhow!(why))
}

/// Serves a shard that runs; refusals go to its log, `to_stderr` also to standard error.
///
/// # Errors
/// Why it is not served.
pub(super) fn serve(
    listener: BoundListener,
    shard: &Arc<Handle>,
    config: &ConfigArgs,
    to_stderr: bool,
) -> Result<Server> {
    let home = shard.home().folder();
    let options = townlet_server::Options {
        token_file: token_file(home, &shard.config),
        facts: shard_facts(shard, config),
        log: Log::new(shard.home().log(), "service", to_stderr),
    };
    listener.serve(Arc::clone(shard), options).map_err(|why| anyhow!(why))
}
