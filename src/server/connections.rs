//! The accept loop: limits the number of connections and their time, and drains them on shutdown.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::tls::Tls;
use super::{AppState, DRAIN_TIMEOUT, routes};

const MAX_CONNECTIONS: usize = 512;
/// Limit for a TLS handshake, for the headers of a request and for the idle time between two requests.
const TIMEOUT: Duration = Duration::from_secs(5);
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
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
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
                    if let Ok(permit) = Arc::clone(&permits).try_acquire_owned() {
                        open.spawn(accept(Arc::clone(&app), router.clone(), tls.clone(), stream, peer, permit));
                    } else {
                        app.counts.refused("connections");
                        app.log.write(&format!("refused a connection from {}: {MAX_CONNECTIONS} connections are open", peer.0));
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

async fn accept(
    app: Arc<AppState>,
    router: Router,
    tls: Option<Arc<Tls>>,
    stream: TcpStream,
    peer: PeerAddress,
    _permit: OwnedSemaphorePermit,
) {
    // Sends short answers without delay. A failure only costs latency.
    drop(stream.set_nodelay(true));
    let Some(tls) = tls else { return serve_connection(&app, router, stream, peer).await };
    match timeout(TIMEOUT, tls.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => serve_connection(&app, router, stream, peer).await,
        _ => app.counts.refused("handshake"),
    }
}

async fn serve_connection(
    app: &AppState,
    router: Router,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: PeerAddress,
) {
    let disconnect = Disconnect(Arc::default());
    let service = TowerToHyperService::new(router.layer(Extension(peer)).layer(Extension(disconnect.clone())));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(TIMEOUT)
            .max_buf_size(MAX_PARSED_BYTES)
            .max_headers(MAX_PARSED_HEADERS)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut stop = app.stop.clone();
    tokio::select! {
        // A client may close the connection in any way.
        _ = connection.as_mut() => return,
        () = disconnect.0.notified() => return,
        _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = connection => {}
        () = disconnect.0.notified() => {}
    }
}
