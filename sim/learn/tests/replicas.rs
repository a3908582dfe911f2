//! Replicas: a hundred towns are the same whoever steps them, again, beside however many others, watched or not.

use std::num::NonZero;
use std::sync::Arc;

use townlet_learn::{Replicas, Scripted};
use townlet_town::config::{Config, Observations};
use townlet_town::observations::layout;
use townlet_town::{Rules, Sources, Town};

const SEEDS: usize = 100;
const TICKS: u64 = 2_000;

fn default_rules() -> Arc<Rules> {
    let sources = Sources {
        config: Config::shipped(),
        plan: ("default.txt".into(), include_str!("../../../configs/towns/default.txt").into()),
        affordances: ("affordances.yaml".into(), include_str!("../../../configs/affordances.yaml").into()),
        perturbations: ("default.yaml".into(), include_str!("../../../configs/perturbations/default.yaml").into()),
    };
    Arc::new(Rules::new(sources).unwrap())
}

#[test]
fn a_hundred_seeds_are_the_same_again_on_other_threads_and_unseen() {
    let rules = default_rules();
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
        // In two goes, which is the same as one.
        replicas.run(TICKS / 2, NonZero::new(threads).unwrap(), layout);
        replicas.run(TICKS - TICKS / 2, NonZero::new(threads).unwrap(), layout);
        let digests: Vec<String> = replicas.all().iter().map(|replica| replica.town.digest()).collect();
        assert_eq!(digests, alone, "{threads} threads");
        if layout.is_some() {
            seen.push(replicas.all().iter().map(|replica| replica.observations.clone()).collect());
        }
    }
    assert!(seen[0].iter().all(|rows| rows.iter().any(|value| *value > 0.0)), "something was written");
    assert_eq!(seen[0], seen[1], "what is seen does not depend on the threads");
}
