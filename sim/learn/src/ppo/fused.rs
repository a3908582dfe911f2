//! The network's layers as one operation each on dfdx's tape: product, bias and ReLU forward, their derivatives back.
//!
//! Owns only how a layer stands on the tape; the products are those of `network::kernels`, and what is not needed (the
//! derivative by the observations) is not worked out. The same in plain dfdx is `ActorCritic`'s own forward.

use std::mem::take;

use dfdx::prelude::*;

use crate::network::kernels::{End, Left, Panels, multiply};
use crate::network::{ActorCritic, Dense};

/// Rows of numbers with a tape.
pub(super) type Rows<T> = Tensor<(usize, usize), f32, Cpu, T>;

/// What a layer is on the way back.
#[derive(Clone, Copy)]
struct Kind {
    relu: bool,
    /// Whether anything before it learns.
    passes_on: bool,
}

/// Logits and values of the observations, as `ActorCritic::forward` gives them.
pub(super) fn forward<T: Tape<f32, Cpu> + 'static>(
    model: &ActorCritic,
    observations: Rows<T>,
) -> Result<(Rows<T>, Rows<T>), CpuError> {
    let trunk = dense(&model.fc1, observations, Kind { relu: true, passes_on: false })?;
    let trunk = dense(&model.fc2, trunk, Kind { relu: true, passes_on: true })?;
    let head = Kind { relu: false, passes_on: true };
    let values = dense(&model.value, trunk.with_empty_tape(), head)?;
    Ok((dense(&model.policy, trunk, head)?, values))
}

fn dense<T: Tape<f32, Cpu> + 'static>(layer: &Dense, input: Rows<T>, kind: Kind) -> Result<Rows<T>, CpuError> {
    let (input, mut tape) = input.split_tape();
    let ((rows, inputs), (outputs, _)) = (*input.shape(), *layer.weight.shape());
    let mut values = vec![0.0; rows * inputs];
    input.copy_into(&mut values);
    let (mut weight, mut bias) = (vec![0.0; outputs * inputs], vec![0.0; outputs]);
    layer.weight.copy_into(&mut weight);
    layer.bias.copy_into(&mut bias);
    let mut panels = Panels::default();
    panels.pack_transposed(&weight, inputs, outputs);
    let mut result = vec![0.0; rows * outputs];
    let end = if kind.relu { End::BiasRelu(&bias) } else { End::Bias(&bias) };
    multiply(Left::Rows(&values), &panels, &mut result, end);
    let active = if kind.relu { result.clone() } else { Vec::new() };
    let output = input.device().try_tensor_from_vec(result, (rows, outputs))?;

    let (input, out) = (input.ghost(), output.ghost());
    let (by_weight, by_bias) = (layer.weight.ghost(), layer.bias.ghost());
    tape.add_backward_op(move |gradients| {
        let mut slopes = take(&mut **gradients.get_or_alloc_mut(&out)?);
        if kind.relu {
            slopes.iter_mut().zip(&active).for_each(|(slope, value)| *slope = if *value > 0.0 { *slope } else { 0.0 });
        }
        let sums = gradients.get_or_alloc_mut(&by_bias)?;
        for row in slopes.chunks_exact(outputs) {
            sums.iter_mut().zip(row).for_each(|(sum, slope)| *sum += slope);
        }
        panels.pack(&values, rows, inputs);
        multiply(Left::Columns(&slopes), &panels, gradients.get_or_alloc_mut(&by_weight)?, End::Add);
        if kind.passes_on {
            panels.pack(&weight, outputs, inputs);
            multiply(Left::Rows(&slopes), &panels, gradients.get_or_alloc_mut(&input)?, End::Add);
        }
        Ok(())
    });
    Ok(output.put_tape(tape))
}
