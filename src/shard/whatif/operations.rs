//! The commands `whatif` and `whatif_cancel`: a copy of the town between two ticks, made ready on the disk thread, into the line.

use std::sync::Arc;

use serde_json::json;
use townlet_audit::{Lookup, fingerprint};
use townlet_wire::whatif::WhatIfProgress;
use townlet_wire::{ErrorBody, Session, count, thousands};

use super::line::is_over;
use super::{Asked, Prepared};
use crate::admission::Admission;
use crate::command_table::error;
use crate::commands::whatif::{in_words, unknown};
use crate::engine::{Engine, Message};
use crate::execution::Applied;
use crate::operation::Operation;
use crate::policies::PolicyCatalog;

/// What a command does to the line of questions.
pub(crate) enum WhatIfOperation {
    /// Asks; `None` until the copies are made.
    Ask(Asked, Option<Result<Box<Prepared>, ErrorBody>>),
    /// Cancels the question with this id, or the newest of the sender that is not over.
    Cancel(Option<String>),
}

impl Engine {
    /// Copies the town for a question, and makes it ready away from the town's thread. A retry of one that was asked is answered
    /// without it.
    pub(crate) fn prepare_question(&mut self, mut admission: Admission) {
        let Operation::WhatIf(WhatIfOperation::Ask(asked, None)) = &admission.operation else {
            return self.admit(admission);
        };
        let print = fingerprint(admission.context.name, &admission.context.args);
        let is_retry = !admission.dry_run && self.look_up(&admission.context, &print) != Lookup::New;
        if is_retry || self.check_may_ask(asked, &admission.context.who).is_err() {
            return self.admit(admission);
        }
        let asked = asked.clone();
        let (town, driver) = (self.town.clone(), self.driver.clone());
        let policies = PolicyCatalog::of(self.home.folder(), &self.town.rules().config.policy);
        let run = self.status.run_id.clone();
        let question = asked.clone();
        self.on_disk(
            move || Prepared::new(&town, &driver, &policies, &run, &question).map(Box::new),
            move |prepared| {
                let lost = |why| Err(error("E_IO", format!("{why}."), "Send the command again."));
                let prepared = Some(prepared.unwrap_or_else(lost));
                admission.operation = Operation::WhatIf(WhatIfOperation::Ask(asked, prepared));
                Message::Admit(Box::new(admission))
            },
        );
    }

    /// Checks the limits on questions.
    fn check_may_ask(&self, asked: &Asked, who: &Session) -> Result<(), ErrorBody> {
        let limits = &self.town.rules().config.whatif;
        let (most, role) =
            if who.is_admin() { (limits.admin_days, "an admin") } else { (limits.viewer_days, "a viewer") };
        let lived = asked.lived_days();
        if lived > u64::from(most) {
            let copies = asked.alternatives.len() + 1;
            let message = format!(
                "{copies} × {} samples of {} are {} days; {role} may ask for {} at once.",
                asked.samples,
                count(asked.days.get().into(), "day"),
                thousands(lived),
                thousands(most.into())
            );
            let hint = match most {
                0 => "Run `escalate` first.",
                _ => "Ask with fewer `--samples`, `--days` or alternatives.",
            };
            return Err(error("E_FORBIDDEN", message, hint));
        }
        let length = self.questions.length();
        if length > limits.waiting as usize {
            let message = format!("{} wait already.", count(length as u64 - 1, "question"));
            return Err(error("E_CONFLICT", message, "Wait for an answer, or cancel one: `whatif_status` lists them."));
        }
        Ok(())
    }

    /// What an operation comes to, from the state before it.
    pub(crate) fn describe_what_if(&self, operation: &WhatIfOperation, who: &Session) -> Result<String, ErrorBody> {
        match operation {
            WhatIfOperation::Ask(asked, prepared) => {
                self.check_may_ask(asked, who)?;
                match prepared {
                    Some(Err(why)) => Err(why.clone()),
                    Some(Ok(prepared)) => {
                        let answer = prepared.unanswered();
                        let alternatives = count(answer.alternatives.len() as u64, "alternative");
                        Ok(format!(
                            "{}: {alternatives} beside nothing, from tick {}, {} samples of {}.",
                            answer.id,
                            answer.tick,
                            answer.samples,
                            count(answer.days.into(), "day")
                        ))
                    }
                    None => Err(error("E_CONFLICT", "the copies are no longer in memory.", "Send the command again.")),
                }
            }
            WhatIfOperation::Cancel(id) => {
                let found = self.question_to_cancel(id.as_deref(), who)?;
                Ok(format!("{} is cancelled; {}.", found.answer.id, in_words(&found)))
            }
        }
    }

    /// A question that the sender may cancel.
    fn question_to_cancel(&self, id: Option<&str>, who: &Session) -> Result<Arc<WhatIfProgress>, ErrorBody> {
        let Some(id) = id else {
            let hint = "Name one: `whatif_status` lists them.";
            let own = self.questions.progress().into_iter().rfind(|it| it.issuer == who.issuer && !is_over(it.state));
            return own.ok_or_else(|| error("E_NOT_FOUND", "no question of yours is open.", hint));
        };
        let found = self.questions.find(id).ok_or_else(|| unknown(id))?;
        if !who.is_admin() && found.issuer != who.issuer {
            let message = format!("{id} was asked by {}.", found.issuer);
            return Err(error("E_FORBIDDEN", message, "Run `escalate` first."));
        }
        if is_over(found.state) {
            let message = format!("{id} has ended: {}.", in_words(&found));
            return Err(error("E_CONFLICT", message, "There is nothing to cancel."));
        }
        Ok(found)
    }

    /// The intent is durable: asks or cancels.
    pub(crate) fn do_what_if(&mut self, who: &Session, operation: WhatIfOperation) -> Applied {
        let summary = self.describe_what_if(&operation, who)?;
        let progress = match operation {
            WhatIfOperation::Ask(_, Some(Ok(prepared))) => self.questions.add(prepared, &who.issuer),
            WhatIfOperation::Ask(..) => return Err(unknown("")),
            WhatIfOperation::Cancel(id) => {
                let found = self.question_to_cancel(id.as_deref(), who)?;
                self.questions.cancel(&found.answer.id);
                return Ok((json!({ "summary": summary, "id": found.answer.id }), None));
            }
        };
        let summary = format!("{summary} Now {}.", in_words(&progress));
        let id = &progress.answer.id;
        Ok((json!({ "summary": summary, "id": id, "state": progress.state, "ahead": progress.ahead }), None))
    }
}
