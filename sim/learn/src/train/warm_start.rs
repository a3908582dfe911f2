//! Starting a training from another policy: by imitating it, or from the weights of a checkpoint.
//!
//! Imitation uses the PPO update itself: every choice of the imitated policy has advantage 1, so the gradient at ratio 1 is that
//! of the log-likelihood. Rule: "Behaviour cloning warm start" and "Staged training".

use serde::{Deserialize, Serialize};

use super::{BehaviorPolicy, Trainer, settings};
use crate::NetworkPolicy;
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::network::Normalizer;
use crate::parallel::ShouldContinue;
use crate::ppo::{Diverged, Learner, Settings, UpdateStats};

/// Where the first weights of a training came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The policy that it imitated: `scripted` or the id of a checkpoint.
    pub imitated: Option<String>,
    /// The checkpoint that it started from.
    pub started_from: Option<String>,
}

/// Learning rate during imitation.
const LEARNING_RATE: f32 = 1e-3;
/// Minibatch size during imitation: small, because each rollout is used once.
const MINIBATCH: usize = 256;

impl Trainer {
    /// Imitates a trained policy, or the scripted one, for `training.warm_start_rollouts` rollouts, then clears the moments.
    /// It counts as no step. `on_rollout` gets the number and the statistics of each rollout.
    ///
    /// `should_continue` is asked at every tick and few hundred decisions. Returns `false` when it said no; the training is then of no
    /// use.
    ///
    /// # Errors
    /// What diverged. The weights are then those from before.
    pub fn warm_start(
        &mut self,
        trained: Option<&NetworkPolicy>,
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
        let imitated = trained.map_or(BehaviorPolicy::Scripted, BehaviorPolicy::Trained);
        let done = self.imitate(imitated, should_continue, &mut on_rollout);
        std::mem::swap(&mut imitator, &mut self.learner);
        if !done? {
            return Ok(false);
        }
        let kept = self.learner.start_from(imitator.weights().clone());
        debug_assert!(kept.is_ok(), "weights of the same network");
        self.origin.imitated = Some(trained.map_or("scripted", NetworkPolicy::id).to_owned());
        Ok(true)
    }

    fn imitate(
        &mut self,
        imitated: BehaviorPolicy<'_>,
        should_continue: ShouldContinue<'_>,
        on_rollout: &mut impl FnMut(u32, &UpdateStats),
    ) -> Result<bool, Diverged> {
        for rollout in 0..self.rules.config.training.warm_start_rollouts {
            // Decisions of the imitated policy do not count in the log.
            if self.collect(imitated, should_continue).is_none() {
                return Ok(false);
            }
            self.batch.advantages.fill(1.0);
            let Some(stats) = self.learner.update_while(&self.batch, 0.0, should_continue)? else { return Ok(false) };
            self.normalizer.apply_statistics();
            on_rollout(rollout, &stats);
        }
        Ok(true)
    }

    /// Starts from a trained policy: takes its weights and normalizer, with new moments, and records it. Valid before the
    /// first update.
    ///
    /// # Errors
    /// A mismatch with these rules or other hidden layers; then nothing has changed.
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
        self.origin.started_from = Some(checkpoint.id.clone());
        Ok(())
    }
}
