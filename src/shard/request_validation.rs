//! What a request may carry at all, before anybody reads it as a command: an id that reads the same everywhere, and no
//! token in the open. And what somebody from afar must bring besides.
//!
//! Knows text only. Rules: "Idempotent retries", "Roles and identity", "HTTP service".

use super::command_table::error;
use townlet_wire::escape;
use townlet_wire::service::is_older;
use townlet_wire::{Answer, CommandSpec, ErrorBody, Request, Role, SCHEMA_VERSION, Session, command_line};

/// Longest `cmd_id` taken, in bytes.
const MAX_ID: usize = 128;

/// The transport of whoever asks over a network.
pub(super) const HTTP_TRANSPORT: &str = "http";

/// Somebody who asks over a network, with each request anew: the shard keeps no session of theirs.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Who, as what; the transport is `http`.
    pub session: Session,
    /// The schema their program speaks; `None` when it did not say.
    pub schema: Option<String>,
}

impl Visitor {
    /// Somebody with this name in the log and this role.
    pub fn new(issuer: String, role: Role, schema: Option<String>) -> Self {
        Self { session: Session { issuer, role, transport: HTTP_TRANSPORT.into(), owner: false }, schema }
    }
}

/// Refuses from afar what could not be retried safely, and what an older program may not mean.
pub(super) fn check_remote_request(visitor: &Visitor, spec: &CommandSpec, request: &Request) -> Result<(), ErrorBody> {
    if !spec.mutating || request.dry_run {
        return Ok(());
    }
    if let Some(theirs) = visitor.schema.as_deref().filter(|theirs| is_older(theirs)) {
        let message = format!("your program speaks schema {}, this shard {SCHEMA_VERSION}.", escape(theirs));
        return Err(error("E_SCHEMA_OLD", message, "Upgrade it before you command; looking still works."));
    }
    if request.cmd_id.is_none() {
        let message = format!("`{}` changes something and needs a cmd_id.", spec.name);
        return Err(error("E_CMD_ID_REQUIRED", message, "Make a UUIDv7, and send a retry with the same one."));
    }
    Ok(())
}

/// From afar only a token makes an admin; whoever brought one has its role already.
pub(super) fn check_remote_escalation(who: &Session) -> Result<(), ErrorBody> {
    match who.role {
        Role::Admin => Ok(()),
        Role::Viewer => {
            let hint =
                "Give it when `escalate` asks, or bring it as `Authorization: Bearer`; `townlet token new` makes one.";
            Err(error("E_FORBIDDEN", "from afar only an admin token makes an admin.", hint))
        }
    }
}

/// Refuses ids that would read otherwise in the audit log, by which they are known after a restart, or break the
/// operators' tables; and lines that hold a token, which would be kept.
pub(super) fn fit(cmd_id: &str, line: &str) -> Result<(), ErrorBody> {
    if !is_id(cmd_id) {
        let hint = format!("Make a UUIDv7; 1 to {MAX_ID} plain characters without blanks or `|` will do.");
        return Err(error("E_INVALID_ARG", "this is no cmd_id.", hint));
    }
    if holds_token(line) {
        let hint = "Type `escalate` alone and give the token when asked; revoke the one that was shown.";
        return Err(error("E_INVALID_ARG", "a token has no place in a command line.", hint));
    }
    Ok(())
}

/// Whether a text can be a `cmd_id`: 1 to 128 plain characters without blanks or `|`.
pub fn is_id(cmd_id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'|';
    !cmd_id.is_empty() && cmd_id.len() <= MAX_ID && cmd_id.bytes().all(plain)
}

/// A line as answers and the log show it.
pub(super) fn shown(line: &str) -> String {
    if holds_token(line) {
        return String::from("(a line with a token)");
    }
    escape(line).chars().take(command_line::MAX_LINE).collect()
}

/// An answer as it may leave: what was typed comes back in it, and may have held escapes.
pub(super) fn outgoing(mut answer: Answer) -> Answer {
    answer.command = escape(&answer.command);
    if let Some(error) = &mut answer.error {
        error.message = escape(&error.message);
        error.hint = escape(&error.hint);
    }
    answer
}

fn holds_token(line: &str) -> bool {
    line.contains("twn_")
}
