//! The categorical distribution over the allowed options of a decision.
//!
//! A masked option's logit is replaced by [`MASKED`], so its probability is exactly zero and infinities never occur. Random
//! numbers come from the caller. Rule: "PPO algorithm".

use super::Shape;

/// The logit of a masked option.
pub const MASKED: f32 = -1e9;

/// A categorical distribution with an action mask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaskedCategorical {
    log_probs: [f32; Shape::MOST_OPTIONS],
    options: usize,
    mask: u16,
}

impl MaskedCategorical {
    /// The distribution over the options set in `mask`; at least one must be.
    pub fn new(logits: &[f32], mask: u16) -> Self {
        let options = logits.len();
        assert!(options <= Shape::MOST_OPTIONS, "a mask has one bit per option");
        assert!(u32::from(mask).trailing_zeros() < options as u32, "at least one option must be allowed");
        let mut log_probs = [MASKED; Shape::MOST_OPTIONS];
        for (option, logit) in logits.iter().enumerate() {
            if mask >> option & 1 == 1 {
                log_probs[option] = *logit;
            }
        }
        let most = log_probs[..options].iter().copied().fold(f32::MIN, f32::max);
        let sum: f32 = log_probs[..options].iter().map(|logit| (logit - most).exp()).sum();
        let norm = most + sum.ln();
        log_probs[..options].iter_mut().for_each(|logit| *logit -= norm);
        Self { log_probs, options, mask }
    }

    fn allowed(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.options).filter(|option| self.mask >> option & 1 == 1)
    }

    /// Natural logarithm of an option's probability; about [`MASKED`] when it is masked.
    pub fn log_prob(&self, option: usize) -> f32 {
        self.log_probs[..self.options][option]
    }

    /// Probability of an option; exactly 0 when it is masked.
    pub fn prob(&self, option: usize) -> f32 {
        self.log_prob(option).exp()
    }

    /// Entropy in nats.
    pub fn entropy(&self) -> f32 {
        -self.allowed().map(|option| self.prob(option) * self.log_prob(option)).sum::<f32>()
    }

    /// The most probable option; of equals, the first.
    pub fn greedy(&self) -> usize {
        let first = self.mask.trailing_zeros() as usize;
        self.allowed()
            .fold(first, |best, option| if self.log_prob(option) > self.log_prob(best) { option } else { best })
    }

    /// Inverse transform sampling: the option at `uniform`, a number in [0, 1), of the cumulative distribution.
    pub fn sample(&self, uniform: f32) -> usize {
        let mut left = uniform;
        let mut last = self.mask.trailing_zeros() as usize;
        for option in self.allowed() {
            let prob = self.prob(option);
            if prob > 0.0 {
                last = option;
                left -= prob;
                if left < 0.0 {
                    break;
                }
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [1.0, 9.0, -2.0, 0.5, 3.0];
    const MASK: u16 = 0b11101;

    #[test]
    fn probabilities_are_a_softmax_over_the_allowed_options() {
        let distribution = MaskedCategorical::new(&LOGITS, MASK);
        let sum: f32 = [0, 2, 3, 4].map(|option: usize| LOGITS[option].exp()).iter().sum();
        for option in [0, 2, 3, 4] {
            assert!((distribution.prob(option) - LOGITS[option].exp() / sum).abs() < 1e-6);
            assert!((distribution.log_prob(option) - (LOGITS[option].exp() / sum).ln()).abs() < 1e-5);
        }
        assert!(distribution.prob(1) == 0.0 && distribution.log_prob(1) < -1e8, "{distribution:?}");
        let entropy: f32 =
            [0, 2, 3, 4].map(|option| -distribution.prob(option) * distribution.log_prob(option)).iter().sum();
        assert!((distribution.entropy() - entropy).abs() < 1e-6);
        assert_eq!(distribution.greedy(), 4);
    }

    #[test]
    fn huge_logits_stay_finite() {
        let distribution = MaskedCategorical::new(&[3e4, -3e4, 1e30, 0.0], 0b1011);
        assert!(
            (distribution.prob(0) - 1.0).abs() < 1e-6 && distribution.entropy() >= 0.0 && distribution.entropy() < 1e-6
        );
        let alone = MaskedCategorical::new(&[-3e4, 7.0], 0b01);
        assert!((alone.prob(0) - 1.0).abs() < 1e-6 && alone.entropy().abs() < 1e-6);
        assert!((alone.greedy(), alone.sample(0.999)) == (0, 0));
    }

    #[test]
    fn each_option_is_sampled_with_its_probability() {
        let distribution = MaskedCategorical::new(&LOGITS, MASK);
        let mut counts = [0.0_f32; 5];
        (0..10_000).for_each(|step| counts[distribution.sample(step as f32 / 10_000.0)] += 1e-4);
        for (option, share) in counts.iter().enumerate() {
            assert!((share - distribution.prob(option)).abs() < 2e-4, "{option}: {share}");
        }
        assert_eq!(
            (distribution.sample(0.0), distribution.sample(1.0 - f32::EPSILON / 2.0), counts[1].to_bits()),
            (0, 4, 0)
        );
    }

    #[test]
    #[should_panic(expected = "at least one option must be allowed")]
    fn an_empty_mask_is_refused() {
        let _ = MaskedCategorical::new(&LOGITS, 0b10_0000);
    }
}
