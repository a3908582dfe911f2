//! The import table: how each key of a configuration of the original program is converted.

use super::{KeyOutcome, moved, refused};
use crate::config::reference::row;
use crate::config::yaml_tree::{Node, Value};
use crate::fixed_point::Micro;

/// Converts a setting: the ticks of a day, its key, its value, and the settings it becomes.
pub(super) type Convert = fn(u32, &str, &Value, &mut Vec<(String, Value)>) -> KeyOutcome;

/// How the keys of a row are imported.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// Renamed to this setting.
    To(&'static str),
    /// Dropped, for this reason.
    Gone(&'static str),
    /// Converted by a function.
    By(Convert),
    /// Moved to the perturbation file under the same name.
    Events,
}

/// The import table. A `*` matches one name, a final `**` everything below. Keys without a row that are settings here are kept.
pub(super) static ROWS: &[(&str, Rule)] = &[
    ("config_id", Rule::By(identity)),
    ("features.relationship_modifiers", Rule::Gone("personality always affects ties here")),
    ("observations_config.hybrid.time_ticks_per_day", Rule::To(TICKS_PER_DAY)),
    ("features.observations.**", Rule::Gone("layouts are fixed; features.systems.observations chooses one")),
    ("observations_config.**", Rule::Gone("layouts are fixed; features.systems.observations chooses one")),
    ("runtime.**", Rule::Gone("every part has only one implementation here")),
    (
        "personalities.**",
        Rule::Gone("there are no profiles: each resident has its own extroversion, forgiveness and ambition by its id"),
    ),
    ("curiosity.**", Rule::Gone("there is no curiosity reward")),
    ("features.training.**", Rule::Gone("there is no curiosity reward")),
    ("rewards.decay_rates.*", Rule::By(decay)),
    ("lifecycle.respawn_delay_ticks", Rule::By(spawn_delay)),
    ("conflict.rivalry.decay_per_tick", Rule::By(rivalry_decay)),
    ("conflict.rivalry.min_value", Rule::Gone("ties lie between -1 and 1")),
    ("conflict.rivalry.max_value", Rule::Gone("ties lie between -1 and 1")),
    ("conflict.rivalry.*", Rule::Gone("all conflicts count the same: conflict.rivalry.increment_per_conflict")),
    ("embedding_allocator.log_forced_reuse", Rule::Gone("early reuse is always counted")),
    ("ppo.num_mini_batches", Rule::Gone("their number follows from ppo.mini_batch_size")),
    ("training.**", Rule::Gone("`townlet train` starts a training; its flags set source and length")),
    (
        "affordances.affordances_file",
        Rule::Gone("import that file by itself and name the result here; until then the shipped one is used"),
    ),
    ("affordances.runtime.**", Rule::Gone("affordances run in only one way")),
    ("stability.lateness_threshold", Rule::Gone("lateness is compared with a baseline: stability.lateness")),
    ("stability.starvation.window_ticks", Rule::Gone("every check has one window: stability.window_ticks")),
    ("stability.reward_variance.window_ticks", Rule::Gone("every check has one window: stability.window_ticks")),
    ("stability.option_thrash.window_ticks", Rule::Gone("every check has one window: stability.window_ticks")),
    ("stability.promotion.window_ticks", Rule::To("stability.window_ticks")),
    ("telemetry.narration.priority_categories", Rule::Gone("each category has its priority")),
    ("telemetry.personality_narration.**", Rule::Gone("narration is limited by category only: telemetry.narration")),
    ("telemetry.relationship_narration.**", Rule::Gone("narration is limited by category only: telemetry.narration")),
    ("telemetry.transport.**", Rule::Gone("telemetry is served, not pushed")),
    ("telemetry.worker.**", Rule::Gone("telemetry never delays a tick: telemetry.backpressure")),
    ("telemetry.transforms.**", Rule::Gone("telemetry has only one form; telemetry.privacy hides names")),
    ("telemetry.diff_enabled", Rule::Gone("telemetry always sends a snapshot and then changes")),
    ("snapshot.storage.root", Rule::To("snapshot.root")),
    ("snapshot.identity.**", Rule::Gone("a snapshot contains its own identity")),
    ("snapshot.migrations.**", Rule::Gone("a snapshot of another version is refused")),
    ("snapshot.guardrails.**", Rule::Gone("a snapshot is always checked when it is loaded")),
    ("snapshot.capture_on_failed_promotion", Rule::Gone("snapshots of release and candidate are always kept")),
    ("console_auth.require_auth_for_viewer", Rule::Gone("a session without token is a viewer")),
    ("console_auth.tokens", Rule::Gone("`townlet token create` creates tokens, which are stored hashed")),
    ("perturbations.events.*", Rule::Events),
    ("perturbations.max_concurrent_events", Rule::Events),
    ("perturbations.global_cooldown_ticks", Rule::Events),
    ("perturbations.per_agent_cooldown_ticks", Rule::Events),
    ("perturbations.grace_window_ticks", Rule::Events),
    ("perturbations.window_ticks", Rule::Events),
    ("perturbations.max_events_per_window", Rule::Events),
    ("jobs.*", Rule::By(job)),
    ("world.weather_seed", Rule::Gone("there is no weather; `seed` determines all randomness")),
    ("world.grid_size", Rule::Gone("the plan sets the size: world.plan")),
    ("world.*", Rule::Gone("the plan sets the objects: world.plan")),
    ("meta.**", Rule::Gone("it describes the file and changes nothing")),
    ("docs.**", Rule::Gone("it describes the file and changes nothing")),
    (
        "scenario.**",
        Rule::Gone("the plan sets objects, and residents decide for themselves; a script can place and equip them"),
    ),
    ("timeline.**", Rule::Gone("import the timeline as a file of its own, which becomes a command script")),
];

/// The setting for the length of a day.
pub(super) const TICKS_PER_DAY: &str = "time.ticks_per_day";

/// With a faster decay a need is empty after a third of a day, and nobody survives.
fn fastest_decay(day: u32) -> Micro {
    Micro::ratio(3, i64::from(day.max(1)))
}

/// Sites of the jobs by name; other jobs are in the office.
const SITES: [(&str, &str); 4] = [("grocer", "grocer"), ("barista", "cafe"), ("clerk", "office"), ("trainer", "gym")];

/// Settings of a job without counterpart.
pub(super) static JOB_EXTRAS: [(&str, &str); 1] = [("location", "the plan sets the position of a site")];

/// Ids allow fewer characters here.
fn identity(_: u32, key: &str, value: &Value, out: &mut Vec<(String, Value)>) -> KeyOutcome {
    let Value::Text(text) = value else { return refused("an identity is text") };
    let allowed = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_-".contains(letter);
    let name: String = text.to_lowercase().chars().map(|letter| if allowed(letter) { letter } else { '-' }).collect();
    out.push((key.to_owned(), Value::Text(name.clone())));
    if name == *text { KeyOutcome::Kept } else { moved(key, &format!("written `{name}`")) }
}

fn decay(day: u32, key: &str, value: &Value, out: &mut Vec<(String, Value)>) -> KeyOutcome {
    let need = key.rsplit('.').next().unwrap_or_default();
    let fastest = fastest_decay(day);
    match value.decimal() {
        Some(rate) if rate <= fastest => {
            let to = format!("needs.decay_rates.{need}");
            out.push((to.clone(), value.clone()));
            moved(&to, "")
        }
        Some(rate) => refused(format!(
            "residents cannot survive a day at {rate} a tick; needs.decay_rates.{need} may be up to {fastest} here"
        )),
        None => refused("a rate is a number"),
    }
}

fn spawn_delay(_: u32, _: &str, value: &Value, out: &mut Vec<(String, Value)>) -> KeyOutcome {
    let to = "lifecycle.spawn_delay_ticks";
    out.push((to.to_owned(), Value::List(vec![Node::bare(value.clone()), Node::bare(value.clone())])));
    moved(to, "the same least and most")
}

fn rivalry_decay(day: u32, _: &str, value: &Value, out: &mut Vec<(String, Value)>) -> KeyOutcome {
    let Some(rate) = value.decimal() else { return refused("a rate is a number") };
    let to = "conflict.rivalry.decay_per_hour";
    let ticks = day / 24;
    let hourly = Micro(rate.0.saturating_mul(i64::from(ticks)));
    let kept = hourly.min(Micro::ONE);
    out.push((to.to_owned(), Value::Decimal(kept.to_f64())));
    let limited = if kept < hourly { format!("; {hourly} is limited to {kept}") } else { String::new() };
    moved(to, &format!("an hour has {ticks} ticks{limited}"))
}

/// A job has a site here, and its tile follows from the plan.
fn job(_: u32, key: &str, value: &Value, out: &mut Vec<(String, Value)>) -> KeyOutcome {
    let Value::Map(entries) = value else { return refused("a job is a map of settings") };
    let name = key.rsplit('.').next().unwrap_or_default();
    let site = SITES.iter().find(|row| row.0 == name).map_or("office", |row| row.1);
    out.push((format!("{key}.site"), Value::Text(site.to_owned())));
    out.push((format!("{key}.location"), Value::Null));
    let settings = ["start_tick", "end_tick", "wage_rate", "lateness_penalty"];
    for entry in entries.iter().filter(|entry| settings.contains(&entry.name.as_str())) {
        out.push((format!("{key}.{}", entry.name), entry.node.value.clone()));
    }
    if !entries.iter().any(|entry| entry.name == "lateness_penalty") {
        out.push((format!("{key}.lateness_penalty"), Value::Decimal(0.0)));
    }
    moved(key, &format!("at the site `{site}` of the plan"))
}

/// Whether a key matches a pattern of the table.
pub(super) fn fits(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('.'), path.split('.'));
    loop {
        match (pattern.next(), path.next()) {
            (Some("**"), _) | (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(name), Some(part)) if name == part => {}
            _ => return false,
        }
    }
}

pub(super) fn rule(path: &str) -> Option<Rule> {
    // An exact row or setting has priority over a pattern.
    let exact = ROWS.iter().find(|it| !it.0.contains('*') && fits(it.0, path));
    let caught = || ROWS.iter().find(|it| fits(it.0, path));
    exact.or_else(|| if row(path).is_some() && !path.starts_with("jobs.") { None } else { caught() }).map(|it| it.1)
}
