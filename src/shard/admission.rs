//! A command up to its intent: retry rules, dry run, and the answers of what changes nothing. One place, in this order.
//!
//! What happens once the intent is durable is `execution`'s. Rules: "Command table", "Roles and identity", "Idempotent
//! retries", "Audit log".

use std::time::Instant;

use serde_json::{Value, json};
use townlet_audit::{Lookup, Record, Stage, fingerprint};
use townlet_wire::{Answer, CommandSpec, ErrorBody, Role, Status};

use super::command_table::{Invocation, error, refused};
use super::commands::training::check_training_active;
use super::engine::Engine;
use super::operation::{FileQuery, Operation, PaceChange, ShardAction, ShardView};
use super::pending_commands::{CommandContext, PendingCommand};
use super::pending_writes::PendingIntent;
use super::sessions::{NO_SESSION, SessionEvent};
use super::submission::{AnswerFn, Caller, Submission, check_time, escaped};

/// A command whose sender may send it.
pub(super) struct Admission {
    /// Its sender and its names.
    pub context: CommandContext,
    /// Its row as clients see it.
    pub spec: &'static CommandSpec,
    /// What it does.
    pub operation: Operation,
    /// Same checks, no effect.
    pub dry_run: bool,
    query: bool,
    /// When it may no longer be executed.
    expires_ms: Option<u64>,
    secret: Option<String>,
    reply: AnswerFn,
}

impl Engine {
    pub(super) fn view(&self) -> ShardView<'_> {
        ShardView {
            town: &self.town,
            driver: &self.driver,
            status: &self.status,
            log: &self.log,
            releases: &self.releases,
            questions: &self.questions,
        }
    }

    pub(super) fn config_id(&self) -> &str {
        &self.town.rules().config.config_id
    }

    /// Takes in a request. Those of remote callers were permitted before they came here.
    pub(super) fn submit(&mut self, submission: Submission) {
        let level = submission.caller.level();
        let (session, who, permitted) = match &submission.caller {
            Caller::Remote(remote) => (NO_SESSION, remote.session.clone(), Ok(())),
            Caller::Session(number) => {
                let Some(who) = self.sessions.get(*number).cloned() else { return };
                let permitted = submission.permitted(&who, None);
                (*number, who, permitted)
            }
        };
        match (permitted, submission) {
            (
                Ok(()),
                Submission {
                    command: Ok(Invocation { spec, line, args, operation: Ok(operation) }),
                    cmd_id,
                    dry_run,
                    query,
                    expires_ms,
                    secret,
                    reply,
                    ..
                },
            ) => {
                let context = CommandContext { session, level, who, cmd_id, name: &spec.name, line, args };
                self.prepare(Admission { context, spec, operation, dry_run, query, expires_ms, secret, reply });
            }
            (permitted, submission) => {
                let quiet = submission.is_quiet();
                // A command without an operation is never permitted.
                let error = permitted.err().unwrap_or_else(|| error("E_INVALID_ARG", "this is no command.", ""));
                let (context, reply) = submission.into_refused(session, who);
                self.refuse(&context, quiet, error, reply);
            }
        }
    }

    /// Reads the files that an operation needs, away from the town's thread; all others go on at once.
    fn prepare(&mut self, admission: Admission) {
        match &admission.operation {
            Operation::Reload(_) => self.read_config(admission),
            Operation::Release(_) => self.load_named_policy(admission),
            Operation::WhatIf(_) => self.prepare_question(admission),
            _ => self.admit(admission),
        }
    }

    /// Refused: audited unless it is `quiet` (a dry run or a query), and not stored, so that it may be sent again corrected.
    fn refuse(&mut self, context: &CommandContext, quiet: bool, error: ErrorBody, reply: AnswerFn) {
        let tick = self.town.tick();
        if !quiet {
            self.records.write(context.level, context.refusal(self.config_id(), tick, &error));
        }
        reply(context.answer(tick, Err(error)));
    }

    /// Answers a command that changes nothing, and begins one that does.
    pub(super) fn admit(&mut self, admission: Admission) {
        if admission.dry_run && !matches!(admission.operation, Operation::Files(_)) {
            let mut answer = admission.context.answer(self.town.tick(), self.preview(&admission));
            if answer.error.is_none() {
                answer.status = Status::DryRun;
            }
            return (admission.reply)(answer);
        }
        match admission.operation {
            Operation::Read(query) => {
                let result = query(&self.view());
                self.answer_read(&admission.context, admission.query, result, admission.reply);
            }
            Operation::Files(query) => {
                self.answer_from_files(admission.context, admission.dry_run, admission.query, query, admission.reply);
            }
            Operation::Pace(change) => {
                self.admit_pace(&admission.context, change, admission.expires_ms, admission.reply);
            }
            _ => self.begin(admission),
        }
    }

    /// A change of pace happens at once, so that a town can also be stopped while the disk is full. Its record is kept until the
    /// audit log takes it.
    fn admit_pace(&mut self, context: &CommandContext, change: PaceChange, expires_ms: Option<u64>, reply: AnswerFn) {
        let print = fingerprint(context.name, &context.args);
        let refused = match self.look_up(context, &print) {
            Lookup::Replay(stored) => return self.replay(context, *stored, reply),
            Lookup::New if self.records.is_full() => Some(error(
                "E_AUDIT_UNAVAILABLE",
                "the audit log cannot be written, and no more records can be kept for it.",
                "Nothing was changed. Free disk space; the write is tried again every second.",
            )),
            Lookup::New => check_time(expires_ms).err(),
            other => retry_error(&other),
        };
        if let Some(error) = refused {
            return self.refuse(context, false, error, reply);
        }
        self.pending.index.begin(&context.who.issuer, &context.cmd_id, print);
        let mut result = json!({ "summary": self.change_pace(change) });
        if self.log_failure().is_some() {
            let summary = result["summary"].as_str().unwrap_or_default();
            result = json!({
                "summary": format!("{summary} It is not logged yet: the record follows once the audit log can be written."),
                "logged": false,
            });
        }
        self.progress.note_answer();
        let answer = context.answer(self.town.tick(), Ok(result));
        self.pending.index.done(&context.who.issuer, &answer);
        self.records.write_or_keep(read_outcome(context, self.config_id(), &answer));
        reply(answer);
    }

    /// A typed read leaves one unsynced outcome; a screen's own polling leaves none.
    fn answer_read(
        &mut self,
        context: &CommandContext,
        quiet: bool,
        result: Result<Value, ErrorBody>,
        reply: AnswerFn,
    ) {
        let answer = context.answer(self.town.tick(), result);
        if !quiet {
            self.records.write(context.level, read_outcome(context, self.config_id(), &answer));
        }
        reply(answer);
    }

    fn answer_from_files(
        &mut self,
        context: CommandContext,
        dry_run: bool,
        query: bool,
        files: FileQuery,
        reply: AnswerFn,
    ) {
        let (folder, tick) = (self.snapshots.folder.clone(), self.town.tick());
        let (config_id, records) = (self.config_id().to_owned(), self.records.clone());
        self.disk.run(move || {
            let mut answer = context.answer(tick, files(&folder));
            if let Some(result) = answer.result.take_if(|_| dry_run) {
                (answer.status, answer.result) = (Status::DryRun, Some(json!({ "summary": result["summary"] })));
            }
            if !query && !dry_run {
                records.write(context.level, read_outcome(&context, &config_id, &answer));
            }
            reply(answer);
        });
    }

    /// The checks of an execution without its effect; what would be answered.
    fn preview(&mut self, admission: &Admission) -> Result<Value, ErrorBody> {
        let summary = match &admission.operation {
            Operation::Town(command) => {
                let approver = self.approver(command);
                self.town.preview(command).map_err(refused)? + &approver
            }
            Operation::Reload(files) => return self.preview_reload(files.as_ref()),
            Operation::Release(request) => self.releases.describe(request, &self.town)?,
            Operation::Shard(action) => self.check_action(action).map(|()| self.describe_action(action))?,
            Operation::WhatIf(operation) => self.describe_what_if(operation, &admission.context.who)?,
            Operation::Session(role) => {
                let (context, secret) = (&admission.context, admission.secret.as_deref());
                let wants_admin = matches!(role, Role::Admin);
                if wants_admin {
                    let reason = context.reason();
                    self.sessions.check_escalation(&context.who, reason, secret, admission.dry_run)?;
                }
                let when = if context.who.is_admin() == wants_admin { "already" } else { "now" };
                format!("you are {} {when}.", role.word())
            }
            Operation::Pace(change) => self.describe_pace(*change),
            // A read changes nothing; what it would answer is its preview.
            Operation::Read(query) => {
                let result = query(&self.view())?;
                result["summary"].as_str().map_or_else(|| format!("{}.", admission.spec.help), str::to_owned)
            }
            Operation::Files(_) => format!("{}.", admission.spec.help),
        };
        Ok(json!({ "summary": summary }))
    }

    /// Checks whether the shard can do this now.
    pub(super) fn check_action(&self, action: &ShardAction) -> Result<(), ErrorBody> {
        match action {
            ShardAction::Train(_) => check_training_active(&self.status.learning),
            ShardAction::Acknowledge(name, seen) => self.check_alert(name, seen.as_deref()),
            _ => Ok(()),
        }
    }

    fn check_alert(&self, name: &str, seen: Option<&str>) -> Result<(), ErrorBody> {
        let active = super::telemetry::active_alerts(self.town.rules(), self.town.state(), &self.status);
        // Hashed names come back as ids, which are the names in lower case.
        let says = |message: &str| seen.is_none_or(|seen| seen.to_lowercase() == message.to_lowercase());
        let mut named = active.iter().filter(|alert| alert.name == name).peekable();
        if let Some(first) = named.peek().map(|alert| alert.message.clone()) {
            let hint = "Nothing was acknowledged. Read it, and send the command again.";
            let changed = || error("E_CONFLICT", format!("the alert `{name}` says now: {first}"), hint);
            return if named.any(|alert| says(&alert.message)) { Ok(()) } else { Err(changed()) };
        }
        let names: Vec<&str> = active.iter().map(|alert| alert.name.as_str()).collect();
        let hint =
            if names.is_empty() { "No alert is active.".to_owned() } else { format!("Active: {}.", names.join(", ")) };
        Err(error("E_NOT_FOUND", format!("there is no active alert `{name}`."), hint))
    }

    /// Retry rules, checks, and the intent.
    fn begin(&mut self, admission: Admission) {
        let print = fingerprint(admission.context.name, &admission.context.args);
        let refused = match self.look_up(&admission.context, &print) {
            Lookup::New => self.check_begin(&admission).err(),
            Lookup::Replay(stored) => return self.replay(&admission.context, *stored, admission.reply),
            Lookup::InFlight => return self.pending.wait_for(&admission.context, admission.reply),
            other => retry_error(&other),
        };
        if let Some(error) = refused {
            return self.refuse(&admission.context, false, error, admission.reply);
        }
        // What is late comes first: a retry must not stand before the end of what it retries.
        self.write_late_outcomes();
        let Admission { context, operation, reply, .. } = admission;
        self.pending.index.begin(&context.who.issuer, &context.cmd_id, print);
        let intent = context.entry(self.config_id(), self.town.tick(), Stage::Intent);
        let number = self.pending.add(PendingCommand::new(context, operation, reply));
        let mut pending = PendingIntent::new(self.sender.clone(), number);
        self.log.append(intent, true, move |written| pending.report(written));
    }

    fn check_begin(&mut self, admission: &Admission) -> Result<(), ErrorBody> {
        check_time(admission.expires_ms)?;
        if let Some(why) = self.log_trouble() {
            let hint = "Nothing was changed. Free disk space; the write is tried again every second.";
            return Err(error("E_AUDIT_UNAVAILABLE", format!("{why}."), hint));
        }
        self.preview(admission).map(drop)
    }

    /// What was done with this id before.
    pub(super) fn look_up(&self, context: &CommandContext, print: &str) -> Lookup {
        self.pending.index.look_up(&context.who.issuer, &context.cmd_id, print)
    }

    /// Notifies sessions whose commands wait for the disk. What was handed to it may yet land, so nothing is called refused.
    pub(super) fn notify_overdue(&mut self, now: Instant) {
        let tick = self.town.tick();
        for context in self.pending.overdue(now) {
            let hint = "The command may still be carried out. Do not send it again: its answer follows when the disk responds.";
            let error = error("E_IN_FLIGHT", "it is under way and not answered yet.", hint);
            let answer = escaped(self.status.names.apply(context.answer(tick, Err(error))));
            self.sessions.notify(context.session, SessionEvent::InFlight(answer));
        }
    }

    /// The answer of an earlier, equal request. The retry is logged; it ends nothing and runs nothing.
    fn replay(&mut self, context: &CommandContext, stored: Answer, reply: AnswerFn) {
        let mut entry = context.entry(self.config_id(), self.town.tick(), Stage::Rejected);
        entry.status = Some(stored.status);
        entry.result = Some(json!({ "replayed": true }));
        self.records.write(context.level, entry);
        reply(Answer { command: context.line.clone(), replayed: true, ..stored });
    }

    /// Why commands that change something are refused.
    pub(super) fn log_trouble(&self) -> Option<String> {
        self.log_failure().or_else(|| self.journal.trouble())
    }

    pub(super) fn log_failure(&self) -> Option<String> {
        self.log.trouble().map(|why| format!("the audit log cannot be written: {why}"))
    }
}

/// Why a request with a `cmd_id` that was used before is refused.
fn retry_error(found: &Lookup) -> Option<ErrorBody> {
    let (code, message, hint) = match found {
        Lookup::New | Lookup::Replay(_) | Lookup::InFlight => return None,
        Lookup::Reused => {
            ("E_CMD_ID_REUSED", "this cmd_id belongs to another command.", "Use a new id for every new command.")
        }
        Lookup::Expired => (
            "E_CMD_ID_EXPIRED",
            "this cmd_id is more than 7 days older than others that you have used since.",
            "Use a new id, and check first whether the command took effect.",
        ),
    };
    Some(error(code, message, hint))
}

fn read_outcome(context: &CommandContext, config_id: &str, answer: &Answer) -> Record {
    let mut entry = context.entry(config_id, answer.tick, Stage::Outcome);
    (entry.status, entry.error) = (Some(answer.status), answer.error.clone());
    let summary = answer.result.as_ref().and_then(|result| result.get("summary"));
    entry.result = summary.map(|summary| json!({ "summary": summary }));
    entry
}
