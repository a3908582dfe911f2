//! Loading: the default, the file, environment variables and flags are overlaid in this order and validated. Also the canonical
//! text form of a configuration. Callers read the file and the environment.

use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use townlet_text::nearest;

use super::cross_checks;
use super::error::{ConfigError, ConfigErrors};
use super::reference::rows;
use super::schema::{ConfigValue, Shape};
use super::town_settings::Config;
use super::validate::{join, validate};
use super::yaml_parser::parse;
use super::yaml_tree::{Entry, Layer, Node, Source, Value};
use crate::hash;

/// The embedded default configuration. All default values are here.
pub const DEFAULT: &str = include_str!("../../../../configs/default.yaml");
/// Prefix of environment variables that are settings.
pub const ENVIRONMENT_PREFIX: &str = "TOWNLET__";

/// The texts of a configuration, lowest priority first. The embedded default is below all of them.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// Name, as messages show it, and text of the shard's file.
    pub file: Option<(String, String)>,
    /// Environment variables. Those without the prefix `TOWNLET__` are ignored.
    pub environment: Vec<(String, String)>,
    /// Flags: a key such as `employment.grace_ticks`, and the value as in a file.
    pub flags: Vec<(String, String)>,
}

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    /// The settings.
    pub config: Config,
    /// Every setting with value and origin, in the order of the default file.
    pub settings: Vec<EffectiveSetting>,
    /// Allowed but questionable combinations.
    pub warnings: Vec<String>,
}

/// A setting with its value and origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// The key, such as `employment.grace_ticks`.
    pub key: String,
    /// The value as in a file.
    pub value: String,
    /// The layer.
    pub layer: Layer,
    /// The origin: `default`, `harbour.yaml:12`, `environment TOWNLET__SEED`, `flag seed`.
    pub origin: String,
}

/// Overlays the texts on the default and validates the result.
pub fn load(layers: &Layers) -> Result<LoadedConfig, ConfigErrors> {
    let shape = Config::shape();
    let mut errors = Vec::new();
    let default = source(Layer::Default, "default.yaml", DEFAULT);
    let mut root = parse(&default)?;
    if let Some((name, text)) = &layers.file {
        match parse_map(&source(Layer::File, name, text)) {
            Ok(node) => {
                errors.extend(validate(&node, &shape, false));
                overlay(&mut root, node, true);
            }
            Err(refused) => errors.extend(refused.0),
        }
    }
    let environment = layers.environment.iter().filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX));
    let environment = environment.map(|(name, value)| {
        let key = name[ENVIRONMENT_PREFIX.len()..].replace("__", ".");
        (source(Layer::Environment, name, value), key)
    });
    errors.extend(overlay_single(&mut root, environment.chain(flags(&layers.flags)), &shape));
    if errors.is_empty() { finish(root, &shape) } else { Err(ConfigErrors(errors)) }
}

fn flags(settings: &[(String, String)]) -> impl Iterator<Item = (Arc<Source>, String)> {
    settings.iter().map(|(key, value)| (source(Layer::Flag, key, value), key.clone()))
}

/// Overlays single settings, and returns what is wrong with them.
fn overlay_single(
    root: &mut Node,
    settings: impl Iterator<Item = (Arc<Source>, String)>,
    shape: &Shape,
) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    for (source, key) in settings {
        match single(&source, &key, shape) {
            Ok(node) => {
                errors.extend(validate(&node, shape, false));
                overlay(root, node, false);
            }
            Err(refused) => errors.extend(refused.0),
        }
    }
    errors
}

/// Parses and validates a complete file of any type defined by `section!`. Also returns the tree, for positions of further
/// errors.
pub fn parse_file<T: ConfigValue>(file_name: &str, text: &str) -> Result<(T, Node), ConfigErrors> {
    let source = source(Layer::File, file_name, text);
    let node = parse_map(&source)?;
    let mut errors = validate(&node, &T::shape(), true);
    match T::read(&node) {
        Some(value) if errors.is_empty() => Ok((value, node)),
        _ => {
            if errors.is_empty() {
                errors.push(ConfigError::of(&source, "", "the file holds no settings"));
            }
            Err(ConfigErrors(errors))
        }
    }
}

/// Parses a YAML file as it is, without a shape. Values have their positions.
pub fn parse_yaml(file_name: &str, text: &str) -> Result<Node, ConfigErrors> {
    parse(&source(Layer::File, file_name, text))
}

impl Config {
    /// The embedded default configuration.
    pub fn shipped() -> Self {
        load(&Layers::default()).expect("the embedded default is checked by a test").config
    }

    /// One line `key: value` per setting, sorted by key. Snapshots and journals store this text.
    pub fn canonical(&self) -> String {
        let mut lines: Vec<String> = self.leaves().iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
        lines.sort();
        lines.concat()
    }

    /// The configuration of a canonical text, validated like any other.
    pub fn from_canonical(text: &str) -> Result<Self, ConfigErrors> {
        let shape = Config::shape();
        let mut root = Node::bare(Value::Map(Vec::new()));
        let source = source(Layer::File, "canonical configuration", text);
        let flat = parse_map(&source)?;
        for entry in flat.entries().unwrap_or_default() {
            overlay(&mut root, nested(&entry.name, entry.clone()), false);
        }
        let config = finish(root, &shape)?.config;
        // Another text would have another digest than the one it was read from.
        if config.canonical() == text {
            Ok(config)
        } else {
            Err(ConfigError::of(&source, "", "these bytes are not in canonical form").into())
        }
    }

    /// This configuration with other values for some settings, as flags give them, validated as a whole.
    ///
    /// # Errors
    /// What is wrong with the settings, by their keys.
    pub fn with_settings(&self, settings: &[(String, String)]) -> Result<Self, ConfigErrors> {
        let shape = Self::shape();
        let mut root = Node::bare(self.write());
        let errors = overlay_single(&mut root, flags(settings), &shape);
        if errors.is_empty() { finish(root, &shape).map(|loaded| loaded.config) } else { Err(ConfigErrors(errors)) }
    }

    /// SHA-256 of the canonical text, in hex.
    pub fn digest(&self) -> String {
        hash::digest([self.canonical()])
    }

    /// Every setting with its value, in the order of the default file.
    pub(crate) fn leaves(&self) -> Vec<(String, Value)> {
        leaves_of(self)
    }
}

/// Every setting of a form with its value, in the order of its shape.
pub(crate) fn leaves_of<T: ConfigValue>(form: &T) -> Vec<(String, Value)> {
    let root = Node::bare(form.write());
    leaves(&root, &T::shape()).into_iter().map(|(key, node)| (key, node.value.clone())).collect()
}

impl Default for Config {
    fn default() -> Self {
        Self::shipped()
    }
}

/// Serialised as the canonical text, so that files hold exactly the digested bytes.
impl Serialize for Config {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.canonical())
    }
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_canonical(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

fn source(layer: Layer, name: &str, text: &str) -> Arc<Source> {
    Arc::new(Source { layer, name: name.to_owned(), text: text.to_owned() })
}

/// Parses a map of settings. A text with only comments is an empty map.
fn parse_map(source: &Arc<Source>) -> Result<Node, ConfigErrors> {
    let blank = source.text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    if blank { Ok(Node::bare(Value::Map(Vec::new()))) } else { parse(source) }
}

/// Validates the merged tree and reads it.
fn finish(mut root: Node, shape: &Shape) -> Result<LoadedConfig, ConfigErrors> {
    give_jobs_a_wage(&mut root);
    let errors = validate(&root, shape, true);
    let config = Config::read(&root).filter(|_| errors.is_empty()).ok_or_else(|| incomplete(errors))?;
    let (errors, warnings) = cross_checks::check(&config, &root);
    if !errors.is_empty() {
        return Err(ConfigErrors(errors));
    }
    let settings = config.leaves().into_iter().map(|(key, value)| {
        let (layer, origin) = match root.at(&key).and_then(|node| node.place.as_ref()) {
            Some(place) => (place.source.layer, place.to_string()),
            None => (Layer::Default, "default".to_owned()),
        };
        EffectiveSetting { key, value: value.to_string(), layer, origin }
    });
    let settings = settings.collect();
    Ok(LoadedConfig { config, settings, warnings })
}

fn incomplete(mut errors: Vec<ConfigError>) -> ConfigErrors {
    if errors.is_empty() {
        let nothing = Source { layer: Layer::File, name: "configuration".to_owned(), text: String::new() };
        errors.push(ConfigError::of(&nothing, "", "settings are missing"));
    }
    ConfigErrors(errors)
}

/// Fills in `economy.wage_income` for every job without a wage.
fn give_jobs_a_wage(root: &mut Node) {
    let Some(wage) = root.at("economy.wage_income").cloned() else { return };
    let Value::Map(sections) = &mut root.value else { return };
    let Some(jobs) = sections.iter_mut().find(|entry| entry.name == "jobs") else { return };
    let Value::Map(jobs) = &mut jobs.node.value else { return };
    for job in jobs {
        if let Value::Map(settings) = &mut job.node.value
            && !settings.iter().any(|setting| setting.name == "wage_rate")
        {
            settings.push(Entry { name: "wage_rate".to_owned(), place: wage.place.clone(), node: wage.clone() });
        }
    }
}

/// Overlays `over` on `base`. A map in a file (`jobs`, category cooldowns) replaces the one below it.
fn overlay(base: &mut Node, over: Node, from_file: bool) {
    fn step(base: &mut Node, over: Node, shape: Option<&Shape>, from_file: bool) {
        let replaced = from_file && matches!(shape, Some(Shape::Map(_)));
        match (&mut base.value, over.value) {
            (Value::Map(entries), Value::Map(new)) if !replaced => {
                for entry in new {
                    match entries.iter_mut().find(|old| old.name == entry.name) {
                        Some(old) => {
                            step(&mut old.node, entry.node, inside(shape, &entry.name), from_file);
                            old.place = entry.place;
                        }
                        None => entries.push(entry),
                    }
                }
            }
            (_, value) => *base = Node { value, place: over.place },
        }
    }
    step(base, over, Some(&Config::shape()), from_file);
}

fn inside<'a>(shape: Option<&'a Shape>, name: &str) -> Option<&'a Shape> {
    match shape? {
        Shape::Section(fields) => fields.iter().find(|field| field.name == name).map(|field| &field.shape),
        Shape::Map(item) => Some(item),
        Shape::Leaf(_) | Shape::List(_) | Shape::Optional(_) => None,
    }
}

/// A variable or flag as a tree with one setting. Its key may have any case.
fn single(source: &Arc<Source>, key: &str, shape: &Shape) -> Result<Node, ConfigErrors> {
    let mut known = Vec::new();
    let mut shape = Some(shape);
    for word in key.split('.') {
        let name = match shape {
            Some(Shape::Section(fields)) => {
                fields.iter().find(|field| field.name.eq_ignore_ascii_case(word)).map(|field| field.name.to_owned())
            }
            Some(Shape::Map(_)) => Some(word.to_lowercase()),
            _ => None,
        };
        let Some(name) = name else { return Err(no_such_key(source, key).into()) };
        shape = inside(shape, &name);
        known.push(name);
    }
    let value = parse(source)?;
    let place = value.place.clone();
    Ok(nested(&known.join("."), Entry { name: String::new(), place, node: value }))
}

fn no_such_key(source: &Source, key: &str) -> ConfigError {
    let key = key.to_lowercase();
    let error = ConfigError::of(source, &key, format!("{key} is not a setting"));
    let rows = rows();
    let tail = key.rsplit('.').next();
    let meant = nearest(&key, rows.iter().map(|row| row.key.as_str()))
        .or_else(|| rows.iter().find(|row| Some(row.last()) == tail).map(|row| row.key.as_str()));
    match (meant, source.layer) {
        (Some(meant), Layer::Environment) => {
            error.help(format!("did you mean `{ENVIRONMENT_PREFIX}{}`?", meant.replace('.', "__").to_uppercase()))
        }
        (Some(meant), _) => error.help(format!("did you mean `{meant}`?")),
        (None, _) => error.help("`townlet config show` lists every setting"),
    }
}

/// Nested maps for a dotted path.
fn nested(path: &str, leaf: Entry) -> Node {
    let place = leaf.place.clone();
    path.rsplit('.').fold(leaf.node, |node, name| {
        let entry = Entry { name: name.to_owned(), place: place.clone(), node };
        Node { value: Value::Map(vec![entry]), place: place.clone() }
    })
}

/// The settings of a tree in the order of the shape. An empty map counts as one setting, so that a difference shows it.
fn leaves<'a>(root: &'a Node, shape: &Shape) -> Vec<(String, &'a Node)> {
    fn walk<'a>(node: &'a Node, shape: &Shape, path: &str, found: &mut Vec<(String, &'a Node)>) {
        match (shape, node.entries()) {
            (Shape::Section(fields), _) => {
                for field in fields {
                    walk(node.get(field.name), &field.shape, &join(path, field.name), found);
                }
            }
            (Shape::Map(item), Some(entries)) if !entries.is_empty() => {
                for entry in entries {
                    walk(&entry.node, item, &join(path, &entry.name), found);
                }
            }
            _ => found.push((path.to_owned(), node)),
        }
    }
    let mut found = Vec::new();
    walk(root, shape, "", &mut found);
    found
}
