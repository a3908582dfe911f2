//! What a request may carry at all, before anybody reads it as a command: an id that reads the same everywhere, and no
//! token in the open.
//!
//! Knows text only. Rules: "`cmd_id`", "Roles and identity".

use super::table::error;
use crate::wire::text::escape;
use crate::wire::{ErrorBody, line};

/// Longest `cmd_id` taken, in bytes.
const MAX_ID: usize = 128;

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
    escape(line).chars().take(line::MAX_LINE).collect()
}

fn holds_token(line: &str) -> bool {
    line.contains("twn_")
}
