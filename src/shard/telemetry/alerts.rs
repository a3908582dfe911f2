//! Alerts: conditions of the town, its policies and the shard that need an operator.

use townlet_town::fixed_point::Micro;
use townlet_town::perturbations::{ARRANGED_MEET, BLACKOUT, OUTAGE, PERTURBATIONS};
use townlet_town::stability::CHECKS;
use townlet_town::state::State;
use townlet_town::{Rules, employment, names};

use super::ShardStatus;
use townlet_wire::count;
use townlet_wire::telemetry::{Alert, Promotion};

/// An alert without its tick: name, severity, message, hint.
pub(crate) type AlertDraft = (&'static str, &'static str, String, &'static str);

/// Alerts of which several may be active at once, distinguished by their messages.
const REPEATABLE: [&str; 3] = ["shard_degraded", "thread_lost", "tick_hung"];

/// Alerts whose message says what they are about: a change of it is news, and ends an acknowledgement.
const SPECIFIC: [&str; 11] = [
    "candidate_ready",
    "config_not_in_force",
    "lock_disturbed",
    "release_disturbed",
    "stability_red",
    "starvation",
    "tls_key",
    "token_expires",
    "token_store",
    "tokens_disturbed",
    "training_diverged",
];

/// The issuer and tick of an acknowledgement, and what the alert said and counted then.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledgement {
    pub(crate) issuer: String,
    pub(crate) tick: u64,
    /// `None` when it was restored after a restart; then the first message counts.
    pub(crate) message: Option<String>,
    /// See [`size`]; `None` after a restart, as above.
    pub(crate) size: Option<usize>,
}

impl Acknowledgement {
    /// Whether it holds for the alert as it is now: not for what it did not name, nor for more than it counted.
    pub(crate) fn holds(&mut self, alert: &Alert, state: &State) -> bool {
        let same = !SPECIFIC.contains(&&*alert.name)
            || *self.message.get_or_insert_with(|| alert.message.clone()) == alert.message;
        let size = size(&alert.name, state);
        same && size <= *self.size.get_or_insert(size)
    }
}

/// How many residents or identities an alert counts, for those that grow while they are active; else 0. Counts of events in a
/// stability window grow with every event and end with the window, so they are not among them.
pub(crate) fn size(alert: &str, state: &State) -> usize {
    match alert {
        "exit_queue_overflow" => state.employment.queue.len(),
        "exit_cap_reached" => undecided(state),
        "identity_reuse" => state.lifecycle.early_reuses as usize,
        _ => 0,
    }
}

/// Number of exits that no operator has approved.
fn undecided(state: &State) -> usize {
    state.employment.queue.iter().filter(|entry| !entry.approved).count()
}

/// Alerts about tokens and keys of the service. They say nothing about a policy, so they neither hold nor revert one.
pub(crate) const CREDENTIAL_ALERTS: [&str; 3] = ["token_store", "token_expires", "tls_key"];

/// Share of a stability window's rewards that may be clipped.
const MAX_CLIPPED_SHARE: Micro = Micro(10_000);

pub(crate) fn key(alert: &Alert) -> (String, String) {
    let message = is_repeatable(&alert.name).then(|| alert.message.clone());
    (alert.name.clone(), message.unwrap_or_default())
}

/// Whether alerts of this name say something about the process, so that a restart raises them anew.
pub(crate) fn is_of_a_process(name: &str) -> bool {
    is_repeatable(name) || name == "config_not_in_force"
}

/// Whether several alerts of this name may be active at once.
fn is_repeatable(name: &str) -> bool {
    REPEATABLE.contains(&name)
}

/// Alerts of the town and its policies.
fn town_alerts(rules: &Rules, state: &State, status: &ShardStatus) -> Vec<AlertDraft> {
    let mut alerts = promotion_alerts(&status.promotion, status.canary_is_red);
    let waiting = state.employment.queue.len();
    let undecided = undecided(state) as u64;
    let limit = rules.config.employment.exit_queue_limit;
    if employment::overflows(rules, state) {
        let message = if waiting == 1 {
            format!("1 resident waits in the exit queue; its limit is {limit}.")
        } else {
            format!("{waiting} residents wait in the exit queue; its limit is {limit}.")
        };
        alerts.push(("exit_queue_overflow", "critical", message, "Approve or defer exits in the Employment pane."));
    } else if undecided > 0
        && let Some((exits, cap)) = reached_cap(rules, state)
    {
        let waiting = count(undecided, "resident");
        let verb = if undecided == 1 { "waits" } else { "wait" };
        alerts.push((
            "exit_cap_reached",
            "warning",
            format!("exit cap reached: {exits} today, limit {cap}; {waiting} {verb}."),
            "Exits that you do not approve wait for tomorrow. Approve or defer them in the Employment pane.",
        ));
    }
    let starving =
        state.agents.present.iter().filter(|agent| {
            state.agents.starving_ticks[**agent] >= rules.config.stability.starvation.min_duration_ticks
        });
    let names: Vec<String> = starving.map(|agent| names::name(state.agents.resident[*agent])).collect();
    if !names.is_empty() {
        let message = format!("starving: {}.", names.join(", "));
        alerts.push(("starvation", "critical", message, "`explain` shows why they do not eat."));
    }
    for (kind, row) in (0_u8..).zip(&PERTURBATIONS).filter(|(kind, _)| *kind != ARRANGED_MEET) {
        if state.perturbations.is_active(kind) {
            let hint = match kind {
                BLACKOUT => "`blackout off` ends it.",
                OUTAGE => "`outage off` ends it.",
                _ => "`perturbation_queue` lists it, `perturbation_cancel` ends it.",
            };
            alerts.push((row.name, "warning", format!("{}.", row.detail), hint));
        }
    }
    let (reused, arrived) = (state.lifecycle.early_reuses, state.lifecycle.next_resident);
    let share = Micro::ratio(i64::from(reused), i64::from(arrived));
    if reused > 0 && share > rules.config.embedding_allocator.reuse_warning_threshold {
        let message = format!("{reused} of {arrived} identities were reused before their cooldown ended.");
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
    alerts.extend(reward_explosion(rules, state));
    let failures = state.stability.counters.affordance_failures;
    if failures > rules.config.stability.affordance_fail_threshold {
        let message = format!("{} failed in this window.", count(failures.into(), "use"));
        alerts.push(("affordance_failures", "warning", message, "`affordance_status` lists what cannot be used."));
    }
    alerts
}

/// The exits of today, in words, and their limit, if that holds exits that no operator approves: the exit cap, or the limit on
/// exits of all causes.
fn reached_cap(rules: &Rules, state: &State) -> Option<(String, u32)> {
    let (exits, cap) = (state.employment.exits_today, state.live_settings.daily_exit_cap);
    if exits >= cap {
        return Some((count(exits.into(), "exit"), cap));
    }
    let (all, most) = (state.lifecycle.exits_today, rules.config.lifecycle.max_exits_per_day);
    (all >= most).then(|| (format!("{} of all causes", count(all.into(), "exit")), most))
}

/// Rewards so large that the limit of a tick clips more of them than [`MAX_CLIPPED_SHARE`].
fn reward_explosion(rules: &Rules, state: &State) -> Option<AlertDraft> {
    let clipped = i64::from(state.stability.counters.reward_clips);
    let window = i64::from(rules.config.stability.window_ticks);
    let rewards = window * state.agents.present.len().max(1) as i64;
    (Micro::ratio(clipped, rewards) > MAX_CLIPPED_SHARE).then(|| {
        let limit = rules.config.rewards.clip.clip_per_tick;
        let message = format!("rewards of this stability window that were clipped at {limit} per tick: {clipped}.");
        let hint = "`reward_clip_events` counts them. Pause the training, correct `rewards` in the shard's file, `reload_config`.";
        ("reward_explosion", "warning", message, hint)
    })
}

fn promotion_alerts(promotion: &Promotion, red: bool) -> Vec<AlertDraft> {
    let mut alerts = Vec::new();
    if promotion.state == "eligible" {
        let message =
            format!("`{}` meets the conditions for promotion.", promotion.candidate.as_deref().unwrap_or_default());
        alerts.push((
            "candidate_ready",
            "warning",
            message,
            "`promotion_status` shows the evidence; `promote_policy` promotes it.",
        ));
    }
    if red {
        let message = format!("the last canary window of `{}` was red.", promotion.release);
        alerts.push(("canary_red", "critical", message, "`rollback_policy` reverts it on the next tick."));
    }
    alerts
}

/// All active alerts, with the current tick; the shard records when each was raised.
pub(crate) fn active_alerts(rules: &Rules, state: &State, status: &ShardStatus) -> Vec<Alert> {
    let since_tick = state.tick;
    let dated = |(name, severity, message, hint): AlertDraft| Alert {
        name: name.into(),
        severity: severity.into(),
        since_tick,
        message,
        hint: hint.into(),
        ..Alert::default()
    };
    let town = town_alerts(rules, state, status).into_iter().chain(crate::training::alert(&status.learning));
    let is_raised = |problem: &&String| status.raised.iter().any(|alert| alert.message == **problem);
    let degraded = status.health.problems.iter().filter(|problem| !is_raised(problem)).map(|problem| {
        let hint = "Commands that change state are refused until this is fixed; viewing continues.";
        ("shard_degraded", "critical", problem.clone(), hint)
    });
    let aggregating = status.aggregating_since.map(|since_tick| {
        let archive = status.transport.archive.as_deref();
        let raw = archive.map_or_else(String::new, |file| format!(" The raw stream goes to logs/telemetry/{file}."));
        let message = format!("telemetry messages are merged: too many are waiting, or an operator requested it.{raw}");
        let hint = "It returns to normal by itself; `telemetry_mode` overrides this.";
        Alert { since_tick, ..dated(("telemetry_aggregating", "warning", message, hint)) }
    });
    let config = status.config_not_in_force.iter().map(|why| {
        (
            "config_not_in_force",
            "warning",
            why.clone(),
            "The preview of `reload_config` says what it would change, or what is wrong.",
        )
    });
    let own = status.raised.iter().cloned().chain(degraded.chain(config).map(dated)).chain(aggregating);
    town.map(dated).chain(own).collect()
}

/// The alerts of a snapshot: each with the tick at which it was raised, critical ones first.
pub(super) fn alerts(rules: &Rules, state: &State, status: &ShardStatus) -> Vec<Alert> {
    let mut alerts = active_alerts(rules, state, status);
    for alert in &mut alerts {
        alert.since_tick = status.alerts_since.get(&key(alert)).copied().unwrap_or(alert.since_tick);
        if let Some(Acknowledgement { issuer, tick, .. }) = status.acknowledged.get(&key(alert)) {
            (alert.acknowledged_by, alert.acknowledged_tick) = (Some(issuer.clone()), Some(*tick));
        }
    }
    alerts.sort_by_key(|alert| alert.severity != "critical");
    alerts
}
