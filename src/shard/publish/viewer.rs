//! A subscriber that says which residents it looks at, and how often it wants a message.
//!
//! Rows of those residents are as new as each message. The others follow in turn, each once in [`ROUND`], so that all rows are known
//! and none is older than that. At most one message waits: a slow reader gets fewer messages, not older ones. The caller passes in
//! the time. Rule: "Telemetry".

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::hub::{HEARTBEAT, TIMEOUT, encode};
use super::queue::{EncodedMessage, Queue};
use townlet_wire::field_change::Change as _;
use townlet_wire::service::{Area, Focus};
use townlet_wire::stream::digest;
use townlet_wire::{Body, Diff, Envelope, Snapshot};

/// The time in which the rows of all residents are sent.
const ROUND: Duration = Duration::from_secs(5);
/// One message in so many has the digest of the subscriber's state.
const VIEW_DIGEST_EVERY: u64 = 100;

/// What a subscriber looks at. It may change while the stream runs.
#[derive(Clone, Debug)]
pub struct StreamView {
    /// `None` for all residents.
    focus: Arc<Mutex<Option<Arc<Focus>>>>,
    interval: Duration,
}

impl StreamView {
    /// A view of all residents with at most `rate` messages a second.
    pub fn all(rate: u32) -> Self {
        Self { focus: Arc::default(), interval: Duration::from_secs(1) / rate.max(1) }
    }

    /// The same, of what is in focus.
    #[must_use]
    pub fn of(self, focus: Focus) -> Self {
        self.look_at(focus);
        self
    }

    /// Looks at this from now on.
    pub fn look_at(&self, focus: Focus) {
        *self.focus.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(focus));
    }

    fn focus(&self) -> Option<Arc<Focus>> {
        self.focus.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(super) struct Viewer {
    pub(super) queue: Arc<Queue>,
    view: StreamView,
    /// The state it has after reading what waits, and its number; `None` before its first message.
    has: Option<(Snapshot, u64)>,
    /// What it looked at in the last message.
    focus: Option<Arc<Focus>>,
    /// The newest state it was compared with, and the residents whose rows may still be older.
    compared: u64,
    unsent: usize,
    /// Place of the next resident whose turn it is.
    turn: usize,
    last_compared: Duration,
    /// When the next message is due.
    next: Duration,
    last_sent: Duration,
    sent: u64,
}

impl Viewer {
    pub(super) fn new(now: Duration, queue: Arc<Queue>, view: StreamView) -> Self {
        Self {
            queue,
            view,
            has: None,
            focus: None,
            compared: 0,
            unsent: 0,
            turn: 0,
            last_compared: now,
            next: now,
            last_sent: now,
            sent: 0,
        }
    }

    pub(super) fn interval(&self) -> Duration {
        self.view.interval
    }

    pub(super) fn is_started(&self) -> bool {
        self.has.is_some()
    }

    /// Sends the whole state in `message` in place of what waits. Returns the number of messages dropped.
    pub(super) fn send_whole(
        &mut self,
        now: Duration,
        message: Arc<EncodedMessage>,
        state: &Snapshot,
        seq: u64,
    ) -> u64 {
        let dropped = self.queue.clear() as u64;
        (self.has, self.focus) = (Some((state.clone(), seq)), self.view.focus());
        (self.compared, self.unsent) = (seq, 0);
        (self.last_compared, self.next, self.last_sent) = (now, now + self.view.interval, now);
        self.queue.push(message);
        dropped
    }

    /// Whether it has read nothing for too long.
    pub(super) fn is_stuck(&self, now: Duration) -> bool {
        self.queue.len() > 0 && now >= self.last_sent + TIMEOUT
    }

    /// Sends what has changed for it, if a message is due. False when its state does not fit, so that it needs the whole one.
    pub(super) fn update(&mut self, now: Duration, newest: &Snapshot, epoch: u64, seq: u64) -> bool {
        let Some((has, at)) = &mut self.has else { return true };
        // A state that comes a little early is taken, because the next one may be a whole interval later.
        if self.queue.len() > 0 || now + self.view.interval / 8 < self.next {
            return true;
        }
        let focus = self.view.focus();
        let looks_elsewhere = match (&focus, &self.focus) {
            (Some(new), Some(old)) => !Arc::ptr_eq(new, old),
            (new, old) => new.is_some() != old.is_some(),
        };
        if seq != self.compared {
            (self.compared, self.unsent) = (seq, newest.agents.len());
        } else if self.unsent == 0 && !looks_elsewhere {
            self.send_heartbeat(now, newest, epoch);
            return true;
        }
        let in_turn = turns(newest.agents.len(), now.saturating_sub(self.last_compared));
        let turn: BTreeSet<&str> =
            (newest.agents.iter().cycle().skip(self.turn).take(in_turn)).map(|agent| agent.id.as_str()).collect();
        let in_area = focus.as_ref().map(|focus| residents_in(focus.area, [has, newest])).unwrap_or_default();
        let is_watched = |id: &str| focus.as_ref().is_none_or(|focus| focus.residents.contains(id));
        let wanted = |id: &str| is_watched(id) || in_area.contains(id) || turn.contains(id);
        let diff = Diff::of_residents(has, newest, wanted);
        self.turn = (self.turn + in_turn) % newest.agents.len().max(1);
        self.unsent = self.unsent.saturating_sub(in_turn);
        (self.last_compared, self.next, self.focus) = (now, now.max(self.next + self.view.interval), focus);
        if self.focus.is_none() {
            self.unsent = 0;
        }
        if diff.is_empty() {
            self.send_heartbeat(now, newest, epoch);
            return true;
        }
        if diff.clone().apply(has).is_err() {
            self.has = None;
            return false;
        }
        let body = if seq - *at <= 1 { Body::Diff } else { Body::Aggregate };
        let mut envelope = Envelope::leading_to(newest, epoch, seq, *at, body(Box::new(diff)));
        *at = seq;
        self.sent += 1;
        envelope.digest = self.sent.is_multiple_of(VIEW_DIGEST_EVERY).then(|| digest(has));
        self.queue.push(encode(&envelope));
        self.last_sent = now;
        true
    }
}

impl Viewer {
    /// Tells that nothing has changed, if nothing was sent for a while.
    fn send_heartbeat(&mut self, now: Duration, newest: &Snapshot, epoch: u64) {
        if let Some((_, at)) = &self.has
            && now >= self.last_sent + HEARTBEAT
        {
            self.queue.push(encode(&Envelope::leading_to(newest, epoch, *at, *at, Body::Heartbeat)));
            self.last_sent = now;
        }
    }
}

/// The residents who are in a part of the map in one of these states: those who leave it count, too.
fn residents_in(area: Option<Area>, states: [&Snapshot; 2]) -> BTreeSet<String> {
    let Some(area) = area else { return BTreeSet::new() };
    let agents = states.into_iter().flat_map(|state| &state.agents);
    agents.filter(|agent| area.contains(agent.x, agent.y)).map(|agent| agent.id.clone()).collect()
}

/// How many of so many residents have their turn in a message after this time.
fn turns(residents: usize, time: Duration) -> usize {
    let share = residents as u128 * time.as_millis();
    (share.div_ceil(ROUND.as_millis()) as usize).clamp(residents.min(1), residents)
}
