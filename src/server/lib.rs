//! A shard over the network: looks, commands and the telemetry stream by HTTP, for other machines' screens and programs.
//!
//! Owns listening, limits, tokens at the door and the mapping to HTTP; what a command does stands in the shard. Must not know
//! the town or the terminal. Listens on loopback by default, and then not without TLS and tokens. Rule: "HTTP service"
//! and "Roles and identity".

mod auth;
mod connections;
mod console;
mod http_status;
mod metrics;
mod openapi;
mod read_handlers;
mod routes;
mod stream;
mod tls;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;

use read_handlers::SnapshotCache;
use townlet_shard::{Handle, Log};

/// Longest the connections that are open may take to end once the shard stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Where a shard is served.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Certificate chain and private key, in PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// How a shard is served.
#[derive(Clone, Debug)]
pub struct Options {
    /// The token store; read again whenever it changes.
    pub token_file: PathBuf,
    /// Label → version or path, told to clients.
    pub facts: Vec<(String, String)>,
    /// Where refusals are written down.
    pub log: Log,
}

/// A place that is taken and nobody is served at yet: what can be wrong with it is said before a town is started.
pub struct BoundListener {
    address: SocketAddr,
    listener: TcpListener,
    tls: Option<tls::Tls>,
}

/// Why a shard is not served.
#[derive(Debug, Error)]
pub enum ServerError {
    /// Beyond this machine, and something that takes is missing.
    #[error("{0}")]
    Open(String),
    /// The certificate or its key.
    #[error("{0}")]
    Tls(String),
    /// The token store.
    #[error("{0}")]
    Tokens(String),
    /// The address, or the threads.
    #[error("{0}")]
    Listen(String),
}

/// A served shard. Dropping it stops the service, not the shard.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    secure: bool,
    stop: watch::Sender<bool>,
    reload: Arc<tokio::sync::Notify>,
    thread: Option<JoinHandle<()>>,
}

/// What every request finds.
struct AppState {
    shard: Arc<Handle>,
    authenticator: Mutex<auth::Authenticator>,
    counts: metrics::RequestCounts,
    latest: SnapshotCache,
    stop: watch::Receiver<bool>,
    /// Served with TLS.
    secure: bool,
    facts: Vec<(String, String)>,
    log: Log,
    /// One reads the audit log at a time.
    reading: Arc<tokio::sync::Semaphore>,
}

impl AppState {
    fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }
}

/// Takes a place. Anywhere but on loopback a service without TLS would show tokens to the network.
///
/// # Errors
/// See [`ServerError`]; then nothing listens.
pub fn open(place: Place) -> Result<BoundListener, ServerError> {
    let address = place.listen;
    if !address.ip().is_loopback() && place.tls.is_none() {
        return Err(ServerError::Open(format!(
            "{address} can be reached from other machines: it needs TLS. Give `--tls-cert` and `--tls-key`, or listen on \
             127.0.0.1."
        )));
    }
    let tls = place.tls.map(|(cert, key)| tls::Tls::load(cert, key)).transpose().map_err(ServerError::Tls)?;
    let say = |error: std::io::Error| ServerError::Listen(format!("{address}: {error}."));
    let listener = TcpListener::bind(address).map_err(say)?;
    listener.set_nonblocking(true).map_err(say)?;
    let address = listener.local_addr().map_err(say)?;
    Ok(BoundListener { address, listener, tls })
}

/// Serves a shard at a place until stopped.
///
/// # Errors
/// See [`ServerError`]; then nothing listens.
pub fn start(shard: Arc<Handle>, place: Place, options: Options) -> Result<Server, ServerError> {
    open(place)?.serve(shard, options)
}

impl BoundListener {
    /// Serves a shard until stopped. Anywhere but on loopback a shard without tokens has nobody to obey.
    ///
    /// # Errors
    /// See [`ServerError`]; then nothing listens.
    pub fn serve(self, shard: Arc<Handle>, options: Options) -> Result<Server, ServerError> {
        let Self { address, listener, tls } = self;
        let authenticator = auth::Authenticator::open(&options.token_file).map_err(ServerError::Tokens)?;
        if !address.ip().is_loopback() && !authenticator.has_tokens() {
            return Err(ServerError::Open(format!(
                "{address} can be reached from other machines: it needs tokens, and {} holds none. `townlet token new --role \
                 admin` makes one.",
                options.token_file.display()
            )));
        }
        let (stop, stopped) = watch::channel(false);
        let reload = Arc::new(tokio::sync::Notify::new());
        let app = Arc::new(AppState {
            shard,
            authenticator: Mutex::new(authenticator),
            counts: metrics::RequestCounts::new(),
            latest: SnapshotCache::default(),
            stop: stopped,
            secure: tls.is_some(),
            facts: options.facts,
            log: options.log,
            reading: Arc::new(tokio::sync::Semaphore::new(1)),
        });
        let say = |error: std::io::Error| ServerError::Listen(format!("{address}: {error}."));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(8)
            .thread_name("service")
            .enable_io()
            .enable_time()
            .build()
            .map_err(say)?;
        let secure = tls.is_some();
        let reloaded = Arc::clone(&reload);
        let thread = std::thread::Builder::new().name("listen".into()).spawn(move || {
            runtime.block_on(connections::serve(app, listener, tls, reloaded));
            runtime.shutdown_timeout(Duration::from_secs(1));
        });
        Ok(Server { address, secure, stop, reload, thread: Some(thread.map_err(say)?) })
    }
}

impl Server {
    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// As a client names it.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.secure { "https" } else { "http" }, self.address)
    }

    /// Reads certificate and key again.
    pub fn reload(&self) {
        self.reload.notify_one();
    }

    /// Takes nobody any more, tells every subscriber, lets what is under way end, and closes what is left after three
    /// seconds.
    pub fn stop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A service that broke off has stopped as well.
            drop(thread.join());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
