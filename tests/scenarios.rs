//! Every shipped scenario does what its name says, under the scripted policy and with nobody touching it; the demo's
//! timeline is understood to the last line.
//!
//! Drives the town itself. That rivals form in `rivalry` is not shown here: only the conflicts that make them.

use std::path::Path;
use std::sync::Arc;

use townlet_learn::Scripted;
use townlet_town::config::{Layers, load};
use townlet_town::{Event, EventKind, Rules, Sources, Town, queues};

fn text(name: &str) -> (String, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs").join(name);
    (name.to_owned(), std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}")))
}

fn town(name: &str, flags: &[(&str, &str)]) -> Town {
    let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let layers = Layers { file: Some(text(name)), environment: Vec::new(), flags };
    let config = load(&layers).unwrap_or_else(|errors| panic!("{errors}")).config;
    let sources = Sources {
        config: config.clone(),
        plan: text(&config.world.plan),
        affordances: text(&config.affordances.affordances_file),
        perturbations: text(&config.perturbations.file),
    };
    Town::new(Arc::new(Rules::new(sources).unwrap_or_else(|why| panic!("{name}: {why}"))), config.seed)
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
fn queue_conflict_has_more_of_them_than_the_default() {
    let (mut crowded, mut plain) = (town("scenarios/queue_conflict.yaml", &[]), town("default.yaml", &[]));
    run(&mut crowded, 4_000);
    run(&mut plain, 4_000);
    let each = |town: &Town| waits(town) / town.rules().config.world.population;
    assert!(each(&crowded) > 2 * each(&plain), "{} against {}", each(&crowded), each(&plain));
}

#[test]
fn rivalry_has_conflicts_to_feed_on() {
    let mut town = town("scenarios/rivalry.yaml", &[]);
    run(&mut town, 4_000);
    assert!(waits(&town) > 40, "{}", waits(&town));
}

#[test]
fn blackout_cuts_the_power_and_gives_it_back() {
    let mut town = town("scenarios/blackout.yaml", &[]);
    let events = run(&mut town, 6_000);
    let (off, on) = (count(&events, "utility_off"), count(&events, "utility_on"));
    assert!(off >= 4 && off - on <= 1, "{off} off, {on} on");
}

#[test]
fn price_spike_raises_prices_and_reverts_them() {
    let mut town = town("scenarios/price_spike.yaml", &[]);
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
fn demo_training_and_fallback_run() {
    for (name, quiet) in [("demo.yaml", true), ("training.yaml", false), ("fallback.yaml", true)] {
        let mut town = town(name, &[]);
        let events = run(&mut town, 5_000);
        assert_eq!(count(&events, "perturbation_began") == 0, quiet, "{name}");
    }
}

#[test]
fn stress_has_a_thousand_residents_who_live() {
    let mut town = town("stress.yaml", &[]);
    assert_eq!(town.state().agents.present.len(), 1_000);
    let events = run(&mut town, 300);
    assert!(count(&events, "affordance_done") > 500);
    assert_eq!(count(&events, "resident_left"), 0);
}

#[test]
fn the_timeline_of_the_demo_is_understood_to_the_last_line() {
    let specs = townlet_shard::specs();
    let (_, timeline) = text("demo.timeline.jsonl");
    let mut last = 0;
    for line in timeline.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
        let tick = line["tick"].as_u64().expect("a tick");
        assert!(tick >= last, "in order");
        last = tick;
        let command = line["command"].as_str().expect("a command");
        townlet_wire::line::parse(&specs, command).unwrap_or_else(|why| panic!("{command}: {}", why.message));
    }
    assert!(last > 1_000, "the story goes over more than a day");
}
