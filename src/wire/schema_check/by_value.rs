//! The same checks on a generic value, which takes many times the memory of its text: what the checker of texts is compared with.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Kind, MAX_VIOLATIONS, SchemaViolation};

/// Every mistake of `value` under `schema`; paths begin with `path`.
pub(super) fn violations(schema: &Value, value: &Value, path: &str) -> Vec<SchemaViolation> {
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
