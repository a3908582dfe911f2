//! Who gets which message: numbers states, keeps the newest messages for readers that come back, and moves a subscriber
//! that falls behind down the ladder full → aggregated → resynced → disconnected, and up again.
//!
//! Knows no clock and no thread: the time is handed in. Rule: "Telemetry".

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use townlet_town::config::Backpressure;

use super::archive::Archive;
use super::queue::{EncodedMessage, Queue};
use townlet_wire::stream::{DIGEST_EVERY, digest};
use townlet_wire::telemetry::{Event, Narration, Transport};
use townlet_wire::{Body, Diff, Envelope, Position, Snapshot};

/// Bytes of messages kept for readers that come back.
const KEPT_BYTES: usize = 16 * 1024 * 1024;
/// Bytes that may wait for one subscriber: merged messages of a fast town are long, and so few may not wait.
const WAITING_BYTES: usize = 8 * 1024 * 1024;
/// Messages kept for them.
const KEPT: usize = 1_200;
/// A stream says after so long a silence that it lives.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long messages are kept when nobody is there.
const LINGER: Duration = Duration::from_secs(30);
/// Intervals in which a subscriber takes nothing until it is given a new state, while messages are merged for all.
const STUCK: u32 = 2;
/// A subscriber that has not taken its new snapshot after so long is let go.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Whether messages are sent one by one or merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As the backlog asks.
    #[default]
    Auto,
    /// One by one, whatever waits.
    Full,
    /// Merged.
    Aggregate,
}

/// What bounds a hub; `telemetry.backpressure` of the configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Waiting messages above which it aggregates.
    pub threshold: usize,
    /// Waiting messages under which it stops.
    pub recover_below: usize,
    /// Between two merged messages.
    pub every: Duration,
    /// Messages kept for one subscriber.
    pub buffer: usize,
}

impl Limits {
    /// As the configuration has them.
    pub(super) fn of(pressure: &Backpressure) -> Self {
        Self {
            threshold: pressure.backlog_threshold as usize,
            recover_below: pressure.recover_below as usize,
            every: Duration::from_millis(u64::from(pressure.aggregate_every_ms)),
            buffer: pressure.subscriber_buffer as usize,
        }
    }
}

/// A state and what happened since the one before.
pub(crate) struct Frame {
    /// The state.
    pub view: Arc<Snapshot>,
    /// All of it, also what the state no longer holds.
    pub events: Vec<Event>,
    /// As well.
    pub narrations: Vec<Narration>,
    /// Names of residents are others than before.
    pub renamed: bool,
    /// Events that were too many to keep until now.
    pub lost: u64,
}

/// A step from one state to the next, as its message alone: taken apart it would need several times the room.
struct Step {
    from: u64,
    sent: Arc<EncodedMessage>,
}

impl Step {
    fn diff(&self) -> Option<Diff> {
        match serde_json::from_str::<Envelope>(&self.sent.text).ok()?.body {
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
    /// The state it will have once it has taken what waits; nothing before its first message.
    at: Option<u64>,
    resume: Option<Position>,
    rung: DeliveryMode,
    since: Duration,
    heard: Duration,
    /// Messages it had taken at the end of the last interval, and for how many intervals it has taken none that waited.
    taken: u64,
    stuck: u32,
}

/// See the opening of the file.
pub(super) struct Hub {
    epoch: u64,
    limits: Limits,
    seq: u64,
    state: Option<Arc<Snapshot>>,
    steps: VecDeque<Step>,
    kept_bytes: usize,
    subscribers: Vec<Subscriber>,
    mode: Mode,
    aggregating: bool,
    /// When the last subscriber went.
    left: Option<Duration>,
    boundary: Duration,
    archive: Archive,
    counts: Transport,
    /// Messages made from a state to the newest one, so that each is encoded once.
    merged: BTreeMap<u64, Arc<EncodedMessage>>,
    /// The newest state as a message, by the reason it is sent for.
    wholes: BTreeMap<Option<String>, Arc<EncodedMessage>>,
    /// The newest state's, once it was asked for.
    proof: Option<String>,
}

impl Hub {
    pub(super) fn new(epoch: u64, limits: Limits, archive: Archive) -> Self {
        Self {
            epoch,
            limits,
            seq: 0,
            state: None,
            steps: VecDeque::new(),
            kept_bytes: 0,
            subscribers: Vec::new(),
            mode: Mode::Auto,
            aggregating: false,
            left: None,
            boundary: Duration::ZERO,
            archive,
            counts: Transport { mode: "full".into(), ..Transport::default() },
            merged: BTreeMap::new(),
            wholes: BTreeMap::new(),
            proof: None,
        }
    }

    /// Whether anybody wants states at all.
    pub(super) fn is_wanted(&self) -> bool {
        !self.subscribers.is_empty() || self.aggregating || self.left.is_some()
    }

    /// How telemetry itself fares.
    pub(super) fn report(&self) -> Transport {
        let behind = self.subscribers.iter().filter(|it| it.rung != DeliveryMode::Full).count() as u64;
        let mode = if self.aggregating { "aggregate" } else { "full" };
        Transport {
            queue_length: self.backlog() as u64,
            mode: mode.into(),
            subscribers: self.subscribers.len() as u64,
            behind,
            last_error: self.archive.trouble(),
            archive: self.archive.file(),
            ..self.counts.clone()
        }
    }

    /// Somebody new, or somebody who comes back and has read up to `resume`.
    pub(super) fn subscribe(&mut self, now: Duration, queue: Arc<Queue>, resume: Option<Position>) {
        self.subscribers.push(Subscriber {
            queue,
            at: None,
            resume,
            rung: DeliveryMode::Full,
            since: now,
            heard: now,
            taken: 0,
            stuck: 0,
        });
        self.left = None;
        if self.state.is_some() {
            self.begin(now, self.subscribers.len() - 1);
        }
    }

    /// Other limits from now on; `folder` is where the raw stream is kept while messages are merged, if anywhere.
    pub(super) fn set_limits(&mut self, limits: Limits, folder: Option<PathBuf>) {
        self.limits = limits;
        self.archive.keep_in(folder);
    }

    /// What an operator wants.
    pub(super) fn set_mode(&mut self, now: Duration, mode: Mode) {
        self.mode = mode;
        self.weigh(now);
    }

    /// The next state.
    pub(super) fn frame(&mut self, now: Duration, frame: Frame) {
        if !self.is_wanted() {
            return;
        }
        self.counts.dropped += frame.lost;
        let before = self.state.replace(Arc::clone(&frame.view));
        let step = match before {
            Some(before) if !frame.renamed => {
                let diff = Diff::carrying(&before, &frame.view, frame.events, frame.narrations);
                if diff.is_empty() {
                    return self.beat(now);
                }
                Some(diff)
            }
            _ => None,
        };
        self.seq += 1;
        self.merged.clear();
        self.wholes.clear();
        self.proof = None;
        if let Some(diff) = step {
            self.keep(diff);
            self.deliver(now);
        } else {
            self.steps.clear();
            self.kept_bytes = 0;
            self.archive_state();
            for at in 0..self.subscribers.len() {
                if self.subscribers[at].at.is_some() {
                    self.resync(now, at, "what residents are called outside has changed");
                } else {
                    self.begin(now, at);
                }
            }
        }
        self.beat(now);
    }

    /// What time alone brings: merged messages, signs of life, subscribers that are let go.
    pub(super) fn beat(&mut self, now: Duration) {
        let some = !self.subscribers.is_empty();
        self.subscribers.retain(|it| !it.queue.is_left());
        self.weigh(now);
        if self.aggregating && self.archive.is_due(now) {
            self.archive.open(now);
            self.archive_state();
        }
        self.linger(now, some && self.subscribers.is_empty());
        if now >= self.boundary {
            self.boundary = now + self.limits.every;
            for at in 0..self.subscribers.len() {
                self.catch_up(now, at);
            }
            self.subscribers.retain(|it| it.since != Duration::MAX);
        }
        for at in 0..self.subscribers.len() {
            self.send_heartbeat(now, at);
        }
    }

    /// Goes on for a while after the last subscriber went, who may come back for what it has missed; then forgets.
    fn linger(&mut self, now: Duration, just_left: bool) {
        if just_left {
            self.left = Some(now);
        }
        if self.left.is_some_and(|left| now >= left + LINGER) {
            self.left = None;
        }
        if !self.is_wanted() {
            self.state = None;
            self.steps.clear();
            self.kept_bytes = 0;
        }
    }

    /// Nothing comes any more.
    pub(super) fn end(&mut self, why: &str) {
        self.archive.close();
        for subscriber in self.subscribers.drain(..) {
            subscriber.queue.end(why);
        }
    }

    fn backlog(&self) -> usize {
        self.subscribers.iter().map(|it| it.queue.len()).sum()
    }

    /// Begins to aggregate, or stops.
    fn weigh(&mut self, now: Duration) {
        let backlog = self.backlog();
        let aggregating = match self.mode {
            Mode::Full => false,
            Mode::Aggregate => true,
            Mode::Auto if self.aggregating => backlog >= self.limits.recover_below,
            Mode::Auto => backlog > self.limits.threshold,
        };
        if aggregating == self.aggregating {
            return;
        }
        self.aggregating = aggregating;
        self.boundary = now + self.limits.every;
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
        if self.archive.is_open() && self.state.is_some() {
            let whole = self.whole(None);
            self.archive.write(&whole.text);
        }
    }

    /// Keeps a step for those who come back, and in the archive while it is written.
    fn keep(&mut self, diff: Diff) {
        let proof = self.seq.is_multiple_of(DIGEST_EVERY).then(|| self.digest());
        let mut envelope = self.envelope(Body::Diff(Box::new(diff)), self.seq - 1);
        envelope.digest = proof;
        let sent = sent(&envelope);
        self.archive.write(&sent.text);
        self.kept_bytes += sent.text.len();
        self.steps.push_back(Step { from: self.seq - 1, sent });
        while self.steps.len() > 1 && (self.steps.len() > KEPT || self.kept_bytes > KEPT_BYTES) {
            self.kept_bytes -= self.steps.pop_front().map_or(0, |step| step.sent.text.len());
        }
    }

    /// Gives the newest step to whoever gets every message.
    fn deliver(&mut self, now: Duration) {
        let newest = self.steps.back().map(|step| Arc::clone(&step.sent));
        for at in 0..self.subscribers.len() {
            let (buffer, aggregating, seq) = (self.limits.buffer, self.aggregating, self.seq);
            let it = &mut self.subscribers[at];
            match (it.at, &newest) {
                (None, _) => self.begin(now, at),
                (Some(has), Some(newest)) if it.rung == DeliveryMode::Full && !aggregating && has + 1 == seq => {
                    if it.queue.has_room(buffer, WAITING_BYTES) {
                        it.queue.push(Arc::clone(newest));
                        (it.at, it.heard) = (Some(seq), now);
                    } else {
                        (it.rung, it.since) = (DeliveryMode::Aggregated, now);
                    }
                }
                _ => {}
            }
        }
    }

    /// The first message: what is missing since a position that is still known, or the whole state.
    fn begin(&mut self, now: Duration, at: usize) {
        let resume = self.subscribers[at].resume.take();
        let known = resume.filter(|resume| resume.epoch == self.epoch);
        let rest = known.and_then(|resume| self.since(resume.seq));
        let messages = match (rest, resume) {
            (Some(rest), _) if rest.len() <= self.limits.buffer => rest,
            (Some(_), Some(resume)) => self.step_from(resume.seq).into_iter().collect(),
            (None, Some(_)) => {
                self.counts.resynced += 1;
                vec![self.whole(Some("the messages since are not kept any more"))]
            }
            _ => vec![self.whole(None)],
        };
        let it = &mut self.subscribers[at];
        (it.at, it.heard, it.since) = (Some(self.seq), now, now);
        for message in messages {
            it.queue.push(message);
        }
    }

    /// At the end of an interval: what a subscriber that gets no single messages has missed, or a rung down.
    fn catch_up(&mut self, now: Duration, at: usize) {
        let it = &mut self.subscribers[at];
        let (Some(has), waiting, taken) = (it.at, it.queue.len(), it.queue.taken()) else { return };
        it.stuck = if self.aggregating && waiting > 0 && taken == it.taken { it.stuck + 1 } else { 0 };
        it.taken = taken;
        let stuck = it.stuck >= STUCK;
        let full = stuck || !it.queue.has_room(self.limits.buffer, WAITING_BYTES);
        let none = waiting == 0;
        match it.rung {
            DeliveryMode::Resynced if !none => {
                if now >= it.since + TIMEOUT {
                    self.disconnect(at);
                }
            }
            DeliveryMode::Full if has == self.seq && !stuck => {}
            _ if full => self.resync(now, at, "too many messages waited to be read"),
            _ => match self.step_from(has) {
                Some(message) => {
                    let it = &mut self.subscribers[at];
                    it.queue.push(message);
                    (it.at, it.heard) = (Some(self.seq), now);
                    if none {
                        it.rung = DeliveryMode::Full;
                    }
                }
                None if has == self.seq => {
                    if none {
                        self.subscribers[at].rung = DeliveryMode::Full;
                    }
                }
                None => self.resync(now, at, "the messages in between are not kept any more"),
            },
        }
    }

    fn resync(&mut self, now: Duration, at: usize, why: &str) {
        let whole = self.whole(Some(why));
        let it = &mut self.subscribers[at];
        self.counts.dropped += it.queue.clear() as u64;
        self.counts.resynced += 1;
        it.queue.push(whole);
        (it.at, it.rung, it.since, it.heard) = (Some(self.seq), DeliveryMode::Resynced, now, now);
    }

    fn disconnect(&mut self, at: usize) {
        let it = &mut self.subscribers[at];
        self.counts.dropped += it.queue.clear() as u64;
        self.counts.disconnected += 1;
        it.queue.end(&format!("nothing was read for {} seconds", TIMEOUT.as_secs()));
        it.since = Duration::MAX;
    }

    fn send_heartbeat(&mut self, now: Duration, at: usize) {
        let it = &self.subscribers[at];
        let Some(has) = it.at.filter(|_| now >= it.heard + HEARTBEAT && it.queue.len() == 0) else { return };
        let mut envelope = self.envelope(Body::Heartbeat, has);
        envelope.seq = has;
        let it = &mut self.subscribers[at];
        it.queue.push(sent(&envelope));
        it.heard = now;
    }

    /// Every single message after a state; nothing when they are not kept any more.
    fn since(&self, seq: u64) -> Option<Vec<Arc<EncodedMessage>>> {
        let rest: Vec<_> = self.steps.iter().filter(|step| step.from >= seq).collect();
        let whole = seq <= self.seq && (self.seq - seq) as usize == rest.len();
        whole.then(|| rest.iter().map(|step| Arc::clone(&step.sent)).collect())
    }

    /// One message from a state to the newest; nothing when there is no such step.
    fn step_from(&mut self, seq: u64) -> Option<Arc<EncodedMessage>> {
        let mut rest = self.since(seq)?;
        if rest.len() <= 1 {
            return rest.pop();
        }
        if let Some(message) = self.merged.get(&seq) {
            return Some(Arc::clone(message));
        }
        let steps = self.steps.iter().filter(|step| step.from >= seq).map(Step::diff);
        let all = steps.reduce(|all, step| all?.then(step?).ok())??;
        let proof = self.digest();
        let mut envelope = self.envelope(Body::Aggregate(Box::new(all)), seq);
        envelope.digest = Some(proof);
        let message = sent(&envelope);
        self.merged.insert(seq, Arc::clone(&message));
        Some(message)
    }

    /// The newest state as a message.
    fn whole(&mut self, why: Option<&str>) -> Arc<EncodedMessage> {
        let why = why.map(str::to_owned);
        if let Some(message) = self.wholes.get(&why) {
            return Arc::clone(message);
        }
        let state = Box::new(self.state.as_deref().cloned().unwrap_or_default());
        let body = if why.is_some() { Body::Resync(state) } else { Body::Snapshot(state) };
        let mut envelope = self.envelope(body, 0);
        envelope.reason.clone_from(&why);
        envelope.digest = Some(self.digest());
        let message = sent(&envelope);
        self.wholes.insert(why, Arc::clone(&message));
        message
    }

    fn digest(&mut self) -> String {
        let state = &self.state;
        self.proof.get_or_insert_with(|| state.as_deref().map(digest).unwrap_or_default()).clone()
    }

    fn envelope(&self, body: Body, prev_seq: u64) -> Envelope {
        let nothing = Snapshot::default();
        let state = self.state.as_deref().unwrap_or(&nothing);
        Envelope::leading_to(state, self.epoch, self.seq, prev_seq, body)
    }
}

fn sent(envelope: &Envelope) -> Arc<EncodedMessage> {
    let text = serde_json::to_string(envelope).expect("a message is plain data");
    Arc::new(EncodedMessage { position: envelope.position(), kind: envelope.body.kind(), text: text.into() })
}
