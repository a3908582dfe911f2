//! Import of configuration files of the original program: the outcome of every key and a file for this program. The result is
//! loaded and validated; a refused value keeps its default and is reported. Rule: "Configuration import".

use std::fmt::Write as _;
use std::sync::Arc;

use super::error::{ConfigError, ConfigErrors};
use super::load::{Layers, load};
use super::perturbation_file::PerturbationFile;
use super::reference::row;
use super::yaml_parser::parse;
use super::yaml_tree::{Entry, Layer, Node, Source, Value};
use crate::fixed_point::Micro;

/// The outcome of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyOutcome {
    /// The setting exists here unchanged.
    Kept,
    /// The setting has another name or form.
    Moved {
        /// The new setting.
        to: String,
        /// The change of the value; empty when only the name changed.
        note: String,
    },
    /// No counterpart exists.
    Dropped {
        /// The reason.
        why: String,
    },
    /// The value is not allowed here, so the default applies.
    Refused {
        /// The reason.
        why: String,
    },
}

impl KeyOutcome {
    /// The outcome in one word: `kept`, `moved`, `dropped`, `refused`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Moved { .. } => "moved",
            Self::Dropped { .. } => "dropped",
            Self::Refused { .. } => "refused",
        }
    }
}

/// A key of the original file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedKey {
    /// The key, such as `rewards.decay_rates.hunger`.
    pub key: String,
    /// Its line; 0 when it is unknown.
    pub line: usize,
    /// Its outcome.
    pub outcome: KeyOutcome,
}

/// An imported file.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Every key, in the order of the file.
    pub findings: Vec<ImportedKey>,
    /// A valid configuration file for this program.
    pub config: String,
    /// A perturbation file, when the original has events.
    pub perturbations: Option<String>,
}

/// How the keys of a row are imported.
#[derive(Clone, Copy)]
enum Rule {
    /// Renamed to this setting.
    To(&'static str),
    /// Dropped, for this reason.
    Gone(&'static str),
    /// Converted by a function.
    By(fn(&str, &Value, &mut Vec<(String, Value)>) -> KeyOutcome),
    /// Moved to the perturbation file under the same name.
    Events,
}

/// The import table. A `*` matches one name, a final `**` everything below. Keys without a row that are settings here are kept.
static ROWS: &[(&str, Rule)] = &[
    ("config_id", Rule::By(identity)),
    ("features.relationship_modifiers", Rule::Gone("personality always affects ties here")),
    ("features.observations.**", Rule::Gone("layouts are fixed; features.systems.observations chooses one")),
    ("observations_config.**", Rule::Gone("layouts are fixed; features.systems.observations chooses one")),
    ("runtime.**", Rule::Gone("every part has only one implementation here")),
    ("personalities.**", Rule::Gone("personalities are spread evenly over all residents")),
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
        Rule::Gone("the affordance file has another format here; the shipped one is used"),
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
    ("console_auth.tokens", Rule::Gone("`townlet token new` creates tokens, which are stored hashed")),
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
    ("scenario.**", Rule::Gone("a scenario is a configuration with a command script here")),
    ("timeline.**", Rule::Gone("a timeline is a command script here: run --script")),
];

/// With a faster decay a need is empty after a third of a day, and nobody survives.
const FASTEST_DECAY: Micro = Micro(3_000);
/// Sites of the jobs by name; other jobs are in the office.
const SITES: [(&str, &str); 4] = [("grocer", "grocer"), ("barista", "cafe"), ("clerk", "office"), ("trainer", "gym")];

/// Settings of an event without counterpart.
static EVENT_EXTRAS: [(&str, &str); 2] = [
    ("utility", "a blackout affects the power, an outage the water"),
    ("max_participants", "a meeting has two participants"),
];
/// Settings of a job without counterpart.
static JOB_EXTRAS: [(&str, &str); 1] = [("location", "the plan sets the position of a site")];

/// The map without these entries.
fn without(value: &Value, names: &[(&str, &str)]) -> Value {
    match value {
        Value::Map(entries) => {
            let stays = |entry: &&Entry| names.iter().all(|name| name.0 != entry.name);
            Value::Map(entries.iter().filter(stays).cloned().collect())
        }
        other => other.clone(),
    }
}

fn moved(to: &str, note: &str) -> KeyOutcome {
    KeyOutcome::Moved { to: to.to_owned(), note: note.to_owned() }
}

fn refused(why: impl Into<String>) -> KeyOutcome {
    KeyOutcome::Refused { why: why.into() }
}

/// Ids allow fewer characters here.
fn identity(key: &str, value: &Value, out: &mut Vec<(String, Value)>) -> KeyOutcome {
    let Value::Text(text) = value else { return refused("an identity is text") };
    let allowed = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_-".contains(letter);
    let name: String = text.to_lowercase().chars().map(|letter| if allowed(letter) { letter } else { '-' }).collect();
    out.push((key.to_owned(), Value::Text(name.clone())));
    if name == *text { KeyOutcome::Kept } else { moved(key, &format!("written `{name}`")) }
}

fn decay(key: &str, value: &Value, out: &mut Vec<(String, Value)>) -> KeyOutcome {
    let need = key.rsplit('.').next().unwrap_or_default();
    match value.decimal() {
        Some(rate) if rate <= FASTEST_DECAY => {
            let to = format!("needs.decay_rates.{need}");
            out.push((to.clone(), value.clone()));
            moved(&to, "")
        }
        Some(rate) => refused(format!(
            "residents cannot survive a day at {rate} a tick; needs.decay_rates.{need} may be up to {FASTEST_DECAY} here"
        )),
        None => refused("a rate is a number"),
    }
}

fn spawn_delay(_: &str, value: &Value, out: &mut Vec<(String, Value)>) -> KeyOutcome {
    let to = "lifecycle.spawn_delay_ticks";
    out.push((to.to_owned(), Value::List(vec![Node::bare(value.clone()), Node::bare(value.clone())])));
    moved(to, "the same least and most")
}

/// In the original an hour has 60 ticks.
fn rivalry_decay(_: &str, value: &Value, out: &mut Vec<(String, Value)>) -> KeyOutcome {
    let Some(rate) = value.decimal() else { return refused("a rate is a number") };
    let to = "conflict.rivalry.decay_per_hour";
    let hourly = Micro(rate.0.saturating_mul(60).min(Micro::ONE.0));
    out.push((to.to_owned(), Value::Decimal(hourly.to_f64())));
    moved(to, "60 ticks are an hour")
}

/// A job has a site here, and its tile follows from the plan.
fn job(key: &str, value: &Value, out: &mut Vec<(String, Value)>) -> KeyOutcome {
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
fn fits(pattern: &str, path: &str) -> bool {
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

fn rule(path: &str) -> Option<Rule> {
    // An exact row or setting has priority over a pattern.
    let exact = ROWS.iter().find(|it| !it.0.contains('*') && fits(it.0, path));
    let caught = || ROWS.iter().find(|it| fits(it.0, path));
    exact.or_else(|| if row(path).is_some() && !path.starts_with("jobs.") { None } else { caught() }).map(|it| it.1)
}

/// Collects the results while walking a file.
#[derive(Default)]
struct Walk {
    findings: Vec<ImportedKey>,
    /// New settings with the index of the key they come from.
    settings: Vec<(usize, String, Value)>,
    /// Entries of the perturbation file, likewise.
    events: Vec<(usize, String, Value)>,
}

impl Walk {
    fn node(&mut self, path: &str, line: usize, node: &Node) {
        let rule = rule(path);
        // A section without rule, or a dropped one, is reported key by key.
        let one = !matches!(rule, None | Some(Rule::Gone(_))) || row(path).is_some();
        if !one && let Some(entries) = node.entries().filter(|entries| !entries.is_empty()) {
            for Entry { name, place, node } in entries {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                self.node(&path, place.as_ref().map_or(0, |place| place.line), node);
            }
            return;
        }
        let mut out = Vec::new();
        let at = self.findings.len();
        let outcome = match rule {
            Some(Rule::To(to)) => {
                out.push((to.to_owned(), node.value.clone()));
                moved(to, "")
            }
            Some(Rule::Gone(why)) => KeyOutcome::Dropped { why: why.to_owned() },
            Some(Rule::By(change)) => change(path, &node.value, &mut out),
            Some(Rule::Events) => {
                let name = path.trim_start_matches("perturbations.").to_owned();
                self.events.push((at, name, without(&node.value, &EVENT_EXTRAS)));
                moved("perturbations.file", "written to a separate file")
            }
            None if row(path).is_some() => {
                out.push((path.to_owned(), node.value.clone()));
                KeyOutcome::Kept
            }
            None => KeyOutcome::Dropped { why: unknown(path) },
        };
        self.settings.extend(out.into_iter().map(|(key, value)| (at, key, value)));
        self.findings.push(ImportedKey { key: path.to_owned(), line, outcome });
        let extras: &[(&str, &str)] = match rule {
            Some(Rule::Events) => &EVENT_EXTRAS,
            _ if fits("jobs.*", path) => &JOB_EXTRAS,
            _ => &[],
        };
        for Entry { name, place, .. } in node.entries().unwrap_or_default() {
            if let Some((_, why)) = extras.iter().find(|extra| extra.0 == name) {
                let (key, line) = (format!("{path}.{name}"), place.as_ref().map_or(0, |place| place.line));
                let outcome = KeyOutcome::Dropped { why: (*why).to_owned() };
                self.findings.push(ImportedKey { key, line, outcome });
            }
        }
    }

    /// Drops the setting that an error is about. Returns whether there was one.
    fn refuse(&mut self, error: &ConfigError) -> bool {
        let Some(at) = self.settings.iter().find(|setting| about(error, &setting.1)).map(|setting| setting.0) else {
            return false;
        };
        self.settings.retain(|setting| setting.0 != at);
        let help = error.help.first().map(|help| format!("; {help}")).unwrap_or_default();
        self.findings[at].outcome = refused(format!("{}{help}", error.problem));
        true
    }
}

/// Whether an error is about a setting or one below it.
fn about(error: &ConfigError, key: &str) -> bool {
    error.key == key || error.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
}

fn unknown(path: &str) -> String {
    let keys = super::reference::rows();
    match townlet_text::nearest(path, keys.iter().map(|row| row.key.as_str())) {
        Some(near) => format!("neither program has this setting; the nearest here is `{near}`"),
        None => "neither program has this setting".to_owned(),
    }
}

/// Imports a file of the original program. Its events go to a file that the result refers to as `events_file`.
/// Fails on a syntax error, or when the text is no map of settings.
pub fn import(name: &str, text: &str, events_file: &str) -> Result<Imported, ConfigErrors> {
    let source = Arc::new(Source { layer: Layer::File, name: name.to_owned(), text: text.to_owned() });
    let root = parse(&source)?;
    if root.entries().is_none() {
        return Err(ConfigError::of(&source, "", "it has no settings: expected a map of sections").into());
    }
    let mut walk = Walk::default();
    walk.node("", 0, &root);
    let mut perturbations = events(&mut walk, events_file);
    if perturbations.is_some() {
        let at = walk.events[0].0;
        walk.settings.push((at, "perturbations.file".into(), Value::Text(events_file.into())));
    }
    // Every round drops at least one setting, so the loop ends.
    let config = loop {
        let config = written(&walk.settings, name);
        match load(&Layers { file: Some((name.to_owned(), config.clone())), ..Layers::default() }) {
            Ok(_) => break config,
            Err(errors) => {
                let before = walk.settings.len();
                for error in &errors.0 {
                    walk.refuse(error);
                }
                if walk.settings.len() == before {
                    return Err(errors);
                }
            }
        }
    };
    if !walk.settings.iter().any(|setting| setting.1 == "perturbations.file") {
        perturbations = None;
    }
    Ok(Imported { findings: walk.findings, config, perturbations })
}

/// The perturbation file, when there are events. Invalid entries are dropped and reported.
fn events(walk: &mut Walk, file: &str) -> Option<String> {
    loop {
        if walk.events.is_empty() {
            return None;
        }
        let settings: Vec<_> = walk.events.clone();
        let mut text = String::from("# Scheduled perturbations.\n");
        for (key, value) in PERTURBATION_DEFAULTS {
            if !settings.iter().any(|setting| setting.1 == *key) {
                let _ = writeln!(text, "{key}: {value}");
            }
        }
        let mut tree = Node::bare(Value::Map(Vec::new()));
        for (_, key, value) in &settings {
            put(&mut tree, key, value);
        }
        block(&tree, 0, &mut text);
        if !settings.iter().any(|setting| setting.1.starts_with("events.")) {
            text.push_str("events: {}\n");
        }
        match PerturbationFile::parse(file, &text) {
            Ok(_) => return Some(text),
            Err(errors) => {
                let before = walk.events.len();
                for error in &errors.0 {
                    if let Some(at) = walk.events.iter().position(|setting| about(error, &setting.1)) {
                        let (finding, _, _) = walk.events.remove(at);
                        walk.findings[finding].outcome = refused(error.problem.clone());
                    }
                }
                if walk.events.len() == before {
                    for (finding, _, _) in std::mem::take(&mut walk.events) {
                        walk.findings[finding].outcome = refused(errors.0[0].problem.clone());
                    }
                }
            }
        }
    }
}

/// Required settings of a perturbation file besides its events.
static PERTURBATION_DEFAULTS: &[(&str, &str)] = &[
    ("max_concurrent_events", "1"),
    ("global_cooldown_ticks", "0"),
    ("per_agent_cooldown_ticks", "0"),
    ("grace_window_ticks", "60"),
    ("window_ticks", "1000"),
    ("max_events_per_window", "1"),
];

fn written(settings: &[(usize, String, Value)], name: &str) -> String {
    let mut tree = Node::bare(Value::Map(Vec::new()));
    for (_, key, value) in settings {
        put(&mut tree, key, value);
    }
    // The shipped policy is trained for the default town, and the original's policy is not in its file.
    put(&mut tree, "policy.release", &Value::Text("scripted".into()));
    let name: String = name.chars().filter(|letter| !letter.is_control()).collect();
    let mut text =
        format!("# Imported from {name}. Other settings have their default values; `townlet config show` lists all.\n");
    block(&tree, 0, &mut text);
    text
}

fn put(tree: &mut Node, key: &str, value: &Value) {
    let (name, rest) = key.split_once('.').map_or((key, None), |(name, rest)| (name, Some(rest)));
    let Value::Map(entries) = &mut tree.value else { return };
    let at = entries.iter().position(|entry| entry.name == name).unwrap_or_else(|| {
        let node = Node::bare(Value::Map(Vec::new()));
        entries.push(Entry { name: name.to_owned(), place: None, node });
        entries.len() - 1
    });
    match rest {
        Some(rest) => put(&mut entries[at].node, rest, value),
        None => entries[at].node = Node::bare(value.clone()),
    }
}

/// A map in block form, with everything below the second level on one line.
fn block(node: &Node, depth: usize, text: &mut String) {
    for entry in node.entries().unwrap_or_default() {
        let indent = "  ".repeat(depth);
        let nested = entry.node.entries().is_some_and(|entries| !entries.is_empty()) && depth < 2;
        if nested {
            let _ = writeln!(text, "{indent}{}:", entry.name);
            block(&entry.node, depth + 1, text);
        } else {
            let _ = writeln!(text, "{indent}{}: {}", entry.name, entry.node.value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(imported: &Imported, key: &str) -> KeyOutcome {
        imported.findings.iter().find(|it| it.key == key).unwrap_or_else(|| panic!("{key} is told of")).outcome.clone()
    }

    #[test]
    fn every_row_of_the_table_can_be_met_and_names_a_setting_of_ours() {
        for (index, (pattern, rule)) in ROWS.iter().enumerate() {
            let path = pattern.replace("**", "anything").replace('*', "anything");
            let met = ROWS.iter().position(|row| fits(row.0, &path));
            let name = pattern.contains('*') || met == Some(index);
            assert!(name, "{pattern} is hidden by a row above it");
            if let Rule::To(to) = rule {
                assert!(row(to).is_some(), "{to} is no setting");
            }
        }
    }

    #[test]
    fn keys_are_kept_moved_dropped_or_refused_and_say_why() {
        let text = "config_id: V1.3\nrewards:\n  decay_rates: { hunger: 0.01, energy: 0.002 }\n  wage_rate: 0.01\n  punctuality_bonus: 7\n\
                    world: { weather_seed: 1, grid_size: [48, 48] }\nlifecycle: { respawn_delay_ticks: 9 }\nwrld: { x: 1 }\n";
        let imported = import("old.yaml", text, "events.yaml").unwrap();
        assert_eq!(outcome(&imported, "config_id"), moved("config_id", "written `v1-3`"));
        assert!(matches!(outcome(&imported, "rewards.decay_rates.hunger"), KeyOutcome::Refused { .. }));
        assert_eq!(outcome(&imported, "rewards.decay_rates.energy"), moved("needs.decay_rates.energy", ""));
        assert_eq!(outcome(&imported, "rewards.wage_rate"), KeyOutcome::Kept);
        assert!(
            matches!(outcome(&imported, "rewards.punctuality_bonus"), KeyOutcome::Refused { why } if why.contains("0.1"))
        );
        assert!(
            matches!(outcome(&imported, "world.weather_seed"), KeyOutcome::Dropped { why } if why.contains("weather"))
        );
        assert!(matches!(outcome(&imported, "wrld.x"), KeyOutcome::Dropped { why } if why.contains("neither")));
        assert_eq!(imported.findings.iter().find(|it| it.key == "rewards.wage_rate").unwrap().line, 4);
        assert!(imported.config.contains("spawn_delay_ticks: [9, 9]") && !imported.config.contains("weather"));
    }

    #[test]
    fn events_become_a_file_of_their_own() {
        let text = "perturbations:\n  max_concurrent_events: 2\n  events:\n    blackout: { kind: blackout, prob_per_day: 0.1, cooldown_ticks: 9, duration: [5, 9] }\n    storm: { kind: storm, prob_per_day: 0.1 }\n";
        let imported = import("old.yaml", text, "events.yaml").unwrap();
        assert!(matches!(outcome(&imported, "perturbations.events.blackout"), KeyOutcome::Moved { .. }));
        assert!(matches!(outcome(&imported, "perturbations.events.storm"), KeyOutcome::Refused { .. }));
        let events = imported.perturbations.expect("there are events");
        assert!(
            events.contains("blackout") && !events.contains("storm") && events.contains("max_concurrent_events: 2")
        );
        assert!(imported.config.contains("events.yaml"));
    }

    #[test]
    fn what_is_no_map_is_refused_by_place() {
        assert!(import("old.yaml", "- a\n", "").unwrap_err().to_string().contains("old.yaml"));
        assert!(import("old.yaml", "a: [\n", "").unwrap_err().to_string().contains("old.yaml:"));
    }
}
