//! Commands that were asked for and have no answer yet: their count, their list, and the question before quitting.

use super::{App, RequestPurpose, Task};
use crate::console::input_history::given_up_line;
use crate::format::{count, thousands};
use crate::overlay::{ConfirmDialog, UnconfirmedDialog};
use crate::pane::Confirmation;
use townlet_source::{Link, UnconfirmedCommand};
use townlet_wire::{Request, Role, command_line};

/// A request that is waited for.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) purpose: RequestPurpose,
    /// Role of the session when it was sent.
    pub(super) role: Role,
    /// Its line.
    pub(super) command: String,
    /// Whether the shard has said that it is under way.
    pub(super) in_flight: bool,
}

impl Waiting {
    pub(super) fn new(request: &Request, purpose: RequestPurpose, role: Role) -> Self {
        Self { purpose, role, command: request.command.clone(), in_flight: false }
    }
}

impl App {
    /// The commands without an answer that the operator should know of, oldest first: those that the source reports, and those
    /// of which the shard has said that they are under way.
    pub(crate) fn unconfirmed(&self) -> Vec<UnconfirmedCommand> {
        let mut list = self.late.clone();
        let under_way = self.waiting.iter().filter(|(_, waiting)| waiting.in_flight);
        list.extend(
            under_way.filter(|(id, _)| self.late.iter().all(|late| late.cmd_id != **id)).map(under_way_command),
        );
        list
    }

    /// The commands that quitting would give up: also those that were sent a moment ago. A town of this process answers
    /// everything before it ends.
    fn given_up_by_quitting(&self) -> Vec<UnconfirmedCommand> {
        if matches!(self.link, Link::Local | Link::Recorded) {
            return Vec::new();
        }
        let mut list = self.late.clone();
        let changes =
            |command: &str| command_line::parse(&self.hello.commands, command).is_ok_and(|parsed| parsed.spec.mutating);
        let sent = self.waiting.iter().filter(|(id, waiting)| {
            waiting.purpose == RequestPurpose::Execute
                && changes(&waiting.command)
                && self.late.iter().all(|late| late.cmd_id != **id)
        });
        list.extend(sent.map(under_way_command));
        list
    }

    /// Whether quitting has to be asked for first.
    pub(crate) fn has_unconfirmed(&self) -> bool {
        !self.given_up_by_quitting().is_empty()
    }

    /// `2 commands not confirmed`, or `2 not confirmed` where space is `short`; `None` without any.
    pub(super) fn unconfirmed_count(&self, short: bool) -> Option<String> {
        let number = self.unconfirmed().len() as u64;
        let what = if short { number.to_string() } else { count(number, "command") };
        (number > 0).then(|| format!("{what} not confirmed"))
    }

    /// Shows the commands that are not confirmed.
    pub(super) fn open_unconfirmed(&mut self) {
        let list = self.unconfirmed();
        if list.is_empty() {
            return self.set_status("every command is confirmed");
        }
        self.overlay = Some(Box::new(UnconfirmedDialog::list(list)));
    }

    /// Quits, or asks first when that would give up commands or ticks. A screen that shows nothing asks in its own words.
    pub(crate) fn quit(&mut self) {
        let (list, not_saved, steps) = (self.given_up_by_quitting(), self.not_saved(), self.steps_left());
        let asks = !list.is_empty() || !not_saved.is_empty() || steps.is_some();
        if !asks || (self.too_small && self.quit_asked) {
            return self.tasks.push(Task::Quit);
        }
        self.quit_asked = true;
        if self.too_small {
            return;
        }
        self.overlay = Some(if list.is_empty() {
            let title = if not_saved.is_empty() { "Quit?" } else { "Quit without saving?" };
            let steps = steps.map(|(left, all)| format!("{} of {} are not done.", thousands(left), count(all, "step")));
            let text = not_saved.into_iter().chain(steps).collect();
            let (title, verb) = (title.to_owned(), "quit".to_owned());
            let confirmation = Confirmation { title, text, verb, quits: true, ..Confirmation::default() };
            Box::new(ConfirmDialog::new(confirmation))
        } else {
            Box::new(UnconfirmedDialog::quitting(list))
        });
    }

    /// What a town of this process cannot write now, and what is lost by quitting; empty when it writes everything. What has an
    /// alert of its own is not about its files.
    fn not_saved(&self) -> Vec<String> {
        let Some(view) = self.live_view().filter(|_| self.link == Link::Local && self.ended.is_none()) else {
            return Vec::new();
        };
        let alerts = |problem: &&String| {
            view.alerts.iter().all(|alert| alert.message != **problem || alert.name == "shard_degraded")
        };
        let mut text: Vec<String> = view.health.problems.iter().filter(alerts).cloned().collect();
        if !text.is_empty() {
            let kept = view.health.journal_tick;
            text.push(format!(
                "A restart goes on from tick {} or before; the town is at {}.",
                thousands(kept),
                thousands(view.tick)
            ));
        }
        text
    }

    /// How many of how many steps a town of this process has still to do. They end with it.
    fn steps_left(&self) -> Option<(u64, u64)> {
        let view = self.live_view().filter(|_| self.link == Link::Local && self.ended.is_none())?;
        let steps = view.clock.stepping.as_ref().filter(|steps| steps.done < steps.total)?;
        Some((steps.total - steps.done, steps.total))
    }

    /// Whether the question before quitting is open.
    pub(crate) fn is_asking_to_quit(&self) -> bool {
        self.quit_asked
    }

    /// What a screen that is too small says after the first key to quit.
    pub(super) fn quit_question(&self) -> Option<String> {
        let number = self.given_up_by_quitting().len() as u64;
        if !self.quit_asked {
            return None;
        }
        if number > 0 {
            return Some(format!("{} not confirmed; again gives up", count(number, "command")));
        }
        let not_saved = (!self.not_saved().is_empty()).then(|| "the town is not saved; again quits".to_owned());
        not_saved.or_else(|| self.steps_left().map(|(left, _)| format!("{} left; again quits", count(left, "step"))))
    }

    /// The lines of the commands that quitting gives up, with their ids, for the file of the console history.
    pub(crate) fn given_up_lines(&self) -> Vec<String> {
        self.given_up_by_quitting().iter().map(|command| given_up_line(&command.command, &command.cmd_id)).collect()
    }

    pub(super) fn set_unconfirmed(&mut self, list: Vec<UnconfirmedCommand>) {
        self.late = list;
        self.refresh_overlay();
    }

    /// Tells an open dialog which commands are not confirmed now.
    pub(super) fn refresh_overlay(&mut self) {
        let list = self.unconfirmed();
        if let Some(overlay) = &mut self.overlay {
            overlay.update(&list);
        }
    }
}

fn under_way_command((id, waiting): (&String, &Waiting)) -> UnconfirmedCommand {
    UnconfirmedCommand {
        cmd_id: id.clone(),
        command: waiting.command.clone(),
        seconds: 0,
        retrying: true,
        maybe_received: true,
        expires_in: None,
        why: if waiting.in_flight { "The shard has it; the disk has not answered.".into() } else { String::new() },
    }
}
