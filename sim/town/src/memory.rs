//! Bytes of memory on the heap, counted from the capacity of lists.

use crate::ids::{Column, Key};

/// A part of a town and the bytes it takes on the heap. What an allocator takes for itself is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// What the part holds.
    pub name: &'static str,
    /// Bytes.
    pub bytes: usize,
}

impl Table {
    pub(crate) const fn new(name: &'static str, bytes: usize) -> Self {
        Self { name, bytes }
    }
}

/// Bytes on the heap.
pub(crate) trait HeapBytes {
    /// Bytes of the values in it, without what those have on the heap themselves.
    fn heap_bytes(&self) -> usize;
}

impl<T> HeapBytes for Vec<T> {
    fn heap_bytes(&self) -> usize {
        self.capacity() * size_of::<T>()
    }
}

impl<T> HeapBytes for Box<[T]> {
    fn heap_bytes(&self) -> usize {
        size_of_val::<[T]>(self)
    }
}

impl HeapBytes for String {
    fn heap_bytes(&self) -> usize {
        self.capacity()
    }
}

impl<K: Key, T> HeapBytes for Column<K, T> {
    fn heap_bytes(&self) -> usize {
        self.capacity() * size_of::<T>()
    }
}

/// Bytes of values with lists in them: those of the values, and those of the lists that `lists` adds up for each.
pub(crate) fn nested<'a, T: 'a, C>(values: &'a C, lists: impl Fn(&T) -> usize) -> usize
where
    C: HeapBytes,
    &'a C: IntoIterator<Item = &'a T>,
{
    values.heap_bytes() + values.into_iter().map(lists).sum::<usize>()
}
