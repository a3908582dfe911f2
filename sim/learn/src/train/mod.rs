//! The training loop: collect, estimate advantages, update, log.
//!
//! A resumed training continues as if it had not stopped. The schedule depends on steps, never on the clock.
//! Rule: "Training command".

mod divergence;
mod evaluation;
mod memory_estimate;
mod row;
mod running_metrics;
mod warm_start;

use std::num::NonZero;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use townlet_town::observations::layout;
use townlet_town::options::OPTIONS;
use townlet_town::{Refusal, Rules};

use crate::checkpoint::{Checkpoint, CheckpointError, Meta, Registry, TrainingState};
use crate::network::{Forward, Normalizer, Shape};
use crate::parallel::ShouldContinue;
use crate::ppo::{Batch, Learner, Settings, UpdateStats};
use crate::rollout::{BehaviorPolicy, EncodedEnv, Rollout, RolloutStats};
pub use divergence::Divergence;
pub use evaluation::{Best, Evaluation, HeldOutTowns};
pub use memory_estimate::{MemoryEstimate, NotEnoughMemory};
pub use row::{KpiMean, Row};
use running_metrics::RunningMetrics;
pub use warm_start::Origin;

/// Parameters of a training besides the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Determines the first weights, every town and every choice.
    pub seed: u64,
    /// Resident-ticks of the schedule.
    pub total_steps: u64,
    /// Worker threads; they do not affect results.
    pub threads: NonZero<usize>,
}

/// A running training.
pub struct Trainer {
    rules: Arc<Rules>,
    plan: Plan,
    learner: Learner,
    normalizer: Normalizer,
    rollout: Rollout,
    batch: Batch,
    metrics: RunningMetrics,
    steps: u64,
    updates: u64,
    seconds: f64,
    origin: Origin,
    /// The latest checkpoint, and the number of updates it was made after.
    saved: Option<(u64, String)>,
    held_out: HeldOutTowns,
    /// The evaluation after the latest update, if one was due.
    evaluation: Option<Evaluation>,
    best: Option<Best>,
    /// The bytes of the best policy until they are written.
    unsaved_best: Option<Vec<u8>>,
}

/// The state of a training besides learner and normalizer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// Resident-ticks learned from.
    pub steps: u64,
    /// Resident-ticks of the schedule.
    pub total_steps: u64,
    /// Updates done.
    pub updates: u64,
    /// Seconds spent training.
    pub seconds: f64,
    /// Seed of the training.
    pub seed: u64,
    /// The best evaluation so far.
    pub best: Option<Best>,
    /// Where the first weights came from.
    pub origin: Origin,
    metrics: RunningMetrics,
    envs: Vec<EncodedEnv>,
}

impl Progress {
    /// The towns with their decisions.
    pub(crate) fn envs(&self) -> &[EncodedEnv] {
        &self.envs
    }
}

/// The network shape for a configuration.
pub fn shape(rules: &Rules) -> Shape {
    let units = rules.config.training.hidden_units as usize;
    let observation = layout(rules.config.features.systems.observations).width;
    Shape { observation, hidden: [units, units], options: OPTIONS.len() }
}

/// The PPO settings for a configuration.
pub fn settings(rules: &Rules) -> Settings {
    let training = &rules.config.training;
    let target_kl = training.target_kl.to_f64() as f32;
    Settings {
        anneal_lr: training.anneal_learning_rate,
        target_kl: (target_kl > 0.0).then_some(target_kl),
        ..Settings::from(&rules.config.ppo)
    }
}

impl Trainer {
    /// A new training: random weights, every town at its first tick.
    pub fn new(rules: &Arc<Rules>, plan: Plan) -> Self {
        Self::new_while(rules, plan, &|| true).unwrap_or_else(|| unreachable!("nothing interrupts it"))
    }

    /// The same; asks `should_continue` before each town that it makes, and returns `None` when it said no.
    pub fn new_while(rules: &Arc<Rules>, plan: Plan, should_continue: ShouldContinue<'_>) -> Option<Self> {
        let shape = shape(rules);
        let mut learner = Learner::new(shape, settings(rules), plan.seed);
        learner.set_threads(plan.threads);
        let forward = Forward::new(shape, learner.weights());
        Some(Self {
            rules: Arc::clone(rules),
            plan,
            rollout: Rollout::new_while(rules, plan.seed, &forward, should_continue)?,
            learner,
            normalizer: Normalizer::new(shape.observation),
            batch: Batch::default(),
            metrics: RunningMetrics::default(),
            steps: 0,
            updates: 0,
            seconds: 0.0,
            origin: Origin::default(),
            saved: None,
            held_out: HeldOutTowns::new(rules),
            evaluation: None,
            best: None,
            unsaved_best: None,
        })
    }

    /// The rules of the towns.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// The parameters.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Applies other rules to the running towns. Weights and progress are kept.
    ///
    /// # Errors
    /// A change that a running town refuses; then nothing has changed.
    pub fn reload(&mut self, rules: &Arc<Rules>) -> Result<(), Refusal> {
        self.rollout.reload(rules)?;
        self.rules = Arc::clone(rules);
        self.held_out = HeldOutTowns::new(rules);
        Ok(())
    }

    /// The learner.
    pub fn learner(&self) -> &Learner {
        &self.learner
    }

    /// The observation normalizer.
    pub fn normalizer(&self) -> &Normalizer {
        &self.normalizer
    }

    /// Resident-ticks learned from.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Updates done.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// The latest checkpoint.
    pub fn checkpoint(&self) -> Option<&str> {
        self.saved.as_ref().map(|(_, id)| id.as_str())
    }

    /// The best evaluation so far and its checkpoint, which [`Self::save`] writes.
    pub fn best(&self) -> Option<&Best> {
        self.best.as_ref()
    }

    /// Whether the checkpoint of the best evaluation is not written yet.
    pub fn has_unsaved_best(&self) -> bool {
        self.unsaved_best.is_some()
    }

    /// Whether the schedule is complete.
    pub fn finished(&self) -> bool {
        self.steps >= self.plan.total_steps
    }

    /// Runs one rollout and one update, and an evaluation when one is due.
    ///
    /// # Errors
    /// What diverged. The weights are then those from before.
    pub fn advance(&mut self) -> Result<Row, Divergence> {
        Ok(self.attempt(&|| true)?.expect("nothing interrupts it"))
    }

    /// Like [`Self::advance`], but asks `should_continue` at every tick and few hundred decisions. Returns `None` when it said no; the
    /// training is then as it was before.
    ///
    /// # Errors
    /// As [`Self::advance`].
    pub fn advance_while(&mut self, should_continue: ShouldContinue<'_>) -> Result<Option<Row>, Divergence> {
        let (envs, normalizer) = (self.rollout.state(), self.normalizer.clone());
        let row = self.attempt(should_continue)?;
        if row.is_none() {
            let restored = self.rollout.restore(envs);
            debug_assert!(restored.is_ok(), "replicas of the same rules");
            self.normalizer = normalizer;
        }
        Ok(row)
    }

    /// An update whose weights are those from before when it diverges or is interrupted.
    fn attempt(&mut self, should_continue: ShouldContinue<'_>) -> Result<Option<Row>, Divergence> {
        let before = self.learner.state().clone();
        let row = self.update(should_continue);
        if !matches!(row, Ok(Some(_))) {
            let restored = self.learner.restore(before);
            debug_assert!(restored.is_ok(), "weights of the same network");
        }
        row
    }

    fn update(&mut self, should_continue: ShouldContinue<'_>) -> Result<Option<Row>, Divergence> {
        let started = Instant::now();
        let Some(rollout_stats) = self.collect(BehaviorPolicy::Network, should_continue) else { return Ok(None) };
        let collected = started.elapsed().as_secs_f64();
        let progress = (self.steps as f64 / self.plan.total_steps.max(1) as f64).min(1.0);
        let Some(stats) = self.learner.update_while(&self.batch, progress, should_continue)? else { return Ok(None) };
        divergence::check(&stats, self.updates)?;
        self.normalizer.apply_statistics();
        let elapsed = started.elapsed().as_secs_f64();
        let resident_ticks = rollout_stats.resident_ticks;
        let steps = self.steps + resident_ticks;
        let evaluation = if self.held_out.is_due(self.steps, steps, self.plan.total_steps) {
            let Some(evaluation) = self.evaluate(should_continue) else { return Ok(None) };
            Some(evaluation)
        } else {
            None
        };
        let total = started.elapsed().as_secs_f64();
        self.steps = steps;
        self.updates += 1;
        self.seconds += total;
        let mut row = self.row(&rollout_stats, &stats);
        row.steps_per_second = resident_ticks as f64 / elapsed.max(1e-9);
        row.rollout_share = collected / elapsed.max(1e-9);
        row.evaluation_seconds = evaluation.is_some().then_some(total - elapsed);
        self.metrics.push(rollout_stats);
        self.metrics.fill(&self.rules, &mut row);
        self.evaluation.clone_from(&evaluation);
        self.keep_if_best();
        row.evaluation = evaluation;
        Ok(Some(row))
    }

    /// Evaluates the current policy; `None` when interrupted.
    fn evaluate(&mut self, should_continue: ShouldContinue<'_>) -> Option<Evaluation> {
        let policy = Checkpoint {
            id: "current".into(),
            meta: Meta::of(&self.rules, self.learner.shape()),
            weights: self.learner.weights().clone(),
            normalizer: self.normalizer.clone(),
        };
        let mut evaluation = self.held_out.evaluate(&policy, self.plan.threads, should_continue)?;
        evaluation.best = self.best.as_ref().is_none_or(|best| evaluation.is_better_than(&best.evaluation));
        Some(evaluation)
    }

    /// Keeps the current policy when its evaluation is the best so far.
    fn keep_if_best(&mut self) {
        let Some(evaluation) = self.evaluation.clone().filter(|evaluation| evaluation.best) else { return };
        let (id, bytes) = self.policy();
        self.best = Some(Best { id, steps: self.steps, evaluation });
        self.unsaved_best = Some(bytes);
    }

    fn collect(
        &mut self,
        behavior_policy: BehaviorPolicy<'_>,
        should_continue: ShouldContinue<'_>,
    ) -> Option<RolloutStats> {
        let forward = Forward::new(*self.learner.shape(), self.learner.weights());
        let completed =
            self.rollout.collect(&forward, &self.normalizer, behavior_policy, self.plan.threads, should_continue);
        if !completed {
            return None;
        }
        self.rollout.gather(&mut self.batch, &mut self.normalizer, should_continue)
    }

    fn row(&self, rollout_stats: &RolloutStats, stats: &UpdateStats) -> Row {
        let decimal = |value: f32| f64::from(value);
        Row {
            update: self.updates,
            steps: self.steps,
            total_steps: self.plan.total_steps,
            seconds: self.seconds,
            decisions: self.batch.len() as u64,
            episodes: rollout_stats.episodes.len() as u64,
            policy_loss: decimal(stats.policy_loss),
            value_loss: decimal(stats.value_loss),
            entropy: decimal(stats.entropy),
            approx_kl: decimal(stats.approx_kl),
            clip_frac: decimal(stats.clip_frac),
            explained_variance: Some(decimal(stats.explained_variance)).filter(|value| value.is_finite()),
            grad_norm: decimal(stats.grad_norm),
            learning_rate: decimal(stats.learning_rate),
            epochs: stats.epochs,
            samples_per_second: stats.samples_per_second,
            invalid_rate: rollout_stats.invalid as f64 / rollout_stats.decisions.max(1) as f64,
            ..Row::default()
        }
    }

    /// Resumes a saved training.
    ///
    /// # Errors
    /// A mismatch with these rules.
    pub fn resume(rules: &Arc<Rules>, saved: &TrainingState, threads: NonZero<usize>) -> Result<Self, CheckpointError> {
        let resumed = Self::resume_while(rules, saved, threads, &|| true)?;
        Ok(resumed.unwrap_or_else(|| unreachable!("nothing interrupts it")))
    }

    /// The same; asks `should_continue` before each town that it makes, and returns `None` when it said no.
    ///
    /// # Errors
    /// A mismatch with these rules.
    pub fn resume_while(
        rules: &Arc<Rules>,
        saved: &TrainingState,
        threads: NonZero<usize>,
        should_continue: ShouldContinue<'_>,
    ) -> Result<Option<Self>, CheckpointError> {
        let progress = &saved.progress;
        let plan = Plan { seed: progress.seed, total_steps: progress.total_steps, threads };
        let Some(mut trainer) = Self::new_while(rules, plan, should_continue) else { return Ok(None) };
        let shape = *trainer.learner.shape();
        let restored = trainer.learner.restore(saved.learner(&shape)?);
        restored.map_err(|error| CheckpointError::Weights { id: saved.policy.clone(), error })?;
        trainer.normalizer = saved.normalizer(shape.observation)?;
        let towns = trainer.rollout.restore_encoded(progress.envs(), saved.env_memory());
        towns.map_err(|why| CheckpointError::Unreadable { id: saved.policy.clone(), why })?;
        (trainer.steps, trainer.updates) = (progress.steps, progress.updates);
        trainer.seconds = progress.seconds;
        trainer.metrics.clone_from(&progress.metrics);
        trainer.origin.clone_from(&progress.origin);
        trainer.saved = Some((progress.updates, saved.policy.clone()));
        trainer.best.clone_from(&progress.best);
        Ok(Some(trainer))
    }

    /// Writes the policy and the training state beside it, and the best policy if it is another, and returns the
    /// checkpoint's id. Saving again after the same update returns the same id.
    ///
    /// # Errors
    /// An I/O error. Earlier checkpoints are then untouched.
    pub fn save(&mut self, registry: &Registry, run: &str) -> Result<String, CheckpointError> {
        if let Some((_, id)) = self.saved.as_ref().filter(|(updates, _)| *updates == self.updates) {
            return Ok(id.clone());
        }
        let mut current = None;
        if let (Some(best), Some(bytes)) = (&self.best, &self.unsaved_best) {
            registry.store(&best.id, bytes)?;
            // The current policy may be the best.
            current = (best.steps == self.steps).then(|| best.id.clone());
        }
        let id = if let Some(id) = current {
            id
        } else {
            let (id, bytes) = self.policy();
            registry.store(&id, &bytes)?;
            id
        };
        let names = (id.clone(), run.to_owned());
        let sources = self.rules.sources.clone();
        let saved = TrainingState::new(names, sources, self.progress(), self.learner.state(), &self.normalizer);
        registry.save(&saved)?;
        self.saved = Some((self.updates, id.clone()));
        self.unsaved_best = None;
        Ok(id)
    }

    /// The id and the bytes of the current policy.
    fn policy(&self) -> (String, Vec<u8>) {
        let mut row = Row::default();
        self.metrics.fill(&self.rules, &mut row);
        let meta = Meta {
            steps: self.steps,
            updates: self.updates,
            seed: self.plan.seed,
            warm_start: self.origin.imitated.is_some(),
            imitated: self.origin.imitated.clone(),
            started_from: self.origin.started_from.clone(),
            parent: self.saved.as_ref().map(|(_, id)| id.clone()).or_else(|| self.origin.started_from.clone()),
            town_score: row.town_score,
            kpis: row.kpis,
            evaluation: self.evaluation.clone(),
            best_before: self.best.as_ref().map(|best| best.id.clone()),
            ..Meta::of(&self.rules, self.learner.shape())
        };
        Checkpoint::encode(&meta, self.learner.weights(), &self.normalizer)
    }

    /// The state for a checkpoint, besides learner and normalizer.
    pub fn progress(&self) -> Progress {
        Progress {
            steps: self.steps,
            total_steps: self.plan.total_steps,
            updates: self.updates,
            seconds: self.seconds,
            seed: self.plan.seed,
            best: self.best.clone(),
            origin: self.origin.clone(),
            metrics: self.metrics.clone(),
            envs: self.rollout.encoded(),
        }
    }
}
