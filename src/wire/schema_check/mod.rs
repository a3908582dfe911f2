//! Validates JSON against the published schemas. Supports the keywords that `schemars` writes into them and no others;
//! a test checks that the published schemas use only these. The text is checked in place, as [`JsonText`] reads it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::json_text::JsonText;

/// Violations reported at most for one payload; a hostile one has many for each byte.
const MAX_VIOLATIONS: usize = 1_000;
/// Items at most of a list whose items must differ. More would take too much memory to compare.
const MAX_DISTINCT: u64 = 500_000;
/// Bytes of a name or value from the text that are quoted at most.
const MAX_QUOTED: usize = 200;

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

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The mistakes in the order of the text, at most a thousand.
    pub violations: Vec<SchemaViolation>,
    /// Number of missing names that are optional.
    pub optional: usize,
}

/// Every mistake of `text` under `schema`; paths begin with `path`.
pub fn violations(schema: &Value, text: JsonText<'_>, path: &str) -> Vec<SchemaViolation> {
    check(schema, text, path, &|_| false).violations
}

/// As [`violations`], but names that the schema requires may be missing where `is_optional` says so of their path. They are counted.
pub fn check(schema: &Value, text: JsonText<'_>, path: &str, is_optional: &dyn Fn(&str) -> bool) -> Findings {
    let mut check = Check { root: schema, path: path.to_owned(), is_optional, found: Findings::default() };
    check.value(schema, text);
    check.found
}

struct Check<'a> {
    root: &'a Value,
    path: String,
    is_optional: &'a dyn Fn(&str) -> bool,
    found: Findings,
}

impl<'a> Check<'a> {
    fn report(&mut self, kind: Kind, message: String) {
        self.add(SchemaViolation { path: self.path.clone(), message, kind });
    }

    fn add(&mut self, violation: SchemaViolation) {
        if violation.is_missing() && (self.is_optional)(&violation.path) {
            self.found.optional += 1;
        } else if self.found.violations.len() < MAX_VIOLATIONS {
            self.found.violations.push(violation);
        }
    }

    /// Runs `check` with `step` appended to the path.
    fn at(&mut self, step: &str, check: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push_str(step);
        check(self);
        self.path.truncate(length);
    }

    fn value(&mut self, schema: &'a Value, text: JsonText<'_>) {
        let Value::Object(schema) = schema else {
            if schema == &Value::Bool(false) {
                self.report(Kind::Other, "is not allowed here".into());
            }
            return;
        };
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            let target = self.root.pointer(name.trim_start_matches('#'));
            self.value(target.unwrap_or(&Value::Bool(false)), text);
        }
        if let Some(types) = schema.get("type") {
            let types: Vec<&str> = match types {
                Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
                one => one.as_str().into_iter().collect(),
            };
            if !types.iter().any(|name| is_type(name, text)) {
                let found = text.type_name();
                return self.report(Kind::Type, format!("expected {}, found {found}", types.join(" or ")));
            }
        }
        if let Some(expected) = schema.get("const").filter(|expected| !is_equal(expected, text)) {
            self.report(Kind::Const, format!("expected {expected}, found {}", quoted(text)));
        }
        if let Some(minimum) = schema.get("minimum").and_then(Value::as_f64)
            && let Some(value) = text.scalar()
            && value.as_f64().is_some_and(|number| number < minimum)
        {
            self.report(Kind::Other, format!("{value} is below the minimum of {minimum}"));
        }
        match text.type_name() {
            "object" => self.object(schema, text),
            "array" => self.array(schema, text),
            _ => {}
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(Value::Array(forms)) = schema.get(keyword) {
                self.forms(forms, text);
            }
        }
    }

    fn object(&mut self, schema: &'a Map<String, Value>, text: JsonText<'_>) {
        if let Some(Value::Array(required)) = schema.get("required") {
            let mut missing: Vec<&str> = required.iter().filter_map(Value::as_str).collect();
            text.members(|name, _| missing.retain(|required| *required != name));
            for name in missing {
                self.at(&format!(".{name}"), |check| check.report(Kind::Missing, "is missing".into()));
            }
        }
        let (properties, others) = (schema.get("properties"), schema.get("additionalProperties"));
        if properties.is_none() && others.is_none() {
            return;
        }
        text.members(|name, value| {
            if let Some(schema) = properties.and_then(|all| all.get(&name)).or(others) {
                self.at(&format!(".{}", clipped(&name)), |check| check.value(schema, value));
            }
        });
    }

    fn array(&mut self, schema: &'a Map<String, Value>, text: JsonText<'_>) {
        let limit = |keyword| schema.get(keyword).and_then(Value::as_u64);
        let (least, most) = (limit("minItems"), limit("maxItems"));
        let is_set = schema.get("uniqueItems") == Some(&Value::Bool(true));
        if least.is_some() || most.is_some() || is_set {
            let mut count = 0;
            text.items(|_| count += 1);
            if let Some(least) = least.filter(|least| count < *least) {
                self.report(Kind::Other, format!("expected at least {least} items, found {count}"));
            }
            if let Some(most) = most.or(is_set.then_some(MAX_DISTINCT)).filter(|most| count > *most) {
                self.report(Kind::Other, format!("expected at most {most} items, found {count}"));
            }
            if let Some(item) = (is_set && count <= MAX_DISTINCT).then(|| first_repeated(text)).flatten() {
                self.report(Kind::Other, format!("{} occurs twice", quoted(item)));
            }
        }
        let prefix = schema.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let others = schema.get("items");
        if prefix.is_empty() && others.is_none() {
            return;
        }
        let mut index = 0;
        text.items(|item| {
            if let Some(schema) = prefix.get(index).or(others) {
                self.at(&format!("[{index}]"), |check| check.value(schema, item));
            }
            index += 1;
        });
    }

    /// Of several allowed forms, reports the mistakes under the closest one: the form whose type and whose constants
    /// match and that has the fewest mistakes.
    fn forms(&mut self, forms: &'a [Value], text: JsonText<'_>) {
        let path = self.path.clone();
        let mut tried = Vec::new();
        for form in forms {
            let mut check =
                Check { root: self.root, path: path.clone(), is_optional: &|_| false, found: Findings::default() };
            check.value(form, text);
            if check.found.violations.is_empty() {
                return;
            }
            tried.push(check.found.violations);
        }
        let rules_out = |it: &SchemaViolation| match it.kind {
            Kind::Type => it.path == path,
            Kind::Const => !it.path[path.len()..].trim_start_matches('.').contains(['.', '[']),
            Kind::Missing | Kind::Other => false,
        };
        let is_closest = |found: &&Vec<SchemaViolation>| !found.iter().any(rules_out);
        if let Some(found) = tried.iter().filter(is_closest).min_by_key(|found| found.len()) {
            found.iter().cloned().for_each(|violation| self.add(violation));
            return;
        }
        let reasons: Vec<String> = tried
            .iter()
            .filter_map(|found| found.iter().find(|it| rules_out(it)))
            .map(|it| format!("{}: {}", it.path, it.message))
            .collect();
        self.report(Kind::Other, format!("matches none of the allowed forms ({})", reasons.join("; ")));
    }
}

fn is_type(name: &str, text: JsonText<'_>) -> bool {
    match (name, text.type_name()) {
        ("integer", "number") => text.scalar().is_some_and(|number| {
            number.is_u64() || number.is_i64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
        }),
        (name, found) => name == found,
    }
}

/// Lists and objects are equal if they are written alike.
fn is_equal(expected: &Value, text: JsonText<'_>) -> bool {
    match text.scalar() {
        Some(value) => value == *expected,
        None => matches!(expected, Value::Array(_) | Value::Object(_)) && format!("{expected}") == text.as_str(),
    }
}

/// The first item of a list that occurred before. Lists and objects are equal if they are written alike.
fn first_repeated(list: JsonText<'_>) -> Option<JsonText<'_>> {
    let (mut before, mut repeated) = (BTreeSet::new(), None);
    list.items(|item| {
        // Only a string without escapes is always written alike.
        let plain = item.type_name() == "string" && !item.as_str().contains('\\');
        let value = item.scalar().filter(|_| !plain);
        let key = value.map_or(Cow::Borrowed(item.as_str()), |value| Cow::Owned(value.to_string()));
        if repeated.is_none() && !before.insert(key) {
            repeated = Some(item);
        }
    });
    repeated
}

/// A value as a message quotes it: on one line, and only the beginning of a long one.
pub fn quoted(text: JsonText<'_>) -> String {
    match clipped(text.as_str()) {
        Cow::Borrowed(_) => serde_json::to_string(&text).unwrap_or_default(),
        Cow::Owned(beginning) => beginning,
    }
}

/// A text as a message quotes it: only the beginning of a long one.
pub fn clipped(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_QUOTED {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}…", &text[..text.floor_char_boundary(MAX_QUOTED)]))
}

#[cfg(test)]
mod by_value;
#[cfg(test)]
mod tests;
