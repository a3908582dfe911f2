//! Deserialization within a memory bound.
//!
//! A few bytes of a file can state a large value: an empty JSON object is a row of many fields, and a length of two bytes is a
//! list of a thousand entries. [`deserialize`] adds up the memory of lists, maps and texts while they are read and stops at
//! the bound, so that a file from a stranger cannot take more memory than its reader allows.

use std::cell::Cell;
use std::fmt::{Formatter, Result as FmtResult};

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use thiserror::Error as ThisError;

/// Entries for which a list that states no length allocates memory with its first one.
const FIRST_ENTRIES: usize = 4;
/// Most bytes that a list allocates for the length that it states, before it has that many entries.
const STATED_BYTES: usize = 1024 * 1024;
/// Entries for which a map allocates memory with its first one: a node of a B-tree.
const FIRST_KEYS: usize = 11;
/// Entries of a map within the memory of the first one, at the growth of the others.
const WITHIN_FIRST: usize = FIRST_KEYS / GROWTH;
/// Bytes that the allocator adds to a short text.
const ALLOCATION: usize = 32;
/// Upper bound of allocated to used entries of a growing list that states no length, and of a map.
const GROWTH: usize = 2;

/// Most bytes of memory for the content of a foreign text of this length: with the text itself, less than the 64 MiB beyond twice
/// its length that every reader of foreign bytes keeps to. Generic JSON values of a town of 1,000 residents are counted as up to
/// 20 times their text.
pub const fn most_for(text: usize) -> usize {
    60 * 1024 * 1024 + text
}

/// Why a value was not read.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
pub enum BoundedError<E> {
    /// It takes more memory than allowed.
    #[error("its content takes more than {most} bytes of memory")]
    TooLarge {
        /// Most bytes allowed.
        most: usize,
    },
    /// It is not valid.
    #[error(transparent)]
    Invalid(E),
}

/// Deserializes a value whose lists, maps and texts take at most `most` bytes of memory, the unused capacity of lists and maps
/// included.
///
/// # Errors
/// A value that takes more, and the errors of the deserializer.
pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    input: D,
    most: usize,
) -> Result<T, BoundedError<D::Error>> {
    measure(input, most).map(|(value, _)| value)
}

/// As [`deserialize`], with the bytes of memory that were counted.
///
/// # Errors
/// As [`deserialize`].
pub fn measure<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    input: D,
    most: usize,
) -> Result<(T, usize), BoundedError<D::Error>> {
    let budget = Budget(Cell::new(Some(most)));
    let value = T::deserialize(Bounded::new(input, &budget));
    match budget.0.get() {
        Some(left) => Ok((value.map_err(BoundedError::Invalid)?, most - left)),
        None => Err(BoundedError::TooLarge { most }),
    }
}

/// The bytes left; `None` once a value took more.
struct Budget(Cell<Option<usize>>);

impl Budget {
    fn charge<E: Error>(&self, bytes: usize) -> Result<(), E> {
        let left = self.0.get().and_then(|left| left.checked_sub(bytes));
        self.0.set(left);
        left.map(drop).ok_or_else(|| E::custom("it takes too much memory"))
    }
}

/// Any part of a deserialization, with the budget.
struct Bounded<'b, T> {
    inner: T,
    budget: &'b Budget,
    /// Whether the entries are fields of a struct or a tuple, whose memory is counted with the list that holds it.
    inline: bool,
}

impl<'b, T> Bounded<'b, T> {
    const fn new(inner: T, budget: &'b Budget) -> Self {
        Self { inner, budget, inline: false }
    }
}

/// A list or map that is being read.
struct Entries<'b, A> {
    inner: A,
    budget: &'b Budget,
    inline: bool,
    /// Entries read. A map is at 0 until its first value is read.
    used: usize,
    /// Entries for which a list that states its length has memory; 0 for others.
    capacity: usize,
}

impl<'b, A> Entries<'b, A> {
    const fn new(inner: A, budget: &'b Budget, inline: bool) -> Self {
        Self { inner, budget, inline, used: 0, capacity: 0 }
    }

    /// Counts one more entry of a list. The capacity of a list that states its length is known: it is first what it states, and is
    /// doubled when it is used up.
    fn charge_entry<T, E: Error>(&mut self, stated: usize) -> Result<(), E> {
        let most = STATED_BYTES / size_of::<T>().max(1);
        let more = match (self.used, self.capacity) {
            _ if self.inline => 0,
            (0, _) if stated.min(most) > 0 => {
                self.capacity = stated.min(most);
                self.capacity
            }
            (0, _) => FIRST_ENTRIES,
            (_, 0) => GROWTH,
            (used, capacity) if used == capacity => {
                self.capacity *= 2;
                capacity
            }
            _ => 0,
        };
        self.used += 1;
        self.budget.charge(size_of::<T>() * more)
    }

    /// Counts the key or the value of an entry of a map.
    fn charge_part<T, E: Error>(&self) -> Result<(), E> {
        let count = match self.used {
            0 => FIRST_KEYS,
            1..WITHIN_FIRST => 0,
            _ => GROWTH,
        };
        if self.inline { Ok(()) } else { self.budget.charge(size_of::<T>() * count) }
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Bounded<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(Bounded::new(input, self.budget))
    }
}

macro_rules! deserializers {
    ($inline:literal: $($method:ident($($argument:ident: $type:ty),*))+) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method($($argument,)* Bounded { inner: visitor, budget: self.budget, inline: $inline })
        }
    )+};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Bounded<'_, D> {
    type Error = D::Error;

    deserializers! { false:
        deserialize_any() deserialize_bool() deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64()
        deserialize_i128() deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64() deserialize_u128()
        deserialize_f32() deserialize_f64() deserialize_char() deserialize_str() deserialize_string() deserialize_bytes()
        deserialize_byte_buf() deserialize_option() deserialize_unit() deserialize_seq() deserialize_map()
        deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str)
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }
    deserializers! { true:
        deserialize_tuple(length: usize) deserialize_tuple_struct(name: &'static str, length: usize)
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
    }

    // Names of fields and values without a field are not kept.
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_identifier(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_ignored_any(visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! visits {
    ($($method:ident($type:ty))+) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.$method(value)
        }
    )+};
}

macro_rules! charged_visits {
    ($($method:ident($type:ty))+) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.budget.charge(if value.is_empty() { 0 } else { value.len() + ALLOCATION })?;
            self.inner.$method(value)
        }
    )+};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Bounded<'_, V> {
    type Value = V::Value;

    fn expecting(&self, out: &mut Formatter<'_>) -> FmtResult {
        self.inner.expecting(out)
    }

    visits! {
        visit_bool(bool) visit_i8(i8) visit_i16(i16) visit_i32(i32) visit_i64(i64) visit_i128(i128) visit_u8(u8)
        visit_u16(u16) visit_u32(u32) visit_u64(u64) visit_u128(u128) visit_f32(f32) visit_f64(f64) visit_char(char)
    }
    charged_visits! {
        visit_str(&str) visit_borrowed_str(&'de str) visit_string(String) visit_bytes(&[u8])
        visit_borrowed_bytes(&'de [u8]) visit_byte_buf(Vec<u8>)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, input: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(Bounded::new(input, self.budget))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, input: D) -> Result<V::Value, D::Error> {
        self.inner.visit_newtype_struct(Bounded::new(input, self.budget))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_seq(Entries::new(inner, self.budget, self.inline))
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(Entries::new(inner, self.budget, self.inline))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(Bounded::new(inner, self.budget))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Entries<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let stated = self.inner.size_hint().unwrap_or(0);
        let element = self.inner.next_element_seed(Bounded::new(seed, self.budget))?;
        if element.is_some() {
            self.charge_entry::<S::Value, _>(stated)?;
        }
        Ok(element)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let key = self.inner.next_key_seed(Bounded::new(seed, self.budget))?;
        if key.is_some() {
            self.charge_part::<S::Value, _>()?;
        }
        Ok(key)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.charge_part::<S::Value, _>()?;
        self.used += 1;
        self.inner.next_value_seed(Bounded::new(seed, self.budget))
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, 'b, A: EnumAccess<'de>> EnumAccess<'de> for Bounded<'b, A> {
    type Error = A::Error;
    type Variant = Bounded<'b, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let (name, variant) = self.inner.variant_seed(Bounded::new(seed, self.budget))?;
        Ok((name, Bounded::new(variant, self.budget)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.newtype_variant_seed(Bounded::new(seed, self.budget))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.inner.tuple_variant(length, Bounded { inner: visitor, budget: self.budget, inline: true })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.inner.struct_variant(fields, Bounded { inner: visitor, budget: self.budget, inline: true })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Form {
        Unit,
        New(String),
        Tuple(u8, Vec<u8>),
        Fields { map: BTreeMap<String, Option<f64>>, pair: (i64, char) },
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Row {
        forms: Vec<Form>,
        wide: [u64; 16],
        text: Option<String>,
    }

    fn json<'de, T: Deserialize<'de>>(text: &'de str, most: usize) -> Result<T, String> {
        deserialize(&mut serde_json::Deserializer::from_str(text), most).map_err(|error| error.to_string())
    }

    fn rows() -> Vec<Row> {
        let map = BTreeMap::from([("a".to_owned(), Some(1.5)), ("b".to_owned(), None)]);
        let forms =
            [Form::Unit, Form::New("new".into()), Form::Tuple(1, vec![2, 3]), Form::Fields { map, pair: (-4, 'x') }];
        vec![Row { forms: forms.into(), wide: [7; 16], text: Some("text".into()) }; 3]
    }

    #[test]
    fn what_fits_is_read_as_without_a_bound() {
        let text = serde_json::to_string(&rows()).unwrap();
        assert_eq!(json(&text, 100_000), Ok(rows()));
        let bytes = postcard::to_stdvec(&rows()).unwrap();
        let read: Vec<Row> = deserialize(&mut postcard::Deserializer::from_bytes(&bytes), 100_000).unwrap();
        assert_eq!(read, rows());
        let value: serde_json::Value = json(&text, 100_000).unwrap();
        assert_eq!(value, serde_json::from_str::<serde_json::Value>(&text).unwrap());
    }

    #[test]
    fn lists_maps_and_texts_beyond_the_bound_are_refused() {
        let refused = |found: Result<(), String>| {
            let why = found.expect_err("beyond the bound");
            assert!(why.contains("more than 1000 bytes of memory"), "{why}");
        };
        let list = |count: usize| format!("[{}]", vec!["[]"; count].join(","));
        let entries = |count: usize| (0..count).map(|key| format!("\"{key}\":0")).collect::<Vec<_>>().join(",");
        assert!(json::<Vec<Vec<u64>>>(&list(19), 1_000).is_ok());
        refused(json::<Vec<Vec<u64>>>(&list(21), 1_000).map(drop));
        assert!(json::<BTreeMap<String, u8>>(&format!("{{{}}}", entries(8)), 1_000).is_ok());
        refused(json::<BTreeMap<String, u8>>(&format!("{{{}}}", entries(30)), 1_000).map(drop));
        refused(json::<serde_json::Value>(&list(30), 1_000).map(drop));
        refused(json::<String>(&format!("\"{}\"", "x".repeat(1_001)), 1_000).map(drop));
        refused(json::<Form>(&format!("{{\"Tuple\":[1,[{}1]]}}", "1,".repeat(500)), 1_000).map(drop));
        // A length that the bytes do not hold costs nothing.
        let short = postcard::to_stdvec(&(u64::MAX, 0_u8)).unwrap();
        let read: Result<Vec<u64>, _> = deserialize(&mut postcard::Deserializer::from_bytes(&short), 1_000);
        assert!(read.is_err());
    }

    #[test]
    fn a_list_that_states_its_length_counts_what_it_allocates() {
        let counted = |length: u64| {
            let bytes = postcard::to_stdvec(&vec![[0_u8; 16]; length as usize]).unwrap();
            let mut input = postcard::Deserializer::from_bytes(&bytes);
            let (list, counted): (Vec<[u8; 16]>, usize) = measure(&mut input, 1 << 30).unwrap();
            assert_eq!(counted, list.capacity() * 16, "{length}");
            counted
        };
        // A list that states its length takes no more, until that would be more than a mebibyte.
        assert_eq!(counted(5_000), 5_000 * 16);
        assert_eq!(counted(100_000), 2 * STATED_BYTES);
    }

    #[test]
    fn fields_are_counted_with_the_list_that_holds_them() {
        let row = serde_json::to_string(&vec![Row { forms: Vec::new(), wide: [0; 16], text: None }]).unwrap();
        let most = size_of::<Row>() * FIRST_ENTRIES;
        assert!(json::<Vec<Row>>(&row, most).is_ok() && json::<Vec<Row>>(&row, most - 1).is_err());
    }
}
