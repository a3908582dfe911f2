//! The file of a sweep: how many trials, how long, and the ranges from which their settings are drawn.
//!
//! A trial depends on the seed, its number and the file alone. Rule: "Sweep".

use std::path::Path;

use anyhow::{Result, bail, ensure};
use townlet_learn::prng::Prng;
use townlet_town::Micro;
use townlet_town::config::{Constraint, Node, TextFormat, ValueRange, free, parse_file, row, rows, text};
use townlet_wire::command_line::nearest;

use super::halving::Halving;
use crate::cli::config_sources;

/// Whole numbers from `low` to `high`.
const fn whole(low: u64, high: u64, unit: &'static str) -> Constraint {
    Constraint { limit: ValueRange::Whole(low, high), unit, ..free() }
}

const MAX_STEPS: u64 = 1_000_000_000_000;

townlet_town::section! {
    /// A sweep.
    SearchFile {
        /// Trials. The first has the configuration as it is, the others are drawn.
        trials: u32 = whole(2, 256, "trials"),
        /// Resident-ticks of the first rung.
        min_steps: u64 = whole(1, MAX_STEPS, "resident-ticks"),
        /// Resident-ticks of the last rung, and the schedule of every training.
        max_steps: u64 = whole(1, MAX_STEPS, "resident-ticks"),
        /// One in this many trials goes on to the next rung; 2 when left out.
        reduction_factor: Option<u32> = whole(2, 100, ""),
        /// Seed of the trials; 1 when left out.
        seed: Option<u64> = free(),
        /// The policy that every trial imitates first: `scripted`, `shipped` or a checkpoint's id.
        warm_start: Option<String> = text(TextFormat::Name),
        /// The checkpoint, or `shipped`, with whose weights every trial starts.
        from: Option<String> = text(TextFormat::Name),
        /// The settings to search, each with one range.
        settings: Vec<SearchedSetting> = free(),
    }

    /// A setting and the range of its values.
    SearchedSetting {
        /// The setting, such as `ppo.learning_rate`.
        key: String = text(TextFormat::Path),
        /// Evenly between two numbers.
        uniform: Option<[Micro; 2]> = free(),
        /// Between two numbers above 0, evenly in their logarithm.
        log_uniform: Option<[Micro; 2]> = free(),
        /// Whole numbers between two, both included.
        integers: Option<[u32; 2]> = free(),
        /// One of these numbers.
        choices: Option<Vec<Micro>> = free(),
        /// One of these words.
        words: Option<Vec<String>> = text(TextFormat::Name),
    }
}

/// Beginnings of the keys that can be searched: those that change a training and not the towns that it is judged in.
const SEARCHED: [&str; 4] = ["ppo.", "training.", "rewards.", "features.systems.observations"];

/// The values of a trial: keys and values as `--set` takes them.
pub(super) type Settings = Vec<(String, String)>;

/// Where a setting's values come from.
#[derive(Clone, Debug)]
enum ValueSource {
    Uniform(f64, f64),
    LogUniform(f64, f64),
    Integers(u32, u32),
    OneOf(Vec<String>),
}

/// A checked file.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) file: SearchFile,
    pub(super) halving: Halving,
    settings: Vec<(String, ValueSource)>,
}

impl Search {
    /// Reads and checks a file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let (name, text) = config_sources::read_file(path)?;
        Self::parse(&name, &text)
    }

    fn parse(name: &str, text: &str) -> Result<Self> {
        let (file, node) = parse_file::<SearchFile>(name, text)?;
        let SearchFile { min_steps, max_steps, .. } = file;
        ensure!(min_steps <= max_steps, "{name}: min_steps {min_steps} is more than max_steps {max_steps}.");
        ensure!(
            file.warm_start.is_none() || file.from.is_none(),
            "{name}: warm_start and from exclude each other. Leave one of them out."
        );
        ensure!(!file.settings.is_empty(), "{name}: settings is empty; give at least one setting to search.");
        let mut settings: Vec<(String, ValueSource)> = Vec::new();
        for (index, setting) in file.settings.iter().enumerate() {
            let place = place(&node, index).unwrap_or_else(|| name.to_owned());
            let key = &setting.key;
            check_key(&place, key)?;
            ensure!(settings.iter().all(|(other, _)| other != key), "{place}: {key} is searched twice.");
            settings.push((key.clone(), source(&place, setting)?));
        }
        let halving = Halving { reduction_factor: file.reduction_factor.unwrap_or(2), min_steps, max_steps };
        Ok(Self { file, halving, settings })
    }

    /// The keys in the order of the file.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.settings.iter().map(|(key, _)| key.as_str())
    }

    /// The values of a trial. Trial 0 changes nothing.
    pub(super) fn trial(&self, number: u32) -> Settings {
        if number == 0 {
            return Vec::new();
        }
        let mut prng = Prng::new([self.file.seed.unwrap_or(1), u64::from(number), SWEEP]);
        self.settings.iter().map(|(key, source)| (key.clone(), source.draw(&mut prng))).collect()
    }

    /// The ends of every range and every choice, each alone: a configuration must accept them all.
    pub(super) fn extremes(&self) -> impl Iterator<Item = (String, String)> {
        self.settings.iter().flat_map(|(key, source)| source.extremes().into_iter().map(move |it| (key.clone(), it)))
    }
}

/// Separates these draws from others with the same seed.
const SWEEP: u64 = 0x0073_7765_6570;

/// Where the setting with this index begins in the file.
fn place(node: &Node, index: usize) -> Option<String> {
    let townlet_town::config::Value::List(items) = &node.get("settings").value else { return None };
    items.get(index)?.place.as_ref().map(ToString::to_string)
}

fn check_key(place: &str, key: &str) -> Result<()> {
    if row(key).is_none() {
        let all = rows();
        let near = nearest(key, all.iter().map(|row| row.key.as_str()));
        let near = near.map_or_else(String::new, |near| format!(" Did you mean `{near}`?"));
        bail!("{place}: {key} is not a setting.{near} docs/CONFIG.md lists all settings.");
    }
    let fixed = key == "training.total_steps" || key.starts_with("training.evaluation.");
    let allowed = SEARCHED.iter().any(|start| key.starts_with(start)) && !fixed;
    ensure!(
        allowed,
        "{place}: {key} cannot be searched: trials differ in ppo.*, training.* (not total_steps, which is max_steps, \
         and evaluation), rewards.* and features.systems.observations, so that all are judged in the same towns."
    );
    Ok(())
}

/// The range of a setting, of which there must be exactly one.
fn source(place: &str, setting: &SearchedSetting) -> Result<ValueSource> {
    let key = &setting.key;
    let decimals = |values: &[Micro]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
    let given: Vec<ValueSource> = [
        setting.uniform.map(|[low, high]| ValueSource::Uniform(low.to_f64(), high.to_f64())),
        setting.log_uniform.map(|[low, high]| ValueSource::LogUniform(low.to_f64(), high.to_f64())),
        setting.integers.map(|[low, high]| ValueSource::Integers(low, high)),
        setting.choices.as_deref().map(|values| ValueSource::OneOf(decimals(values))),
        setting.words.clone().map(ValueSource::OneOf),
    ]
    .into_iter()
    .flatten()
    .collect();
    let [source] = given.as_slice() else {
        bail!("{place}: {key} needs one of uniform, log_uniform, integers, choices and words; it has {}.", given.len());
    };
    let problem = match source {
        ValueSource::Uniform(low, high) | ValueSource::LogUniform(low, high) if low > high => {
            "the lower end comes first"
        }
        ValueSource::LogUniform(low, _) if *low <= 0.0 => "the lower end of log_uniform must be above 0",
        ValueSource::Integers(low, high) if low > high => "the lower end comes first",
        ValueSource::OneOf(values) if values.is_empty() => "give at least one value",
        _ => return Ok(source.clone()),
    };
    bail!("{place}: {key}: {problem}.")
}

impl ValueSource {
    fn draw(&self, prng: &mut Prng) -> String {
        let mut share = || prng.below(1_000_001) as f64 / 1e6;
        match self {
            Self::Uniform(low, high) => decimal(low + (high - low) * share()),
            Self::LogUniform(low, high) => {
                decimal((low.ln() + (high.ln() - low.ln()) * share()).exp().clamp(*low, *high))
            }
            Self::Integers(low, high) => (low + prng.below((high - low) as usize + 1) as u32).to_string(),
            Self::OneOf(values) => values[prng.below(values.len())].clone(),
        }
    }

    fn extremes(&self) -> Vec<String> {
        match self {
            Self::Uniform(low, high) | Self::LogUniform(low, high) => vec![decimal(*low), decimal(*high)],
            Self::Integers(low, high) => vec![low.to_string(), high.to_string()],
            Self::OneOf(values) => values.clone(),
        }
    }
}

/// A number with the six places of a configuration.
fn decimal(value: f64) -> String {
    Micro((value * 1e6).round() as i64).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
trials: 40
min_steps: 1000
max_steps: 8000
seed: 7
settings:
  - { key: ppo.learning_rate, log_uniform: [0.0001, 0.01] }
  - { key: ppo.entropy_coef, uniform: [0.0, 0.02] }
  - { key: ppo.num_epochs, integers: [1, 4] }
  - { key: ppo.mini_batch_size, choices: [256, 1024] }
  - { key: training.objective, words: [town_score, configured] }
";

    fn search(text: &str) -> Search {
        Search::parse("sweep.yaml", text).unwrap_or_else(|why| panic!("{why:#}\n{text}"))
    }

    #[test]
    fn the_same_seed_draws_the_same_trials_inside_their_ranges() {
        let (one, other) = (search(FILE), search(&FILE.replace("seed: 7", "seed: 8")));
        assert_eq!(one.trial(0), Vec::new(), "the configuration as it is");
        let mut seen = std::collections::BTreeSet::new();
        let (mut low, mut words) = (0, std::collections::BTreeSet::new());
        for number in 1..200 {
            let trial = one.trial(number);
            assert_eq!(trial, search(FILE).trial(number));
            assert_ne!(trial, other.trial(number));
            assert!(seen.insert(trial.clone()), "trial {number} repeats another");
            let value = |at: usize| trial[at].1.parse::<f64>().expect("a number");
            assert!((0.0001..=0.01).contains(&value(0)) && (0.0..=0.02).contains(&value(1)), "{trial:?}");
            assert!([1.0, 2.0, 3.0, 4.0].contains(&value(2)) && [256.0, 1024.0].contains(&value(3)), "{trial:?}");
            low += usize::from(value(0) < 0.001);
            words.insert(trial[4].1.clone());
        }
        assert!((80..120).contains(&low), "{low} of 199 are below the geometric middle");
        assert_eq!(words.len(), 2);
        assert_eq!(one.halving.rungs(), [1_000, 2_000, 4_000, 8_000]);
    }

    #[test]
    fn mistakes_are_refused_with_place_and_nearest_name() {
        for (from, to, says) in [
            ("ppo.learning_rate", "ppo.learning_rat", &["sweep.yaml:7", "ppo.learning_rat", "`ppo.learning_rate`"][..]),
            ("log_uniform", "loguniform", &["sweep.yaml:7", "loguniform", "`log_uniform`"]),
            ("min_steps: 1000", "min_step: 1000", &["sweep.yaml:3", "`min_steps`"]),
            ("trials: 40", "trials: 1", &["sweep.yaml:2", "trials", "from 2 to 256"]),
            ("seed: 7", "seed: 7\nfrom: shipped\nwarm_start: scripted", &["exclude each other"]),
            ("max_steps: 8000", "max_steps: 800", &["min_steps 1000", "max_steps 800"]),
            ("[0.0001, 0.01]", "[0.01, 0.0001]", &["sweep.yaml:7", "the lower end"]),
            ("[0.0001, 0.01]", "[0.0, 0.01]", &["sweep.yaml:7", "above 0"]),
            ("log_uniform: [0.0001, 0.01]", "choices: []", &["sweep.yaml:7", "at least one value"]),
            (", uniform: [0.0, 0.02]", "", &["sweep.yaml:8", "ppo.entropy_coef", "it has 0"]),
            ("uniform: [0.0, 0.02]", "uniform: [0.0, 0.02], choices: [1]", &["sweep.yaml:8", "it has 2"]),
            ("ppo.entropy_coef", "ppo.learning_rate", &["sweep.yaml:8", "searched twice"]),
            ("ppo.entropy_coef", "economy.rent_per_day", &["sweep.yaml:8", "cannot be searched", "same towns"]),
            ("ppo.entropy_coef", "training.total_steps", &["sweep.yaml:8", "max_steps"]),
            ("ppo.entropy_coef", "training.evaluation.days", &["sweep.yaml:8", "evaluation"]),
        ] {
            let text = FILE.replacen(from, to, 1);
            let why = format!("{:#}", Search::parse("sweep.yaml", &text).expect_err(to));
            for part in says {
                assert!(why.contains(part), "{part} is not in\n{why}");
            }
        }
    }
}
