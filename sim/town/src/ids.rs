//! Typed indices, and columns that only their own index type can access.

use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

/// An index of a [`Column`].
pub trait Key: Copy {
    /// The position in the column.
    fn at(self) -> usize;
}

macro_rules! key {
    ($(#[$doc:meta])* $name:ident($repr:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $repr);

        impl Key for $name {
            fn at(self) -> usize {
                self.0 as usize
            }
        }
    };
}

key!(
    /// A resident's slot. Slots are reused after a cooldown; [`ResidentId`] is the identity of the resident in it.
    AgentId(u16)
);
key!(
    /// The identity of a resident: the n-th one who ever arrived. It determines name and personality.
    ResidentId(u32)
);
key!(
    /// An object of the plan, in reading order.
    ObjectId(u16)
);
key!(
    /// A place of the plan, in the order of its legend.
    PlaceId(u16)
);
key!(
    /// A job, in the order of the configuration's names.
    JobId(u16)
);
key!(
    /// An affordance, in the order of its file.
    AffordanceId(u16)
);
key!(
    /// A tile: `y × width + x`.
    Tile(u32)
);

/// A vector with a typed index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Column<K, T>(Vec<T>, #[serde(skip)] PhantomData<K>);

impl<K, T> Default for Column<K, T> {
    fn default() -> Self {
        Self(Vec::new(), PhantomData)
    }
}

impl<K: Key, T> Column<K, T> {
    /// `count` equal entries.
    pub fn filled(count: usize, value: T) -> Self
    where
        T: Clone,
    {
        Self(vec![value; count], PhantomData)
    }

    /// Entries for which there is room.
    pub(crate) fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In index order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// In index order.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.0.iter_mut()
    }

    /// The entries in index order.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// The entry, when there is one.
    pub fn get(&self, key: K) -> Option<&T> {
        self.0.get(key.at())
    }
}

impl<K: Key, T> From<Vec<T>> for Column<K, T> {
    fn from(values: Vec<T>) -> Self {
        Self(values, PhantomData)
    }
}

impl<K: Key, T> Index<K> for Column<K, T> {
    type Output = T;
    fn index(&self, key: K) -> &T {
        &self.0[key.at()]
    }
}

impl<K: Key, T> IndexMut<K> for Column<K, T> {
    fn index_mut(&mut self, key: K) -> &mut T {
        &mut self.0[key.at()]
    }
}

impl<'a, K: Key, T> IntoIterator for &'a Column<K, T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'a, K: Key, T> IntoIterator for &'a mut Column<K, T> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter_mut()
    }
}
