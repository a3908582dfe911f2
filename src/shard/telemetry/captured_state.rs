//! A copy of all that a snapshot is built from, so that the town's thread only copies and another thread builds.

use std::sync::Arc;

use townlet_learn::LatestDecisions;
use townlet_town::state::State;
use townlet_town::{Rules, Town};
use townlet_wire::Snapshot;
use townlet_wire::telemetry::AuditTail;

use super::ShardStatus;
use crate::privacy::PrivacyFilter;

/// The state of a town and the status of its shard at one tick.
pub(crate) struct CapturedState {
    rules: Arc<Rules>,
    state: State,
    decisions: Option<LatestDecisions>,
    status: ShardStatus,
    audit: AuditTail,
}

impl CapturedState {
    /// Copies the state as it is now. Names are hidden if they are hidden when the snapshot is built.
    pub(crate) fn new(
        town: &Town,
        decisions: Option<&LatestDecisions>,
        status: &ShardStatus,
        audit: AuditTail,
    ) -> Self {
        let status = status.clone();
        let (rules, state, decisions) = (Arc::clone(town.rules()), town.state().clone(), decisions.cloned());
        Self { rules, state, decisions, status, audit }
    }

    /// The same state, with names hidden in the snapshot if they are hidden now.
    #[must_use]
    pub(crate) fn with_names_as_now(mut self) -> Self {
        self.status.names = self.status.names.with_own_switch();
        self
    }

    /// The snapshot for observers.
    pub(crate) fn snapshot(&self) -> Snapshot {
        super::snapshot(&self.rules, &self.state, self.decisions.as_ref(), &self.status, self.audit.clone())
    }

    /// The town's digest.
    pub(crate) fn digest(&self) -> String {
        self.state.digest()
    }

    /// Applies the privacy filter to what goes out beside the snapshot.
    pub(crate) fn names(&self) -> &PrivacyFilter {
        &self.status.names
    }
}
