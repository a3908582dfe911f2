//! Golden checksums of the observations in the shipped towns under the scripted policy, and of the states of the largest one, which
//! two threads observe.
//!
//! A changed checksum means that policies see something else than they were trained on.

use std::fmt::Write as _;

use townlet_learn::update_observations;
use townlet_town::config::Observations;
use townlet_town::observations::{ObservationBuffer, layout};

use crate::golden_digests::{SEED, STRESS, TOWNS, run, town};

const TICKS: u64 = 2_000;
/// Ticks between two looks.
const STRIDE: u64 = 20;
const FILE: &str = "tests/suite/golden_observations.txt";
const GOLDEN: &str = include_str!("golden_observations.txt");
/// The checksum of nothing.
pub(crate) const CHECKSUM_START: u64 = 0xcbf2_9ce4_8422_2325;

/// Adds the bits of values to a checksum (FNV-1a).
pub(crate) fn add(sum: &mut u64, values: &[f32]) {
    for value in values {
        *sum = (*sum ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01b3);
    }
}

#[test]
fn observations_are_unchanged() {
    let layouts = [Observations::Full, Observations::Hybrid, Observations::Compact].map(layout);
    let mut found = String::new();
    for row in TOWNS.into_iter().chain([STRESS]) {
        let mut town = town(row);
        let mut sums = [CHECKSUM_START; 3];
        let mut buffers = layouts.map(ObservationBuffer::new);
        while town.tick() < TICKS {
            run(&mut town, STRIDE);
            for (buffer, sum) in buffers.iter_mut().zip(&mut sums) {
                add(sum, update_observations(buffer, &town, crate::threads(2)));
            }
        }
        let [full, hybrid, compact] = sums;
        let digest = town.digest();
        let _ = writeln!(
            found,
            "{} seed {SEED} tick {TICKS} {digest} full {full:016x} hybrid {hybrid:016x} compact {compact:016x}",
            row[0]
        );
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::write(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE), &found).expect("it can be written");
        return;
    }
    for (now, then) in found.lines().zip(GOLDEN.lines()) {
        assert_eq!(now, then, "observations have changed");
    }
    assert_eq!(found.lines().count(), GOLDEN.lines().count());
}
