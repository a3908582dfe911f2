//! Replicas do not depend on threads, on each other or on being observed.

use std::sync::Arc;

use townlet_learn::{Replica, Replicas, Scripted};
use townlet_town::config::Observations;
use townlet_town::observations::layout;
use townlet_town::{Rules, Town};

use crate::golden_digests::{STRESS, town};

fn values<P>(replica: &Replica<P>) -> Vec<f32> {
    replica.observations.as_ref().expect("a layout was given").values().to_vec()
}

#[test]
fn a_hundred_replicas_match_towns_that_run_alone() {
    match_towns_that_run_alone(&crate::default_rules(&[]), 100, 2_000);
}

#[test]
fn replicas_of_a_thousand_residents_match_towns_that_run_alone() {
    match_towns_that_run_alone(town(STRESS).rules(), 9, if crate::is_soak() { 1_000 } else { 40 });
}

/// Compares `count` replicas with towns, after some ticks, on one thread and on several.
fn match_towns_that_run_alone(rules: &Arc<Rules>, count: usize, ticks: u64) {
    let alone: Vec<String> = (0..count as u64)
        .map(|seed| {
            let mut town = Town::new(Arc::clone(rules), 40 + seed);
            (0..ticks).for_each(|_| town.step(&mut Scripted));
            town.digest()
        })
        .collect();
    let full = layout(Observations::Full);
    let mut seen: Vec<Vec<Vec<f32>>> = Vec::new();
    for (threads, layout) in [(1, None), (1, Some(full)), (2, Some(full)), (3, Some(full)), (16, None)] {
        let mut replicas = Replicas::new(rules, 40, count, |_| Scripted);
        // In two runs, which equal one.
        replicas.run(ticks / 2, crate::threads(threads), layout);
        replicas.run(ticks - ticks / 2, crate::threads(threads), layout);
        let digests: Vec<String> = replicas.all().iter().map(|replica| replica.town.digest()).collect();
        assert_eq!(digests, alone, "{threads} threads");
        if layout.is_some() {
            seen.push(replicas.all().iter().map(values).collect());
        }
    }
    assert!(seen[0].iter().all(|rows| rows.iter().any(|value| *value > 0.0)), "something was written");
    assert!(seen.iter().all(|other| *other == seen[0]), "observations do not depend on the threads");
}
