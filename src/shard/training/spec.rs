//! The specification of a shadow training: the town's rules with the objective and PPO settings of `configs/training.yaml`.
//!
//! The PPO defaults of a town are not tuned. All rules of the town stay, so that the trained policy can drive it.
//! Rule: "Shadow training".

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Arc;

use townlet_learn::checkpoint::{Checkpoint, TrainingState};
use townlet_learn::train::Trainer;
use townlet_town::config::{Config, Layers, load};
use townlet_town::reload::changes;
use townlet_town::{Rules, RulesError, Sources};

const TRAINING: &str = include_str!("../../../configs/training.yaml");
/// Sections that define learning; taken from the file unless the town changes the default.
const LEARNING: [&str; 2] = ["ppo", "training"];
/// Sections without effect on residents; taken from the file so that they do not distinguish trainings.
const IRRELEVANT: [&str; 6] = ["shard", "policy", "telemetry", "snapshot", "console_auth", "server"];

/// The specification of a shadow training.
#[derive(Clone, Debug)]
pub struct TrainingSpec {
    pub(super) rules: Arc<Rules>,
    /// The initial policy; `None` starts from random weights that imitate the scripted policy.
    pub(super) release: Option<Checkpoint>,
    /// The shard's name, for the name of the training.
    pub(super) shard: String,
    /// `policy.shadow_dir` of the configuration.
    pub(super) shadow_dir: String,
}

impl TrainingSpec {
    /// The rules of its replicas.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// For a town with these texts, starting from `release`. Fails if its settings do not fit the training settings.
    pub fn new(town: &Sources, release: Option<Checkpoint>) -> Result<Self, RulesError> {
        let Config { shard, policy, .. } = town.config.clone();
        Ok(Self { rules: Self::training_rules(town)?, release, shard, shadow_dir: policy.shadow_dir })
    }

    /// The rules for replicas of a town with these texts.
    pub(crate) fn training_rules(town: &Sources) -> Result<Arc<Rules>, RulesError> {
        let sources = Sources { config: training_config(&town.config)?, ..town.clone() };
        Ok(Arc::new(Rules::new(sources)?))
    }

    pub(crate) fn set_town(&mut self, town: &Sources) -> Result<(), RulesError> {
        self.rules = Self::training_rules(town)?;
        Ok(())
    }

    /// Whether a training can be resumed: its towns are the same, or can be made so by a reload.
    pub(super) fn fits(&self, saved: &TrainingState) -> bool {
        saved.sources.digest() == self.rules.texts_digest
            || Rules::new(saved.sources.clone())
                .is_ok_and(|rules| changes(&rules, &self.rules).iter().all(|change| change.hot))
    }

    /// Resumes a training with these rules; `None` if that is not possible.
    pub(super) fn resume(&self, saved: &TrainingState, threads: NonZero<usize>) -> Option<Trainer> {
        if saved.sources.digest() == self.rules.texts_digest {
            return Trainer::resume(&self.rules, saved, threads).ok();
        }
        let before = Arc::new(Rules::new(saved.sources.clone()).ok()?);
        let mut trainer = Trainer::resume(&before, saved, threads).ok()?;
        trainer.reload(&self.rules).ok().map(|()| trainer)
    }

    /// Whether a training is finished and its policy is already the release.
    pub(super) fn is_spent(&self, saved: &TrainingState) -> bool {
        let through = saved.progress.steps >= saved.progress.total_steps;
        through && self.release.as_ref().is_some_and(|release| release.id == saved.policy)
    }
}

/// A town's configuration with the training settings.
fn training_config(town: &Config) -> Result<Config, RulesError> {
    let file = Some(("training.yaml".into(), TRAINING.into()));
    let training = load(&Layers { file, ..Layers::default() })?.config.canonical();
    let default = Config::shipped().canonical();
    let town = town.canonical();
    let (town, training, default) = (settings(&town), settings(&training), settings(&default));
    let own = |key: &str| within(key, &LEARNING) && town.get(key) != default.get(key);
    let replaced = |key: &str| [&LEARNING[..], &IRRELEVANT].into_iter().any(|all| within(key, all)) && !own(key);
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
        Sources::default_town(flags).expect("the settings hold").without_perturbations()
    }

    fn taught(flags: &[(&str, &str)]) -> Config {
        TrainingSpec::new(&sources(flags), None).expect("they go together").rules.config.clone()
    }

    #[test]
    fn the_default_town_trains_like_the_shipped_policy() {
        let file = Some(("training.yaml".into(), TRAINING.into()));
        let training = load(&Layers { file, ..Layers::default() }).expect("it holds").config;
        assert_eq!(taught(&[]).canonical(), training.canonical());
    }

    #[test]
    fn rules_and_changed_learning_settings_come_from_the_town() {
        let flags = [
            ("config_id", "elsewhere"),
            ("seed", "41"),
            ("economy.rent_per_day", "1.7"),
            ("features.systems.observations", "hybrid"),
            ("rewards.survival_tick", "0.001"),
            ("rewards.clip.clip_per_tick", "0.1"),
            ("training.replicas", "5"),
            ("training.objective", "configured"),
            ("ppo.learning_rate", "0.5"),
        ];
        let (it, plain) = (taught(&flags), taught(&[]));
        let differs: Vec<String> = townlet_town::config::diff(&plain, &it).into_iter().map(|it| it.key).collect();
        let mut expected: Vec<&str> = flags.iter().map(|flag| flag.0).collect();
        expected.sort_unstable();
        let mut differs: Vec<&str> = differs.iter().map(String::as_str).collect();
        differs.sort_unstable();
        assert_eq!(differs, expected);
    }

    #[test]
    fn release_and_token_file_do_not_distinguish_trainings() {
        let flags = [("policy.release", "scripted"), ("shard", "other"), ("console_auth.token_file", "x.json")];
        assert_eq!(taught(&flags).canonical(), taught(&[]).canonical());
        let spec = TrainingSpec::new(&sources(&[("policy.shadow_dir", "shadows"), ("shard", "other")]), None);
        let spec = spec.expect("they go together");
        assert_eq!((spec.shadow_dir.as_str(), spec.shard.as_str()), ("shadows", "other"));
    }
}
