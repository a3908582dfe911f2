//! Handling of answers: a preview on the console line, or an entry in the log and a status message.

use std::fmt::Write as _;

use super::{App, RequestPurpose, StatusMessage, Tone, short_cmd_id};
use crate::format::thousands;
use townlet_wire::{Answer, Effect, command_line};

impl App {
    pub(super) fn handle_answer(&mut self, answer: Answer) {
        // An answer in flight is followed by the final one.
        let waited = if is_in_flight(&answer) {
            self.waiting.get(&answer.cmd_id).cloned()
        } else {
            self.waiting.remove(&answer.cmd_id)
        };
        let (purpose, role) = waited.unwrap_or((RequestPurpose::Execute, self.session.role));
        match purpose {
            RequestPurpose::Preview(text) => self.line.set_preview(&text, answer),
            RequestPurpose::Execute => {
                if !(answer.error.is_none() && self.is_pace_command(&answer.command)) {
                    self.status = Some(status(&answer));
                }
                self.log.push(answer, role);
            }
        }
    }

    /// Whether the effect is visible in the header anyway.
    fn is_pace_command(&self, command: &str) -> bool {
        command_line::parse(&self.hello.commands, command).is_ok_and(|parsed| parsed.spec.effect == Effect::Pace)
    }
}

/// Whether the command is neither executed nor refused yet.
fn is_in_flight(answer: &Answer) -> bool {
    answer.error.as_ref().is_some_and(|error| error.code == "E_IN_FLIGHT")
}

/// `✓ Ada leaves on the next tick · tick 3,403 · cmd 0192…7c · logs/console/run-1-0001.jsonl:4`.
fn status(answer: &Answer) -> StatusMessage {
    let (sign, tone) = match answer.error {
        Some(_) if is_in_flight(answer) => ("…", Tone::Plain),
        Some(_) => ("✗", Tone::Bad),
        None => ("✓", Tone::Good),
    };
    let mut text = format!("{sign} {}", answer.summary());
    if answer.replayed {
        text.push_str(" (already executed)");
    }
    let _ = write!(text, " · tick {} · {}", thousands(answer.tick), short_cmd_id(&answer.cmd_id));
    if !answer.audit.is_empty() {
        let _ = write!(text, " · logged {}", answer.audit);
    }
    StatusMessage { text, tone }
}
