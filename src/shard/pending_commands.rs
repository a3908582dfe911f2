//! Commands between their intent and their answer, and the ids of commands that were sent before.
//!
//! Rules: "Idempotent retries", "Audit log".

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use townlet_audit::{IdempotencyIndex, Record, Stage};
use townlet_wire::{Answer, ErrorBody, Session, Status};

use super::operation::Operation;
use super::submission::AnswerFn;

/// How long a command waits for the disk before its session is notified.
const NOTIFY_AFTER: Duration = Duration::from_secs(2);
/// How often ids past their window are forgotten.
const PRUNE_INTERVAL: Duration = Duration::from_hours(1);

/// The sender of a command and the command as the audit log names it.
pub(super) struct CommandContext {
    pub session: u64,
    /// The session when it was sent.
    pub who: Session,
    pub cmd_id: String,
    /// Its name; `?` for an unknown one.
    pub name: &'static str,
    /// Its line in the normal form.
    pub line: String,
    pub args: Value,
}

impl CommandContext {
    pub(super) fn reason(&self) -> Option<&str> {
        self.args["reason"].as_str()
    }

    pub(super) fn answer(&self, tick: u64, result: Result<Value, ErrorBody>) -> Answer {
        Answer::new(&self.cmd_id, &self.line, tick, result)
    }

    pub(super) fn entry(&self, config_id: &str, tick: u64, stage: Stage) -> Record {
        let mut entry = Record::of(&self.who, self.cmd_id.clone(), self.name, self.args.clone());
        config_id.clone_into(&mut entry.config_id);
        entry.reason = self.reason().map(str::to_owned);
        (entry.stage, entry.tick) = (stage, tick);
        entry
    }

    /// The record of its refusal.
    pub(super) fn refusal(&self, config_id: &str, tick: u64, error: &ErrorBody) -> Record {
        let mut entry = self.entry(config_id, tick, Stage::Rejected);
        (entry.status, entry.error) = (Some(Status::Error), Some(error.clone()));
        entry
    }
}

/// A command whose intent is on its way to the audit log, or that is applied and not answered yet.
pub(super) struct PendingCommand {
    /// Its sender and its names.
    pub context: CommandContext,
    /// What it does; taken when it is done.
    pub operation: Option<Operation>,
    pub answer: Option<Answer>,
    /// Its outcome, until it is in the audit log.
    pub outcome: Option<Record>,
    /// Senders of equal requests.
    pub waiting: Vec<AnswerFn>,
    since: Instant,
    notified: bool,
}

impl PendingCommand {
    pub(super) fn new(context: CommandContext, operation: Operation, reply: AnswerFn) -> Self {
        Self {
            context,
            operation: Some(operation),
            answer: None,
            outcome: None,
            waiting: vec![reply],
            since: Instant::now(),
            notified: false,
        }
    }
}

pub(super) struct PendingCommands {
    commands: BTreeMap<u64, PendingCommand>,
    last: u64,
    /// Ids of this run.
    pub index: IdempotencyIndex,
    pruned: Option<Instant>,
    /// Outcomes, with their answers, that the audit log could not take when they were due.
    pub late_outcomes: Vec<(Record, Answer)>,
    /// Late outcomes that are being written.
    pub late_writes: usize,
}

impl PendingCommands {
    pub(super) fn new(index: IdempotencyIndex) -> Self {
        Self { commands: BTreeMap::new(), last: 0, index, pruned: None, late_outcomes: Vec::new(), late_writes: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub(super) fn add(&mut self, command: PendingCommand) -> u64 {
        self.last += 1;
        self.commands.insert(self.last, command);
        self.last
    }

    pub(super) fn get(&mut self, number: u64) -> Option<&mut PendingCommand> {
        self.commands.get_mut(&number)
    }

    /// Adds somebody who sent an equal request.
    pub(super) fn wait_for(&mut self, context: &CommandContext, reply: AnswerFn) {
        let same = |command: &&mut PendingCommand| {
            command.context.cmd_id == context.cmd_id && command.context.who.issuer == context.who.issuer
        };
        if let Some(command) = self.commands.values_mut().find(same) {
            command.waiting.push(reply);
        }
    }

    /// Answers everybody who waits for a command. When it was `applied`, later retries get the same answer; else the id is free.
    pub(super) fn finish(&mut self, number: u64, answer: &Answer, applied: bool) {
        let Some(command) = self.commands.remove(&number) else { return };
        let CommandContext { who, cmd_id, .. } = &command.context;
        if applied {
            self.index.done(&who.issuer, answer);
        } else {
            self.index.abort(&who.issuer, cmd_id);
        }
        for (place, reply) in command.waiting.into_iter().enumerate() {
            reply(Answer { replayed: place > 0, ..answer.clone() });
        }
    }

    /// The tick from which on the journal is needed to complete commands whose outcomes are not in the audit log; the largest
    /// number if there are none.
    pub(super) fn needs_journal_from(&self) -> u64 {
        let executed = self.commands.values().filter(|command| command.operation.is_none());
        if self.late_writes > 0 {
            return 0;
        }
        // A release that is being changed has no outcome yet, and its tick is unknown.
        let ticks = executed.map(|command| command.outcome.as_ref().map_or(0, |outcome| outcome.tick));
        ticks.chain(self.late_outcomes.iter().map(|(outcome, _)| outcome.tick)).min().unwrap_or(u64::MAX)
    }

    /// When the next session is to be notified.
    pub(super) fn next_overdue(&self) -> Option<Instant> {
        self.commands.values().find(|command| !command.notified).map(|command| command.since + NOTIFY_AFTER)
    }

    /// Commands whose sessions are to be notified now, each once.
    pub(super) fn overdue(&mut self, now: Instant) -> impl Iterator<Item = &CommandContext> {
        let due = move |command: &&mut PendingCommand| !command.notified && now >= command.since + NOTIFY_AFTER;
        self.commands.values_mut().filter(due).map(|command| {
            command.notified = true;
            &command.context
        })
    }

    /// Forgets ids past their window, once an hour.
    pub(super) fn prune(&mut self, now: Instant) {
        if self.pruned.is_none_or(|pruned| now >= pruned + PRUNE_INTERVAL) {
            self.pruned = Some(now);
            self.index.prune();
        }
    }
}

#[cfg(test)]
mod tests {
    use townlet_audit::Lookup;
    use townlet_wire::Role;

    use super::*;

    #[test]
    fn the_journal_is_needed_from_the_first_command_without_an_outcome_on() {
        let mut pending = PendingCommands::new(IdempotencyIndex::default());
        assert_eq!(pending.needs_journal_from(), u64::MAX);
        let who = Session { issuer: "tui:ada".into(), role: Role::Admin, transport: "local".into(), owner: true };
        let outcome = |tick| {
            let mut record = Record::of(&who, "id", "spawn", Value::Null);
            record.tick = tick;
            record
        };
        let context = CommandContext {
            session: 1,
            who: who.clone(),
            cmd_id: "id".into(),
            name: "spawn",
            line: "spawn".into(),
            args: Value::Null,
        };
        let operation = Operation::Pace(crate::operation::PaceChange::Pause);
        let number = pending.add(PendingCommand::new(context, operation, Box::new(|_| {})));
        assert_eq!(pending.needs_journal_from(), u64::MAX, "it was not applied yet");
        pending.get(number).unwrap().operation = None;
        assert_eq!(pending.needs_journal_from(), 0, "its tick is not known yet");
        pending.get(number).unwrap().outcome = Some(outcome(70));
        assert_eq!(pending.needs_journal_from(), 70);
        pending.late_outcomes.push((outcome(50), Answer::new("id", "spawn", 50, Ok(Value::Null))));
        assert_eq!(pending.needs_journal_from(), 50);
        pending.late_writes = 1;
        assert_eq!(pending.needs_journal_from(), 0, "a late outcome may not be on disk");
    }

    #[test]
    fn expired_ids_are_pruned_and_then_refused() {
        let mut pending = PendingCommands::new(IdempotencyIndex::default());
        let start = Instant::now();
        pending.prune(start);
        let made = |time| uuid::Builder::from_unix_timestamp_millis(time, &[7; 10]).into_uuid().to_string();
        let (old, young) = (made(1), made(2 + townlet_audit::WINDOW.as_millis() as u64));
        for cmd_id in [old.as_str(), "script-1", &young] {
            pending.index.begin("tui:ada", cmd_id, "f");
            pending.index.done("tui:ada", &Answer::new(cmd_id, "spawn", 0, Ok(Value::Null)));
        }
        let mut kept = |later: Duration| {
            pending.prune(start + later);
            ["script-1", &old, &young].map(|cmd_id| pending.index.contains("tui:ada", cmd_id))
        };
        assert_eq!((kept(Duration::ZERO), kept(PRUNE_INTERVAL)), ([true; 3], [true, false, true]));
        let found = ["script-1", &old].map(|cmd_id| pending.index.look_up("tui:ada", cmd_id, "f"));
        assert!(matches!(found[0], Lookup::Replay(_)) && found[1] == Lookup::Expired, "{found:?}");
    }
}
