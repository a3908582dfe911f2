//! What a person sees for each kind of bad input, and that table, defaults, documents and types are one.

use std::path::{Path, PathBuf};

use super::*;

fn layers(text: &str) -> Layers {
    Layers { file: Some(("harbour.yaml".to_owned(), text.to_owned())), ..Layers::default() }
}

#[track_caller]
fn refused(text: &str) -> String {
    load(&layers(text)).expect_err("must be refused").to_string()
}

#[test]
fn probe() {
    for text in [
        "employment:\n  grace_tick: 5\n",
        "grace_ticks: 5\n",
        "employment: { grace_ticks: soon }",
        "employment: { grace_ticks: 5000 }",
        "seed: 1\nseed: 2\n",
        "features: { systems: { observations: hybrd } }",
        "needs: { decay_rates: { hunger: .nan } }",
        "employment:\n",
        "a: [1",
        "",
        "# x\n",
        "- a\n",
        "x: 1\n---\ny: 2\n",
        "jobs: { cook: { site: cafe, start_tick: 4 } }",
        "lifecycle: { spawn_delay_ticks: [9, 3] }",
        "lifecycle: { spawn_delay_ticks: [9] }",
        "shard: \"a\\eb\"",
        "policy: { shadow_dir: ./snapshots/rel/ }",
        "features: { console: { mode: admin } }",
        "config_id: Town One",
        "economy: { rent_per_day: 1e300 }",
        "features: { stages: { relationships: off } }",
        "seed: -1",
        "seed: 99999999999999999999999",
        "rewards: { homeostasis_scale: 0.001 }",
        "<<: {a: 1}\n",
        "? [a]\n: 1\n",
        "jobs: {}",
        "jobs:\n  \"Big Boss\": {}\n",
        "policy_runtime: { option_commit_ticks: 1.5 }",
    ] {
        match load(&layers(text)) {
            Err(e) => println!("-----\n{e}"),
            Ok(l) => println!("-----\nOK {:?} {:?}", text, l.warnings),
        }
    }
}
