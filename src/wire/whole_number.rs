//! Whole numbers of requests, as JSON Schema has them: `3.0` is one.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Number;

/// A whole number, also when it is written with a fraction of 0. Numbers beyond the largest become that one.
pub(crate) fn required<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
    value(&Number::deserialize(input)?).ok_or_else(|| D::Error::custom("a whole number of at least 0 is needed"))
}

/// The same, or none. Numbers beyond the largest of the type are refused.
pub(crate) fn optional<'de, D: Deserializer<'de>, T: TryFrom<u64>>(input: D) -> Result<Option<T>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(input)? else { return Ok(None) };
    let whole = value(&number).and_then(|value| T::try_from(value).ok());
    whole.map(Some).ok_or_else(|| D::Error::custom("a whole number of at least 0 is needed, and not so large a one"))
}

fn value(number: &Number) -> Option<u64> {
    let fraction = || number.as_f64().filter(|value| *value >= 0.0 && value.fract() == 0.0);
    number.as_u64().or_else(|| fraction().map(|value| value as u64))
}
