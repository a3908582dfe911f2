//! How fast the town is: a tick, the digest, packing and unpacking. `cargo bench --bench town`.
//!
//! Owns no figures: what must be reached stands in the quality guide, and `townlet bench` holds a machine to it.

use std::sync::Arc;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use townlet_learn::Scripted;
use townlet_town::config::Config;
use townlet_town::{Rules, Sources, Town, snapshot};

/// Ticks of one measured step, so that residents at night and at work both count.
const TICKS: u64 = 1_000;

fn main() {
    divan::main();
}

/// The default town, two days old.
fn town() -> Town {
    let sources = Sources {
        config: Config::shipped(),
        plan: ("default.txt".into(), include_str!("../configs/towns/default.txt").into()),
        affordances: ("affordances.yaml".into(), include_str!("../configs/affordances.yaml").into()),
        perturbations: ("default.yaml".into(), include_str!("../configs/perturbations/default.yaml").into()),
    };
    let mut town = Town::new(Arc::new(Rules::new(sources).expect("the shipped texts make a town")), 7);
    run(&mut town, 2 * TICKS);
    town
}

fn run(town: &mut Town, ticks: u64) {
    for _ in 0..ticks {
        town.step(&mut Scripted);
        town.clear_events();
    }
}

/// A day of eight residents; the counter is resident-ticks.
#[divan::bench]
fn step_8_residents(bencher: Bencher) {
    let mut town = town();
    let residents = town.state().agents.present.len() as u64;
    bencher.counter(ItemsCount::new(residents * TICKS)).bench_local(|| run(&mut town, TICKS));
}

#[divan::bench]
fn digest(bencher: Bencher) {
    let town = town();
    bencher.bench_local(|| black_box(&town).digest());
}

#[divan::bench]
fn snapshot_save(bencher: Bencher) {
    let town = town();
    bencher.bench_local(|| snapshot::save(black_box(&town)));
}

#[divan::bench]
fn snapshot_load(bencher: Bencher) {
    let bytes = snapshot::save(&town());
    bencher.bench_local(|| snapshot::load(black_box(&bytes)).expect("it was packed here"));
}
