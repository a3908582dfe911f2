//! `GET /v1/telemetry/stream`: the shard's telemetry as server-sent events.
//!
//! Moves messages from a subscriber's queue to its socket and disconnects sockets that stop reading. The publisher in
//! `townlet-shard` builds the messages and drops subscribers that fall behind.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use serde_json::json;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::access::{Caller, HeldToken, token_ended};
use super::auth::Rejection;
use super::connections::Disconnect;
use super::stream_view::{self, StreamQuery, ViewSlot};
use super::{AppState, compression};
use townlet_shard::Level;
use townlet_shard::publish::{EncodedMessage, Stream, StreamItem};
use townlet_wire::Position;
use townlet_wire::sse::{self, Event};

const MAX_SUBSCRIBERS: i64 = 200;
/// Places reserved for clients with a token, so that anonymous viewers cannot lock out operators.
const RESERVED_FOR_TOKENS: i64 = 20;
/// A socket that accepts no data for this long is disconnected. Longer than the publisher's limit, so that the subscriber
/// first receives the reason.
const STALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Time that a subscriber has to read why its stream ends.
const GRACE: Duration = Duration::from_secs(1);
/// The same after the end of its token, which must have taken effect within a second.
const TOKEN_GRACE: Duration = Duration::from_millis(500);
/// Time without a message after which a comment says that the service is there. The publisher sends heartbeats more often, unless it
/// is at work on the state of a large town.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Pieces buffered between queue and socket: one message.
const SOCKET_QUEUE: usize = 3;

pub(super) async fn subscribe(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    Extension(disconnect): Extension<Disconnect>,
    query: Result<Query<StreamQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Rejection> {
    // The slot is taken before the count is checked, so that two clients cannot both get the last one.
    let slot = SubscriberSlot::take(&app);
    let (most, hint) = if caller.token.is_some() {
        (MAX_SUBSCRIBERS, "Retry later.")
    } else {
        (MAX_SUBSCRIBERS - RESERVED_FOR_TOKENS, "Retry later or with a token.")
    };
    let level = caller.visitor.level;
    if app.counts.subscribers.get() > most {
        app.counts.refused("subscribers", level);
        return Err(Rejection {
            wait: Some(5),
            ..Rejection::new("E_TOO_MANY", format!("there are already {most} subscribers."), hint)
        });
    }
    let Query(query) = query.map_err(|_| stream_view::invalid_query())?;
    let view = stream_view::open(&app, &caller, query)?;
    // An unknown id starts with a full snapshot.
    let last: Option<Position> = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let fresh = Arc::new(Notify::new());
    let notify = Arc::clone(&fresh);
    let notify = move || notify.notify_one();
    let (view, stream) = match view {
        Some((slot, view)) => (Some(slot), app.shard.stream_view(view, notify)),
        None => (None, app.shard.stream(last, notify)),
    };
    let slot = (slot, view);
    let compresses = compression::is_accepted(&headers);
    let (send, inbox) = channel(SOCKET_QUEUE);
    tokio::spawn(async move {
        let (app, token) = (Arc::clone(&slot.0.0), caller.token);
        tokio::select! {
            () = pump(slot, level, stream, fresh, send.clone(), disconnect.clone(), compresses) => {}
            why = token_ended(&app, token.as_ref()) => end_stream(&app, &send, &disconnect, token.as_ref(), &bye(&why, compresses), &why).await,
        }
    });
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    let mut response = (kind, Body::new(Events { inbox })).into_response();
    if compresses {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(compression::ZSTD));
    }
    Ok(response)
}

/// Counts a subscriber until it is dropped.
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

/// Sends messages to a subscriber until it disconnects, is dropped by the publisher, or the service stops.
async fn pump(
    slot: (SubscriberSlot, Option<ViewSlot>),
    level: Level,
    stream: Stream,
    fresh: Arc<Notify>,
    send: Sender<Bytes>,
    disconnect: Disconnect,
    compresses: bool,
) {
    let app = &slot.0.0;
    let mut stop = app.stop.clone();
    loop {
        match stream.try_next() {
            StreamItem::Message(message) => {
                let pieces = if compresses { compressed(message).await } else { pieces(message).into() };
                for piece in pieces {
                    if !send_piece((app, level), &send, piece, &disconnect, &mut stop).await {
                        return;
                    }
                }
            }
            StreamItem::Ended(why) => {
                drop(send.try_send(bye(&why, compresses)));
                app.log.write(&format!("dropped a subscriber: {why}"));
                return disconnect_after(GRACE, &send, &disconnect).await;
            }
            StreamItem::Nothing => tokio::select! {
                () = stopped(&mut stop) => {
                    drop(send.try_send(bye(sse::STOPPING, compresses)));
                    return;
                }
                () = fresh.notified() => {}
                () = send.closed() => return,
                () = sleep(KEEP_ALIVE) => if !send_piece((app, level), &send, keep_alive(compresses), &disconnect, &mut stop).await {
                    return;
                },
            },
        }
    }
}

/// The text of a message, shared by all subscribers.
struct Text(Arc<EncodedMessage>);

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.0.text.as_bytes()
    }
}

/// A message as an event in three pieces, so that its text is not copied for each subscriber.
fn pieces(message: Arc<EncodedMessage>) -> [Bytes; 3] {
    let [head, tail] = sse::event_frame(&message.position.to_string(), message.kind);
    [head.into(), Bytes::from_owner(Text(message)), tail.into()]
}

/// A message as a compressed event. A message that cannot be compressed ends the stream: its reader sees a gap.
async fn compressed(message: Arc<EncodedMessage>) -> Vec<Bytes> {
    let compress = move || message.compressed().ok().map(Bytes::from_owner);
    // The first subscriber that takes a message compresses it for all.
    tokio::task::spawn_blocking(compress).await.ok().flatten().into_iter().collect()
}

/// A comment, which readers skip.
fn keep_alive(compresses: bool) -> Bytes {
    let comment = b":\n\n".as_slice();
    if compresses { compression::compressed(comment).unwrap_or_default() } else { comment.into() }
}

fn bye(reason: &str, compresses: bool) -> Bytes {
    let data = json!({ "reason": reason }).to_string();
    let event = Event { id: String::new(), kind: "bye".into(), data }.encoded();
    if compresses { compression::compressed(event.as_bytes()).unwrap_or_default() } else { event.into() }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A dropped sender means that the service has stopped.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Sends a piece; false when the subscriber has left or was disconnected.
async fn send_piece(
    (app, level): (&AppState, Level),
    send: &Sender<Bytes>,
    bytes: Bytes,
    disconnect: &Disconnect,
    stop: &mut watch::Receiver<bool>,
) -> bool {
    let sent = tokio::select! {
        () = stopped(stop) => return false,
        sent = timeout(STALL_TIMEOUT, send.send(bytes)) => sent,
    };
    if let Ok(sent) = sent {
        return sent.is_ok();
    }
    app.counts.refused("stalled", level);
    app.log.write(&format!("disconnected a subscriber that read nothing for {} s", STALL_TIMEOUT.as_secs()));
    disconnect.0.notify_one();
    false
}

/// Ends the stream of a token that is no longer valid, and tells the subscriber why.
async fn end_stream(
    app: &AppState,
    send: &Sender<Bytes>,
    disconnect: &Disconnect,
    token: Option<&HeldToken>,
    bye: &Bytes,
    why: &str,
) {
    drop(send.try_send(bye.clone()));
    app.log.write(&format!("ended a stream of {}: {why}", token.map_or("nobody", |token| &token.name)));
    disconnect_after(TOKEN_GRACE, send, disconnect).await;
}

/// Gives the client some time to read the reason, then disconnects it.
async fn disconnect_after(grace: Duration, send: &Sender<Bytes>, disconnect: &Disconnect) {
    if timeout(grace, send.closed()).await.is_err() {
        disconnect.0.notify_one();
    }
}

/// A response body that yields pieces as they arrive.
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
