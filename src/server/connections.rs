//! Connections: so many at once, each with so much time, and an end for all of them.
//!
//! Owns sockets and handshakes; requests are the router's. A connection that is refused costs one `accept`.

use std::net::{IpAddr, TcpListener as Bound};
use std::pin::pin;
use std::sync::Arc;
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

/// Connections at once.
const MAX_CONNECTIONS: usize = 512;
/// Longest a handshake may take, and the headers of a request; also how long a connection may idle between two.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How often certificate and key are looked at.
const CERTIFICATE_POLL: Duration = Duration::from_secs(2);
/// Bytes of headers read at most.
const MAX_HEADER_BYTES: usize = 32 * 1024;

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerAddress(pub(super) IpAddr);

/// Cuts the connection a request came on, for a reader that reads no more.
#[derive(Clone, Debug)]
pub(super) struct Disconnect(pub(super) Arc<Notify>);

/// Serves until the app says stop.
pub(super) async fn serve(app: Arc<AppState>, bound: Bound, tls: Option<Tls>, reload: Arc<Notify>) {
    let listener = match TcpListener::from_std(bound) {
        Ok(listener) => listener,
        Err(error) => return app.log.say(&format!("it cannot listen: {error}")),
    };
    let router = routes::router(&app);
    let tls = tls.map(Arc::new);
    let seats = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut open = JoinSet::new();
    let mut stop = app.stop.clone();
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            () = reload.notified() => reload_certificate(&app, tls.as_deref(), true),
            () = sleep(CERTIFICATE_POLL), if tls.is_some() => reload_certificate(&app, tls.as_deref(), false),
            Some(_) = open.join_next(), if !open.is_empty() => {}
            taken = listener.accept() => match taken {
                Ok((stream, peer)) => {
                    let peer = PeerAddress(peer.ip());
                    if let Ok(seat) = Arc::clone(&seats).try_acquire_owned() {
                        open.spawn(accept(Arc::clone(&app), router.clone(), tls.clone(), stream, peer, seat));
                    } else {
                        app.counts.refused("connections");
                        app.log.say(&format!("refused a connection of {}: {MAX_CONNECTIONS} are open", peer.0));
                    }
                }
                // Out of files, as a rule; those that are open will end.
                Err(error) => {
                    app.log.say(&format!("no connection can be taken: {error}"));
                    sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    if timeout(DRAIN_TIMEOUT, async { while open.join_next().await.is_some() {} }).await.is_err() {
        app.log.say(&format!("closed {} connections that did not end by themselves", open.len()));
        open.shutdown().await;
    }
}

fn reload_certificate(app: &AppState, tls: Option<&Tls>, anyway: bool) {
    let Some(tls) = tls else { return };
    match tls.reload(anyway) {
        Ok(true) => app.log.say("certificate and key were read again"),
        Ok(false) => {}
        Err(why) => app.log.say(&format!("the old certificate stays: {why}")),
    }
}

async fn accept(
    app: Arc<AppState>,
    router: Router,
    tls: Option<Arc<Tls>>,
    stream: TcpStream,
    peer: PeerAddress,
    _seat: OwnedSemaphorePermit,
) {
    // Answers are short and somebody waits for them; a socket that cannot be told so still works.
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
    let mut talk = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(TIMEOUT)
            .max_buf_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut stop = app.stop.clone();
    tokio::select! {
        // How a client leaves is its own affair.
        _ = talk.as_mut() => return,
        () = disconnect.0.notified() => return,
        _ = stop.wait_for(|stop| *stop) => talk.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = talk => {}
        () = disconnect.0.notified() => {}
    }
}
