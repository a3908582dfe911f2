//! The SplitMix64 generator (Steele, Lea and Flood 2014), for weights, shuffles and bootstraps.
//!
//! Draws inside a town come from `townlet_town::counter_rng` instead.

use crate::parallel::ShouldContinue;

/// Swaps of a shuffle between two questions.
const SWAPS: usize = 1 << 18;

/// A stream of pseudo-random numbers; the same key gives the same stream.
#[derive(Clone, Debug)]
pub struct Prng(u64);

impl Prng {
    /// The stream that belongs to a key.
    pub fn new(key: [u64; 3]) -> Self {
        let mut prng = Self(0);
        for part in key {
            prng.0 ^= part;
            prng.0 = prng.next_u64();
        }
        prng
    }

    /// The stream that starts from a state of the generator.
    pub const fn from_state(state: u64) -> Self {
        Self(state)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in (0, 1).
    fn unit(&mut self) -> f64 {
        ((self.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// A number in `[0, bound)`.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next_u64()) * bound as u128) >> 64) as usize
    }

    /// A normally distributed number with mean 0 and deviation 1 (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let (radius, angle) = (self.unit(), self.unit());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        self.shuffle_while(items, &|| true);
    }

    /// Like [`Self::shuffle`], but asks `should_continue` now and then. Returns `false` when it said no.
    pub(crate) fn shuffle_while<T>(&mut self, items: &mut [T], should_continue: ShouldContinue<'_>) -> bool {
        for last in (1..items.len()).rev() {
            if last % SWAPS == 0 && !should_continue() {
                return false;
            }
            items.swap(last, self.below(last + 1));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_mean_0_and_deviation_1() {
        let mut prng = Prng::new([1, 2, 3]);
        let drawn: Vec<f64> = (0..20_000).map(|_| prng.normal()).collect();
        let mean = drawn.iter().sum::<f64>() / 20_000.0;
        let variance = drawn.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }

    #[test]
    fn a_shuffle_keeps_every_item_and_depends_only_on_its_key() {
        let order = |key| {
            let mut items: Vec<usize> = (0..1_000).collect();
            Prng::new(key).shuffle(&mut items);
            items
        };
        let shuffled = order([7, 0, 1]);
        assert_eq!(shuffled, order([7, 0, 1]));
        assert_ne!(shuffled, order([7, 1, 0]));
        let mut sorted = shuffled.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1_000).collect::<Vec<_>>());
        assert_ne!(shuffled, sorted);
    }
}
