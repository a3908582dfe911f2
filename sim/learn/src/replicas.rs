//! Replicas: many towns with the same rules and different seeds, stepped in parallel.
//!
//! A replica depends only on its seed. Rule: "Performance targets".

use std::num::NonZero;
use std::sync::Arc;

use townlet_town::observations::Layout;
use townlet_town::{Policy, Rules, Town};

use crate::parallel;

/// Towns that a worker steps together: about as many as fit a core's own cache.
const CHUNK: usize = 4;

/// A town with its policy and the observations after the last tick.
#[derive(Clone, Debug)]
pub struct Replica<P> {
    /// The town.
    pub town: Town,
    /// Its policy.
    pub policy: P,
    /// One row per resident in the order of `agents.present`, as the layout says; empty without a layout.
    pub observations: Vec<f32>,
}

/// Towns that are stepped together.
#[derive(Clone, Debug)]
pub struct Replicas<P> {
    replicas: Vec<Replica<P>>,
}

impl<P: Policy + Send> Replicas<P> {
    /// `count` towns with the seeds `seed`, `seed + 1` and so on.
    pub fn new(rules: &Arc<Rules>, seed: u64, count: usize, policy: impl Fn(u64) -> P) -> Self {
        let replica =
            |seed| Replica { town: Town::new(Arc::clone(rules), seed), policy: policy(seed), observations: Vec::new() };
        Self { replicas: (0..count as u64).map(|index| replica(seed.wrapping_add(index))).collect() }
    }

    /// The replicas in the order of their seeds.
    pub fn all(&self) -> &[Replica<P>] {
        &self.replicas
    }

    /// Steps every town by `ticks` on up to `threads` threads and clears the events of each tick. With a layout, observations
    /// are written after each tick.
    pub fn run(&mut self, ticks: u64, threads: NonZero<usize>, layout: Option<&Layout>) {
        parallel::for_each_chunk(&mut self.replicas, CHUNK, threads, |chunk| advance(chunk, ticks, layout));
    }
}

fn advance<P: Policy>(chunk: &mut [Replica<P>], ticks: u64, layout: Option<&Layout>) {
    for _ in 0..ticks {
        for replica in &mut *chunk {
            replica.town.clear_events();
            replica.town.step(&mut replica.policy);
            if let Some(layout) = layout {
                let wanted = row_capacity(&replica.town) * layout.width;
                if replica.observations.len() < wanted {
                    replica.observations.resize(wanted, 0.0);
                }
                layout.observe_all(&replica.town, &mut replica.observations);
            }
        }
    }
}

/// Residents to reserve rows for: the configured population, or more when an operator added residents.
fn row_capacity(town: &Town) -> usize {
    town.state().agents.present.len().max(town.rules().config.world.population as usize)
}
