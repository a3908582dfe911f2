//! A YAML text as a tree in which every value knows where it was written.
//!
//! Knows nothing of settings. Reading goes through serde-saphyr with duplicate keys let through, so that the check can
//! name them together with everything else that is wrong.

use std::fmt;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, Options, Spanned};

use super::error::ConfigError;
use crate::fixed::Micro;

/// Which layer a text belongs to.
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

/// A text that settings were read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its layer.
    pub layer: Layer,
    /// File name, variable or flag.
    pub name: String,
    /// The whole text, for the lines shown in messages.
    pub text: String,
}

/// Where something was written. Line and column count from 1; 0 means that only the source is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The text.
    pub source: Arc<Source>,
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

/// A value and where it was written (nowhere, when a program made it).
#[derive(Clone, Debug)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where.
    pub place: Option<Place>,
}

/// A key of a map with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub name: String,
    /// Where the key was written.
    pub place: Option<Place>,
    /// Its value.
    pub node: Node,
}

/// What YAML can say.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing.
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

/// Values are the same whatever their places.
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
    /// A value from nowhere.
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

    /// The value under `name`, or a null.
    pub(crate) fn get(&self, name: &str) -> &Self {
        let found = self.entries().and_then(|entries| entries.iter().find(|entry| entry.name == name));
        found.map_or(&NOTHING, |entry| &entry.node)
    }

    /// The value at a dotted path, when there.
    pub(crate) fn at(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |node, name| {
            node.entries()?.iter().find(|entry| entry.name == name).map(|entry| &entry.node)
        })
    }
}

impl Value {
    /// A map without places.
    pub(crate) fn map<'a>(entries: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        let entry = |(name, value): (&str, Value)| Entry { name: name.to_owned(), place: None, node: Node::bare(value) };
        Self::Map(entries.into_iter().map(entry).collect())
    }

    /// The number, when it is one a [`Micro`] can hold.
    pub(crate) fn decimal(&self) -> Option<Micro> {
        match self {
            Self::Whole(value) => i64::try_from(*value).ok().filter(|value| value.abs() <= 1_000_000_000).map(Micro::whole),
            Self::Decimal(value) => Micro::from_f64(*value),
            _ => None,
        }
    }

    /// The value as a word; `false` stands for `off`, as YAML 1.1 editors write it.
    pub(crate) fn word(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Bool(value) => Some(if *value { "on" } else { "off" }),
            _ => None,
        }
    }
}

/// One line, as it would stand in a file: `0.4`, `[5, 20]`, `"on"`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Whole(value) => write!(f, "{value}"),
            Self::Decimal(value) => match Micro::from_f64(*value) {
                Some(exact) => write!(f, "{exact}"),
                None => write!(f, "{value}"),
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

/// The text in double quotes, so that no YAML reader takes it for anything else.
fn quoted(text: &str) -> String {
    let mut line = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => line.extend(['\\', character]),
            _ if character.is_control() => line.push_str(&format!("\\U{:08X}", character as u32)),
            _ => line.push(character),
        }
    }
    line + "\""
}
