//! From a town and the shard around it to the one snapshot observers see.
//!
//! Owns the translation and nothing else: no rule of the town is decided here. Rule: "Telemetry".

mod event_feed;
mod places;
mod residents;

pub(super) use event_feed::Story;
pub(super) use places::conflict;
pub(super) use residents::{inspect, personality, relationships};

use std::collections::BTreeMap;
use std::sync::Arc;

use townlet_town::affordances::ITEMS;
use townlet_town::fixed_point::Micro;
use townlet_town::kpi::{self, Target};
use townlet_town::perturbations::{self, ARRANGED_MEET, BLACKOUT, OUTAGE, PERTURBATIONS, StartBlock};
use townlet_town::stability::{self, CHECKS};
use townlet_town::state::CheckReading;
use townlet_town::state::ITEM_NAMES;
use townlet_town::state::State;
use townlet_town::{AgentId, Rules, Town, employment, names};

use super::driver::Driver;
use super::lateness::Lateness;
use super::privacy::PrivacyFilter;
use townlet_wire::SCHEMA_VERSION;
use townlet_wire::telemetry::{
    Alert, AuditTail, Check, Clock, Employment, ExitEntry, Health, Kpi, Learning, Perturbation, PerturbationEvent,
    PerturbationEvents, Policy, Promotion, Rewards, Snapshot, Stability, Transport, Window,
};

/// What the shard adds to the town: everything in a snapshot that is not the town's own state.
#[derive(Debug, Default)]
pub(super) struct ShardStatus {
    /// The shard's name.
    pub shard: String,
    /// This run.
    pub run_id: String,
    /// Who drives the residents.
    pub policy: Policy,
    /// The same at work.
    pub driver: Driver,
    /// `paused`, `1x`, `10x`, `100x`, `max`.
    pub speed: String,
    /// Measured.
    pub ticks_per_second: f64,
    /// Events and sentences so far.
    pub story: Story,
    /// How the shard itself fares.
    pub health: Health,
    /// What the shard itself raised: a tick that hangs, a thread that broke off. Each is a problem of its health as well.
    pub raised: Vec<Alert>,
    /// When each standing alert was raised, by [`key`].
    pub alerts_since: BTreeMap<(String, String), u64>,
    /// How often each alert was raised.
    pub alerts_raised: BTreeMap<String, u64>,
    /// How telemetry itself fares.
    pub transport: Transport,
    /// When the publisher began to merge messages, while it does.
    pub aggregating_since: Option<u64>,
    /// What residents are called outside, when that is not their name.
    pub names: PrivacyFilter,
    /// The training beside the town.
    pub learning: Learning,
    /// Where the promotion of a policy stands.
    pub promotion: Promotion,
    /// Whether the release is on canary and its last conclusive window was red.
    pub canary_is_red: bool,
    /// How late ticks come.
    pub lateness: Arc<Lateness>,
}

/// The id of whoever lives in a slot.
pub(super) fn agent_id(state: &State, agent: AgentId) -> String {
    names::id(state.agents.resident[agent])
}

/// Everything an observer knows, by the names it may know. The one way out of a shard.
pub(super) fn snapshot(town: &Town, status: &ShardStatus, audit: AuditTail) -> Snapshot {
    status.names.snapshot(whole(town, status, audit))
}

fn whole(town: &Town, status: &ShardStatus, audit: AuditTail) -> Snapshot {
    let (rules, state) = (town.rules(), town.state());
    Snapshot {
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
        },
        observation_variant: variant(rules),
        policy: status.policy.clone(),
        jobs: residents::jobs(rules, state),
        economy: places::stores(rules, state),
        prices: ITEMS.iter().zip(state.economy.prices).map(|(row, price)| (row.1.into(), price.to_f64())).collect(),
        list_prices: list_prices(state),
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
        narrations: status.story.narrations().cloned().collect(),
        events: status.story.events().cloned().collect(),
        counters: status.story.counters(),
        alerts_raised: status.alerts_raised.clone(),
        kpis: kpis(rules, state),
        alerts: alerts(rules, state, status),
        transport: status.transport.clone(),
        health: status.health.clone(),
        agents: residents::agents(town, &status.driver),
        map: places::map(rules),
        audit,
        promotion: status.promotion.clone(),
        learning: status.learning.clone(),
    }
}

/// `full`, `hybrid`, `compact`.
pub(super) fn variant(rules: &Rules) -> String {
    format!("{:?}", rules.config.features.systems.observations).to_lowercase()
}

pub(super) fn stage(rules: &Rules) -> String {
    format!("{:?}", rules.config.features.stages.relationships).to_uppercase()
}

/// The exit queue as `employment_status` and the screen show it.
pub(super) fn employment(rules: &Rules, state: &State) -> Employment {
    let present = || state.agents.present.iter().copied();
    let ratios: Vec<f64> = present()
        .filter_map(|agent| state.agents.attendance(agent, rules.config.employment.attendance_window))
        .map(Micro::to_f64)
        .collect();
    let queue: Vec<ExitEntry> = state
        .employment
        .queue
        .iter()
        .map(|entry| ExitEntry {
            agent: agent_id(state, entry.agent),
            reason: entry.reason.name().into(),
            enqueued_tick: entry.enqueued,
            releases_at_tick: employment::review_ends_at(rules, entry),
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
    }
}

/// Shocks under way, expected today, and events that may not come again yet.
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
        let held = perturbations::start_block(rules, state, it.event);
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

/// The events of the perturbation file.
fn perturbation_events(rules: &Rules, state: &State) -> PerturbationEvents {
    let event = |event_rule: &townlet_town::rules::PerturbationEvent| PerturbationEvent {
        name: event_rule.name.clone(),
        kind: PERTURBATIONS[event_rule.kind as usize].name.into(),
        detail: PERTURBATIONS[event_rule.kind as usize].detail.into(),
        chance: event_rule.chance.to_f64(),
        least_ticks: event_rule.duration.0,
        most_ticks: event_rule.duration.1,
    };
    PerturbationEvents {
        by_themselves: state.live_settings.perturbations,
        events: rules.perturbation_events.iter().map(event).collect(),
    }
}

fn list_prices(state: &State) -> BTreeMap<String, f64> {
    ITEMS.iter().zip(state.economy.list_prices).map(|(row, price)| (row.1.into(), price.to_f64())).collect()
}

/// Every KPI with its verdict.
pub(super) fn kpis(rules: &Rules, state: &State) -> Vec<Kpi> {
    kpi::read(rules, state)
        .map(|reading| Kpi {
            name: reading.row.name.into(),
            title: reading.row.title.into(),
            value: reading.value.map(Micro::to_f64),
            unit: reading.row.unit.into(),
            target: target(reading.target, reading.row.unit),
            threshold: Some(bound(reading.target).to_f64()),
            verdict: reading.verdict.name().into(),
            samples: u64::from(reading.samples),
            samples_required: u64::from(reading.row.samples_required),
            charter: reading.row.charter,
        })
        .collect()
}

const fn bound(target: Target) -> Micro {
    match target {
        Target::AtLeast(limit) | Target::AtMost(limit) => limit,
    }
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

/// An alert before it is dated: name, severity, message, hint.
pub(super) type AlertDraft = (&'static str, &'static str, String, &'static str);

/// Alerts of which several may stand at once, told apart by their messages.
const SEVERAL: [&str; 3] = ["shard_degraded", "thread_lost", "tick_hung"];

/// What makes an alert another one.
pub(super) fn key(alert: &Alert) -> (String, String) {
    let message = SEVERAL.contains(&alert.name.as_str()).then(|| alert.message.clone());
    (alert.name.clone(), message.unwrap_or_default())
}

/// What the town and its policies need an operator for, by the names the handbook uses.
fn town_alerts(rules: &Rules, state: &State, status: &ShardStatus) -> Vec<AlertDraft> {
    let mut alerts = promotion_alerts(&status.promotion, status.canary_is_red);
    let waiting = state.employment.queue.len();
    let limit = rules.config.employment.exit_queue_limit;
    if employment::overflows(rules, state) {
        let message = format!("{waiting} residents wait in the exit queue; its limit is {limit}.");
        alerts.push(("exit_queue_overflow", "critical", message, "Approve or defer entries in the Employment pane."));
    } else if waiting > 0 && state.employment.exits_today >= state.live_settings.daily_exit_cap {
        let message = format!("exit cap reached: {waiting} wait for review.");
        alerts.push(("exit_cap_reached", "warning", message, "Approve or defer, or wait for tomorrow."));
    }
    let starving =
        state.agents.present.iter().filter(|agent| {
            state.agents.starving_ticks[**agent] >= rules.config.stability.starvation.min_duration_ticks
        });
    let names: Vec<String> = starving.map(|agent| names::name(state.agents.resident[*agent])).collect();
    if !names.is_empty() {
        let message = format!("starving: {}.", names.join(", "));
        alerts.push(("starvation", "critical", message, "`explain` says why they do not eat."));
    }
    for (kind, row) in (0_u8..).zip(&PERTURBATIONS).filter(|(kind, _)| *kind != ARRANGED_MEET) {
        if state.perturbations.is_active(kind) {
            let by_switch = kind == BLACKOUT || kind == OUTAGE;
            let spike = "`perturbation_queue` lists it, `perturbation_cancel` ends it.";
            let hint = if by_switch { "End it with the same command and `off`." } else { spike };
            alerts.push((row.name, "warning", format!("{}.", row.detail), hint));
        }
    }
    let (reused, arrived) = (state.lifecycle.early_reuses, state.lifecycle.next_resident);
    let share = Micro::ratio(i64::from(reused), i64::from(arrived));
    if reused > 0 && share > rules.config.embedding_allocator.reuse_warning_threshold {
        let message = format!("{reused} of {arrived} identities were handed out again before their cooldown.");
        alerts.push((
            "identity_reuse",
            "warning",
            message,
            "Raise embedding_allocator.max_slots in the configuration.",
        ));
    }
    if let Some(window) = state.stability.closed.last().filter(|window| window.green == Some(false)) {
        let broken: Vec<&str> = CHECKS
            .iter()
            .zip(&window.checks)
            .filter(|(_, check)| check.holds() == Some(false))
            .map(|(row, _)| row.name)
            .collect();
        let message = format!("stability window {} was red: {}.", window.number, broken.join(", "));
        alerts.push(("stability_red", "warning", message, "The Stability pane shows each check."));
    }
    let failures = state.stability.counters.affordance_failures;
    if failures > rules.config.stability.affordance_fail_threshold {
        let message = format!("{failures} uses failed in this window.");
        alerts.push(("affordance_failures", "warning", message, "`affordance_status` lists what cannot be used."));
    }
    alerts
}

fn promotion_alerts(promotion: &Promotion, red: bool) -> Vec<AlertDraft> {
    let mut alerts = Vec::new();
    if promotion.state == "eligible" {
        let message = format!("`{}` may be promoted.", promotion.candidate.as_deref().unwrap_or_default());
        alerts.push((
            "candidate_ready",
            "warning",
            message,
            "`promotion_status` shows the evidence; `promote_policy`.",
        ));
    }
    if red {
        let message = format!("the last window of `{}` on canary was red.", promotion.release);
        alerts.push(("canary_red", "critical", message, "`rollback_policy` takes it back on the next tick."));
    }
    alerts
}

/// Everything that needs an operator now. The shard notes when each was raised.
pub(super) fn active_alerts(rules: &Rules, state: &State, status: &ShardStatus) -> Vec<Alert> {
    let since_tick = state.tick;
    let dated = |(name, severity, message, hint): AlertDraft| Alert {
        name: name.into(),
        severity: severity.into(),
        since_tick,
        message,
        hint: hint.into(),
    };
    let town = town_alerts(rules, state, status).into_iter().chain(super::training::alert(&status.learning));
    let told = |problem: &&String| status.raised.iter().all(|alert| alert.message != **problem);
    let degraded = status.health.problems.iter().filter(told).map(|problem| {
        let hint = "Commands that change anything are refused until it is mended; viewing goes on.";
        ("shard_degraded", "critical", problem.clone(), hint)
    });
    let aggregating = status.aggregating_since.map(|since_tick| {
        let archive = status.transport.archive.as_deref();
        let raw = archive.map_or_else(String::new, |file| format!(" The raw stream goes to logs/telemetry/{file}."));
        let message = format!("telemetry is merged: too many messages wait to be read, or it was asked for.{raw}");
        let hint = "It goes back by itself; `telemetry_mode` decides otherwise.";
        Alert { since_tick, ..dated(("telemetry_aggregating", "warning", message, hint)) }
    });
    let own = status.raised.iter().cloned().chain(degraded.map(dated)).chain(aggregating);
    town.map(dated).chain(own).collect()
}

fn alerts(rules: &Rules, state: &State, status: &ShardStatus) -> Vec<Alert> {
    let mut alerts = active_alerts(rules, state, status);
    for alert in &mut alerts {
        alert.since_tick = status.alerts_since.get(&key(alert)).copied().unwrap_or(alert.since_tick);
    }
    alerts.sort_by_key(|alert| alert.severity != "critical");
    alerts
}
