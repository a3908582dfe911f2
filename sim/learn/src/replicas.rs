//! Many towns of the same rules side by side, stepped in tiles by worker threads.
//!
//! A replica depends on its seed alone: never on the others, on the threads, or on who stepped it. A tile is as many towns
//! as a core keeps close by; its towns advance together. Rule: "Performance targets".

use std::num::NonZero;
use std::sync::Arc;

use townlet_town::observations::Layout;
use townlet_town::{Policy, Rules, Town};

use crate::parallel;

/// Towns a worker takes at a time: about the size of a core's own cache.
const TILE: usize = 4;

/// One town, who drives it, and what it looked like after the last tick.
#[derive(Clone, Debug)]
pub struct Replica<P> {
    /// The town.
    pub town: Town,
    /// Who drives it.
    pub policy: P,
    /// One row a resident in the order of `agents.present`, as the layout says; empty unless observed.
    pub observations: Vec<f32>,
}

/// Towns side by side.
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

    /// The towns, in the order of their seeds.
    pub fn all(&self) -> &[Replica<P>] {
        &self.replicas
    }

    /// Steps every town `ticks` times on up to `threads` workers and forgets the events of each tick. With a layout, what
    /// every resident sees is written after each of them.
    pub fn run(&mut self, ticks: u64, threads: NonZero<usize>, layout: Option<&Layout>) {
        parallel::for_each_chunk(&mut self.replicas, TILE, threads, |chunk| advance(chunk, ticks, layout));
    }
}

fn advance<P: Policy>(chunk: &mut [Replica<P>], ticks: u64, layout: Option<&Layout>) {
    for _ in 0..ticks {
        for replica in &mut *chunk {
            replica.town.clear_events();
            replica.town.step(&mut replica.policy);
            if let Some(layout) = layout {
                let wanted = room(&replica.town) * layout.width;
                if replica.observations.len() < wanted {
                    replica.observations.resize(wanted, 0.0);
                }
                layout.observe_all(&replica.town, &mut replica.observations);
            }
        }
    }
}

/// Residents to have room for: those a town is meant to have, or more when an operator brought more.
fn room(town: &Town) -> usize {
    town.state().agents.present.len().max(town.rules().config.world.population as usize)
}
