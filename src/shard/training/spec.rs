//! What a training beside a town is made from: the town's own rules, taught as `configs/training.yaml` teaches.
//!
//! Owns which setting comes from where. With a town's own rewards residents would learn to leave it, and its defaults of PPO
//! are those of a first try; everything that is a rule of the town stays, so that what is learned may drive it. Rule:
//! "Shadow training".

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Arc;

use townlet_learn::checkpoint::{Checkpoint, Saved};
use townlet_learn::train::Trainer;
use townlet_town::config::{Config, Layers, load};
use townlet_town::reload::changes;
use townlet_town::{Rules, RulesError, Sources};

/// What residents are told and how it is learned from, with comments.
const TRAINING: &str = include_str!("../../../configs/training.yaml");
/// Sections taken from there: what residents are told.
const TOLD: [&str; 2] = ["rewards", "features.stages.social_rewards"];
/// Sections taken from there, unless the town's configuration has something else than the default.
const LEARNED: [&str; 3] = ["ppo", "training", "rewards.clip"];
/// Sections taken from there because no resident meets them: another release or folder makes no other training.
const ASIDE: [&str; 5] = ["shard", "policy", "telemetry", "snapshot", "console_auth"];

/// What a training beside a town is made from.
#[derive(Clone, Debug)]
pub struct TrainingSpec {
    /// Of the replicas.
    pub(super) rules: Arc<Rules>,
    /// Where it begins; `None` begins with random weights that imitate the scripted policy.
    pub(super) release: Option<Checkpoint>,
    /// The town's name, for that of the training.
    pub(super) shard: String,
    /// `policy.shadow_dir` of the town.
    pub(super) shadow_dir: String,
}

impl TrainingSpec {
    /// For a town of these texts, which `release` drives.
    ///
    /// # Errors
    /// When the town's settings and what is taught do not go together.
    pub fn new(town: &Sources, release: Option<Checkpoint>) -> Result<Self, RulesError> {
        let Config { shard, policy, .. } = town.config.clone();
        Ok(Self { rules: Self::taught(town)?, release, shard, shadow_dir: policy.shadow_dir })
    }

    /// The rules of the replicas of a town of these texts.
    ///
    /// # Errors
    /// When the town's settings and what is taught do not go together.
    pub(crate) fn taught(town: &Sources) -> Result<Arc<Rules>, RulesError> {
        let sources = Sources { config: taught(&town.config)?, ..town.clone() };
        Ok(Arc::new(Rules::new(sources)?))
    }

    /// For the same town under other texts.
    ///
    /// # Errors
    /// When they and what is taught do not go together.
    pub(crate) fn follow(&mut self, town: &Sources) -> Result<(), RulesError> {
        self.rules = Self::taught(town)?;
        Ok(())
    }

    /// Whether a training can be gone on with: it learns on the same towns, or on such as take a reload to be the same.
    pub(super) fn fits(&self, saved: &Saved) -> bool {
        saved.sources.digest() == self.rules.texts_digest
            || Rules::new(saved.sources.clone())
                .is_ok_and(|rules| changes(&rules, &self.rules).iter().all(|change| change.hot))
    }

    /// A training gone on with, its towns under these rules; `None` when it cannot be.
    pub(super) fn resume(&self, saved: &Saved, threads: NonZero<usize>) -> Option<Trainer> {
        if saved.sources.digest() == self.rules.texts_digest {
            return Trainer::resume(&self.rules, saved, threads).ok();
        }
        let before = Arc::new(Rules::new(saved.sources.clone()).ok()?);
        let mut trainer = Trainer::resume(&before, saved, threads).ok()?;
        trainer.reload(&self.rules).ok().map(|()| trainer)
    }

    /// Whether nothing is left of a training: its schedule is through, and what came of it drives the town already.
    pub(super) fn is_spent(&self, saved: &Saved) -> bool {
        let through = saved.progress.steps >= saved.progress.total_steps;
        through && self.release.as_ref().is_some_and(|release| release.id == saved.policy)
    }
}

/// A town's configuration, taught.
fn taught(town: &Config) -> Result<Config, RulesError> {
    let file = Some(("training.yaml".into(), TRAINING.into()));
    let training = load(&Layers { file, ..Layers::default() })?.config.canonical();
    let default = Config::shipped().canonical();
    let town = town.canonical();
    let (town, training, default) = (settings(&town), settings(&training), settings(&default));
    let own = |key: &str| within(key, &LEARNED) && town.get(key) != default.get(key);
    let replaced = |key: &str| [&TOLD[..], &LEARNED, &ASIDE].into_iter().any(|all| within(key, all)) && !own(key);
    let kept = town.iter().filter(|(key, _)| !replaced(key));
    let all: BTreeMap<_, _> = kept.chain(training.iter().filter(|(key, _)| replaced(key))).collect();
    // Sorted as lines, which is not as keys.
    let mut lines: Vec<String> = all.into_iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
    lines.sort();
    Ok(Config::from_canonical(&lines.concat())?)
}

fn settings(canonical: &str) -> BTreeMap<&str, &str> {
    canonical.lines().filter_map(|line| line.split_once(": ")).collect()
}

fn within(key: &str, sections: &[&str]) -> bool {
    sections
        .iter()
        .any(|section| key.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(flags: &[(&str, &str)]) -> Sources {
        let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let config = load(&Layers { flags, ..Layers::default() }).expect("the settings hold").config;
        let text = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        Sources {
            config,
            plan: text("default.txt", include_str!("../../../configs/towns/default.txt")),
            affordances: text("affordances.yaml", include_str!("../../../configs/affordances.yaml")),
            perturbations: text("none.yaml", include_str!("../../../configs/perturbations/none.yaml")),
        }
    }

    fn taught(flags: &[(&str, &str)]) -> Config {
        TrainingSpec::new(&sources(flags), None).expect("they go together").rules.config.clone()
    }

    #[test]
    fn the_default_town_is_taught_as_the_shipped_policy_was() {
        let file = Some(("training.yaml".into(), TRAINING.into()));
        let training = load(&Layers { file, ..Layers::default() }).expect("it holds").config;
        assert_eq!(taught(&[]).canonical(), training.canonical());
    }

    #[test]
    fn the_rules_are_the_towns_own_and_so_is_what_it_says_of_learning() {
        let flags = [
            ("config_id", "elsewhere"),
            ("seed", "41"),
            ("economy.rent_per_day", "1.7"),
            ("features.systems.observations", "hybrid"),
            ("rewards.survival_tick", "0.001"),
            ("rewards.clip.clip_per_tick", "0.1"),
            ("training.replicas", "5"),
            ("ppo.learning_rate", "0.5"),
        ];
        let (it, plain) = (taught(&flags), taught(&[]));
        let differs: Vec<String> = townlet_town::config::diff(&plain, &it).into_iter().map(|it| it.key).collect();
        let mut expected: Vec<&str> =
            flags.iter().map(|flag| flag.0).filter(|key| *key != "rewards.survival_tick").collect();
        expected.sort_unstable();
        let mut differs: Vec<&str> = differs.iter().map(String::as_str).collect();
        differs.sort_unstable();
        assert_eq!(differs, expected);
    }

    #[test]
    fn another_release_or_token_file_makes_no_other_training() {
        let flags = [("policy.release", "scripted"), ("shard", "other"), ("console_auth.token_file", "x.json")];
        assert_eq!(taught(&flags).canonical(), taught(&[]).canonical());
        let recipe = TrainingSpec::new(&sources(&[("policy.shadow_dir", "shadows"), ("shard", "other")]), None);
        let recipe = recipe.expect("they go together");
        assert_eq!((recipe.shadow_dir.as_str(), recipe.shard.as_str()), ("shadows", "other"));
    }
}
