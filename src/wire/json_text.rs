//! A JSON text that is valid and not nested too deeply, read in place: its parts are found again when they are needed, so that
//! the state of a large town takes no memory beside its text.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// A valid JSON text, or a value in one.
#[derive(Clone, Copy, Debug)]
pub struct JsonText<'a>(&'a str);

impl<'a> JsonText<'a> {
    /// Reads a whole text, with the limits of `serde_json` on nesting and numbers.
    ///
    /// # Errors
    /// As for a [`Value`].
    pub fn parse(text: &'a str) -> serde_json::Result<Self> {
        let mut input = serde_json::Deserializer::from_str(text);
        Valid::deserialize(&mut input)?;
        input.end()?;
        Ok(Self(text.trim_matches([' ', '\t', '\n', '\r'])))
    }

    /// The text, without blanks around it.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The name of its type in JSON Schema; every number is a `number`.
    pub fn type_name(self) -> &'static str {
        match self.0.as_bytes().first() {
            Some(b'{') => "object",
            Some(b'[') => "array",
            Some(b'"') => "string",
            Some(b't' | b'f') => "boolean",
            Some(b'n') => "null",
            _ => "number",
        }
    }

    /// The value, unless it is a list or an object.
    pub fn scalar(self) -> Option<Value> {
        if matches!(self.type_name(), "object" | "array") { None } else { serde_json::from_str(self.0).ok() }
    }

    /// Calls `each` with every member of an object, in the order of the text; not at all for another value.
    pub fn members(self, each: impl FnMut(String, Self)) {
        if self.type_name() == "object" {
            // The text is valid, so this does not fail.
            drop(serde_json::Deserializer::from_str(self.0).deserialize_map(EachMember(each)));
        }
    }

    /// The members of these names; the last one of several.
    pub fn find<const N: usize>(self, names: [&str; N]) -> [Option<Self>; N] {
        let mut found = [None; N];
        self.members(|name, value| {
            if let Some(at) = names.iter().position(|wanted| *wanted == name) {
                found[at] = Some(value);
            }
        });
        found
    }

    /// Calls `each` with every item of a list; not at all for another value.
    pub fn items(self, each: impl FnMut(Self)) {
        if self.type_name() == "array" {
            drop(serde_json::Deserializer::from_str(self.0).deserialize_seq(EachItem(each)));
        }
    }
}

/// The same value, part by part: with another serializer, such as one for indented text.
impl Serialize for JsonText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut done = Ok(());
        match self.type_name() {
            "object" => {
                let mut map = serializer.serialize_map(None)?;
                self.members(|name, value| {
                    if done.is_ok() {
                        done = map.serialize_entry(&name, &value);
                    }
                });
                done.and_then(|()| map.end())
            }
            "array" => {
                let mut list = serializer.serialize_seq(None)?;
                self.items(|item| {
                    if done.is_ok() {
                        done = list.serialize_element(&item);
                    }
                });
                done.and_then(|()| list.end())
            }
            _ => self.scalar().serialize(serializer),
        }
    }
}

/// Passes each member of an object to a function.
struct EachMember<F>(F);

impl<'de, F: FnMut(String, JsonText<'de>)> Visitor<'de> for EachMember<F> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some((name, value)) = members.next_entry::<String, &'de RawValue>()? {
            (self.0)(name, JsonText(value.get()));
        }
        Ok(())
    }
}

/// Passes each item of a list to a function.
struct EachItem<F>(F);

impl<'de, F: FnMut(JsonText<'de>)> Visitor<'de> for EachItem<F> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<&'de RawValue>()? {
            (self.0)(JsonText(item.get()));
        }
        Ok(())
    }
}

/// Any value, read as completely as a [`Value`] but not kept: `IgnoredAny` skips values without a limit on their nesting.
struct Valid;

impl<'de> Deserialize<'de> for Valid {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Valid {
    type Value = Self;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("any valid JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        while members.next_entry::<IgnoredAny, Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Texts, valid and not, that a reader of values takes or refuses.
    fn texts() -> Vec<String> {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        let mut texts = vec![nested(127), nested(128), nested(5_000), objects(127), objects(128), nested(300_000)];
        let others = [
            " { \"b\" : [ 1 , -2 , 2.5e3 , null , true , \"\\u00e9\\n\\ud83d\\ude00\" ] , \"a\" : { } }\n",
            "1e999",
            "-0",
            "-0.0",
            "18446744073709551616",
            "1.0",
            "\"\\ud800\"",
            "\"\\x\"",
            "\"a",
            "[1,]",
            "{\"a\" 1}",
            "{1:2}",
            "tru",
            "nul",
            "",
            "  ",
            "[1] 2",
            "\"a\u{1}\"",
            "[]",
            "{}",
            "\"\"",
            "{\"a\":1,\"a\":2}",
            "01",
            "1.",
            "\u{feff}1",
        ];
        texts.extend(others.map(str::to_owned));
        texts
    }

    #[test]
    fn a_text_is_read_as_a_value_is() {
        for text in texts() {
            let value = serde_json::from_str::<Value>(&text);
            let start = text.get(..40).unwrap_or(&text);
            match (JsonText::parse(&text), value) {
                (Ok(read), Ok(value)) => {
                    let kept: Value = serde_json::from_str(&serde_json::to_string(&read).unwrap()).unwrap();
                    assert_eq!(kept, value, "{start}");
                }
                (Err(why), Err(other)) => assert_eq!(why.to_string(), other.to_string(), "{start}"),
                (read, value) => panic!("{start}: {read:?}, {value:?}"),
            }
        }
    }

    #[test]
    fn it_is_written_as_a_value_is() {
        let value = json!({
            "b": [{ "z": 1, "a": [] }, {}, 2.5, "x{,}:\"\u{1b}é", null, [{ "k": { "j": true, "i": -7 } }]],
            "a\"": u64::MAX, "": 1e300,
        });
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let read = JsonText::parse(&text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), value.to_string());
            assert_eq!(serde_json::to_string_pretty(&read).unwrap(), serde_json::to_string_pretty(&value).unwrap());
        }
    }

    #[test]
    fn members_are_found_by_their_names() {
        let text = r#"{"a": [1, 2], "b\u0063": {"d": 1}, "a": null, "e": 5}"#;
        let [a, bc, none] = JsonText::parse(text).unwrap().find(["a", "bc", "c"]);
        assert_eq!((a.unwrap().as_str(), bc.unwrap().as_str()), ("null", r#"{"d": 1}"#));
        assert!(none.is_none());
        let mut items = Vec::new();
        JsonText::parse(" [1, [2], \"3\"] ").unwrap().items(|item| items.push(item.as_str()));
        assert_eq!(items, ["1", "[2]", "\"3\""]);
        assert!(JsonText::parse("[1]").unwrap().find(["a"])[0].is_none());
    }
}
