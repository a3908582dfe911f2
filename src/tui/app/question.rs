//! What is open over a pane follows the state: figures and names are those of now, what is gone is not asked for, and nothing
//! that was asked or typed for one run goes to another.
//! Rule: "Operator actions".

use std::fmt::Write as _;

use super::{App, PaneState, RequestPurpose, Task};
use crate::connection;
use crate::format::clip_middle;
use crate::keymap::Action;
use crate::overlay::ClosedDialog;
use crate::pane::Reaction;
use townlet_wire::{Answer, Request};

const CHANGED: &str = "what it asked about has changed";
/// Columns of a shard's name in the title of a question.
const NAME: usize = 28;

impl App {
    /// Notes which pane and action asked the question that is open, if one is.
    pub(super) fn note_question(&mut self, index: usize, action: Action) {
        if let Some(overlay) = &mut self.overlay {
            overlay.set_origin((index, action));
        }
    }

    /// Closes what was asked or typed for the run before.
    pub(super) fn close_for_another_run(&mut self, run_id: &str) {
        let asks = self.overlay.as_ref().is_some_and(|overlay| overlay.asks_about_the_town());
        if asks {
            self.close_with(format!("the shard runs {run_id} now; the question about the run before is closed"));
        } else if std::mem::take(&mut self.line_open) && !self.line.text().trim().is_empty() {
            let line = self.line.text().trim().to_owned();
            // It stays among the lines of this session, where the operator can take it again for this run.
            self.line.remember(&line);
            self.line.open("", &[]);
            self.close_with(format!("the shard runs {run_id} now; the line for the run before is closed, ↑ has it"));
        }
    }

    /// Puts a word in place of what was open, so that no key that was meant for it does anything else.
    fn close_with(&mut self, why: String) {
        self.overlay = Some(Box::new(ClosedDialog::new(why.clone())));
        self.set_status(why);
    }

    /// Asks again what the line of an open question would do now, once at a time.
    pub(super) fn renew_typed_question(&mut self) {
        let Some(line) = self.overlay.as_ref().and_then(|overlay| overlay.typed_line()) else { return };
        let purpose = RequestPurpose::Question(line.to_owned());
        self.question_is_old = self.waiting.values().any(|waiting| waiting.purpose == purpose);
        if !self.question_is_old {
            let request = self.for_this_run(Request::preview(line));
            self.tasks.push(Task::Send(request, purpose));
        }
    }

    /// Takes what the line of an open question would do now; closes the question when it would do nothing.
    pub(super) fn answer_question(&mut self, line: &str, answer: &Answer) {
        let Some(overlay) = self.overlay.as_mut().filter(|overlay| overlay.typed_line() == Some(line)) else { return };
        match &answer.error {
            None => overlay.renew_effect(answer.summary()),
            // Not known is not the same as refused.
            Some(error) if matches!(error.code.as_str(), "E_UNREACHABLE" | "E_RATE_LIMITED" | "E_TIMEOUT") => {}
            Some(_) => return self.close_with(format!("the question is closed: {}", answer.summary())),
        }
        if std::mem::take(&mut self.question_is_old) {
            self.renew_typed_question();
        }
    }

    /// Asks the open question again in the present state, or closes it when it would be about something else.
    pub(super) fn renew_question(&mut self) {
        self.renew_typed_question();
        let Some((index, action)) = self.overlay.as_ref().and_then(|overlay| overlay.origin()) else { return };
        let Some(view) = self.view.clone() else { return };
        let mut panes = std::mem::take(&mut self.panes);
        let PaneState { pane, filter, .. } = &mut panes[index];
        let cx = self.context(&view, filter, true);
        let hint = pane.bindings(&cx).into_iter().find(|hint| hint.action == action);
        let reaction = match hint.map(|hint| hint.enabled) {
            Some(Err(why)) => Reaction::Status(why),
            _ => pane.act(action, &cx),
        };
        self.panes = panes;
        if let Some(overlay) = self.overlay.as_mut().filter(|overlay| !overlay.asks_about_the_town()) {
            return overlay.renew_details(match reaction {
                Reaction::ShowDetail(card) => Some(card),
                _ => None,
            });
        }
        let why = match reaction {
            Reaction::Confirm(mut asked) => {
                asked.title = self.titled(&asked.title);
                if self.overlay.as_mut().is_some_and(|overlay| overlay.renew(asked)) {
                    return;
                }
                CHANGED.to_owned()
            }
            Reaction::Status(why) => why,
            _ => CHANGED.to_owned(),
        };
        self.close_with(format!("the question is closed: {why}"));
    }

    /// The title of a question; where several shards are watched, with the name of this one. While the screen is behind, the
    /// figures of the question are as old.
    pub(super) fn titled(&self, title: &str) -> String {
        let mut titled = title.to_owned();
        if let Some(label) = self.label.as_ref().filter(|_| self.fleet) {
            let _ = write!(titled, " · {}", clip_middle(&label.name, NAME));
        }
        if let Some(age) = connection::data_age(&self.link) {
            let _ = write!(titled, " · as of {age} ago");
        }
        titled
    }
}
