//! Perturbations of the original program: its events become those of a perturbation file.

use std::fmt::Write as _;

use super::{KeyOutcome, Walk, about, block, moved, put, refused};
use crate::config::PerturbationFile;
use crate::config::yaml_tree::{Entry, Node, Value};
use crate::names;

/// Settings of the file, in its order.
pub(super) const FILE_KEYS: [&str; 7] = [
    "max_concurrent_events",
    "global_cooldown_ticks",
    "per_agent_cooldown_ticks",
    "grace_window_ticks",
    "window_ticks",
    "max_events_per_window",
    "events",
];

/// Other names of settings of an event.
const OTHER_NAMES: [(&str, &str); 3] =
    [("probability_per_day", "prob_per_day"), ("duration_min", "duration"), ("magnitude_range", "magnitude")];
/// Settings of an event without counterpart.
const WITHOUT_COUNTERPART: [(&str, &str); 2] = [
    ("utility", "a blackout affects the power, an outage the water"),
    ("max_participants", "a meeting has two participants"),
];
/// Shops of the original by the goods whose price they set.
const GOODS: [(&str, &str); 2] = [("grocer", "groceries"), ("cafe", "meal")];

/// An event as this program writes it, and the outcome of each of its settings that changed.
pub(super) fn convert(event: &Value) -> (Value, Vec<(String, KeyOutcome)>) {
    let Value::Map(entries) = event else { return (event.clone(), Vec::new()) };
    let mut outcomes = Vec::new();
    let mut written: Vec<Entry> = Vec::new();
    for entry in entries {
        if let Some((_, why)) = WITHOUT_COUNTERPART.iter().find(|row| row.0 == entry.name) {
            outcomes.push((entry.name.clone(), KeyOutcome::Dropped { why: (*why).to_owned() }));
            continue;
        }
        let name = OTHER_NAMES.iter().find(|row| row.0 == entry.name).map_or(entry.name.as_str(), |row| row.1);
        let (value, note) = setting(name, &entry.node.value);
        if name != entry.name || !note.is_empty() {
            outcomes.push((entry.name.clone(), moved(name, &note)));
        }
        if let Some(value) = value {
            written.push(Entry { name: name.to_owned(), place: None, node: Node::bare(value) });
        }
    }
    let has = |name: &str| written.iter().any(|entry| entry.name == name);
    let kind = written.iter().find(|entry| entry.name == "kind").and_then(|entry| entry.node.value.word());
    // The original's own defaults.
    let spike = kind == Some("price_spike");
    let defaults = [
        ("prob_per_day", Value::Whole(0), true),
        ("cooldown_ticks", Value::Whole(0), true),
        ("magnitude", range(&Value::Whole(1)), spike),
        ("location", Value::Text("cafe".into()), kind == Some("arranged_meet")),
    ];
    let missing: Vec<Entry> = defaults
        .into_iter()
        .filter(|(name, _, applies)| *applies && !has(name))
        .map(|(name, value, _)| Entry { name: name.to_owned(), place: None, node: Node::bare(value) })
        .collect();
    written.extend(missing);
    (Value::Map(written), outcomes)
}

/// A setting of an event, `None` where leaving it out says the same, and what changed.
fn setting(name: &str, value: &Value) -> (Option<Value>, String) {
    match (name, value) {
        ("duration" | "magnitude", Value::List(_)) => (Some(value.clone()), String::new()),
        ("duration" | "magnitude", _) => {
            let range = range(value);
            let note = format!("written {range}");
            (Some(range), note)
        }
        ("targets", Value::List(shops)) if shops.is_empty() => (None, "all goods".to_owned()),
        ("targets", Value::List(shops)) => {
            let good = |shop: &Node| {
                let row = GOODS.iter().find(|row| shop.value.word() == Some(row.0));
                row.map_or_else(|| shop.value.clone(), |row| Value::Text(row.1.to_owned()))
            };
            let goods = Value::List(shops.iter().map(|shop| Node::bare(good(shop))).collect());
            let note = if goods == *value { String::new() } else { format!("shops are goods here: {goods}") };
            (Some(goods), note)
        }
        ("target", Value::Text(who)) if who != "any" && names::resident(who).is_none() => {
            let note = format!("`{who}` is no resident here: `any`, two residents by chance");
            (Some(Value::Text("any".into())), note)
        }
        _ => (Some(value.clone()), String::new()),
    }
}

/// Least and most, from one number or from a map of both.
fn range(value: &Value) -> Value {
    let end = |name: &str| match value {
        Value::Map(entries) => entries.iter().find(|entry| entry.name == name).map(|entry| entry.node.value.clone()),
        other => Some(other.clone()),
    };
    let least = end("min").unwrap_or(Value::Whole(0));
    let most = end("max").unwrap_or_else(|| least.clone());
    Value::List(vec![Node::bare(least), Node::bare(most)])
}

/// The perturbation file, when there are events or limits. Entries that the file's check or `accepts` refuses are dropped and
/// reported.
pub(super) fn file(walk: &mut Walk, name: &str, accepts: super::Accepts<'_>) -> Option<String> {
    loop {
        if walk.events.is_empty() {
            return None;
        }
        let text = text(walk, |_| true);
        let Err(errors) = PerturbationFile::parse(name, &text) else { return accepted(walk, text, accepts) };
        let before = walk.events.len();
        for error in &errors.0 {
            if let Some(at) = walk.events.iter().position(|setting| about(error, &setting.1)) {
                let (finding, _, _) = walk.events.remove(at);
                walk.findings[finding].outcome = refused(error.problem.clone());
            }
        }
        if walk.events.len() == before {
            for (finding, _, _) in std::mem::take(&mut walk.events) {
                walk.findings[finding].outcome = refused(errors.0[0].problem.clone());
            }
        }
    }
}

/// Drops the events that do not fit the town, one by one when they do not all fit.
fn accepted(walk: &mut Walk, whole: String, accepts: super::Accepts<'_>) -> Option<String> {
    if accepts(&whole).is_ok() {
        return Some(whole);
    }
    let named: Vec<(usize, String)> = walk
        .events
        .iter()
        .filter(|setting| setting.1.starts_with("events."))
        .map(|setting| (setting.0, setting.1.clone()))
        .collect();
    for (finding, key) in named {
        let alone = text(walk, |other| !other.starts_with("events.") || other == key);
        if let Err(why) = accepts(&alone) {
            walk.events.retain(|setting| setting.1 != key);
            walk.findings[finding].outcome = refused(why);
        }
    }
    if walk.events.is_empty() { None } else { Some(text(walk, |_| true)) }
}

/// The file with the settings of these keys, and the original's defaults of the others.
fn text(walk: &Walk, wanted: impl Fn(&str) -> bool) -> String {
    let settings: Vec<_> = walk.events.iter().filter(|setting| wanted(&setting.1)).collect();
    let defaults = [1, 0, 0, 60, walk.day, 1];
    let mut text = String::from("# Scheduled perturbations.\n");
    for (key, value) in FILE_KEYS.iter().zip(defaults) {
        if !settings.iter().any(|setting| setting.1 == *key) {
            let _ = writeln!(text, "{key}: {value}");
        }
    }
    let mut tree = Node::bare(Value::Map(Vec::new()));
    for (_, key, value) in &settings {
        put(&mut tree, key, value);
    }
    block(&tree, 0, &mut text);
    if !settings.iter().any(|setting| setting.1.starts_with("events.")) {
        text.push_str("events: {}\n");
    }
    text
}
