//! Read access to the promotion state machine. Rule: "Stability, promotion, rollback".

use super::{ConfigFingerprint, Evidence, Machine, Origin, Stage, Step};

impl Machine {
    pub(in crate::promotion) fn stage(&self) -> Stage {
        self.stage
    }

    pub(in crate::promotion) fn release(&self) -> &str {
        &self.release
    }

    /// The release that a rollback restores.
    pub(in crate::promotion) fn previous(&self) -> Option<&str> {
        self.previous.as_deref()
    }

    /// When the release was promoted; `None` while it is the configured one.
    pub(in crate::promotion) fn since(&self) -> Option<&Origin> {
        self.since.as_ref()
    }

    pub(in crate::promotion) fn candidate(&self) -> Option<&str> {
        self.key.as_ref().map(|key| key.candidate.as_str())
    }

    /// The next candidate.
    pub(in crate::promotion) fn waiting(&self) -> Option<&str> {
        self.waiting.as_deref()
    }

    /// The policy being promoted.
    pub(in crate::promotion) fn target(&self) -> Option<&str> {
        self.target.as_ref().map(|target| target.name.as_str())
    }

    /// Consecutive green windows, and the number required.
    pub(in crate::promotion) fn green(&self) -> (u64, u64) {
        (self.green, self.required)
    }

    pub(in crate::promotion) fn fingerprint(&self) -> &ConfigFingerprint {
        &self.fingerprint
    }

    /// Whether the canary's last conclusive window was red.
    pub(in crate::promotion) fn is_red(&self) -> bool {
        self.stage == Stage::Canary && self.red
    }

    /// Number of evaluations started.
    pub(in crate::promotion) fn evaluations(&self) -> u64 {
        self.evaluations
    }

    /// Evidence about the candidate, or about the last one evaluated.
    pub(in crate::promotion) fn evidence(&self) -> Option<&Evidence> {
        self.evidence.as_ref()
    }

    pub(in crate::promotion) fn steps(&self) -> &[Step] {
        &self.steps
    }
}
