//! Timelines of the original program: each entry becomes a line of a command script.

use std::collections::BTreeMap;

use serde_json::json;
use townlet_town::config::import::{ImportedKey, KeyOutcome};
use townlet_town::config::{Config, Node, Value};
use townlet_town::ids::ResidentId;
use townlet_town::names;
use townlet_wire::{ArgKind, CommandSpec};

use super::{ImportedFile, dropped, key_line, moved, refused};
use crate::cli::script::check_command;

/// Commands and actions of the original by the command that does the same.
const COMMANDS: [(&str, &str); 8] = [
    ("set_need", "setneed"),
    ("spawn_agent", "spawn"),
    ("snapshot_inspect", "snapshot inspect"),
    ("snapshot_validate", "snapshot validate"),
    ("employment_exit", "employment_exit"),
    ("set_money", "setmoney"),
    ("debug_queues", "debug queues"),
    ("employment_exit_review", "employment_exit review"),
];
/// Arguments of the original by the name of the argument here.
const ARGUMENTS: [(&str, &str); 7] = [
    ("agent_id", "agent"),
    ("speaker", "agent"),
    ("listener", "other"),
    ("object_id", "object"),
    ("location", "place"),
    ("daily_exit_cap", "exits"),
    ("spec", "event"),
];

/// Whether a file is a timeline: entries with ticks, by themselves or below `timeline`.
pub(super) fn entries(root: &Node) -> Option<&[Node]> {
    let list = if root.entries().is_some() { root.get("timeline") } else { root };
    match &list.value {
        Value::List(items) if items.iter().all(|item| matches!(item.get("tick").value, Value::Whole(_))) => Some(items),
        _ => None,
    }
}

/// The script, with the outcome of every entry and of each argument that is lost.
pub(super) fn import(items: &[Node]) -> ImportedFile {
    let specs = townlet_shard::specs();
    let mut residents = Residents::of(items);
    let (mut lines, mut findings) = (Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        let key = format!("timeline[{index}]");
        let mut report = |key: String, outcome| findings.push(ImportedKey { key, line: key_line(item), outcome });
        let Value::Whole(tick) = item.get("tick").value else { continue };
        if item.get("kind").value.word() == Some("narration") {
            report(key, dropped("a script has commands only"));
            continue;
        }
        let mut entry = command(item, &specs, &mut residents);
        if let Err(why) = check_command(&specs, &entry.line) {
            entry.outcome = refused(&why);
            entry.lost.clear();
        } else if tick < 0 {
            entry.outcome = refused("a tick is not negative");
        } else {
            lines.push((tick, json!({ "tick": tick as u64, "command": entry.line }).to_string()));
        }
        report(key.clone(), entry.outcome);
        for (name, why) in entry.lost {
            report(format!("{key}.{name}"), dropped(&why));
        }
    }
    lines.sort_by_key(|line| line.0);
    findings.extend(residents.findings);
    ImportedFile { text: lines.into_iter().map(|line| line.1 + "\n").collect(), findings }
}

/// An entry as a command line.
struct Converted {
    line: String,
    outcome: KeyOutcome,
    /// Arguments without counterpart, and why.
    lost: Vec<(String, String)>,
}

fn command(item: &Node, specs: &[CommandSpec], residents: &mut Residents) -> Converted {
    let word = |name: &str| item.get(name).value.word().map(str::to_owned);
    let original = word("command").or_else(|| word("name")).or_else(|| word("action")).unwrap_or_default();
    let mut positional: Vec<String> = match &item.get("args").value {
        Value::List(items) => items.iter().map(|it| plain(&it.value)).collect(),
        _ => Vec::new(),
    };
    let mut named: Vec<(String, Value)> = item
        .get("kwargs")
        .entries()
        .unwrap_or_default()
        .iter()
        .map(|entry| (entry.name.clone(), entry.node.value.clone()))
        .collect();
    let mut name = COMMANDS.iter().find(|row| row.0 == original).map_or(original.as_str(), |row| row.1).to_owned();
    // A meeting is an event of the original and a command here.
    let meets = positional.first().is_some_and(|event| matches!(event.as_str(), "arrange_meet" | "arranged_meet"));
    if name == "perturbation_trigger" && meets {
        "arrange_meet".clone_into(&mut name);
        positional.clear();
    }
    if name == "arrange_meet"
        && let Some(at) = named.iter().position(|(name, value)| name == "targets" && matches!(value, Value::List(_)))
        && let (_, Value::List(who)) = named.remove(at)
    {
        positional.extend(who.iter().map(|it| plain(&it.value)));
    }
    // The second word of `employment_exit approve`.
    if specs.iter().all(|spec| spec.name != name)
        && let Some(spec) =
            positional.first().and_then(|sub| specs.iter().find(|it| it.name == format!("{name} {sub}")))
    {
        name.clone_from(&spec.name);
        positional.remove(0);
    }
    let Some(spec) = specs.iter().find(|spec| spec.name == name) else {
        let outcome = dropped(&format!("there is no command `{original}`"));
        return Converted { line: name, outcome, lost: Vec::new() };
    };
    let (line, lost) = arguments(spec, positional, named, residents);
    let outcome = moved(&line, "");
    Converted { line, outcome, lost }
}

/// The line of a command with the arguments of the original, and those that it does not have.
fn arguments(
    spec: &CommandSpec,
    positional: Vec<String>,
    named: Vec<(String, Value)>,
    residents: &mut Residents,
) -> (String, Vec<(String, String)>) {
    let mut values: BTreeMap<&str, String> = BTreeMap::new();
    for (argument, value) in spec.args.iter().filter(|argument| !argument.flag).zip(positional) {
        values.insert(&argument.name, value);
    }
    let mut lost = Vec::new();
    for (name, value) in named {
        let here = ARGUMENTS.iter().find(|row| row.0 == name).map_or(name.as_str(), |row| row.1);
        match spec.args.iter().find(|argument| argument.name == here) {
            Some(argument) => drop(values.insert(&argument.name, plain(&value))),
            None => lost.push((format!("kwargs.{name}"), format!("`{}` has no such argument", spec.name))),
        }
    }
    let mut line = spec.name.clone();
    for argument in &spec.args {
        let Some(value) = values.get(argument.name.as_str()) else { continue };
        let value = if argument.kind == ArgKind::Agent { residents.id(value) } else { value.clone() };
        let value = if value.is_empty() || value.contains([' ', '"', '\\']) { format!("{value:?}") } else { value };
        if argument.flag {
            line = format!("{line} --{}", argument.name);
        }
        line = format!("{line} {value}");
    }
    (line, lost)
}

/// A value as a word of a command line.
fn plain(value: &Value) -> String {
    value.word().map_or_else(|| value.to_string(), str::to_owned)
}

/// Residents have fixed ids here: those of the original get them in the order in which they appear, and those that a timeline
/// spawns are the newcomers after the first population.
struct Residents {
    known: BTreeMap<String, String>,
    spawned: Vec<String>,
    next: u32,
    findings: Vec<ImportedKey>,
}

impl Residents {
    fn of(items: &[Node]) -> Self {
        let spawns = |item: &&Node| {
            ["command", "name", "action"].iter().any(|key| item.get(key).value.word() == Some("spawn_agent"))
        };
        let spawned = items.iter().filter(spawns);
        let spawned = spawned.filter_map(|item| item.get("kwargs").get("agent_id").value.word().map(str::to_owned));
        Self { known: BTreeMap::new(), spawned: spawned.collect(), next: 0, findings: Vec::new() }
    }

    fn id(&mut self, original: &str) -> String {
        if names::resident(original).is_some() {
            return original.to_owned();
        }
        if let Some(id) = self.known.get(original) {
            return id.clone();
        }
        let newcomer = self.spawned.iter().position(|id| id == original);
        let (number, note) = if let Some(order) = newcomer {
            let population = Config::shipped().world.population;
            (population + order as u32, "a newcomer, if no other one comes before")
        } else {
            self.next += 1;
            (self.next - 1, "")
        };
        let id = names::id(ResidentId(number));
        self.findings.push(ImportedKey { key: format!("resident {original}"), line: 0, outcome: moved(&id, note) });
        self.known.insert(original.to_owned(), id.clone());
        id
    }
}
