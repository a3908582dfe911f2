//! Affordance manifests of the original program. Its ways to use an object replace those of the same object at home; the shipped
//! ones for other objects stay, because residents need them.

use townlet_town::affordances;
use townlet_town::config::import::{ImportedKey, KeyOutcome};
use townlet_town::config::{Config, Entry, Node, Value, parse_yaml};

use super::{ImportedFile, child, dropped, key_line, moved, refused};
use crate::cli::config_sources;

/// Objects of the original, with the shipped affordance that serves the same purpose.
const OBJECTS: [(&str, &str); 4] =
    [("shower", "wash_at_home"), ("bed", "sleep_at_home"), ("fridge", "eat_at_home"), ("stove", "cook_at_home")];
/// Conditions of the original by the requirement that says the same; `None` where it always holds here.
const CONDITIONS: [(&str, Option<(&str, &str)>); 4] = [
    ("power_on", Some(("power", "true"))),
    ("water_on", Some(("water", "true"))),
    ("meal_available", Some(("stock", "1"))),
    ("occupied", None),
];
const NEEDS: [&str; 3] = ["hunger", "hygiene", "energy"];

/// Whether a file is a manifest: a list of entries with an object type.
pub(super) fn is_manifest(root: &Node) -> bool {
    matches!(&root.value, Value::List(items) if items.iter().any(|item| !matches!(item.get("object_type").value, Value::Null)))
}

/// The affordance file, and the outcome of every entry and of each setting that changed.
pub(super) fn import(name: &str, root: &Node) -> anyhow::Result<ImportedFile> {
    let (shipped_name, shipped) = config_sources::shipped_sources(&Config::shipped())?.affordances;
    let shipped = parse_yaml(&shipped_name, &shipped)?;
    let Value::List(mut entries) = shipped.get("affordances").value.clone() else {
        anyhow::bail!("{shipped_name}: expected a list of affordances");
    };
    let Value::List(items) = &root.value else { anyhow::bail!("{name}: expected a list of entries") };
    let mut findings = Vec::new();
    for item in items {
        let id = item.get("id").value.word().unwrap_or("entry").to_owned();
        let mut report = |key: &str, node: &Node, outcome| {
            let key = if key.is_empty() { id.clone() } else { format!("{id}.{key}") };
            findings.push(ImportedKey { key, line: key_line(node), outcome });
        };
        if item.get("type").value.word() == Some("object") {
            report("", item, dropped("the plan sets the objects: world.plan"));
            continue;
        }
        let object = item.get("object_type").value.word().unwrap_or_default();
        let Some((_, replaced)) = OBJECTS.iter().find(|row| row.0 == object) else {
            let known: Vec<&str> = OBJECTS.iter().map(|row| row.0).collect();
            report("", item, dropped(&format!("objects with a counterpart are {}", known.join(", "))));
            continue;
        };
        let at = entries.iter().position(|entry| entry.get("id").value.word() == Some(replaced));
        let Some(at) = at else { continue };
        let (entry, changes) = converted(&entries[at], item);
        let candidate = |entry: &Node| {
            let mut entries = entries.clone();
            entries[at] = entry.clone();
            file(name, &entries)
        };
        match affordances::parse(name, &candidate(&entry)) {
            Ok(_) => {
                entries[at] = entry;
                report("", item, moved(replaced, "at home; at public objects the shipped ones apply"));
                for (key, outcome) in changes {
                    report(&key, item.get(&key), outcome);
                }
            }
            Err(errors) => report("", item, refused(errors.0.first().map_or("", |error| error.problem.as_str()))),
        }
    }
    Ok(ImportedFile { text: file(name, &entries), findings })
}

/// A shipped affordance with duration, requirements and effects of the original, and the outcome of what changed.
fn converted(shipped: &Node, original: &Node) -> (Node, Vec<(String, KeyOutcome)>) {
    let mut outcomes = Vec::new();
    let mut requires: Vec<(&str, Value)> = Vec::new();
    if let Value::List(conditions) = &original.get("preconds").value {
        for condition in conditions {
            let text = condition.value.word().unwrap_or_default();
            let name = text.split_whitespace().next().unwrap_or_default();
            match CONDITIONS.iter().find(|row| row.0 == name) {
                Some((_, Some(("stock", _)))) => requires.push(("stock", Value::Whole(1))),
                Some((_, Some((name, _)))) => requires.push((name, Value::Bool(true))),
                Some((_, None)) => {}
                None => outcomes.push(("preconds".to_owned(), dropped(&format!("no requirement says `{text}`")))),
            }
        }
    }
    // Cooking takes groceries here, or the fridge would fill from nothing.
    if !matches!(shipped.get("requires").get("groceries").value, Value::Null) {
        requires.push(("groceries", shipped.get("requires").get("groceries").value.clone()));
    }
    let mut effects: Vec<(&str, Value)> = Vec::new();
    for Entry { name, node, .. } in original.get("effects").entries().unwrap_or_default() {
        match NEEDS.iter().find(|need| *need == name) {
            Some(need) => effects.push((need, node.value.clone())),
            None if name == "money" => outcomes.push(("effects".to_owned(), dropped("a use at home has no price"))),
            None => outcomes.push(("effects".to_owned(), dropped(&format!("there is no need `{name}`")))),
        }
    }
    if !matches!(original.get("hooks").value, Value::Null) {
        outcomes.push(("hooks".to_owned(), dropped("the town has no hooks")));
    }
    let kept = ["id", "option", "object", "access", "meal", "cooking"];
    let mut entries: Vec<(&str, Value)> = kept
        .iter()
        .map(|name| (*name, shipped.get(name).value.clone()))
        .filter(|(_, value)| !matches!(value, Value::Null))
        .collect();
    entries.push(("duration", original.get("duration").value.clone()));
    entries.extend((!requires.is_empty()).then(|| ("requires", Value::map(requires))));
    entries.extend((!effects.is_empty()).then(|| ("effects", Value::map(effects))));
    (child(Value::map(entries)), outcomes)
}

fn file(name: &str, entries: &[Node]) -> String {
    let lines: Vec<String> = entries.iter().map(|entry| format!("  - {}\n", entry.value)).collect();
    let name: String = name.chars().filter(|letter| !letter.is_control()).collect();
    format!("# Imported from {name}, over the shipped affordances.\naffordances:\n{}", lines.concat())
}
