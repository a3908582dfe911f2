//! What a setting looks like: the trait and the two macros that turn a list of fields into a struct *and* its rows.
//!
//! A field is written once, with its meaning, type and rule; the struct, the strict check, the documentation and the
//! JSON Schema all come from that one line, so none of them can drift. Must not know any particular setting.

use std::collections::BTreeMap;

use super::yaml_tree::{Node, Value};
use crate::fixed_point::Micro;

/// A type that can be read from and written to a configuration tree.
pub trait ConfigValue: Sized {
    /// What the value may look like.
    fn shape() -> Shape;
    /// The value of a node that has passed the check; `None` when it does not have the shape.
    fn read(node: &Node) -> Option<Self>;
    /// The value as a tree without positions.
    fn write(&self) -> Value;
}

/// The form of a value.
#[derive(Clone, Debug)]
pub enum Shape {
    /// One setting.
    Leaf(ValueKind),
    /// Named settings, all known beforehand.
    Section(Vec<Field>),
    /// Entries under names the file chooses, all of one shape.
    Map(Box<Shape>),
}

/// The form of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// `on` or `off` (`true` and `false` mean the same).
    Switch,
    /// A whole number, never negative.
    Whole,
    /// A decimal with at most six places.
    Decimal,
    /// Text.
    Text,
    /// One of these words, upper or lower case.
    Choice(&'static [&'static str]),
    /// Exactly two values.
    Pair(Box<ValueKind>),
    /// Any number of values.
    List(Box<ValueKind>),
    /// A value or `null`.
    Optional(Box<ValueKind>),
}

/// A field of a section.
#[derive(Clone, Debug)]
pub struct Field {
    /// The key as it stands in the file.
    pub name: &'static str,
    /// What it means, in a sentence.
    pub meaning: &'static str,
    /// What is allowed.
    pub constraint: Constraint,
    /// Its form.
    pub shape: Shape,
}

/// What a text may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// `a-z`, `0-9`, `_` and `-`, 1 to 40 of them.
    Name,
    /// Anything printable, 1 to 40 characters.
    Label,
    /// A path or file name, 1 to 200 printable characters.
    Path,
}

/// The allowed range of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueRange {
    /// The kind says it all.
    Free,
    /// Whole numbers, both ends allowed.
    Whole(u64, u64),
    /// Decimals, both ends allowed.
    Decimal(Micro, Micro),
    /// Text.
    Text(TextFormat),
}

/// Range, unit, learning term and whether a running town takes a new value.
#[derive(Clone, Copy, Debug)]
pub struct Constraint {
    /// The allowed range.
    pub limit: ValueRange,
    /// What it counts: `ticks`, `meals`, … ; empty when there is nothing to count.
    pub unit: &'static str,
    /// What the reinforcement-learning field calls it (`clip_coef`); empty when the key is the term.
    pub term: &'static str,
    /// Whether `reload_config` may change it while the town runs.
    pub hot: bool,
    /// Whether a pair must be given lower end first.
    pub ordered: bool,
}

impl Constraint {
    const fn of(limit: ValueRange, unit: &'static str) -> Self {
        Self { limit, unit, term: "", hot: false, ordered: false }
    }

    /// The same rule for a setting that can be reloaded while the town runs.
    pub(crate) const fn hot(mut self) -> Self {
        self.hot = true;
        self
    }

    /// The same rule with the field's term for the setting.
    pub(crate) const fn term(mut self, term: &'static str) -> Self {
        self.term = term;
        self
    }

    /// The same rule for a pair whose lower end comes first.
    pub(crate) const fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }
}

/// The kind alone decides.
pub(crate) const fn free() -> Constraint {
    Constraint::of(ValueRange::Free, "")
}

/// Whole numbers from `low` to `high`.
pub(crate) const fn whole(low: u64, high: u64, unit: &'static str) -> Constraint {
    Constraint::of(ValueRange::Whole(low, high), unit)
}

/// Ticks from `low` to `high`.
pub(crate) const fn ticks(low: u64, high: u64) -> Constraint {
    whole(low, high, "ticks")
}

/// Decimals from `low` to `high`.
pub(crate) const fn decimal(low: f64, high: f64, unit: &'static str) -> Constraint {
    Constraint::of(ValueRange::Decimal(micro(low), micro(high)), unit)
}

/// A level or ratio between 0 and 1.
pub(crate) const fn unit() -> Constraint {
    decimal(0.0, 1.0, "")
}

/// Text of the given letters.
pub(crate) const fn text(letters: TextFormat) -> Constraint {
    Constraint::of(ValueRange::Text(letters), "")
}

const fn micro(value: f64) -> Micro {
    let half = if value < 0.0 { -0.5 } else { 0.5 };
    Micro((value * 1e6 + half) as i64)
}

impl ConfigValue for bool {
    fn shape() -> Shape {
        Shape::Leaf(ValueKind::Switch)
    }
    fn read(node: &Node) -> Option<Self> {
        match &node.value {
            Value::Bool(value) => Some(*value),
            Value::Text(word) if word.eq_ignore_ascii_case("on") => Some(true),
            Value::Text(word) if word.eq_ignore_ascii_case("off") => Some(false),
            _ => None,
        }
    }
    fn write(&self) -> Value {
        Value::Bool(*self)
    }
}

macro_rules! whole_numbers {
    ($($type:ty),+) => {$(
        impl ConfigValue for $type {
            fn shape() -> Shape {
                Shape::Leaf(ValueKind::Whole)
            }
            fn read(node: &Node) -> Option<Self> {
                match node.value {
                    Value::Whole(value) => value.try_into().ok(),
                    _ => None,
                }
            }
            fn write(&self) -> Value {
                Value::Whole(i128::from(*self))
            }
        }
    )+};
}
whole_numbers!(u32, u64);

impl ConfigValue for Micro {
    fn shape() -> Shape {
        Shape::Leaf(ValueKind::Decimal)
    }
    fn read(node: &Node) -> Option<Self> {
        node.value.decimal()
    }
    fn write(&self) -> Value {
        Value::Decimal(self.to_f64())
    }
}

impl ConfigValue for String {
    fn shape() -> Shape {
        Shape::Leaf(ValueKind::Text)
    }
    fn read(node: &Node) -> Option<Self> {
        match &node.value {
            Value::Text(text) => Some(text.clone()),
            // An id such as `2024` is text to whoever wrote it.
            Value::Whole(number) => Some(number.to_string()),
            _ => None,
        }
    }
    fn write(&self) -> Value {
        Value::Text(self.clone())
    }
}

/// The kind of a type that is one setting by itself.
fn kind<T: ConfigValue>() -> ValueKind {
    match T::shape() {
        Shape::Leaf(kind) => kind,
        Shape::Section(_) | Shape::Map(_) => unreachable!("lists and options hold single settings"),
    }
}

impl<T: ConfigValue> ConfigValue for Option<T> {
    fn shape() -> Shape {
        Shape::Leaf(ValueKind::Optional(Box::new(kind::<T>())))
    }
    fn read(node: &Node) -> Option<Self> {
        if node.value == Value::Null { Some(None) } else { T::read(node).map(Some) }
    }
    fn write(&self) -> Value {
        self.as_ref().map_or(Value::Null, ConfigValue::write)
    }
}

impl<T: ConfigValue> ConfigValue for Vec<T> {
    fn shape() -> Shape {
        Shape::Leaf(ValueKind::List(Box::new(kind::<T>())))
    }
    fn read(node: &Node) -> Option<Self> {
        match &node.value {
            Value::List(items) => items.iter().map(T::read).collect(),
            _ => None,
        }
    }
    fn write(&self) -> Value {
        Value::List(self.iter().map(|item| Node::bare(item.write())).collect())
    }
}

impl<T: ConfigValue> ConfigValue for [T; 2] {
    fn shape() -> Shape {
        Shape::Leaf(ValueKind::Pair(Box::new(kind::<T>())))
    }
    fn read(node: &Node) -> Option<Self> {
        Vec::<T>::read(node)?.try_into().ok()
    }
    fn write(&self) -> Value {
        Value::List(self.iter().map(|item| Node::bare(item.write())).collect())
    }
}

impl<T: ConfigValue> ConfigValue for BTreeMap<String, T> {
    fn shape() -> Shape {
        Shape::Map(Box::new(T::shape()))
    }
    fn read(node: &Node) -> Option<Self> {
        node.entries()?.iter().map(|entry| Some((entry.name.clone(), T::read(&entry.node)?))).collect()
    }
    fn write(&self) -> Value {
        Value::map(self.iter().map(|(name, value)| (name.as_str(), value.write())))
    }
}

/// The key of a field: its name, unless another is given.
macro_rules! key {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident as $key:literal) => {
        $key
    };
}
pub(crate) use key;

/// Writes a struct whose every field is a setting: `name: Type = rule`, or `name as "key": Type = rule`. The doc comment
/// is the setting's meaning.
macro_rules! section {
    ($(
        $(#[doc = $about:literal])+
        $name:ident {
            $( $(#[doc = $meaning:literal])+ $field:ident $(as $key:literal)? : $type:ty = $rule:expr ),+ $(,)?
        }
    )+) => {$(
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $( $(#[doc = $meaning])+ pub $field: $type, )+
        }

        impl $crate::config::schema::ConfigValue for $name {
            fn shape() -> $crate::config::schema::Shape {
                $crate::config::schema::Shape::Section(vec![$(
                    $crate::config::schema::Field {
                        name: $crate::config::schema::key!($field $(as $key)?),
                        meaning: concat!($($meaning),+).trim_ascii(),
                        constraint: $rule,
                        shape: <$type as $crate::config::schema::ConfigValue>::shape(),
                    },
                )+])
            }
            fn read(node: &$crate::config::yaml_tree::Node) -> Option<Self> {
                Some(Self { $( $field: <$type as $crate::config::schema::ConfigValue>::read(node.get($crate::config::schema::key!($field $(as $key)?)))?, )+ })
            }
            fn write(&self) -> $crate::config::yaml_tree::Value {
                $crate::config::yaml_tree::Value::map([$(
                    ($crate::config::schema::key!($field $(as $key)?), $crate::config::schema::ConfigValue::write(&self.$field)),
                )+])
            }
        }
    )+};
}
pub(crate) use section;

/// Writes an enum of words: `Variant = "word"`.
macro_rules! choice {
    ($(
        $(#[doc = $about:literal])+
        $name:ident { $( $(#[doc = $meaning:literal])+ $variant:ident = $word:literal ),+ $(,)? }
    )+) => {$(
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $( $(#[doc = $meaning])+ #[serde(rename = $word)] $variant, )+ }

        impl $name {
            /// The word for it in a file and on screens.
            pub const fn word(self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }
        }

        impl $crate::config::schema::ConfigValue for $name {
            fn shape() -> $crate::config::schema::Shape {
                $crate::config::schema::Shape::Leaf($crate::config::schema::ValueKind::Choice(&[$($word),+]))
            }
            fn read(node: &$crate::config::yaml_tree::Node) -> Option<Self> {
                let word = node.value.word()?;
                $( if word.eq_ignore_ascii_case($word) { return Some(Self::$variant); } )+
                None
            }
            fn write(&self) -> $crate::config::yaml_tree::Value {
                $crate::config::yaml_tree::Value::Text(self.word().to_owned())
            }
        }
    )+};
}
pub(crate) use choice;
