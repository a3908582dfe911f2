//! The seeds of training and of evaluation: two ranges that do not overlap. Rule: "Seeds".

use std::ops::Range;

use townlet_town::counter_rng::{self, Purpose, Stream};

/// Seeds that training never uses. Evaluation and every town that a user runs take theirs from here.
pub const HELD_OUT: Range<u64> = 0..1 << 52;

/// The part of them on which `townlet tune` chooses. A claim about what it chose needs other seeds.
pub const SELECTION: Range<u64> = 1 << 51..1 << 52;

/// Seeds that only training uses.
pub const TRAINING: Range<u64> = 1 << 52..1 << 53;

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
    fn training_never_uses_a_held_out_seed_or_a_seed_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for (run, replica, resets) in (0..3).flat_map(|run| (0..40).map(move |at| (run, at % 8, u64::from(at) / 8))) {
            let seed = training(run, replica, resets);
            assert!(TRAINING.contains(&seed) && !HELD_OUT.contains(&seed) && !SELECTION.contains(&seed));
            assert!(seen.insert(seed), "a town was met twice");
        }
    }
}
