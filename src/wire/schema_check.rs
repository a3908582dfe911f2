//! Validates JSON against the published schemas. Supports the keywords that `schemars` writes into them and no others;
//! a test checks that the published schemas use only these.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Violations reported at most for one payload; a hostile one has many for each byte.
const MAX_VIOLATIONS: usize = 1_000;

/// A mistake in a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaViolation {
    /// Where, such as `$.jobs.ada.wallet` or `$.events[3].tick`.
    pub path: String,
    /// What is wrong and what is expected.
    pub message: String,
    kind: Kind,
}

impl SchemaViolation {
    /// A violation found by other means than a schema.
    pub const fn new(path: String, message: String) -> Self {
        Self { path, message, kind: Kind::Other }
    }

    /// Whether a required name is missing, rather than a value being wrong.
    pub fn is_missing(&self) -> bool {
        self.kind == Kind::Missing
    }
}

/// Decides whether a violation rules out a form of an `anyOf` or `oneOf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Type,
    Const,
    Missing,
    Other,
}

/// Every mistake of `value` under `schema`; paths begin with `path`.
pub fn violations(schema: &Value, value: &Value, path: &str) -> Vec<SchemaViolation> {
    let mut check = Check { root: schema, path: path.to_owned(), found: Vec::new() };
    check.value(schema, value);
    check.found
}

struct Check<'a> {
    root: &'a Value,
    path: String,
    found: Vec<SchemaViolation>,
}

impl<'a> Check<'a> {
    fn report(&mut self, kind: Kind, message: String) {
        if self.found.len() < MAX_VIOLATIONS {
            self.found.push(SchemaViolation { path: self.path.clone(), message, kind });
        }
    }

    /// Runs `check` with `step` appended to the path.
    fn at(&mut self, step: &str, check: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push_str(step);
        check(self);
        self.path.truncate(length);
    }

    fn value(&mut self, schema: &'a Value, value: &Value) {
        let Value::Object(schema) = schema else {
            if schema == &Value::Bool(false) {
                self.report(Kind::Other, "is not allowed here".into());
            }
            return;
        };
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            let target = self.root.pointer(name.trim_start_matches('#'));
            self.value(target.unwrap_or(&Value::Bool(false)), value);
        }
        if let Some(types) = schema.get("type") {
            let types: Vec<&str> = match types {
                Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
                one => one.as_str().into_iter().collect(),
            };
            if !types.iter().any(|name| is_type(name, value)) {
                let found = type_name(value);
                return self.report(Kind::Type, format!("expected {}, found {found}", types.join(" or ")));
            }
        }
        if let Some(expected) = schema.get("const").filter(|expected| *expected != value) {
            self.report(Kind::Const, format!("expected {expected}, found {value}"));
        }
        if let (Some(minimum), Some(number)) = (schema.get("minimum").and_then(Value::as_f64), value.as_f64())
            && number < minimum
        {
            self.report(Kind::Other, format!("{value} is below the minimum of {minimum}"));
        }
        match value {
            Value::Object(fields) => self.object(schema, fields),
            Value::Array(items) => self.array(schema, items),
            _ => {}
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(Value::Array(forms)) = schema.get(keyword) {
                self.forms(forms, value);
            }
        }
    }

    fn object(&mut self, schema: &'a Map<String, Value>, fields: &Map<String, Value>) {
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                self.at(&format!(".{name}"), |check| check.report(Kind::Missing, "is missing".into()));
            }
        }
        let properties = schema.get("properties");
        for (name, value) in fields {
            let schema = properties.and_then(|all| all.get(name)).or_else(|| schema.get("additionalProperties"));
            if let Some(schema) = schema {
                self.at(&format!(".{name}"), |check| check.value(schema, value));
            }
        }
    }

    fn array(&mut self, schema: &'a Map<String, Value>, items: &[Value]) {
        let limit = |keyword| schema.get(keyword).and_then(Value::as_u64);
        let count = items.len() as u64;
        if let Some(least) = limit("minItems").filter(|least| count < *least) {
            self.report(Kind::Other, format!("expected at least {least} items, found {count}"));
        }
        if let Some(most) = limit("maxItems").filter(|most| count > *most) {
            self.report(Kind::Other, format!("expected at most {most} items, found {count}"));
        }
        if schema.get("uniqueItems") == Some(&Value::Bool(true)) {
            let mut before = BTreeSet::new();
            if let Some(item) = items.iter().find(|item| !before.insert(item.to_string())) {
                self.report(Kind::Other, format!("{item} occurs twice"));
            }
        }
        let prefix = schema.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (index, item) in items.iter().enumerate() {
            if let Some(schema) = prefix.get(index).or_else(|| schema.get("items")) {
                self.at(&format!("[{index}]"), |check| check.value(schema, item));
            }
        }
    }

    /// Of several allowed forms, reports the mistakes under the closest one: the form whose type and whose constants
    /// match and that has the fewest mistakes.
    fn forms(&mut self, forms: &'a [Value], value: &Value) {
        let path = self.path.as_str();
        let tried: Vec<_> = forms
            .iter()
            .map(|form| {
                let mut check = Check { root: self.root, path: path.to_owned(), found: Vec::new() };
                check.value(form, value);
                check.found
            })
            .collect();
        if tried.iter().any(Vec::is_empty) {
            return;
        }
        let rules_out = |it: &SchemaViolation| match it.kind {
            Kind::Type => it.path == path,
            Kind::Const => !it.path[path.len()..].trim_start_matches('.').contains(['.', '[']),
            Kind::Missing | Kind::Other => false,
        };
        let closest = tried.iter().filter(|found| !found.iter().any(rules_out)).min_by_key(|found| found.len());
        if let Some(found) = closest {
            return self.found.extend_from_slice(found);
        }
        let reasons: Vec<String> = tried
            .iter()
            .filter_map(|found| found.iter().find(|it| rules_out(it)))
            .map(|it| format!("{}: {}", it.path, it.message))
            .collect();
        self.report(Kind::Other, format!("matches none of the allowed forms ({})", reasons.join("; ")));
    }
}

fn is_type(name: &str, value: &Value) -> bool {
    match name {
        "integer" => value.is_u64() || value.is_i64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        name => name == type_name(value),
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
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
        violations(schema, value, "$").iter().map(|it| format!("{}: {}", it.path, it.message)).collect()
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
            include_str!("../../docs/schema/telemetry-0.2.0.json"),
            include_str!("../../docs/schema/stream-0.2.0.json"),
        ] {
            let schema: Value = serde_json::from_str(text).unwrap();
            keywords(&schema, &mut |keyword| {
                assert!(KEYWORDS.contains(&keyword) || ANNOTATIONS.contains(&keyword), "{keyword} is not supported");
            });
        }
    }
}
