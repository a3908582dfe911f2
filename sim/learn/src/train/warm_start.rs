//! A start from the scripted policy: the network learns to choose as it does, and what that is worth, before it improves.
//!
//! Behaviour cloning with the very update that learns later: every scripted choice counts as equally good news, so that the
//! gradient at ratio 1 is that of the log-likelihood. Rule: "Behaviour cloning warm start".

use super::{Chooser, Trainer, settings};
use crate::ppo::{Diverged, Learner, Settings, UpdateStats};

/// Step size while it imitates.
const LEARNING_RATE: f32 = 1e-3;
/// Decisions in a gradient step while it imitates: small, because each rollout is seen once.
const MINIBATCH: usize = 256;

impl Trainer {
    /// Imitates the scripted policy for as many rollouts as the configuration says, tells of each with its number, and
    /// forgets the moments. Counts as no step.
    ///
    /// # Errors
    /// What exploded; the weights are then those of before.
    pub fn warm_start(&mut self, mut told: impl FnMut(u32, &UpdateStats)) -> Result<(), Diverged> {
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
        let mut pupil = Learner::new(*self.learner.shape(), imitating, self.plan.seed);
        pupil.set_threads(self.plan.threads);
        std::mem::swap(&mut pupil, &mut self.learner);
        let done = self.imitate(&mut told);
        std::mem::swap(&mut pupil, &mut self.learner);
        done?;
        let kept = self.learner.start_from(pupil.weights().clone());
        debug_assert!(kept.is_ok(), "weights of the same network");
        self.warm = true;
        Ok(())
    }

    fn imitate(&mut self, told: &mut impl FnMut(u32, &UpdateStats)) -> Result<(), Diverged> {
        for rollout in 0..self.rules.config.training.warm_start_rollouts {
            self.recent_of_others();
            self.batch.advantages.fill(1.0);
            let stats = self.learner.update(&self.batch, 0.0)?;
            self.normalizer.settle();
            told(rollout, &stats);
        }
        Ok(())
    }

    /// A rollout of the scripted policy, whose towns are not counted in the log.
    fn recent_of_others(&mut self) {
        let _ = self.collect(Chooser::Scripted);
    }
}
