//! Import of configuration and perturbation files of the original program: the outcome of every key and a file for this program.
//! The result is loaded and validated; a refused value keeps its default and is reported. Rule: "Configuration import".

mod events;
mod table;

use std::fmt::Write as _;
use std::sync::Arc;

use super::Config;
use super::error::{ConfigError, ConfigErrors};
use super::load::{Layers, load};
use super::reference::{row, rows};
use super::schema::ValueKind;
use super::yaml_parser::parse;
use super::yaml_tree::{Entry, Layer, Node, Source, Value};
use crate::fixed_point::Micro;
use table::{JOB_EXTRAS, Rule, TICKS_PER_DAY, fits, rule};

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
    /// A valid configuration file for this program; `None` when the original is a perturbation file.
    pub config: Option<String>,
    /// A perturbation file, when the original has events.
    pub perturbations: Option<String>,
    /// What was written that no key of the file says.
    pub notes: Vec<String>,
}

/// Checks a perturbation file against a town. The error is the reason, as a sentence.
pub type Accepts<'a> = &'a dyn Fn(&str) -> Result<(), String>;

/// Ticks of a day of the original program, unless the file says otherwise.
const ORIGINAL_DAY: u32 = 1_440;
/// Why a key without a value is dropped.
const NOTHING_SET: &str = "nothing is set, so the default applies";

fn moved(to: &str, note: &str) -> KeyOutcome {
    KeyOutcome::Moved { to: to.to_owned(), note: note.to_owned() }
}

fn refused(why: impl Into<String>) -> KeyOutcome {
    KeyOutcome::Refused { why: why.into() }
}

/// Collects the results while walking a file.
#[derive(Default)]
struct Walk {
    findings: Vec<ImportedKey>,
    /// New settings with the index of the key they come from.
    settings: Vec<(usize, String, Value)>,
    /// Entries of the perturbation file, likewise.
    events: Vec<(usize, String, Value)>,
    /// Ticks of a day.
    day: u32,
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
        let mut within = Vec::new();
        let at = self.findings.len();
        let outcome = match rule {
            None | Some(Rule::To(_) | Rule::By(_) | Rule::Events) if is_unset(path, node) => {
                KeyOutcome::Dropped { why: NOTHING_SET.to_owned() }
            }
            Some(Rule::To(to)) => {
                out.push((to.to_owned(), node.value.clone()));
                moved(to, "")
            }
            Some(Rule::Gone(why)) => KeyOutcome::Dropped { why: why.to_owned() },
            Some(Rule::By(change)) => change(self.day, path, &node.value, &mut out),
            Some(Rule::Events) => {
                let name = path.trim_start_matches("perturbations.").to_owned();
                let (event, changes) = events::convert(&node.value);
                within = changes;
                self.events.push((at, name, event));
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
        if fits("jobs.*", path) {
            within.extend(JOB_EXTRAS.map(|(name, why)| (name.to_owned(), KeyOutcome::Dropped { why: why.to_owned() })));
        }
        for Entry { name, place, .. } in node.entries().unwrap_or_default() {
            if let Some((_, outcome)) = within.iter().find(|change| change.0 == *name) {
                let (key, line) = (format!("{path}.{name}"), place.as_ref().map_or(0, |place| place.line));
                self.findings.push(ImportedKey { key, line, outcome: outcome.clone() });
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

/// Whether a key has no value: a null, or an empty map, of a setting or a section of this program.
fn is_unset(path: &str, node: &Node) -> bool {
    let unset = match &node.value {
        Value::Null => row(path).is_none_or(|row| !matches!(row.kind, ValueKind::Optional(_))),
        Value::Map(entries) => entries.is_empty(),
        _ => false,
    };
    let section = format!("{path}.");
    let is_section = || {
        let keys = rows();
        let mut known = keys.iter().map(|row| row.key.as_str()).chain(table::ROWS.iter().map(|row| row.0));
        known.any(|key| key.starts_with(&section))
    };
    unset && (rule(path).is_some() || row(path).is_some() || is_section())
}

/// Whether an error is about a setting or one below it.
fn about(error: &ConfigError, key: &str) -> bool {
    error.key == key || error.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
}

fn unknown(path: &str) -> String {
    let keys = super::reference::rows();
    match townlet_text::nearest(path, keys.iter().map(|row| row.key.as_str())) {
        Some(near) => format!("there is no such setting here; the nearest is `{near}`"),
        None => "there is no such setting here".to_owned(),
    }
}

/// Imports a configuration or perturbation file of the original program. Events of a configuration go to a file that the
/// result refers to as `events_file`; events that `accepts` refuses are dropped.
/// Fails on a syntax error, or when the text is no map of settings.
pub fn import(name: &str, text: &str, events_file: &str, accepts: Accepts<'_>) -> Result<Imported, ConfigErrors> {
    let source = Arc::new(Source { layer: Layer::File, name: name.to_owned(), text: text.to_owned() });
    let root = parse(&source)?;
    let Some(entries) = root.entries() else {
        return Err(ConfigError::of(&source, "", "it has no settings: expected a map of sections").into());
    };
    let mut walk = Walk { day: day_of(&root), ..Walk::default() };
    if !entries.is_empty() && entries.iter().all(|entry| events::FILE_KEYS.contains(&entry.name.as_str())) {
        return Ok(import_perturbations(walk, &root, events_file, accepts));
    }
    for Entry { name, place, node } in entries {
        walk.node(name, place.as_ref().map_or(0, |place| place.line), node);
    }
    let mut perturbations = events::file(&mut walk, events_file, accepts);
    if perturbations.is_some() {
        let at = walk.events[0].0;
        walk.settings.push((at, "perturbations.file".into(), Value::Text(events_file.into())));
    }
    // Every round drops at least one setting, so the loop ends.
    let (config, notes) = loop {
        let (config, notes) = written(&walk, name);
        match load(&Layers { file: Some((name.to_owned(), config.clone())), ..Layers::default() }) {
            Ok(_) => break (config, notes),
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
    Ok(Imported { findings: walk.findings, config: Some(config), perturbations, notes })
}

/// Imports a perturbation file. Its keys have no section, so they are reported without one.
fn import_perturbations(mut walk: Walk, root: &Node, name: &str, accepts: Accepts<'_>) -> Imported {
    for Entry { name, place, node } in root.entries().unwrap_or_default() {
        walk.node(&format!("perturbations.{name}"), place.as_ref().map_or(0, |place| place.line), node);
    }
    let perturbations = events::file(&mut walk, name, accepts);
    let section = "perturbations.";
    for finding in &mut walk.findings {
        finding.key = finding.key.trim_start_matches(section).to_owned();
        if matches!(&finding.outcome, KeyOutcome::Moved { to, .. } if to == "perturbations.file") {
            finding.outcome = KeyOutcome::Kept;
        }
    }
    Imported { findings: walk.findings, config: None, perturbations, notes: Vec::new() }
}

/// The ticks of a day in the file, or else in the original program.
fn day_of(root: &Node) -> u32 {
    let given = ["observations_config.hybrid.time_ticks_per_day", TICKS_PER_DAY].iter().find_map(|key| {
        match root.at(key)?.value {
            Value::Whole(ticks) => u32::try_from(ticks).ok().filter(|ticks| (100..=100_000).contains(ticks)),
            _ => None,
        }
    });
    given.unwrap_or(ORIGINAL_DAY)
}

/// Settings whose defaults count on the default day, and follow another one when the file does not set them.
static BY_DAY: [&str; 5] = [
    "needs.decay_rates.hunger",
    "needs.decay_rates.hygiene",
    "needs.decay_rates.energy",
    "economy.opening_hours.cafe",
    "economy.opening_hours.grocer",
];

/// A default value on a day of `day` instead of `default_day` ticks: rates per tick fall and times of day rise with its length.
fn on_day(value: &Value, day: u32, default_day: u32) -> Value {
    let (day, default_day) = (i64::from(day), i64::from(default_day));
    match value {
        Value::List(times) => Value::List(
            times
                .iter()
                .map(|time| {
                    Node::bare(match time.value {
                        Value::Whole(tick) => Value::Whole(tick * i128::from(day) / i128::from(default_day)),
                        ref other => other.clone(),
                    })
                })
                .collect(),
        ),
        rate => rate
            .decimal()
            .map_or_else(|| rate.clone(), |rate| Value::Decimal(Micro(rate.0 * default_day / day).to_f64())),
    }
}

/// The configuration file, and notes on what no key of the original says.
fn written(walk: &Walk, name: &str) -> (String, Vec<String>) {
    let mut tree = Node::bare(Value::Map(Vec::new()));
    for (_, key, value) in &walk.settings {
        put(&mut tree, key, value);
    }
    let mut notes = Vec::new();
    let given = |key: &str| walk.settings.iter().any(|setting| setting.1 == key);
    let default = Config::shipped();
    let default_day = default.time.ticks_per_day;
    if !given(TICKS_PER_DAY) && walk.day != default_day {
        put(&mut tree, TICKS_PER_DAY, &Value::Whole(i128::from(walk.day)));
        notes.push(format!("{TICKS_PER_DAY}: {} ticks are a day of the original program", walk.day));
    }
    for (key, value) in default.leaves().iter().filter(|(key, _)| BY_DAY.contains(&key.as_str())) {
        if walk.day != default_day && !given(key) {
            let value = on_day(value, walk.day, default_day);
            notes.push(format!("{key}: {value}, the default on a day of {} ticks", walk.day));
            put(&mut tree, key, &value);
        }
    }
    // The shipped policy is trained for the default town, and the original's policy is not in its file.
    put(&mut tree, "policy.release", &Value::Text("scripted".into()));
    let name: String = name.chars().filter(|letter| !letter.is_control()).collect();
    let mut text =
        format!("# Imported from {name}. Other settings have their default values; `townlet config show` lists all.\n");
    block(&tree, 0, &mut text);
    (text, notes)
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
        for (index, (pattern, rule)) in table::ROWS.iter().enumerate() {
            let path = pattern.replace("**", "anything").replace('*', "anything");
            let met = table::ROWS.iter().position(|row| fits(row.0, &path));
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
        let imported = import("old.yaml", text, "events.yaml", &|_| Ok(())).unwrap();
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
        assert!(matches!(outcome(&imported, "wrld.x"), KeyOutcome::Dropped { why } if why.contains("no such setting")));
        assert_eq!(imported.findings.iter().find(|it| it.key == "rewards.wage_rate").unwrap().line, 4);
        let config = imported.config.expect("a configuration");
        assert!(config.contains("spawn_delay_ticks: [9, 9]") && !config.contains("weather"));
    }

    #[test]
    fn events_become_a_file_of_their_own() {
        let text = "perturbations:\n  max_concurrent_events: 2\n  events:\n    blackout: { kind: blackout, prob_per_day: 0.1, cooldown_ticks: 9, duration: [5, 9] }\n    storm: { kind: storm, prob_per_day: 0.1 }\n";
        let imported = import("old.yaml", text, "events.yaml", &|_| Ok(())).unwrap();
        assert!(matches!(outcome(&imported, "perturbations.events.blackout"), KeyOutcome::Moved { .. }));
        assert!(matches!(outcome(&imported, "perturbations.events.storm"), KeyOutcome::Refused { .. }));
        let events = imported.perturbations.expect("there are events");
        assert!(
            events.contains("blackout") && !events.contains("storm") && events.contains("max_concurrent_events: 2")
        );
        assert!(imported.config.is_some_and(|config| config.contains("events.yaml")));
    }

    #[test]
    fn what_is_no_map_is_refused_by_place() {
        assert!(import("old.yaml", "- a\n", "", &|_| Ok(())).unwrap_err().to_string().contains("old.yaml"));
        assert!(import("old.yaml", "a: [\n", "", &|_| Ok(())).unwrap_err().to_string().contains("old.yaml:"));
    }
}
