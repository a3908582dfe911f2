//! The seeds of training and of evaluation: three sets that do not overlap. Rule: "Seeds".

use std::ops::Range;

use townlet_town::counter_rng::{self, Purpose, Stream};

/// Seeds on which claims are made. Every town that a user runs takes its seed from here.
pub const TEST: Range<u64> = 0..1 << 51;

/// Seeds on which a policy or its settings are chosen. A claim about what was chosen needs test seeds.
pub const SELECTION: Range<u64> = 1 << 51..1 << 52;

/// Seeds that only training uses.
pub const TRAINING: Range<u64> = 1 << 52..1 << 53;

/// A set of seeds that serves one purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeedSet {
    /// See [`TEST`].
    Test,
    /// See [`SELECTION`].
    Selection,
    /// See [`TRAINING`].
    Training,
}

impl SeedSet {
    /// All sets, by their first seed.
    pub const ALL: [Self; 3] = [Self::Test, Self::Selection, Self::Training];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Selection => "selection",
            Self::Training => "training",
        }
    }

    /// Its seeds.
    pub const fn range(self) -> Range<u64> {
        match self {
            Self::Test => TEST,
            Self::Selection => SELECTION,
            Self::Training => TRAINING,
        }
    }

    /// The set that contains a seed; `None` behind the last set.
    pub fn of(seed: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.range().contains(&seed))
    }
}

/// The seed of a replica's town after `resets` resets: different each time, and the same for the same run.
pub fn training(run: u64, replica: u32, resets: u64) -> u64 {
    let [low, high, ..] = counter_rng::draw(run, Stream::World, resets, replica, Purpose::Replica, 0);
    let offset = u64::from(high) << 32 | u64::from(low);
    TRAINING.start + offset % (TRAINING.end - TRAINING.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_never_uses_a_seed_of_another_set_or_a_seed_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for (run, replica, resets) in (0..3).flat_map(|run| (0..40).map(move |at| (run, at % 8, u64::from(at) / 8))) {
            let seed = training(run, replica, resets);
            assert_eq!(SeedSet::of(seed), Some(SeedSet::Training));
            assert!(seen.insert(seed), "a town was met twice");
        }
    }

    #[test]
    fn every_seed_belongs_to_one_set() {
        for set in SeedSet::ALL {
            let Range { start, end } = set.range();
            assert_eq!((SeedSet::of(start), SeedSet::of(end - 1)), (Some(set), Some(set)));
            assert_ne!(SeedSet::of(end), Some(set));
        }
        assert_eq!(SeedSet::of(TRAINING.end), None);
    }
}
