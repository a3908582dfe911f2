//! Shipped configurations, the files they name, and the shipped policy.

use std::path::{Path, PathBuf};

use super::wait::soak;
use townlet_learn::checkpoint::{Checkpoint, Registry};
use townlet_shard::ConfigFiles;
use townlet_town::Sources;
use townlet_town::config::{Layers, load};
use townlet_town::options::OPTIONS;

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file in `configs/`.
pub(crate) fn config_text(name: &str) -> String {
    std::fs::read_to_string(repository("configs").join(name)).unwrap_or_else(|error| panic!("configs/{name}: {error}"))
}

/// A file of `configs/` with these settings changed, and every file it names.
pub(crate) fn sources(name: &str, settings: &[(&str, &str)]) -> Sources {
    let flags = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let layers = Layers { file: Some((name.to_owned(), config_text(name))), flags, ..Layers::default() };
    let config = load(&layers).unwrap_or_else(|errors| panic!("{name}: {errors}")).config;
    let named = |name: &str| (name.to_owned(), config_text(name));
    Sources {
        plan: named(&config.world.plan),
        affordances: named(&config.affordances.affordances_file),
        perturbations: named(&config.perturbations.file),
        config,
    }
}

/// No perturbation starts by itself, but commands can start one.
const QUIET: (&str, &str) = ("features.systems.perturbations", "off");

/// The default town with these settings changed; no perturbation starts by itself.
pub(crate) fn default_sources(settings: &[(&str, &str)]) -> Sources {
    sources("default.yaml", &[&[QUIET], settings].concat())
}

/// The backlog scenario with these settings changed; no perturbation starts by itself.
pub(crate) fn backlog_sources(settings: &[(&str, &str)]) -> Sources {
    let perturbations = default_sources(&[]).perturbations;
    Sources { perturbations, ..sources("scenarios/employment_backlog.yaml", &[&[QUIET], settings].concat()) }
}

/// A town for tests of determinism, restarts and crashes, which run in each of these. Both shards have the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TestTown {
    /// The default town of 8 residents.
    Default,
    /// The town of 1,000 residents.
    Thousand,
}

impl TestTown {
    /// Arguments with which `run` and `serve` start it.
    pub(crate) fn args(self) -> &'static [&'static str] {
        match self {
            Self::Default => &[],
            Self::Thousand => {
                &["--config", concat!(env!("CARGO_MANIFEST_DIR"), "/configs/stress.yaml"), "--set", "shard=harbour"]
            }
        }
    }

    /// The text of a configuration file of it.
    pub(crate) fn yaml(self) -> String {
        match self {
            Self::Default => String::new(),
            Self::Thousand => config_text("stress.yaml").replace("\nshard: stress\n", "\nshard: harbour\n"),
        }
    }

    /// Of many cases that are alike, every how many-eth is tried in it. In a soak each is.
    pub(crate) fn stride(self) -> usize {
        if self == Self::Default || soak() { 1 } else { 5 }
    }

    /// Its sources, without perturbations that start by themselves.
    pub(crate) fn sources(self) -> Sources {
        match self {
            Self::Default => default_sources(&[]),
            Self::Thousand => sources("stress.yaml", &[QUIET, ("shard", "harbour"), ("config_id", "town-v1")]),
        }
    }
}

/// Makes a test of each function in each town: `default_town::…` and `thousand_residents::…`.
macro_rules! in_each_town {
    ($($test:ident),+ $(,)?) => {
        mod default_town {
            $(#[test] fn $test() { super::$test($crate::kit::TestTown::Default); })+
        }
        mod thousand_residents {
            $(#[test] fn $test() { super::$test($crate::kit::TestTown::Thousand); })+
        }
    };
}
pub(crate) use in_each_town;

/// The configuration file of a home that [`super::TestShard::from_file`] starts from.
pub(crate) const CONFIG_FILE: &str = "town.yaml";

/// Reads the configuration file of a folder, and `affordances.yaml` and `events.yaml` beside it when they exist.
///
/// # Errors
/// What is wrong with them, in one line.
pub(crate) fn read_config(folder: &Path) -> Result<ConfigFiles, String> {
    let text = std::fs::read_to_string(folder.join(CONFIG_FILE)).map_err(|why| format!("{CONFIG_FILE}: {why}"))?;
    let layers = Layers { file: Some((CONFIG_FILE.into(), text)), ..Layers::default() };
    let loaded = load(&layers).map_err(|errors| errors.one_line())?;
    let shipped = default_sources(&[]);
    let or_shipped = |name: &str, (_, shipped): (String, String)| {
        (name.to_owned(), std::fs::read_to_string(folder.join(name)).unwrap_or(shipped))
    };
    let sources = Sources {
        config: loaded.config,
        plan: shipped.plan,
        affordances: or_shipped("affordances.yaml", shipped.affordances),
        perturbations: or_shipped("events.yaml", shipped.perturbations),
    };
    Ok(ConfigFiles { sources, files: vec![CONFIG_FILE.into()], warnings: loaded.warnings })
}

/// The policy that ships with the program.
pub(crate) fn shipped_policy() -> Checkpoint {
    Checkpoint::embedded(include_bytes!("../../configs/policies/shipped.safetensors"))
        .expect("the shipped policy is whole")
}

/// Stores a policy that only waits among the shadow policies of a home; its id.
pub(crate) fn store_idle_policy(home: &Path) -> String {
    let mut policy = shipped_policy();
    for tensor in &mut policy.weights.tensors {
        tensor.values.fill(0.0);
        if tensor.name == "policy.bias" {
            let wait = OPTIONS.iter().position(|row| row.1 == "wait").expect("waiting is an option");
            tensor.values[wait] = 1_000.0;
        }
    }
    let (id, bytes) = Checkpoint::encode(&policy.meta, &policy.weights, &policy.normalizer);
    Registry::new(home.join("snapshots/shadow")).store(&id, &bytes).expect("the policy can be stored");
    id
}
