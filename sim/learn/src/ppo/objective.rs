//! The PPO objective on dfdx's tape: clipped surrogate, value loss and entropy bonus. Names follow CleanRL.
//! Rule: "PPO algorithm".

use dfdx::prelude::*;

use super::Settings;
use super::minibatch::Minibatch;
use crate::network::{PackedActorCritic, vector_values};

/// A loss on its tape; [`Backward::backward`] computes its gradients.
pub(super) type Loss = Tensor<Rank0, f32, Cpu, OwnedTape<f32, Cpu>>;

/// Sums over decisions, each times [`Minibatch::share`]; over all parts of a minibatch they are means.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct LossTerms {
    pub(super) loss: f32,
    pub(super) policy_loss: f32,
    pub(super) value_loss: f32,
    pub(super) entropy: f32,
    pub(super) approx_kl: f32,
    pub(super) clip_frac: f32,
    /// The largest |ratio − 1|; not a sum.
    pub(super) ratio_error: f32,
}

impl LossTerms {
    /// The sum of two parts.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            loss: self.loss + other.loss,
            policy_loss: self.policy_loss + other.policy_loss,
            value_loss: self.value_loss + other.value_loss,
            entropy: self.entropy + other.entropy,
            approx_kl: self.approx_kl + other.approx_kl,
            clip_frac: self.clip_frac + other.clip_frac,
            ratio_error: self.ratio_error.max(other.ratio_error),
        }
    }
}

/// The loss of these decisions, and its terms. Its gradients will be added to `gradients`.
pub(super) fn loss(
    agent: &PackedActorCritic<'_>,
    minibatch: Minibatch,
    gradients: Gradients<f32, Cpu>,
    settings: &Settings,
) -> (Loss, LossTerms) {
    let Minibatch { observations, actions, action_masks, log_probs, advantages, returns, values, share } = minibatch;
    let observations = observations.traced(gradients);
    let (new_log_probs, entropy, new_values) = agent.evaluate_actions(observations, &action_masks, &actions);
    let log_ratio = new_log_probs - log_probs;
    let log_ratios = vector_values(&log_ratio);
    let ratio = log_ratio.exp();
    let mut terms = statistics(&log_ratios, &vector_values(&ratio), share, settings);

    // Policy loss.
    let (least, most) = (1.0 - settings.clip_coef, 1.0 + settings.clip_coef);
    let pg_loss1 = ratio.with_empty_tape() * (-advantages.clone());
    let pg_loss2 = ratio.clamp(least, most) * (-advantages);
    let pg_loss = pg_loss1.maximum(pg_loss2).sum::<Rank0, _>() * share;

    // Value loss.
    let v_loss = match settings.clip_vloss {
        None => (new_values - returns).square(),
        Some(limit) => {
            let v_loss_unclipped = (new_values.with_empty_tape() - returns.clone()).square();
            let v_clipped = (new_values - values.clone()).clamp(-limit, limit) + values;
            (v_clipped - returns).square().maximum(v_loss_unclipped)
        }
    };
    let v_loss = v_loss.sum::<Rank0, _>() * (0.5 * share);

    let entropy_loss = entropy.sum::<Rank0, _>() * share;
    (terms.policy_loss, terms.value_loss, terms.entropy) = (pg_loss.array(), v_loss.array(), entropy_loss.array());
    let loss = pg_loss - entropy_loss * settings.ent_coef + v_loss * settings.vf_coef;
    terms.loss = loss.array();
    (loss, terms)
}

/// The statistics of the ratios, which need no gradient.
fn statistics(log_ratios: &[f32], ratios: &[f32], share: f32, settings: &Settings) -> LossTerms {
    let mut terms = LossTerms::default();
    for (log_ratio, ratio) in log_ratios.iter().zip(ratios) {
        let error = (ratio - 1.0).abs();
        terms.approx_kl += (ratio - 1.0 - log_ratio) * share;
        terms.clip_frac += if error > settings.clip_coef { share } else { 0.0 };
        terms.ratio_error = terms.ratio_error.max(error);
    }
    terms
}
