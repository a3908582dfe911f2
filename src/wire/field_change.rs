//! How one piece of a state changes: replaced as a whole, by key, or by what was added at its end.
//!
//! A change can be found between two states, applied, and joined to a later one. The blocks name the change of each field
//! (`with_diff`). Rule: "Telemetry".

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Formatter};
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

/// A change that does not fit the state it is applied to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {why}")]
pub struct Mismatch {
    /// Names from the top down: `conflict.queues`.
    pub place: String,
    /// What does not fit.
    pub why: String,
}

impl Mismatch {
    fn new(why: impl Into<String>) -> Self {
        Self { place: String::new(), why: why.into() }
    }

    /// The same, one level further out.
    pub(super) fn inside(mut self, name: &str) -> Self {
        self.place = if self.place.is_empty() { name.to_owned() } else { format!("{name}.{}", self.place) };
        self
    }
}

/// What turns one state of a piece into another.
pub trait Change: Sized {
    /// The piece.
    type Of;

    /// What turns `from` into `to`; nothing when they are equal.
    fn between(from: &Self::Of, to: &Self::Of) -> Option<Self>;

    /// Turns `from` into `to`.
    /// Fails if the change was made for another state; the piece may then be half changed.
    fn apply(self, piece: &mut Self::Of) -> Result<(), Mismatch>;

    /// This change and a later one as one: applied, it does what both do one after the other.
    /// Fails if the later one does not fit.
    fn then(self, later: Self) -> Result<Self, Mismatch>;
}

/// A field that is present is a change, also when its value is `null`.
pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(input: D) -> Result<Option<T>, D::Error> {
    T::deserialize(input).map(Some)
}

/// The later of two changes that may be missing, or both as one.
pub(super) fn joined<C: Change>(earlier: Option<C>, later: Option<C>) -> Result<Option<C>, Mismatch> {
    match (earlier, later) {
        (Some(earlier), Some(later)) => earlier.then(later).map(Some),
        (earlier, later) => Ok(later.or(earlier)),
    }
}

/// Replaced as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Whole<T>(pub T);

impl<T: Clone + PartialEq> Change for Whole<T> {
    type Of = T;

    fn between(from: &T, to: &T) -> Option<Self> {
        (from != to).then(|| Self(to.clone()))
    }

    fn apply(self, piece: &mut T) -> Result<(), Mismatch> {
        *piece = self.0;
        Ok(())
    }

    fn then(self, later: Self) -> Result<Self, Mismatch> {
        Ok(later)
    }
}

/// Entries of a map, by their name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub struct Entries<T> {
    /// New or changed entries.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub upsert: BTreeMap<String, T>,
    /// Removed names.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub remove: BTreeSet<String>,
}

impl<T: Clone + PartialEq> Change for Entries<T> {
    type Of = BTreeMap<String, T>;

    fn between(from: &Self::Of, to: &Self::Of) -> Option<Self> {
        let changed = to.iter().filter(|(name, value)| from.get(*name) != Some(*value));
        let mut upsert = BTreeMap::new();
        upsert.extend(changed.map(|(name, value)| (name.clone(), value.clone())));
        let remove: BTreeSet<_> = from.keys().filter(|name| !to.contains_key(*name)).cloned().collect();
        (!upsert.is_empty() || !remove.is_empty()).then_some(Self { upsert, remove })
    }

    fn apply(self, piece: &mut Self::Of) -> Result<(), Mismatch> {
        for name in &self.remove {
            piece.remove(name);
        }
        piece.extend(self.upsert);
        Ok(())
    }

    fn then(mut self, later: Self) -> Result<Self, Mismatch> {
        for name in &later.remove {
            self.upsert.remove(name);
        }
        self.remove.retain(|name| !later.upsert.contains_key(name));
        self.upsert.extend(later.upsert);
        self.remove.extend(later.remove);
        Ok(self)
    }
}

/// A row of a list that is known by a key.
pub trait Keyed {
    /// What tells rows of one list apart.
    type Key: Clone + Debug + Ord;

    /// This row's.
    fn key(&self) -> Self::Key;
}

/// Rows of a list, by their key.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, bound(serialize = "T: Serialize, T::Key: Serialize"))]
#[cfg_attr(feature = "schema", schemars(bound = "T: schemars::JsonSchema, T::Key: schemars::JsonSchema"))]
pub enum Rows<T: Keyed> {
    /// The whole list; also when two rows have the same key.
    Anew(Vec<T>),
    /// Changes of single rows.
    Some(SomeRows<T>),
}

// A list is the whole list, an object the changes. Derived code for untagged forms would buffer the value and try each form.
impl<'de, T> Deserialize<'de> for Rows<T>
where
    T: Keyed + Deserialize<'de>,
    T::Key: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RowsVisitor<T>(PhantomData<T>);

        impl<'de, T> Visitor<'de> for RowsVisitor<T>
        where
            T: Keyed + Deserialize<'de>,
            T::Key: Deserialize<'de>,
        {
            type Value = Rows<T>;

            fn expecting(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
                out.write_str("a list of rows, or an object with `remove`, `upsert` and `order`")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, rows: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(rows)).map(Rows::Anew)
            }

            fn visit_map<A: MapAccess<'de>>(self, changes: A) -> Result<Self::Value, A::Error> {
                SomeRows::deserialize(MapAccessDeserializer::new(changes)).map(Rows::Some)
            }
        }

        deserializer.deserialize_any(RowsVisitor(PhantomData))
    }
}

/// Removed rows, then added and changed rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, bound(serialize = "T: Serialize, T::Key: Serialize"))]
#[serde(bound(deserialize = "T: Deserialize<'de>, T::Key: Deserialize<'de>"))]
#[cfg_attr(feature = "schema", schemars(bound = "T: schemars::JsonSchema, T::Key: schemars::JsonSchema"))]
pub struct SomeRows<T: Keyed> {
    /// Keys of removed rows. They are removed first; unknown keys are ignored.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub remove: BTreeSet<T::Key>,
    /// Rows that replace the row with the same key, or are added at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upsert: Vec<T>,
    /// All keys in the order of the list, if it differs from the order that results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Vec<T::Key>>,
}

impl<T: Keyed + Clone + PartialEq> Change for Rows<T> {
    type Of = Vec<T>;

    fn between(from: &Vec<T>, to: &Vec<T>) -> Option<Self> {
        if from == to {
            return None;
        }
        let (old_keys, new_keys) = (keys(from), keys(to));
        let (old, new) = (places(&old_keys), places(&new_keys));
        if old.len() < from.len() || new.len() < to.len() {
            return Some(Self::Anew(to.clone()));
        }
        let unchanged = |row: &T, key| old.get(key).is_some_and(|at| from[*at] == *row);
        let changed = to.iter().zip(&new_keys).filter(|(row, key)| !unchanged(row, key));
        let upsert = changed.map(|(row, _)| row.clone()).collect();
        let (remove, order) = removed_and_order(&old_keys, new_keys);
        Some(Self::Some(SomeRows { remove, upsert, order }))
    }

    fn apply(self, piece: &mut Vec<T>) -> Result<(), Mismatch> {
        match self {
            Self::Anew(rows) => *piece = rows,
            Self::Some(SomeRows { remove, upsert, order }) => {
                put(piece, &remove, upsert);
                if let Some(order) = order {
                    *piece = ordered(std::mem::take(piece), &order)?;
                }
            }
        }
        Ok(())
    }

    fn then(self, later: Self) -> Result<Self, Mismatch> {
        match (self, later) {
            (_, Self::Anew(rows)) => Ok(Self::Anew(rows)),
            (Self::Anew(mut rows), later @ Self::Some(_)) => later.apply(&mut rows).map(|()| Self::Anew(rows)),
            (Self::Some(mut all), Self::Some(later)) => {
                all.order = later.order.or_else(|| {
                    let mut order = all.order?;
                    order.retain(|key| !later.remove.contains(key));
                    let known: BTreeSet<_> = order.iter().cloned().collect();
                    order.extend(later.upsert.iter().map(Keyed::key).filter(|key| !known.contains(key)));
                    Some(order)
                });
                put(&mut all.upsert, &later.remove, later.upsert);
                // A row that goes and comes back comes at the end; that it went has to be kept.
                all.remove.extend(later.remove);
                Ok(Self::Some(all))
            }
        }
    }
}

fn keys<T: Keyed>(rows: &[T]) -> Vec<T::Key> {
    rows.iter().map(Keyed::key).collect()
}

// What follows is generic over the key alone where it can be, so that it is compiled once per type of key.

/// The place of each key in a list.
fn places<K: Clone + Ord>(keys: &[K]) -> BTreeMap<K, usize> {
    keys.iter().cloned().zip(0..).collect()
}

/// The removed keys, and the order of the new list if it is not the one that removals and additions at the end leave.
fn removed_and_order<K: Clone + Ord>(old_keys: &[K], new_keys: Vec<K>) -> (BTreeSet<K>, Option<Vec<K>>) {
    let (old, new) = (places(old_keys), places(&new_keys));
    let kept = old_keys.iter().filter(|key| new.contains_key(*key));
    let added = new_keys.iter().filter(|key| !old.contains_key(*key));
    let in_order = kept.chain(added).eq(&new_keys);
    let remove = old_keys.iter().filter(|key| !new.contains_key(*key)).cloned().collect();
    (remove, (!in_order).then_some(new_keys))
}

fn put<T: Keyed>(rows: &mut Vec<T>, remove: &BTreeSet<T::Key>, upsert: Vec<T>) {
    if !remove.is_empty() {
        rows.retain(|row| !remove.contains(&row.key()));
    }
    let mut places = places(&keys(rows));
    for row in upsert {
        let key = row.key();
        if let Some(at) = places.get(&key) {
            rows[*at] = row;
        } else {
            places.insert(key, rows.len());
            rows.push(row);
        }
    }
}

fn ordered<T: Keyed>(rows: Vec<T>, order: &[T::Key]) -> Result<Vec<T>, Mismatch> {
    let count = rows.len();
    let mut places = places(&keys(&rows));
    let mut rows: Vec<Option<T>> = rows.into_iter().map(Some).collect();
    let sorted: Vec<T> = order.iter().filter_map(|key| rows[places.remove(key)?].take()).collect();
    if sorted.len() == count && order.len() == count {
        Ok(sorted)
    } else {
        Err(Mismatch::new(format!("the order names {} rows of {count}", order.len())))
    }
}

/// A list to which rows are appended, and whose oldest rows are dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tail<T> {
    /// Rows added since the previous message, oldest first, also those dropped again since.
    pub append: Vec<T>,
    /// Rows dropped from the beginning afterwards.
    #[serde(default)]
    pub cut: u64,
}

impl<T: Clone + PartialEq> Change for Tail<T> {
    type Of = Vec<T>;

    fn between(from: &Vec<T>, to: &Vec<T>) -> Option<Self> {
        let most = from.len().min(to.len());
        let shared = (0..=most).rev().find(|shared| from[from.len() - shared..] == to[..*shared]).unwrap_or(0);
        let (append, cut) = (to[shared..].to_vec(), (from.len() - shared) as u64);
        (!append.is_empty() || cut > 0).then_some(Self { append, cut })
    }

    fn apply(self, piece: &mut Vec<T>) -> Result<(), Mismatch> {
        piece.extend(self.append);
        let count = piece.len();
        let cut = usize::try_from(self.cut).ok().filter(|cut| *cut <= count);
        let cut = cut.ok_or_else(|| Mismatch::new(format!("{} of {count} rows are to be cut off", self.cut)))?;
        piece.drain(..cut);
        Ok(())
    }

    fn then(mut self, later: Self) -> Result<Self, Mismatch> {
        self.append.extend(later.append);
        self.cut = self.cut.saturating_add(later.cut);
        Ok(self)
    }
}

impl<T: Clone + PartialEq> Tail<T> {
    /// The change of a list to which all of `added` came, of which only the newest may still be in it.
    pub fn carrying(from: &[T], added: Vec<T>, to: &[T]) -> Option<Self> {
        let all = from.len() + added.len();
        let cut = all.checked_sub(to.len())? as u64;
        (!added.is_empty() || cut > 0).then_some(Self { append: added, cut })
    }
}
