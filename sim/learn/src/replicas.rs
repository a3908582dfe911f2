//! Replicas: many towns with the same rules and different seeds, stepped in parallel.
//!
//! A replica depends only on its seed. Rule: "Performance targets".

use std::num::NonZero;
use std::sync::Arc;

use townlet_town::observations::{Layout, ObservationBuffer};
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
    /// The observations after the last tick; `None` without a layout.
    pub observations: Option<ObservationBuffer>,
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
            |seed| Replica { town: Town::new(Arc::clone(rules), seed), policy: policy(seed), observations: None };
        Self { replicas: (0..count as u64).map(|index| replica(seed.wrapping_add(index))).collect() }
    }

    /// The replicas in the order of their seeds.
    pub fn all(&self) -> &[Replica<P>] {
        &self.replicas
    }

    /// Steps every town by `ticks` on up to `threads` threads and clears the events of each tick. With a layout, observations
    /// are written after each tick.
    pub fn run(&mut self, ticks: u64, threads: NonZero<usize>, layout: Option<&'static Layout>) {
        parallel::for_each_chunk(&mut self.replicas, CHUNK, threads, |chunk| advance(chunk, ticks, layout));
    }
}

fn advance<P: Policy>(chunk: &mut [Replica<P>], ticks: u64, layout: Option<&'static Layout>) {
    for _ in 0..ticks {
        for replica in &mut *chunk {
            replica.town.clear_events();
            replica.town.step(&mut replica.policy);
            if let Some(layout) = layout {
                let buffer = replica.observations.get_or_insert_with(|| ObservationBuffer::new(layout));
                buffer.update(&replica.town);
            }
        }
    }
}
