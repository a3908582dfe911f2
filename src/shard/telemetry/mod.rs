//! Builds the telemetry snapshot from a town and the status of its shard. Rule: "Telemetry".

mod alerts;
mod captured_state;
mod event_feed;
mod places;
mod residents;

pub(super) use alerts::{Acknowledgement, AlertDraft, CREDENTIAL_ALERTS, active_alerts, is_of_a_process, key, size};
pub(super) use captured_state::CapturedState;
pub(super) use event_feed::{EventFeed, NewItems, SavedFeed, in_words, mark};
pub(super) use places::{conflict, queue_entries};
pub(super) use residents::{inspect, personality, relationships};

use std::collections::BTreeMap;
use std::sync::Arc;

use townlet_learn::LatestDecisions;
use townlet_learn::checkpoint::RangeCheck;
use townlet_town::affordances::ITEMS;
use townlet_town::fixed_point::Micro;
use townlet_town::kpi::{self, Target};
use townlet_town::perturbations::{self, PERTURBATIONS, StartBlock};
use townlet_town::stability::{self, CHECKS};
use townlet_town::state::CheckReading;
use townlet_town::state::ITEM_NAMES;
use townlet_town::state::State;
use townlet_town::{AgentId, Rules, employment, names};

use super::lateness::Lateness;
use super::privacy::PrivacyFilter;
use townlet_wire::SCHEMA_VERSION;
use townlet_wire::telemetry::{
    Alert, AuditTail, Check, Clock, Employment, Event, ExitEntry, Health, Kpi, Learning, Narration, Perturbation,
    PerturbationEvent, PerturbationEvents, Policy, Promotion, Rewards, Snapshot, Stability, Stepping, Transport,
    Window,
};

/// The status of the shard: everything in a snapshot that is not the town's state.
#[derive(Clone, Debug, Default)]
pub(super) struct ShardStatus {
    pub shard: String,
    pub run_id: String,
    /// The policy that drives the residents, as telemetry shows it.
    pub policy: Policy,
    /// The ranges of towns that this policy and the candidate were trained on.
    pub ranges: [RangeCheck; 2],
    /// `paused`, `1x`, `10x`, `100x`, `max`.
    pub speed: String,
    /// The single steps in progress.
    pub stepping: Option<Stepping>,
    pub ticks_per_second: f64,
    pub feed: EventFeed,
    pub health: Health,
    /// Alerts of the shard itself: a hanging tick, a crashed thread. Each is also listed as a health problem.
    pub raised: Vec<Alert>,
    /// What the service says about its tokens and keys.
    pub credentials: Vec<Alert>,
    /// The tick at which each active alert was raised, by [`key`].
    pub alerts_since: BTreeMap<(String, String), u64>,
    /// The acknowledgement of each active alert, by [`key`].
    pub acknowledged: BTreeMap<(String, String), Acknowledgement>,
    /// How often each alert was raised, by name.
    pub alerts_raised: BTreeMap<String, u64>,
    pub transport: Transport,
    /// The tick since which the publisher merges messages.
    pub aggregating_since: Option<u64>,
    pub names: PrivacyFilter,
    pub learning: Learning,
    pub promotion: Promotion,
    /// Whether the release is in canary and its last conclusive window was red.
    pub canary_is_red: bool,
    pub lateness: Arc<Lateness>,
    /// Why the configuration files are not in force, if they are not.
    pub config_not_in_force: Option<String>,
}

pub(super) fn agent_id(state: &State, agent: AgentId) -> String {
    names::id(state.agents.resident[agent])
}

/// The snapshot for observers, after the privacy filter. All telemetry leaves the shard through it.
pub(super) fn snapshot(
    rules: &Rules,
    state: &State,
    decisions: Option<&LatestDecisions>,
    status: &ShardStatus,
    audit: AuditTail,
) -> Snapshot {
    let [outside_range, candidate_outside] = status.ranges.each_ref().map(|range| range.reason_outside(rules, state));
    let view = Snapshot {
        schema_version: SCHEMA_VERSION.into(),
        config_id: rules.config.config_id.clone(),
        texts_digest: rules.texts_digest.clone(),
        shard: status.shard.clone(),
        run_id: status.run_id.clone(),
        tick: state.tick,
        day: state.tick / rules.day_length() + 1,
        clock: Clock {
            ticks_per_day: rules.day_length(),
            tick_of_day: u64::from(rules.tick_of_day(state.tick)),
            tick_ms: u64::from(rules.config.time.tick_ms),
            speed: status.speed.clone(),
            ticks_per_second: status.ticks_per_second,
            stepping: status.stepping.clone(),
        },
        observation_variant: rules.config.features.systems.observations.word().into(),
        policy: Policy { outside_range, ..status.policy.clone() },
        jobs: residents::jobs(rules, state),
        economy: places::stores(rules, state),
        prices: prices(&state.economy.prices),
        list_prices: prices(&state.economy.list_prices),
        utilities: [("power".into(), state.economy.power), ("water".into(), state.economy.water)].into(),
        employment: employment(rules, state),
        conflict: places::conflict(rules, state),
        relationships: residents::relationships(rules, state),
        stability: stability(rules, state),
        perturbations: perturbations(rules, state),
        perturbation_events: perturbation_events(rules, state),
        rewards: Rewards {
            breakdown: ITEM_NAMES
                .iter()
                .zip(state.rewards.items)
                .map(|(name, sum)| ((*name).into(), sum.to_f64()))
                .collect(),
            total: state.rewards.total.to_f64(),
            reward_clip_events: state.rewards.clip_events,
        },
        narrations: status.feed.narrations.iter().map(|it| Narration::clone(it)).collect(),
        events: status.feed.events.iter().map(|it| Event::clone(it)).collect(),
        counters: status.feed.counters(),
        alerts_raised: status.alerts_raised.clone(),
        kpis: kpis(rules, state),
        alerts: alerts::alerts(rules, state, status),
        transport: Transport { narration_off: status.feed.silent, ..status.transport.clone() },
        health: status.health.clone(),
        agents: residents::agents(rules, state, decisions),
        map: places::map(rules),
        audit,
        promotion: Promotion { outside_range: candidate_outside, ..status.promotion.clone() },
        learning: status.learning.clone(),
    };
    status.names.apply(view)
}

/// The exit queue, as `employment_status` and the Employment pane show it.
pub(super) fn employment(rules: &Rules, state: &State) -> Employment {
    let present = || state.agents.present.iter().copied();
    let ratios: Vec<f64> = present()
        .filter_map(|agent| state.agents.attendance(agent, rules.config.employment.attendance_window))
        .map(Micro::to_f64)
        .collect();
    let expected = employment::expected_exits(rules, state).into_iter();
    let queue: Vec<ExitEntry> = state
        .employment
        .queue
        .iter()
        .zip(expected)
        .map(|(entry, expected_tick)| ExitEntry {
            agent: agent_id(state, entry.agent),
            reason: entry.reason.name().into(),
            enqueued_tick: entry.enqueued,
            releases_at_tick: employment::review_ends_at(rules, entry),
            expected_tick,
            approved: entry.approved,
        })
        .collect();
    Employment {
        pending: queue.iter().map(|entry| entry.agent.clone()).collect(),
        pending_count: queue.len() as u64,
        exits_today: u64::from(state.employment.exits_today),
        daily_exit_cap: u64::from(state.live_settings.daily_exit_cap),
        queue_limit: u64::from(rules.config.employment.exit_queue_limit),
        review_window: u64::from(rules.config.employment.exit_review_window),
        queue,
        max_absent_shifts: u64::from(rules.config.employment.max_absent_shifts),
        attendance: (!ratios.is_empty()).then(|| ratios.iter().sum::<f64>() / ratios.len() as f64),
        late_today: present().filter(|agent| state.agents.late_ticks_today[*agent] > 0).count() as u64,
        absent_7d: present().map(|agent| u64::from(state.agents.absent_shifts(agent))).sum(),
        all_exits_today: u64::from(state.lifecycle.exits_today),
        all_exits_cap: Some(u64::from(rules.config.lifecycle.max_exits_per_day)),
    }
}

/// Perturbations that are active, expected today, or in cooldown.
pub(super) fn perturbations(rules: &Rules, state: &State) -> Vec<Perturbation> {
    let perturbations = &state.perturbations;
    let row = |kind: u8, event: Option<u16>, stage: &str, started_tick, ends_tick, detail: String| {
        let kind = PERTURBATIONS[kind as usize].name;
        let name =
            event.map_or_else(|| kind.to_owned(), |event| rules.perturbation_events[event as usize].name.clone());
        Perturbation { kind: kind.into(), name, state: stage.into(), started_tick, ends_tick, detail }
    };
    let active = perturbations.active.iter().map(|it| {
        let mut detail = PERTURBATIONS[it.kind as usize].detail.to_owned();
        if it.kind == perturbations::PRICE_SPIKE {
            let items = ITEMS.iter().enumerate().filter(|(item, _)| it.items >> item & 1 == 1).map(|(_, item)| item.1);
            detail = format!("{} × {}", items.collect::<Vec<_>>().join(", "), it.magnitude);
        }
        if let Some(meeting) = it.meeting {
            let [who, other] = meeting.who.map(names::name);
            let stage = if meeting.met { "sit together" } else { "are on their way" };
            detail = format!("{who} and {other} {stage} at {}", rules.plan.places[meeting.place].name);
        }
        row(it.kind, it.event, "active", it.started, it.ends, detail)
    });
    let event_rule = |event: u16| rules.perturbation_events[event as usize].kind;
    let pending = perturbations.pending.iter().map(|it| {
        // What has ended by the tick that was drawn holds nothing.
        let holds = |block: &StartBlock| block.until().is_none_or(|until| until > it.at);
        let held = perturbations::start_block(rules, state, it.event).filter(holds);
        let detail = held.map_or_else(
            || "expected today".to_owned(),
            |hold| format!("expected today, held: {}", hold.description()),
        );
        row(event_rule(it.event), Some(it.event), "pending", it.at, None, detail)
    });
    let cooling = (0..rules.perturbation_events.len() as u16).filter_map(|event| {
        let hold @ StartBlock::Cooldown(until) = perturbations::start_block(rules, state, event)? else { return None };
        let began = perturbations.last_of[event as usize].unwrap_or_default();
        Some(row(event_rule(event), Some(event), "cooldown", began, Some(until), hold.description().to_owned()))
    });
    active.chain(pending).chain(cooling).collect()
}

fn perturbation_events(rules: &Rules, state: &State) -> PerturbationEvents {
    let event = |event_rule: &townlet_town::rules::PerturbationEvent| PerturbationEvent {
        name: event_rule.name.clone(),
        kind: PERTURBATIONS[event_rule.kind as usize].name.into(),
        detail: PERTURBATIONS[event_rule.kind as usize].detail.into(),
        chance: event_rule.chance.to_f64(),
        least_ticks: event_rule.duration.0,
        most_ticks: event_rule.duration.1 + event_rule.longest_walk,
    };
    PerturbationEvents {
        by_themselves: state.live_settings.perturbations,
        events: rules.perturbation_events.iter().map(event).collect(),
    }
}

fn prices(prices: &[Micro]) -> BTreeMap<String, f64> {
    ITEMS.iter().zip(prices).map(|(row, price)| (row.1.into(), price.to_f64())).collect()
}

pub(super) fn kpis(rules: &Rules, state: &State) -> Vec<Kpi> {
    kpi::read(rules, state)
        .map(|reading| Kpi {
            name: reading.row.name.into(),
            title: reading.row.title.into(),
            value: reading.value.map(Micro::to_f64),
            unit: reading.row.unit.into(),
            target: target(reading.target, reading.row.unit),
            threshold: match reading.target {
                Target::AtLeast(limit) | Target::AtMost(limit) => Some(limit.to_f64()),
            },
            verdict: reading.verdict.name().into(),
            samples: u64::from(reading.samples),
            samples_required: u64::from(reading.row.samples_required),
            charter: reading.row.charter,
        })
        .collect()
}

fn target(target: Target, unit: &str) -> String {
    let (sign, limit) = match target {
        Target::AtLeast(limit) => ("≥", limit),
        Target::AtMost(limit) => ("≤", limit),
    };
    match unit {
        "ratio" => format!("{sign} {} %", Micro(limit.0 * 100)),
        "days" => format!("{sign} {limit} days"),
        "per_day" => format!("{sign} {limit} a day"),
        _ => format!("{sign} {limit}"),
    }
}

fn stability(rules: &Rules, state: &State) -> Stability {
    let checks = |readings: &[CheckReading]| {
        CHECKS
            .iter()
            .zip(readings)
            .map(|(row, reading)| Check {
                name: row.name.into(),
                value: reading.holds().map(|_| reading.value.to_f64()),
                limit: match row.unit {
                    "ratio" => format!("≤ {} %", Micro(reading.threshold.0 / 1_000 * 100_000)),
                    _ => format!("≤ {}", reading.threshold),
                },
                threshold: reading.threshold.to_f64(),
                verdict: match reading.holds() {
                    Some(true) => "ok",
                    Some(false) => "breach",
                    None => "not_enough_data",
                }
                .into(),
                samples: u64::from(reading.samples),
                samples_required: u64::from(reading.required),
                unit: row.unit.into(),
            })
            .collect::<Vec<Check>>()
    };
    let verdict = |green: Option<bool>| match green {
        Some(true) => "green",
        Some(false) => "red",
        None => "inconclusive",
    };
    Stability {
        window_ticks: u64::from(rules.config.stability.window_ticks),
        window_progress: stability::progress(rules, state),
        window: state.stability.windows + 1,
        windows: state
            .stability
            .closed
            .iter()
            .map(|window| Window {
                number: window.number,
                end_tick: window.end,
                verdict: verdict(window.green).into(),
                checks: checks(&window.checks),
            })
            .collect(),
        checks: checks(&stability::read(rules, state)),
        streak: state.stability.streak,
        required_passes: u64::from(rules.config.stability.promotion.required_passes),
    }
}
