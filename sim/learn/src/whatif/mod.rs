//! What if: how a town goes on from one tick under alternatives, beside how it goes on with none of them.
//!
//! Every alternative is lived in many copies of the town. A sample is a copy with random draws of its own, and all alternatives of a
//! sample share them (common random numbers), so that a difference within a sample comes from the alternative. The town itself is
//! not changed. Rule: "What if".

mod answer;
mod figures;
mod parting;

use std::num::NonZero;
use std::sync::Arc;

use townlet_town::counter_rng::{self, Purpose, Stream};
use townlet_town::{Command, Policy, Refusal, Rules, Town};

pub use answer::{Answer, Comparison, Verdict};
pub use figures::{Better, FIGURES, Figure, Future};
pub use parting::{Parting, partings};

use crate::parallel::{self, ShouldContinue};

/// Something that may be done at the tick of the question.
#[derive(Clone, Debug, Default)]
pub struct Alternative {
    /// Other rules, to which the town reloads; `None` keeps its rules.
    pub rules: Option<Arc<Rules>>,
    /// Commands, applied in this order after the reload.
    pub commands: Vec<Command>,
}

/// A town and what is asked about it.
#[derive(Clone, Debug)]
pub struct Question {
    /// The town at the tick of the question after each alternative; the first one is the town as it is.
    starts: Vec<Town>,
    /// Copies of each alternative.
    samples: NonZero<u32>,
    /// Ticks that each copy lives.
    ticks: u64,
}

impl Question {
    /// A question about a town as it is now.
    ///
    /// # Errors
    /// The number of the alternative, from 0, whose reload or command is refused, and why.
    pub fn new(
        town: &Town,
        alternatives: &[Alternative],
        samples: NonZero<u32>,
        days: NonZero<u32>,
    ) -> Result<Self, (usize, Refusal)> {
        let mut starts = vec![town.clone()];
        for (number, alternative) in alternatives.iter().enumerate() {
            starts.push(alternative.apply(town.clone()).map_err(|refusal| (number, refusal))?);
        }
        for start in &mut starts {
            start.clear_events();
        }
        let ticks = u64::from(days.get()) * town.rules().day_length();
        Ok(Self { starts, samples, ticks })
    }

    /// Alternatives, without the town as it goes on by itself.
    pub fn alternatives(&self) -> usize {
        self.starts.len() - 1
    }

    /// The rules of the town as it goes on.
    pub fn rules(&self) -> &Arc<Rules> {
        self.starts[0].rules()
    }

    /// Copies of each alternative.
    pub const fn samples(&self) -> NonZero<u32> {
        self.samples
    }

    /// The seed of a sample's draws. The first sample has those of the town itself.
    fn seed(&self, sample: u32) -> u64 {
        let town = &self.starts[0];
        let seed = town.state().seed;
        if sample == 0 {
            return seed;
        }
        let [low, high, ..] = counter_rng::draw(seed, Stream::World, town.tick(), sample, Purpose::WhatIf, 0);
        u64::from(high) << 32 | u64::from(low)
    }

    /// The copy of an alternative in a sample; 0 is the town as it goes on by itself.
    fn copy(&self, alternative: usize, sample: u32) -> Town {
        self.starts[alternative].with_seed(self.seed(sample))
    }

    /// Lives all alternatives of a sample; `None` when it was told to stop.
    fn live<P: Policy>(
        &self,
        sample: u32,
        policy: &(impl Fn(usize) -> P + Sync),
        should_continue: ShouldContinue<'_>,
    ) -> Option<Vec<Future>> {
        let futures = (0..self.starts.len()).map(|alternative| {
            let mut town = self.copy(alternative, sample);
            let mut policy = policy(alternative);
            let mut future = Future::empty();
            for _ in 0..self.ticks {
                if !should_continue() {
                    return None;
                }
                town.step(&mut policy);
                future.add(&town);
                town.clear_events();
            }
            future.end(&town);
            Some(future)
        });
        futures.collect()
    }

    /// Lives all samples on up to `threads` threads. `policy` makes the policy of an alternative, 0 for the town as it goes on by
    /// itself. `done` gets each sample with its futures in the order of the alternatives, from the thread that lived it; the order of
    /// the samples depends on the threads, their futures do not. Samples that have not ended when `should_continue` says no are left
    /// out.
    pub fn run<P: Policy>(
        &self,
        threads: NonZero<usize>,
        policy: impl Fn(usize) -> P + Sync,
        should_continue: ShouldContinue<'_>,
        done: impl Fn(u32, Vec<Future>) + Sync,
    ) {
        let mut samples: Vec<u32> = (0..self.samples.get()).collect();
        parallel::for_each_chunk(&mut samples, 1, threads, |samples| {
            for sample in samples {
                if let Some(futures) = self.live(*sample, &policy, should_continue) {
                    done(*sample, futures);
                }
            }
        });
    }
}

impl Alternative {
    fn apply(&self, mut town: Town) -> Result<Town, Refusal> {
        if let Some(rules) = &self.rules {
            town.reload(rules)?;
        }
        for command in &self.commands {
            town.apply(command)?;
        }
        Ok(town)
    }
}
