//! The sessions of this process: their roles, how they are notified, and the tokens that make an admin.
//!
//! Rule: "Roles and identity".

use std::collections::HashMap;

use townlet_wire::{Answer, ErrorBody, Role, Session};

use super::command_table::error;
use super::submission::HTTP_TRANSPORT;
use super::tokens::TokenStore;

/// The number of remote callers, who have no session: sessions are counted from 1.
pub(super) const NO_SESSION: u64 = 0;

/// What a session is sent beside the answers to its requests.
#[derive(Clone, Debug)]
pub enum SessionEvent {
    /// Its role has changed.
    RoleChanged(Session),
    /// Its command has waited for the disk for two seconds: `E_IN_FLIGHT`. It may still be carried out; its answer follows.
    InFlight(Answer),
}

pub(super) type NotifyFn = Box<dyn Fn(SessionEvent) + Send>;

pub(super) struct SessionTable {
    open: HashMap<u64, (Session, NotifyFn)>,
    /// The tokens that make an admin, when the configuration asks for them.
    tokens: Option<TokenStore>,
}

impl SessionTable {
    pub(super) fn new(tokens: Option<TokenStore>) -> Self {
        Self { open: HashMap::new(), tokens }
    }

    pub(super) fn open(&mut self, number: u64, session: Session, notify: NotifyFn) {
        self.open.insert(number, (session, notify));
    }

    pub(super) fn get(&self, number: u64) -> Option<&Session> {
        self.open.get(&number).map(|(session, _)| session)
    }

    pub(super) fn notify(&self, number: u64, event: SessionEvent) {
        if let Some((_, notify)) = self.open.get(&number) {
            notify(event);
        }
    }

    pub(super) fn change_role(&mut self, number: u64, role: Role) {
        if let Some((session, notify)) = self.open.get_mut(&number) {
            session.role = role;
            notify(SessionEvent::RoleChanged(session.clone()));
        }
    }

    /// Checks what an escalation needs: the admin token where one is configured, else a reason. A remote caller has given the
    /// service its token.
    pub(super) fn check_escalation(
        &mut self,
        who: &Session,
        reason: Option<&str>,
        secret: Option<&str>,
        dry_run: bool,
    ) -> Result<(), ErrorBody> {
        if who.transport == HTTP_TRANSPORT {
            // Only a caller with an admin token comes here.
            return Ok(());
        }
        if let Some(tokens) = &mut self.tokens {
            // A dry run leaves no trace, so it may not be a way to try tokens.
            if dry_run {
                return Ok(());
            }
            return tokens
                .check(&who.issuer, secret.unwrap_or_default())
                .map_err(|why| error("E_FORBIDDEN", why, "Type `:escalate` and give the admin token when asked."));
        }
        if reason.is_none_or(|reason| reason.trim().is_empty()) {
            let hint = "For example: `escalate --reason \"review of the exit queue\"`.";
            return Err(error("E_INVALID_ARG", "an escalation needs a reason.", hint));
        }
        Ok(())
    }
}
