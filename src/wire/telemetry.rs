//! The full state of a shard as its observers see it: one snapshot, fixed names, named rows.
//!
//! Fixed names come from "Telemetry 0.2.0" of the operating guide; the other blocks are what the screens need, so that a
//! remote screen equals a local one. KPIs, needs and prices are rows with a name: a new row changes no consumer.
//! Levels and ratios are in [0, 1], money in meals, times in ticks unless a name says otherwise.
//!
//! What has a `default` may be missing: the published schema (`schema`) asks for the fixed names alone.

#![allow(missing_docs, reason = "the names are the documentation; units stand where a name does not say them")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::learning::{Evidence, Learning, LearningRow, Promotion, PromotionStep};
pub use super::perturbations::{Perturbation, PerturbationEvent, PerturbationEvents};

/// Everything an observer knows at one tick.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    pub schema_version: String,
    pub config_id: String,
    /// 32 hex digits over the configuration and every text it names; others after a reload.
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
    pub jobs: BTreeMap<String, Job>,
    /// By object id: everything that holds stock.
    pub economy: BTreeMap<String, Store>,
    /// Item → price in meals.
    pub prices: BTreeMap<String, f64>,
    /// Item → price in meals while nothing drives it up.
    #[serde(default)]
    pub list_prices: BTreeMap<String, f64>,
    /// `power`, `water` → on.
    pub utilities: BTreeMap<String, bool>,
    pub employment: Employment,
    pub conflict: Conflict,
    pub relationships: Relationships,
    pub stability: Stability,
    pub perturbations: Vec<Perturbation>,
    #[serde(default)]
    pub perturbation_events: PerturbationEvents,
    pub rewards: Rewards,
    /// Newest last, bounded.
    pub narrations: Vec<Narration>,
    /// Newest last, bounded.
    pub events: Vec<Event>,
    /// Event → how often since this process took the town up; `exit_queue_peak` is the longest queue seen.
    #[serde(default)]
    pub counters: BTreeMap<String, u64>,
    /// Alert → how often it was raised since this process took the town up.
    #[serde(default)]
    pub alerts_raised: BTreeMap<String, u64>,
    pub kpis: Vec<Kpi>,
    /// Standing alerts, worst first.
    #[serde(default)]
    pub alerts: Vec<Alert>,
    pub transport: Transport,
    pub health: Health,
    pub agents: Vec<Agent>,
    pub map: Map,
    pub audit: AuditTail,
    pub promotion: Promotion,
    #[serde(default)]
    pub learning: Learning,
}

/// Where the town is in its day and how fast it goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Clock {
    pub ticks_per_day: u64,
    /// `0..ticks_per_day`.
    pub tick_of_day: u64,
    /// Wall milliseconds a tick takes at 1×.
    pub tick_ms: u64,
    /// `paused`, `1x`, `10x`, `100x`, `max`.
    pub speed: String,
    /// Measured over the last second.
    pub ticks_per_second: f64,
}

/// The policy that drives the residents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    pub id: String,
    /// `scripted` or `network`.
    pub kind: String,
    pub hash: String,
}

/// A resident's job status. Names are fixed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    pub attendance_ratio: f64,
    pub late_ticks_today: u64,
    pub absent_shifts_7d: u64,
    pub exit_pending: bool,
    pub tenure_days: f64,
}

/// What an object holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Store {
    #[serde(rename = "type")]
    pub kind: String,
    /// Item → count.
    pub stock: BTreeMap<String, u64>,
    /// How much it can hold; 0 when that is not known.
    #[serde(default)]
    pub capacity: u64,
}

/// The exit queue and what bounds it. The first seven names are fixed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Employment {
    /// Agent ids, head first.
    pub pending: Vec<String>,
    pub pending_count: u64,
    pub exits_today: u64,
    pub daily_exit_cap: u64,
    pub queue_limit: u64,
    pub review_window: u64,
    pub queue: Vec<ExitEntry>,
    /// Absences in 7 days that make a resident due.
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
}

/// One resident waiting for review.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// Queues at objects and what they cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Conflict {
    pub queues: Vec<Queue>,
    /// Since the town began.
    pub ghost_steps: u64,
    /// Blocked steps since the town began.
    pub blocked_steps: u64,
    pub queue_fairness: bool,
}

/// One object that residents use in turn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Residents sitting out here, with the tick they may come back.
    pub cooldowns: Vec<QueueCooldown>,
    pub ghost_steps: u64,
    /// False while power or water it needs is off, or it is outside its opening hours.
    pub working: bool,
}

/// Somebody who holds the object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct QueueUser {
    pub agent: String,
    pub affordance: String,
    /// Ticks until done; `None` while the reservation is not yet in use.
    pub remaining: Option<u64>,
}

/// Somebody who waits for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct QueueWaiter {
    pub agent: String,
    /// Ticks since joining.
    pub waited: u64,
}

/// Somebody who sits out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct QueueCooldown {
    pub agent: String,
    pub until_tick: u64,
}

/// Ties between residents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Relationships {
    /// `OFF`, `A`, `B`, `C1`, `C2`, `C3`.
    pub stage: String,
    pub ties: Vec<Tie>,
}

/// How one resident stands to another; each value in [-1, 1].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Tie {
    pub agent: String,
    pub other: String,
    pub trust: f64,
    pub familiarity: f64,
    pub rivalry: f64,
}

/// Stability windows of the live town.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Stability {
    pub window_ticks: u64,
    /// Ticks into the window that is open now.
    pub window_progress: u64,
    /// Number of the window that is open now, from 1.
    pub window: u64,
    /// Closed windows, oldest first, bounded.
    pub windows: Vec<Window>,
    /// Checks as they stand in the open window.
    pub checks: Vec<Check>,
    /// Consecutive green windows among the conclusive ones.
    pub streak: u64,
    pub required_passes: u64,
}

/// One closed window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Window {
    pub number: u64,
    pub end_tick: u64,
    /// `green`, `red`, `inconclusive`.
    pub verdict: String,
    pub checks: Vec<Check>,
}

/// One check of a window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// Rewards handed out in the last tick, summed over residents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rewards {
    /// Item → sum; items add up to `total`.
    pub breakdown: BTreeMap<String, f64>,
    #[serde(default)]
    pub total: f64,
    /// Clips since the town began.
    pub reward_clip_events: u64,
}

/// A sentence about the town.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Narration {
    pub tick: u64,
    pub category: String,
    pub text: String,
    /// `low`, `normal`, `high`.
    pub priority: String,
}

/// Something that happened, with its own fields beside the fixed ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Such as `employment_exit_processed`.
    pub event: String,
    pub tick: u64,
    #[serde(flatten)]
    pub fields: BTreeMap<String, serde_json::Value>,
}

/// One KPI. Never a number made of nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// Something that needs an operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
}

/// How telemetry itself fares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Transport {
    /// Messages that wait for subscribers.
    pub queue_length: u64,
    /// Messages that no subscriber will get, and events that no message carried.
    pub dropped: u64,
    /// `full`, `aggregate`.
    pub mode: String,
    pub last_error: Option<String>,
    /// Subscribers now.
    #[serde(default)]
    pub subscribers: u64,
    /// Of them, those that do not get every message: merged ones, or a new snapshot that they have not taken yet.
    #[serde(default)]
    pub behind: u64,
    /// How often a subscriber was given a new snapshot in place of what it had missed.
    #[serde(default)]
    pub resynced: u64,
    /// How often one was let go because it read nothing.
    #[serde(default)]
    pub disconnected: u64,
    /// The file that the raw stream goes to now.
    #[serde(default)]
    pub archive: Option<String>,
}

/// How the shard itself fares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// A named level with the level below which it is critical.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Need {
    pub name: String,
    pub value: f64,
    pub critical: f64,
}

/// A resident as the inspector shows one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Agent {
    pub id: String,
    pub name: String,
    pub x: u64,
    pub y: u64,
    /// Name of the place they stand in, such as `cafe`.
    pub place: String,
    /// Name of their home.
    pub home: String,
    pub arrived_tick: u64,
    pub needs: Vec<Need>,
    /// What they chose: `eat`, `work`, …
    pub option: String,
    pub option_since: u64,
    /// In words: `waiting for shower_1, 2nd in line`.
    pub activity: String,
    /// Object they walk to, wait for or use.
    pub target: Option<String>,
    pub mask: Vec<MaskBit>,
    pub top_options: Vec<TopOption>,
    /// The policy's value estimate; `None` when it has none.
    pub value: Option<f64>,
    /// Driven by an operator instead of the policy.
    pub possessed: bool,
    pub shift: Option<Shift>,
    /// Groceries carried.
    pub groceries: u64,
    pub rent_owed_days: u64,
    /// Fixed at arrival.
    pub personality: Vec<Trait>,
}

/// A named side of a personality, in [-1, 1].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Trait {
    /// `extroversion`, `forgiveness`, `ambition`.
    pub name: String,
    pub value: f64,
}

/// Whether an option may be chosen now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MaskBit {
    pub option: String,
    pub allowed: bool,
    /// Why not, in words; empty when allowed.
    pub reason: String,
}

/// What the policy would choose, with its probability.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TopOption {
    pub option: String,
    pub probability: f64,
}

/// A resident's shift of the day, in ticks of the day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Shift {
    pub start: u64,
    pub end: u64,
    pub arrived: Option<u64>,
    pub worked: u64,
    /// Outcomes of past shifts, oldest first: `on_time`, `late`, `absent`.
    pub history: Vec<String>,
}

/// The plan of the town, which changes only when its `revision` does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// A thing residents use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MapObject {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub place: String,
    pub x: u64,
    pub y: u64,
}

/// The newest lines of the audit log, and whether the chain can still be written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AuditTail {
    /// Newest last, bounded.
    pub records: Vec<AuditRow>,
    /// `ok`, or what is wrong.
    pub state: String,
    pub file: String,
    pub seq: u64,
    pub head: String,
}

/// One line of the audit log as a screen shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AuditRow {
    pub seq: u64,
    /// RFC 3339, UTC.
    pub ts: String,
    pub cmd_id: String,
    pub issuer: String,
    pub role: String,
    pub transport: String,
    pub command: String,
    pub args: serde_json::Value,
    pub reason: Option<String>,
    /// `intent`, `outcome`, `rejected`, `abort`, `recovered`, `rotate`.
    pub stage: String,
    /// `ok`, `error`, `dry_run`; empty for an intent.
    pub status: String,
    /// `CODE sentence`; empty when there is none.
    pub error: String,
    pub tick: u64,
    pub digest_before: String,
    pub digest_after: String,
    pub hash: String,
}
