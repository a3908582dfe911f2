//! Files of the original program: each key kept, moved, or without counterpart and why; the result is a file of ours.
//!
//! Owns the table of what became of the original's keys. What a setting may hold is not repeated here: what comes out is
//! loaded like any other file, and whatever is refused keeps its default and says so. Rule: "Configuration import".

use std::fmt::Write as _;
use std::sync::Arc;

use super::error::{ConfigError, ConfigErrors};
use super::load::{Layers, load};
use super::perturbation_file::PerturbationFile;
use super::reference::row;
use super::yaml_tree::{Entry, Layer, Node, Source, Value, parse};
use crate::fixed_point::Micro;

/// What became of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyOutcome {
    /// It means the same here.
    Kept,
    /// It stands elsewhere, or is written in another way.
    Moved {
        /// The setting it became.
        to: String,
        /// How it was changed; empty when only the name was.
        note: String,
    },
    /// There is nothing like it here.
    Dropped {
        /// Why.
        why: String,
    },
    /// Not taken, because this program does not allow the value: the default stands.
    Refused {
        /// Why.
        why: String,
    },
}

impl KeyOutcome {
    /// In a word: `kept`, `moved`, `dropped`, `refused`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Moved { .. } => "moved",
            Self::Dropped { .. } => "dropped",
            Self::Refused { .. } => "refused",
        }
    }
}

/// One key of the original file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedKey {
    /// Such as `rewards.decay_rates.hunger`.
    pub key: String,
    /// Its line in the original file; 0 when that is not known.
    pub line: usize,
    /// What became of it.
    pub fate: KeyOutcome,
}

/// An original file, read.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Every key, in the order of the file.
    pub findings: Vec<ImportedKey>,
    /// A file of this program; it has been loaded and holds.
    pub config: String,
    /// A perturbation file for it, when the original named events.
    pub perturbations: Option<String>,
}

/// What is done about the keys of a row.
#[derive(Clone, Copy)]
enum Rule {
    /// To this setting, unchanged.
    To(&'static str),
    /// Gone, for this reason.
    Gone(&'static str),
    /// By a function of their own.
    By(fn(&str, &Value, &mut Vec<(String, Value)>) -> KeyOutcome),
    /// To the perturbation file, under the same name.
    Events,
}

/// THE table: where a key of the original went. A `*` stands for one name, a final `**` for whatever is below. Keys in no row
/// that are settings here are kept.
static ROWS: &[(&str, Rule)] = &[
    ("config_id", Rule::By(identity)),
    ("features.relationship_modifiers", Rule::Gone("personality always moves ties here")),
    ("features.observations.**", Rule::Gone("layouts are fixed; features.systems.observations chooses one")),
    ("observations_config.**", Rule::Gone("layouts are fixed; features.systems.observations chooses one")),
    ("runtime.**", Rule::Gone("there is one implementation of each part, and none to choose")),
    ("personalities.**", Rule::Gone("personalities are spread evenly over all residents, at arrival")),
    ("curiosity.**", Rule::Gone("there is no curiosity reward")),
    ("rewards.decay_rates.*", Rule::By(decay)),
    ("lifecycle.respawn_delay_ticks", Rule::By(spawn_delay)),
    ("conflict.rivalry.decay_per_tick", Rule::By(rivalry_decay)),
    ("conflict.rivalry.min_value", Rule::Gone("ties lie between -1 and 1")),
    ("conflict.rivalry.max_value", Rule::Gone("ties lie between -1 and 1")),
    ("conflict.rivalry.*", Rule::Gone("every conflict weighs the same: conflict.rivalry.increment_per_conflict")),
    ("embedding_allocator.log_forced_reuse", Rule::Gone("early reuse is always counted")),
    ("ppo.num_mini_batches", Rule::Gone("ppo.mini_batch_size says how many there are")),
    ("training.**", Rule::Gone("trainings are started by `townlet train`, whose flags say from what and for how long")),
    (
        "affordances.affordances_file",
        Rule::Gone("affordances are written in another form here; the shipped ones are used"),
    ),
    ("affordances.runtime.**", Rule::Gone("affordances have one way to run")),
    ("stability.lateness_threshold", Rule::Gone("lateness is held against a baseline: stability.lateness")),
    ("stability.starvation.window_ticks", Rule::Gone("every check has one window: stability.window_ticks")),
    ("stability.reward_variance.window_ticks", Rule::Gone("every check has one window: stability.window_ticks")),
    ("stability.option_thrash.window_ticks", Rule::Gone("every check has one window: stability.window_ticks")),
    ("stability.promotion.window_ticks", Rule::To("stability.window_ticks")),
    ("telemetry.narration.priority_categories", Rule::Gone("each category has its priority")),
    ("telemetry.personality_narration.**", Rule::Gone("sentences are limited by category alone: telemetry.narration")),
    ("telemetry.relationship_narration.**", Rule::Gone("sentences are limited by category alone: telemetry.narration")),
    ("telemetry.transport.**", Rule::Gone("telemetry is served, not pushed")),
    ("telemetry.worker.**", Rule::Gone("telemetry never holds up a tick: telemetry.backpressure")),
    ("telemetry.transforms.**", Rule::Gone("telemetry has one form; telemetry.privacy hides names")),
    ("telemetry.diff_enabled", Rule::Gone("telemetry is always a snapshot and what changed since")),
    ("snapshot.storage.root", Rule::To("snapshot.root")),
    ("snapshot.identity.**", Rule::Gone("a snapshot carries its own identity")),
    ("snapshot.migrations.**", Rule::Gone("a snapshot of another version is refused by name")),
    ("snapshot.guardrails.**", Rule::Gone("a snapshot is always checked when it is loaded")),
    ("snapshot.capture_on_failed_promotion", Rule::Gone("release and candidate are always kept")),
    ("console_auth.require_auth_for_viewer", Rule::Gone("whoever has no token is a viewer")),
    ("console_auth.tokens", Rule::Gone("tokens are made by `townlet token new` and stored hashed")),
    ("perturbations.events.*", Rule::Events),
    ("perturbations.max_concurrent_events", Rule::Events),
    ("perturbations.global_cooldown_ticks", Rule::Events),
    ("perturbations.per_agent_cooldown_ticks", Rule::Events),
    ("perturbations.grace_window_ticks", Rule::Events),
    ("perturbations.window_ticks", Rule::Events),
    ("perturbations.max_events_per_window", Rule::Events),
    ("jobs.*", Rule::By(job)),
    ("world.weather_seed", Rule::Gone("there is no weather; `seed` decides all chance")),
    ("world.grid_size", Rule::Gone("the town's plan says how large it is: world.plan")),
    ("world.*", Rule::Gone("the town's plan says what there is: world.plan")),
    ("scenario.**", Rule::Gone("a scenario is a configuration with a script of commands here")),
    ("timeline.**", Rule::Gone("a timeline is a script of commands here: run --script")),
];

/// A need cannot be lived with when it is empty after a third of a day.
const FASTEST_DECAY: Micro = Micro(3_000);
/// Where shifts of a name are worked; others in the office.
const SITES: [(&str, &str); 4] = [("grocer", "grocer"), ("barista", "cafe"), ("clerk", "office"), ("trainer", "gym")];

/// Parts of an event that have no counterpart.
static EVENT_EXTRAS: [(&str, &str); 2] =
    [("utility", "a blackout is of the power, an outage of the water"), ("max_participants", "two residents meet")];
/// Parts of a job that have no counterpart.
static JOB_EXTRAS: [(&str, &str); 1] = [("location", "the town's plan says where a site is")];

/// A map without these entries.
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

/// Identities have fewer letters here.
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
            "at {rate} a tick nobody could live through a day of this town; needs.decay_rates.{need} may be up to {FASTEST_DECAY} here"
        )),
        None => refused("a rate is a number"),
    }
}

fn spawn_delay(_: &str, value: &Value, out: &mut Vec<(String, Value)>) -> KeyOutcome {
    let to = "lifecycle.spawn_delay_ticks";
    out.push((to.to_owned(), Value::List(vec![Node::bare(value.clone()), Node::bare(value.clone())])));
    moved(to, "the same least and most")
}

/// The original's day had 1,440 ticks, 60 an hour.
fn rivalry_decay(_: &str, value: &Value, out: &mut Vec<(String, Value)>) -> KeyOutcome {
    let Some(rate) = value.decimal() else { return refused("a rate is a number") };
    let to = "conflict.rivalry.decay_per_hour";
    let hourly = Micro(rate.0.saturating_mul(60).min(Micro::ONE.0));
    out.push((to.to_owned(), Value::Decimal(hourly.to_f64())));
    moved(to, "60 ticks are an hour")
}

/// A job needs a site here, and has its tile from the plan.
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
    moved(key, &format!("worked at the site `{site}`, wherever the town's plan has it"))
}

/// Whether a dotted path fits a pattern of the table.
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
    // A setting of the same name comes before a row that catches many.
    let exact = ROWS.iter().find(|it| !it.0.contains('*') && fits(it.0, path));
    let caught = || ROWS.iter().find(|it| fits(it.0, path));
    exact.or_else(|| if row(path).is_some() && !path.starts_with("jobs.") { None } else { caught() }).map(|it| it.1)
}

/// What is gathered while a file is walked.
#[derive(Default)]
struct Walk {
    findings: Vec<ImportedKey>,
    /// Settings of ours, with the finding they come from.
    settings: Vec<(usize, String, Value)>,
    /// Entries of the perturbation file, likewise.
    events: Vec<(usize, String, Value)>,
}

impl Walk {
    fn node(&mut self, path: &str, line: usize, node: &Node) {
        let rule = rule(path);
        // Whatever is not one setting is told of key by key.
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
        let fate = match rule {
            Some(Rule::To(to)) => {
                out.push((to.to_owned(), node.value.clone()));
                moved(to, "")
            }
            Some(Rule::Gone(why)) => KeyOutcome::Dropped { why: why.to_owned() },
            Some(Rule::By(change)) => change(path, &node.value, &mut out),
            Some(Rule::Events) => {
                let name = path.trim_start_matches("perturbations.").to_owned();
                self.events.push((at, name, without(&node.value, &EVENT_EXTRAS)));
                moved("perturbations.file", "written into a file of its own")
            }
            None if row(path).is_some() => {
                out.push((path.to_owned(), node.value.clone()));
                KeyOutcome::Kept
            }
            None => KeyOutcome::Dropped { why: unknown(path) },
        };
        self.settings.extend(out.into_iter().map(|(key, value)| (at, key, value)));
        self.findings.push(ImportedKey { key: path.to_owned(), line, fate });
        let extras: &[(&str, &str)] = match rule {
            Some(Rule::Events) => &EVENT_EXTRAS,
            _ if fits("jobs.*", path) => &JOB_EXTRAS,
            _ => &[],
        };
        for Entry { name, place, .. } in node.entries().unwrap_or_default() {
            if let Some((_, why)) = extras.iter().find(|extra| extra.0 == name) {
                let (key, line) = (format!("{path}.{name}"), place.as_ref().map_or(0, |place| place.line));
                let fate = KeyOutcome::Dropped { why: (*why).to_owned() };
                self.findings.push(ImportedKey { key, line, fate });
            }
        }
    }

    /// Takes back the setting an error is about. Whether there was one.
    fn refuse(&mut self, error: &ConfigError) -> bool {
        let Some(at) = self.settings.iter().find(|setting| about(error, &setting.1)).map(|setting| setting.0) else {
            return false;
        };
        self.settings.retain(|setting| setting.0 != at);
        let help = error.help.first().map(|help| format!("; {help}")).unwrap_or_default();
        self.findings[at].fate = refused(format!("{}{help}", error.problem));
        true
    }
}

/// Whether an error is about a setting or something below it.
fn about(error: &ConfigError, key: &str) -> bool {
    error.key == key || error.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
}

fn unknown(path: &str) -> String {
    let keys = super::reference::rows();
    match super::validate::nearest(path, keys.iter().map(|row| row.key.as_str())) {
        Some(near) => format!("neither program has such a setting; the nearest here is `{near}`"),
        None => "neither program has such a setting".to_owned(),
    }
}

/// Reads a file of the original program. Should it name events, the result looks for them in `events_file`, beside it.
///
/// # Errors
/// When it is no YAML, or no map of settings, by place.
pub fn import(name: &str, text: &str, events_file: &str) -> Result<Imported, ConfigErrors> {
    let source = Arc::new(Source { layer: Layer::File, name: name.to_owned(), text: text.to_owned() });
    let root = parse(&source)?;
    if root.entries().is_none() {
        return Err(ConfigError::of(&source, "", "it holds no settings: a map of sections was expected").into());
    }
    let mut walk = Walk::default();
    walk.node("", 0, &root);
    let mut perturbations = events(&mut walk, events_file);
    if perturbations.is_some() {
        let at = walk.events[0].0;
        walk.settings.push((at, "perturbations.file".into(), Value::Text(events_file.into())));
    }
    // Each round takes back at least one setting, so this ends.
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

/// The perturbation file, when there are events; what it does not hold is taken back.
fn events(walk: &mut Walk, file: &str) -> Option<String> {
    loop {
        if walk.events.is_empty() {
            return None;
        }
        let settings: Vec<_> = walk.events.clone();
        let mut text = String::from("# What happens to the town by itself.\n");
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
                        walk.findings[finding].fate = refused(error.problem.clone());
                    }
                }
                if walk.events.len() == before {
                    for (finding, _, _) in std::mem::take(&mut walk.events) {
                        walk.findings[finding].fate = refused(errors.0[0].problem.clone());
                    }
                }
            }
        }
    }
}

/// What a perturbation file must hold besides its events.
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
    // The shipped policy is made for the default town, and whatever the original drove with is not in its file.
    put(&mut tree, "policy.release", &Value::Text("scripted".into()));
    let name: String = name.chars().filter(|letter| !letter.is_control()).collect();
    let mut text =
        format!("# Imported from {name}. What is not here has its default; `townlet config show` tells all.\n");
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

/// A map in block form: sections below each other, whatever has no sections of its own on one line.
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

    fn fate(imported: &Imported, key: &str) -> KeyOutcome {
        imported.findings.iter().find(|it| it.key == key).unwrap_or_else(|| panic!("{key} is told of")).fate.clone()
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
        assert_eq!(fate(&imported, "config_id"), moved("config_id", "written `v1-3`"));
        assert!(matches!(fate(&imported, "rewards.decay_rates.hunger"), KeyOutcome::Refused { .. }));
        assert_eq!(fate(&imported, "rewards.decay_rates.energy"), moved("needs.decay_rates.energy", ""));
        assert_eq!(fate(&imported, "rewards.wage_rate"), KeyOutcome::Kept);
        assert!(
            matches!(fate(&imported, "rewards.punctuality_bonus"), KeyOutcome::Refused { why } if why.contains("0.1"))
        );
        assert!(
            matches!(fate(&imported, "world.weather_seed"), KeyOutcome::Dropped { why } if why.contains("weather"))
        );
        assert!(matches!(fate(&imported, "wrld.x"), KeyOutcome::Dropped { why } if why.contains("neither")));
        assert_eq!(imported.findings.iter().find(|it| it.key == "rewards.wage_rate").unwrap().line, 4);
        assert!(imported.config.contains("spawn_delay_ticks: [9, 9]") && !imported.config.contains("weather"));
    }

    #[test]
    fn events_become_a_file_of_their_own() {
        let text = "perturbations:\n  max_concurrent_events: 2\n  events:\n    blackout: { kind: blackout, prob_per_day: 0.1, cooldown_ticks: 9, duration: [5, 9] }\n    storm: { kind: storm, prob_per_day: 0.1 }\n";
        let imported = import("old.yaml", text, "events.yaml").unwrap();
        assert!(matches!(fate(&imported, "perturbations.events.blackout"), KeyOutcome::Moved { .. }));
        assert!(matches!(fate(&imported, "perturbations.events.storm"), KeyOutcome::Refused { .. }));
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
