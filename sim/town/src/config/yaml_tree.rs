//! A YAML value as a tree in which every value has its position.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use crate::fixed_point::Micro;

/// The layers of a configuration, lowest priority first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// The embedded defaults.
    Default,
    /// The shard's file.
    File,
    /// An environment variable.
    Environment,
    /// A command-line flag.
    Flag,
}

/// A text that contains settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its layer.
    pub layer: Layer,
    /// File name, variable or flag.
    pub name: String,
    /// The whole text; messages show lines of it.
    pub text: String,
}

/// A position in a text. Line and column start at 1; 0 means that only the source is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The source.
    pub source: Arc<Source>,
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
    /// Length in characters; 1 when it is unknown.
    pub length: usize,
}

/// The origin of a value: `default`, `harbour.yaml:12`, `environment TOWNLET__SEED`, `flag seed`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source.layer {
            Layer::Default => f.write_str("default"),
            Layer::File => write!(f, "{}:{}", self.source.name, self.line),
            Layer::Environment | Layer::Flag => f.write_str(&self.source.label()),
        }
    }
}

impl Source {
    /// The name in messages.
    pub fn label(&self) -> String {
        match self.layer {
            Layer::Default | Layer::File => self.name.clone(),
            Layer::Environment => format!("environment {}", self.name),
            Layer::Flag => format!("flag {}", self.name),
        }
    }
}

/// A value with its position, which is `None` when a program made the value.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// The position.
    pub place: Option<Place>,
}

/// A key of a map with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub name: String,
    /// The position of the key.
    pub place: Option<Place>,
    /// Its value.
    pub node: Node,
}

/// A YAML value.
#[derive(Clone, Debug)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Whole(i128),
    /// A number with a fraction or exponent.
    Decimal(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the text.
    Map(Vec<Entry>),
}

/// Equality ignores positions.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::List(a), Self::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.value == b.value),
            (Self::Map(a), Self::Map(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.name == b.name && a.node.value == b.node.value)
            }
            (a, b) => a.decimal().is_some_and(|a| b.decimal() == Some(a)),
        }
    }
}

static NOTHING: Node = Node { value: Value::Null, place: None };

impl Node {
    /// A value without position.
    pub(crate) const fn bare(value: Value) -> Self {
        Self { value, place: None }
    }

    /// The entries of a map.
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value of a key, or a null.
    pub fn get(&self, name: &str) -> &Self {
        let found = self.entries().and_then(|entries| entries.iter().find(|entry| entry.name == name));
        found.map_or(&NOTHING, |entry| &entry.node)
    }

    /// The value at a dotted path. Items of a list are addressed by their index.
    pub(crate) fn at(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |node, name| match &node.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.name == name).map(|entry| &entry.node),
            Value::List(items) => items.get(name.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// The position of the value at a dotted path.
    pub(crate) fn place_of(&self, path: &str) -> Option<&Place> {
        self.at(path)?.place.as_ref()
    }
}

impl Value {
    /// A map without positions.
    pub fn map<'a>(entries: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        let entry =
            |(name, value): (&str, Value)| Entry { name: name.to_owned(), place: None, node: Node::bare(value) };
        Self::Map(entries.into_iter().map(entry).collect())
    }

    /// The number, when a [`Micro`] can hold it.
    pub(crate) fn decimal(&self) -> Option<Micro> {
        match self {
            Self::Whole(value) => {
                i64::try_from(*value).ok().filter(|value| value.abs() <= 1_000_000_000).map(Micro::whole)
            }
            Self::Decimal(value) => Micro::from_f64(*value),
            _ => None,
        }
    }

    /// Whether it has more decimal places than a [`Micro`] holds.
    pub(crate) fn too_fine(&self) -> bool {
        match self {
            Self::Decimal(value) => {
                let millionths = value * 1e6;
                // Differences below the precision of the float do not count.
                (millionths - millionths.round()).abs() > (millionths.abs() * 1e-14).max(1e-6)
            }
            _ => false,
        }
    }

    /// The value as a word. `true` and `false` stand for `on` and `off`, as in YAML 1.1.
    pub fn word(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Bool(value) => Some(if *value { "on" } else { "off" }),
            _ => None,
        }
    }
}

/// One line, as in a file: `0.4`, `[5, 20]`, `"on"`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Whole(value) => write!(f, "{value}"),
            Self::Decimal(value) => match Micro::from_f64(*value) {
                Some(exact) => write!(f, "{exact}"),
                None => write!(f, "{value:e}"),
            },
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(|item| item.value.to_string()).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Map(entries) => {
                let entries: Vec<String> =
                    entries.iter().map(|entry| format!("{}: {}", entry.name, entry.node.value)).collect();
                write!(f, "{{{}}}", entries.join(", "))
            }
        }
    }
}

/// The text in double quotes, so that YAML always reads it as text.
fn quoted(text: &str) -> String {
    let mut line = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => line.extend(['\\', character]),
            _ if character.is_control() => {
                let _ = write!(line, "\\U{:08X}", character as u32);
            }
            _ => line.push(character),
        }
    }
    line + "\""
}
