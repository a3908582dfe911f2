//! The objective in plain dfdx, as the reference for tests of `objective` and `backprop`.

use dfdx::prelude::*;

use super::Settings;
use super::objective::Targets;
use crate::network::{ActorCritic, MASKED};

/// The loss of the network for these observations, on the tape.
pub(super) fn loss(
    model: &ActorCritic,
    observations: &[f32],
    targets: &Targets,
    settings: &Settings,
) -> Tensor<Rank0, f32, Cpu, OwnedTape<f32, Cpu>> {
    let device = Cpu::default();
    let (count, options) = (targets.actions.len(), model.shape().options);
    let column = |values: &[f32]| device.tensor_from_vec(values.to_vec(), (count,));
    let rows = device.tensor_from_vec(observations.to_vec(), (count, model.shape().observation));
    let (logits, values) = model.forward(rows.leaky_traced());

    let allowed: Vec<bool> =
        (0..count * options).map(|place| targets.action_masks[place / options] >> (place % options) & 1 == 1).collect();
    let allowed = device.tensor_from_vec(allowed, (count, options));
    let never = device.tensor_from_vec(vec![MASKED; count * options], (count, options));
    let log_probs = allowed.choose(logits, never).log_softmax::<Axis<1>>();
    let entropy = log_probs.with_empty_tape().exp() * log_probs.with_empty_tape();
    let entropy = -entropy.sum::<Rank0, _>() * targets.share;
    let actions = targets.actions.iter().map(|action| usize::from(*action)).collect();
    let chosen = log_probs.select(device.tensor_from_vec(actions, (count,)));
    let ratio = (chosen - column(&targets.log_probs)).exp();
    let advantages = column(&targets.advantages);
    let clipped = ratio.with_empty_tape().clamp(1.0 - settings.clip_coef, 1.0 + settings.clip_coef);
    let policy = (-(ratio * advantages.clone())).maximum(-(clipped * advantages)).sum::<Rank0, _>() * targets.share;

    let values = values.reshape_like(&(count,));
    let (before, wanted) = (column(&targets.values), column(&targets.returns));
    let error = match settings.clip_vloss {
        None => (values - wanted).square(),
        Some(limit) => {
            let moved = (values.with_empty_tape() - before.clone()).clamp(-limit, limit);
            (values - wanted.clone()).square().maximum((moved + before - wanted).square())
        }
    };
    let value = error.sum::<Rank0, _>() * (0.5 * targets.share);
    policy - entropy * settings.ent_coef + value * settings.vf_coef
}

/// The gradient of each tensor, taken out of dfdx's gradients.
pub(super) fn columns(model: &ActorCritic, mut gradients: Gradients<f32, Cpu>) -> Result<Vec<Vec<f32>>, CpuError> {
    let mut columns = Vec::new();
    for layer in model.layers() {
        columns.push(std::mem::take(&mut **gradients.get_or_alloc_mut(&layer.weight)?));
        columns.push(std::mem::take(&mut **gradients.get_or_alloc_mut(&layer.bias)?));
    }
    Ok(columns)
}
