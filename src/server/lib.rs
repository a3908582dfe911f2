//! The HTTP service of a shard: state, commands and telemetry stream for remote terminals and programs.
//!
//! Owns listening, limits, authentication and the mapping to HTTP. Addresses other than loopback require TLS and a token.
//! Rules: "HTTP service", "Roles and identity".

mod access;
mod anonymous_work;
mod auth;
mod certificate;
mod checkpoints;
mod compression;
mod connection_table;
mod connections;
mod console;
mod credentials;
mod disk_reserve;
mod file_stamp;
mod history;
mod http_status;
mod index_page;
mod metrics;
mod negotiation;
mod openapi;
mod rate_limits;
mod read_handlers;
mod routes;
mod snapshot_cache;
mod stream;
mod stream_view;
mod tls;
mod whatif;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::net::TcpSocket;
use tokio::sync::watch;

pub use access::AnonymousReading;
use anonymous_work::AnonymousWork;
pub use certificate::check_certificate;
use connection_table::ConnectionTable;
use disk_reserve::DiskReserve;
use rate_limits::RateLimits;
use snapshot_cache::SnapshotCache;
use townlet_shard::{Handle, Log};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// Bytes that may wait in a connection's socket; the system reserves twice as many.
const SEND_BUFFER: u32 = 64 * 1024;
/// Time that open connections have to finish when the service stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Address and certificate of a service.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// The address; port 0 selects a free port.
    pub listen: SocketAddr,
    /// PEM files with the certificate chain and the private key.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// Settings of a service.
#[derive(Clone, Debug)]
pub struct Options {
    /// The token store. It is read again when it changes.
    pub token_file: PathBuf,
    /// What clients may read without a token.
    pub anonymous: AnonymousReading,
    /// Labels with versions and paths, which clients show on the help screen.
    pub facts: Vec<(String, String)>,
    /// Log for refused requests.
    pub log: Log,
}

/// A bound address, so that its errors are reported before a town is started. Connections are refused until it serves: a client
/// or load balancer never takes a shard for ready that has not decided yet what it resumes.
pub struct BoundListener {
    address: SocketAddr,
    socket: TcpSocket,
    tls: Option<tls::Tls>,
}

/// Why a service cannot start, as a message: the address, the certificate, the token store or a missing token.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct ServerError(String);

/// A running service. Dropping it stops the service, not the shard.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    secure: bool,
    stop: watch::Sender<bool>,
    reload: Arc<tokio::sync::Notify>,
    thread: Option<JoinHandle<()>>,
}

/// State shared by all request handlers.
struct AppState {
    shard: Arc<Handle>,
    authenticator: Mutex<auth::Authenticator>,
    live_tokens: watch::Receiver<auth::LiveTokens>,
    anonymous_reading: AnonymousReading,
    counts: metrics::RequestCounts,
    snapshots: SnapshotCache,
    views: stream_view::OpenViews,
    stop: watch::Receiver<bool>,
    secure: bool,
    facts: Vec<(String, String)>,
    log: Log,
    rates: RateLimits,
    connections: ConnectionTable,
    disk: DiskReserve,
    anonymous: AnonymousWork,
    /// Limit reads of the audit log to one at a time with a token, and one without.
    audit_reads: [Arc<tokio::sync::Semaphore>; 2],
}

impl AppState {
    fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }
}

/// Binds the address. An address other than loopback requires TLS, because tokens would be readable on the network.
pub fn bind(place: ListenOptions) -> Result<BoundListener, ServerError> {
    let address = place.listen;
    if !address.ip().is_loopback() && place.tls.is_none() {
        return Err(ServerError(format!(
            "{address} is reachable from other machines and requires TLS. Pass `--tls-cert` and `--tls-key`, or listen on \
             127.0.0.1."
        )));
    }
    let tls = place.tls.map(|(cert, key)| tls::Tls::load(cert, key)).transpose().map_err(ServerError)?;
    let listen_error = |error: std::io::Error| ServerError(format!("{address}: {error}."));
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(listen_error)?;
    // A restart does not wait for the old connections to time out. On Windows this would share the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true).map_err(listen_error)?;
    // What waits here is late: a slow reader gets fewer messages instead, merged by the publisher.
    socket.set_send_buffer_size(SEND_BUFFER).map_err(listen_error)?;
    socket.bind(address).map_err(listen_error)?;
    let address = socket.local_addr().map_err(listen_error)?;
    Ok(BoundListener { address, socket, tls })
}

/// Binds the address and serves the shard until stopped.
pub fn start(shard: Arc<Handle>, place: ListenOptions, options: Options) -> Result<Server, ServerError> {
    bind(place)?.serve(shard, options)
}

impl BoundListener {
    /// The bound address.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the shard until stopped. An address other than loopback requires a token in the store, because nobody could
    /// operate the shard otherwise.
    pub fn serve(self, shard: Arc<Handle>, options: Options) -> Result<Server, ServerError> {
        let Self { address, socket, tls } = self;
        let authenticator = auth::Authenticator::open(&options.token_file).map_err(ServerError)?;
        if !address.ip().is_loopback() && !authenticator.has_tokens() {
            return Err(ServerError(format!(
                "{address} is reachable from other machines and requires a token, but {} contains none. Create one with \
                 `townlet token create --role admin --name NAME`.",
                options.token_file.display()
            )));
        }
        let (limits, log_folder) = (shard.config.server.limits.clone(), shard.home().console());
        let listen_error = |error: std::io::Error| ServerError(format!("{address}: {error}."));
        let (anonymous_work, strangers) = AnonymousWork::new().map_err(listen_error)?;
        let (stop, stopped) = watch::channel(false);
        let reload = Arc::new(tokio::sync::Notify::new());
        let app = Arc::new(AppState {
            shard,
            live_tokens: authenticator.live_tokens(),
            authenticator: Mutex::new(authenticator),
            anonymous_reading: options.anonymous,
            counts: metrics::RequestCounts::default(),
            snapshots: SnapshotCache::default(),
            views: stream_view::OpenViews::default(),
            stop: stopped,
            secure: tls.is_some(),
            facts: options.facts,
            log: options.log,
            rates: RateLimits::new(&limits, Instant::now()),
            connections: ConnectionTable::new(&limits),
            disk: DiskReserve::new(log_folder, limits.disk_reserve_bytes),
            anonymous: anonymous_work,
            audit_reads: [(); 2].map(|()| Arc::new(tokio::sync::Semaphore::new(1))),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(32)
            .thread_name("service")
            .enable_io()
            .enable_time()
            .build()
            .map_err(listen_error)?;
        let listener = runtime.block_on(async { socket.listen(BACKLOG) }).map_err(listen_error)?;
        let secure = tls.is_some();
        let reloaded = Arc::clone(&reload);
        let thread = std::thread::Builder::new().name("listen".into()).spawn(move || {
            runtime.block_on(connections::serve(app, listener, tls, reloaded));
            strangers.shutdown_background();
            runtime.shutdown_timeout(Duration::from_secs(1));
        });
        Ok(Server { address, secure, stop, reload, thread: Some(thread.map_err(listen_error)?) })
    }
}

impl Server {
    /// The bound address.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL for clients.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.secure { "https" } else { "http" }, self.address)
    }

    /// Reads the certificate files and the token store again.
    pub fn reload(&self) {
        self.reload.notify_one();
    }

    /// Stops accepting connections, notifies subscribers, lets running requests finish and closes the remaining connections
    /// after three seconds.
    pub fn stop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panicked thread has stopped as well.
            drop(thread.join());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
