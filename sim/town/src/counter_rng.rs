//! A counter-based random number generator without state: Philox 4×32-10 (Salmon and others, "Parallel random numbers: as
//! easy as 1, 2, 3", 2011).
//!
//! The seed is the key, and (tick, entity, stream and purpose, draw) is the counter. So a value does not depend on the order
//! of the draws, and diverging runs keep drawing the same values for the same counters.

/// Separates the draws of the three users of the generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The town itself: arrivals, delays.
    World = 0,
    /// Shocks from outside.
    Events = 1,
    /// Choices of policies.
    Policy = 2,
}

/// Purpose of a draw, so that two draws for the same resident in the same tick differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Delay until a newcomer arrives.
    SpawnDelay = 0,
    /// Needs of a newcomer.
    StartNeeds = 1,
    /// Option sampled by a policy.
    Option = 2,
    /// Tests.
    Probe = 3,
    /// Whether a chat goes well.
    Chat = 4,
    /// Whether a quarrel breaks out.
    Quarrel = 5,
    /// Seed of a training replica.
    Replica = 10,
    /// Seed of a sample of a question.
    WhatIf = 11,
    /// Occurrence and parameters of a perturbation.
    PerturbationEvent = 20,
}

/// The 128 random bits of a counter.
pub fn draw(seed: u64, stream: Stream, tick: u64, entity: u32, purpose: Purpose, draw: u32) -> [u32; 4] {
    let kind = ((stream as u32) << 30) | ((purpose as u32) << 16) | (((tick >> 32) as u32) & 0xffff);
    philox([tick as u32, entity, kind, draw], [seed as u32, (seed >> 32) as u32])
}

/// A whole number in `[0, bound)`; zero when `bound` is zero. The bias is below 2⁻³² × bound.
pub fn below(seed: u64, stream: Stream, tick: u64, entity: u32, purpose: Purpose, bound: u32) -> u32 {
    let word = draw(seed, stream, tick, entity, purpose, 0)[0];
    ((u64::from(word) * u64::from(bound)) >> 32) as u32
}

fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let a = u64::from(counter[0]) * 0xD251_1F53;
        let b = u64::from(counter[2]) * 0xCD9E_8D57;
        counter = [(b >> 32) as u32 ^ counter[1] ^ key[0], b as u32, (a >> 32) as u32 ^ counter[3] ^ key[1], a as u32];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_published_vectors() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn every_part_of_the_counter_matters() {
        let base = draw(1, Stream::World, 5, 3, Purpose::SpawnDelay, 0);
        assert_ne!(base, draw(2, Stream::World, 5, 3, Purpose::SpawnDelay, 0));
        assert_ne!(base, draw(1, Stream::Events, 5, 3, Purpose::SpawnDelay, 0));
        assert_ne!(base, draw(1, Stream::World, 6, 3, Purpose::SpawnDelay, 0));
        assert_ne!(base, draw(1, Stream::World, 5 + (1 << 32), 3, Purpose::SpawnDelay, 0));
        assert_ne!(base, draw(1, Stream::World, 5, 4, Purpose::SpawnDelay, 0));
        assert_ne!(base, draw(1, Stream::World, 5, 3, Purpose::Probe, 0));
        assert_ne!(base, draw(1, Stream::World, 5, 3, Purpose::SpawnDelay, 1));
    }

    #[test]
    fn bounded_draws_reach_both_ends_and_stay_inside() {
        let seen: std::collections::BTreeSet<u32> =
            (0..2_000).map(|tick| below(9, Stream::World, tick, 0, Purpose::Probe, 16)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), (0..16).collect::<Vec<_>>());
        assert_eq!(below(9, Stream::World, 0, 0, Purpose::Probe, 0), 0);
    }
}
