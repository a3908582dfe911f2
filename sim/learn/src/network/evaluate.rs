//! Log-probability, entropy and value of each decision from the network's heads, as one operation on dfdx's tape.
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
    fn differentiate(&self, action: usize, by_log_prob: f32, by_entropy: f32, gradient: &mut [f32]) {
        for (option, gradient) in gradient.iter_mut().enumerate() {
            let prob = self.probs[option];
            let chosen = if option == action { 1.0 } else { 0.0 };
            let entropy = prob * (self.log_probs.log_prob(option) + self.entropy);
            *gradient += by_log_prob * (chosen - prob) - by_entropy * entropy;
        }
    }
}

/// From both heads side by side (the logits of the options, then the value): the log-probability of each row's action, the
/// entropy of each row over the allowed options, and its value. The first result has the tape, the others empty ones.
pub(crate) fn evaluate<T: Tape<f32, Cpu>>(
    heads: Matrix<T>,
    action_masks: &[u16],
    actions: &[u8],
) -> (Vector<T>, Vector<T>, Vector<T>) {
    let (heads, mut tape) = heads.split_tape();
    let (count, columns) = *heads.shape();
    assert!(action_masks.len() == count && actions.len() == count, "one mask and one action per row");
    let (values, options) = (matrix_values(&heads), columns - 1);
    let of_row = |(heads, mask): (&[f32], &u16)| Row::new(&heads[..options], *mask);
    let rows: Vec<Row> = values.chunks_exact(columns).zip(action_masks).map(of_row).collect();
    let actions: Vec<usize> = actions.iter().map(|action| usize::from(*action)).collect();
    let column = |values: Vec<f32>| heads.device().tensor_from_vec(values, (count,));
    let log_probs = column(rows.iter().zip(&actions).map(|(row, action)| row.log_probs.log_prob(*action)).collect());
    let entropies = column(rows.iter().map(|row| row.entropy).collect());
    let values = column(values.chunks_exact(columns).map(|heads| heads[options]).collect());
    if T::OWNS_TAPE {
        let outputs = [log_probs.ghost(), entropies.ghost(), values.ghost()];
        let heads = heads.ghost();
        tape.add_backward_op(move |gradients| {
            let mut take = |output| gradients.get_or_alloc_mut(output).map(|gradient| std::mem::take(&mut **gradient));
            let (by_log_prob, by_entropy, by_value) = (take(&outputs[0])?, take(&outputs[1])?, take(&outputs[2])?);
            let by_heads = gradients.get_or_alloc_mut(&heads)?.chunks_exact_mut(columns);
            for (place, (row, gradient)) in rows.iter().zip(by_heads).enumerate() {
                row.differentiate(actions[place], by_log_prob[place], by_entropy[place], &mut gradient[..options]);
                gradient[options] += by_value[place];
            }
            Ok(())
        });
    }
    (log_probs.put_tape(tape), entropies.retaped::<T>(), values.retaped::<T>())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::MASKED;
    use super::*;
    use crate::prng::Prng;

    type Traced = Vector<OwnedTape<f32, Cpu>>;

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
            let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| prng.normal() as f32 * 2.0).collect() };
            let logits = device.tensor_from_vec(draw(count * options), (count, options));
            let values = device.tensor_from_vec(draw(count), (count, 1));
            let heads = (logits.clone(), values.clone()).concat_along(Axis::<1>);
            let by: [Vector; 3] = std::array::from_fn(|_| device.tensor_from_vec(draw(count), (count,)));
            let all = if options == 16 { u16::MAX } else { (1 << options) - 1 };
            let actions: Vec<u8> = (0..count).map(|place| (place * 5 % options) as u8).collect();
            let masks: Vec<u16> =
                actions.iter().enumerate().map(|(place, action)| all & (0x5b2d >> (place % 7) | 1 << action)).collect();
            let run = |(log_prob, entropy, value): (Traced, Traced, Traced)| {
                let outputs = [log_prob.as_vec(), entropy.as_vec(), value.as_vec()].concat();
                let sum = log_prob * by[0].clone() + entropy * by[1].clone() + value * by[2].clone();
                (outputs, sum.sum::<Rank0, _>().backward())
            };
            let (found, by_found) = run(evaluate(heads.leaky_trace(), &masks, &actions));
            let (log_prob, entropy) = stock(logits.leaky_trace(), &masks, &actions);
            let (wanted, by_wanted) = run((log_prob, entropy, values.leaky_trace().reshape_like(&(count,))));
            let by_found = by_found.get(&heads).as_vec();
            let by_wanted = (by_wanted.get(&logits), by_wanted.get(&values)).concat_along(Axis::<1>).as_vec();
            let pairs = found.iter().chain(&by_found).zip(wanted.iter().chain(&by_wanted));
            for (place, (found, wanted)) in pairs.enumerate() {
                assert!((found - wanted).abs() < 2e-5, "{count} × {options}, {place}: {found} and not {wanted}");
            }
            for (place, found) in by_found.iter().enumerate() {
                let (row, column) = (place / (options + 1), place % (options + 1));
                let masked = column < options && masks[row] >> column & 1 == 0;
                assert!(!masked || *found == 0.0, "{place} is masked and has the gradient {found}");
            }
        }
    }
}
