//! From a durable intent to the answer: the command is applied, journalled and logged, and both disks are waited for.
//!
//! Nothing is acknowledged that both logs do not hold. What comes before the intent is `dispatch`'s, what the shard does to
//! itself `deeds`'. Rules: "Idempotent retries", "Audit log".

use std::sync::{Arc, Mutex, PoisonError};

use fail::fail_point;
use serde_json::{Value, json};

use super::admission::PendingCommand;
use super::command_table::{Args, Look, Run, ShardAction, error, refused};
use super::disk_thread::Decision;
use super::engine::{Engine, Message};
use super::incident::{Given, Phase};
use super::journal::Entry as JournalEntry;
use super::pending_writes::{Both, NotDurable};
use townlet_audit::{Entry, Stage};
use townlet_wire::{Answer, ErrorBody, Status};

impl Engine {
    /// The intent is durable: do it.
    pub(super) fn intent(&mut self, ticket: u64, written: Result<townlet_audit::Written, townlet_audit::AuditError>) {
        let Some(it) = self.desk.pending_commands.get(&ticket) else { return };
        if let Err(why) = written {
            let body = why.body();
            let answer = pending_answer(it, self.town.tick(), Err(body));
            return self.finish(ticket, &answer, false);
        }
        self.diagnostics.enter(Phase::Commanding);
        self.diagnostics.command(Given {
            line: it.line.clone(),
            cmd_id: it.cmd_id.clone(),
            issuer: it.who.issuer.clone(),
            tick: self.town.tick(),
        });
        fail_point!("before_apply");
        let (row, args, session) = (it.row, it.args.clone(), it.session);
        let before = self.town.digest();
        let tick = self.town.tick();
        let (result, journalled) = match row.run {
            Run::Town(run) => self.apply(ticket, run, &args),
            Run::Reload => self.reload(ticket),
            Run::Shard(run) => match run(&self.look(), &args) {
                Ok(ShardAction::Release(order)) => return self.carry_out(ticket, &order),
                Ok(deed) => (Ok(json!({ "summary": self.perform_action(session, deed) })), None),
                Err(error) => (Err(error), None),
            },
            _ => unreachable!("only rows that change something have tickets"),
        };
        fail_point!("after_apply");
        let after = self.town.digest();
        self.dirty = true;
        self.record(ticket, tick, result, (before, after), journalled);
    }

    /// Applies a change to the town; answers with the journal's entry for it.
    fn apply(
        &mut self,
        ticket: u64,
        run: fn(&Look<'_>, &Args) -> Result<townlet_town::Command, ErrorBody>,
        args: &Args,
    ) -> (Result<Value, ErrorBody>, Option<JournalEntry>) {
        let command = match run(&self.look(), args) {
            Ok(command) => command,
            Err(error) => return (Err(error), None),
        };
        self.write_journal();
        let (index, tick) = (self.town.state().commands, self.town.tick());
        match self.town.apply(&command) {
            Ok(summary) => {
                self.record_town_events();
                let it = &self.desk.pending_commands[&ticket];
                let entry = JournalEntry::Command {
                    index,
                    tick,
                    cmd_id: it.cmd_id.clone(),
                    issuer: it.who.issuer.clone(),
                    command,
                };
                (Ok(json!({ "summary": summary })), Some(entry))
            }
            Err(refusal) => (Err(refused(refusal)), None),
        }
    }

    /// Who asked, and the command's id.
    pub(super) fn asked_by(&self, ticket: u64) -> Option<(String, String)> {
        self.desk.pending_commands.get(&ticket).map(|it| (it.who.issuer.clone(), it.cmd_id.clone()))
    }

    /// Writes the outcome, and the journal's entry before it; the answer waits for both disks.
    pub(super) fn record(
        &mut self,
        ticket: u64,
        tick: u64,
        result: Result<Value, ErrorBody>,
        digests: (String, String),
        journalled: Option<JournalEntry>,
    ) {
        let config_id = self.config_id();
        let Some(it) = self.desk.pending_commands.get_mut(&ticket) else { return };
        let mut outcome = Entry::of(&it.who, it.cmd_id.clone(), it.row.name, it.args.json());
        outcome.config_id = config_id;
        outcome.reason = it.args.get("reason").map(str::to_owned);
        outcome.stage = Stage::Outcome;
        outcome.tick = tick;
        outcome.status = Some(if result.is_ok() { Status::Ok } else { Status::Error });
        outcome.result = result.as_ref().ok().cloned();
        outcome.error = result.as_ref().err().cloned();
        (outcome.digest_before, outcome.digest_after) = (Some(digests.0), Some(digests.1));
        it.answer = Some(pending_answer(it, tick, result));
        it.outcome = Some(outcome.clone());
        let log = Arc::clone(&self.log);
        let parts = 1 + usize::from(journalled.is_some());
        let both = Arc::new(Mutex::new(Both::new(parts, self.sender.clone(), ticket)));
        let settle = move |part: Result<Option<townlet_audit::Written>, String>| {
            both.lock().unwrap_or_else(PoisonError::into_inner).take(part);
        };
        let logged = {
            let settle = settle.clone();
            move |journalled: Result<(), String>| {
                if let Err(why) = journalled {
                    let message = format!("it was applied, and the journal could not be written: {why}");
                    (outcome.status, outcome.result) = (Some(Status::Error), None);
                    outcome.error = Some(error("E_AUDIT_UNAVAILABLE", message, ""));
                }
                log.append(outcome, true, move |written| settle(written.map(Some).map_err(|why| why.to_string())));
            }
        };
        match journalled {
            // The outcome follows the journal's entry, so that a crash cannot leave an outcome without an effect.
            Some(entry) => self.journal.command(entry, logged, move |synced| settle(synced.map(|()| None))),
            None => logged(Ok(())),
        }
    }

    /// Both logs hold it, or one cannot.
    pub(super) fn settled(&mut self, ticket: u64, result: Result<townlet_audit::Written, NotDurable>) {
        fail_point!("before_ack");
        self.dirty = true;
        let Some(it) = self.desk.pending_commands.get_mut(&ticket) else { return };
        let Some(mut answer) = it.answer.take() else { return };
        let applied = answer.status == Status::Ok;
        match result {
            Ok(written) => answer.audit = format!("{}:{}", written.file, written.seq),
            Err(NotDurable { why, logged }) => {
                if let Some(outcome) = it.outcome.take().filter(|_| !logged) {
                    self.desk.late_outcomes.push((outcome, answer.clone()));
                }
                let why = why.trim_end_matches('.');
                let message = format!("it was applied at tick {} but is not safe on disk: {why}.", answer.tick);
                answer.status = Status::Error;
                answer.result = None;
                answer.error = Some(error("E_AUDIT_UNAVAILABLE", message, "It is not run again; look at the state."));
            }
        }
        if answer.status == Status::Ok {
            self.log_decision(ticket, answer.tick);
        }
        self.finish(ticket, &answer, applied);
    }

    /// Once both logs can be written again, what they missed is ended there. An effect is in the journal by now, as an
    /// entry or in the town that its next file starts from, so it is `recovered`.
    pub(super) fn catch_up(&mut self) {
        if self.desk.late_outcomes.is_empty() || self.log_trouble().is_some() {
            return;
        }
        for (outcome, answer) in std::mem::take(&mut self.desk.late_outcomes) {
            let stage = if answer.status == Status::Ok { Stage::Recovered } else { Stage::Abort };
            let entry = Entry { stage, ..outcome.clone() };
            let sender = self.sender.clone();
            self.log.append(entry, true, move |written| {
                drop(sender.send(Message::LateOutcomeWritten(Box::new((outcome, answer)), written.is_ok())));
            });
        }
    }

    /// A late outcome is in the log, or still is not.
    pub(super) fn late_outcome_written(&mut self, outcome: Entry, answer: Answer, logged: bool) {
        if !logged {
            self.desk.late_outcomes.push((outcome, answer));
        } else if answer.status == Status::Ok {
            self.desk.index.done(&outcome.issuer, &answer);
        }
    }

    fn log_decision(&mut self, ticket: u64, tick: u64) {
        let it = &self.desk.pending_commands[&ticket];
        let (shard, who) = (&self.status.shard, &it.who.issuer);
        let Some(decision) = Decision::of(shard, tick, who, it.row.name, &it.args.json(), &it.cmd_id) else { return };
        self.note(vec![decision]);
    }

    /// Answers everybody who waits. `applied`: a retry is told this answer again, whatever it says.
    fn finish(&mut self, ticket: u64, answer: &Answer, applied: bool) {
        let Some(it) = self.desk.pending_commands.remove(&ticket) else { return };
        if applied {
            self.desk.index.done(&it.who.issuer, answer);
        } else {
            self.desk.index.abort(&it.who.issuer, &it.cmd_id);
        }
        self.refresh();
        for (place, waiting) in it.waiting.into_iter().enumerate() {
            waiting(Answer { replayed: place > 0, ..answer.clone() });
        }
    }
}

pub(super) fn pending_answer(it: &PendingCommand, tick: u64, result: Result<Value, ErrorBody>) -> Answer {
    let status = if result.is_ok() { Status::Ok } else { Status::Error };
    let (result, error) = match result {
        Ok(result) => (Some(result), None),
        Err(error) => (None, Some(error)),
    };
    let audit = String::new();
    Answer { cmd_id: it.cmd_id.clone(), command: it.line.clone(), status, tick, result, error, replayed: false, audit }
}
