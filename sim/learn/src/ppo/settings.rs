//! Hyperparameters of the PPO update.

use townlet_town::config::Ppo;

/// Hyperparameters with the names and meanings of CleanRL.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Learning rate of Adam at the start.
    pub learning_rate: f32,
    /// Whether the learning rate is annealed linearly to zero.
    pub anneal_lr: bool,
    /// Clipping range of the probability ratio around 1.
    pub clip_coef: f32,
    /// Weight of the value loss.
    pub vf_coef: f32,
    /// Weight of the entropy bonus.
    pub ent_coef: f32,
    /// Epochs over each batch.
    pub update_epochs: u32,
    /// Decisions per gradient step.
    pub minibatch_size: usize,
    /// λ of generalized advantage estimation.
    pub gae_lambda: f32,
    /// Discount per tick.
    pub gamma: f32,
    /// Norm to which the gradient is clipped; 0 disables clipping.
    pub max_grad_norm: f32,
    /// Clipping range of the value; `None` disables it.
    pub clip_vloss: Option<f32>,
    /// Whether advantages are normalized in each minibatch.
    pub norm_adv: bool,
    /// Approximate KL divergence after which no further epoch begins; `None` disables the limit.
    pub target_kl: Option<f32>,
}

impl Default for Settings {
    /// The values of `configs/default.yaml`.
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
