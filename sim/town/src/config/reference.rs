//! Everything derived from the shapes: the rows of the table of settings, the reference page, the JSON Schema for editors, and
//! the differences between two configurations.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use super::load::leaves_of;
use super::perturbation_file::{DEFAULT_PERTURBATIONS, PerturbationFile};
use super::schema::{ConfigValue, Constraint, Shape, TextFormat, ValueKind, ValueRange, free};
use super::town_settings::Config;
use super::validate::{allowed, inner, join};

/// One setting of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// The key, such as `employment.grace_ticks`; `*` stands for a name that the file chooses.
    pub key: String,
    /// The type.
    pub kind: ValueKind,
    /// The allowed values, the unit and whether it can be reloaded.
    pub constraint: Constraint,
    /// The meaning.
    pub meaning: &'static str,
}

/// A setting in which two configurations differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The setting.
    pub key: String,
    /// The first value, when present.
    pub left: Option<String>,
    /// The second value, when present.
    pub right: Option<String>,
    /// Whether the change can be reloaded while the town runs.
    pub hot: bool,
}

/// Every setting of the configuration, in the order of the default file.
pub fn rows() -> Vec<Row> {
    rows_of(&Config::shape())
}

/// The row of a setting, such as `jobs.grocer.start_tick`.
pub fn row(key: &str) -> Option<Row> {
    row_of(&rows(), key).cloned()
}

fn row_of<'a>(rows: &'a [Row], key: &str) -> Option<&'a Row> {
    let parts: Vec<&str> = key.split('.').collect();
    let fits = |row: &&Row| {
        let names: Vec<&str> = row.key.split('.').collect();
        names.len() == parts.len() && names.iter().zip(&parts).all(|(name, part)| *name == "*" || name == part)
    };
    rows.iter().find(fits)
}

/// The settings in which two configurations, or two files of another type, differ, sorted by key.
pub fn diff<T: ConfigValue>(left: &T, right: &T) -> Vec<Difference> {
    let values = |form: &T| -> BTreeMap<String, String> {
        leaves_of(form).into_iter().map(|(key, value)| (key, value.to_string())).collect()
    };
    let (left, mut right) = (values(left), values(right));
    let mut differences: Vec<Difference> = Vec::new();
    let found = |key: String, left, right| Difference { hot: false, left, right, key };
    for (key, value) in left {
        let other = right.remove(&key);
        if other.as_ref() != Some(&value) {
            differences.push(found(key, Some(value), other));
        }
    }
    differences.extend(right.into_iter().map(|(key, value)| found(key, None, Some(value))));
    if !differences.is_empty() {
        let rows = rows_of(&T::shape());
        for it in &mut differences {
            it.hot = is_hot(&rows, &it.key);
        }
    }
    differences.sort_by(|a, b| a.key.cmp(&b.key));
    differences
}

/// Whether a key can be reloaded while the town runs. The key of an empty map stands for its entries.
fn is_hot(rows: &[Row], key: &str) -> bool {
    let within = format!("{key}.");
    let found: Vec<&Row> = match row_of(rows, key) {
        Some(row) => vec![row],
        None => rows.iter().filter(|row| row.key.starts_with(&within)).collect(),
    };
    !found.is_empty() && found.iter().all(|row| row.constraint.hot)
}

/// The settings of a shape, with `*` for names that a file chooses.
pub(crate) fn rows_of(shape: &Shape) -> Vec<Row> {
    fn walk(shape: &Shape, constraint: Constraint, path: &str, meaning: &'static str, rows: &mut Vec<Row>) {
        match shape {
            Shape::Leaf(kind) => rows.push(Row { key: path.to_owned(), kind: kind.clone(), constraint, meaning }),
            Shape::Map(item) | Shape::List(item) => walk(item, constraint, &join(path, "*"), meaning, rows),
            Shape::Optional(inner) => walk(inner, constraint, path, meaning, rows),
            Shape::Section(fields) => {
                for field in fields {
                    walk(&field.shape, inner(field, constraint), &join(path, field.name), field.meaning, rows);
                }
            }
        }
    }
    let mut rows = Vec::new();
    walk(shape, free(), "", "", &mut rows);
    rows
}

/// The JSON Schema of a configuration file, for editors.
pub fn schema() -> Json {
    let mut schema = schema_of(&Config::shape(), free(), false);
    if let Some(root) = schema.as_object_mut() {
        root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        root.insert("title".to_owned(), json!("Townlet configuration"));
    }
    schema
}

fn schema_of(shape: &Shape, constraint: Constraint, whole: bool) -> Json {
    match shape {
        Shape::Leaf(kind) => schema_of_kind(kind, constraint),
        Shape::Map(item) => json!({
            "type": "object",
            "propertyNames": { "pattern": "^[a-z0-9_-]{1,40}$" },
            "additionalProperties": schema_of(item, constraint, true),
        }),
        Shape::List(item) => json!({ "type": "array", "items": schema_of(item, constraint, true) }),
        Shape::Optional(inner) => schema_of(inner, constraint, whole),
        Shape::Section(fields) => {
            let mut properties = Map::new();
            for field in fields {
                let mut property = schema_of(&field.shape, inner(field, constraint), false);
                property["description"] = json!(field.meaning);
                properties.insert(field.name.to_owned(), property);
            }
            let mut section = json!({ "type": "object", "additionalProperties": false, "properties": properties });
            if whole {
                let required = fields.iter().filter(|field| !field.shape.is_optional() && field.name != "wage_rate");
                section["required"] = required.map(|field| json!(field.name)).collect();
            }
            section
        }
    }
}

fn schema_of_kind(kind: &ValueKind, constraint: Constraint) -> Json {
    match (kind, constraint.limit) {
        (ValueKind::Switch, _) => json!({ "enum": [true, false, "on", "off"] }),
        (ValueKind::Whole, ValueRange::Whole(low, high)) => {
            json!({ "type": "integer", "minimum": low, "maximum": high })
        }
        (ValueKind::Whole, _) => json!({ "type": "integer", "minimum": 0 }),
        (ValueKind::Decimal, ValueRange::Decimal(low, high)) => {
            json!({ "type": "number", "minimum": low.to_f64(), "maximum": high.to_f64() })
        }
        (ValueKind::Decimal, _) => json!({ "type": "number" }),
        (ValueKind::Text, ValueRange::Text(TextFormat::Name)) => {
            json!({ "type": "string", "pattern": "^[a-z0-9_-]{1,40}$" })
        }
        (ValueKind::Text, ValueRange::Text(TextFormat::Path)) => {
            json!({ "type": "string", "minLength": 1, "maxLength": 200 })
        }
        (ValueKind::Text, _) => json!({ "type": "string", "minLength": 1, "maxLength": 40 }),
        (ValueKind::Choice(words), _) => json!({ "enum": words }),
        (ValueKind::Pair(item), _) => {
            json!({ "type": "array", "items": schema_of_kind(item, constraint), "minItems": 2, "maxItems": 2 })
        }
        (ValueKind::List(item), _) => json!({ "type": "array", "items": schema_of_kind(item, constraint) }),
        (ValueKind::Optional(item), _) => json!({ "anyOf": [schema_of_kind(item, constraint), { "type": "null" }] }),
    }
}

const OPENING: &str = "# Configuration

Generated from the table in `sim/town/src/config`. Run `UPDATE_DOCS=1 cargo test -p townlet-town` to update it; a test compares them.

A shard has one YAML file. It overlays the default (`configs/default.yaml`, which is part of the program), so give only what differs.
Environment variables (`TOWNLET__EMPLOYMENT__GRACE_TICKS=7`) override the file, and flags override both. `jobs` and category cooldowns in
a file replace all default ones. Every file is validated before anything starts. Unknown or duplicate keys, wrong types and values out of
range are refused with their position.

- `townlet config check FILE` validates a file; `config show` lists every value and its origin.
- `townlet config schema` prints the JSON Schema; `config diff A B` shows the differences between two files.
- Decimals have at most six places. `on` and `true` mean the same, and so do `off` and `false`.
- **Term** is the usual term of reinforcement learning for a setting, where it differs from the key.
- **Reload** marks settings that `reload_config` can change while a town runs. Any other change is refused by name, and then nothing
  of the file is applied. Everything in the affordance and the perturbation file can be reloaded, nothing in the plan.
- A job without `wage_rate` earns `economy.wage_income`.

These combinations are refused: equal `policy.release_dir` and `policy.shadow_dir`; a punctuality bonus above the cost of a skipped
meal; `grace_ticks` or `absence_slack` over `absent_cutoff`; an `absent_cutoff` longer than a shift; a shift that does not start before
it ends, or ends after the day; `daily_exit_cap` over `max_exits_per_day`; exits that do not fit a day with their cooldown; stock over
capacity; more residents than `embedding_allocator.max_slots`; a console that starts as admin; thresholds in the wrong order. A warning
is given when rent and three meals leave less than 10 % or more than 20 % of the wages of the worst paid shift.
";

/// The reference page, `docs/CONFIG.md`.
pub fn markdown() -> String {
    let defaults: BTreeMap<String, String> =
        Config::shipped().leaves().into_iter().map(|(key, value)| (key, value.to_string())).collect();
    let mut page = OPENING.to_owned();
    let Shape::Section(sections) = Config::shape() else { return page };
    page.push_str("\n## Identity\n\n");
    page.push_str(&table(&rows(), |key| !key.contains('.'), &defaults));
    for section in sections.iter().filter(|section| !matches!(section.shape, Shape::Leaf(_))) {
        let _ = write!(page, "\n## `{}`\n\n{}\n\n", section.name, section.meaning);
        page.push_str(&table(
            &rows(),
            |key| key.split('.').next() == Some(section.name) && key.contains('.'),
            &defaults,
        ));
    }
    page.push_str("\n## Perturbation file\n\nThe file that `perturbations.file` names. The default:\n\n```yaml\n");
    page.push_str(DEFAULT_PERTURBATIONS);
    page.push_str("```\n\n");
    page.push_str(&table(&rows_of(&PerturbationFile::shape()), |_| true, &BTreeMap::new()));
    page
}

fn table(rows: &[Row], shown: impl Fn(&str) -> bool, defaults: &BTreeMap<String, String>) -> String {
    let mut table = String::from("| key | meaning | allowed | default | term | reload |\n|---|---|---|---|---|---|\n");
    for row in rows.iter().filter(|row| shown(&row.key)) {
        let default = defaults.get(&row.key).map(|value| format!("`{value}`")).unwrap_or_default();
        let term = if row.constraint.term.is_empty() { String::new() } else { format!("`{}`", row.constraint.term) };
        let reload = if row.constraint.hot { "yes" } else { "" };
        let allowed = allowed(&row.kind, row.constraint);
        let _ = writeln!(table, "| `{}` | {} | {allowed} | {default} | {term} | {reload} |", row.key, row.meaning);
    }
    table
}

impl Row {
    /// The last name of the key.
    pub(crate) fn last(&self) -> &str {
        self.key.rsplit('.').next().unwrap_or(&self.key)
    }

    /// The allowed values in words: `a whole number from 0 to 1000 ticks`.
    pub fn allowed(&self) -> String {
        allowed(&self.kind, self.constraint)
    }
}
