//! `townlet serve`: runs a town without a screen and serves it over the network until a signal stops it. SIGHUP reloads
//! certificate, tokens and configuration, and begins a segment of the audit log. Rule: "HTTP service".

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::run::{LaunchArgs, Pace, SPEEDS, TlsArgs, launch, shard_facts, stop, token_file};
use super::{ConfigArgs, EXIT_FAILED, exposure, one_of, output};
use townlet_server::{BoundListener, Server};
use townlet_shard::{Handle, Log, Speed};
use townlet_wire::{Request, Role, Session};

/// Interval at which signals and the state of the shard are checked.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    launch: LaunchArgs,
    /// Address to listen on; port 0 selects a free port. Addresses other than loopback require TLS and a token
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7420", help_heading = "Service")]
    listen: SocketAddr,
    #[command(flatten)]
    tls: TlsArgs,
    /// Initial speed
    #[arg(long, value_parser = one_of(&SPEEDS), default_value = "1x")]
    speed: Speed,
    /// Start paused
    #[arg(long)]
    paused: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let input = args.launch.load()?;
    let warnings = input.loaded.warnings.clone();
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).context("cannot handle signals")?;
    let listener = bind(args.listen, &args.tls)?;
    let pace = Pace { speed: args.speed, paused: args.paused, headless: false };
    let shard = Arc::new(launch(&args.launch, pace, input)?);
    let mut server = serve(listener, &shard, &args.launch.config, true)?;
    for note in warnings.iter().chain(&shard.notes) {
        output::stderr!("{note}");
    }
    output::notice(&format!("{} is served at {}", shard.run_id, server.url()));
    let mut stopped = false;
    let mut reload = Reload { shard: &shard, session: None };
    while !stopped && !shard.is_over() {
        for signal in signals.pending() {
            if signal == SIGHUP { reload.run(&server) } else { stopped = true }
        }
        if !stopped {
            std::thread::sleep(POLL_INTERVAL);
        }
    }
    // The server stops first: no new client connects while the last snapshot is written, and waiting clients get answers.
    server.stop();
    match stop(&shard) {
        Ok(path) => {
            output::notice(&format!("{} stopped at tick {}; snapshot {path}", shard.run_id, shard.tick()));
            Ok(ExitCode::SUCCESS)
        }
        Err(why) => {
            output::stderr!("townlet: {} at tick {}: saving failed: {why}", shard.run_id, shard.tick());
            Ok(ExitCode::from(EXIT_FAILED))
        }
    }
}

/// What SIGHUP does.
struct Reload<'a> {
    shard: &'a Arc<Handle>,
    session: Option<u64>,
}

impl Reload<'_> {
    /// Reads certificate and tokens again, begins a segment of the audit log, and sends `reload_config`. Does not wait: the town may hang, and signals must still
    /// end the program.
    fn run(&mut self, server: &Server) {
        server.reload();
        self.shard.reopen_logs();
        let session = *self.session.get_or_insert_with(|| {
            let issuer = String::from("signal:hup");
            let session = Session { issuer, role: Role::Admin, transport: "signal".into(), owner: true };
            self.shard.open(session, |_| {})
        });
        let log = Log::new(self.shard.home().log(), "service", true);
        self.shard.ask(session, Request::line("reload_config"), move |answer| {
            log.write(&format!("SIGHUP: reload_config: {}", answer.summary()));
        });
    }
}

/// Binds the address, before a town is started.
pub(super) fn bind(listen: SocketAddr, tls: &TlsArgs) -> Result<BoundListener> {
    let options = townlet_server::ListenOptions { listen, tls: tls.tls_cert.clone().zip(tls.tls_key.clone()) };
    townlet_server::bind(options).map_err(|why| anyhow!(why))
}

/// Serves a running shard. Refused requests are logged, with `to_stderr` also to standard error.
pub(super) fn serve(
    listener: BoundListener,
    shard: &Arc<Handle>,
    config: &ConfigArgs,
    to_stderr: bool,
) -> Result<Server> {
    let home = shard.home().folder();
    let log = Log::new(shard.home().log(), "service", to_stderr);
    log.write(&exposure::sentence(listener.address(), &shard.config));
    if shard.audit_sealing() == townlet_audit::Sealing::Unsealed {
        log.write(&format!(
            "warning: the audit log is not sealed: anybody with write access to the home can rewrite it unnoticed. `townlet audit seal \
             setup{}` seals it.",
            shard.home().option()
        ));
    }
    let options = townlet_server::Options {
        token_file: token_file(home, &shard.config),
        anonymous: exposure::anonymous(listener.address(), &shard.config),
        facts: shard_facts(shard, config),
        log,
    };
    listener.serve(Arc::clone(shard), options).map_err(|why| anyhow!(why))
}
