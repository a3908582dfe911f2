//! Replicas do not depend on threads, on each other or on being observed.

use std::sync::Arc;

use townlet_learn::{Replica, Replicas, Scripted};
use townlet_town::Town;
use townlet_town::config::Observations;
use townlet_town::observations::layout;

fn values<P>(replica: &Replica<P>) -> Vec<f32> {
    replica.observations.as_ref().expect("a layout was given").values().to_vec()
}

const SEEDS: usize = 100;
const TICKS: u64 = 2_000;

#[test]
fn a_hundred_replicas_match_towns_that_run_alone() {
    let rules = crate::default_rules(&[]);
    let alone: Vec<String> = (0..SEEDS as u64)
        .map(|seed| {
            let mut town = Town::new(Arc::clone(&rules), 40 + seed);
            (0..TICKS).for_each(|_| town.step(&mut Scripted));
            town.digest()
        })
        .collect();
    let full = layout(Observations::Full);
    let mut seen: Vec<Vec<Vec<f32>>> = Vec::new();
    for (threads, layout) in [(1, None), (1, Some(full)), (3, Some(full)), (16, None)] {
        let mut replicas = Replicas::new(&rules, 40, SEEDS, |_| Scripted);
        // In two runs, which equal one.
        replicas.run(TICKS / 2, crate::threads(threads), layout);
        replicas.run(TICKS - TICKS / 2, crate::threads(threads), layout);
        let digests: Vec<String> = replicas.all().iter().map(|replica| replica.town.digest()).collect();
        assert_eq!(digests, alone, "{threads} threads");
        if layout.is_some() {
            seen.push(replicas.all().iter().map(values).collect());
        }
    }
    assert!(seen[0].iter().all(|rows| rows.iter().any(|value| *value > 0.0)), "something was written");
    assert_eq!(seen[0], seen[1], "observations do not depend on the threads");
}
