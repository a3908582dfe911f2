//! Random numbers of the simulation tests: a counter under a seed.

use townlet_town::counter_rng::{Purpose, Stream, below};

/// Keeps these draws apart from those of the town.
const ENTITY: u32 = 0x7e57;

/// A stream of random numbers.
pub(crate) struct Prng {
    seed: u64,
    next: u64,
}

impl Prng {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, next: 0 }
    }

    /// An integer in `[0, bound)`; zero when `bound` is zero.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        self.next += 1;
        below(self.seed, Stream::Policy, self.next, ENTITY, Purpose::Probe, bound)
    }

    /// An integer from `least` to `most`, both included.
    pub(crate) fn within(&mut self, least: u32, most: u32) -> u32 {
        least + self.below(most - least + 1)
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }

    /// A random item.
    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u32) as usize]
    }

    /// A decimal with three places, between bounds in thousandths, as written in a file.
    pub(crate) fn decimal(&mut self, least: u32, most: u32) -> String {
        let thousandths = self.within(least, most);
        format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000)
    }

    /// `"on"` with a probability of `on` tenths, else `"off"`.
    pub(crate) fn switch(&mut self, on: u32) -> &'static str {
        if self.below(10) < on { "\"on\"" } else { "\"off\"" }
    }
}
