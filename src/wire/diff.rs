//! The one list of what a snapshot is made of and how each block of it changes.
//!
//! A block that is added to a [`Snapshot`] and has no row here does not compile. Owns no kind of change: those are in
//! `change`. Rule: "Telemetry": upserts and removals by key, so that snapshot + diffs = state.

#![allow(missing_docs, reason = "a field is the change of the snapshot's field of that name")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::field_change::{Change, Entries, Keyed, Mismatch, Rows, Tail, Whole, joined, present};
use super::telemetry::{
    Agent, Alert, AuditRow, AuditTail, Check, Clock, Conflict, Employment, Event, Evidence, ExitEntry, Health, Job,
    Kpi, Learning, LearningRow, Map, Narration, Perturbation, PerturbationEvents, Policy, Promotion, PromotionStep,
    Queue, Relationships, Rewards, Snapshot, Stability, Store, Tie, Transport, Window,
};

macro_rules! blocks {
    ($($(#[$doc:meta])* $diff:ident of $whole:ident { $($field:ident: $change:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub struct $diff {$(
            #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
            pub $field: Option<$change>,
        )*}

        impl Change for $diff {
            type Of = $whole;

            fn between(from: &$whole, to: &$whole) -> Option<Self> {
                // Without `..`: a field that has no row does not compile.
                let $whole { $($field: _,)* } = to;
                let diff = Self { $($field: Change::between(&from.$field, &to.$field),)* };
                (diff != Self::default()).then_some(diff)
            }

            fn apply(self, piece: &mut $whole) -> Result<(), Mismatch> {
                $(if let Some(change) = self.$field {
                    change.apply(&mut piece.$field).map_err(|why| why.inside(stringify!($field)))?;
                })*
                Ok(())
            }

            fn then(self, later: Self) -> Result<Self, Mismatch> {
                Ok(Self {
                    $($field: joined(self.$field, later.$field).map_err(|why| why.inside(stringify!($field)))?,)*
                })
            }
        }
    )*};
}

blocks! {
    /// What turns one snapshot into a later one. A block that is missing has not changed.
    Diff of Snapshot {
        schema_version: Whole<String>,
        config_id: Whole<String>,
        texts_digest: Whole<String>,
        shard: Whole<String>,
        run_id: Whole<String>,
        tick: Whole<u64>,
        day: Whole<u64>,
        clock: Whole<Clock>,
        observation_variant: Whole<String>,
        policy: Whole<Policy>,
        jobs: Entries<Job>,
        economy: Entries<Store>,
        prices: Entries<f64>,
        list_prices: Entries<f64>,
        utilities: Entries<bool>,
        employment: EmploymentDiff,
        conflict: ConflictDiff,
        relationships: RelationshipsDiff,
        stability: StabilityDiff,
        perturbations: Whole<Vec<Perturbation>>,
        perturbation_events: Whole<PerturbationEvents>,
        rewards: Whole<Rewards>,
        narrations: Tail<Narration>,
        events: Tail<Event>,
        counters: Entries<u64>,
        alerts_raised: Entries<u64>,
        kpis: Rows<Kpi>,
        alerts: Rows<Alert>,
        transport: Whole<Transport>,
        health: Whole<Health>,
        agents: Rows<Agent>,
        map: Whole<Map>,
        audit: AuditDiff,
        promotion: PromotionDiff,
        learning: LearningDiff,
    }

    /// What changed about the exit queue.
    EmploymentDiff of Employment {
        pending: Whole<Vec<String>>,
        pending_count: Whole<u64>,
        exits_today: Whole<u64>,
        daily_exit_cap: Whole<u64>,
        queue_limit: Whole<u64>,
        review_window: Whole<u64>,
        queue: Rows<ExitEntry>,
        max_absent_shifts: Whole<u64>,
        attendance: Whole<Option<f64>>,
        late_today: Whole<u64>,
        absent_7d: Whole<u64>,
    }

    /// What changed at the objects that residents use in turn.
    ConflictDiff of Conflict {
        queues: Rows<Queue>,
        ghost_steps: Whole<u64>,
        blocked_steps: Whole<u64>,
        queue_fairness: Whole<bool>,
    }

    /// What changed between residents.
    RelationshipsDiff of Relationships {
        stage: Whole<String>,
        ties: Rows<Tie>,
    }

    /// What changed about stability.
    StabilityDiff of Stability {
        window_ticks: Whole<u64>,
        window_progress: Whole<u64>,
        window: Whole<u64>,
        windows: Rows<Window>,
        checks: Rows<Check>,
        streak: Whole<u64>,
        required_passes: Whole<u64>,
    }

    /// What changed about the promotion of a policy.
    PromotionDiff of Promotion {
        state: Whole<String>,
        detail: Whole<String>,
        candidate: Whole<Option<String>>,
        release: Whole<String>,
        previous: Whole<Option<String>>,
        green: Whole<u64>,
        required: Whole<u64>,
        auto_rollback: Whole<String>,
        blockers: Whole<Vec<String>>,
        evidence: Whole<Option<Evidence>>,
        history: Rows<PromotionStep>,
    }

    /// What changed about the training beside the town.
    LearningDiff of Learning {
        state: Whole<String>,
        run: Whole<String>,
        detail: Whole<String>,
        total_steps: Whole<u64>,
        checkpoint: Whole<Option<String>>,
        history: Rows<LearningRow>,
    }

    /// What changed at the end of the audit log.
    AuditDiff of AuditTail {
        records: Rows<AuditRow>,
        state: Whole<String>,
        file: Whole<String>,
        seq: Whole<u64>,
        head: Whole<String>,
    }
}

macro_rules! keys {
    ($($row:ident: $key:ty = $this:ident => $value:expr;)*) => {$(
        impl Keyed for $row {
            type Key = $key;

            fn key(&self) -> $key {
                let $this = self;
                $value
            }
        }
    )*};
}

keys! {
    Agent: String = agent => agent.id.clone();
    Alert: String = alert => alert.name.clone();
    AuditRow: u64 = row => row.seq;
    Check: String = check => check.name.clone();
    ExitEntry: String = entry => entry.agent.clone();
    Kpi: String = kpi => kpi.name.clone();
    Queue: String = queue => queue.object.clone();
    LearningRow: u64 = row => row.update;
    PromotionStep: u64 = step => step.number;
    Tie: (String, String) = tie => (tie.agent.clone(), tie.other.clone());
    Window: u64 = window => window.number;
}

impl Diff {
    /// What turns `from` into `to`; empty when they are equal.
    pub fn between(from: &Snapshot, to: &Snapshot) -> Self {
        <Self as Change>::between(from, to).unwrap_or_default()
    }

    /// The same, with every event and sentence that came in between, also those that `to` no longer holds.
    pub fn carrying(from: &Snapshot, to: &Snapshot, events: Vec<Event>, narrations: Vec<Narration>) -> Self {
        let mut diff = Self::between(from, to);
        if !events.is_empty() {
            diff.events = Tail::carrying(&from.events, events, &to.events);
        }
        if !narrations.is_empty() {
            diff.narrations = Tail::carrying(&from.narrations, narrations, &to.narrations);
        }
        diff
    }

    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// This diff and the one that follows it, as one.
    ///
    /// # Errors
    /// The later one does not fit what this one makes.
    pub fn then(self, later: Self) -> Result<Self, Mismatch> {
        Change::then(self, later)
    }
}

/// Turns a state into the one that a diff leads to.
///
/// # Errors
/// The diff was made for another state; this one is of no use then and a new snapshot is needed.
pub fn apply(state: &mut Snapshot, diff: Diff) -> Result<(), Mismatch> {
    diff.apply(state)
}
