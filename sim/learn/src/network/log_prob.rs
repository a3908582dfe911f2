//! Log-probability and entropy of masked categorical distributions, as one operation on dfdx's tape.
//!
//! Stock dfdx needs a dozen operations for it, over matrices as narrow as the options. Tests hold this operation to those.
//! Rule: "PPO algorithm".

use dfdx::prelude::*;

use super::dense::{Matrix, Vector, matrix_values};
use super::{MaskedCategorical, Shape};

/// The distribution of one row.
struct Row {
    log_probs: MaskedCategorical,
    probs: [f32; Shape::MOST_OPTIONS],
    entropy: f32,
}

impl Row {
    fn new(logits: &[f32], mask: u16) -> Self {
        let log_probs = MaskedCategorical::new(logits, mask);
        let mut probs = [0.0; Shape::MOST_OPTIONS];
        let mut entropy = 0.0;
        for (option, prob) in probs[..logits.len()].iter_mut().enumerate() {
            *prob = log_probs.prob(option);
            // A masked option has probability 0 and a finite log-probability.
            entropy -= *prob * log_probs.log_prob(option);
        }
        Self { log_probs, probs, entropy }
    }

    /// Adds the derivative of `by_log_prob · log_prob(action) + by_entropy · entropy` to the gradient of the logits. That
    /// of a masked option is exactly 0.
    fn differentiate(&self, action: u8, by_log_prob: f32, by_entropy: f32, gradient: &mut [f32]) {
        for (option, gradient) in gradient.iter_mut().enumerate() {
            let prob = self.probs[option];
            let chosen = if option == usize::from(action) { 1.0 } else { 0.0 };
            let entropy = prob * (self.log_probs.log_prob(option) + self.entropy);
            *gradient += by_log_prob * (chosen - prob) - by_entropy * entropy;
        }
    }
}

/// The log-probability of each row's action and the entropy of each row over the allowed options. The first result has the
/// tape, the second an empty one.
pub(crate) fn log_prob_and_entropy<T: Tape<f32, Cpu>>(
    logits: Matrix<T>,
    action_masks: &[u16],
    actions: &[u8],
) -> (Vector<T>, Vector<T>) {
    let (logits, mut tape) = logits.split_tape();
    let (count, options) = *logits.shape();
    assert!(action_masks.len() == count && actions.len() == count, "one mask and one action per row");
    let values = matrix_values(&logits);
    let rows: Vec<Row> =
        values.chunks_exact(options).zip(action_masks).map(|(logits, mask)| Row::new(logits, *mask)).collect();
    let actions = actions.to_vec();
    let log_probs = rows.iter().zip(&actions).map(|(row, action)| row.log_probs.log_prob(usize::from(*action)));
    let log_probs = logits.device().tensor_from_vec(log_probs.collect(), (count,));
    let entropies = logits.device().tensor_from_vec(rows.iter().map(|row| row.entropy).collect(), (count,));
    if T::OWNS_TAPE {
        let (of_logits, of_log_probs, of_entropies) = (logits.ghost(), log_probs.ghost(), entropies.ghost());
        tape.add_backward_op(move |gradients| {
            let by_log_prob = std::mem::take(&mut **gradients.get_or_alloc_mut(&of_log_probs)?);
            let by_entropy = std::mem::take(&mut **gradients.get_or_alloc_mut(&of_entropies)?);
            let by_logits = gradients.get_or_alloc_mut(&of_logits)?.chunks_exact_mut(options);
            for (place, (row, gradient)) in rows.iter().zip(by_logits).enumerate() {
                row.differentiate(actions[place], by_log_prob[place], by_entropy[place], gradient);
            }
            Ok(())
        });
    }
    (log_probs.put_tape(tape), entropies.retaped::<T>())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::MASKED;
    use super::*;
    use crate::prng::Prng;

    /// The same in stock operations.
    pub(crate) fn stock<T: Tape<f32, Cpu>>(
        logits: Matrix<T>,
        action_masks: &[u16],
        actions: &[u8],
    ) -> (Vector<T>, Vector<T>) {
        let device = logits.device().clone();
        let (count, options) = *logits.shape();
        let allowed = |place: usize| action_masks[place / options] >> (place % options) & 1 == 1;
        let allowed = device.tensor_from_vec((0..count * options).map(allowed).collect(), (count, options));
        let never = device.tensor_from_vec(vec![MASKED; count * options], (count, options));
        let log_probs = allowed.choose(logits, never).log_softmax::<Axis<1>>();
        let surprise = log_probs.with_empty_tape().exp() * log_probs.with_empty_tape();
        let actions = actions.iter().map(|action| usize::from(*action)).collect();
        let log_prob = log_probs.select(device.tensor_from_vec(actions, (count,)));
        (log_prob, -surprise.sum::<(usize,), Axis<1>>())
    }

    #[test]
    fn the_operation_matches_stock_operations() {
        let mut prng = Prng::new([32, 0, 0]);
        let device = Cpu::default();
        for (count, options) in [(1, 1), (40, 2), (57, 9), (30, 16)] {
            let mut values = |count: usize| -> Vec<f32> { (0..count).map(|_| prng.normal() as f32 * 2.0).collect() };
            let logits = device.tensor_from_vec(values(count * options), (count, options));
            let by_log_prob = device.tensor_from_vec(values(count), (count,));
            let by_entropy = device.tensor_from_vec(values(count), (count,));
            let all = if options == 16 { u16::MAX } else { (1 << options) - 1 };
            let actions: Vec<u8> = (0..count).map(|place| (place * 5 % options) as u8).collect();
            let masks: Vec<u16> =
                actions.iter().enumerate().map(|(place, action)| all & (0x5b2d >> (place % 7) | 1 << action)).collect();
            let run = |(log_prob, entropy): (Vector<OwnedTape<f32, Cpu>>, Vector<OwnedTape<f32, Cpu>>)| {
                let outputs = [log_prob.as_vec(), entropy.as_vec()];
                let sum = log_prob * by_log_prob.clone() + entropy * by_entropy.clone();
                (outputs, sum.sum::<Rank0, _>().backward().get(&logits).as_vec())
            };
            let (found, by_found) = run(log_prob_and_entropy(logits.leaky_trace(), &masks, &actions));
            let (wanted, by_wanted) = run(stock(logits.leaky_trace(), &masks, &actions));
            let pairs = found.concat().into_iter().chain(by_found.clone()).zip(wanted.concat().into_iter().chain(by_wanted));
            for (place, (found, wanted)) in pairs.enumerate() {
                assert!((found - wanted).abs() < 2e-5, "{count} × {options}, {place}: {found} and not {wanted}");
            }
            for (place, found) in by_found.iter().enumerate() {
                let masked = masks[place / options] >> (place % options) & 1 == 0;
                assert!(!masked || *found == 0.0, "{place} is masked and has the gradient {found}");
            }
        }
    }
}
