//! The settings of the update, under the field's names.

use townlet_town::config::Ppo;

/// How to learn. Names and meanings are CleanRL's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Step size of Adam at the start.
    pub learning_rate: f32,
    /// Whether the step size goes down to zero by the end of the training.
    pub anneal_lr: bool,
    /// How far the ratio of new to old probability may move from 1.
    pub clip_coef: f32,
    /// Weight of the value loss.
    pub vf_coef: f32,
    /// Weight of the entropy bonus.
    pub ent_coef: f32,
    /// Passes over each batch.
    pub update_epochs: u32,
    /// Decisions in a gradient step.
    pub minibatch_size: usize,
    /// λ of generalised advantage estimation.
    pub gae_lambda: f32,
    /// Discount of a tick.
    pub gamma: f32,
    /// Length the gradient is cut to; 0 leaves it as it is.
    pub max_grad_norm: f32,
    /// How far a value may move in an update before its loss is cut; `None` is no limit.
    pub clip_vloss: Option<f32>,
    /// Whether advantages are brought to mean 0 and deviation 1 in each minibatch.
    pub norm_adv: bool,
    /// No further pass begins once the policy has moved further than this from the one that collected; `None` is no limit.
    pub target_kl: Option<f32>,
}

impl Default for Settings {
    /// As in `configs/default.yaml`.
    fn default() -> Self {
        Self {
            learning_rate: 3e-4,
            anneal_lr: true,
            clip_coef: 0.2,
            vf_coef: 0.5,
            ent_coef: 0.01,
            update_epochs: 4,
            minibatch_size: 256,
            gae_lambda: 0.95,
            gamma: 0.99,
            max_grad_norm: 0.5,
            clip_vloss: Some(0.2),
            norm_adv: true,
            target_kl: None,
        }
    }
}

impl From<&Ppo> for Settings {
    fn from(config: &Ppo) -> Self {
        let value_clip = config.value_clip.to_f64() as f32;
        Self {
            learning_rate: config.learning_rate.to_f64() as f32,
            clip_coef: config.clip_param.to_f64() as f32,
            vf_coef: config.value_loss_coef.to_f64() as f32,
            ent_coef: config.entropy_coef.to_f64() as f32,
            update_epochs: config.num_epochs,
            minibatch_size: config.mini_batch_size as usize,
            gae_lambda: config.gae_lambda.to_f64() as f32,
            gamma: config.gamma.to_f64() as f32,
            max_grad_norm: config.max_grad_norm.to_f64() as f32,
            clip_vloss: (value_clip > 0.0).then_some(value_clip),
            norm_adv: config.advantage_normalization,
            ..Self::default()
        }
    }
}
