//! `GET /v1/telemetry/stream`: what the shard publishes, as server-sent events.
//!
//! Owns subscribers, not what a message means: each message is made and encoded once for all. The town is never waited for
//! and never waits: a subscriber that falls behind is told the whole state anew, and one that reads nothing is cut off.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
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
use tokio::sync::{broadcast, watch};
use tokio::time::{sleep, timeout};

use super::gate::Turned;
use super::listen::{Cut, Peer};
use super::{Lobby, looks};
use crate::shard::Handle;
use crate::wire::sse::Event;
use crate::wire::stream::{DIGEST_EVERY, digest};
use crate::wire::{Body as Says, Diff, Envelope, Position, SCHEMA_VERSION, Snapshot};

/// Subscribers at once.
const MOST: i64 = 200;
/// A subscriber that takes nothing for so long is cut off.
const STALLED: Duration = Duration::from_secs(10);
/// The longest silence of a stream: whoever hears nothing for longer has lost it.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Messages that wait for a subscriber's socket.
const WAITING: usize = 2;
/// Messages a subscriber may be behind, and that one may come back to.
const KEPT: usize = 64;

/// One message, as every subscriber gets it.
#[derive(Clone)]
struct Message {
    seq: u64,
    bytes: Bytes,
}

/// Everything that is published, made and encoded once.
pub(super) struct Feed {
    views: watch::Receiver<Option<Arc<Snapshot>>>,
    now: Mutex<Now>,
    messages: broadcast::Sender<Message>,
    /// The start of this service, in milliseconds since 1970.
    epoch: u64,
}

/// Where the stream stands.
#[derive(Default)]
struct Now {
    seq: u64,
    state: Option<Arc<Snapshot>>,
    kept: VecDeque<Message>,
}

impl Feed {
    /// Begins to listen to a shard.
    pub(super) fn of(shard: &Handle) -> Self {
        let (send, views) = watch::channel(None);
        shard.subscribe(move |view| drop(send.send_replace(Some(view))));
        let epoch = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
        Self { views, now: Mutex::default(), messages: broadcast::channel(KEPT).0, epoch }
    }

    /// Tells what is published, while anybody subscribes, until the shard ends.
    pub(super) async fn run(&self) {
        let mut views = self.views.clone();
        while views.changed().await.is_ok() {
            let Some(view) = views.borrow_and_update().clone() else { continue };
            self.publish(view);
        }
    }

    fn now(&self) -> std::sync::MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, view: Arc<Snapshot>) {
        let mut now = self.now();
        if self.messages.receiver_count() == 0 {
            // Nobody was told anything since: whoever comes back must be told everything.
            now.kept.clear();
            now.seq += 1;
            now.state = Some(view);
            return;
        }
        let seq = now.seq + 1;
        let message = match &now.state {
            None => self.whole(&view, seq, Says::Snapshot),
            Some(before) => {
                let diff = Diff::between(before, &view);
                if diff == Diff::default() {
                    return;
                }
                let says = Says::Diff(Box::new(diff));
                Message { seq, bytes: self.encode(&view, seq, seq - 1, says, seq.is_multiple_of(DIGEST_EVERY)) }
            }
        };
        now.seq = seq;
        now.state = Some(view);
        now.kept.push_back(message.clone());
        if now.kept.len() > KEPT {
            now.kept.pop_front();
        }
        // Whoever left meanwhile needs no message.
        drop(self.messages.send(message));
    }

    /// Where a new subscriber starts: behind what it had last when that is still kept, else with the whole state.
    fn join(&self, last: Option<Position>) -> (Vec<Message>, broadcast::Receiver<Message>) {
        let now = self.now();
        let messages = self.messages.subscribe();
        let missed = last.filter(|last| last.epoch == self.epoch && last.seq <= now.seq).and_then(|last| {
            let missed: Vec<Message> = now.kept.iter().filter(|message| message.seq > last.seq).cloned().collect();
            (missed.len() as u64 == now.seq - last.seq).then_some(missed)
        });
        let first = || now.state.as_ref().map(|state| self.whole(state, now.seq, Says::Snapshot)).into_iter().collect();
        (missed.unwrap_or_else(first), messages)
    }

    /// The whole state for somebody who has lost the thread, and everything behind it.
    fn anew(&self) -> Option<(Message, broadcast::Receiver<Message>)> {
        let now = self.now();
        let message = self.whole(now.state.as_ref()?, now.seq, Says::Resync);
        Some((message, self.messages.subscribe()))
    }

    fn whole(&self, state: &Arc<Snapshot>, seq: u64, says: fn(Box<Snapshot>) -> Says) -> Message {
        let says = says(Box::new(state.as_ref().clone()));
        Message { seq, bytes: self.encode(state, seq, 0, says, true) }
    }

    fn heartbeat(&self, seq: u64) -> Option<Bytes> {
        let now = self.now();
        Some(self.encode(now.state.as_ref()?, seq, seq, Says::Heartbeat, false))
    }

    fn encode(&self, view: &Snapshot, seq: u64, prev_seq: u64, body: Says, proven: bool) -> Bytes {
        let kind = body.kind().to_owned();
        let message = Envelope {
            schema_version: SCHEMA_VERSION.into(),
            config_id: view.config_id.clone(),
            shard: view.shard.clone(),
            epoch: self.epoch,
            seq,
            prev_seq,
            tick: view.tick,
            body,
            digest: proven.then(|| digest(view)),
            reason: None,
        };
        let id = message.position().to_string();
        let data = serde_json::to_string(&message).expect("a message is plain data");
        Event { id, kind, data }.encoded().into()
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
        return Err(Turned {
            wait: Some(5),
            ..Turned::new("E_TOO_MANY", format!("{MOST} watch already."), "Come later.")
        });
    }
    // An id that is not one of ours is one from nowhere: everything is told.
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let (send, inbox) = channel(WAITING);
    tokio::spawn(pump(Arc::clone(&lobby), send, cut, last));
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    Ok((kind, Body::new(Events { inbox })).into_response())
}

/// Counts a subscriber for as long as it lives.
struct Seat(Arc<Lobby>);

impl Seat {
    fn take(lobby: &Arc<Lobby>) -> Self {
        lobby.counts.subscribers.inc();
        Self(Arc::clone(lobby))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.counts.subscribers.dec();
    }
}

/// Hands one subscriber what is new until it leaves, the service stops or it takes no more.
async fn pump(lobby: Arc<Lobby>, send: Sender<Bytes>, cut: Cut, last: Option<Position>) {
    let _seat = Seat::take(&lobby);
    let (mut next, mut messages) = lobby.feed.join(last);
    let mut seq = last.map_or(0, |last| last.seq);
    let mut stop = lobby.stop.clone();
    loop {
        for message in next.drain(..) {
            seq = message.seq;
            if !hand(&lobby, &send, message.bytes, &cut).await {
                return;
            }
        }
        tokio::select! {
            () = stopped(&mut stop) => {
                let bye = json!({ "reason": "the shard is stopping" }).to_string();
                let bye = Event { id: String::new(), kind: "bye".into(), data: bye };
                drop(send.try_send(bye.encoded().into()));
                return;
            }
            message = messages.recv() => match message {
                Ok(message) => next.push(message),
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    lobby.counts.missed.fetch_add(missed, Ordering::Relaxed);
                    let Some((message, behind)) = lobby.feed.anew() else { return };
                    messages = behind;
                    next.push(message);
                }
                Err(broadcast::error::RecvError::Closed) => return,
            },
            () = sleep(HEARTBEAT) => {
                next.extend(lobby.feed.heartbeat(seq).map(|bytes| Message { seq, bytes }));
            }
            () = send.closed() => return,
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A service whose end of it is gone has stopped as well.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Hands a message over; false when the subscriber has gone or was cut off.
async fn hand(lobby: &Lobby, send: &Sender<Bytes>, bytes: Bytes, cut: &Cut) -> bool {
    if let Ok(sent) = timeout(STALLED, send.send(bytes)).await {
        return sent.is_ok();
    }
    lobby.counts.refused("stalled");
    lobby.log.say("cut off a subscriber that read nothing for ten seconds");
    cut.0.notify_one();
    false
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
