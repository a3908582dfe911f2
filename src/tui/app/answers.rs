//! What becomes of an answer: a preview on the console line, or a line in the log and one above the keys.

use std::fmt::Write as _;

use super::{App, Purpose, Said, short_id, tone};
use crate::tui::text::thousands;
use crate::wire::{Answer, Effect, line};

impl App {
    pub(super) fn answered(&mut self, answer: Answer) {
        let (purpose, role) = self.waiting.remove(&answer.cmd_id).unwrap_or((Purpose::Done, self.session.role));
        match purpose {
            Purpose::Preview(text) => self.line.told(&text, answer),
            Purpose::Done => {
                if !(answer.error.is_none() && self.is_pace(&answer.command)) {
                    self.said = Some(Said { text: sentence(&answer), tone: tone(&answer) });
                }
                self.log.push(answer, role);
            }
        }
    }

    /// Pace shows in the header; saying it as well would be noise.
    fn is_pace(&self, command: &str) -> bool {
        line::parse(&self.hello.commands, command).is_ok_and(|parsed| parsed.spec.effect == Effect::Pace)
    }
}

/// `✓ Ada leaves on the next tick · tick 3,403 · cmd 0192…7c · logs/console/run-1-0001.jsonl:4`.
fn sentence(answer: &Answer) -> String {
    let sign = if answer.error.is_some() { "✗" } else { "✓" };
    let mut sentence = format!("{sign} {}", answer.summary());
    if answer.replayed {
        sentence.push_str(" (done before)");
    }
    let _ = write!(sentence, " · tick {} · {}", thousands(answer.tick), short_id(&answer.cmd_id));
    if !answer.audit.is_empty() {
        let _ = write!(sentence, " · logged {}", answer.audit);
    }
    sentence
}
