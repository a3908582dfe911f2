//! Every shipped scenario does what its name says under the scripted policy without commands, and the demo's timeline parses.
//!
//! Drives the town itself. `rivalry` is tested for the conflicts that cause rivals, not for the rivals.

use std::sync::Arc;

use crate::kit::{config_text, sources};
use townlet_learn::Scripted;
use townlet_town::{Event, EventKind, Rules, Town, queues};

fn town(name: &str) -> Town {
    let sources = sources(name, &[]);
    let seed = sources.config.seed;
    Town::new(Arc::new(Rules::new(sources).unwrap_or_else(|why| panic!("{name}: {why}"))), seed)
}

fn run(town: &mut Town, ticks: u64) -> Vec<Event> {
    let mut events = Vec::new();
    for _ in 0..ticks {
        town.step(&mut Scripted);
        events.extend(town.events());
        town.clear_events();
    }
    assert_eq!(queues::violations(town.rules(), town.state()), Vec::<String>::new());
    events
}

fn count(events: &[Event], name: &str) -> usize {
    events.iter().filter(|event| event.kind.name() == name).count()
}

fn waits(town: &Town) -> u32 {
    town.state().days.days.iter().map(|day| day.waits).sum()
}

#[test]
fn queue_conflict_waits_longer_than_the_default() {
    let (mut crowded, mut plain) = (town("scenarios/queue_conflict.yaml"), town("default.yaml"));
    run(&mut crowded, 4_000);
    run(&mut plain, 4_000);
    let each = |town: &Town| waits(town) / town.rules().config.world.population;
    assert!(each(&crowded) > 2 * each(&plain), "{} against {}", each(&crowded), each(&plain));
}

#[test]
fn rivalry_has_queue_conflicts() {
    let mut town = town("scenarios/rivalry.yaml");
    run(&mut town, 4_000);
    assert!(waits(&town) > 40, "{}", waits(&town));
}

#[test]
fn blackout_cuts_and_restores_power() {
    let mut town = town("scenarios/blackout.yaml");
    let events = run(&mut town, 6_000);
    let (off, on) = (count(&events, "utility_off"), count(&events, "utility_on"));
    assert!(off >= 4 && off - on <= 1, "{off} off, {on} on");
}

#[test]
fn price_spike_raises_prices_and_reverts_them() {
    let mut town = town("scenarios/price_spike.yaml");
    let list = town.state().economy.list_prices;
    let (mut dear, mut spikes) = (0, 0);
    for _ in 0..6_000 {
        let events = run(&mut town, 1);
        let began = |event: &&Event| matches!(event.kind, EventKind::PerturbationBegan { .. });
        spikes += events.iter().filter(began).count();
        let economy = &town.state().economy;
        dear += u32::from(economy.prices[0] > economy.list_prices[0]);
        assert!(!town.state().perturbations.active.is_empty() || economy.prices == list);
    }
    assert!(spikes >= 3 && dear > 600, "{spikes} spikes, {dear} dear ticks");
}

#[test]
fn demo_training_and_fallback_differ_in_perturbations() {
    for (name, quiet) in [
        ("demo.yaml", true),
        ("training.yaml", false),
        ("training_stage_2.yaml", false),
        ("training_stage_3.yaml", false),
        ("training_quick.yaml", false),
        ("fallback.yaml", true),
    ] {
        let mut town = town(name);
        let events = run(&mut town, 5_000);
        assert_eq!(count(&events, "perturbation_began") == 0, quiet, "{name}");
    }
}

#[test]
fn stress_keeps_a_thousand_residents() {
    let mut town = town("stress.yaml");
    assert_eq!(town.state().agents.present.len(), 1_000);
    let events = run(&mut town, 300);
    assert!(count(&events, "affordance_done") > 500);
    assert_eq!(count(&events, "resident_left"), 0);
}

#[test]
fn demo_timeline_parses() {
    let specs = townlet_shard::specs();
    let timeline = config_text("demo.timeline.jsonl");
    let mut last = 0;
    for line in timeline.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
        let tick = line["tick"].as_u64().expect("a tick");
        assert!(tick >= last, "in order");
        last = tick;
        let command = line["command"].as_str().expect("a command");
        townlet_wire::command_line::parse(&specs, command).unwrap_or_else(|why| panic!("{command}: {}", why.message));
    }
    assert!(last > 1_000, "the story goes over more than a day");
}
