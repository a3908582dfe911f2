//! The full state of a shard as its observers see it: one snapshot, fixed names, named rows.
//!
//! Fixed names come from "Telemetry 0.2.0" of the operating guide; the other blocks are what the screens need, so that a
//! remote screen equals a local one. KPIs, needs and prices are rows with a name: a new row changes no consumer.
//! Levels and ratios are in [0, 1], money in meals, times in ticks unless a name says otherwise.
//!
//! What has a `default` may be missing: the published schema (`schema`) asks for the fixed names alone.

#![allow(missing_docs, reason = "the names are the documentation; units stand where a name does not say them")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::audit_tail::AuditDiff;
pub use super::audit_tail::{AuditRow, AuditTail};
use super::diff::with_diff;
use super::field_change::{Entries, Rows, Tail};
pub use super::learning::{
    Evidence, HarmRate, HeldOutEvaluation, Learning, LearningRow, Promotion, PromotionStep, SafetyCheck, SafetyRate,
};
use super::learning::{LearningDiff, PromotionDiff};
pub use super::perturbations::{Perturbation, PerturbationEvent, PerturbationEvents};
pub use super::residents::{Agent, MaskBit, Need, Objective, ObjectiveTerm, Shift, TopOption, Trait};

with_diff! {
    /// Everything an observer knows at one tick.
    pub struct Snapshot {
        pub schema_version: String,
        pub config_id: String,
        /// Hash of the configuration and every text it names, as 32 hex digits; changes with a reload.
        #[serde(default)]
        pub texts_digest: String,
        #[serde(default)]
        pub shard: String,
        #[serde(default)]
        pub run_id: String,
        pub tick: u64,
        /// Whole days since the town began, from 1.
        pub day: u64,
        #[serde(default)]
        pub clock: Clock,
        pub observation_variant: String,
        pub policy: Policy,
        /// By agent id.
        pub jobs: BTreeMap<String, Job> => Entries<Job>,
        /// By object id: everything that holds stock.
        pub economy: BTreeMap<String, Store> => Entries<Store>,
        /// Item → price in meals.
        pub prices: BTreeMap<String, f64> => Entries<f64>,
        /// Item → price in meals without perturbations.
        #[serde(default)]
        pub list_prices: BTreeMap<String, f64> => Entries<f64>,
        /// `power`, `water` → on.
        pub utilities: BTreeMap<String, bool> => Entries<bool>,
        pub employment: Employment => EmploymentDiff,
        pub conflict: Conflict => ConflictDiff,
        pub relationships: Relationships => RelationshipsDiff,
        pub stability: Stability => StabilityDiff,
        pub perturbations: Vec<Perturbation>,
        #[serde(default)]
        pub perturbation_events: PerturbationEvents,
        pub rewards: Rewards,
        /// Newest last, bounded.
        pub narrations: Vec<Narration> => Tail<Narration>,
        /// Newest last, bounded.
        pub events: Vec<Event> => Tail<Event>,
        /// Event → count since this process loaded the town; `exit_queue_peak` is the longest queue.
        #[serde(default)]
        pub counters: BTreeMap<String, u64> => Entries<u64>,
        /// Alert → how often it was raised since this process loaded the town.
        #[serde(default)]
        pub alerts_raised: BTreeMap<String, u64> => Entries<u64>,
        pub kpis: Vec<Kpi> => Rows<Kpi>,
        /// Active alerts, critical ones first.
        #[serde(default)]
        pub alerts: Vec<Alert> => Rows<Alert>,
        pub transport: Transport,
        pub health: Health,
        pub agents: Vec<Agent> => Rows<Agent>,
        pub map: Map,
        pub audit: AuditTail => AuditDiff,
        pub promotion: Promotion => PromotionDiff,
        #[serde(default)]
        pub learning: Learning => LearningDiff,
    }

    /// What turns one snapshot into a later one. A block that is missing has not changed.
    pub struct Diff;
}

/// The time of the town and its speed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Clock {
    pub ticks_per_day: u64,
    /// `0..ticks_per_day`.
    pub tick_of_day: u64,
    /// Milliseconds per tick at 1×.
    pub tick_ms: u64,
    /// `paused`, `1x`, `10x`, `100x`, `max`.
    pub speed: String,
    /// Measured over the last second.
    pub ticks_per_second: f64,
    /// The single steps in progress; missing when there are none. `speed` is `paused` meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stepping: Option<Stepping>,
}

/// Single steps of a paused town.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Stepping {
    pub done: u64,
    pub total: u64,
}

/// The policy that drives the residents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Policy {
    pub id: String,
    /// `scripted` or `network`.
    pub kind: String,
    pub hash: String,
    /// Why the town lies outside the range of towns that the policy was trained on, such as `40 residents; trained on 4 to 32`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside_range: Option<String>,
    /// The range of towns that the policy was trained on, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_range: Option<String>,
}

/// A resident's job status. Names are fixed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Job {
    /// Empty when without a job.
    pub job_id: String,
    pub on_shift: bool,
    pub wallet: f64,
    /// Late shifts since arrival.
    pub lateness_counter: u64,
    pub wages_earned: f64,
    pub wages_withheld: f64,
    pub meals_cooked: u64,
    pub meals_consumed: u64,
    /// Rent and three meals at today's prices.
    pub basket_cost: f64,
    /// `pre_shift`, `await_start`, `on_time`, `late`, `absent`, `post_shift`; `none` without a job.
    pub shift_state: String,
    /// 1 before the first shift; the history of `agents[].shift` is empty then.
    pub attendance_ratio: f64,
    pub late_ticks_today: u64,
    pub absent_shifts_7d: u64,
    pub exit_pending: bool,
    pub tenure_days: f64,
}

impl Snapshot {
    /// See [`Job::attendance`].
    pub fn attendance(&self, agent: &str) -> Option<f64> {
        self.jobs.get(agent)?.attendance(self.agents.iter().find(|resident| resident.id == agent))
    }
}

impl Employment {
    /// The limit on exits of all causes, if it is reached while the exit cap is not.
    pub fn reached_all_exits_cap(&self) -> Option<u64> {
        self.all_exits_cap.filter(|cap| self.all_exits_today >= *cap && self.exits_today < self.daily_exit_cap)
    }
}

impl Job {
    /// Ticks worked divided by ticks scheduled over the latest shifts. `None` without a job, and before the first shift; that
    /// there was none is known from `agent`, the resident, if the shard has sent it.
    pub fn attendance(&self, agent: Option<&Agent>) -> Option<f64> {
        let is_new = agent.and_then(|agent| agent.shift.as_ref()).is_some_and(|shift| shift.history.is_empty());
        (!self.job_id.is_empty() && !is_new).then_some(self.attendance_ratio)
    }
}

/// What an object holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Store {
    #[serde(rename = "type")]
    pub kind: String,
    /// Item → count.
    pub stock: BTreeMap<String, u64>,
    /// Its capacity; 0 when it is unknown.
    #[serde(default)]
    pub capacity: u64,
}

with_diff! {
    /// The exit queue and its limits. The first seven names are fixed.
    pub struct Employment {
        /// Agent ids, head first.
        pub pending: Vec<String>,
        pub pending_count: u64,
        pub exits_today: u64,
        pub daily_exit_cap: u64,
        pub queue_limit: u64,
        pub review_window: u64,
        pub queue: Vec<ExitEntry> => Rows<ExitEntry>,
        /// Absences in 7 days after which a resident enters the exit queue.
        #[serde(default)]
        pub max_absent_shifts: u64,
        /// Mean attendance ratio of the employed, `null` without data.
        #[serde(default)]
        pub attendance: Option<f64>,
        /// Residents late today.
        #[serde(default)]
        pub late_today: u64,
        /// Absent shifts of all residents in 7 days.
        #[serde(default)]
        pub absent_7d: u64,
        /// Exits of all causes since midnight.
        #[serde(default)]
        pub all_exits_today: u64,
        /// Most exits of all causes per day, as far as no operator orders them; `null` if the shard does not say.
        #[serde(default)]
        pub all_exits_cap: Option<u64>,
    }

    /// What changed about the exit queue.
    pub struct EmploymentDiff;
}

/// One resident waiting for review.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExitEntry {
    pub agent: String,
    pub reason: String,
    pub enqueued_tick: u64,
    /// Leaves from this tick on as soon as the cap allows, unless deferred.
    pub releases_at_tick: u64,
    /// Approved: leaves on the next tick.
    #[serde(default)]
    pub approved: bool,
}

with_diff! {
    /// Queues at objects, and steps lost in them.
    #[serde(default)]
    pub struct Conflict {
        pub queues: Vec<Queue> => Rows<Queue>,
        /// Since the town began.
        pub ghost_steps: u64,
        /// Blocked steps since the town began.
        pub blocked_steps: u64,
        pub queue_fairness: bool,
    }

    /// What changed at the objects that residents use in turn.
    pub struct ConflictDiff;
}

/// One object that residents use in turn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Queue {
    pub object: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub place: String,
    pub capacity: u64,
    pub users: Vec<QueueUser>,
    /// In serving order.
    pub waiting: Vec<QueueWaiter>,
    /// Longest wait of those waiting now.
    pub longest_wait: u64,
    /// Residents in cooldown at this object.
    pub cooldowns: Vec<QueueCooldown>,
    pub ghost_steps: u64,
    /// False while power or water it needs is off, or it is outside its opening hours.
    pub working: bool,
    /// Does not work because it is outside its opening hours; has the power and the water that it needs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
}

impl Queue {
    /// Whether power or water that it needs is off.
    pub const fn is_off(&self) -> bool {
        !self.working && !self.closed
    }
}

/// A resident that uses or has reserved the object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct QueueUser {
    pub agent: String,
    pub affordance: String,
    /// Ticks until done; `None` while the reservation is not yet in use.
    pub remaining: Option<u64>,
}

/// A resident that waits for the object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct QueueWaiter {
    pub agent: String,
    /// Ticks since joining.
    pub waited: u64,
}

/// A resident in cooldown, and the tick at which it ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct QueueCooldown {
    pub agent: String,
    pub until_tick: u64,
}

with_diff! {
    /// Ties between residents.
    #[serde(default)]
    pub struct Relationships {
        /// `OFF`, `A`, `B`, `C1`, `C2`, `C3`.
        pub stage: String,
        pub ties: Vec<Tie> => Rows<Tie>,
    }

    /// What changed between residents.
    pub struct RelationshipsDiff;
}

/// The tie of one resident to another; each value in [-1, 1].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Tie {
    pub agent: String,
    pub other: String,
    pub trust: f64,
    pub familiarity: f64,
    pub rivalry: f64,
}

with_diff! {
    /// Stability windows of the live town.
    #[serde(default)]
    pub struct Stability {
        pub window_ticks: u64,
        /// Ticks into the window that is open now.
        pub window_progress: u64,
        /// Number of the window that is open now, from 1.
        pub window: u64,
        /// Closed windows, oldest first, bounded.
        pub windows: Vec<Window> => Rows<Window>,
        /// Readings of the checks in the open window.
        pub checks: Vec<Check> => Rows<Check>,
        /// Consecutive green windows among the conclusive ones.
        pub streak: u64,
        pub required_passes: u64,
    }

    /// What changed about stability.
    pub struct StabilityDiff;
}

/// One closed window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Window {
    pub number: u64,
    pub end_tick: u64,
    /// `green`, `red`, `inconclusive`.
    pub verdict: String,
    pub checks: Vec<Check>,
}

/// One check of a window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Check {
    pub name: String,
    /// `None` without enough samples.
    pub value: Option<f64>,
    /// For a reader: `≤ 2 × baseline`.
    pub limit: String,
    pub threshold: f64,
    /// `ok`, `breach`, `not_enough_data`.
    pub verdict: String,
    pub samples: u64,
    pub samples_required: u64,
    /// `ratio`, `count`, `variance`.
    pub unit: String,
}

/// Rewards of the last tick, summed over residents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rewards {
    /// Item → sum; items add up to `total`.
    pub breakdown: BTreeMap<String, f64>,
    #[serde(default)]
    pub total: f64,
    /// Clips since the town began.
    pub reward_clip_events: u64,
}

/// A sentence about the town.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Narration {
    pub tick: u64,
    pub category: String,
    pub text: String,
    /// `low`, `normal`, `high`.
    pub priority: String,
}

/// An event, with its own fields beside the fixed ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// Such as `employment_exit_processed`.
    pub event: String,
    pub tick: u64,
    #[serde(flatten)]
    pub fields: BTreeMap<String, serde_json::Value>,
}

/// One KPI. Without enough data it has no value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Kpi {
    pub name: String,
    /// For a reader: `self-sufficiency`.
    pub title: String,
    /// `None` when there is not enough data.
    pub value: Option<f64>,
    /// `ratio`, `days`, `count`, `per_day`.
    pub unit: String,
    /// For a reader: `≥ 70 %`.
    pub target: String,
    /// The bound of the target, in the unit of the value.
    pub threshold: Option<f64>,
    /// `met`, `missed`, `not_enough_data`.
    pub verdict: String,
    pub samples: u64,
    pub samples_required: u64,
    /// One of the three charter targets.
    pub charter: bool,
}

/// A condition that needs an operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Alert {
    /// Such as `exit_queue_overflow`.
    pub name: String,
    /// `warning`, `critical`.
    pub severity: String,
    pub since_tick: u64,
    pub message: String,
    /// What to do.
    pub hint: String,
    /// The issuer that acknowledged it; `None` before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
    /// The tick at which that was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_tick: Option<u64>,
}

/// The state of telemetry itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Transport {
    /// Messages that wait for subscribers.
    pub queue_length: u64,
    /// Dropped messages and events.
    pub dropped: u64,
    /// `full`, `aggregate`.
    pub mode: String,
    pub last_error: Option<String>,
    /// Current subscribers.
    #[serde(default)]
    pub subscribers: u64,
    /// Subscribers that are behind: they get merged messages, or have not read their new snapshot yet.
    #[serde(default)]
    pub behind: u64,
    /// How often a subscriber got a new snapshot in place of missed messages.
    #[serde(default)]
    pub resynced: u64,
    /// How often a subscriber was disconnected because it read nothing.
    #[serde(default)]
    pub disconnected: u64,
    /// The file to which the raw stream is archived now.
    #[serde(default)]
    pub archive: Option<String>,
}

/// The health of the shard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Health {
    /// `ok`, `degraded`.
    pub status: String,
    pub problems: Vec<String>,
    pub uptime_seconds: u64,
    pub last_snapshot_tick: Option<u64>,
    pub journal_tick: u64,
    pub audit_ok: bool,
}

/// The plan of the town. It is unchanged while `revision` is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Map {
    pub revision: u64,
    pub width: u64,
    pub height: u64,
    /// One string a row, one character a tile, as in the plan file.
    pub rows: Vec<String>,
    pub places: Vec<MapPlace>,
    pub objects: Vec<MapObject>,
}

/// A named area.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct MapPlace {
    pub name: String,
    /// `home`, `grocer`, `cafe`, `office`, `park`, `gym`, `road`.
    pub kind: String,
    pub x: u64,
    pub y: u64,
    pub width: u64,
    pub height: u64,
}

/// An object that residents use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct MapObject {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub place: String,
    pub x: u64,
    pub y: u64,
}
