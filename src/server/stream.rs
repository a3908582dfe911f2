//! `GET /v1/telemetry/stream`: what the shard publishes, as server-sent events.
//!
//! Owns the last step, from a subscriber's queue to its socket. What a message says, who falls behind and who is let go is
//! the publisher's; a socket whose reader takes nothing is cut off here.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use serde_json::json;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::auth::{Rejection, bearer_token};
use super::connections::{Disconnect, PeerAddress};
use super::{AppState, read_handlers};
use townlet_shard::publish::{Next, Sent, Stream};
use townlet_wire::Position;
use townlet_wire::sse::{self, Event};

/// Subscribers at once.
const MAX_SUBSCRIBERS: i64 = 200;
/// Of these, for those who bring a token: whoever merely looks cannot lock out those who answer for the town.
const RESERVED_FOR_TOKENS: i64 = 20;
/// A socket that takes nothing for so long is cut off. Longer than the publisher's patience, which tells why first.
const STALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Pieces that wait for a subscriber's socket, besides its queue: those of one message.
const SOCKET_QUEUE: usize = 3;

pub(super) async fn subscribe(
    State(app): State<Arc<AppState>>,
    Extension(peer): Extension<PeerAddress>,
    Extension(disconnect): Extension<Disconnect>,
    headers: HeaderMap,
) -> Result<Response, Rejection> {
    read_handlers::authenticate_headers(&app, peer, &headers)?;
    // Taken before it is counted: of two who come at once for the last seat one is refused.
    let seat = SubscriberSlot::take(&app);
    let known = bearer_token(&headers)?.is_some();
    let (most, hint) = if known {
        (MAX_SUBSCRIBERS, "Come later.")
    } else {
        (MAX_SUBSCRIBERS - RESERVED_FOR_TOKENS, "Come later, or with a token.")
    };
    if app.counts.subscribers.get() > most {
        return Err(Rejection {
            wait: Some(5),
            ..Rejection::new("E_TOO_MANY", format!("{most} watch already."), hint)
        });
    }
    // An id that is not one of ours is an unknown one: everything is told.
    let last: Option<Position> = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let fresh = Arc::new(Notify::new());
    let told = Arc::clone(&fresh);
    let stream = app.shard.stream(last, move || told.notify_one());
    let (send, inbox) = channel(SOCKET_QUEUE);
    tokio::spawn(pump(seat, stream, fresh, send, disconnect));
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    Ok((kind, Body::new(Events { inbox })).into_response())
}

/// Counts a subscriber for as long as it lives.
struct SubscriberSlot(Arc<AppState>);

impl SubscriberSlot {
    fn take(app: &Arc<AppState>) -> Self {
        app.counts.subscribers.inc();
        Self(Arc::clone(app))
    }
}

impl Drop for SubscriberSlot {
    fn drop(&mut self) {
        self.0.counts.subscribers.dec();
    }
}

/// Hands one subscriber what is new until it leaves, is let go, or the service stops.
async fn pump(seat: SubscriberSlot, stream: Stream, fresh: Arc<Notify>, send: Sender<Bytes>, disconnect: Disconnect) {
    let app = &seat.0;
    let mut stop = app.stop.clone();
    loop {
        match stream.try_next() {
            Next::Message(message) => {
                for piece in pieces(message) {
                    if !hand(app, &send, piece, &disconnect, &mut stop).await {
                        return;
                    }
                }
            }
            Next::Ended(why) => {
                drop(send.try_send(bye(&why)));
                app.log.say(&format!("a subscriber was let go: {why}"));
                return disconnect_after_grace(&send, &disconnect).await;
            }
            Next::Nothing => tokio::select! {
                () = stopped(&mut stop) => {
                    drop(send.try_send(bye("the shard is stopping")));
                    return;
                }
                () = fresh.notified() => {}
                () = send.closed() => return,
            },
        }
    }
}

/// The text of a message, which everybody who gets it shares.
struct Text(Arc<Sent>);

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.0.text.as_bytes()
    }
}

/// A message as an event, in three pieces, so that its text is not copied for each subscriber.
fn pieces(message: Arc<Sent>) -> [Bytes; 3] {
    let [head, tail] = sse::around(&message.position.to_string(), message.kind);
    [head.into(), Bytes::from_owner(Text(message)), tail.into()]
}

fn bye(reason: &str) -> Bytes {
    Event { id: String::new(), kind: "bye".into(), data: json!({ "reason": reason }).to_string() }.encoded().into()
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A service whose end of it is gone has stopped as well.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Hands a message over; false when the subscriber has gone or was cut off.
async fn hand(
    app: &AppState,
    send: &Sender<Bytes>,
    bytes: Bytes,
    disconnect: &Disconnect,
    stop: &mut watch::Receiver<bool>,
) -> bool {
    let handed = tokio::select! {
        () = stopped(stop) => return false,
        handed = timeout(STALL_TIMEOUT, send.send(bytes)) => handed,
    };
    if let Ok(sent) = handed {
        return sent.is_ok();
    }
    app.counts.refused("stalled");
    app.log.say(&format!("cut off a subscriber that read nothing for {} s", STALL_TIMEOUT.as_secs()));
    disconnect.0.notify_one();
    false
}

/// Gives a reader a moment to take why it was let go, then cuts it off.
async fn disconnect_after_grace(send: &Sender<Bytes>, disconnect: &Disconnect) {
    if timeout(Duration::from_secs(1), send.closed()).await.is_err() {
        disconnect.0.notify_one();
    }
}

/// A body of events as they come.
struct Events {
    inbox: Receiver<Bytes>,
}

impl HttpBody for Events {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.inbox.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
