//! The search for thresholds of the scripted policy.

use std::sync::atomic::{AtomicUsize, Ordering};

use townlet_learn::evaluate::{Record, Span, evaluate};
use townlet_learn::tune::{Found, Search, search};
use townlet_learn::{Scripted, ScriptedWith, Thresholds};

use crate::{default_rules, threads};

const SMALL: Search = Search { seed: 3, candidates: 9, towns: 4, days: 2 };
/// A script that lets residents wait until they are nearly starved.
const BAD: [(&str, &str); 3] =
    [("behavior.hunger_threshold", "0.2"), ("behavior.hygiene_threshold", "0.2"), ("behavior.energy_threshold", "0.2")];

fn run(workers: usize) -> (Found, usize) {
    let towns = AtomicUsize::new(0);
    let count = |more| {
        towns.fetch_add(more, Ordering::Relaxed);
    };
    let found = search(&default_rules(&BAD), SMALL, threads(workers), count);
    (found, towns.into_inner())
}

#[test]
fn a_search_finds_better_thresholds_and_says_how_good_they_are() {
    let (found, towns) = run(2);
    assert_eq!(towns, SMALL.towns_to_run(), "as many towns as announced");
    let (current, best) = (found.current, found.best[0]);
    assert!((best.sound, best.score) > (current.sound, current.score), "{best:?} against {current:?}");
    assert!(found.best.is_sorted_by(|a, b| (a.sound, a.score) >= (b.sound, b.score)));
    assert!(found.best.iter().all(|candidate| candidate.towns == SMALL.towns));
    let (again, _) = run(1);
    assert_eq!((again.current, &again.best), (current, &found.best), "whatever the number of threads");
}

#[test]
fn the_script_has_the_thresholds_of_the_configuration() {
    let rules = default_rules(&BAD);
    let thresholds = Thresholds::of(&rules);
    assert_eq!(thresholds.hunger, rules.config.behavior.hunger_threshold);
    let span = Span { seed: 5, seeds: 1, days: 2 };
    let digest = |records: Vec<Record>| records[0].digest.clone();
    let scripted = digest(evaluate(&rules, span, threads(1), |_| Scripted, || ()));
    let same = digest(evaluate(&rules, span, threads(1), |_| ScriptedWith(thresholds), || ()));
    let other = Thresholds { rested: townlet_town::Micro(850_000), ..thresholds };
    let other = digest(evaluate(&rules, span, threads(1), |_| ScriptedWith(other), || ()));
    assert!(scripted == same && scripted != other);
}
