//! The published schemas match the types, require exactly the fixed names, and accept every published payload.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use townlet_wire::SCHEMA_VERSION;
use townlet_wire::json_text::JsonText;
use townlet_wire::schema_check::violations;

use super::schema_of_types;
use crate::kit::{TestShard, temp_home};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn published(name: &str) -> PathBuf {
    root().join("docs/schema").join(format!("{name}-{SCHEMA_VERSION}.json"))
}

#[test]
fn published_schemas_match_the_types() {
    for (name, made) in [("telemetry", schema_of_types::snapshot()), ("stream", schema_of_types::stream())] {
        let text = format!("{}\n", serde_json::to_string_pretty(&made).unwrap());
        let path = published(name);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "{}: the types make another; UPDATE_DOCS=1 cargo test --test suite telemetry",
            path.display()
        );
    }
}

fn published_schema(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(published(name)).unwrap()).unwrap()
}

fn mistakes(schema: &Value, value: &Value) -> Vec<String> {
    let text = value.to_string();
    let found = violations(schema, JsonText::parse(&text).unwrap(), "$");
    found.iter().map(|it| format!("{}: {}", it.path, it.message)).collect()
}

/// The published payloads of this version, by file name.
pub(crate) fn golden() -> Vec<(String, Value)> {
    let folder = root().join("tests/golden").join(format!("telemetry-{SCHEMA_VERSION}"));
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        (path.file_name().unwrap().to_string_lossy().into_owned(), serde_json::from_str(&text).unwrap())
    };
    files.iter().map(read).collect()
}

#[test]
fn published_payloads_are_still_valid() {
    let schema = published_schema("telemetry");
    let payloads = golden();
    assert!(payloads.len() >= 3);
    for (name, value) in payloads {
        assert_eq!(mistakes(&schema, &value), [""; 0], "{name}");
        serde_json::from_value::<townlet_wire::Snapshot>(value).unwrap_or_else(|why| panic!("{name}: {why}"));
    }
}

#[test]
fn running_town_matches_the_schema() {
    let (home, schema) = (temp_home(), published_schema("telemetry"));
    let live = TestShard::new(home.path());
    for ticks in [0, 700, 1_500] {
        live.run(ticks);
        assert_eq!(mistakes(&schema, &serde_json::to_value(live.view()).unwrap()), [""; 0]);
    }
    live.expect_ok("privacy on");
    assert_eq!(mistakes(&schema, &serde_json::to_value(live.view()).unwrap()), [""; 0]);
}

/// The definition that a schema refers to, or the schema itself.
fn of<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let name = schema.get("$ref").and_then(Value::as_str);
    name.map_or(schema, |name| &root["$defs"][name.trim_start_matches("#/$defs/")])
}

fn names(schema: &Value, key: &str) -> BTreeSet<String> {
    match &schema[key] {
        Value::Array(items) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
        Value::Object(entries) => entries.keys().cloned().collect(),
        _ => BTreeSet::new(),
    }
}

/// Words in backticks outside brackets.
fn quoted(cell: &str) -> BTreeSet<String> {
    let mut text = String::new();
    let mut depth = 0;
    for character in cell.chars() {
        depth += i32::from(character == '(');
        if depth == 0 {
            text.push(character);
        }
        depth -= i32::from(character == ')');
    }
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn fixed_names_in_the_changelog_match_the_schema() {
    let schema = schema_of_types::snapshot();
    let at = |path: &[&str]| {
        path.iter().fold(of(&schema, &schema), |schema_here, step| {
            let next = match *step {
                "*" => schema_here.get("additionalProperties").unwrap_or(&schema_here["items"]),
                name => &schema_here["properties"][name],
            };
            of(&schema, next)
        })
    };
    let rows: [(&str, &[&str]); 7] = [
        ("top level", &[]),
        ("`policy`", &["policy"]),
        ("`jobs.<agent>`", &["jobs", "*"]),
        ("`economy.<object>`", &["economy", "*"]),
        ("`employment`", &["employment"]),
        ("`employment.queue[]`", &["employment", "queue", "*"]),
        ("`rewards`", &["rewards"]),
    ];
    let page = std::fs::read_to_string(root().join("docs/TELEMETRY_CHANGELOG.md")).unwrap();
    for (place, path) in rows {
        let start = format!("| {place} | ");
        let row = page.lines().find_map(|line| line.strip_prefix(&start)).expect("the changelog has the row");
        assert_eq!(names(at(path), "required"), quoted(row), "{place}");
    }
    assert_eq!(names(at(&["events", "*"]), "required"), ["event", "tick"].map(str::to_owned).into());
    let transport: BTreeSet<String> = ["queue_length", "dropped", "mode"].map(str::to_owned).into();
    assert_eq!(names(at(&["transport"]), "required"), transport, "`last_error` may be missing when there is none");
    for block in ["conflict", "relationships", "stability", "health", "map", "audit", "promotion"] {
        assert_eq!(names(at(&[block]), "required"), BTreeSet::new(), "{block}: its inner names are not fixed");
    }
}

#[test]
fn optional_fields_are_typed() {
    let schema = published_schema("telemetry");
    let (_, mut value) = golden().into_iter().find(|(name, _)| name == "fixed-names.json").unwrap();
    assert_eq!(mistakes(&schema, &value), [""; 0]);
    value["something_new"] = json!({ "a": 1 });
    assert_eq!(mistakes(&schema, &value), [""; 0]);
    value["clock"] = json!({ "speed": 7 });
    assert_eq!(mistakes(&schema, &value).len(), 1);
}

#[test]
fn interfaces_page_names_the_versions_of_the_code() {
    let page = std::fs::read_to_string(root().join("docs/ARCHITECTURE_INTERFACES.md")).unwrap();
    let versions = [
        ("wire: telemetry and commands", SCHEMA_VERSION.to_owned()),
        ("journal", townlet_shard::journal::VERSION.to_string()),
        ("snapshot of a town", townlet_town::snapshot::VERSION.to_string()),
        ("audit log", townlet_audit::VERSION.to_string()),
        ("checkpoint of a policy", townlet_learn::checkpoint::FORMAT.to_owned()),
        ("configuration", "none".to_owned()),
    ];
    for (interface, version) in versions {
        let row = format!("| {interface} | {version} | ");
        assert!(page.lines().any(|line| line.starts_with(&row)), "{row}");
    }
    for kind in ["snapshot", "diff", "aggregate", "heartbeat", "resync"] {
        assert!(page.contains(&format!("| `{kind}` | ")), "{kind}");
    }
    let answered = ["cmd_id", "command", "status", "tick", "result", "error", "replayed", "audit"];
    assert!(answered.iter().all(|name| page.contains(name)));
}
