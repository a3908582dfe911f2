//! A request on its way to the town's thread: checked, and its line read once into an operation, on the caller's thread.
//!
//! Rules: "Idempotent retries", "Roles and identity", "HTTP service".

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use townlet_town::Rules;
use townlet_wire::service::is_older;
use townlet_wire::{
    Answer, CommandSpec, ErrorBody, REDACTED, Request, Role, SCHEMA_VERSION, Session, command_line, escape, holds_token,
};

use super::command_table::{Invocation, error};
use super::privacy::PrivacyFilter;

/// Longest `cmd_id` taken, in bytes.
const MAX_ID: usize = 128;

/// The transport of sessions over a network.
pub(super) const HTTP_TRANSPORT: &str = "http";

pub(super) type AnswerFn = Box<dyn FnOnce(Answer) + Send>;

/// A caller over a network, who sends its identity with each request: the shard keeps no session of it.
#[derive(Clone, Debug)]
pub struct RemoteCaller {
    /// Its name and role; the transport is `http`.
    pub session: Session,
    /// The schema its program speaks; `None` when it did not say.
    pub schema: Option<String>,
    /// Why its token grants reading only for now, as a sentence with what to do; `None` when it grants its role.
    pub read_only: Option<(String, String)>,
}

impl RemoteCaller {
    /// A caller with this name in the log and this role.
    pub fn new(issuer: String, role: Role, schema: Option<String>) -> Self {
        let session = Session { issuer, role, transport: HTTP_TRANSPORT.into(), owner: false };
        Self { session, schema, read_only: None }
    }

    /// The refusal of its role, which names why the role is less than that of its token.
    pub(super) fn explained(&self, refusal: ErrorBody) -> ErrorBody {
        match &self.read_only {
            Some((why, hint)) => error("E_FORBIDDEN", why, hint),
            None => refusal,
        }
    }

    /// Refuses a change that could not be retried safely, or whose meaning an older program may not know.
    pub(super) fn check(&self, spec: &CommandSpec, dry_run: bool, has_id: bool) -> Result<(), ErrorBody> {
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

pub(super) struct Submission {
    pub caller: Caller,
    /// As sent, or made here.
    pub cmd_id: String,
    pub has_id: bool,
    pub dry_run: bool,
    pub query: bool,
    pub secret: Option<String>,
    /// The run it is meant for.
    pub run_id: Option<String>,
    /// The line as answers and the log may show it.
    pub line: String,
    pub command: Result<Invocation, ErrorBody>,
    pub reply: AnswerFn,
}

/// What it takes to read a command line; none of it belongs to the town's thread.
pub(super) struct CommandReader {
    /// The rules at the start: their plan never changes.
    pub rules: Arc<Rules>,
    /// The key of hashed ids, which may be typed in place of ids.
    pub names: PrivacyFilter,
    /// How many residents have arrived so far.
    pub arrived: Arc<AtomicU64>,
}

impl CommandReader {
    pub(super) fn read(&self, caller: Caller, request: Request, reply: AnswerFn) -> Submission {
        let Request { command, cmd_id, dry_run, query, secret, run_id } = request;
        let typed = self.names.resolve_pseudonyms(&command, self.arrived.load(Ordering::Relaxed) as u32);
        let has_id = cmd_id.is_some();
        let cmd_id = cmd_id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let command = check(&cmd_id, &typed, run_id.as_deref().unwrap_or_default())
            .and_then(|()| Invocation::of_line(&typed, &self.rules.plan));
        let line = printable_line(&typed);
        // What holds a token is refused by now, and goes no further.
        let cmd_id = if holds_token(&cmd_id) { REDACTED.to_owned() } else { cmd_id };
        Submission { caller, cmd_id, has_id, dry_run, query, secret, run_id, line, command, reply }
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
