//! The table shown: rows, the reference page, the JSON Schema for editors, and the difference of two configurations.
//!
//! Everything here is made from the shapes; nothing is written twice. Must not decide what is allowed.

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
    /// `employment.grace_ticks`; `*` stands for a name the file chooses.
    pub key: String,
    /// Its form.
    pub kind: ValueKind,
    /// Range, unit, the field's term, whether it can be reloaded.
    pub constraint: Constraint,
    /// What it means.
    pub meaning: &'static str,
}

/// A setting in which two configurations differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The setting.
    pub key: String,
    /// Its value in the first, when there.
    pub left: Option<String>,
    /// Its value in the second, when there.
    pub right: Option<String>,
    /// Whether a running town takes the change.
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

/// The settings in which `left` and `right` differ, sorted by key.
pub fn diff(left: &Config, right: &Config) -> Vec<Difference> {
    difference(left, right)
}

/// The same of any two forms.
pub(crate) fn difference<T: ConfigValue>(left: &T, right: &T) -> Vec<Difference> {
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

/// Whether a running town takes another value. A map without entries stands for what would be in it.
fn is_hot(rows: &[Row], key: &str) -> bool {
    let within = format!("{key}.");
    let found: Vec<&Row> = match row_of(rows, key) {
        Some(row) => vec![row],
        None => rows.iter().filter(|row| row.key.starts_with(&within)).collect(),
    };
    !found.is_empty() && found.iter().all(|row| row.constraint.hot)
}

fn rows_of(shape: &Shape) -> Vec<Row> {
    fn walk(shape: &Shape, constraint: Constraint, path: &str, meaning: &'static str, rows: &mut Vec<Row>) {
        match shape {
            Shape::Leaf(kind) => rows.push(Row { key: path.to_owned(), kind: kind.clone(), constraint, meaning }),
            Shape::Map(item) => walk(item, constraint, &join(path, "*"), meaning, rows),
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

/// The JSON Schema of a configuration file, so that editors complete and check one.
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
        Shape::Section(fields) => {
            let mut properties = Map::new();
            for field in fields {
                let mut property = schema_of(&field.shape, inner(field, constraint), false);
                property["description"] = json!(field.meaning);
                properties.insert(field.name.to_owned(), property);
            }
            let mut section = json!({ "type": "object", "additionalProperties": false, "properties": properties });
            if whole {
                let optional = |shape: &Shape| matches!(shape, Shape::Leaf(ValueKind::Optional(_)));
                let required = fields.iter().filter(|field| !optional(&field.shape) && field.name != "wage_rate");
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

Made from the table in `sim/town/src/config` by `UPDATE_DOCS=1 cargo test -p townlet-town`; a test holds it to the code.

One YAML file a shard. It overlays the default (`configs/default.yaml`, built into the program): give only what differs. Over the
file lie environment variables (`TOWNLET__EMPLOYMENT__GRACE_TICKS=7`), over those flags. `jobs` and category cooldowns given in a
file replace the default ones as a whole. Every file is checked before anything starts; an unknown or duplicate key, a wrong type or a
value out of range is refused with its place.

- `townlet config check FILE` checks a file, `config show` lists every value and where it comes from.
- `townlet config schema` prints the JSON Schema, `config diff A B` what two files change.
- Decimals have six places. `on` and `true` mean the same, `off` and `false` too.
- **Term** is what the reinforcement-learning field calls a setting, where that differs from the key.
- **Reload** marks what `reload_config` changes while a town runs. The rest is refused by name, and then nothing of the file is taken. Of
  the affordance and the perturbation file everything can be reloaded, of the plan nothing.
- A job that states no `wage_rate` earns `economy.wage_income`.

These combinations are refused: equal `policy.release_dir` and `policy.shadow_dir`; a punctuality bonus that outweighs a skipped meal;
`grace_ticks` or `absence_slack` over `absent_cutoff`; an `absent_cutoff` longer than a shift; a shift that does not begin before it
ends or ends after the day; `daily_exit_cap` over `max_exits_per_day`; exits that do not fit a day with their cooldown; stock over
capacity; more residents than `embedding_allocator.max_slots`; a console that starts as admin; thresholds out of order. Rent and three meals
that leave less than 10 % or more than 20 % of the worst paid shift's wages are a warning.
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
    page.push_str("\n## The perturbation file\n\nNamed by `perturbations.file`. The shipped one:\n\n```yaml\n");
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
    /// The allowed values in words: `a whole number from 0 to 1000 ticks`.
    pub fn allowed(&self) -> String {
        allowed(&self.kind, self.constraint)
    }
}
