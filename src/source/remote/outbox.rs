//! Commands that were asked for and have no answer yet. Owned by both threads: the operator's adds, resends and gives up;
//! the network thread sends.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::UnconfirmedCommand;
use townlet_wire::{Answer, ErrorBody, Request};

/// How long a command is sent again by itself.
const RETRY_TIME: Duration = Duration::from_mins(1);

#[derive(Default)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    /// Something was added, resent or given up.
    pub(super) changed: Notify,
    /// Something was added, or the shard is no longer heard.
    pub(super) unheard: Notify,
}

#[derive(Default)]
struct Queue {
    commands: Vec<Outgoing>,
    /// Whether the operator was shown the list.
    listed: bool,
}

impl Queue {
    /// Sends a command no longer by itself when its time is over, and none that was asked for after it: they may depend on it, and
    /// the operator may have decided otherwise.
    fn stop_late(&mut self) {
        let now = Instant::now();
        let mut sent = self.commands.iter_mut().filter(|command| command.changes && command.retrying);
        let Some(late) = sent.find(|command| now >= command.until) else { return };
        late.retrying = false;
        let behind = format!("it waited for `{}`, which is no longer sent", late.request.command);
        for command in sent {
            command.retrying = false;
            if command.why.is_empty() {
                command.why.clone_from(&behind);
            }
        }
    }
}

struct Outgoing {
    request: Request,
    /// Whether it may change something; only such commands are sent again.
    changes: bool,
    asked: Instant,
    /// When it is no longer sent by itself.
    until: Instant,
    retrying: bool,
    /// Whether the shard may have received it.
    maybe_received: bool,
    why: String,
}

impl Outgoing {
    fn id(&self) -> &str {
        self.request.cmd_id.as_deref().unwrap_or_default()
    }

    fn unconfirmed(&self) -> UnconfirmedCommand {
        UnconfirmedCommand {
            cmd_id: self.id().to_owned(),
            command: self.request.command.clone(),
            seconds: self.asked.elapsed().as_secs(),
            retrying: self.retrying,
            maybe_received: self.maybe_received,
            why: self.why.clone(),
        }
    }
}

impl Outbox {
    fn with<T>(&self, does: impl FnOnce(&mut Queue) -> T) -> T {
        does(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn push(&self, request: Request, changes: bool) {
        let (asked, why) = (Instant::now(), String::new());
        let until = asked + RETRY_TIME;
        let outgoing = Outgoing { request, changes, asked, until, retrying: true, maybe_received: false, why };
        self.with(|queue| queue.commands.push(outgoing));
        self.changed.notify_one();
        self.unheard.notify_one();
    }

    /// Removes the requests that change nothing of the town and were not attempted yet, pace and reads: they do not wait for a shard
    /// that is not heard. One with another token does, because that may be what the connection lacks.
    pub(super) fn take_unattempted(&self) -> Vec<Request> {
        let waits = |it: &Outgoing| it.changes || it.maybe_received || it.request.secret.is_some();
        let taken: Vec<Request> = self.with(|queue| {
            let (keep, taken): (_, Vec<Outgoing>) = std::mem::take(&mut queue.commands).into_iter().partition(waits);
            queue.commands = keep;
            taken.into_iter().map(|it| it.request).collect()
        });
        if !taken.is_empty() {
            self.changed.notify_one();
        }
        taken
    }

    /// The next request to send, and whether it changes something. While the shard is not heard, what only reads goes first:
    /// it is answered at once.
    pub(super) fn next(&self, connected: bool) -> Option<(Request, bool)> {
        self.with(|queue| {
            queue.stop_late();
            let waiting = || queue.commands.iter().filter(|command| command.retrying);
            let next = waiting().find(|command| !connected && !command.changes).or_else(|| waiting().next())?;
            Some((next.request.clone(), next.changes))
        })
    }

    pub(super) fn contains(&self, cmd_id: &str) -> bool {
        self.with(|queue| queue.commands.iter().any(|command| command.id() == cmd_id))
    }

    /// Notes that an attempt begins: from now on the shard may have received the command.
    pub(super) fn begin_attempt(&self, cmd_id: &str) {
        self.change(cmd_id, |command| command.maybe_received = true);
    }

    /// Notes that an attempt had no answer. `received`: whether this or an earlier one may have reached the shard.
    pub(super) fn fail_attempt(&self, cmd_id: &str, why: String, received: bool) {
        self.change(cmd_id, |command| (command.why, command.maybe_received) = (why, received));
        self.with(Queue::stop_late);
    }

    /// Whether an earlier attempt may have reached the shard.
    pub(super) fn maybe_received(&self, cmd_id: &str) -> bool {
        let received = |command: &&Outgoing| command.id() == cmd_id && command.maybe_received;
        self.with(|queue| queue.commands.iter().find(received).is_some())
    }

    fn change(&self, cmd_id: &str, does: impl FnOnce(&mut Outgoing)) {
        self.with(|queue| {
            if let Some(command) = queue.commands.iter_mut().find(|command| command.id() == cmd_id) {
                does(command);
            }
        });
    }

    /// Sends a command again now, and again by itself for a while.
    pub(super) fn resend(&self, cmd_id: &str) {
        self.change(cmd_id, |command| (command.retrying, command.until) = (true, Instant::now() + RETRY_TIME));
        self.changed.notify_one();
    }

    /// Removes a command that was answered.
    pub(super) fn remove(&self, cmd_id: &str) {
        self.with(|queue| queue.commands.retain(|command| command.id() != cmd_id));
    }

    /// Removes a command that the operator gives up. Returns the answer that says so.
    pub(super) fn give_up(&self, cmd_id: &str) -> Option<Answer> {
        let command = self.with(|queue| {
            let at = queue.commands.iter().position(|command| command.id() == cmd_id && command.changes)?;
            Some(queue.commands.remove(at))
        })?;
        self.changed.notify_one();
        let unconfirmed = command.unconfirmed();
        let error = ErrorBody::new("E_GIVEN_UP", unconfirmed.fate(), unconfirmed.advice());
        Some(Answer::by_client(unconfirmed.cmd_id, unconfirmed.command, error))
    }

    /// The commands that change something and have no answer, oldest first.
    pub(super) fn unconfirmed(&self) -> Vec<UnconfirmedCommand> {
        self.with(|queue| queue.commands.iter().filter(|command| command.changes).map(Outgoing::unconfirmed).collect())
    }

    /// The list to show, if it differs from what the operator knows: not before a command is a second old, and until it is
    /// empty again.
    pub(super) fn news(&self) -> Option<Vec<UnconfirmedCommand>> {
        let list = self.unconfirmed();
        let late = list.iter().any(|command| command.seconds > 0 || !command.why.is_empty());
        let listed = self.with(|queue| std::mem::replace(&mut queue.listed, late));
        match (late, listed) {
            (true, _) => Some(list),
            (false, true) => Some(Vec::new()),
            (false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(cmd_id: &str, command: &str) -> Request {
        Request { cmd_id: Some(cmd_id.into()), ..Request::line(command) }
    }

    fn next(outbox: &Outbox, connected: bool) -> Option<String> {
        outbox.next(connected).and_then(|(request, _)| request.cmd_id)
    }

    #[test]
    fn order_is_kept_and_reads_do_not_wait_for_a_lost_connection() {
        let outbox = Outbox::default();
        outbox.push(request("a", "kill ada"), true);
        outbox.push(request("b", "kpi"), false);
        assert_eq!((next(&outbox, true).as_deref(), next(&outbox, false).as_deref()), (Some("a"), Some("b")));
        outbox.remove("b");
        assert_eq!(next(&outbox, false).as_deref(), Some("a"));
    }

    #[test]
    fn what_cannot_wait_is_taken_out_from_behind_an_attempt() {
        let outbox = Outbox::default();
        for (id, line, changes) in [("a", "kill ada", true), ("b", "pause", false), ("c", "kpi", false)] {
            outbox.push(request(id, line), changes);
        }
        outbox.push(Request { secret: Some("x".into()), ..request("d", "escalate") }, false);
        outbox.begin_attempt("a");
        outbox.begin_attempt("c");
        let taken: Vec<_> = outbox.take_unattempted().into_iter().filter_map(|request| request.cmd_id).collect();
        assert_eq!(taken, ["b"], "`kpi` is under way, and `escalate` brings another token");
        assert!(outbox.take_unattempted().is_empty() && !outbox.contains("b"));
    }

    #[test]
    fn what_is_given_up_says_whether_it_may_have_been_done() {
        let outbox = Outbox::default();
        outbox.push(request("a", "kill ada"), true);
        let said = outbox.give_up("a").unwrap();
        let error = said.error.unwrap();
        assert_eq!((said.cmd_id.as_str(), error.code.as_str()), ("a", "E_GIVEN_UP"));
        assert!(error.message.contains("never reached the shard"), "{}", error.message);
        assert!(outbox.give_up("a").is_none() && outbox.unconfirmed().is_empty());
        outbox.push(request("b", "kill ben"), true);
        outbox.begin_attempt("b");
        assert!(outbox.give_up("b").unwrap().error.unwrap().message.contains("may have been executed"));
        outbox.push(request("c", "kpi"), false);
        assert!(outbox.give_up("c").is_none(), "a read is answered anyway");
    }

    #[test]
    fn the_time_of_a_command_begins_when_it_is_asked_for() {
        let outbox = Outbox::default();
        outbox.push(request("a", "kill ada"), true);
        outbox.push(request("b", "setmoney ben 2"), true);
        outbox.change("b", |command| command.until = Instant::now());
        outbox.remove("a");
        assert_eq!(next(&outbox, true), None, "it was never attempted, but it is late");
    }

    #[test]
    fn a_command_is_not_sent_again_by_itself_for_ever() {
        let outbox = Outbox::default();
        outbox.push(request("a", "kill ada"), true);
        outbox.push(request("b", "setmoney ben 2"), true);
        outbox.push(request("c", "kpi"), false);
        outbox.begin_attempt("a");
        outbox.change("a", |command| command.until = Instant::now());
        outbox.fail_attempt("a", "connection refused".into(), false);
        assert_eq!(next(&outbox, true).as_deref(), Some("c"), "what reads changes nothing");
        outbox.remove("c");
        assert_eq!(next(&outbox, true), None, "what was asked for after it is not sent either");
        let list = outbox.news().unwrap();
        assert!(list.iter().all(|command| !command.retrying && !command.maybe_received), "{list:?}");
        assert_eq!(
            [&list[0].why, &list[1].why],
            ["connection refused", "it waited for `kill ada`, which is no longer sent"]
        );
        outbox.resend("a");
        assert_eq!(next(&outbox, true).as_deref(), Some("a"));
        outbox.remove("a");
        assert_eq!(next(&outbox, true), None);
        outbox.remove("b");
        assert_eq!((outbox.news(), outbox.news()), (Some(Vec::new()), None));
    }
}
