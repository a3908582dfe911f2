//! Luck for weights and shuffles: SplitMix64 (Steele, Lea and Flood 2014) from a key.
//!
//! Knows nothing of towns; what happens in a town draws its own luck there.

/// A stream of luck; the same key gives the same stream.
#[derive(Clone, Debug)]
pub(crate) struct Prng(u64);

impl Prng {
    /// A stream of its own for every key.
    pub(crate) fn new(key: [u64; 3]) -> Self {
        let mut luck = Self(0);
        for part in key {
            luck.0 ^= part;
            luck.0 = luck.next();
        }
        luck
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// In (0, 1).
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// In `[0, bound)`.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// Mean 0, deviation 1 (Box and Muller 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let (radius, angle) = (self.unit(), self.unit());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    /// Puts them in an order of chance (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_mean_0_and_deviation_1() {
        let mut luck = Prng::new([1, 2, 3]);
        let drawn: Vec<f64> = (0..20_000).map(|_| luck.normal()).collect();
        let mean = drawn.iter().sum::<f64>() / 20_000.0;
        let variance = drawn.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }

    #[test]
    fn a_shuffle_loses_nothing_and_hangs_on_its_key_alone() {
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
