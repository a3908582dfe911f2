//! Rollouts: collects decisions from replicas of the town and gathers them into a batch.
//!
//! A batch is put together replica by replica, so it does not depend on threads or timing. Rule: "Rollouts".

pub mod decision_buffer;
mod env;
pub mod training_rewards;
mod vec_env;

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use townlet_town::observations::{Layout, layout};
use townlet_town::{Refusal, Rules};

use crate::drawn_towns::TownSource;
use crate::network::{Forward, Normalizer};
use crate::parallel::{self, ShouldContinue};
use crate::ppo::{self, Batch};
use decision_buffer::{DecisionBuffer, Successor};
use env::Env;
pub use env::{EncodedEnv, EnvState, RolloutStats};
pub use vec_env::BehaviorPolicy;
pub(crate) use vec_env::uniform;
use vec_env::{CollectContext, VecEnv};

/// Environments per inference: enough for an efficient batch, few enough for a core's own cache.
pub(crate) const ENVS_PER_BATCH: usize = 16;

/// Decisions gathered between two questions whether to continue.
const GATHERED: usize = 1 << 16;

/// Replicas of the town and their decisions since the last batch.
pub struct Rollout {
    vec_envs: Vec<VecEnv>,
    layout: &'static Layout,
    ticks: u64,
    gae_lambda: f32,
    seed: u64,
    trajectory: Trajectory,
}

/// Buffers for the advantages of one resident's decisions.
#[derive(Default)]
struct Trajectory {
    /// Row of the batch by decision of the town.
    rows: Vec<usize>,
    /// Indices of the resident's decisions.
    at: Vec<usize>,
    rewards: Vec<f32>,
    values: Vec<f32>,
    discounts: Vec<f32>,
    advantages: Vec<f32>,
}

impl Rollout {
    /// As many replicas as configured, each at its first tick. The seed determines their towns.
    pub fn new(rules: &Arc<Rules>, seed: u64, forward: &Forward) -> Self {
        Self::new_while(rules, seed, forward, &|| true).unwrap_or_else(|| unreachable!("nothing interrupts it"))
    }

    /// The same; asks `should_continue` before each replica, and returns `None` when it said no. Thousands take a while.
    pub fn new_while(
        rules: &Arc<Rules>,
        seed: u64,
        forward: &Forward,
        should_continue: ShouldContinue<'_>,
    ) -> Option<Self> {
        let training = &rules.config.training;
        let layout = layout(rules.config.features.systems.observations);
        let towns = TownSource::new(rules, seed);
        let envs = (0..training.replicas)
            .map(|replica| should_continue().then(|| Env::new(&towns, seed, replica, training.replicas, layout.width)));
        let envs: Vec<Env> = envs.collect::<Option<_>>()?;
        let mut vec_envs = Vec::new();
        let mut envs = envs.into_iter().peekable();
        while envs.peek().is_some() {
            vec_envs.push(VecEnv::new(envs.by_ref().take(ENVS_PER_BATCH).collect(), forward.clone()));
        }
        Some(Self {
            vec_envs,
            layout,
            ticks: u64::from(training.rollout_ticks),
            gae_lambda: rules.config.ppo.gae_lambda.to_f64() as f32,
            seed,
            trajectory: Trajectory::default(),
        })
    }

    /// Collects one rollout on up to `threads` workers. The result does not depend on their number.
    ///
    /// `should_continue` is asked at every tick. Returns `false` when it said no: the replicas then stand at different
    /// ticks and need [`Self::restore`].
    pub fn collect(
        &mut self,
        forward: &Forward,
        normalizer: &Normalizer,
        behavior_policy: BehaviorPolicy<'_>,
        threads: NonZero<usize>,
        should_continue: ShouldContinue<'_>,
    ) -> bool {
        let context = CollectContext { layout: self.layout, normalizer, behavior_policy, should_continue };
        let (ticks, completed) = (self.ticks, AtomicBool::new(true));
        parallel::for_each_chunk(&mut self.vec_envs, 1, threads, |vec_envs| {
            for vec_env in vec_envs {
                vec_env.set_policies(forward.clone(), behavior_policy);
                if !vec_env.advance(ticks, &context) {
                    completed.store(false, Ordering::Relaxed);
                }
            }
        });
        completed.into_inner()
    }

    /// Moves all closed decisions into `batch` and returns the counters. Open decisions stay for the next batch. The
    /// observations' statistics are merged into `normalizer`, which uses them once settled.
    ///
    /// `should_continue` is asked now and then. Returns `None` when it said no: the replicas then need [`Self::restore`].
    pub fn gather(
        &mut self,
        batch: &mut Batch,
        normalizer: &mut Normalizer,
        should_continue: ShouldContinue<'_>,
    ) -> Option<RolloutStats> {
        batch.clear();
        batch.reserve(self.decisions().map(DecisionBuffer::len).sum(), self.layout.width);
        let mut total = RolloutStats::default();
        for env in self.vec_envs.iter_mut().flat_map(|vec_env| &mut vec_env.envs) {
            if !gather(&env.decisions, self.gae_lambda, &mut self.trajectory, batch, should_continue) {
                return None;
            }
            env.decisions.retain_open();
            normalizer.merge(&env.seen);
            env.seen = env.seen.empty();
            let stats = &mut env.stats;
            total.episodes.append(&mut stats.episodes);
            total.days.append(&mut stats.days);
            total.horizons.append(&mut stats.horizons);
            total.resident_ticks += std::mem::take(&mut stats.resident_ticks);
            total.decisions += std::mem::take(&mut stats.decisions);
            total.invalid += std::mem::take(&mut stats.invalid);
        }
        Some(total)
    }

    /// The decisions of each replica since the last batch, in the order of the replicas.
    pub fn decisions(&self) -> impl Iterator<Item = &DecisionBuffer> {
        self.envs().map(|env| &env.decisions)
    }

    /// Applies other rules to every replica.
    ///
    /// # Errors
    /// A change that a running town refuses. All replicas have the same rules, so then none has changed.
    pub fn reload(&mut self, rules: &Arc<Rules>) -> Result<(), Refusal> {
        let towns = TownSource::new(rules, self.seed);
        self.vec_envs.iter_mut().flat_map(|vec_env| &mut vec_env.envs).try_for_each(|env| env.reload(&towns))
    }

    /// The state of every replica; valid between two batches.
    pub fn state(&self) -> Vec<EnvState> {
        self.envs().map(Env::state).collect()
    }

    /// The same for a checkpoint.
    pub fn encoded(&self) -> Vec<EncodedEnv> {
        self.envs().map(|env| EncodedEnv::new(&env.state())).collect()
    }

    /// Continues from a state of before.
    ///
    /// # Errors
    /// A mismatch with these rules. Some replicas may have changed; the rollout must not be used any more.
    pub fn restore(&mut self, state: Vec<EnvState>) -> Result<(), String> {
        self.restore_each(state.into_iter().map(Ok))
    }

    /// Continues from a saved state, of which each replica takes at most `most` bytes of memory.
    ///
    /// # Errors
    /// As [`Self::restore`], and a state that cannot be read.
    pub fn restore_encoded(&mut self, state: &[EncodedEnv], most: usize) -> Result<(), String> {
        self.restore_each(state.iter().map(|env| env.decode(most)))
    }

    fn restore_each(&mut self, state: impl ExactSizeIterator<Item = Result<EnvState, String>>) -> Result<(), String> {
        let replicas = self.envs().count();
        if state.len() != replicas {
            return Err(format!("it has {} replicas, the configuration {replicas}", state.len()));
        }
        let envs = self.vec_envs.iter_mut().flat_map(|vec_env| &mut vec_env.envs);
        envs.zip(state).try_for_each(|(env, state)| env.restore(state?))
    }

    fn envs(&self) -> impl Iterator<Item = &Env> {
        self.vec_envs.iter().flat_map(|vec_env| &vec_env.envs)
    }
}

/// Appends the closed decisions to the batch in their order, and computes advantages resident by resident. Returns `false`
/// when `should_continue` said no.
fn gather(
    decisions: &DecisionBuffer,
    gae_lambda: f32,
    trajectory: &mut Trajectory,
    batch: &mut Batch,
    should_continue: ShouldContinue<'_>,
) -> bool {
    let first_row = batch.len();
    trajectory.rows.clear();
    for at in 0..decisions.len() {
        if at % GATHERED == 0 && !should_continue() {
            return false;
        }
        trajectory.rows.push(batch.len());
        if decisions.successors[at] == Successor::Open {
            continue;
        }
        batch.observations.extend_from_slice(decisions.observation(at));
        batch.actions.push(decisions.actions[at]);
        batch.action_masks.push(decisions.action_masks[at]);
        batch.log_probs.push(decisions.log_probs[at]);
        batch.values.push(decisions.values[at]);
    }
    batch.advantages.resize(batch.len(), 0.0);
    batch.returns.resize(batch.len(), 0.0);
    for first in (0..decisions.len()).filter(|at| !decisions.continues_episode[*at]) {
        let bootstrap = trajectory.collect_from(decisions, first);
        ppo::gae(
            &trajectory.rewards,
            &trajectory.values,
            &trajectory.discounts,
            bootstrap,
            gae_lambda,
            &mut trajectory.advantages,
        );
        for (at, advantage) in trajectory.at.iter().zip(&trajectory.advantages) {
            batch.advantages[trajectory.rows[*at]] = *advantage;
            batch.returns[trajectory.rows[*at]] = advantage + decisions.values[*at];
        }
    }
    scale_advantages(&mut batch.advantages[first_row..]);
    true
}

/// Largest advantage after scaling.
const MOST_ADVANTAGE: f32 = 4.0;

/// Scales the advantages of a town to a root mean square of 1 and bounds them, so that a town in which residents starve counts
/// as much as one in which they live well.
fn scale_advantages(advantages: &mut [f32]) {
    let squares: f64 = advantages.iter().map(|advantage| f64::from(*advantage).powi(2)).sum();
    let scale = (squares / advantages.len().max(1) as f64).sqrt() as f32 + 1e-3;
    for advantage in advantages {
        *advantage = (*advantage / scale).clamp(-MOST_ADVANTAGE, MOST_ADVANTAGE);
    }
}

impl Trajectory {
    /// Collects a resident's closed decisions from `first` on and returns the value of the state after the last.
    fn collect_from(&mut self, decisions: &DecisionBuffer, first: usize) -> f32 {
        self.at.clear();
        self.rewards.clear();
        self.values.clear();
        self.discounts.clear();
        let mut at = first;
        let bootstrap = loop {
            if decisions.successors[at] == Successor::Open {
                break decisions.values[at];
            }
            self.at.push(at);
            self.rewards.push(decisions.rewards[at]);
            self.values.push(decisions.values[at]);
            self.discounts.push(decisions.discounts[at]);
            match decisions.successors[at] {
                Successor::Decision(next) => at = next as usize,
                Successor::Truncated(value) => break value,
                Successor::Terminated | Successor::Open => break 0.0,
            }
        };
        self.advantages.clear();
        self.advantages.resize(self.at.len(), 0.0);
        bootstrap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advantages_of_a_town_are_scaled_to_one_and_bounded() {
        let mut even = vec![30.0, -30.0, 30.0, -30.0];
        scale_advantages(&mut even);
        assert!(even.iter().all(|advantage| (advantage.abs() - 1.0).abs() < 1e-3), "{even:?}");
        let mut rare = vec![0.1; 999];
        rare.push(-300.0);
        scale_advantages(&mut rare);
        assert!((rare[999] + MOST_ADVANTAGE).abs() < 1e-6);
        assert!(rare[0] > 0.0 && rare[0] < 0.1);
        scale_advantages(&mut []);
    }
}
