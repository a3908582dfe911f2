//! The desk every command passes: grammar, role, retry rules, dry run, audit, effect, answer. In that order, in one place.
//!
//! Owns a command's way up to its intent; what becomes of it once that is durable stands in `outcome`. Rules: "Command
//! table", "Roles and identity", "Idempotent retries", "Audit log".

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::command_table::{Args, Look, Row, Run, TABLE, error, refused, specs};
use super::disk_thread::Decision;
use super::engine::{Engine, Message};
use super::execution::pending_answer;
use super::pending_writes::PendingIntent;
use super::reload::Fresh;
use super::request_validation::{self, Visitor};
use townlet_audit::{Entry, Lookup, Stage, fingerprint};
use townlet_wire::command_line::{self, Parsed};
use townlet_wire::{Answer, CommandSpec, ErrorBody, Request, Role, Session, Status, allowed};

/// Gets an answer.
pub(super) type Done = Box<dyn FnOnce(Answer) + Send>;

/// A request with who asked and who waits.
pub(super) struct Asked {
    /// Who asks.
    pub from: Caller,
    /// What is asked.
    pub request: Request,
    /// Who waits for the answer.
    pub done: Done,
}

/// Who asks: somebody with a session here, or somebody from afar, who brings what a session would hold.
pub(super) enum Caller {
    /// By its number.
    Session(u64),
    /// Over a network.
    Visitor(Visitor),
}

/// What a session hears beside the answers it waits for.
#[derive(Clone, Debug)]
pub enum Told {
    /// Its role has changed.
    Role(Session),
    /// A command of its has waited for the disk for two seconds: `E_IN_FLIGHT`. It may yet be done; its answer follows.
    UnderWay(Answer),
}

/// How long a command waits for the disk before its session is told so.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The session of whoever has none: sessions are counted from 1.
const NO_SESSION: u64 = 0;

/// A mutating command under way.
pub(super) struct PendingCommand {
    pub(super) session: u64,
    pub(super) who: Session,
    pub(super) row: &'static Row,
    pub(super) args: Args,
    pub(super) line: String,
    pub(super) cmd_id: String,
    pub(super) answer: Option<Answer>,
    pub(super) outcome: Option<Entry>,
    /// What was read again for it.
    pub(super) fresh: Option<Result<Fresh, ErrorBody>>,
    pub(super) waiting: Vec<Done>,
    since: Instant,
    /// Whether its session was told that it is under way.
    told: bool,
}

struct Open {
    session: Session,
    notify: Box<dyn Fn(Told) + Send>,
}

/// Sessions, ids seen, and what is under way.
pub(super) struct Desk {
    specs: Vec<CommandSpec>,
    sessions: HashMap<u64, Open>,
    pub(super) index: townlet_audit::Index,
    pub(super) pending_commands: BTreeMap<u64, PendingCommand>,
    next_ticket: u64,
    /// Outcomes, with their answers, that the audit log could not take when they were due.
    pub(super) late_outcomes: Vec<(Entry, Answer)>,
    /// Why the last snapshot could not be written.
    pub(super) snapshot_trouble: Option<String>,
    /// Why the operators' log could not be written.
    pub(super) ops_trouble: Option<String>,
    /// Decisions that are still missing there.
    pub(super) unnoted: Vec<Decision>,
    /// Tokens that make an admin, when there are any.
    pub(super) tokens: Option<super::tokens::TokenStore>,
}

impl Desk {
    pub(super) fn new(index: townlet_audit::Index) -> Self {
        Self {
            specs: specs(),
            sessions: HashMap::new(),
            index,
            pending_commands: BTreeMap::new(),
            next_ticket: 1,
            late_outcomes: Vec::new(),
            snapshot_trouble: None,
            ops_trouble: None,
            unnoted: Vec::new(),
            tokens: None,
        }
    }

    pub(super) fn open(&mut self, id: u64, session: Session, notify: Box<dyn Fn(Told) + Send>) {
        self.sessions.insert(id, Open { session, notify });
    }

    /// Gives a session another role and tells it so.
    pub(super) fn change_role(&mut self, session: u64, role: Role) {
        if let Some(open) = self.sessions.get_mut(&session) {
            open.session.role = role;
            (open.notify)(Told::Role(open.session.clone()));
        }
    }

    /// When the next session is to be told that its command is under way.
    pub(super) fn next_overdue(&self) -> Option<Instant> {
        self.pending_commands.values().find(|ticket| !ticket.told).map(|ticket| ticket.since + TIMEOUT)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.pending_commands.is_empty()
    }
}

/// What a request came to before anything was done.
pub(super) struct Draft {
    pub(super) who: Session,
    pub(super) cmd_id: String,
    line: String,
    pub(super) command: String,
    pub(super) args: Args,
    /// What was read again for it, or why it could not be.
    pub(super) fresh: Option<Result<Fresh, ErrorBody>>,
}

impl Draft {
    fn answer(&self, tick: u64, status: Status, result: Option<Value>, error: Option<ErrorBody>) -> Answer {
        Answer {
            cmd_id: self.cmd_id.clone(),
            command: self.line.clone(),
            status,
            tick,
            result,
            error,
            replayed: false,
            audit: String::new(),
        }
    }

    fn entry(&self, config_id: &str, tick: u64, stage: Stage) -> Entry {
        let mut entry = Entry::of(&self.who, self.cmd_id.clone(), self.command.clone(), self.args.json());
        config_id.clone_into(&mut entry.config_id);
        entry.reason = self.args.get("reason").map(str::to_owned);
        entry.stage = stage;
        entry.tick = tick;
        entry
    }
}

impl Engine {
    pub(super) fn look(&self) -> Look<'_> {
        Look { town: &self.town, status: &self.status, log: &self.log, releases: Some(&self.releases) }
    }

    pub(super) fn config_id(&self) -> String {
        self.town.rules().config.config_id.clone()
    }

    /// A request arrives.
    pub(super) fn ask(&mut self, asked: Asked) {
        let Asked { from, mut request, done } = asked;
        let status = self.status.names.clone();
        let done: Done = Box::new(move |answer| done(request_validation::outgoing(status.answer(answer))));
        request.command =
            self.status.names.resolve_pseudonyms(&request.command, self.town.state().lifecycle.next_resident);
        let (session, visitor) = match from {
            Caller::Session(id) => (id, None),
            Caller::Visitor(visitor) => (NO_SESSION, Some(visitor)),
        };
        let here = || self.desk.sessions.get(&session).map(|open| open.session.clone());
        let Some(who) = visitor.as_ref().map(|visitor| visitor.session.clone()).or_else(here) else { return };
        let cmd_id = request.cmd_id.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let specs = std::mem::take(&mut self.desk.specs);
        let parsed = request_validation::fit(&cmd_id, &request.command)
            .and_then(|()| command_line::parse(&specs, &request.command));
        let mut draft = Draft {
            who,
            cmd_id,
            line: request_validation::shown(&request.command),
            command: String::from("?"),
            args: Args::default(),
            fresh: None,
        };
        match parsed {
            Ok(Parsed { spec, .. }) if !allowed(&draft.who, spec) => {
                draft.command.clone_from(&spec.name);
                let hint = format!("`{}` needs the role {}; :escalate to act.", spec.name, spec.role.word());
                self.refuse(&request, &draft, error("E_FORBIDDEN", "viewers look.", hint), done);
            }
            Ok(parsed) => {
                draft.line = parsed.normalised();
                draft.command.clone_from(&parsed.spec.name);
                draft.args = Args(parsed.args);
                let row = TABLE.iter().find(|row| row.name == draft.command).expect("specs are made from the table");
                match visitor
                    .map_or(Ok(()), |visitor| request_validation::check_remote_request(&visitor, parsed.spec, &request))
                {
                    Ok(()) => self.gathered(&request.clone(), row, draft, move |engine, draft| {
                        engine.admitted(session, &request, draft, row, done);
                    }),
                    Err(error) => self.refuse(&request, &draft, error, done),
                }
            }
            Err(error) => {
                // What was typed is kept, so that the log says what was refused.
                draft.args = Args([("line".to_owned(), draft.line.clone())].into());
                self.refuse(&request, &draft, error, done);
            }
        }
        self.desk.specs = specs;
    }

    /// Refused: audited unless it was only a preview or a query, and not stored, so that it may be sent again corrected.
    fn refuse(&mut self, request: &Request, draft: &Draft, error: ErrorBody, done: Done) {
        let tick = self.town.tick();
        if !request.dry_run && !request.query {
            let mut entry = draft.entry(&self.config_id(), tick, Stage::Rejected);
            entry.status = Some(Status::Error);
            entry.error = Some(error.clone());
            log_unsynced(&self.log, &self.sender, entry);
        }
        done(draft.answer(tick, Status::Error, None, Some(error)));
    }

    fn admitted(&mut self, session: u64, request: &Request, draft: Draft, row: &'static Row, done: Done) {
        let tick = self.town.tick();
        let read = matches!(row.run, Run::Read(_) | Run::Files(_));
        if request.query && !read && !request.dry_run {
            let error = error("E_INVALID_ARG", "a query only looks.", "Send it as a command.");
            return self.refuse(request, &draft, error, done);
        }
        if request.dry_run && !matches!(row.run, Run::Files(_)) {
            let checked =
                self.preview(row, &draft).and_then(|said| self.check_escalation(row, request, &draft).map(|()| said));
            let answer = match checked {
                Ok(result) => draft.answer(tick, Status::DryRun, Some(result), None),
                Err(error) => draft.answer(tick, Status::Error, None, Some(error)),
            };
            return done(answer);
        }
        match row.run {
            Run::Read(run) => {
                let reply = run(&self.look(), &draft.args);
                self.answer_read(request, &draft, reply, done);
            }
            Run::Files(run) => self.answer_from_files(request, draft, run, done),
            Run::Pace(run) => {
                let reply =
                    run(&self.look(), &draft.args).map(|deed| json!({ "summary": self.perform_action(session, deed) }));
                self.refresh();
                self.answer_read(request, &draft, reply, done);
            }
            Run::Town(_) | Run::Shard(_) | Run::Reload => self.begin(session, request, draft, row, done),
        }
    }

    /// A typed read leaves one unsynced outcome; a screen's own polling leaves none.
    fn answer_read(&mut self, request: &Request, draft: &Draft, reply: Result<Value, ErrorBody>, done: Done) {
        let tick = self.town.tick();
        let (status, result, error) = match reply {
            Ok(result) => (Status::Ok, Some(result), None),
            Err(error) => (Status::Error, None, Some(error)),
        };
        if !request.query {
            let mut entry = draft.entry(&self.config_id(), tick, Stage::Outcome);
            entry.status = Some(status);
            entry.error.clone_from(&error);
            let summary = result.as_ref().and_then(|result| result.get("summary")).cloned();
            entry.result = summary.map(|summary| json!({ "summary": summary }));
            log_unsynced(&self.log, &self.sender, entry);
        }
        done(draft.answer(tick, status, result, error));
    }

    fn answer_from_files(
        &mut self,
        request: &Request,
        draft: Draft,
        run: fn(&std::path::Path, &Args) -> Result<Value, ErrorBody>,
        done: Done,
    ) {
        let (folder, tick, dry_run) = (self.snapshot_folder(), self.town.tick(), request.dry_run);
        let quiet = request.query || dry_run;
        let (config_id, log, sender) = (self.config_id(), Arc::clone(&self.log), self.sender.clone());
        self.disk.run(move || {
            let (status, result, error) = match run(&folder, &draft.args) {
                Ok(result) if dry_run => (Status::DryRun, Some(json!({ "summary": result["summary"] })), None),
                Ok(result) => (Status::Ok, Some(result), None),
                Err(error) => (Status::Error, None, Some(error)),
            };
            if !quiet {
                let mut entry = draft.entry(&config_id, tick, Stage::Outcome);
                entry.status = Some(status);
                entry.error.clone_from(&error);
                log_unsynced(&log, &sender, entry);
            }
            done(draft.answer(tick, status, result, error));
        });
    }

    /// The same checks as in earnest; says what would happen.
    fn preview(&mut self, row: &Row, draft: &Draft) -> Result<Value, ErrorBody> {
        let args = &draft.args;
        let said = match row.run {
            Run::Town(run) => {
                let command = run(&self.look(), args)?;
                self.town.preview(&command).map_err(refused)?
            }
            Run::Reload => return self.reload_preview(draft.fresh.as_ref()),
            Run::Shard(run) | Run::Pace(run) => run(&self.look(), args).map(|_| format!("{}.", row.help))?,
            Run::Read(run) => run(&self.look(), args).map(|_| format!("{}.", row.help))?,
            Run::Files(_) => format!("{}.", row.help),
        };
        Ok(json!({ "summary": said }))
    }

    /// Retry rules, checks, and the intent.
    fn begin(&mut self, session: u64, request: &Request, draft: Draft, row: &'static Row, done: Done) {
        let tick = self.town.tick();
        let print = fingerprint(&draft.command, &draft.args.json());
        match self.desk.index.look_up(&draft.who.issuer, &draft.cmd_id, &print, jiff::Timestamp::now()) {
            Lookup::New => {}
            Lookup::Replay(stored) => return self.replay(&draft, *stored, done),
            Lookup::Reused => {
                let message = "this cmd_id belongs to another command.";
                let error = error("E_CMD_ID_REUSED", message, "Make a new id for every new command.");
                return self.refuse(request, &draft, error, done);
            }
            Lookup::InFlight => {
                let same = |ticket: &&mut PendingCommand| {
                    ticket.cmd_id == draft.cmd_id && ticket.who.issuer == draft.who.issuer
                };
                if let Some(ticket) = self.desk.pending_commands.values_mut().find(same) {
                    ticket.waiting.push(done);
                }
                return;
            }
            Lookup::Expired => {
                let error =
                    error("E_CMD_ID_EXPIRED", "this cmd_id is older than 7 days.", "Make a new id and look first.");
                return self.refuse(request, &draft, error, done);
            }
        }
        if let Some(why) = self.log_trouble() {
            let error =
                error("E_AUDIT_UNAVAILABLE", why, "Nothing was changed. Free the disk; it is tried every second.");
            return self.refuse(request, &draft, error, done);
        }
        if let Err(error) = self.preview(row, &draft).and_then(|_| self.check_escalation(row, request, &draft)) {
            return self.refuse(request, &draft, error, done);
        }
        // What is late comes first: a retry must not stand before the end of what it retries.
        self.catch_up();
        self.desk.index.begin(&draft.who.issuer, &draft.cmd_id, print);
        let ticket = self.desk.next_ticket;
        self.desk.next_ticket += 1;
        let intent = draft.entry(&self.config_id(), tick, Stage::Intent);
        let Draft { who, cmd_id, line, args, fresh, .. } = draft;
        let waiting = vec![done];
        self.desk.pending_commands.insert(
            ticket,
            PendingCommand {
                session,
                who,
                row,
                args,
                line,
                cmd_id,
                answer: None,
                outcome: None,
                fresh,
                waiting,
                since: Instant::now(),
                told: false,
            },
        );
        let mut owed = PendingIntent::new(self.sender.clone(), ticket);
        self.log.append(intent, true, move |written| owed.tell(written));
    }

    /// Tells sessions whose commands wait for the disk. What was handed to it may yet land, so nothing is called refused.
    pub(super) fn notify_overdue(&mut self, now: Instant) {
        let tick = self.town.tick();
        for it in self.desk.pending_commands.values_mut().filter(|it| !it.told && now >= it.since + TIMEOUT) {
            it.told = true;
            let error = error(
                "E_IN_FLIGHT",
                "it is under way and not answered yet.",
                "It may yet be done; its answer follows once the disk is back.",
            );
            let answer = request_validation::outgoing(self.status.names.answer(pending_answer(it, tick, Err(error))));
            if let Some(open) = self.desk.sessions.get(&it.session) {
                (open.notify)(Told::UnderWay(answer));
            }
        }
    }

    /// The answer of an earlier, equal request. That it was asked again is logged; it ends nothing and runs nothing.
    fn replay(&mut self, draft: &Draft, stored: Answer, done: Done) {
        let mut entry = draft.entry(&self.config_id(), self.town.tick(), Stage::Rejected);
        entry.status = Some(stored.status);
        entry.result = Some(json!({ "replayed": true }));
        log_unsynced(&self.log, &self.sender, entry);
        done(Answer { command: draft.line.clone(), replayed: true, ..stored });
    }

    /// Why commands that change something are refused.
    pub(super) fn log_trouble(&self) -> Option<String> {
        match self.log.state() {
            townlet_audit::State::Ok => self.journal.trouble().or_else(|| self.journal.stalled()),
            townlet_audit::State::Unavailable(why) => Some(format!("the audit log cannot be written: {why}")),
        }
    }

    /// Whether an escalation brings what it takes: the admin token where one is configured, else a reason.
    fn check_escalation(&mut self, row: &Row, request: &Request, draft: &Draft) -> Result<(), ErrorBody> {
        if row.name != "escalate" {
            return Ok(());
        }
        if draft.who.transport == request_validation::HTTP_TRANSPORT {
            return request_validation::check_remote_escalation(&draft.who);
        }
        if let Some(tokens) = &mut self.desk.tokens {
            // A dry run leaves no trace, so it may not be a way to try tokens.
            if request.dry_run {
                return Ok(());
            }
            let secret = request.secret.as_deref().unwrap_or_default();
            return tokens
                .check(&draft.who.issuer, secret)
                .map_err(|why| error("E_FORBIDDEN", why, "Type `:escalate` and give the admin token when asked."));
        }
        if draft.args.get("reason").is_none_or(|reason| reason.trim().is_empty()) {
            let hint = "Such as `escalate --reason \"review of the exit queue\"`.";
            return Err(error("E_INVALID_ARG", "an escalation needs a reason.", hint));
        }
        Ok(())
    }
}

/// Logs what nobody waits for. Observers see it once it is written, even those of a town that stands still.
fn log_unsynced(log: &townlet_audit::Log, sender: &Sender<Message>, entry: townlet_audit::Entry) {
    let sender = sender.clone();
    log.append(entry, false, move |_| {
        let show = |engine: &mut Engine| engine.dirty = true;
        // The loop may have ended meanwhile; then nobody looks.
        drop(sender.send(Message::Then(Box::new(show))));
    });
}
