//! The schema of configuration files: the trait of readable types, and the macros that define them.
//!
//! A setting is written once, with its meaning, type and constraint. The struct, the validation, the documentation and the
//! JSON Schema are all derived from that line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::yaml_tree::{Node, Value};
use crate::fixed_point::Micro;

/// A type that can be read from and written to a configuration tree.
pub trait ConfigValue: Sized {
    /// The shape of the value.
    fn shape() -> Shape;
    /// The value of a validated node; `None` when the node has another shape.
    fn read(node: &Node) -> Option<Self>;
    /// The value as a tree without positions.
    fn write(&self) -> Value;
}

/// The shape of a value.
#[derive(Clone, Debug)]
pub enum Shape {
    /// One setting.
    Leaf(ValueKind),
    /// Named settings.
    Section(Vec<Field>),
    /// Entries of one shape under names that the file chooses.
    Map(Box<Shape>),
    /// Entries of one shape without names.
    List(Box<Shape>),
    /// A section, map or list that may be missing.
    Optional(Box<Shape>),
}

impl Shape {
    /// Whether the value may be missing.
    pub(crate) fn is_optional(&self) -> bool {
        matches!(self, Self::Leaf(ValueKind::Optional(_)) | Self::Optional(_))
    }
}

/// The type of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// `on` or `off` (`true` and `false` mean the same).
    Switch,
    /// A whole number from zero on.
    Whole,
    /// A decimal with at most six places.
    Decimal,
    /// Text.
    Text,
    /// One of these words, in any case.
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
    /// The key in the file.
    pub name: &'static str,
    /// The meaning, in a sentence.
    pub meaning: &'static str,
    /// The allowed values.
    pub constraint: Constraint,
    /// The shape.
    pub shape: Shape,
}

/// The characters a text may contain.
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
    /// Everything of the type.
    Free,
    /// Whole numbers between the bounds, inclusive.
    Whole(u64, u64),
    /// Decimals between the bounds, inclusive.
    Decimal(Micro, Micro),
    /// Text.
    Text(TextFormat),
}

/// Constraint and metadata of a setting.
#[derive(Clone, Copy, Debug)]
pub struct Constraint {
    /// The allowed range.
    pub limit: ValueRange,
    /// The unit, such as `ticks`; empty without one.
    pub unit: &'static str,
    /// The usual term of reinforcement learning, such as `clip_coef`; empty when it is the key.
    pub term: &'static str,
    /// Whether `reload_config` may change it while the town runs.
    pub hot: bool,
    /// Whether the first value of a pair may not exceed the second.
    pub ordered: bool,
}

impl Constraint {
    const fn of(limit: ValueRange, unit: &'static str) -> Self {
        Self { limit, unit, term: "", hot: false, ordered: false }
    }

    /// Marks a setting that can be reloaded while the town runs.
    pub(crate) const fn hot(mut self) -> Self {
        self.hot = true;
        self
    }

    /// Adds the term of reinforcement learning.
    pub(crate) const fn term(mut self, term: &'static str) -> Self {
        self.term = term;
        self
    }

    /// Requires the values of a pair in ascending order.
    pub(crate) const fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }
}

/// Every value of the type.
pub const fn free() -> Constraint {
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

/// Text in the given format.
pub const fn text(letters: TextFormat) -> Constraint {
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
            // An unquoted id such as `2024` is meant as text.
            Value::Whole(number) => Some(number.to_string()),
            _ => None,
        }
    }
    fn write(&self) -> Value {
        Value::Text(self.clone())
    }
}

impl ConfigValue for PathBuf {
    fn shape() -> Shape {
        Shape::Leaf(ValueKind::Text)
    }
    fn read(node: &Node) -> Option<Self> {
        String::read(node).map(Self::from)
    }
    fn write(&self) -> Value {
        Value::Text(self.to_string_lossy().into_owned())
    }
}

/// A setting that an operator can change while the town runs. The configuration holds only the value at the start, and only
/// `LiveSettings::at_start` reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtStart<T>(T);

impl<T: Copy> AtStart<T> {
    pub(crate) const fn at_start(self) -> T {
        self.0
    }

    /// A value to compare with those of a configuration.
    pub(crate) const fn of(value: T) -> Self {
        Self(value)
    }
}

impl<T: ConfigValue> ConfigValue for AtStart<T> {
    fn shape() -> Shape {
        T::shape()
    }
    fn read(node: &Node) -> Option<Self> {
        T::read(node).map(Self)
    }
    fn write(&self) -> Value {
        self.0.write()
    }
}

impl<T: ConfigValue> ConfigValue for Option<T> {
    fn shape() -> Shape {
        match T::shape() {
            Shape::Leaf(kind) => Shape::Leaf(ValueKind::Optional(Box::new(kind))),
            other => Shape::Optional(Box::new(other)),
        }
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
        match T::shape() {
            Shape::Leaf(kind) => Shape::Leaf(ValueKind::List(Box::new(kind))),
            other => Shape::List(Box::new(other)),
        }
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
        match T::shape() {
            Shape::Leaf(kind) => Shape::Leaf(ValueKind::Pair(Box::new(kind))),
            _ => unreachable!("a pair holds single settings"),
        }
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
#[doc(hidden)]
#[macro_export]
macro_rules! config_key {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident as $key:literal) => {
        $key
    };
}
/// Defines structs of settings: `name: Type = constraint`, or `name as "key": Type = constraint`. The doc comment is the
/// meaning of the setting.
#[macro_export]
macro_rules! section {
    ($(
        $(#[doc = $about:literal])*
        $name:ident {
            $( $(#[doc = $meaning:literal])+ $field:ident $(as $key:literal)? : $type:ty = $constraint:expr ),+ $(,)?
        }
    )+) => {$(
        $(#[doc = $about])*
        ///
        /// The doc comment of the field that holds a section says what the section is for.
        #[allow(unreachable_pub, reason = "private modules use the macro too")]
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $( $(#[doc = $meaning])+ pub $field: $type, )+
        }

        impl $crate::config::ConfigValue for $name {
            fn shape() -> $crate::config::Shape {
                $crate::config::Shape::Section(vec![$(
                    $crate::config::Field {
                        name: $crate::config_key!($field $(as $key)?),
                        meaning: concat!($($meaning),+).trim_ascii(),
                        constraint: $constraint,
                        shape: <$type as $crate::config::ConfigValue>::shape(),
                    },
                )+])
            }
            fn read(node: &$crate::config::Node) -> Option<Self> {
                Some(Self { $( $field: <$type as $crate::config::ConfigValue>::read(node.get($crate::config_key!($field $(as $key)?)))?, )+ })
            }
            fn write(&self) -> $crate::config::Value {
                $crate::config::Value::map([$(
                    ($crate::config_key!($field $(as $key)?), $crate::config::ConfigValue::write(&self.$field)),
                )+])
            }
        }
    )+};
}
pub(crate) use section;

/// Defines enums of words: `Variant = "word"`.
macro_rules! choice {
    ($(
        $(#[doc = $about:literal])+
        $name:ident { $( $(#[doc = $meaning:literal])+ $variant:ident = $word:literal ),+ $(,)? }
    )+) => {$(
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $( $(#[doc = $meaning])+ #[serde(rename = $word)] $variant, )+ }

        impl $name {
            /// The word in files and on screens.
            pub const fn word(self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }
        }

        impl $crate::config::ConfigValue for $name {
            fn shape() -> $crate::config::Shape {
                $crate::config::Shape::Leaf($crate::config::ValueKind::Choice(&[$($word),+]))
            }
            fn read(node: &$crate::config::Node) -> Option<Self> {
                let word = node.value.word()?;
                $( if word.eq_ignore_ascii_case($word) { return Some(Self::$variant); } )+
                None
            }
            fn write(&self) -> $crate::config::Value {
                $crate::config::Value::Text(self.word().to_owned())
            }
        }
    )+};
}
pub(crate) use choice;
