//! Collecting: replicas of a town lived through by the policy that learns, and the batch that comes of it.
//!
//! Owns where experience comes from and in which order it is put together: replica by replica, so that neither threads nor
//! timing show in a batch. Knows nothing of how a batch is learned from. Rule: "Rollouts".

pub mod decision_buffer;
mod env;
mod vec_env;

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use townlet_town::observations::{Layout, layout};
use townlet_town::{Refusal, Rules};

use crate::network::{Forward, Normalizer};
use crate::parallel::{self, ShouldContinue};
use crate::ppo::{self, Batch};
use decision_buffer::{Decisions, Then};
use env::Life;
pub use env::{Kept, Tally};
pub use vec_env::BehaviorPolicy;
pub(crate) use vec_env::uniform;
use vec_env::{CollectContext, Tile};

/// Towns that advance together: enough for a worthwhile inference, few enough for a core's own cache.
const TILE: usize = 16;

/// Replicas of one town, and what they have lived through since the last batch.
pub struct Rollout {
    tiles: Vec<Tile>,
    layout: &'static Layout,
    ticks: u64,
    gae_lambda: f32,
    trajectory: Trajectory,
}

/// One resident's decisions on their way through the advantage estimation.
#[derive(Default)]
struct Trajectory {
    /// Where each decision of the town stands in the batch.
    rows: Vec<usize>,
    /// The resident's decisions.
    at: Vec<usize>,
    rewards: Vec<f32>,
    values: Vec<f32>,
    discounts: Vec<f32>,
    advantages: Vec<f32>,
}

impl Rollout {
    /// As many replicas as the configuration says, each at its first tick. The seed decides which towns they are.
    pub fn new(rules: &Arc<Rules>, seed: u64, forward: &Forward) -> Self {
        let training = &rules.config.training;
        let layout = layout(rules.config.features.systems.observations);
        let lives: Vec<Life> = (0..training.replicas)
            .map(|replica| Life::new(rules, seed, replica, training.replicas, layout.width))
            .collect();
        let mut tiles = Vec::new();
        let mut lives = lives.into_iter().peekable();
        while lives.peek().is_some() {
            tiles.push(Tile::new(lives.by_ref().take(TILE).collect(), forward.clone()));
        }
        Self {
            tiles,
            layout,
            ticks: u64::from(training.rollout_ticks),
            gae_lambda: rules.config.ppo.gae_lambda.to_f64() as f32,
            trajectory: Trajectory::default(),
        }
    }

    /// Lives through a rollout on up to `threads` workers. What comes of it does not depend on their number.
    pub fn collect(
        &mut self,
        forward: &Forward,
        normalizer: &Normalizer,
        behavior_policy: BehaviorPolicy,
        threads: NonZero<usize>,
    ) {
        let whole = self.collect_while(forward, normalizer, behavior_policy, threads, &|| true);
        debug_assert!(whole, "nothing cuts it off");
    }

    /// As [`Self::collect`], as long as `go_on` says so, asked at every tick. `false`: it was cut off, and the replicas
    /// stand at different ticks; [`Self::restore`] them.
    pub fn collect_while(
        &mut self,
        forward: &Forward,
        normalizer: &Normalizer,
        behavior_policy: BehaviorPolicy,
        threads: NonZero<usize>,
        go_on: ShouldContinue<'_>,
    ) -> bool {
        let sight = CollectContext { layout: self.layout, normalizer, behavior_policy, go_on };
        let (ticks, whole) = (self.ticks, AtomicBool::new(true));
        parallel::for_each_chunk(&mut self.tiles, 1, threads, |tiles| {
            for tile in tiles {
                tile.set_network(forward.clone());
                if !tile.advance(ticks, &sight) {
                    whole.store(false, Ordering::Relaxed);
                }
            }
        });
        whole.into_inner()
    }

    /// Puts everything that was decided and has come to an end into `batch`, and takes out what was counted. Open decisions
    /// stay and are part of the next batch. What was seen is counted in `normalizer`, which scales by it once settled.
    pub fn gather(&mut self, batch: &mut Batch, normalizer: &mut Normalizer) -> Tally {
        batch.clear();
        let mut all = Tally::default();
        for life in self.tiles.iter_mut().flat_map(|tile| &mut tile.lives) {
            gather(&life.decisions, self.gae_lambda, &mut self.trajectory, batch);
            life.decisions.carry();
            normalizer.merge(&life.seen);
            life.seen = life.seen.empty();
            let tally = &mut life.tally;
            all.episodes.append(&mut tally.episodes);
            all.days.append(&mut tally.days);
            all.horizons.append(&mut tally.horizons);
            all.resident_ticks += std::mem::take(&mut tally.resident_ticks);
            all.decisions += std::mem::take(&mut tally.decisions);
            all.invalid += std::mem::take(&mut tally.invalid);
        }
        all
    }

    /// Decisions of each replica since the last batch, in the order of the replicas.
    pub fn decisions(&self) -> impl Iterator<Item = &Decisions> {
        self.lives().map(|life| &life.decisions)
    }

    /// Every replica goes on under other rules.
    ///
    /// # Errors
    /// What a running town does not take; as all are of the same rules, then none has changed.
    pub fn reload(&mut self, rules: &Arc<Rules>) -> Result<(), Refusal> {
        self.tiles.iter_mut().flat_map(|tile| &mut tile.lives).try_for_each(|life| life.reload(rules))
    }

    /// Every replica as a checkpoint keeps it; asked for between two batches.
    pub fn keep(&self) -> Vec<Kept> {
        self.lives().map(Life::keep).collect()
    }

    /// Goes on from what was kept.
    ///
    /// # Errors
    /// What does not fit these rules; then some replicas have changed and this rollout is of no use.
    pub fn restore(&mut self, kept: Vec<Kept>) -> Result<(), String> {
        let replicas = self.lives().count();
        if kept.len() != replicas {
            return Err(format!("it has {} replicas, the configuration {replicas}", kept.len()));
        }
        self.tiles.iter_mut().flat_map(|tile| &mut tile.lives).zip(kept).try_for_each(|(life, kept)| life.restore(kept))
    }

    fn lives(&self) -> impl Iterator<Item = &Life> {
        self.tiles.iter().flat_map(|tile| &tile.lives)
    }
}

/// Puts the closed decisions behind the batch, in the order in which they were taken; each resident's advantages are worked
/// out from their first to their last.
fn gather(decisions: &Decisions, gae_lambda: f32, life: &mut Trajectory, batch: &mut Batch) {
    life.rows.clear();
    for at in 0..decisions.len() {
        life.rows.push(batch.len());
        if decisions.then[at] == Then::Open {
            continue;
        }
        batch.observations.extend_from_slice(decisions.observation(at));
        batch.actions.push(decisions.actions[at]);
        batch.action_masks.push(decisions.masks[at]);
        batch.log_probs.push(decisions.log_probs[at]);
        batch.values.push(decisions.values[at]);
    }
    batch.advantages.resize(batch.len(), 0.0);
    batch.returns.resize(batch.len(), 0.0);
    for first in (0..decisions.len()).filter(|at| !decisions.follows[*at]) {
        let bootstrap = life.follow(decisions, first);
        ppo::gae(&life.rewards, &life.values, &life.discounts, bootstrap, gae_lambda, &mut life.advantages);
        for (at, advantage) in life.at.iter().zip(&life.advantages) {
            batch.advantages[life.rows[*at]] = *advantage;
            batch.returns[life.rows[*at]] = advantage + decisions.values[*at];
        }
    }
}

impl Trajectory {
    /// Collects the closed decisions from `first` on; what stands behind the last of them is worth the answer.
    fn follow(&mut self, decisions: &Decisions, first: usize) -> f32 {
        self.at.clear();
        self.rewards.clear();
        self.values.clear();
        self.discounts.clear();
        let mut at = first;
        let bootstrap = loop {
            if decisions.then[at] == Then::Open {
                break decisions.values[at];
            }
            self.at.push(at);
            self.rewards.push(decisions.rewards[at]);
            self.values.push(decisions.values[at]);
            self.discounts.push(decisions.discounts[at]);
            match decisions.then[at] {
                Then::Decision(next) => at = next as usize,
                Then::Truncated(value) => break value,
                Then::Terminated | Then::Open => break 0.0,
            }
        };
        self.advantages.clear();
        self.advantages.resize(self.at.len(), 0.0);
        bootstrap
    }
}
