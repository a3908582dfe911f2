//! From texts to a checked configuration: default, file, environment, flags, each laid over the one before.
//!
//! Does no I/O: whoever loads reads the file and the environment. Must not know what settings mean (`cross` does).

use std::sync::Arc;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::cross_checks;
use super::error::{ConfigError, ConfigErrors};
use super::schema::{ConfigValue, Shape};
use super::town_settings::Config;
use super::validate::{check, join, nearest, settings};
use super::yaml_tree::{Entry, Layer, Node, Source, Value, parse, unreadable};
use crate::fixed_point::Micro;

/// The embedded default: complete, commented, the only place where default values stand.
pub const DEFAULT: &str = include_str!("../../../../configs/default.yaml");
/// What the name of an environment variable that is a setting begins with.
pub const ENVIRONMENT_PREFIX: &str = "TOWNLET__";

/// The texts a configuration is made of, weakest first. The embedded default lies under all of them.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The shard's file: its name as messages show it, and its text.
    pub file: Option<(String, String)>,
    /// Environment variables; those that do not begin with `TOWNLET__` are passed over.
    pub environment: Vec<(String, String)>,
    /// Flags: a key path such as `employment.grace_ticks`, and the value as it would stand in a file.
    pub flags: Vec<(String, String)>,
}

/// A configuration that holds.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    /// The settings.
    pub config: Config,
    /// Every setting with its value and where it comes from, in the order of the default file.
    pub settings: Vec<EffectiveSetting>,
    /// What is allowed and yet worth a second look.
    pub warnings: Vec<String>,
}

/// A setting as `config show` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// `employment.grace_ticks`.
    pub key: String,
    /// The value, as it would stand in a file.
    pub value: String,
    /// Its layer.
    pub layer: Layer,
    /// Where it comes from: `default`, `harbour.yaml:12`, `environment TOWNLET__SEED`, `flag seed`.
    pub origin: String,
}

/// Lays the texts over the default and checks the result. Refuses with everything that is wrong.
pub fn load(layers: &Layers) -> Result<LoadedConfig, ConfigErrors> {
    let shape = Config::shape();
    let mut errors = Vec::new();
    let default = source(Layer::Default, "default.yaml", DEFAULT);
    let mut root = parse(&default)?;
    if let Some((name, text)) = &layers.file {
        match parse_map(&source(Layer::File, name, text)) {
            Ok(node) => {
                errors.extend(check(&node, &shape, false));
                lay(&mut root, node, true);
            }
            Err(refused) => errors.extend(refused.0),
        }
    }
    let environment = layers.environment.iter().filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX));
    let environment = environment.map(|(name, value)| {
        let key = name[ENVIRONMENT_PREFIX.len()..].replace("__", ".");
        (source(Layer::Environment, name, value), key)
    });
    let flags = layers.flags.iter().map(|(key, value)| (source(Layer::Flag, key, value), key.clone()));
    for (source, key) in environment.chain(flags) {
        match single(&source, &key, &shape) {
            Ok(node) => {
                errors.extend(check(&node, &shape, false));
                lay(&mut root, node, false);
            }
            Err(refused) => errors.extend(refused.0),
        }
    }
    if errors.is_empty() { finish(root, &shape) } else { Err(ConfigErrors(errors)) }
}

/// Reads a file of another kind just as strictly: unknown keys, wrong types and duplicates are refused by place.
/// Unknown keys need `#[serde(deny_unknown_fields)]` on `T`.
pub fn parse_typed<T: DeserializeOwned>(file_name: &str, text: &str) -> Result<T, ConfigErrors> {
    let source = source(Layer::File, file_name, text);
    let tree = parse(&source)?;
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let key = error.location().map(|at| tree.path_of(at.line() as usize, at.column() as usize)).unwrap_or_default();
        let mut shown = unreadable(&error, &source, &key);
        if let serde_saphyr::Error::SerdeUnknownField { field, expected, .. } = error.without_snippet() {
            shown.problem = format!("{key} is not a setting");
            shown = match nearest(field, expected.iter().copied()) {
                Some(name) => shown.help(format!("did you mean `{name}`?")),
                None => shown.help(format!("settings here: {}", expected.join(", "))),
            };
        } else if !key.is_empty() {
            shown.problem = format!("{key}: {}", shown.problem);
        }
        shown.into()
    })
}

/// A decimal in a file read by [`parse_typed`]: a number as people write it, refused when a [`Micro`] cannot hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal(pub Micro);

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        let fine = Value::Decimal(number).too_fine();
        match Micro::from_f64(number) {
            Some(_) if fine => Err(D::Error::custom("more than six decimal places")),
            Some(value) => Ok(Self(value)),
            None => Err(D::Error::custom("out of range")),
        }
    }
}

/// Reads a whole file of a shape that `section!` made.
pub(crate) fn parse_form<T: ConfigValue>(file_name: &str, text: &str) -> Result<(T, Node), ConfigErrors> {
    let source = source(Layer::File, file_name, text);
    let node = parse_map(&source)?;
    let mut errors = check(&node, &T::shape(), true);
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

impl Config {
    /// The embedded default.
    pub fn shipped() -> Self {
        load(&Layers::default()).expect("the embedded default is checked by a test").config
    }

    /// One line a setting, `key: value`, sorted by key: the bytes a snapshot or journal carries.
    pub fn canonical(&self) -> String {
        let mut lines: Vec<String> = self.leaves().iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
        lines.sort();
        lines.concat()
    }

    /// A configuration from its canonical bytes, checked like any other.
    pub fn from_canonical(text: &str) -> Result<Self, ConfigErrors> {
        let shape = Config::shape();
        let mut root = Node::bare(Value::Map(Vec::new()));
        let source = source(Layer::File, "canonical configuration", text);
        let flat = parse_map(&source)?;
        for entry in flat.entries().unwrap_or_default() {
            lay(&mut root, nested(&entry.name, entry.clone()), false);
        }
        let config = finish(root, &shape)?.config;
        // Anything else would have another digest than the bytes it was read from.
        if config.canonical() == text {
            Ok(config)
        } else {
            Err(ConfigError::of(&source, "", "these bytes are not in canonical form").into())
        }
    }

    /// SHA-256 of the canonical form, in hex: equal settings have equal digests, however they were written.
    pub fn digest(&self) -> String {
        crate::snapshot::hex(&Sha256::digest(self.canonical()))
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

/// As its canonical text, so that what carries a configuration carries exactly the digested bytes.
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

/// An empty text says nothing and overlays nothing.
fn parse_map(source: &Arc<Source>) -> Result<Node, ConfigErrors> {
    let blank = source.text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    if blank { Ok(Node::bare(Value::Map(Vec::new()))) } else { parse(source) }
}

/// Checks the laid-together tree and reads it.
fn finish(mut root: Node, shape: &Shape) -> Result<LoadedConfig, ConfigErrors> {
    give_jobs_a_wage(&mut root);
    let errors = check(&root, shape, true);
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

/// A job that states no wage earns `economy.wage_income`.
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

/// Lays `over` on `base`. In a file, entries under names of its own (`jobs`, category cooldowns) replace all there were.
fn lay(base: &mut Node, over: Node, from_file: bool) {
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
        Shape::Leaf(_) => None,
    }
}

/// A variable or flag as a tree with one setting in it. Letters may be upper or lower case.
fn single(source: &Arc<Source>, key: &str, shape: &Shape) -> Result<Node, ConfigErrors> {
    let mut known = Vec::new();
    let mut shape = Some(shape);
    for word in key.split('.') {
        let name = match shape {
            Some(Shape::Section(fields)) => {
                fields.iter().find(|field| field.name.eq_ignore_ascii_case(word)).map(|field| field.name.to_owned())
            }
            Some(Shape::Map(_)) => Some(word.to_lowercase()),
            Some(Shape::Leaf(_)) | None => None,
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
    let settings = settings(&Config::shape());
    let meant = nearest(&key, settings.iter().map(String::as_str));
    let tail = key.rsplit('.').next().unwrap_or(&key);
    let meant =
        meant.or_else(|| settings.iter().map(String::as_str).find(|known| known.rsplit('.').next() == Some(tail)));
    match (meant, source.layer) {
        (Some(meant), Layer::Environment) => {
            error.help(format!("did you mean `{ENVIRONMENT_PREFIX}{}`?", meant.replace('.', "__").to_uppercase()))
        }
        (Some(meant), _) => error.help(format!("did you mean `{meant}`?")),
        (None, _) => error.help("`townlet config show` lists every setting"),
    }
}

/// `a.b.c: value` as maps in maps.
fn nested(path: &str, leaf: Entry) -> Node {
    let place = leaf.place.clone();
    path.rsplit('.').fold(leaf.node, |node, name| {
        let entry = Entry { name: name.to_owned(), place: place.clone(), node };
        Node { value: Value::Map(vec![entry]), place: place.clone() }
    })
}

/// The settings of a tree in the order of the shape. A map without entries counts as one, so that emptiness shows.
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
            (Shape::Leaf(_) | Shape::Map(_), _) => found.push((path.to_owned(), node)),
        }
    }
    let mut found = Vec::new();
    walk(root, shape, "", &mut found);
    found
}
