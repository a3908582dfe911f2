//! The accept loop: serves connections, limits their time, closes those that have to give way, and drains all on shutdown.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::connection_table::OpenConnection;
use super::tls::Tls;
use super::{AppState, DRAIN_TIMEOUT, credentials, routes};
use townlet_shard::Level;

/// Limit for a TLS handshake, for the headers of a request and for the idle time between two requests.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection that gave way is kept open without being served, so that a client that connects again at once costs
/// little; and how many at most.
const LINGER: Duration = Duration::from_millis(500);
const MAX_LINGERING: usize = 256;
/// Interval at which the certificate files are checked for changes.
const CERTIFICATE_POLL: Duration = Duration::from_secs(2);
/// What the HTTP parser accepts, in bytes and headers. It answers more by a 431 without a body. The limits of requests are lower,
/// so that a request beyond them gets an error with a body.
const MAX_PARSED_BYTES: usize = 64 * 1024;
const MAX_PARSED_HEADERS: usize = 200;

/// The client's address, added to every request as an extension.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerAddress(pub(super) IpAddr);

/// Closes the connection of a request, for a subscriber that stopped reading. Added to every request as an extension.
#[derive(Clone, Debug)]
pub(super) struct Disconnect(pub(super) Arc<Notify>);

/// Accepts connections until `app.stop` is set, then drains them.
pub(super) async fn serve(app: Arc<AppState>, listener: TcpListener, tls: Option<Tls>, reload: Arc<Notify>) {
    let router = routes::router(&app);
    let tls = tls.map(Arc::new);
    tokio::spawn(credentials::watch(Arc::clone(&app), tls.clone()));
    let lingering = Arc::new(Semaphore::new(MAX_LINGERING));
    let mut open = JoinSet::new();
    let mut stop = app.stop.clone();
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            () = reload.notified() => {
                app.authenticator.lock().unwrap_or_else(PoisonError::into_inner).reload();
                reload_certificate(&app, tls.as_deref(), true);
            }
            () = sleep(CERTIFICATE_POLL), if tls.is_some() => reload_certificate(&app, tls.as_deref(), false),
            Some(_) = open.join_next(), if !open.is_empty() => {}
            taken = listener.accept() => match taken {
                Ok((stream, peer)) => {
                    let peer = PeerAddress(peer.ip());
                    if let Some((connection, gave_way)) = app.connections.open(peer.0, Instant::now()) {
                        if gave_way {
                            app.counts.refused("evicted", Level::Anonymous);
                        }
                        let accepted = Accepted { peer, connection: Arc::new(connection), lingering: Arc::clone(&lingering) };
                        open.spawn(accept(Arc::clone(&app), router.clone(), tls.clone(), stream, accepted));
                    } else {
                        app.counts.refused("connections", Level::Anonymous);
                        app.log.write(&format!("refused a connection from {}: all are in use with admin tokens", peer.0));
                    }
                }
                // Usually out of file descriptors, until other connections close.
                Err(error) => {
                    app.log.write(&format!("cannot accept a connection: {error}"));
                    sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    if timeout(DRAIN_TIMEOUT, async { while open.join_next().await.is_some() {} }).await.is_err() {
        app.log.write(&format!("closed {} connections that did not finish in time", open.len()));
        open.shutdown().await;
    }
}

fn reload_certificate(app: &AppState, tls: Option<&Tls>, force: bool) {
    let Some(tls) = tls else { return };
    match tls.reload(force) {
        Ok(true) => app.log.write("reloaded certificate and key"),
        Ok(false) => {}
        Err(why) => app.log.write(&format!("kept the old certificate: {why}")),
    }
}

/// A connection with what its tasks need.
struct Accepted {
    peer: PeerAddress,
    connection: Arc<OpenConnection>,
    lingering: Arc<Semaphore>,
}

impl Accepted {
    /// Keeps a connection that has to give way open for a while, without being served.
    async fn linger(&self) {
        if let Ok(_permit) = self.lingering.try_acquire() {
            sleep(LINGER).await;
        }
    }
}

async fn accept(app: Arc<AppState>, router: Router, tls: Option<Arc<Tls>>, stream: TcpStream, accepted: Accepted) {
    // Sends short answers without delay. A failure only costs latency.
    drop(stream.set_nodelay(true));
    let Some(tls) = tls else { return serve_connection(&app, router, stream, accepted).await };
    let handshake = tokio::select! {
        handshake = timeout(TIMEOUT, tls.acceptor().accept(stream)) => handshake,
        () = accepted.connection.evicted() => return,
    };
    match handshake {
        Ok(Ok(stream)) => serve_connection(&app, router, stream, accepted).await,
        _ => app.counts.refused("handshake", Level::Anonymous),
    }
}

async fn serve_connection(
    app: &AppState,
    router: Router,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    accepted: Accepted,
) {
    let disconnect = Disconnect(Arc::default());
    let router = router
        .layer(Extension(accepted.peer))
        .layer(Extension(Arc::clone(&accepted.connection)))
        .layer(Extension(disconnect.clone()));
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(TIMEOUT)
            .max_buf_size(MAX_PARSED_BYTES)
            .max_headers(MAX_PARSED_HEADERS)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut stop = app.stop.clone();
    let gives_way = tokio::select! {
        // A client may close the connection in any way.
        _ = connection.as_mut() => return,
        () = disconnect.0.notified() => return,
        () = accepted.connection.evicted() => true,
        _ = stop.wait_for(|stop| *stop) => false,
    };
    if gives_way {
        return accepted.linger().await;
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = connection => {}
        () = disconnect.0.notified() => {}
    }
}
