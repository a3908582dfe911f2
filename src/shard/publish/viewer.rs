//! A subscriber that says which residents it looks at, and how often it wants a message.
//!
//! Rows of those residents are as new as each message. The others follow in turn, without details: [`ROWS_AT_ONCE`] in each message,
//! or more, so that each has its turn once in [`ROUND`]. At most one message waits: a slow reader gets fewer messages, not older
//! ones. The caller passes in the time. Rule: "Telemetry".

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::hub::{HEARTBEAT, TIMEOUT, encode, milliseconds};
use super::queue::{EncodedMessage, Queue};
use townlet_wire::service::{Focus, ROWS_AT_ONCE};
use townlet_wire::{Body, Diff, Envelope, Snapshot};

/// The time in which the rows of all residents are sent.
const ROUND: Duration = Duration::from_secs(5);

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
    /// The state that its last message led to, or that had no change for it; `None` before its first message.
    compared: Option<Arc<Snapshot>>,
    compared_seq: u64,
    /// Number of its last message.
    at: u64,
    /// What it looked at in its last message.
    focus: Option<Arc<Focus>>,
    /// Residents whose rows may be older than that state.
    unsent: usize,
    /// Place of the next resident whose turn it is.
    turn: usize,
    /// Whether the last message had everybody's turn.
    everybody: bool,
    last_compared: Duration,
    /// When the next message is due.
    next: Duration,
    last_sent: Duration,
}

impl Viewer {
    pub(super) fn new(now: Duration, queue: Arc<Queue>, view: StreamView) -> Self {
        Self {
            queue,
            view,
            compared: None,
            compared_seq: 0,
            at: 0,
            focus: None,
            unsent: 0,
            turn: 0,
            everybody: false,
            last_compared: now,
            next: now,
            last_sent: now,
        }
    }

    pub(super) fn interval(&self) -> Duration {
        self.view.interval
    }

    pub(super) fn is_started(&self) -> bool {
        self.compared.is_some()
    }

    /// Whether it says which residents it looks at. Its whole state then has no details.
    pub(super) fn has_focus(&self) -> bool {
        self.view.focus().is_some()
    }

    /// Sends the whole state in `message` in place of what waits. Returns the number of messages dropped.
    pub(super) fn send_whole(
        &mut self,
        now: Duration,
        message: Arc<EncodedMessage>,
        state: &Arc<Snapshot>,
        seq: u64,
    ) -> u64 {
        let dropped = self.queue.clear() as u64;
        (self.compared, self.compared_seq, self.at) = (Some(Arc::clone(state)), seq, seq);
        // It looked at nobody so far, so the details of those in focus follow.
        (self.focus, self.unsent, self.everybody) = (self.has_focus().then(Arc::default), 0, true);
        (self.last_compared, self.next, self.last_sent) = (now, now + self.view.interval, now);
        self.queue.push(message);
        dropped
    }

    /// Whether it has read nothing for too long.
    pub(super) fn is_stuck(&self, now: Duration) -> bool {
        self.queue.len() > 0 && now >= self.last_sent + TIMEOUT
    }

    /// Sends what has changed for it, if a message is due.
    pub(super) fn update(&mut self, now: Duration, newest: &Arc<Snapshot>, epoch: u64, seq: u64) {
        let Some(compared) = self.compared.clone() else { return };
        // A state that comes a little early is taken, because the next one may be a whole interval later.
        if self.queue.len() > 0 || now + self.view.interval / 8 < self.next {
            return;
        }
        let focus = self.view.focus();
        if seq != self.compared_seq {
            self.unsent = newest.agents.len();
        } else if self.unsent == 0 && focus == self.focus {
            return self.send_heartbeat(now, newest, epoch);
        }
        let diff = if let Some(focus) = &focus {
            let in_turn = turns(newest.agents.len(), now.saturating_sub(self.last_compared));
            let turn = newest.agents.iter().cycle().skip(self.turn).take(in_turn).map(|agent| agent.id.as_str());
            let turn: BTreeSet<&str> = turn.collect();
            self.turn = (self.turn + in_turn) % newest.agents.len().max(1);
            self.unsent = self.unsent.saturating_sub(in_turn);
            // Where it is everybody's turn each time, the subscriber has every row of the last message.
            let everybody = in_turn == newest.agents.len();
            let as_known = std::mem::replace(&mut self.everybody, everybody);
            let nobody = Arc::default();
            Diff::of_focus((&compared, as_known), newest, self.focus.as_ref().unwrap_or(&nobody), focus, &turn)
        } else {
            self.unsent = 0;
            Diff::between(&compared, newest)
        };
        (self.compared, self.compared_seq, self.focus) = (Some(Arc::clone(newest)), seq, focus);
        (self.last_compared, self.next) = (now, now.max(self.next + self.view.interval));
        if diff.is_empty() {
            return self.send_heartbeat(now, newest, epoch);
        }
        let body = if seq - self.at <= 1 { Body::Diff } else { Body::Aggregate };
        self.push(now, Envelope::leading_to(newest, epoch, seq, self.at, body(Box::new(diff))));
        self.at = seq;
    }

    /// Tells that nothing has changed, if nothing was sent for a while.
    fn send_heartbeat(&mut self, now: Duration, newest: &Snapshot, epoch: u64) {
        if now >= self.last_sent + HEARTBEAT {
            self.push(now, Envelope::leading_to(newest, epoch, self.at, self.at, Body::Heartbeat));
        }
    }

    fn push(&mut self, now: Duration, message: Envelope) {
        self.queue.push(encode(&Envelope { sent_ms: milliseconds(now), ..message }));
        self.last_sent = now;
    }
}

/// How many of so many residents have their turn in a message after this time.
fn turns(residents: usize, time: Duration) -> usize {
    let share = residents as u128 * time.as_millis();
    (share.div_ceil(ROUND.as_millis()) as usize).clamp(residents.min(ROWS_AT_ONCE), residents)
}
