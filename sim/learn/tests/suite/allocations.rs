//! Memory of a town: no allocation per tick after warm-up, a small replica, and tables that are all of it.

use std::sync::Arc;

use allocation_counter::measure;
use townlet_learn::Scripted;
use townlet_town::observations::{ObservationBuffer, layout};
use townlet_town::{Command, EventKind, Rules, Sources, Town};

use crate::golden_digests::{STRESS, TOWNS, run, town};

#[test]
fn a_tick_allocates_nothing_across_exits_and_arrivals() {
    let rules = crate::default_rules(&[]);
    let mut town = Town::new(Arc::clone(&rules), 7);
    let variant = rules.config.features.systems.observations;
    let mut seen = ObservationBuffer::new(layout(variant));
    let (mut left, mut came) = (0, 0);
    while town.tick() < 3_000 {
        if town.tick() == 2_400 {
            let agent = town.state().agents.present[3];
            let who = town.state().agents.resident[agent];
            town.apply(&Command::ExitRequest { who }).unwrap();
            town.apply(&Command::ExitApprove { who }).unwrap();
            town.clear_events();
        }
        let asked = measure(|| {
            town.step(&mut Scripted);
            seen.update(&town);
        });
        for event in town.events() {
            left += u32::from(matches!(event.kind, EventKind::ResidentLeft { .. }));
            came += u32::from(matches!(event.kind, EventKind::ResidentArrived { .. }) && town.tick() > 1_000);
        }
        town.clear_events();
        assert!(town.tick() <= 1_000 || asked.count_total == 0, "tick {}: {asked:?}", town.tick());
    }
    assert_eq!((left, came), (1, 1), "one exit and one arrival");
}

#[test]
fn a_tick_allocates_nothing_after_a_reload() {
    let rules = crate::default_rules(&[]);
    // More perturbations, and more at once, than before.
    let mut more =
        "max_concurrent_events: 30\nglobal_cooldown_ticks: 0\nper_agent_cooldown_ticks: 0\ngrace_window_ticks: 0\n\
                    window_ticks: 5000\nmax_events_per_window: 200\nevents:\n"
            .to_owned();
    for event in 0..20 {
        let row =
            format!("  event_{event}: {{ kind: outage, prob_per_day: 1, cooldown_ticks: 0, duration: [900, 900] }}\n");
        more.push_str(&row);
    }
    let sources = Sources { perturbations: ("more.yaml".into(), more), ..rules.sources.clone() };
    let other = Arc::new(Rules::new(sources).unwrap());
    let mut town = Town::new(rules, 7);
    let mut began = 0;
    while town.tick() < 4_000 {
        if town.tick() == 1_500 {
            town.reload(&other).unwrap();
            town.clear_events();
        }
        let asked = measure(|| town.step(&mut Scripted));
        began += u32::from(town.events().iter().any(|it| matches!(it.kind, EventKind::PerturbationBegan { .. })));
        town.clear_events();
        assert!(town.tick() <= 1_000 || asked.count_total == 0, "tick {}: {asked:?}", town.tick());
    }
    assert!(began > 20, "{began} perturbations began");
}

#[test]
fn the_tables_of_a_town_add_up_to_its_memory() {
    for row in [TOWNS[0], STRESS] {
        let mut kept = None;
        let asked = measure(|| {
            let mut town = town(row);
            run(&mut town, 200);
            kept = Some(town);
        });
        let tables = kept.expect("a town").tables();
        let counted: usize = tables.iter().map(|table| table.bytes).sum();
        let taken = usize::try_from(asked.bytes_current).expect("more than nothing");
        // The configuration is not counted.
        let others = taken.checked_sub(counted);
        assert!(others.is_some_and(|others| others < 100 * 1024), "{}: {counted} of {taken}: {tables:#?}", row[0]);
    }
}

#[test]
fn a_further_replica_of_the_default_town_is_small() {
    let rules = crate::default_rules(&[]);
    let mut kept = None;
    let asked = measure(|| {
        let mut town = Town::new(Arc::clone(&rules), 7);
        for _ in 0..1_000 {
            town.step(&mut Scripted);
            town.clear_events();
        }
        kept = Some(town);
    });
    println!("{} bytes per replica", asked.bytes_current);
    assert!(asked.bytes_current <= 256 * 1024, "{} bytes", asked.bytes_current);
    assert!(asked.bytes_current > 1_024, "allocations are counted: {} bytes", asked.bytes_current);
}
