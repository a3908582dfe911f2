//! The PPO objective (clipped surrogate, value loss and entropy) with its gradient by logits and values, in one pass.
//!
//! Tests compare it with plain dfdx in `reference`. Rule: "PPO algorithm".

use super::Settings;
use crate::network::MaskedCategorical;

/// The inputs of the objective, one entry per decision.
#[derive(Clone, Debug, Default)]
pub(super) struct Targets {
    pub(super) actions: Vec<u8>,
    pub(super) action_masks: Vec<u16>,
    pub(super) log_probs: Vec<f32>,
    /// Normalized, if the settings say so.
    pub(super) advantages: Vec<f32>,
    pub(super) returns: Vec<f32>,
    pub(super) values: Vec<f32>,
    /// One over the size of the whole minibatch.
    pub(super) share: f32,
}

/// Sums over decisions, each times `share`; over all parts of a minibatch they are means.
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
    /// Computes the loss from the other terms.
    pub(super) fn close(mut self, settings: &Settings) -> Self {
        self.loss = self.policy_loss - settings.ent_coef * self.entropy + settings.vf_coef * self.value_loss;
        self
    }

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

/// Replaces every logit and value by its derivative of the loss and adds to `terms`. A row of `heads` holds a decision's
/// logits and value; the first row is the decision `first`. [`LossTerms::close`] computes the loss itself.
pub(super) fn differentiate(
    heads: &mut [f32],
    options: usize,
    first: usize,
    targets: &Targets,
    settings: &Settings,
    mut terms: LossTerms,
) -> LossTerms {
    for (row, heads) in heads.chunks_exact_mut(options + 1).enumerate() {
        let place = first + row;
        let (logits, value) = heads.split_at_mut(options);
        let value = &mut value[0];
        let (policy_loss, value_loss);
        (policy_loss, terms) = policy(logits, place, targets, settings, terms);
        (value_loss, *value) = value_error(*value, targets.values[place], targets.returns[place], settings.clip_vloss);
        *value *= settings.vf_coef * targets.share;
        terms.policy_loss += policy_loss * targets.share;
        terms.value_loss += value_loss * targets.share;
    }
    terms
}

/// Clipped surrogate and entropy of one decision.
fn policy(
    logits: &mut [f32],
    place: usize,
    targets: &Targets,
    settings: &Settings,
    mut terms: LossTerms,
) -> (f32, LossTerms) {
    let (action, advantage) = (targets.actions[place] as usize, targets.advantages[place]);
    let distribution = MaskedCategorical::new(logits, targets.action_masks[place]);
    let log_ratio = distribution.log_prob(action) - targets.log_probs[place];
    let ratio = log_ratio.exp();
    let (free, clipped) =
        (-advantage * ratio, -advantage * ratio.clamp(1.0 - settings.clip_coef, 1.0 + settings.clip_coef));
    // The derivative by the log-probability; the clipped branch is constant.
    let gradients = if free >= clipped { free } else { 0.0 };
    let probs: [f32; crate::network::Shape::MOST_OPTIONS] =
        std::array::from_fn(|option| if option < logits.len() { distribution.prob(option) } else { 0.0 });
    let surprise =
        |option: usize| if probs[option] > 0.0 { probs[option] * distribution.log_prob(option) } else { 0.0 };
    let entropy = -(0..logits.len()).map(surprise).sum::<f32>();
    for (option, logit) in logits.iter_mut().enumerate() {
        // A masked option has probability 0 and is not the action, so its derivative is exactly 0.
        let chosen = if option == action { 1.0 } else { 0.0 };
        let by_entropy = surprise(option) + probs[option] * entropy;
        *logit = targets.share * (gradients * (chosen - probs[option]) + settings.ent_coef * by_entropy);
    }
    terms.entropy += entropy * targets.share;
    terms.approx_kl += (ratio - 1.0 - log_ratio) * targets.share;
    terms.clip_frac += if (ratio - 1.0).abs() > settings.clip_coef { targets.share } else { 0.0 };
    terms.ratio_error = terms.ratio_error.max((ratio - 1.0).abs());
    (free.max(clipped), terms)
}

/// Half the squared error of a value, and its derivative. With a limit: the worse of the plain and the clipped error.
fn value_error(value: f32, before: f32, wanted: f32, limit: Option<f32>) -> (f32, f32) {
    let free = value - wanted;
    let Some(limit) = limit else { return (0.5 * free * free, free) };
    let moved = value - before;
    let clipped = before + moved.clamp(-limit, limit) - wanted;
    if free * free >= clipped * clipped {
        (0.5 * free * free, free)
    } else {
        (0.5 * clipped * clipped, if moved.abs() < limit { clipped } else { 0.0 })
    }
}
