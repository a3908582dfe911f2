//! A request on its way to the town's thread: checked, and its line read once into an operation, on the caller's thread. A
//! remote request that is refused for what it says or for its role ends there.
//!
//! Rules: "Idempotent retries", "Roles and identity", "HTTP service".

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::json;
use townlet_town::Rules;
use townlet_wire::service::is_older;
use townlet_wire::{
    Answer, CommandSpec, ErrorBody, REDACTED, Request, Role, SCHEMA_VERSION, Session, allowed, command_line, escape,
    holds_token,
};

use super::command_table::{Invocation, error};
use super::commands::session::ESCALATE;
use super::commands::whatif;
use super::engine::Progress;
use super::pending_commands::CommandContext;
use super::privacy::PrivacyFilter;
use super::request_queue::Level;
use super::sessions::NO_SESSION;
use super::unsynced_records::UnsyncedRecords;

/// Longest `cmd_id` taken, in bytes.
const MAX_ID: usize = 128;

/// The transport of sessions over a network.
pub(super) const HTTP_TRANSPORT: &str = "http";

/// The issuer of requests without a token is this and the peer's address.
pub(super) const ANONYMOUS: &str = "http:";

pub(super) type AnswerFn = Box<dyn FnOnce(Answer) + Send>;
pub(super) type UnrenderedFn = Box<dyn FnOnce(UnrenderedAnswer) + Send>;

/// A caller over a network, who sends its identity with each request: the shard keeps no session of it.
#[derive(Clone, Debug)]
pub struct RemoteCaller {
    /// Its name and role; the transport is `http`.
    pub session: Session,
    /// The precedence of its requests.
    pub level: Level,
    /// The schema its program speaks; `None` when it did not say.
    pub schema: Option<String>,
    /// Why its token grants reading only for now, as a sentence with what to do; `None` when it grants its role.
    pub read_only: Option<(String, String)>,
}

impl RemoteCaller {
    /// A caller without a token, by its address.
    pub fn anonymous(address: IpAddr, schema: Option<String>) -> Self {
        Self::new(format!("{ANONYMOUS}{address}"), Role::Viewer, Level::Anonymous, schema)
    }

    /// A caller with a token of this name and role.
    pub fn of_token(name: &str, role: Role, schema: Option<String>) -> Self {
        Self::new(format!("token:{name}"), role, Level::of_token(role), schema)
    }

    fn new(issuer: String, role: Role, level: Level, schema: Option<String>) -> Self {
        let session = Session { issuer, role, transport: HTTP_TRANSPORT.into(), owner: false };
        Self { session, level, schema, read_only: None }
    }

    /// The refusal of its role, which names why the role is less than that of its token.
    pub(super) fn explained(&self, refusal: ErrorBody) -> ErrorBody {
        match &self.read_only {
            Some((why, hint)) => error("E_FORBIDDEN", why, hint),
            None => refusal,
        }
    }

    /// Refuses an escalation without an admin token, and a change that could not be retried safely or whose meaning an older
    /// program may not know.
    pub(super) fn check(&self, spec: &CommandSpec, dry_run: bool, has_id: bool) -> Result<(), ErrorBody> {
        if spec.name == ESCALATE.name && !self.session.is_admin() {
            let hint = "Give it with `--token-file` or TOWNLET_TOKEN, enter it when a prompt asks for it, or send it as \
                        `Authorization: Bearer`. `townlet token new` creates a token.";
            return Err(error(
                "E_FORBIDDEN",
                "a remote session needs an admin token to become admin; this one has a viewer token or none.",
                hint,
            ));
        }
        if self.level == Level::Anonymous && [whatif::ASK.name, whatif::CANCEL.name].contains(&spec.name.as_str()) {
            let message = format!("`{}` over the network needs a token.", spec.name);
            let hint = "`townlet token create --role viewer --name NAME` makes one on the shard's machine.";
            return Err(error("E_FORBIDDEN", message, hint));
        }
        if !spec.mutating || dry_run {
            return Ok(());
        }
        if let Some(theirs) = self.schema.as_deref().filter(|theirs| is_older(theirs)) {
            let message = format!("your program speaks schema {}, this shard {SCHEMA_VERSION}.", escape(theirs));
            return Err(error("E_SCHEMA_OLD", message, "Upgrade it before you send commands; reading still works."));
        }
        if !has_id {
            let message = format!("`{}` changes something and needs a cmd_id.", spec.name);
            return Err(error("E_CMD_ID_REQUIRED", message, "Use a UUIDv7, and the same one for a retry."));
        }
        Ok(())
    }
}

/// The sender of a request: a session of this process by its number, or a remote caller.
pub(super) enum Caller {
    Session(u64),
    Remote(RemoteCaller),
}

impl Caller {
    /// The precedence of a remote caller.
    pub(super) const fn level(&self) -> Option<Level> {
        match self {
            Self::Session(_) => None,
            Self::Remote(caller) => Some(caller.level),
        }
    }
}

/// An answer as the town's thread made it. Names are hidden and characters escaped by the thread that sends it on.
#[derive(Debug)]
pub struct UnrenderedAnswer {
    answer: Answer,
    names: PrivacyFilter,
}

impl UnrenderedAnswer {
    /// The answer as it may leave the shard.
    pub fn render(self) -> Answer {
        escaped(self.names.apply(self.answer))
    }
}

/// A request whose line was read.
pub(super) struct Submission {
    pub caller: Caller,
    /// As sent, or made here.
    pub cmd_id: String,
    pub dry_run: bool,
    pub query: bool,
    pub secret: Option<String>,
    /// Whether it is meant for this run.
    pub meant: Result<(), ErrorBody>,
    /// When it may no longer be executed, by [`clock_ms`].
    pub expires_ms: Option<u64>,
    /// The line as answers and the log may show it.
    pub line: String,
    pub command: Result<Invocation, ErrorBody>,
    pub reply: AnswerFn,
}

/// What it takes to read a command line and to refuse a request; none of it belongs to the town's thread.
pub(super) struct CommandReader {
    /// The rules at the start: their plan never changes.
    pub rules: Arc<Rules>,
    /// The key of hashed ids, which may be typed in place of ids.
    pub names: PrivacyFilter,
    pub progress: Progress,
    pub run_id: String,
    pub records: UnsyncedRecords,
}

impl CommandReader {
    /// Reads a request. `None` when it was refused, which the caller and the audit log were told.
    pub(super) fn read(&self, caller: Caller, request: Request, done: UnrenderedFn) -> Option<Submission> {
        let Request { command, cmd_id, dry_run, query, secret, run_id, expires_ms } = request;
        let too_long = command.len() > command_line::MAX_LINE;
        let arrived = self.progress.arrived.load(Ordering::Relaxed) as u32;
        // A line that is too long is refused below, whatever is in it.
        let typed = if too_long { command } else { self.names.resolve_pseudonyms(&command, arrived) };
        let has_id = cmd_id.is_some();
        let cmd_id = cmd_id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let command = check(&cmd_id, &typed, run_id.as_deref().unwrap_or_default())
            .and_then(|()| Invocation::of_line(&typed, &self.rules.plan));
        let meant = check_run(run_id.as_deref(), &self.run_id);
        let names = self.names.clone();
        let reply: AnswerFn = Box::new(move |answer| done(UnrenderedAnswer { answer, names }));
        let line = printable_line(&typed);
        // What holds a token is refused by now, and goes no further.
        let cmd_id = if holds_token(&cmd_id) { REDACTED.to_owned() } else { cmd_id };
        let submission = Submission { caller, cmd_id, dry_run, query, secret, meant, expires_ms, line, command, reply };
        match &submission.caller {
            Caller::Session(_) => Some(submission),
            Caller::Remote(remote) => match submission.permitted(&remote.session, Some((remote, has_id))) {
                Ok(()) => Some(submission),
                Err(error) => {
                    self.refuse(submission, error);
                    None
                }
            },
        }
    }

    /// Answers a request for which there is no room. It leaves nothing in the audit log.
    pub(super) fn turn_away(&self, submission: Submission, error: ErrorBody) {
        let Submission { cmd_id, line, reply, .. } = submission;
        reply(Answer::new(cmd_id, line, self.progress.tick.load(Ordering::Relaxed), Err(error)));
    }

    /// Refuses a request of a remote caller.
    fn refuse(&self, submission: Submission, error: ErrorBody) {
        let quiet = submission.is_quiet();
        let Caller::Remote(RemoteCaller { session, .. }) = &submission.caller else { return };
        let who = session.clone();
        let tick = self.progress.tick.load(Ordering::Relaxed);
        let (context, reply) = submission.into_refused(NO_SESSION, who);
        if !quiet {
            self.records.write(context.level, context.refusal(&self.rules.config.config_id, tick, &error));
        }
        reply(context.answer(tick, Err(error)));
    }
}

impl Submission {
    /// Whether it leaves nothing in the audit log: a dry run or a query.
    pub(super) const fn is_quiet(&self) -> bool {
        self.dry_run || self.query
    }

    /// Refuses what was not understood or what the sender may not do. A remote caller is named with whether it gave a `cmd_id`.
    pub(super) fn permitted(&self, who: &Session, remote: Option<(&RemoteCaller, bool)>) -> Result<(), ErrorBody> {
        let Invocation { spec, operation, .. } = self.command.as_ref().map_err(Clone::clone)?;
        check_role(who, spec).map_err(|refusal| match remote {
            Some((remote, _)) => remote.explained(refusal),
            None => refusal,
        })?;
        if let Some((remote, has_id)) = remote {
            remote.check(spec, self.dry_run, has_id)?;
        }
        check_query(spec, self.query && !self.dry_run)?;
        self.meant.clone()?;
        operation.as_ref().map(drop).map_err(Clone::clone)
    }

    /// The refused command as the audit log names it, and its sender. What was typed is kept, so that the log says what was
    /// refused.
    pub(super) fn into_refused(self, session: u64, who: Session) -> (CommandContext, AnswerFn) {
        let Self { caller, cmd_id, line, command, reply, .. } = self;
        let (name, line, args) = if let Ok(Invocation { spec, line, args, .. }) = command {
            (spec.name.as_str(), line, args)
        } else {
            let args = json!({ "line": line });
            ("?", line, args)
        };
        let context = CommandContext { session, level: caller.level(), who, cmd_id, name, line, args };
        (context, reply)
    }
}

fn check_role(who: &Session, spec: &CommandSpec) -> Result<(), ErrorBody> {
    if allowed(who, spec) {
        return Ok(());
    }
    let message = format!("`{}` needs the {} role.", spec.name, spec.role.word());
    let hint = if who.transport == HTTP_TRANSPORT {
        "Run `escalate` first, or send the command with an admin token: `--token-file` or TOWNLET_TOKEN."
    } else {
        "Run `escalate` first."
    };
    Err(error("E_FORBIDDEN", message, hint))
}

fn check_query(spec: &CommandSpec, query: bool) -> Result<(), ErrorBody> {
    if query && spec.effect != townlet_wire::Effect::Read {
        return Err(error("E_INVALID_ARG", "a query may only read.", "Send it as a command."));
    }
    Ok(())
}

/// The clock by which requests expire, in milliseconds since 1970.
pub fn clock_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}

/// Refuses what came too late: its sender may have given it up, or decided otherwise.
pub(super) fn check_time(expires_ms: Option<u64>) -> Result<(), ErrorBody> {
    let Some(late) = expires_ms.and_then(|at| clock_ms().checked_sub(at)) else { return Ok(()) };
    let message = format!("the request expired {:.1} s before the shard came to it.", late as f64 / 1e3);
    Err(error("E_EXPIRED", message, "Nothing was changed. Send it as a new command if it is still wanted."))
}

/// Refuses what was meant for another run, such as a command that waited for the connection while the shard was started anew.
fn check_run(meant: Option<&str>, this: &str) -> Result<(), ErrorBody> {
    match meant {
        Some(meant) if meant != this => Err(ErrorBody::other_run(&escape(meant), this)),
        _ => Ok(()),
    }
}

/// Refuses ids that would read otherwise in the audit log, by which they are known after a restart, or break the
/// operators' tables; and fields that hold a token, which would be kept.
fn check(cmd_id: &str, line: &str, run_id: &str) -> Result<(), ErrorBody> {
    for (field, name) in [(cmd_id, "cmd_id"), (run_id, "run_id")] {
        if holds_token(field) {
            let hint = "Send it as `Authorization: Bearer`. Revoke the token that was shown.";
            return Err(error("E_INVALID_ARG", format!("a token has no place in `{name}`."), hint));
        }
    }
    if !is_id(cmd_id) {
        let hint = format!("Use a UUIDv7, or 1 to {MAX_ID} plain characters without blanks or `|`.");
        return Err(error("E_INVALID_ARG", "this is no cmd_id.", hint));
    }
    if holds_token(line) {
        let hint = "Type `escalate` alone and enter the token when asked. Revoke the token that was shown.";
        return Err(error("E_INVALID_ARG", "a token has no place in a command line.", hint));
    }
    Ok(())
}

/// Whether a text can be a `cmd_id`: 1 to 128 plain characters without blanks or `|`.
pub fn is_id(cmd_id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'|';
    !cmd_id.is_empty() && cmd_id.len() <= MAX_ID && cmd_id.bytes().all(plain)
}

/// A line as answers and logs may show it: without tokens and control characters.
pub fn printable_line(line: &str) -> String {
    if holds_token(line) {
        return String::from("(a line with a token)");
    }
    escape(line).chars().take(command_line::MAX_LINE).collect()
}

/// An answer with every control character written out: it repeats what was typed.
pub(super) fn escaped(mut answer: Answer) -> Answer {
    answer.command = escape(&answer.command);
    if let Some(error) = &mut answer.error {
        error.message = escape(&error.message);
        error.hint = escape(&error.hint);
    }
    answer
}
