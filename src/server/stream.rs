//! `GET /v1/telemetry/stream`: what the shard publishes, as server-sent events.
//!
//! Owns subscribers, not messages: each message is encoded once for all. The town is never waited for and never waits: a
//! subscriber that reads too slowly misses messages, which are whole states, and one that reads nothing is cut off.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::gate::Turned;
use super::listen::{Cut, Peer};
use super::{Lobby, looks};
use crate::shard::Handle;
use crate::wire::sse::Event;
use crate::wire::{SCHEMA_VERSION, Snapshot};

/// Subscribers at once.
const MOST: i64 = 200;
/// A subscriber that takes nothing for so long is cut off.
const STALLED: Duration = Duration::from_secs(10);
/// The longest silence of a stream: whoever hears nothing for longer has lost it.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Messages that wait for a subscriber's socket.
const WAITING: usize = 2;

/// One message, as every subscriber gets it.
#[derive(Clone)]
struct Message {
    seq: u64,
    bytes: Bytes,
}

/// Everything that is published, encoded once.
pub(super) struct Feed {
    views: watch::Receiver<Option<Arc<Snapshot>>>,
    messages: watch::Sender<Option<Message>>,
    /// The start of this service, in milliseconds since 1970: tells its messages from those of every earlier one.
    epoch: i64,
    seq: AtomicU64,
}

impl Feed {
    /// Begins to listen to a shard.
    pub(super) fn of(shard: &Handle) -> Self {
        let (send, views) = watch::channel(None);
        shard.subscribe(move |view| drop(send.send_replace(Some(view))));
        Self { views, messages: watch::channel(None).0, epoch: jiff::Timestamp::now().as_millisecond(), seq: AtomicU64::new(1) }
    }

    /// Encodes what is published, while anybody subscribes, until the shard ends.
    pub(super) async fn run(&self) {
        let mut views = self.views.clone();
        while views.changed().await.is_ok() {
            let Some(view) = views.borrow_and_update().clone() else { continue };
            let seq = self.seq.fetch_add(1, Ordering::Relaxed) + 1;
            if self.messages.receiver_count() > 0 {
                let bytes = self.encode(&view, seq);
                self.messages.send_replace(Some(Message { seq, bytes }));
            }
        }
    }

    fn encode(&self, view: &Snapshot, seq: u64) -> Bytes {
        let envelope = json!({
            "schema_version": SCHEMA_VERSION,
            "config_id": view.config_id,
            "shard": view.shard,
            "epoch": self.epoch,
            "seq": seq,
            "prev_seq": 0,
            "tick": view.tick,
            "kind": "snapshot",
            "payload": view,
        });
        let event = Event { id: format!("{}:{seq}", self.epoch), kind: "snapshot".into(), data: envelope.to_string() };
        event.encoded().into()
    }
}

pub(super) async fn subscribe(
    State(lobby): State<Arc<Lobby>>,
    Extension(peer): Extension<Peer>,
    Extension(cut): Extension<Cut>,
    headers: HeaderMap,
) -> Result<Response, Turned> {
    looks::looking(&lobby, peer, &headers)?;
    if lobby.counts.subscribers.get() >= MOST {
        return Err(Turned { wait: Some(5), ..Turned::new("E_TOO_MANY", format!("{MOST} watch already."), "Come later.") });
    }
    let (send, inbox) = channel(WAITING);
    tokio::spawn(pump(Arc::clone(&lobby), send, cut));
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    Ok((kind, Body::new(Events { inbox })).into_response())
}

/// Counts a subscriber for as long as it lives.
struct Seat(Arc<Lobby>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.counts.subscribers.dec();
    }
}

/// Hands one subscriber what is new until it leaves, the service stops or it takes no more.
async fn pump(lobby: Arc<Lobby>, send: Sender<Bytes>, cut: Cut) {
    lobby.counts.subscribers.inc();
    let _seat = Seat(Arc::clone(&lobby));
    let mut messages = lobby.feed.messages.subscribe();
    // The first message is the state now, however long ago it last changed.
    let first = lobby.latest.of(&lobby).await.map(|view| lobby.feed.encode(&view, lobby.feed.seq.load(Ordering::Relaxed)));
    let mut next = first;
    let mut last = messages.borrow().as_ref().map_or(0, |message| message.seq);
    let mut stop = lobby.stop.clone();
    loop {
        if let Some(bytes) = next.take() {
            match timeout(STALLED, send.send(bytes)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(_) => {
                    lobby.counts.refused("stalled");
                    lobby.log.say("cut off a subscriber that read nothing for ten seconds");
                    return cut.0.notify_one();
                }
            }
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {
                let bye = Event { kind: "bye".into(), data: json!({ "reason": "the shard is stopping" }).to_string(), ..Event::default() };
                drop(send.try_send(bye.encoded().into()));
                return;
            }
            changed = messages.changed() => {
                let Some(message) = changed.ok().and_then(|()| messages.borrow_and_update().clone()) else { return };
                lobby.counts.missed.fetch_add((message.seq - last).saturating_sub(1), Ordering::Relaxed);
                last = message.seq;
                next = Some(message.bytes);
            }
            () = sleep(HEARTBEAT) => {
                let beat = Event { kind: "heartbeat".into(), data: json!({ "tick": lobby.shard.tick() }).to_string(), ..Event::default() };
                next = Some(beat.encoded().into());
            }
            () = send.closed() => return,
        }
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
