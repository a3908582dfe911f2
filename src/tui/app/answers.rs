//! Handling of answers: a preview on the console line, or an entry in the log and a status message.

use std::fmt::Write as _;

use super::{App, RequestPurpose, StatusMessage, Task, Tone, short_cmd_id};
use crate::console::input_history::given_up_line;
use crate::format::thousands;
use townlet_wire::Answer;

impl App {
    pub(super) fn handle_answer(&mut self, answer: Answer) {
        // An answer in flight is followed by the final one.
        let waited = if is_in_flight(&answer) {
            self.waiting.get_mut(&answer.cmd_id).map(|waiting| {
                waiting.in_flight = true;
                waiting.clone()
            })
        } else {
            self.waiting.remove(&answer.cmd_id)
        };
        if answer.error.as_ref().is_some_and(|error| error.code == "E_GIVEN_UP") {
            let line = given_up_line(&answer.command, &answer.cmd_id);
            self.tasks.push(Task::Remember(line));
        }
        self.refresh_overlay();
        let (purpose, role) =
            waited.map_or((RequestPurpose::Execute, self.session.role), |waiting| (waiting.purpose, waiting.role));
        match purpose {
            RequestPurpose::Preview(text) => self.line.set_preview(&text, Ok(answer)),
            RequestPurpose::Execute => {
                if self.is_pace_command(&answer.command) {
                    self.pace_answered(&answer);
                }
                if !(answer.error.is_none() && self.is_pace_command(&answer.command)) {
                    self.status = Some(status(&answer));
                }
                self.log.push(answer, role);
            }
        }
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
    if let Some(tick) = answer.shard_tick() {
        let _ = write!(text, " · tick {}", thousands(tick));
    }
    let _ = write!(text, " · {}", short_cmd_id(&answer.cmd_id));
    if !answer.audit.is_empty() {
        let _ = write!(text, " · logged {}", answer.audit);
    }
    StatusMessage { text, tone }
}
