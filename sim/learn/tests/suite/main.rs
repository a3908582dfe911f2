//! All integration tests of this crate in one binary, so that it is linked once.

mod allocations;
mod distances;
mod evaluation;
mod golden_digests;
mod golden_observations;
mod ppo;
mod replicas;
mod scripted_baseline;
mod simulation;
mod threads;
mod training;
mod tune;
mod whatif;

use std::num::NonZero;
use std::sync::Arc;

use townlet_town::{Rules, Sources};

/// The rules of the default town with some settings changed.
fn default_rules(flags: &[(&str, &str)]) -> Arc<Rules> {
    let sources = Sources::default_town(flags).expect("the settings are valid");
    Arc::new(Rules::new(sources).expect("the sources are valid"))
}

fn threads(count: usize) -> NonZero<usize> {
    NonZero::new(count).expect("at least one thread")
}

/// Whether the long tests are wanted.
fn is_soak() -> bool {
    std::env::var("TOWNLET_SOAK").is_ok_and(|value| value == "1")
}
