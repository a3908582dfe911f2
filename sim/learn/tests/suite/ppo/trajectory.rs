//! The running trajectory of one slot, with rewards discounted by tick.

use townlet_learn::ppo::{Batch, gae};

/// A decision as it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decision<'a> {
    /// The observation, scaled as the network received it.
    pub(crate) observation: &'a [f32],
    /// The allowed options, one bit each.
    pub(crate) action_mask: u16,
    /// The chosen option.
    pub(crate) action: u8,
    /// Its log-probability.
    pub(crate) log_prob: f32,
    /// The value estimate.
    pub(crate) value: f32,
}

/// Decisions of one episode in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trajectory {
    observations: Vec<f32>,
    action_masks: Vec<u16>,
    actions: Vec<u8>,
    log_probs: Vec<f32>,
    values: Vec<f32>,
    rewards: Vec<f32>,
    discounts: Vec<f32>,
}

impl Trajectory {
    fn len(&self) -> usize {
        self.actions.len()
    }

    /// Adds a decision.
    pub(crate) fn decide(&mut self, decision: &Decision<'_>) {
        self.observations.extend_from_slice(decision.observation);
        self.action_masks.push(decision.action_mask);
        self.actions.push(decision.action);
        self.log_probs.push(decision.log_prob);
        self.values.push(decision.value);
        self.rewards.push(0.0);
        self.discounts.push(1.0);
    }

    /// Adds a tick's reward to the latest decision, if there is one.
    pub(crate) fn reward(&mut self, reward: f32, gamma: f32) {
        if let (Some(sum), Some(discount)) = (self.rewards.last_mut(), self.discounts.last_mut()) {
            *sum += *discount * reward;
            *discount *= gamma;
        }
    }

    /// Ends the episode without a successor and moves the decisions into the batch.
    pub(crate) fn terminate(&mut self, gae_lambda: f32, batch: &mut Batch) {
        if let Some(discount) = self.discounts.last_mut() {
            *discount = 0.0;
        }
        self.cut(0.0, gae_lambda, batch);
    }

    /// Cuts the trajectory in a state of value `bootstrap` and moves the decisions into the batch.
    pub(crate) fn cut(&mut self, bootstrap: f32, gae_lambda: f32, batch: &mut Batch) {
        let first = batch.advantages.len();
        batch.advantages.resize(first + self.len(), 0.0);
        let advantages = &mut batch.advantages[first..];
        gae(&self.rewards, &self.values, &self.discounts, bootstrap, gae_lambda, advantages);
        batch.returns.extend(advantages.iter().zip(&self.values).map(|(advantage, value)| advantage + value));
        batch.observations.append(&mut self.observations);
        batch.action_masks.append(&mut self.action_masks);
        batch.actions.append(&mut self.actions);
        batch.log_probs.append(&mut self.log_probs);
        batch.values.append(&mut self.values);
        self.rewards.clear();
        self.discounts.clear();
    }
}
