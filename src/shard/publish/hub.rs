//! The hub decides which subscriber gets which message: it numbers states, keeps recent messages for subscribers that
//! reconnect, and applies backpressure. A subscriber that falls behind goes from full to aggregated to resynced messages, is then
//! disconnected, and recovers in the same order. The caller passes in the time. Rule: "Telemetry".

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use townlet_town::config::Backpressure;

use super::archive::Archive;
use super::queue::{EncodedMessage, Queue};
use super::viewer::{StreamView, Viewer};
use townlet_wire::field_change::Change as _;
use townlet_wire::stream::{DIGEST_EVERY, digest};
use townlet_wire::telemetry::{Event, Narration, Transport};
use townlet_wire::{Body, Diff, Envelope, Position, Snapshot};

/// Bytes of messages kept for subscribers that reconnect.
const KEPT_BYTES: usize = 16 * 1024 * 1024;
/// Bytes that may wait for one subscriber; merged messages of a fast town are long.
const WAITING_BYTES: usize = 8 * 1024 * 1024;
/// Messages kept for subscribers that reconnect.
const KEPT_MESSAGES: usize = 1_200;
/// Time without messages after which a heartbeat is sent.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long messages are kept after the last subscriber has gone.
const KEEP_AFTER_LAST: Duration = Duration::from_secs(30);
/// While messages are merged: intervals without a read after which a subscriber is resynced.
const STUCK_INTERVALS: u32 = 2;
/// Time after which a subscriber that has not read its new snapshot is disconnected.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// Whether messages are sent individually or merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Depends on the backlog.
    #[default]
    Auto,
    /// Individually, whatever the backlog.
    Full,
    /// Merged.
    Aggregate,
}

/// A state, with all events since the one before.
pub(crate) struct Frame {
    pub view: Arc<Snapshot>,
    /// All events, including those the state no longer lists.
    pub events: Vec<Event>,
    pub narrations: Vec<Narration>,
    /// Whether residents have other names than before.
    pub renamed: bool,
    pub lost: u64,
}

/// A diff between two states, in encoded form because that is several times smaller.
struct KeptDiff {
    from: u64,
    sent: Arc<EncodedMessage>,
}

impl KeptDiff {
    fn diff(&self) -> Option<Diff> {
        match Envelope::from_json(&self.sent.text).ok()?.body {
            Body::Diff(diff) => Some(*diff),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeliveryMode {
    Full,
    Aggregated,
    Resynced,
}

struct Subscriber {
    queue: Arc<Queue>,
    /// The state it has after reading what waits; `None` before its first message.
    at: Option<u64>,
    resume: Option<Position>,
    mode: DeliveryMode,
    since: Duration,
    last_sent: Duration,
    /// Messages read by the end of the last interval, and the number of intervals without a read.
    taken: u64,
    stuck: u32,
}

pub(super) struct Hub {
    epoch: u64,
    /// Time of the call that is under way.
    now: Duration,
    limits: Backpressure,
    seq: u64,
    state: Option<Arc<Snapshot>>,
    kept: VecDeque<KeptDiff>,
    kept_bytes: usize,
    subscribers: Vec<Subscriber>,
    /// Subscribers that say what they look at.
    viewers: Vec<Viewer>,
    mode: Mode,
    aggregating: bool,
    empty_since: Option<Duration>,
    next_interval: Duration,
    archive: Archive,
    counts: Transport,
    /// Merged messages to the newest state by starting state, so that each is encoded once.
    merged: BTreeMap<u64, Arc<EncodedMessage>>,
    /// The newest state as a message, by whether it is without details, and the reason for sending it.
    full_states: BTreeMap<(bool, Option<String>), Arc<EncodedMessage>>,
    /// Digest of the newest state, computed on demand.
    digest: Option<String>,
}

impl Hub {
    pub(super) fn new(epoch: u64, limits: Backpressure, archive: Archive) -> Self {
        Self {
            epoch,
            now: Duration::ZERO,
            limits,
            seq: 0,
            state: None,
            kept: VecDeque::new(),
            kept_bytes: 0,
            subscribers: Vec::new(),
            viewers: Vec::new(),
            mode: Mode::Auto,
            aggregating: false,
            empty_since: None,
            next_interval: Duration::ZERO,
            archive,
            counts: Transport { mode: "full".into(), ..Transport::default() },
            merged: BTreeMap::new(),
            full_states: BTreeMap::new(),
            digest: None,
        }
    }

    pub(super) fn is_wanted(&self) -> bool {
        !self.viewers.is_empty() || self.keeps_messages()
    }

    /// Whether somebody needs every message: subscribers of everything, also such that may reconnect, and the archive.
    fn keeps_messages(&self) -> bool {
        !self.subscribers.is_empty() || self.aggregating || self.empty_since.is_some()
    }

    /// The shortest time between two messages that somebody wants; zero for subscribers that do not say so.
    pub(super) fn interval(&self) -> Duration {
        let viewers = self.viewers.iter().map(Viewer::interval).min();
        viewers.filter(|_| !self.keeps_messages()).unwrap_or_default()
    }

    pub(super) fn report(&self) -> Transport {
        let behind = self.subscribers.iter().filter(|it| it.mode != DeliveryMode::Full).count() as u64;
        let mode = if self.aggregating { "aggregate" } else { "full" };
        Transport {
            queue_length: self.backlog() as u64,
            mode: mode.into(),
            subscribers: (self.subscribers.len() + self.viewers.len()) as u64,
            behind,
            last_error: self.archive.trouble.clone(),
            archive: self.archive.file(),
            ..self.counts.clone()
        }
    }

    /// Adds a subscriber; one that reconnects has read up to `resume`.
    pub(super) fn subscribe(&mut self, now: Duration, queue: Arc<Queue>, resume: Option<Position>) {
        self.now = now;
        self.subscribers.push(Subscriber {
            queue,
            at: None,
            resume,
            mode: DeliveryMode::Full,
            since: now,
            last_sent: now,
            taken: 0,
            stuck: 0,
        });
        self.empty_since = None;
        if self.state.is_some() {
            self.send_first(now, self.subscribers.len() - 1);
        }
    }

    /// Adds a subscriber that says what it looks at. It begins with the whole state.
    pub(super) fn subscribe_view(&mut self, now: Duration, queue: Arc<Queue>, view: StreamView) {
        self.now = now;
        self.viewers.push(Viewer::new(now, queue, view));
        self.update_viewers(now);
    }

    /// Changes the limits; `folder` is where the raw stream is archived while messages are merged.
    pub(super) fn set_limits(&mut self, limits: Backpressure, folder: Option<PathBuf>) {
        self.limits = limits;
        self.archive.set_folder(folder);
    }

    pub(super) fn set_mode(&mut self, now: Duration, mode: Mode) {
        (self.now, self.mode) = (now, mode);
        self.update_aggregation(now);
        self.forget_when_unused(now, false);
    }

    pub(super) fn frame(&mut self, now: Duration, frame: Frame) {
        self.now = now;
        if !self.is_wanted() {
            return;
        }
        self.counts.dropped += frame.lost;
        let before = self.state.replace(Arc::clone(&frame.view));
        let step = match before {
            _ if !self.keeps_messages() && !frame.renamed => {
                (self.seq, self.kept_bytes) = (self.seq + 1, 0);
                self.kept.clear();
                self.forget_encoded();
                return self.on_timer(now);
            }
            Some(before) if !frame.renamed => {
                let diff = Diff::carrying(&before, &frame.view, frame.events, frame.narrations);
                if diff.is_empty() {
                    return self.on_timer(now);
                }
                Some(diff)
            }
            _ => None,
        };
        self.seq += 1;
        self.forget_encoded();
        if let Some(diff) = step {
            self.keep_diff(diff);
            self.deliver(now);
        } else {
            self.kept.clear();
            self.kept_bytes = 0;
            self.archive_state();
            for at in 0..self.subscribers.len() {
                if self.subscribers[at].at.is_some() {
                    self.resync(now, at, "the names of residents have changed");
                } else {
                    self.send_first(now, at);
                }
            }
            self.resync_viewers(now, |_| true, "the names of residents have changed");
        }
        self.on_timer(now);
    }

    /// Drops what was encoded for the state before.
    fn forget_encoded(&mut self) {
        self.merged.clear();
        self.full_states.clear();
        self.digest = None;
    }

    /// Sends the whole state to viewers that need it, in place of what waits for them.
    fn resync_viewers(&mut self, now: Duration, needs_it: impl Fn(&Viewer) -> bool, why: &str) {
        let Some(state) = self.state.clone() else { return };
        let mut viewers = std::mem::take(&mut self.viewers);
        for viewer in viewers.iter_mut().filter(|viewer| needs_it(viewer)) {
            let first = !viewer.is_started();
            let message = self.whole_state((!first).then_some(why), viewer.has_focus());
            self.counts.dropped += viewer.send_whole(now, message, &state, self.seq);
            self.counts.resynced += u64::from(!first);
        }
        self.viewers = viewers;
    }

    /// Sends viewers their first message and the changes that are due, and disconnects those that do not read.
    fn update_viewers(&mut self, now: Duration) {
        self.viewers.retain(|viewer| !viewer.queue.has_left());
        let Some(state) = self.state.clone() else { return };
        self.resync_viewers(now, |viewer| !viewer.is_started(), "");
        let (epoch, seq) = (self.epoch, self.seq);
        self.viewers.retain_mut(|viewer| {
            let stuck = viewer.is_stuck(now);
            if stuck {
                self.counts.dropped += viewer.queue.clear() as u64;
                self.counts.disconnected += 1;
                viewer.queue.end(&unread());
            }
            !stuck
        });
        for viewer in &mut self.viewers {
            viewer.update(now, &state, epoch, seq);
        }
    }

    /// Sends merged messages and heartbeats that are due, and disconnects subscribers that timed out.
    pub(super) fn on_timer(&mut self, now: Duration) {
        self.now = now;
        let some = !self.subscribers.is_empty();
        self.subscribers.retain(|it| !it.queue.has_left());
        self.update_aggregation(now);
        if self.aggregating && self.archive.is_due(now) {
            self.archive.open(now);
            self.archive_state();
        }
        self.forget_when_unused(now, some && self.subscribers.is_empty());
        if now >= self.next_interval {
            self.next_interval = now + Duration::from_millis(self.limits.aggregate_every_ms.into());
            for at in 0..self.subscribers.len() {
                self.catch_up(now, at);
            }
            self.subscribers.retain(|it| it.since != Duration::MAX);
        }
        for at in 0..self.subscribers.len() {
            self.send_heartbeat(now, at);
        }
        self.update_viewers(now);
    }

    /// Drops kept messages some time after the last subscriber left, so that it can reconnect until then.
    fn forget_when_unused(&mut self, now: Duration, just_left: bool) {
        if just_left {
            self.empty_since = Some(now);
        }
        if self.empty_since.is_some_and(|since| now >= since + KEEP_AFTER_LAST) {
            self.empty_since = None;
        }
        if !self.is_wanted() {
            self.state = None;
            self.kept.clear();
            self.kept_bytes = 0;
        }
    }

    pub(super) fn end(&mut self, why: &str) {
        self.archive.close();
        let subscribers = self.subscribers.drain(..).map(|subscriber| subscriber.queue);
        for queue in subscribers.chain(self.viewers.drain(..).map(|viewer| viewer.queue)) {
            queue.end(why);
        }
    }

    fn backlog(&self) -> usize {
        self.subscribers.iter().map(|it| it.queue.len()).sum()
    }

    fn update_aggregation(&mut self, now: Duration) {
        let backlog = self.backlog();
        let aggregating = match self.mode {
            Mode::Full => false,
            Mode::Aggregate => true,
            Mode::Auto if self.aggregating => backlog >= self.limits.recover_below as usize,
            Mode::Auto => backlog > self.limits.backlog_threshold as usize,
        };
        if aggregating == self.aggregating {
            return;
        }
        self.aggregating = aggregating;
        self.next_interval = now + Duration::from_millis(self.limits.aggregate_every_ms.into());
        if aggregating {
            self.archive.open(now);
            self.archive_state();
        } else {
            self.archive.close();
            for at in 0..self.subscribers.len() {
                self.catch_up(now, at);
            }
            self.subscribers.retain(|it| it.since != Duration::MAX);
        }
    }

    fn archive_state(&mut self) {
        if self.archive.file().is_some() && self.state.is_some() {
            let whole = self.full_state(None);
            self.archive.write(&whole.text);
        }
    }

    /// Keeps a diff for subscribers that reconnect, and archives it while the archive is open.
    fn keep_diff(&mut self, diff: Diff) {
        let digest = self.seq.is_multiple_of(DIGEST_EVERY).then(|| self.digest());
        let mut envelope = self.envelope(Body::Diff(Box::new(diff)), self.seq - 1);
        envelope.digest = digest;
        let sent = encode(&envelope);
        self.archive.write(&sent.text);
        self.kept_bytes += sent.text.len();
        self.kept.push_back(KeptDiff { from: self.seq - 1, sent });
        while self.kept.len() > 1 && (self.kept.len() > KEPT_MESSAGES || self.kept_bytes > KEPT_BYTES) {
            self.kept_bytes -= self.kept.pop_front().map_or(0, |step| step.sent.text.len());
        }
    }

    /// Sends the newest diff to subscribers in full mode.
    fn deliver(&mut self, now: Duration) {
        let newest = self.kept.back().map(|step| Arc::clone(&step.sent));
        for at in 0..self.subscribers.len() {
            let (buffer, aggregating, seq) = (self.limits.subscriber_buffer as usize, self.aggregating, self.seq);
            let it = &mut self.subscribers[at];
            match (it.at, &newest) {
                (None, _) => self.send_first(now, at),
                (Some(has), Some(newest)) if it.mode == DeliveryMode::Full && !aggregating && has + 1 == seq => {
                    if it.queue.has_room(buffer, WAITING_BYTES) {
                        it.queue.push(Arc::clone(newest));
                        (it.at, it.last_sent) = (Some(seq), now);
                    } else {
                        (it.mode, it.since) = (DeliveryMode::Aggregated, now);
                    }
                }
                _ => {}
            }
        }
    }

    /// Sends the first messages: the diffs since a known position, or the full state.
    fn send_first(&mut self, now: Duration, at: usize) {
        let resume = self.subscribers[at].resume.take();
        let known = resume.filter(|resume| resume.epoch == self.epoch);
        let rest = known.and_then(|resume| self.messages_after(resume.seq));
        let messages = match (rest, resume) {
            (Some(rest), _) if rest.len() <= self.limits.subscriber_buffer as usize => rest,
            (Some(_), Some(resume)) => self.merged_since(resume.seq).into_iter().collect(),
            (None, Some(_)) => {
                self.counts.resynced += 1;
                vec![self.full_state(Some("the messages since then are no longer available"))]
            }
            _ => vec![self.full_state(None)],
        };
        let it = &mut self.subscribers[at];
        (it.at, it.last_sent, it.since) = (Some(self.seq), now, now);
        for message in messages {
            it.queue.push(message);
        }
    }

    /// At the end of an interval: sends merged messages to a subscriber that is behind, or moves it to the next lower mode.
    fn catch_up(&mut self, now: Duration, at: usize) {
        let it = &mut self.subscribers[at];
        let (Some(has), waiting, taken) = (it.at, it.queue.len(), it.queue.taken()) else { return };
        it.stuck = if self.aggregating && waiting > 0 && taken == it.taken { it.stuck + 1 } else { 0 };
        it.taken = taken;
        let stuck = it.stuck >= STUCK_INTERVALS;
        let full = stuck || !it.queue.has_room(self.limits.subscriber_buffer as usize, WAITING_BYTES);
        let none = waiting == 0;
        match it.mode {
            DeliveryMode::Resynced if !none => {
                if now >= it.since + TIMEOUT {
                    self.disconnect(at);
                }
            }
            DeliveryMode::Full if has == self.seq && !stuck => {}
            _ if full => self.resync(now, at, "too many messages were waiting"),
            _ => match self.merged_since(has) {
                Some(message) => {
                    let it = &mut self.subscribers[at];
                    it.queue.push(message);
                    (it.at, it.last_sent) = (Some(self.seq), now);
                    if none {
                        it.mode = DeliveryMode::Full;
                    }
                }
                None if has == self.seq => {
                    if none {
                        self.subscribers[at].mode = DeliveryMode::Full;
                    }
                }
                None => self.resync(now, at, "the messages in between are no longer available"),
            },
        }
    }

    fn resync(&mut self, now: Duration, at: usize, why: &str) {
        let whole = self.full_state(Some(why));
        let it = &mut self.subscribers[at];
        self.counts.dropped += it.queue.clear() as u64;
        self.counts.resynced += 1;
        it.queue.push(whole);
        (it.at, it.mode, it.since, it.last_sent) = (Some(self.seq), DeliveryMode::Resynced, now, now);
    }

    fn disconnect(&mut self, at: usize) {
        let it = &mut self.subscribers[at];
        self.counts.dropped += it.queue.clear() as u64;
        self.counts.disconnected += 1;
        it.queue.end(&unread());
        it.since = Duration::MAX;
    }

    fn send_heartbeat(&mut self, now: Duration, at: usize) {
        let it = &self.subscribers[at];
        let Some(has) = it.at.filter(|_| now >= it.last_sent + HEARTBEAT && it.queue.len() == 0) else { return };
        let mut envelope = self.envelope(Body::Heartbeat, has);
        envelope.seq = has;
        let it = &mut self.subscribers[at];
        it.queue.push(encode(&envelope));
        it.last_sent = now;
    }

    /// All messages after a state; `None` if they are no longer kept.
    fn messages_after(&self, seq: u64) -> Option<Vec<Arc<EncodedMessage>>> {
        let rest: Vec<_> = self.kept.iter().filter(|step| step.from >= seq).collect();
        let whole = seq <= self.seq && (self.seq - seq) as usize == rest.len();
        whole.then(|| rest.iter().map(|step| Arc::clone(&step.sent)).collect())
    }

    /// One message that leads from a state to the newest; `None` if there is none.
    fn merged_since(&mut self, seq: u64) -> Option<Arc<EncodedMessage>> {
        let mut rest = self.messages_after(seq)?;
        if rest.len() <= 1 {
            return rest.pop();
        }
        if let Some(message) = self.merged.get(&seq) {
            return Some(Arc::clone(message));
        }
        let kept = self.kept.iter().filter(|step| step.from >= seq).map(KeptDiff::diff);
        let all = kept.reduce(|all, step| all?.then(step?).ok())??;
        let digest = self.digest();
        let mut envelope = self.envelope(Body::Aggregate(Box::new(all)), seq);
        envelope.digest = Some(digest);
        let message = encode(&envelope);
        self.merged.insert(seq, Arc::clone(&message));
        Some(message)
    }

    /// The newest state as a message; with a reason, as a resync.
    fn full_state(&mut self, why: Option<&str>) -> Arc<EncodedMessage> {
        self.whole_state(why, false)
    }

    /// The newest state as a message, without details of residents if it is `brief`.
    fn whole_state(&mut self, why: Option<&str>, brief: bool) -> Arc<EncodedMessage> {
        let key = (brief, why.map(str::to_owned));
        if let Some(message) = self.full_states.get(&key) {
            return Arc::clone(message);
        }
        let newest = self.state.clone().unwrap_or_default();
        let (state, digest) = if brief {
            let state = newest.without_details();
            let digest = digest(&state);
            (Arc::new(state), digest)
        } else {
            (newest, self.digest())
        };
        let body = if why.is_some() { Body::Resync } else { Body::Snapshot };
        let mut envelope = self.envelope(body(state), 0);
        (envelope.reason, envelope.digest) = (key.1.clone(), Some(digest));
        let message = encode(&envelope);
        self.full_states.insert(key, Arc::clone(&message));
        message
    }

    fn digest(&mut self) -> String {
        let state = &self.state;
        self.digest.get_or_insert_with(|| state.as_deref().map(digest).unwrap_or_default()).clone()
    }

    fn envelope(&self, body: Body, prev_seq: u64) -> Envelope {
        let nothing = Snapshot::default();
        let state = self.state.as_deref().unwrap_or(&nothing);
        Envelope {
            sent_ms: milliseconds(self.now),
            ..Envelope::leading_to(state, self.epoch, self.seq, prev_seq, body)
        }
    }
}

/// Whole milliseconds.
pub(crate) fn milliseconds(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

fn unread() -> String {
    format!("nothing was read for {} seconds", TIMEOUT.as_secs())
}

pub(super) fn encode(envelope: &Envelope) -> Arc<EncodedMessage> {
    let text = envelope.to_json().into();
    Arc::new(EncodedMessage::new(envelope.position(), envelope.body.kind(), text))
}
