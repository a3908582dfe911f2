//! A start from another policy: from the scripted one, whose choices the network learns to make, and what they are worth,
//! before it improves; or from a trained one, whose weights it takes.
//!
//! Behaviour cloning with the very update that learns later: every scripted choice counts as equally good news, so that the
//! gradient at ratio 1 is that of the log-likelihood. Rule: "Behaviour cloning warm start".

use super::{BehaviorPolicy, Trainer, settings};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::network::Normalizer;
use crate::parallel::ShouldContinue;
use crate::ppo::{Diverged, Learner, Settings, UpdateStats};

/// Step size while it imitates.
const LEARNING_RATE: f32 = 1e-3;
/// Decisions in a gradient step while it imitates: small, because each rollout is seen once.
const MINIBATCH: usize = 256;

impl Trainer {
    /// Imitates the scripted policy for `training.warm_start_rollouts` rollouts, then clears the moments. It counts as no
    /// step. `on_rollout` gets the number and the statistics of each rollout.
    ///
    /// `should_continue` is asked at every tick and minibatch. Returns `false` when it said no; the training is then of no
    /// use.
    ///
    /// # Errors
    /// What diverged. The weights are then those from before.
    pub fn warm_start(
        &mut self,
        should_continue: ShouldContinue<'_>,
        mut on_rollout: impl FnMut(u32, &UpdateStats),
    ) -> Result<bool, Diverged> {
        let from = settings(&self.rules);
        let imitating = Settings {
            learning_rate: LEARNING_RATE,
            anneal_lr: false,
            clip_coef: 1.0,
            ent_coef: 0.0,
            update_epochs: 1,
            minibatch_size: MINIBATCH,
            norm_adv: false,
            target_kl: None,
            clip_vloss: None,
            ..from
        };
        let mut imitator = Learner::new(*self.learner.shape(), imitating, self.plan.seed);
        imitator.set_threads(self.plan.threads);
        std::mem::swap(&mut imitator, &mut self.learner);
        let done = self.imitate(should_continue, &mut on_rollout);
        std::mem::swap(&mut imitator, &mut self.learner);
        if !done? {
            return Ok(false);
        }
        let kept = self.learner.start_from(imitator.weights().clone());
        debug_assert!(kept.is_ok(), "weights of the same network");
        self.warm = true;
        Ok(true)
    }

    fn imitate(
        &mut self,
        should_continue: ShouldContinue<'_>,
        on_rollout: &mut impl FnMut(u32, &UpdateStats),
    ) -> Result<bool, Diverged> {
        for rollout in 0..self.rules.config.training.warm_start_rollouts {
            // What others lived through is not counted in the log.
            if self.collect(BehaviorPolicy::Scripted, should_continue).is_none() {
                return Ok(false);
            }
            self.batch.advantages.fill(1.0);
            let Some(stats) = self.learner.update_while(&self.batch, 0.0, should_continue)? else { return Ok(false) };
            self.normalizer.settle();
            on_rollout(rollout, &stats);
        }
        Ok(true)
    }

    /// Goes on from a trained policy: its weights, its scale of observations, and it is the parent of what comes. For a
    /// training at its beginning; until the first update its checkpoint is that policy.
    ///
    /// # Errors
    /// What does not fit these rules, or that its network has other layers; then nothing has changed.
    pub fn start_from(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        checkpoint.fits(&self.rules)?;
        let (found, wanted) = (checkpoint.shape().hidden, self.learner.shape().hidden);
        if found != wanted {
            let [found, wanted] = [found, wanted].map(|units| format!("{units:?}"));
            return Err(CheckpointError::Mismatch {
                id: checkpoint.id.clone(),
                what: "hidden layers of",
                found,
                wanted,
            });
        }
        let taken = self.learner.start_from(checkpoint.weights.clone());
        taken.map_err(|error| CheckpointError::Weights { id: checkpoint.id.clone(), error })?;
        let (count, mean, squares) = checkpoint.normalizer.state();
        self.normalizer = Normalizer::restore(count, mean.to_vec(), squares.to_vec());
        self.warm = checkpoint.meta.warm_start;
        self.saved = Some((self.updates, checkpoint.id.clone()));
        Ok(())
    }
}
