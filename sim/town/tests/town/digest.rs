//! The digest covers every field of the state, and a state survives serialisation.

use serde_json::{Value, json};
use townlet_town::fixed_point::Micro;
use townlet_town::state::ActivePerturbation;
use townlet_town::state::{Cooldown, PastShift, ShiftState};
use townlet_town::state::{ExitEntry, ExitReason};
use townlet_town::{AgentId, Command, ResidentId, State};

use crate::{edited, through, town, wander};

/// A state in which no list is empty and every kind of content occurs.
fn rich() -> State {
    let mut town = town(&[
        ("embedding_allocator.max_slots", "7"),
        ("world.population", "6"),
        ("stability.window_ticks", "100"),
        ("lifecycle.spawn_delay_ticks", "[500, 600]"),
    ]);
    through(&mut town, 299, wander);
    town.apply(&Command::Kill { who: ResidentId(1) }).unwrap();
    through(&mut town, 320, wander);
    let town = edited(&town, |state| {
        let agent = state.agents.present[0];
        state.employment.queue.push(ExitEntry { agent, reason: ExitReason::Absences, enqueued: 3, approved: false });
        state.employment.due.push(agent);
        state.perturbations.active.push(ActivePerturbation {
            kind: 0,
            event: None,
            started: 5,
            ends: Some(9_000),
            magnitude: townlet_town::Micro::ONE,
            items: 3,
            meeting: None,
        });
        state.agents.past[agent][0] = Some(PastShift { outcome: ShiftState::Late, worked: 100, scheduled: 180 });
        state.objects[townlet_town::ids::ObjectId(0)].cooldowns.push(Cooldown { agent, until: 900 });
        state.stability.returns.push(Micro(5));
    });
    town.state().clone()
}

/// What a leaf could be instead. Only those that still make a state are tried.
fn others(leaf: &Value) -> Vec<Value> {
    let words = ["wait", "eat", "pre_shift", "late", "absences", "requested", "Idle"];
    let waiter = json!({"agent": 0, "affordance": 0, "since": 0});
    match leaf {
        Value::Bool(on) => vec![json!(!on)],
        Value::Number(number) => match number.as_i64() {
            Some(number) => vec![json!(number + 1), json!(number - 1)],
            None => vec![json!(number.as_u64().unwrap() - 1)],
        },
        Value::String(old) => {
            let words = words.iter().filter(|word| *word != old).map(|word| json!(word));
            words.chain([json!({"Walking": [0, 0]})]).collect()
        }
        Value::Null => vec![
            json!(0),
            json!({"outcome": "late", "worked": 1, "scheduled": 2}),
            json!(true),
            json!({"who": [0, 1], "place": 0, "met": false}),
            json!({"other": 0, "trust": 0, "familiarity": 0, "rivalry": 0, "meals_today": 0}),
        ],
        Value::Array(list) if list.is_empty() => {
            vec![json!([0]), json!([waiter]), json!([{"agent": 0, "until": 0}]), json!([{"event": 0, "at": 0}])]
        }
        Value::Array(_) | Value::Object(_) => Vec::new(),
    }
}

fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Array(list) if !list.is_empty() => {
            for (index, item) in list.iter().enumerate() {
                leaves(item, &format!("{path}/{index}"), found);
            }
        }
        Value::Object(fields) => fields.iter().for_each(|(name, item)| leaves(item, &format!("{path}/{name}"), found)),
        _ => found.push(path.to_owned()),
    }
}

#[test]
fn every_leaf_of_the_state_changes_the_digest() {
    let state = rich();
    let before = state.digest();
    let mut value = serde_json::to_value(&state).unwrap();
    assert_eq!(serde_json::from_value::<State>(value.clone()).unwrap(), state, "nothing is left out");
    let mut paths = Vec::new();
    leaves(&value, "", &mut paths);
    assert!(paths.len() > 500, "only {} leaves", paths.len());
    for path in paths {
        let leaf = value.pointer(&path).unwrap().clone();
        let mut tried = 0;
        for other in others(&leaf) {
            *value.pointer_mut(&path).unwrap() = other;
            if let Ok(changed) = State::deserialize_from(&value) {
                tried += 1;
                assert_ne!(changed.digest(), before, "{path}");
            }
        }
        assert!(tried > 0, "{path}: nothing else can stand for {leaf}");
        *value.pointer_mut(&path).unwrap() = leaf;
    }
}

/// Reads a state without taking the value apart.
trait DeserializeFrom: Sized {
    fn deserialize_from(value: &Value) -> serde_json::Result<Self>;
}

impl DeserializeFrom for State {
    fn deserialize_from(value: &Value) -> serde_json::Result<Self> {
        serde::Deserialize::deserialize(value)
    }
}

#[test]
fn a_freed_slot_holds_default_values() {
    let mut town = town(&[]);
    through(&mut town, 700, wander);
    let gone = crate::slot(&town, 3);
    town.apply(&Command::Kill { who: ResidentId(3) }).unwrap();
    let agents = serde_json::to_value(&town.state().agents).unwrap();
    let empty = serde_json::to_value(townlet_town::state::Agents::new(1)).unwrap();
    for (column, values) in agents.as_object().unwrap().iter().filter(|(column, _)| *column != "present") {
        assert_eq!(values[usize::from(gone.0)], empty[column][0], "{column}");
    }
    assert!(!town.state().agents.is_present(AgentId(gone.0)));
}
