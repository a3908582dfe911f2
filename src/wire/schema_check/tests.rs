//! The keywords, and the same findings as the checker of generic values.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Keywords that `violations` evaluates.
const KEYWORDS: [&str; 14] = [
    "$ref",
    "additionalProperties",
    "anyOf",
    "const",
    "items",
    "maxItems",
    "minItems",
    "minimum",
    "oneOf",
    "prefixItems",
    "properties",
    "required",
    "type",
    "uniqueItems",
];

/// Keywords that say nothing about whether a value is valid.
const ANNOTATIONS: [&str; 6] = ["$defs", "$id", "$schema", "description", "format", "title"];

fn messages(schema: &Value, value: &Value) -> Vec<String> {
    let text = value.to_string();
    let found = violations(schema, JsonText::parse(&text).unwrap(), "$");
    found.iter().map(|it| format!("{}: {}", it.path, it.message)).collect()
}

#[test]
fn every_keyword_is_checked() {
    let pair = json!({ "type": "array", "prefixItems": [{ "type": "string" }, {}], "minItems": 2, "maxItems": 2 });
    let form = |kind: &str| json!({ "type": "object", "properties": { "kind": { "const": kind }, "n": { "type": "integer" } }, "required": ["kind"] });
    let cases = [
        (json!({ "type": ["string", "null"] }), json!(1), "$: expected string or null, found number"),
        (json!({ "type": "integer" }), json!(1.5), "$: expected integer, found number"),
        (json!({ "minimum": 0 }), json!(-1), "$: -1 is below the minimum of 0"),
        (json!({ "const": "a" }), json!("b"), "$: expected \"a\", found \"b\""),
        (json!({ "required": ["a"] }), json!({}), "$.a: is missing"),
        (
            json!({ "properties": { "a": { "type": "string" } } }),
            json!({ "a": 1 }),
            "$.a: expected string, found number",
        ),
        (json!({ "additionalProperties": false }), json!({ "a": 1 }), "$.a: is not allowed here"),
        (json!({ "items": { "type": "string" } }), json!(["a", 1]), "$[1]: expected string, found number"),
        (json!({ "uniqueItems": true }), json!([1, 1]), "$: 1 occurs twice"),
        (pair.clone(), json!([1, 2]), "$[0]: expected string, found number"),
        (pair.clone(), json!(["a"]), "$: expected at least 2 items, found 1"),
        (pair, json!(["a", 1, 2]), "$: expected at most 2 items, found 3"),
        (
            json!({ "$ref": "#/$defs/A", "$defs": { "A": { "type": "null" } } }),
            json!(1),
            "$: expected null, found number",
        ),
        (
            json!({ "anyOf": [{ "items": { "type": "null" } }, { "type": "null" }] }),
            json!([1]),
            "$[0]: expected null, found number",
        ),
        (
            json!({ "oneOf": [form("a"), form("b")] }),
            json!({ "kind": "b", "n": "x" }),
            "$.n: expected integer, found string",
        ),
        (
            json!({ "oneOf": [form("a"), form("b")] }),
            json!({ "kind": "c" }),
            "$: matches none of the allowed forms ($.kind: expected \"a\", found \"c\"; $.kind: expected \"b\", found \"c\")",
        ),
    ];
    for (schema, value, message) in cases {
        assert_eq!(messages(&schema, &value), [message], "{schema} {value}");
    }
    let valid = json!({ "oneOf": [form("a"), form("b")] });
    assert_eq!(messages(&valid, &json!({ "kind": "a", "n": 3.0, "more": [] })), [""; 0]);
}

#[test]
fn the_published_schemas_use_only_supported_keywords() {
    fn keywords(schema: &Value, visit: &mut impl FnMut(&str)) {
        match schema {
            Value::Object(entries) => {
                for (keyword, value) in entries {
                    visit(keyword);
                    match (keyword.as_str(), value) {
                        ("properties" | "$defs", Value::Object(schemas)) => {
                            schemas.values().for_each(|schema| keywords(schema, visit));
                        }
                        ("const" | "required" | "type", _) => {}
                        _ => keywords(value, visit),
                    }
                }
            }
            Value::Array(schemas) => schemas.iter().for_each(|schema| keywords(schema, visit)),
            _ => {}
        }
    }
    for text in [
        include_str!("../../../docs/schema/telemetry-0.2.0.json"),
        include_str!("../../../docs/schema/stream-0.2.0.json"),
    ] {
        let schema: Value = serde_json::from_str(text).unwrap();
        keywords(&schema, &mut |keyword| {
            assert!(KEYWORDS.contains(&keyword) || ANNOTATIONS.contains(&keyword), "{keyword} is not supported");
        });
    }
}

const SCHEMAS: [&str; 2] =
    [include_str!("../../../docs/schema/telemetry-0.2.0.json"), include_str!("../../../docs/schema/stream-0.2.0.json")];

/// A published state, and messages with it and with changes.
fn documents() -> [Value; 3] {
    let text = include_str!("../../../tests/golden/telemetry-0.2.0/fixed-names.json");
    let state: Value = serde_json::from_str(text).unwrap();
    let message = |kind: &str, payload: Value| {
        json!({
            "schema_version": "0.2.0", "config_id": "a", "shard": "b", "epoch": 1, "seq": 2, "prev_seq": 1, "tick": 3,
            "kind": kind, "payload": payload,
        })
    };
    let changes = json!({
        "tick": 4, "kpis": { "remove": ["a", "b"] }, "agents": state["agents"], "employment": { "attendance": null },
        "jobs": { "upsert": state["jobs"], "remove": ["cleo"] }, "events": { "append": state["events"], "cut": 2 },
    });
    [message("snapshot", state.clone()), message("diff", changes), state]
}

/// A change at one place of a document, which `place` finds on the way down.
#[derive(Clone, Debug)]
struct Change {
    place: Vec<usize>,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Replace(Value),
    Remove,
    Add(Value),
    Repeat,
}

impl Change {
    fn apply(&self, value: &mut Value) {
        let mut at = value;
        for step in &self.place {
            if at.as_array().is_none_or(Vec::is_empty) && at.as_object().is_none_or(Map::is_empty) {
                break;
            }
            at = match at {
                Value::Array(items) => {
                    let length = items.len();
                    &mut items[step % length]
                }
                Value::Object(fields) => {
                    let length = fields.len();
                    fields.values_mut().nth(step % length).unwrap()
                }
                _ => unreachable!(),
            };
        }
        let chosen = self.place.last().copied().unwrap_or_default();
        match (&self.what, &mut *at) {
            (What::Replace(new), at) => *at = new.clone(),
            (What::Remove, Value::Array(items)) if !items.is_empty() => drop(items.remove(chosen % items.len())),
            (What::Remove, Value::Object(fields)) if !fields.is_empty() => {
                let name = fields.keys().nth(chosen % fields.len()).unwrap().clone();
                fields.shift_remove(&name);
            }
            (What::Add(new), Value::Array(items)) => items.push(new.clone()),
            (What::Add(new), Value::Object(fields)) => drop(fields.insert("more".into(), new.clone())),
            (What::Repeat, Value::Array(items)) if !items.is_empty() => items.push(items[0].clone()),
            _ => {}
        }
    }
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(7),
        json!(2.0),
        json!(2.5),
        json!("diff"),
        json!("a\n\"\u{1b}é"),
        json!([]),
        json!([1, "1"]),
        json!({}),
        json!({ "name": "hunger", "value": "x" }),
        json!({ "upsert": [1], "remove": ["a", "a"] }),
    ];
    let value = proptest::sample::select(values.to_vec());
    let what = prop_oneof![
        3 => value.clone().prop_map(What::Replace),
        3 => Just(What::Remove),
        1 => value.prop_map(What::Add),
        1 => Just(What::Repeat),
    ];
    let change = (proptest::collection::vec(0..60_usize, 0..6), what).prop_map(|(place, what)| Change { place, what });
    proptest::collection::vec(change, 0..4)
}

proptest! {
    #[test]
    fn a_text_is_checked_as_its_value_is(document in 0..3_usize, schema in 0..2_usize, changes in changes(), indented: bool) {
        let mut value = documents()[document].clone();
        for change in changes {
            change.apply(&mut value);
        }
        let text = if indented { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
        let schema: Value = serde_json::from_str(SCHEMAS[schema]).unwrap();
        let found = violations(&schema, JsonText::parse(&text).unwrap(), "$");
        let short = |message: &str| message.len() <= MAX_QUOTED;
        for (found, expected) in found.iter().zip(by_value::violations(&schema, &value, "$")) {
            prop_assert_eq!((&found.path, found.kind), (&expected.path, expected.kind));
            prop_assert!(found.message == expected.message || !short(&expected.message), "{}", expected.message);
        }
        prop_assert_eq!(found.len(), by_value::violations(&schema, &value, "$").len());
    }
}

#[test]
fn optional_names_hide_no_mistake_behind_them() {
    let row = json!({ "required": ["a", "bonus"], "properties": { "c": { "type": "string" } } });
    let schema = json!({ "items": row });
    let mut rows = vec![json!({ "a": 1 }); 2_000];
    rows.push(json!({ "bonus": 1, "c": 1 }));
    let text = Value::from(rows).to_string();
    let found = check(&schema, JsonText::parse(&text).unwrap(), "$", &|path| path.ends_with("bonus"));
    let messages: Vec<String> = found.violations.iter().map(|it| format!("{}: {}", it.path, it.message)).collect();
    assert_eq!(messages, ["$[2000].a: is missing", "$[2000].c: expected string, found number"]);
    assert_eq!(found.optional, 2_000);
}

#[test]
fn what_is_quoted_is_short() {
    let long = "é".repeat(10_000);
    let text = json!({ "a": long, &long: 1 }).to_string();
    let schema = json!({ "properties": { "a": { "const": "b" } }, "additionalProperties": { "type": "string" } });
    for violation in violations(&schema, JsonText::parse(&text).unwrap(), "$") {
        assert!(violation.path.len() < 300 && violation.message.len() < 300, "{violation:?}");
        assert!(violation.path.contains('…') || violation.message.contains('…'), "{violation:?}");
    }
    let items: Vec<u64> = (0..=MAX_DISTINCT).collect();
    let text = json!(items).to_string();
    let found = violations(&json!({ "uniqueItems": true }), JsonText::parse(&text).unwrap(), "$");
    assert_eq!(found.first().map(|it| it.message.as_str()), Some("expected at most 500000 items, found 500001"));
}
