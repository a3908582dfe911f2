//! One resident's decisions from the index they came, or the rollout began, until they go or it ends.
//!
//! Owns how rewards between two decisions are summed and where a trajectory is cut; nothing of it outlives its end, so the
//! next resident of the same slot starts from nothing. Rule: "Decision process".

use super::{Batch, gae};

/// What was seen and chosen at one index.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// As the network saw it, scaled.
    pub observation: &'a [f32],
    /// What could be chosen, one bit an option.
    pub action_mask: u16,
    /// What was.
    pub action: u8,
    /// Natural logarithm of its probability.
    pub log_prob: f32,
    /// What the network expected.
    pub value: f32,
}

/// Decisions in their order, with what came of them.
#[derive(Clone, Debug, Default)]
pub struct Trajectory {
    observations: Vec<f32>,
    action_masks: Vec<u16>,
    actions: Vec<u8>,
    log_probs: Vec<f32>,
    values: Vec<f32>,
    rewards: Vec<f32>,
    discounts: Vec<f32>,
}

impl Trajectory {
    /// Number of decisions.
    pub fn len(&self) -> usize {
        self.actions.len()
    }

    /// Whether nothing was decided.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// A decision was taken.
    pub fn decide(&mut self, decision: &Decision<'_>) {
        self.observations.extend_from_slice(decision.observation);
        self.action_masks.push(decision.action_mask);
        self.actions.push(decision.action);
        self.log_probs.push(decision.log_prob);
        self.values.push(decision.value);
        self.rewards.push(0.0);
        self.discounts.push(1.0);
    }

    /// A tick passed and brought `reward`. Before the first decision there is nobody to credit, and it is dropped.
    pub fn reward(&mut self, reward: f32, gamma: f32) {
        if let (Some(sum), Some(discount)) = (self.rewards.last_mut(), self.discounts.last_mut()) {
            *sum += *discount * reward;
            *discount *= gamma;
        }
    }

    /// The resident is gone for good: nothing follows. Moves the decisions into the batch.
    pub fn terminate(&mut self, gae_lambda: f32, batch: &mut Batch) {
        if let Some(discount) = self.discounts.last_mut() {
            *discount = 0.0;
        }
        self.cut(0.0, gae_lambda, batch);
    }

    /// The horizon or the rollout's end came in between; `bootstrap` is the value of where the resident is. Moves the
    /// decisions into the batch.
    pub fn cut(&mut self, bootstrap: f32, gae_lambda: f32, batch: &mut Batch) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(trajectory: &mut Trajectory, action: u8, value: f32) {
        let observation = &[f32::from(action), 1.0];
        trajectory.decide(&Decision { observation, action_mask: 0b11, action, log_prob: -0.5, value });
    }

    #[test]
    fn rewards_between_two_decisions_are_discounted_by_their_ticks() {
        let (mut trajectory, mut batch) = (Trajectory::default(), Batch::default());
        trajectory.reward(100.0, 0.5); // Before anything was decided.
        decide(&mut trajectory, 0, 1.0);
        for reward in [4.0, 8.0, 16.0] {
            trajectory.reward(reward, 0.5);
        }
        decide(&mut trajectory, 1, 3.0);
        trajectory.reward(2.0, 0.5);
        assert_eq!(trajectory.len(), 2);
        trajectory.cut(10.0, 0.0, &mut batch);
        // With λ = 0: reward + γ^k · next value − value.
        assert_eq!(batch.advantages, [4.0 + 4.0 + 4.0 + 0.125 * 3.0 - 1.0, 2.0 + 0.5 * 10.0 - 3.0]);
        assert_eq!(batch.returns, [batch.advantages[0] + 1.0, batch.advantages[1] + 3.0]);
        assert_eq!((&batch.observations[..], &batch.actions[..]), (&[0.0, 1.0, 1.0, 1.0][..], &[0, 1][..]));
    }

    #[test]
    fn who_is_gone_expects_nothing_and_leaves_nothing() {
        let (mut trajectory, mut batch) = (Trajectory::default(), Batch::default());
        decide(&mut trajectory, 0, 5.0);
        trajectory.reward(1.0, 0.9);
        trajectory.terminate(0.95, &mut batch);
        assert_eq!(batch.advantages, [1.0 - 5.0]);
        assert!(trajectory.is_empty());
        // The next of the slot: the same numbers as if nobody had been there.
        let (mut fresh, mut alone, mut after) = (Trajectory::default(), Batch::default(), Batch::default());
        for (trajectory, batch) in [(&mut trajectory, &mut after), (&mut fresh, &mut alone)] {
            decide(trajectory, 1, 2.0);
            trajectory.reward(3.0, 0.9);
            trajectory.cut(4.0, 0.95, batch);
        }
        assert_eq!(after, alone);
        trajectory.terminate(0.95, &mut after);
        assert_eq!(after, alone, "nothing was decided, nothing is added");
    }
}
