//! The reason of a command: when it is asked for, and the reasons given before. Rule: "Operator actions".

use super::App;
use crate::overlay::ConfirmDialog;
use crate::pane::{Confirmation, ReasonPrompt};
use townlet_wire::{Request, command_line};

/// Reasons offered at most.
const MAX_REASONS: usize = 20;

impl App {
    /// Opens the confirmation, with a field for the reason if the commands take one, or sends at once if nothing is asked.
    pub(super) fn confirm(&mut self, mut asked: Confirmation) {
        if asked.requests.is_empty() {
            return self.set_status("nothing is selected");
        }
        if let Some(why) = self.past_refusal().map(str::to_owned) {
            return self.set_status(why);
        }
        asked.title = self.titled(&asked.title);
        let command = asked.requests.first().and_then(|request| self.command_with_reason(request));
        let Some(command) = command.map(|(name, _)| name) else {
            self.overlay = Some(Box::new(ConfirmDialog::new(asked)));
            return;
        };
        if asked.only_reason && self.settings.reason == ReasonPrompt::Optional {
            return self.send(asked.requests);
        }
        let given = self.given_reasons();
        if asked.reason.is_empty() {
            let same = given.iter().find(|(name, _)| *name == command);
            asked.reason = same.map_or_else(String::new, |(_, reason)| reason.clone());
        }
        let mut history: Vec<String> = Vec::new();
        for (_, reason) in given {
            if history.len() < MAX_REASONS && !history.contains(&reason) {
                history.push(reason);
            }
        }
        self.overlay = Some(Box::new(ConfirmDialog::with_reason(asked, self.settings.reason, history)));
    }

    /// Whether a typed command has no reason although one is required.
    pub(super) fn lacks_reason(&self, request: &Request) -> bool {
        let reason = self.command_with_reason(request).map(|(_, reason)| reason.unwrap_or_default());
        self.settings.reason == ReasonPrompt::Required && reason.is_some_and(|reason| reason.trim().is_empty())
    }

    /// Keeps the reason of commands that are sent.
    pub(super) fn keep_reason(&mut self, requests: &[Request]) {
        let given = requests.first().and_then(|request| self.command_with_reason(request));
        if let Some((command, Some(reason))) = given {
            self.reasons.push((command, reason));
        }
    }

    /// Name and reason of a command that takes a reason.
    fn command_with_reason(&self, request: &Request) -> Option<(String, Option<String>)> {
        let parsed = command_line::parse(&self.hello.commands, &request.command).ok()?;
        let takes = parsed.spec.args.iter().any(|arg| arg.flag && arg.name == "reason");
        takes.then(|| (parsed.spec.name.clone(), parsed.args()["reason"].as_str().map(str::to_owned)))
    }

    /// Reasons of this session and of the audit log as far as it is shown, newest first, with the names of their commands.
    fn given_reasons(&self) -> Vec<(String, String)> {
        let rows = self.view.iter().flat_map(|view| view.audit.records.iter().rev());
        let logged =
            rows.filter_map(|row| Some((row.command.clone(), row.reason.clone().filter(|text| !text.is_empty())?)));
        self.reasons.iter().rev().cloned().chain(logged).collect()
    }
}
