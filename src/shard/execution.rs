//! A command from its durable intent to its answer: it is applied, journalled and logged, and answered when both are on disk.
//!
//! What comes before the intent is `admission`'s. Rules: "Idempotent retries", "Audit log".

use std::sync::{Arc, Mutex, PoisonError};

use fail::fail_point;
use serde_json::{Value, json};
use townlet_audit::{AuditError, Record, Stage, Written};
use townlet_files::Placement;
use townlet_town::{Command, names};
use townlet_wire::{Answer, ErrorBody, Status};

use super::command_table::{error, refused};
use super::commands::employment::APPROVE;
use super::employment_log::ExitDecision;
use super::engine::{AUDIT_ROWS, Engine, Message};
use super::incident::{AppliedCommand, Phase};
use super::journal::Entry as JournalEntry;
use super::operation::Operation;
use super::pending_commands::CommandContext;
use super::pending_writes::{NotDurable, PendingOutcome};
use super::publish::Deferred;

/// What a command answers, and the journal's entry for it where it has one.
pub(super) type Applied = Result<(Value, Option<JournalEntry>), ErrorBody>;

impl Engine {
    /// The intent is durable: does the command.
    pub(super) fn execute(&mut self, number: u64, written: Result<Written, AuditError>) {
        let Some(command) = self.pending.get(number) else { return };
        if let Err(why) = written {
            let answer = command.context.answer(self.town.tick(), Err(why.body()));
            return self.finish(number, &answer, false);
        }
        let Some(operation) = command.operation.take() else { return };
        self.diagnostics.enter(Phase::Commanding);
        self.diagnostics.command(AppliedCommand {
            line: command.context.line.clone(),
            cmd_id: command.context.cmd_id.clone(),
            issuer: command.context.who.issuer.clone(),
            tick: self.town.tick(),
        });
        fail_point!("before_apply");
        let (session, who) = (command.context.session, command.context.who.clone());
        let before = self.town.digest();
        let tick = self.town.tick();
        let done = |summary: String| (json!({ "summary": summary }), None);
        let applied = match operation {
            Operation::Town(command) => self.apply(number, command),
            Operation::Reload(files) => self.reload(number, files.as_ref()),
            Operation::Release(request) => return self.change_release(number, &request),
            Operation::Shard(action) => self.check_action(&action).map(|()| done(self.perform_action(action))),
            Operation::WhatIf(operation) => self.do_what_if(&who, operation),
            Operation::Session(role) => {
                self.sessions.change_role(session, role);
                Ok(done(format!("you are {} now.", role.word())))
            }
            Operation::Pace(_) | Operation::Read(_) | Operation::Files(_) => {
                unreachable!("a command that changes nothing has no intent")
            }
        };
        fail_point!("after_apply");
        let after = self.town.digest();
        self.publication.dirty = true;
        let (result, entry) = match applied {
            Ok((result, entry)) => (Ok(result), entry),
            Err(error) => (Err(error), None),
        };
        self.record(number, tick, result, (before, after), entry);
    }

    fn apply(&mut self, number: u64, command: Command) -> Applied {
        self.write_journal();
        let (index, tick) = (self.town.state().commands, self.town.tick());
        let approver = self.approver(&command);
        let summary = self.town.apply(&command).map_err(refused)? + &approver;
        self.record_town_events();
        let (issuer, cmd_id) = self.sender_of(number).unwrap_or_default();
        let entry = JournalEntry::Command { index, tick, cmd_id, issuer, command };
        Ok((json!({ "summary": summary }), Some(entry)))
    }

    /// A sentence about the operator whose approval a deferral takes back, as far as the newest lines of the audit log know; else
    /// nothing.
    pub(super) fn approver(&self, command: &Command) -> String {
        let Command::ExitDefer { who } = command else { return String::new() };
        let state = self.town.state();
        let entry = state.agents.slot_of(*who).and_then(|agent| state.employment.entry(agent));
        if entry.is_none_or(|entry| !entry.approved) {
            return String::new();
        }
        let is_theirs = |args: &Value| args["agent"].as_str().and_then(names::resident) == Some(*who);
        let approved = self
            .log
            .tail(AUDIT_ROWS)
            .records
            .into_iter()
            .rev()
            .find(|row| row.command == APPROVE.name && row.status == Status::Ok.word() && is_theirs(&row.args));
        approved.map_or_else(String::new, |row| format!(" It was the approval of {}.", row.issuer))
    }

    pub(super) fn sender_of(&mut self, number: u64) -> Option<(String, String)> {
        let CommandContext { who, cmd_id, .. } = &self.pending.get(number)?.context;
        Some((who.issuer.clone(), cmd_id.clone()))
    }

    /// Writes the outcome, and the journal's entry before it; the answer waits for both disks, and until readers can no longer get
    /// a state from before a change of names or narration.
    pub(super) fn record(
        &mut self,
        number: u64,
        tick: u64,
        result: Result<Value, ErrorBody>,
        digests: (String, String),
        journalled: Option<JournalEntry>,
    ) {
        let config_id = self.config_id().to_owned();
        let Some(command) = self.pending.get(number) else { return };
        let answer = command.context.answer(tick, result);
        let mut outcome = command.context.entry(&config_id, tick, Stage::Outcome);
        outcome.status = Some(answer.status);
        (outcome.result, outcome.error) = (answer.result.clone(), answer.error.clone());
        (outcome.digest_before, outcome.digest_after) = (Some(digests.0), Some(digests.1));
        (command.answer, command.outcome) = (Some(answer), Some(outcome.clone()));
        let log = Arc::clone(&self.log);
        let changed = self.publication.has_visibility_changed();
        let parts = 1 + usize::from(journalled.is_some()) + usize::from(changed);
        let writes = Arc::new(Mutex::new(PendingOutcome::new(parts, self.sender.clone(), number)));
        if changed {
            let writes = Arc::clone(&writes);
            self.publication.after_next(Deferred::new(move || {
                writes.lock().unwrap_or_else(PoisonError::into_inner).published();
            }));
        }
        let settle = move |part: Result<(Placement, Option<Written>), String>| {
            writes.lock().unwrap_or_else(PoisonError::into_inner).take(part);
        };
        let logged = {
            let settle = settle.clone();
            move |journalled: Result<(), String>| {
                if let Err(why) = journalled {
                    let message = format!("it was applied, and the journal could not be written: {why}");
                    (outcome.status, outcome.result) = (Some(Status::Error), None);
                    outcome.error = Some(error("E_AUDIT_UNAVAILABLE", message, ""));
                }
                log.append(outcome, true, move |written| {
                    let placed = written.map(|written| (written.placement.clone(), Some(written)));
                    settle(placed.map_err(|why| why.to_string()));
                });
            }
        };
        match journalled {
            // The outcome follows the journal's entry, so that a crash cannot leave an outcome without an effect.
            Some(entry) => self.journal.command(entry, logged, move |synced| settle(synced.map(|it| (it, None)))),
            None => logged(Ok(())),
        }
    }

    /// Both logs hold the outcome, or one cannot.
    pub(super) fn settled(&mut self, number: u64, result: Result<Written, NotDurable>) {
        fail_point!("before_ack");
        self.publication.dirty = true;
        let Some(command) = self.pending.get(number) else { return };
        let Some(mut answer) = command.answer.take() else { return };
        let applied = answer.status == Status::Ok;
        let outcome = command.outcome.take();
        match result {
            Ok(written) => answer.audit = format!("{}:{}", written.file, written.seq),
            Err(NotDurable { why, logged }) => {
                if let Some(outcome) = outcome.filter(|_| !logged) {
                    self.pending.late_outcomes.push((outcome, answer.clone()));
                }
                let why = why.trim_end_matches('.');
                let message = format!("it was applied at tick {} but is not safe on disk: {why}.", answer.tick);
                answer.status = Status::Error;
                answer.result = None;
                answer.error = Some(error(
                    "E_AUDIT_UNAVAILABLE",
                    message,
                    "It is not repeated. Check whether it took effect before you send it again.",
                ));
            }
        }
        if answer.status == Status::Ok {
            self.log_decision(number, answer.tick);
        }
        self.finish(number, &answer, applied);
    }

    /// Once both logs can be written again, what they missed is ended there. An effect is in the journal by now, as an
    /// entry or in the town that its next file starts from, so it is `recovered`.
    pub(super) fn write_late_outcomes(&mut self) {
        if self.pending.late_outcomes.is_empty() || self.log_trouble().is_some() {
            return;
        }
        for (outcome, answer) in std::mem::take(&mut self.pending.late_outcomes) {
            let stage = if answer.status == Status::Ok { Stage::Recovered } else { Stage::Abort };
            let entry = Record { stage, ..outcome.clone() };
            let sender = self.sender.clone();
            self.pending.late_writes += 1;
            self.log.append(entry, true, move |written| {
                drop(sender.send(Message::LateOutcomeWritten(Box::new((outcome, answer)), written.is_ok())));
            });
        }
    }

    /// A late outcome is in the log, or still is not.
    pub(super) fn late_outcome_written(&mut self, outcome: Record, answer: Answer, logged: bool) {
        self.pending.late_writes = self.pending.late_writes.saturating_sub(1);
        if !logged {
            self.pending.late_outcomes.push((outcome, answer));
        } else if answer.status == Status::Ok {
            self.pending.index.done(&outcome.issuer, &answer);
        }
    }

    fn log_decision(&mut self, number: u64, tick: u64) {
        let Some(command) = self.pending.get(number) else { return };
        let CommandContext { who, name, args, cmd_id, .. } = &command.context;
        let Some(decision) = ExitDecision::of(&self.status.shard, tick, &who.issuer, name, args, cmd_id) else {
            return;
        };
        self.operator_log.append(vec![decision], &self.disk, &self.sender);
    }

    fn finish(&mut self, number: u64, answer: &Answer, applied: bool) {
        self.refresh();
        self.progress.note_answer();
        self.pending.finish(number, answer, applied);
    }
}
