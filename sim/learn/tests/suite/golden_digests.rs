//! Golden digests of the shipped towns under the scripted policy, every 1,000 ticks.
//!
//! A changed digest means that recorded towns no longer replay.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use townlet_learn::Scripted;
use townlet_town::config::{Layers, load};
use townlet_town::{Rules, Sources, Town, snapshot};

const TICKS: u64 = 10_000;
const FILE: &str = "tests/suite/golden_digests.txt";
const GOLDEN: &str = include_str!("golden_digests.txt");

/// The shipped towns: name, configuration, plan and perturbation file, below `configs`.
pub(crate) const TOWNS: [[&str; 4]; 8] = [
    ["default", "default.yaml", "towns/default.txt", "perturbations/default.yaml"],
    ["employment_backlog", "scenarios/employment_backlog.yaml", "towns/backlog.txt", "perturbations/default.yaml"],
    ["fallback", "fallback.yaml", "towns/default.txt", "perturbations/default.yaml"],
    ["demo", "demo.yaml", "towns/default.txt", "perturbations/none.yaml"],
    ["blackout", "scenarios/blackout.yaml", "towns/default.txt", "perturbations/blackout.yaml"],
    ["price_spike", "scenarios/price_spike.yaml", "towns/default.txt", "perturbations/price_spike.yaml"],
    ["queue_conflict", "scenarios/queue_conflict.yaml", "towns/crowded.txt", "perturbations/none.yaml"],
    ["rivalry", "scenarios/rivalry.yaml", "towns/crowded.txt", "perturbations/none.yaml"],
];
/// The town of 1,000 residents, which is stepped for fewer ticks.
pub(crate) const STRESS: [&str; 4] = ["stress", "stress.yaml", "towns/stress.txt", "perturbations/default.yaml"];
/// Seed of each.
pub(crate) const SEED: u64 = 7;

pub(crate) fn town([name, config, plan, perturbations]: [&str; 4]) -> Town {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let read = |file: &str| std::fs::read_to_string(configs.join(file)).unwrap_or_else(|why| panic!("{file}: {why}"));
    let file = (format!("{name}.yaml"), read(config));
    let config = load(&Layers { file: Some(file), ..Layers::default() }).expect("the settings are valid").config;
    for (named, taken) in [(&config.world.plan, plan), (&config.perturbations.file, perturbations)] {
        assert_eq!(named, taken, "{name}: the files that the configuration names");
    }
    let sources = Sources {
        config,
        plan: (format!("{name}.txt"), read(plan)),
        affordances: ("affordances.yaml".into(), read("affordances.yaml")),
        perturbations: ("perturbations.yaml".into(), read(perturbations)),
    };
    Town::new(Arc::new(Rules::new(sources).expect("the sources are valid")), SEED)
}

pub(crate) fn run(town: &mut Town, ticks: u64) {
    for _ in 0..ticks {
        town.step(&mut Scripted);
        town.clear_events();
    }
}

#[test]
fn digests_are_unchanged() {
    let mut found = String::new();
    for row in TOWNS {
        let mut town = town(row);
        while town.tick() < TICKS {
            run(&mut town, 1_000);
            let _ = writeln!(found, "{} seed {} tick {:>5} {}", row[0], SEED, town.tick(), town.digest());
        }
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::write(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE), &found).expect("it can be written");
        return;
    }
    let changed = found.lines().zip(GOLDEN.lines()).find(|(now, then)| now != then);
    assert!(
        found == GOLDEN,
        "golden digests have changed{}\nTowns no longer replay as they did. If that is meant, run the test with \
         UPDATE_GOLDEN=1 and say so in a line of CHANGELOG.md.",
        changed.map_or(String::new(), |(now, then)| format!(":\n  then {then}\n  now  {now}")),
    );
}

#[test]
fn snapshots_on_the_way_do_not_change_a_town() {
    for row in TOWNS {
        snapshots_do_not_change(row, 100, 20_000);
    }
    let stress_ticks = if crate::is_soak() { 5_000 } else { 200 };
    snapshots_do_not_change(STRESS, 10, stress_ticks);
}

/// Compares two runs, and one that is saved and loaded ten times less often than it is compared.
fn snapshots_do_not_change(row: [&str; 4], stride: u64, ticks: u64) {
    let (mut once, mut again, mut saved) = (town(row), town(row), town(row));
    while once.tick() < ticks {
        run(&mut once, stride);
        run(&mut again, stride);
        run(&mut saved, stride);
        assert_eq!(once.digest(), again.digest(), "{} at {}, run twice", row[0], once.tick());
        assert_eq!(once.digest(), saved.digest(), "{} at {}, over snapshots", row[0], once.tick());
        if once.tick().is_multiple_of(10 * stride) {
            saved = snapshot::load(&snapshot::save(&saved)).expect("it was just saved");
        }
    }
}
