//! What a promotion's machine tells of itself. Changes nothing; what may happen stands beside it.
//!
//! Rule: "Stability, promotion, rollback".

use super::{Act, ConfigFingerprint, Evidence, Machine, Stage, Step};

impl Machine {
    /// Where it stands.
    pub(in crate::promotion) fn stage(&self) -> Stage {
        self.stage
    }

    /// Who drives the town.
    pub(in crate::promotion) fn release(&self) -> &str {
        &self.release
    }

    /// To whom a rollback returns.
    pub(in crate::promotion) fn previous(&self) -> Option<&str> {
        self.previous.as_deref()
    }

    /// When the release was made; `None` while it is the configuration's.
    pub(in crate::promotion) fn since(&self) -> Option<&Act> {
        self.since.as_ref()
    }

    /// Who is judged.
    pub(in crate::promotion) fn candidate(&self) -> Option<&str> {
        self.bond.as_ref().map(|bond| bond.candidate.as_str())
    }

    /// Who comes next.
    pub(in crate::promotion) fn waiting(&self) -> Option<&str> {
        self.waiting.as_deref()
    }

    /// Who is being made the release.
    pub(in crate::promotion) fn target(&self) -> Option<&str> {
        self.target.as_ref().map(|target| target.name.as_str())
    }

    /// Green windows that count now, and how many it takes.
    pub(in crate::promotion) fn green(&self) -> (u64, u64) {
        (self.green, self.required)
    }

    /// What towns are made from.
    pub(in crate::promotion) fn ground(&self) -> &ConfigFingerprint {
        &self.ground
    }

    /// Whether the canary's last conclusive window was red.
    pub(in crate::promotion) fn is_red(&self) -> bool {
        self.stage == Stage::Canary && self.red
    }

    /// Judgements begun.
    pub(in crate::promotion) fn judgements(&self) -> u64 {
        self.judgements
    }

    /// Of the candidate, or of the last one judged.
    pub(in crate::promotion) fn evidence(&self) -> Option<&Evidence> {
        self.evidence.as_ref()
    }

    /// Oldest first, bounded.
    pub(in crate::promotion) fn steps(&self) -> &[Step] {
        &self.steps
    }
}
