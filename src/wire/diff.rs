//! Blocks of a snapshot with their diffs. Owns no kind of change: those are in `field_change`.
//!
//! Rule: "Telemetry": upserts and removals by key, so that snapshot + diffs = state.

use super::field_change::{Change, Keyed, Tail};
use super::telemetry::{
    Agent, Alert, AuditRow, Check, Diff, Event, ExitEntry, HeldOutEvaluation, Kpi, LearningRow, Narration,
    PromotionStep, Queue, Snapshot, Tie, Window,
};

/// Defines a block and its diff, which holds the change of each field. A field is replaced as a whole, unless `=>` names
/// another kind of change.
macro_rules! with_diff {
    (
        $(#[$about:meta])*
        pub struct $whole:ident { $($(#[$meaning:meta])* pub $field:ident: $type:ty $(=> $change:ty)?,)* }

        $(#[$diff_about:meta])*
        pub struct $diff:ident;
    ) => {
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        $(#[$about])*
        pub struct $whole { $($(#[$meaning])* pub $field: $type,)* }

        $(#[$diff_about])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub struct $diff {$(
            #[serde(
                default,
                deserialize_with = "crate::field_change::present",
                skip_serializing_if = "Option::is_none"
            )]
            pub $field: Option<with_diff!(@change $type $(=> $change)?)>,
        )*}

        impl $diff {
            /// What turns `from` into `to`, without the fields of these names.
            pub(crate) fn between_except(from: &$whole, to: &$whole, except: &[&str]) -> Self {
                Self {$(
                    $field: (!except.contains(&stringify!($field)))
                        .then(|| crate::field_change::Change::between(&from.$field, &to.$field))
                        .flatten(),
                )*}
            }
        }

        impl crate::field_change::Change for $diff {
            type Of = $whole;

            fn between(from: &$whole, to: &$whole) -> Option<Self> {
                let diff = Self::between_except(from, to, &[]);
                (diff != Self::default()).then_some(diff)
            }

            fn apply(self, piece: &mut $whole) -> Result<(), crate::field_change::Mismatch> {
                $(if let Some(change) = self.$field {
                    change.apply(&mut piece.$field).map_err(|why| why.inside(stringify!($field)))?;
                })*
                Ok(())
            }

            fn then(self, later: Self) -> Result<Self, crate::field_change::Mismatch> {
                Ok(Self {$(
                    $field: crate::field_change::joined(self.$field, later.$field)
                        .map_err(|why| why.inside(stringify!($field)))?,
                )*})
            }
        }
    };
    (@change $type:ty => $change:ty) => { $change };
    (@change $type:ty) => { crate::field_change::Whole<$type> };
}
pub(crate) use with_diff;

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
    HeldOutEvaluation: u64 = row => row.update;
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
}
