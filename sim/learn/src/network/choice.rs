//! From logits and a mask to a choice: probabilities over what is allowed, their logarithms, their entropy.
//!
//! A masked option's logit is replaced by [`MASKED`], so its probability is exactly zero and no infinity is ever
//! calculated with. Chance is brought by the caller. Rule: "PPO as the field does it".

use super::Shape;

/// The logit of an option that may not be chosen.
pub const MASKED: f32 = -1e9;

/// The probabilities of one decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Odds {
    log_probs: [f32; Shape::MOST_OPTIONS],
    options: usize,
    mask: u16,
}

impl Odds {
    /// Of the options set in `mask`; at least one must be.
    pub fn new(logits: &[f32], mask: u16) -> Self {
        let options = logits.len();
        assert!(options <= Shape::MOST_OPTIONS, "a mask has one bit an option");
        assert!(u32::from(mask).trailing_zeros() < options as u32, "something may be chosen");
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

    /// Natural logarithm of an option's probability; about [`MASKED`] when it is not allowed.
    pub fn log_prob(&self, option: usize) -> f32 {
        self.log_probs[..self.options][option]
    }

    /// In [0, 1]; exactly 0 when it is not allowed.
    pub fn prob(&self, option: usize) -> f32 {
        self.log_prob(option).exp()
    }

    /// In nats, over what is allowed.
    pub fn entropy(&self) -> f32 {
        -self.allowed().map(|option| self.prob(option) * self.log_prob(option)).sum::<f32>()
    }

    /// The likeliest option; of equals the first.
    pub fn greedy(&self) -> usize {
        let first = self.mask.trailing_zeros() as usize;
        self.allowed()
            .fold(first, |best, option| if self.log_prob(option) > self.log_prob(best) { option } else { best })
    }

    /// The option at `luck`, a number in [0, 1), on the line of all probabilities.
    pub fn sample(&self, luck: f32) -> usize {
        let mut left = luck;
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
