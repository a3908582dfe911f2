//! The default town left alone under the scripted policy: everybody lives, every unit of money is accounted for, no queue
//! is ever in disorder or stuck; and it is alive, with people waiting every day and somebody late now and then.

use std::sync::Arc;

use townlet_learn::Scripted;
use townlet_town::config::{Config, DEFAULT_PERTURBATIONS};
use townlet_town::fixed::Micro;
use townlet_town::kpi;
use townlet_town::{Rules, Sources, Town, queues};

fn default_rules() -> Arc<Rules> {
    let sources = Sources {
        config: Config::shipped().canonical(),
        plan: ("default.txt".into(), include_str!("../../../configs/towns/default.txt").into()),
        affordances: ("affordances.yaml".into(), include_str!("../../../configs/affordances.yaml").into()),
        perturbations: ("perturbations.yaml".into(), DEFAULT_PERTURBATIONS.into()),
    };
    Arc::new(Rules::new(sources).unwrap())
}

fn money(town: &Town) -> Micro {
    let state = town.state();
    state.agents.wallet.iter().copied().sum::<Micro>() + state.economy.outside
}

/// Longest anybody may stand in a queue: a whole night's use of a bed by somebody else, and a cooldown.
const LONGEST_WAIT: u64 = 220 + 60;

#[test]
fn ten_days_over_twenty_seeds() {
    let rules = default_rules();
    let mut sufficient = Micro::ZERO;
    for seed in 0..20 {
        let mut town = Town::new(Arc::clone(&rules), seed);
        for tick in 0..10_000 {
            town.step(&mut Scripted);
            town.clear_events();
            assert_eq!(queues::violations(&rules, town.state()), Vec::<String>::new(), "seed {seed} tick {tick}");
            assert_eq!(money(&town), Micro::ZERO, "seed {seed} tick {tick}");
            let state = town.state();
            let longest = state.objects.iter().flat_map(|object| &object.queue).map(|waiter| tick - waiter.since).max();
            assert!(longest <= Some(LONGEST_WAIT), "seed {seed} tick {tick}: {longest:?}");
        }
        let state = town.state();
        let starved: u32 = state.days.days.iter().map(|day| day.starvation_events).sum();
        assert_eq!(starved, 0, "seed {seed}");
        sufficient += kpi::read(&rules, state)
            .find(|reading| reading.row.name == "self_sufficiency")
            .and_then(|reading| reading.value)
            .expect("residents have lived here for ten days");
    }
    let mean = Micro(sufficient.0 / 20);
    assert!(mean >= Micro(800_000), "self-sufficiency {mean}");
}
